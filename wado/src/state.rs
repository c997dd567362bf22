//! What every handler has at hand.

use std::sync::Arc;

use dicom_store::{Archive, Session};
use http::request::Parts;
use tokio::sync::Semaphore;
use worker::pool::CpuPool;

use crate::auth;
use crate::config::Config;
use crate::renditions::Renditions;
use crate::store::holding::Holding;

/// WebSockets that are open at the same time.
const MOST_LISTENERS: usize = 256;

/// Shared by all requests of all routers; cheap to clone.
#[derive(Clone)]
pub struct Web {
    pub(crate) archive: Archive,
    pub(crate) pool: CpuPool,
    pub(crate) config: Arc<Config>,
    /// Images that were made lately.
    pub(crate) renditions: Arc<Renditions>,
    /// Memory for metadata and bulk data that are stored in parts of their own.
    pub(crate) holding: Holding,
    /// A place for each that listens to what becomes of workitems.
    pub(crate) listeners: Arc<Semaphore>,
}

impl Web {
    /// The services over this archive; images are computed in this pool.
    pub fn new(archive: Archive, pool: CpuPool, config: Config) -> Self {
        let renditions = Arc::new(Renditions::new(config.rendered_cache_mib.saturating_mul(1 << 20)));
        Self {
            archive,
            pool,
            config: Arc::new(config),
            renditions,
            holding: Holding::default(),
            listeners: Arc::new(Semaphore::new(MOST_LISTENERS)),
        }
    }

    /// A session of the caller of this request.
    pub(crate) fn session(&self, parts: &Parts) -> Session {
        self.archive.acting_as(auth::caller(parts, &self.config))
    }
}
