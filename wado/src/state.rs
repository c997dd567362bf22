//! What every handler has at hand.

use std::sync::Arc;

use dicom_store::{Archive, Session};
use http::request::Parts;
use worker::pool::CpuPool;

use crate::auth;
use crate::config::Config;
use crate::renditions::Renditions;
use crate::store::holding::Holding;

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) archive: Archive,
    pub(crate) pool: CpuPool,
    pub(crate) config: Arc<Config>,
    /// Images that were made lately.
    pub(crate) renditions: Arc<Renditions>,
    /// Memory for metadata and bulk data that are stored in parts of their own.
    pub(crate) holding: Holding,
}

impl Web {
    pub(crate) fn new(archive: Archive, pool: CpuPool, config: Config) -> Self {
        let renditions = Arc::new(Renditions::new(config.rendered_cache_mib.saturating_mul(1 << 20)));
        Self { archive, pool, config: Arc::new(config), renditions, holding: Holding::default() }
    }

    /// A session of the caller of this request.
    pub(crate) fn session(&self, parts: &Parts) -> Session {
        self.archive.acting_as(auth::caller(parts, &self.config))
    }
}
