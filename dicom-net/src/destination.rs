//! A DICOM peer as a place where instances can be forwarded to.

use std::sync::Arc;

use dicom_store::model::{AeTitle, Error as StoreError, ErrorKind, Instance};
use dicom_store::{Peer, Session};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::{CpuPool, Delivery, Destination};

use crate::config::Config;
use crate::peers::Peers;
use crate::scu::{Errand, Outcome};

/// Outcomes that wait to be noted.
const OUTCOMES: usize = 64;

/// Sends by C-STORE, on associations of its own.
pub struct DimseDestination {
    name: String,
    ae_title: AeTitle,
    peers: Peers,
    pool: CpuPool,
    config: Arc<Config>,
}

impl DimseDestination {
    /// `pool`: where objects are decoded that the peer does not take as they are.
    pub fn new(ae_title: AeTitle, peers: Peers, pool: CpuPool, config: Arc<Config>) -> Self {
        Self { name: ae_title.to_string(), ae_title, peers, pool, config }
    }

    async fn deliver(&self, from: &Session, instances: &[Instance]) -> worker::Result<Delivery> {
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
            stop: CancellationToken::new(),
        };
        let note = async {
            let mut delivery = Delivery::default();
            while let Some((instance, outcome)) = heard.recv().await {
                match outcome {
                    Outcome::Completed | Outcome::Warning => delivery.delivered.push(instance),
                    Outcome::Failed(why) => delivery.failed.push((instance, why)),
                    Outcome::Refused(why) => delivery.refused.push((instance, why)),
                }
            }
            delivery
        };
        let (ended, delivery) = tokio::join!(errand.run(), note);
        match ended {
            Err(error) if delivery.delivered.is_empty() && delivery.refused.is_empty() => {
                let what = format!("nothing could be sent to {}", self.ae_title);
                Err(StoreError::new(ErrorKind::Unavailable, what).with_source(error).into())
            }
            _ => Ok(delivery),
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
    ) -> BoxFuture<'a, worker::Result<Delivery>> {
        self.deliver(from, instances).boxed()
    }
}
