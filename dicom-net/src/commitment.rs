//! Storage commitment, push model, as SCP (PS3.4 Annex J): what a peer asks to be kept, and what it is told once every
//! byte of it has been read again.
//!
//! A request becomes a job of the queue before it is answered, so that its report outlives a restart. The job verifies
//! some instances at a time and puts what is left, with what was found, back into the queue; then it reports: on the
//! association of the request while that is open, otherwise on one of its own, again until the peer has taken it.

mod job;
mod open;
mod report;
mod transaction;

pub(crate) use job::StorageCommitment;
pub(crate) use open::{Handover, OpenAssociations};
pub(crate) use report::Report;
pub(crate) use transaction::Transaction;
#[cfg(test)]
pub(crate) use transaction::tests::information;

/// Storage Commitment Push Model SOP Class.
pub(crate) const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";
/// Its one, well-known instance.
pub(crate) const WELL_KNOWN_INSTANCE: &str = "1.2.840.10008.1.20.1.1";
