//! N-EVENT-REPORT of storage commitment to the peer that asked for it, on an association of our own (PS3.4 §J.3.3).

use dicom_store::Peer;

use super::normalized::{MESSAGE_ID, Message, request};
use crate::commitment::{Report, STORAGE_COMMITMENT};
use crate::config::Config;
use crate::dimse::Status;
use crate::error::Result;
use crate::ul::Role;

/// Reports to a peer, as SCP by role selection, and gives what it answered.
///
/// # Errors
/// When there is no association, no context in this role, or no answer in time.
pub(crate) async fn n_event_report(config: &Config, peer: &Peer, report: &Report) -> Result<Status> {
    let message = Message {
        class: STORAGE_COMMITMENT,
        role: Role::Scp,
        command: report.command(MESSAGE_ID),
        data: &|encoding| report.write(encoding),
    };
    request(config, peer, message).await
}
