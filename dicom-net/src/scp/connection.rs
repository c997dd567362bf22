//! One connection, from accept to close.

use std::net::IpAddr;
use std::sync::Arc;

use dicom_store::model::AeTitle;
use dicom_store::{Caller, PeerRights};
use dicom_ul::pdu::AssociationRQ;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::dispatch::Conversation;
use super::services::Offered;
use super::{Shared, identity, without_delay};
use crate::error::{Error, Result};
use crate::ul::tls::{self, Acceptor};
use crate::ul::{self, Agreement, Limits, Linger, Rejection, Requested, Terms, ToSocket};

/// A connection that was accepted.
pub(super) struct Connection {
    pub shared: Arc<Shared>,
    pub address: IpAddr,
    /// Ends it at once.
    pub abort: CancellationToken,
}

impl Connection {
    /// Serves it until it is closed, within TLS where there is an acceptor of that.
    pub(super) async fn serve(self, stream: TcpStream, acceptor: Option<Arc<Acceptor>>) {
        without_delay(&stream);
        let Some(acceptor) = acceptor else {
            let (reader, writer) = stream.into_split();
            return self.talk(reader, writer, |writer| Some(writer.as_ref())).await;
        };
        if let Some(stream) = self.secured(stream, &acceptor).await {
            let (reader, writer) = split(stream);
            self.talk(reader, writer, |_| None).await;
        }
    }

    /// The handshake; nothing when it fails, least of all clear text.
    async fn secured(&self, stream: TcpStream, acceptor: &Acceptor) -> Option<TlsStream<TcpStream>> {
        let place = self.shared.waiting.enter();
        let accepted = tokio::select! {
            accepted = acceptor.accept(stream) => accepted,
            () = place.gives_way.cancelled() => Err(Error::GivenUp("too many connections wait".to_owned())),
            () = self.abort.cancelled() => Err(Error::GivenUp("the server stops".to_owned())),
        };
        // The place is free while the audit is written.
        drop(place);
        match accepted {
            Ok(stream) => Some(stream),
            Err(error) => {
                warn!(%error, "no TLS with a peer, its connection was closed");
                if let Error::Tls(why) = &error {
                    self.shared.alerts.refused(self.address, why).await;
                }
                None
            }
        }
    }

    async fn talk<R, W>(&self, reader: R, writer: W, socket: ToSocket<W>)
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let linger = match negotiated(&self.shared, reader, writer, &self.abort).await {
            Begun::Association(requested) => {
                converse(&self.shared, requested.through(socket), self.address, &self.abort).await
            }
            Begun::Nothing(linger) => linger,
        };
        if let Some(linger) = linger {
            tokio::select! {
                () = linger.wait() => {}
                () = self.abort.cancelled() => {}
            }
        }
    }
}

/// What became of a new connection.
enum Begun<R, W> {
    Association(Requested<R, W>),
    Nothing(Option<Linger<R, W>>),
}

/// Waits for the request for an association: not longer than ARTIM runs, and no longer than newer connections leave
/// room.
async fn negotiated<R, W>(shared: &Shared, reader: R, writer: W, abort: &CancellationToken) -> Begun<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let place = shared.waiting.enter();
    let limits = Limits { artim: shared.config.artim(), patience: shared.config.stall() };
    let accepted = tokio::select! {
        accepted = ul::accept(reader, writer, limits) => accepted,
        () = place.gives_way.cancelled() => {
            warn!("a silent connection was closed, too many were waiting");
            return Begun::Nothing(None);
        }
        () = abort.cancelled() => return Begun::Nothing(None),
    };
    match accepted {
        Ok(requested) => Begun::Association(requested),
        Err(refused) => {
            match tls::explained(refused.error) {
                error @ Error::Tls(_) => {
                    warn!(%error, "TLS with a peer ended before it asked for an association")
                }
                error => debug!(%error, "no association was asked for"),
            }
            Begun::Nothing(refused.linger)
        }
    }
}

/// Answers the request, and serves the association if there is one.
async fn converse<R, W>(
    shared: &Arc<Shared>,
    requested: Requested<R, W>,
    address: IpAddr,
    abort: &CancellationToken,
) -> Option<Linger<R, W>>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    // Files, the register and the name of a host are looked up meanwhile, each of which may hang.
    let agreed = timeout(shared.config.artim(), agreed(shared, &requested.request, address));
    let agreed = tokio::select! {
        agreed = agreed => agreed.unwrap_or(Err(Rejection::TEMPORARY_CONGESTION)),
        () = abort.cancelled() => return None,
    };
    let (agreement, offered) = match agreed {
        Ok(agreed) => agreed,
        Err(rejection) => return reject(requested, rejection).await,
    };
    let Some(place) = shared.associations.enter(address) else {
        return reject(requested, Rejection::LOCAL_LIMIT_EXCEEDED).await;
    };
    let mut association = match requested.accept(agreement, shared.config.max_pdu_length()).await {
        Ok(association) => association,
        Err(error) => {
            debug!(%error, "the association could not be accepted");
            return None;
        }
    };
    let (calling, called) = (association.calling.clone(), association.called.clone());
    debug!(%calling, %called, "association accepted");
    let outcome = {
        let conversation = async {
            let caller = shared.peers.caller(&calling, &called, address).await;
            Conversation::new(shared, &mut association, offered, caller, address).serve().await
        };
        tokio::select! {
            outcome = conversation => outcome,
            () = abort.cancelled() => Err(Error::GivenUp("the server stops".to_owned())),
        }
    };
    // The place is free as soon as the association is over, also while the peer has yet to close.
    drop(place);
    match outcome {
        Ok(()) => {
            info!(%calling, "association released");
            association.answer_release().await.ok()
        }
        Err(error) => {
            warn!(%calling, %error, "association ended");
            association.abort(error).await.linger
        }
    }
}

/// What is agreed on with a requestor, and what is offered to it.
///
/// # Errors
/// The rejection.
async fn agreed(
    shared: &Shared,
    request: &AssociationRQ,
    address: IpAddr,
) -> Result<(Agreement, Offered), Rejection> {
    let config = &shared.config;
    let offered = Offered::to(request, config);
    let identity = identity::admit(config, request).await;
    let peer = match AeTitle::parse(&request.calling_ae_title) {
        Ok(calling) => shared.peers.get(&calling).await,
        Err(_) => None,
    };
    let ours = std::slice::from_ref(&config.ae_title);
    let terms = Terms {
        called: if config.accept_any_called { &[] } else { ours },
        max_length: config.max_pdu_length(),
        operations: config.max_operations,
        confirms_identity: identity.is_ok_and(|is_confirmed| is_confirmed),
        wanted: peer.as_deref().map_or(&[], |peer| peer.transfer_syntaxes.as_slice()),
        services: &offered,
    };
    let agreement = ul::agree(request, &terms)?;
    if !config.accept_unknown_calling {
        let caller = shared.peers.caller(&agreement.calling, &agreement.called, address).await;
        if !matches!(caller, Caller::Peer { rights: PeerRights { known: true, .. }, .. }) {
            return Err(Rejection::CALLING_AE_TITLE_NOT_RECOGNIZED);
        }
    }
    identity?;
    Ok((agreement, offered))
}

async fn reject<R, W>(requested: Requested<R, W>, rejection: Rejection) -> Option<Linger<R, W>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let request = &requested.request;
    info!(calling = request.calling_ae_title, called = request.called_ae_title, %rejection, "association rejected");
    let rejected: Result<_> = requested.reject(rejection).await;
    rejected.ok()
}
