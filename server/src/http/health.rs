//! `/health/live` and `/health/ready`, for whoever watches over the server.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use dicom_store::Archive;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct Ready {
    archive: Archive,
    stop: CancellationToken,
}

pub(super) fn routes(archive: &Archive, stop: &CancellationToken) -> Router {
    let ready = Ready { archive: archive.clone(), stop: stop.clone() };
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(is_ready))
        .with_state(ready)
}

/// Ready when images can be taken, found and given; else a line for each thing that is in the way.
async fn is_ready(State(Ready { archive, stop }): State<Ready>) -> (StatusCode, String) {
    if stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let troubles = archive.troubles().await;
    if troubles.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    // What caused them is in the log.
    let lines = troubles.iter().map(|trouble| format!("{trouble}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}
