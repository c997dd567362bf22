//! What peers do for us, as the rest of the server asks for it.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::Peer;
use dicom_store::model::{AeTitle, Error as StoreError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use worker::Remotes;

use crate::config::Config;
use crate::peers::Peers;
use crate::scu::echo;

/// The peers of DIMSE.
pub struct DimseRemotes {
    peers: Peers,
    config: Arc<Config>,
}

impl DimseRemotes {
    pub(crate) fn new(peers: Peers, config: Arc<Config>) -> Self {
        Self { peers, config }
    }

    async fn peer(&self, ae_title: &AeTitle) -> worker::Result<Arc<Peer>> {
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

    fn echo<'a>(&'a self, ae_title: &'a AeTitle) -> BoxFuture<'a, worker::Result<Duration>> {
        async move {
            let peer = self.peer(ae_title).await?;
            echo(&self.config, &peer).await.map_err(|error| remote(&peer, &error))
        }
        .boxed()
    }
}
