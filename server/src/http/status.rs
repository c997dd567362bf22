//! `/api/v1/status`: what the viewer has to know before anything else.

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

#[derive(Clone, Serialize)]
struct Status {
    /// No sign-in: the viewer says so in a banner.
    open: bool,
    version: &'static str,
}

pub(super) fn routes(open: bool) -> Router {
    let status = Status { open, version: env!("CARGO_PKG_VERSION") };
    Router::new().route("/api/v1/status", get(move || async move { Json(status) }))
}
