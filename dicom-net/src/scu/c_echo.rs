//! C-ECHO of a peer: does it answer, and does it know us (PS3.4 Annex A)?

use std::time::{Duration, Instant};

use dicom_store::Peer;
use dicom_store::model::{SopClassUid, TransferSyntaxUid, transfer_syntax};

use super::{connect, release, response};
use crate::config::Config;
use crate::dimse::{CEchoRq, Status};
use crate::error::{Error, Result};
use crate::ul::Role;

const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Asks a peer for an echo, and gives how long it took from connecting to its answer.
///
/// # Errors
/// When there is no association, no context for Verification, no answer in time or none of success.
pub async fn echo(config: &Config, peer: &Peer) -> Result<Duration> {
    let begun = Instant::now();
    let verification = SopClassUid::parse(VERIFICATION).expect("the UID is well-formed");
    let implicit =
        TransferSyntaxUid::parse(transfer_syntax::IMPLICIT_LITTLE).expect("the UID is well-formed");
    let mut association = connect(peer, Role::Scu, &[(verification, vec![implicit])], config).await?;
    let Some(context) = association.contexts.iter().next().map(|context| context.id) else {
        release(association, config.artim()).await;
        return Err(Error::GivenUp(format!("{} does not take Verification", peer.ae_title)));
    };
    association.writer.queue(context, &CEchoRq::new(1, VERIFICATION).write(), None);
    association.writer.flush().await?;
    let response = response(&mut association.reader, 1, config.response()).await?;
    let taken = begun.elapsed();
    release(association, config.artim()).await;
    match response.status {
        Status::SUCCESS => Ok(taken),
        status => Err(Error::GivenUp(format!("{} answered {status}", peer.ae_title))),
    }
}
