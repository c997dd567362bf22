//! Peers as tests want them.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::model::{AeTitle, Attributes, StudyInstanceUid};
use dicom_store::{Peer, Session};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Fetched, Found, Remotes};
use crate::{Destination, Error, Result};

type Search = Box<dyn Fn(&Attributes) -> Result<Found> + Send + Sync>;
type Fetch = Box<dyn Fn(&StudyInstanceUid) -> BoxFuture<'static, Result<Fetched>> + Send + Sync>;

/// Peers that all do the same.
pub(crate) struct FakeRemotes {
    pub(crate) search: Search,
    pub(crate) fetch: Fetch,
    pub(crate) place: Option<Arc<dyn Destination>>,
    pub(crate) answers_echo: bool,
}

fn no_answer() -> Error {
    Error::Remote("no answer".to_owned())
}

impl Default for FakeRemotes {
    fn default() -> Self {
        let search: Search = Box::new(|_| Err(no_answer()));
        let fetch: Fetch = Box::new(|_| async { Err(no_answer()) }.boxed());
        Self { search, fetch, place: None, answers_echo: true }
    }
}

impl Remotes for FakeRemotes {
    fn fixed(&self) -> Vec<Peer> {
        Vec::new()
    }

    fn peer<'a>(&'a self, _: &'a AeTitle) -> BoxFuture<'a, Option<Arc<Peer>>> {
        async { None }.boxed()
    }

    fn echo<'a>(&'a self, _: &'a AeTitle) -> BoxFuture<'a, Result<Duration>> {
        async { if self.answers_echo { Ok(Duration::ZERO) } else { Err(no_answer()) } }.boxed()
    }

    fn search<'a>(&'a self, _: &'a AeTitle, keys: &'a Attributes, _: usize) -> BoxFuture<'a, Result<Found>> {
        async { (self.search)(keys) }.boxed()
    }

    fn fetch<'a>(
        &'a self,
        _: &'a AeTitle,
        study: &'a StudyInstanceUid,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Fetched>> {
        (self.fetch)(study)
    }

    fn destination<'a>(&'a self, _: &'a AeTitle) -> BoxFuture<'a, Option<Arc<dyn Destination>>> {
        async { self.place.clone() }.boxed()
    }

    fn notify<'a>(
        &'a self,
        _: &'a AeTitle,
        _: &'a Session,
        _: &'a StudyInstanceUid,
    ) -> BoxFuture<'a, Result<()>> {
        async { Err(no_answer()) }.boxed()
    }
}
