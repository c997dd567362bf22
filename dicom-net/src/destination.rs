//! A DICOM peer as a place where instances can be forwarded to.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::model::{AeTitle, DayTimes, Error as StoreError, Instance, SopInstanceUid, TransactionUid};
use dicom_store::{Peer, Session, Work};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::destination::Sent;
use worker::{CpuPool, Destination};

use crate::config::Config;
use crate::peers::Peers;
use crate::scu::{Commitment, Errand, Outcome};

/// Outcomes that wait to be told.
const OUTCOMES: usize = 64;

/// Sends by C-STORE, on associations of its own.
pub(crate) struct DimseDestination {
    name: String,
    ae_title: AeTitle,
    peers: Peers,
    pool: CpuPool,
    config: Arc<Config>,
    /// Where reports of storage commitment are noted.
    work: Work,
    commits_within: Option<Duration>,
    send_between: DayTimes,
}

impl DimseDestination {
    /// `pool`: where objects are decoded that the peer does not take as they are.
    pub(crate) fn new(peer: &Peer, peers: Peers, pool: CpuPool, config: Arc<Config>, work: Work) -> Self {
        let (ae_title, within) = (peer.ae_title.clone(), peer.commitment_s);
        let commits_within = (within > 0).then(|| Duration::from_secs(within));
        let (name, send_between) = (ae_title.to_string(), peer.send_between);
        Self { name, ae_title, peers, pool, config, work, commits_within, send_between }
    }

    async fn known(&self) -> worker::Result<Arc<Peer>> {
        let unknown =
            || StoreError::not_found(format!("{} is no peer that anything may be sent to", self.ae_title));
        Ok(self.peers.destination(&self.ae_title).await.ok_or_else(unknown)?)
    }

    async fn deliver(
        &self,
        from: &Session,
        instances: &[Instance],
        told: mpsc::Sender<(SopInstanceUid, Sent)>,
        stop: &CancellationToken,
    ) -> worker::Result<()> {
        let peer = self.known().await?;
        let (outcomes, mut heard) = mpsc::channel(OUTCOMES);
        let errand = Errand {
            session: from.clone(),
            pool: self.pool.clone(),
            peer: Peer::clone(&peer),
            lane: self.peers.lane(&peer),
            instances: instances.to_vec(),
            originator: None,
            priority: 0,
            config: Arc::clone(&self.config),
            associations: peer.max_associations,
            outcomes,
            stop: stop.clone(),
            // What is stopped here goes on with the next turn: an object that takes long would never get there.
            grace: None,
        };
        let tell = async {
            let mut is_any = false;
            while let Some((instance, outcome)) = heard.recv().await {
                is_any |= !matches!(outcome, Outcome::Failed(_) | Outcome::Broken(_));
                let sent = match outcome {
                    Outcome::Completed | Outcome::Warning => Sent::Delivered,
                    Outcome::Failed(why) => Sent::Failed(why),
                    Outcome::Broken(why) => Sent::Broken(why),
                    Outcome::Refused(why) => Sent::Refused(why),
                };
                // Nobody listens any more where the job has ended.
                let _ = told.send((instance, sent)).await;
            }
            is_any
        };
        let (ended, is_any) = tokio::join!(errand.run(), tell);
        match ended {
            Err(error) if !is_any => Err(worker::Error::Remote(format!("{peer}: {error}"))),
            _ => Ok(()),
        }
    }
}

impl Destination for DimseDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn send<'a>(
        &'a self,
        from: &'a Session,
        instances: &'a [Instance],
        told: mpsc::Sender<(SopInstanceUid, Sent)>,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, worker::Result<()>> {
        self.deliver(from, instances, told, stop).boxed()
    }

    fn send_between(&self) -> DayTimes {
        self.send_between
    }

    fn commits_within(&self) -> Option<Duration> {
        self.commits_within
    }

    fn commit<'a>(
        &'a self,
        transaction: &'a TransactionUid,
        instances: &'a [Instance],
    ) -> BoxFuture<'a, worker::Result<()>> {
        async move {
            let peer = self.known().await?;
            let asked = async {
                let _place = self.peers.lane(&peer).enter(self.config.response()).await?;
                let commitment = Commitment { config: &self.config, peer: &peer, work: &self.work };
                commitment.request(transaction, instances).await
            };
            asked.await.map_err(|error| worker::Error::Remote(format!("{peer}: {error}")))
        }
        .boxed()
    }
}
