//! C-ECHO of a peer: does it answer, and does it know us (PS3.4 Annex A)?

use dicom_store::model::{SopClassUid, TransferSyntaxUid, transfer_syntax};

use super::{connect, release, response};
use crate::config::Config;
use crate::dimse::{CEchoRq, Status};
use crate::error::{Error, Result};
use crate::peers::Peer;

const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Asks a peer for an echo, and gives the status of its answer.
///
/// # Errors
/// When there is no association, no context for Verification, or no answer in time.
pub async fn c_echo(peer: &Peer, config: &Config) -> Result<Status> {
    let verification = SopClassUid::parse(VERIFICATION).expect("the UID is well-formed");
    let implicit =
        TransferSyntaxUid::parse(transfer_syntax::IMPLICIT_LITTLE).expect("the UID is well-formed");
    let mut association = connect(&config.ae_title, peer, &[(verification, vec![implicit])], config).await?;
    let Some(context) = association.contexts.iter().next().map(|context| context.id) else {
        release(association, config.artim()).await;
        return Err(Error::GivenUp(format!("{} does not take Verification", peer.ae_title)));
    };
    association.writer.queue(context, &CEchoRq::new(1, VERIFICATION).write(), None);
    association.writer.flush().await?;
    let response = response(&mut association.reader, 1, config.response()).await?;
    release(association, config.artim()).await;
    Ok(response.status)
}
