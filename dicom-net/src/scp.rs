//! The services that peers use: listener, associations, dispatch (PS3.4).

mod alerts;
mod answer_text;
mod c_echo;
mod c_find;
mod c_get;
mod c_move;
mod c_store;
mod connection;
mod dispatch;
mod events;
mod identifier;
mod identity;
mod n_action;
mod n_create;
mod n_event_report;
mod n_get;
mod n_set;
mod performed_step;
mod places;
mod retrieve;
mod services;
pub(crate) mod status;
mod storing;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dicom_store::Archive;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{Instrument, info, info_span, warn};
use worker::{Awaited, CpuPool};

use crate::commitment::StorageCommitment;
use crate::config::Config;
use crate::peers::Peers;
use crate::remotes::DimseRemotes;
use crate::ul::tls::Acceptor;
use alerts::Alerts;
use connection::Connection;
pub(crate) use identity::check as check_users;
use places::Places;
use waiting::Waiting;

/// How long accepting rests when the system has no sockets left.
const REST: Duration = Duration::from_millis(50);

/// Accepts associations and serves them; cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all associations share.
struct Shared {
    archive: Archive,
    pool: CpuPool,
    config: Arc<Config>,
    peers: Peers,
    commitment: StorageCommitment,
    associations: Places,
    waiting: Waiting,
    alerts: Alerts,
    /// Of the next connection.
    number: AtomicU64,
}

impl Server {
    /// `pool`: where objects are decoded that a peer does not take as they are.
    pub fn new(archive: Archive, pool: CpuPool, config: Config) -> Self {
        let (peers, config) = (Peers::new(&config, archive.work()), Arc::new(config));
        let shared = Shared {
            commitment: StorageCommitment::new(&archive, peers.clone(), Arc::clone(&config)),
            alerts: Alerts::new(&archive),
            archive,
            pool,
            peers,
            associations: Places::new(config.max_associations),
            waiting: Waiting::new(config.max_waiting),
            number: AtomicU64::new(1),
            config,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The jobs that follow from what peers ask for, and that they wait for: reports of storage commitment.
    pub fn awaited(&self) -> Awaited {
        self.shared.commitment.awaited()
    }

    /// The table of peers, as this server knows it.
    pub fn peers(&self) -> &Peers {
        &self.shared.peers
    }

    /// What peers do for us.
    pub fn remotes(&self) -> Arc<DimseRemotes> {
        Arc::new(DimseRemotes::new(
            self.shared.peers.clone(),
            &self.shared.archive,
            self.shared.pool.clone(),
            Arc::clone(&self.shared.config),
        ))
    }

    /// Accepts connections until `shutdown`; then lets associations go on for the grace of the settings,
    /// and aborts what is left.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let peers = self.shared.peers.clone();
        let senders = AbortOnDropHandle::new(tokio::spawn(async move { peers.keep_senders().await }));
        self.accept(listener, None, shutdown).await;
        drop(senders);
        self.shared.peers.write_senders().await;
    }

    /// The same on a listener where everything is within TLS.
    pub async fn serve_tls(self, listener: TcpListener, acceptor: Acceptor, shutdown: CancellationToken) {
        self.accept(listener, Some(Arc::new(acceptor)), shutdown).await;
        self.shared.peers.write_senders().await;
    }

    async fn accept(
        &self,
        listener: TcpListener,
        acceptor: Option<Arc<Acceptor>>,
        shutdown: CancellationToken,
    ) {
        let connections = TaskTracker::new();
        let abort = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(REST).await;
                    continue;
                }
            };
            let number = self.shared.number.fetch_add(1, Ordering::Relaxed);
            let span =
                info_span!("association", association = number, peer = %address, tls = acceptor.is_some());
            // A listener for both versions sees IPv4 peers as IPv4-mapped IPv6 addresses.
            let address = address.ip().to_canonical();
            let connection = Connection { shared: Arc::clone(&self.shared), address, abort: abort.clone() };
            let serve = connection.serve(stream, acceptor.clone());
            connections.spawn(serve.instrument(span));
        }
        drop(listener);
        connections.close();
        if timeout(self.shared.config.grace(), connections.wait()).await.is_err() {
            info!(associations = connections.len(), "associations are aborted, the grace is over");
        }
        abort.cancel();
        connections.wait().await;
    }
}

/// Small messages go out at once (a response is one write already).
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        warn!(%error, "TCP_NODELAY could not be set");
    }
}

/// What is offered to a requestor by the settings of a new server, for the fuzzer.
#[cfg(feature = "fuzzing")]
pub(crate) fn offered(request: &dicom_ul::pdu::AssociationRQ) -> impl crate::ul::Services + Sync + use<> {
    services::Offered::to(request, &Config::default())
}

#[cfg(test)]
mod tests;
