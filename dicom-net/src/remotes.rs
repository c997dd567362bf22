//! What peers do for us, as the rest of the server asks for it.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::model::{AeTitle, Attributes, Error as StoreError, Resource, StudyInstanceUid};
use dicom_store::{Archive, Caller, Peer, Session, Work};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use worker::remote::{Fetched, Found};
use worker::{CpuPool, Destination, Remotes};

use crate::config::Config;
use crate::destination::DimseDestination;
use crate::dimse::Status;
use crate::fetch::Fetch;
use crate::peers::Peers;
use crate::scu::{self, Available, echo, find, notify};

/// The peers of DIMSE.
pub struct DimseRemotes {
    peers: Peers,
    /// Keeps what is fetched.
    session: Session,
    pool: CpuPool,
    config: Arc<Config>,
    work: Work,
}

impl DimseRemotes {
    pub(crate) fn new(peers: Peers, archive: &Archive, pool: CpuPool, config: Arc<Config>) -> Self {
        let session = archive.acting_as(Caller::System("retrieve"));
        Self { peers, session, pool, config, work: archive.work() }
    }

    async fn known(&self, ae_title: &AeTitle) -> worker::Result<Arc<Peer>> {
        let peer = self.peers.get(ae_title).await;
        peer.ok_or_else(|| StoreError::not_found(format!("there is no peer {ae_title}")).into())
    }
}

fn remote(peer: &Peer, error: &crate::Error) -> worker::Error {
    worker::Error::Remote(format!("{peer}: {error}"))
}

impl Remotes for DimseRemotes {
    fn fixed(&self) -> Vec<Peer> {
        self.peers.fixed()
    }

    fn peer<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, Option<Arc<Peer>>> {
        self.peers.get(ae_title).boxed()
    }

    fn echo<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, worker::Result<Duration>> {
        async move {
            let peer = self.known(ae_title).await?;
            echo(&self.config, &peer).await.map_err(|error| remote(&peer, &error))
        }
        .boxed()
    }

    fn search<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        keys: &'a Attributes,
        most: usize,
    ) -> BoxFuture<'a, worker::Result<Found>> {
        async move {
            let peer = self.known(ae_title).await?;
            let found = async {
                let _place = self.peers.lane(&peer).enter(self.config.response()).await?;
                find(&self.config, &peer, keys, most).await
            };
            let scu::Found { rows, is_all } = found.await.map_err(|error| remote(&peer, &error))?;
            Ok(Found { rows, is_all })
        }
        .boxed()
    }

    fn fetch<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        study: &'a StudyInstanceUid,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, worker::Result<Fetched>> {
        async move {
            let peer = self.known(ae_title).await?;
            let (config, peers, session) = (&*self.config, &self.peers, &self.session);
            let fetch = Fetch { config, peers, peer: Arc::clone(&peer), session, stop };
            fetch.study(study).await.map_err(|error| remote(&peer, &error))
        }
        .boxed()
    }

    fn destination<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, Option<Arc<dyn Destination>>> {
        async move {
            let peer = self.peers.destination(ae_title).await?;
            let (peers, pool) = (self.peers.clone(), self.pool.clone());
            let (config, work) = (Arc::clone(&self.config), self.work.clone());
            let destination = DimseDestination::new(&peer, peers, pool, config, work);
            Some(Arc::new(destination) as Arc<dyn Destination>)
        }
        .boxed()
    }

    fn notify<'a>(
        &'a self,
        ae_title: &'a AeTitle,
        from: &'a Session,
        study: &'a StudyInstanceUid,
    ) -> BoxFuture<'a, worker::Result<()>> {
        async move {
            let peer = self.known(ae_title).await?;
            let instances = from.instances(&Resource::Study(study.clone())).await?;
            let steps = from.performed_steps_of(study).await?;
            let available = Available { study, instances: &instances, steps: &steps };
            let told = async {
                let _place = self.peers.lane(&peer).enter(self.config.response()).await?;
                notify(&self.config, &peer, &available).await
            };
            let status = told.await.map_err(|error| remote(&peer, &error))?;
            if status == Status::SUCCESS || status.is_warning() {
                return Ok(());
            }
            Err(worker::Error::Remote(format!("{peer} answered a notification with {status}")))
        }
        .boxed()
    }
}
