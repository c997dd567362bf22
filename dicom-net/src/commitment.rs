//! Storage commitment, push model (PS3.4 Annex J).
//!
//! As SCP: what a peer asks to be kept, and what it is told once every byte of it has been read again.
//! A request becomes a job of the queue before it is answered, so that its report outlives a restart. The job verifies
//! some instances at a time and puts what is left, with what was found, back into the queue; then it reports: on the
//! association of the request while that is open, otherwise on one of its own, again until the peer has taken it.
//!
//! As SCU: what a peer reports of what we have sent to it (`heard`); what is asked and when, and what follows, is
//! `worker::commitment`.

mod heard;
mod job;
mod open;
mod report;
mod transaction;

pub(crate) use heard::{hear, information};
pub(crate) use job::StorageCommitment;
pub(crate) use open::{Handover, OpenAssociations};
pub(crate) use report::Report;
pub(crate) use transaction::Transaction;
#[cfg(test)]
pub(crate) use transaction::tests::information as asked_for;

/// Storage Commitment Push Model SOP Class.
pub(crate) const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";
/// Action Type ID: Request Storage Commitment.
pub(crate) const REQUEST: u16 = 1;
/// A list of references may be this long: some 15,000 instances.
pub(crate) const LONGEST_LIST: usize = 2 * 1024 * 1024;
/// Its one, well-known instance.
pub(crate) const WELL_KNOWN_INSTANCE: &str = "1.2.840.10008.1.20.1.1";
