//! N-EVENT-REPORT of storage commitment to the peer that asked for it, on an association of our own (PS3.4 §J.3.3).

use dicom_store::Peer;
use dicom_store::model::{SopClassUid, TransferSyntaxUid, transfer_syntax};
use tokio::time::timeout;

use super::{TcpAssociation, connect, release};
use crate::commitment::{Report, STORAGE_COMMITMENT};
use crate::config::Config;
use crate::dimse::{Request, Status};
use crate::error::{Error, Result};
use crate::ul::{AbortReason, PresentationContext, Received, Role};

const MESSAGE_ID: u16 = 1;

/// Reports to a peer, as SCP by role selection, and gives what it answered.
///
/// # Errors
/// When there is no association, no context in this role, or no answer in time.
pub(crate) async fn n_event_report(config: &Config, peer: &Peer, report: &Report) -> Result<Status> {
    let class = SopClassUid::parse(STORAGE_COMMITMENT).expect("the UID is well-formed");
    let syntaxes = [transfer_syntax::EXPLICIT_LITTLE, transfer_syntax::IMPLICIT_LITTLE]
        .map(|uid| TransferSyntaxUid::parse(uid).expect("the UID is well-formed"));
    let mut association = connect(peer, Role::Scp, &[(class, syntaxes.to_vec())], config).await?;
    let Some(context) = association.contexts.iter().next().cloned() else {
        release(association, config.artim()).await;
        let what = format!("{} does not take reports of storage commitment from us as SCP", peer.ae_title);
        return Err(Error::GivenUp(what));
    };
    let limit = config.response();
    let exchanged = timeout(limit, exchange(&mut association, &context, report)).await;
    match exchanged.unwrap_or(Err(Error::Silent(limit))) {
        Ok(status) => {
            release(association, config.artim()).await;
            Ok(status)
        }
        Err(error) => Err(association.abort(error).await.error),
    }
}

async fn exchange(
    association: &mut TcpAssociation,
    context: &PresentationContext,
    report: &Report,
) -> Result<Status> {
    let data = report.write(context.transfer_syntax.facts().encoding);
    association.writer.queue(context.id, &report.command(MESSAGE_ID), Some(&data));
    association.writer.flush().await?;
    if let Received::Command { command, .. } = association.reader.next().await?
        && let Some(Request::Response(response)) = Request::read(command)
        && response.responds_to() == MESSAGE_ID
    {
        if response.has_data_set() {
            while !association.reader.data(context.id).await?.is_last {}
        }
        return Ok(response.status);
    }
    Err(Error::protocol(AbortReason::ServiceUser, "something else came where a response was expected"))
}
