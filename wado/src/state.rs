//! What every handler has at hand.

use std::sync::Arc;

use dicom_store::{Archive, Session};
use http::request::Parts;
use worker::pool::CpuPool;

use crate::auth;
use crate::config::Config;

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) archive: Archive,
    pub(crate) pool: CpuPool,
    pub(crate) config: Arc<Config>,
}

impl Web {
    pub(crate) fn new(archive: Archive, pool: CpuPool, config: Config) -> Self {
        Self { archive, pool, config: Arc::new(config) }
    }

    /// A session of the caller of this request.
    pub(crate) fn session(&self, parts: &Parts) -> Session {
        self.archive.acting_as(auth::caller(parts, &self.config))
    }
}
