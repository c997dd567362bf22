//! A DICOM peer as a place where instances can be forwarded to.

use std::sync::Arc;

use dicom_store::model::{AeTitle, Error as StoreError, Instance, SopInstanceUid};
use dicom_store::{Peer, Session};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::destination::Sent;
use worker::{CpuPool, Destination};

use crate::config::Config;
use crate::peers::Peers;
use crate::scu::{Errand, Outcome};

/// Outcomes that wait to be told.
const OUTCOMES: usize = 64;

/// Sends by C-STORE, on associations of its own.
pub(crate) struct DimseDestination {
    name: String,
    ae_title: AeTitle,
    peers: Peers,
    pool: CpuPool,
    config: Arc<Config>,
}

impl DimseDestination {
    /// `pool`: where objects are decoded that the peer does not take as they are.
    pub(crate) fn new(ae_title: AeTitle, peers: Peers, pool: CpuPool, config: Arc<Config>) -> Self {
        Self { name: ae_title.to_string(), ae_title, peers, pool, config }
    }

    async fn deliver(
        &self,
        from: &Session,
        instances: &[Instance],
        told: mpsc::Sender<(SopInstanceUid, Sent)>,
        stop: &CancellationToken,
    ) -> worker::Result<()> {
        let unknown =
            || StoreError::not_found(format!("{} is no peer that anything may be sent to", self.ae_title));
        let peer = self.peers.destination(&self.ae_title).await.ok_or_else(unknown)?;
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
            outcomes,
            stop: stop.clone(),
        };
        let tell = async {
            let mut is_any = false;
            while let Some((instance, outcome)) = heard.recv().await {
                is_any |= !matches!(outcome, Outcome::Failed(_));
                let sent = match outcome {
                    Outcome::Completed | Outcome::Warning => Sent::Delivered,
                    Outcome::Failed(why) => Sent::Failed(why),
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
}
