//! DIMSE messages: command sets and status codes (PS3.7 §6, §9, Annexes C and E).
//!
//! Of the archive this module knows only `dicom_store::model`.

mod command;
mod command_set;
mod normalized;
mod status;

pub use command::{
    CCancelRq, CEchoRq, CFindRq, CGetRq, CMoveRq, CStoreRq, Identity, MoveOriginator, Request, Response,
    SubOperations,
};
pub use command_set::CommandSet;
pub use normalized::{NActionRq, NEventReportRq};
pub use status::Status;
