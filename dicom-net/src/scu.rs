//! Services that we use of peers: associations that we request (PS3.4, PS3.7).

mod availability;
mod c_echo;
mod c_store;
mod deliver;
mod inquiry;
mod n_action;
mod n_event_report;
mod normalized;
mod retrieval;

use std::time::Duration;

use dicom_store::Peer;
use dicom_store::model::{SopClassUid, TransferSyntaxUid};
use tokio::io::{AsyncRead, AsyncWrite, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use crate::config::Config;
use crate::dimse::{Request, Response};
use crate::error::{Error, Result};
use crate::ul::tls::{self, Callee};
use crate::ul::{self, AbortReason, Association, Limits, PduReader, Proposal, Received, Role};

pub(crate) use availability::{Available, notify};
pub use c_echo::echo;
pub(crate) use c_store::send;
pub(crate) use deliver::{Errand, Outcome};
pub(crate) use inquiry::{Found, Inquiry, find};
pub(crate) use n_action::Commitment;
pub(crate) use n_event_report::n_event_report;
pub(crate) use retrieval::{Retrieval, Retrieved};

type Reading = Box<dyn AsyncRead + Send + Sync + Unpin>;
type Writing = Box<dyn Wire>;

/// What is written to.
pub(crate) trait Wire: AsyncWrite + Send + Sync + Unpin {
    /// The socket that gets what is written as it is.
    fn socket(&self) -> Option<&TcpStream>;
}

impl Wire for OwnedWriteHalf {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self.as_ref())
    }
}

impl Wire for WriteHalf<TlsStream<TcpStream>> {
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

/// An association over TCP, in clear text or within TLS.
type TcpAssociation = Association<Reading, Writing>;

/// Requests an association with a peer, in this role on all contexts.
///
/// # Errors
/// When the peer cannot be reached in time, or rejects the association.
pub(crate) async fn connect(
    peer: &Peer,
    role: Role,
    contexts: &[(SopClassUid, Vec<TransferSyntaxUid>)],
    config: &Config,
) -> Result<TcpAssociation> {
    let limit = config.connect();
    let connecting = TcpStream::connect((peer.host.as_str(), peer.port));
    let stream = timeout(limit, connecting).await.map_err(|_| Error::Silent(limit))??;
    stream.set_nodelay(true)?;
    let (reader, writer) = halves(peer, config, stream).await?;
    let (calling, called) = (&config.ae_title, &peer.ae_title);
    let limits = Limits { artim: config.artim(), patience: config.stall() };
    let max_length = config.max_pdu_length();
    let proposal = Proposal { calling, called, contexts, role, max_length, limits };
    match ul::request(reader, writer, &proposal).await {
        Ok(association) => Ok(association.through(|writer| writer.socket())),
        Err(refused) => {
            let error = tls::explained(refused.error);
            debug!(called = %peer.ae_title, %error, "no association");
            Err(error)
        }
    }
}

/// Both directions of a connection, within TLS where the peer is called so.
async fn halves(peer: &Peer, config: &Config, stream: TcpStream) -> Result<(Reading, Writing)> {
    if !peer.tls {
        let (reader, writer) = stream.into_split();
        return Ok((Box::new(reader), Box::new(writer)));
    }
    let callee = Callee { ae_title: &peer.ae_title, host: &peer.host };
    let (reader, writer) = split(callee.secure(&config.tls, stream).await?);
    Ok((Box::new(reader), Box::new(writer)))
}

/// Releases an association that is done, or drops it when the peer does not answer in time.
pub(crate) async fn release(association: TcpAssociation, limit: Duration) {
    match timeout(limit, association.release()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "the association was not released"),
        Err(_) => debug!("the peer did not answer the release"),
    }
}

/// Waits for the response to a request of ours.
///
/// # Errors
/// When anything else comes, or nothing in time.
pub(crate) async fn response<R: AsyncRead + Unpin>(
    reader: &mut PduReader<R>,
    message_id: u16,
    limit: Duration,
) -> Result<Response> {
    let received = timeout(limit, reader.next()).await.map_err(|_| Error::Silent(limit))??;
    if let Received::Command { command, .. } = received
        && let Some(Request::Response(response)) = Request::read(command)
        && response.responds_to() == message_id
        && !response.has_data_set()
    {
        return Ok(response);
    }
    Err(Error::protocol(AbortReason::ServiceUser, "something else came where a response was expected"))
}
