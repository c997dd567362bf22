//! DICOM upper layer over a byte stream (PS3.8).
//!
//! A-ASSOCIATE PDUs are held in `dicom-ul`'s types and written by it. They are *read* here, because an
//! acceptor has to skip items that it does not know (PS3.8 §9.3.1) and must never fail on a legal
//! request. P-DATA-TF is framed here both ways, so that a data set is never copied after it was read.
//!
//! Nothing in this module knows DIMSE, and of the archive it knows only `dicom_store::model`.

mod associate;
mod association;
mod negotiation;
mod pdu;
pub mod preference;
mod reader;
mod state;
pub mod tls;
mod writer;

#[cfg(feature = "fuzzing")]
pub(crate) use associate::{read_ac, read_rq};
pub use association::{Association, Limits, Linger, Proposal, Refused, Requested, Role, accept, request};
pub use negotiation::{
    Agreement, CommonExtended, PresentationContext, PresentationContexts, Service, Services, Terms, agree,
    common_extended, lesser,
};
#[cfg(feature = "fuzzing")]
pub(crate) use pdu::associate as write;
pub use pdu::{APPLICATION_CONTEXT, AbortReason, Rejection};
pub use reader::{Fragment, PduReader, Received};
pub use writer::{PduWriter, ToSocket};
