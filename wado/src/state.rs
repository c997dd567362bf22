//! What every handler has at hand.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use dicom_store::{Archive, Session};
use http::request::Parts;
use worker::pool::CpuPool;

use crate::auth;
use crate::config::Config;
use crate::error::Problem;

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) archive: Archive,
    pub(crate) pool: CpuPool,
    pub(crate) config: Arc<Config>,
}

/// A session of the caller of this request.
pub(crate) struct CallerSession(pub(crate) Session);

impl FromRequestParts<Web> for CallerSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        Ok(Self(web.archive.acting_as(auth::caller(parts, &web.config))))
    }
}
