//! DIMSE messages: command sets and status codes (PS3.7 §6, §9, Annexes C and E).
//!
//! Of the archive this module knows only `dicom_store::model`.

mod command;
mod command_set;
mod normalized;
mod query;
mod status;

pub use command::{
    CCancelRq, CEchoRq, CFindRq, CGetRq, CMoveRq, CStoreRq, Identity, MoveOriginator, Request, Response,
    SubOperations,
};
pub use command_set::CommandSet;
pub use normalized::{
    NActionRq, NCreateRq, NEventReportRq, NGetRq, NSetRq, n_action_rq, n_create_rq, n_event_report_rq,
};
pub use query::{c_cancel_rq, c_find_rq, c_get_rq, c_move_rq};
pub use status::Status;
