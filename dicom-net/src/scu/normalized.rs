//! One request of DIMSE-N to a peer, on an association of our own (PS3.7 §10).

use bytes::Bytes;
use dicom_store::Peer;
use dicom_store::model::{Encoding, SopClassUid};
use tokio::time::timeout;

use super::inquiry::message_syntaxes;
use super::{TcpAssociation, connect, release};
use crate::config::Config;
use crate::dimse::{Request, Status};
use crate::error::{Error, Result};
use crate::ul::{AbortReason, PresentationContext, Received, Role};

pub(super) const MESSAGE_ID: u16 = 1;

/// A request: its command, and its data set in the encoding that was agreed on.
pub(super) struct Message<'a> {
    pub class: &'static str,
    pub role: Role,
    pub command: Bytes,
    pub data: &'a (dyn Fn(Encoding) -> Vec<u8> + Sync),
}

/// Sends it, and gives what the peer answered.
///
/// # Errors
/// When there is no association, no context in this role, or no answer in time.
pub(super) async fn request(config: &Config, peer: &Peer, message: Message<'_>) -> Result<Status> {
    let class = SopClassUid::parse(message.class).expect("the UID is well-formed");
    let mut association = connect(peer, message.role, &[(class, message_syntaxes())], config).await?;
    let Some(context) = association.contexts.iter().next().cloned() else {
        release(association, config.artim()).await;
        let role = if message.role == Role::Scp { " from us as SCP" } else { "" };
        return Err(Error::GivenUp(format!("{} does not take {}{role}", peer.ae_title, message.class)));
    };
    let limit = config.response();
    let exchanged = timeout(limit, exchange(&mut association, &context, &message)).await;
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
    message: &Message<'_>,
) -> Result<Status> {
    let data = (message.data)(context.transfer_syntax.facts().encoding);
    association.writer.queue(context.id, &message.command, Some(&data));
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
