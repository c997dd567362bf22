//! `/health/live` and `/health/ready`, for whoever watches over the server.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use dicom_store::{Archive, Work};
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct Ready {
    work: Work,
    stop: CancellationToken,
}

pub(super) fn routes(archive: &Archive, stop: &CancellationToken) -> Router {
    let ready = Ready { work: archive.work(), stop: stop.clone() };
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(is_ready))
        .with_state(ready)
}

/// Ready when the index answers and the server is not stopping.
async fn is_ready(State(Ready { work, stop }): State<Ready>) -> (StatusCode, &'static str) {
    if stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match work.queue_depth().await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the index does not answer\n"),
    }
}
