//! The web side as a whole: who is routed where, and the connections.

mod body;
mod connections;
mod health;
mod host;
mod patient;
mod slash;
mod streams;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use dicom_store::Archive;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use worker::{CpuPool, Exchange};

use crate::config::Config;

pub(crate) use connections::{Listening, serve};
pub(crate) use tls::Tls;
pub use tls::TlsFiles;

/// Operator's pages, DICOMweb, the viewer.
pub(crate) fn routes(
    config: &Arc<Config>,
    archive: &Archive,
    pool: &CpuPool,
    exchange: Exchange,
    stop: &CancellationToken,
) -> Router {
    let web = wado::Web::new(archive.clone(), pool.clone(), config.web.clone());
    let dicomweb = wado::router(web.clone());
    let pages = Router::new()
        .nest(wado::PATH, dicomweb)
        .merge(wado::api_router(web.clone(), about(config), exchange))
        .merge(wado::uri_router(web));
    let pages = if config.open {
        pages.merge(viewer::router())
    } else {
        // DICOMweb says 401 by itself, in its own words.
        pages.fallback(sign_in_first).layer(from_fn(body::refuse_unread))
    };
    let all = pages
        .merge(health::routes(archive, stop))
        .layer(from_fn_with_state(config.http.stall(), body::keep_coming));
    let all = if config.open { all.layer(from_fn(host::this_machine_only)) } else { all };
    // Routes are looked for behind a layer, so that the whole is what a layer stands before.
    Router::new()
        .fallback_service(all.map_request(slash::without))
        .layer(from_fn(host::one))
        .layer(from_fn(guard))
}

fn about(config: &Config) -> wado::About {
    wado::About {
        version: env!("CARGO_PKG_VERSION"),
        ae_title: config.dimse.ae_title.to_string(),
        max_instance_bytes: config.store.max_instance_mib.saturating_mul(1 << 20),
    }
}

async fn sign_in_first() -> Response {
    let text = "nobody is signed in, and accounts are not part of this version; for a trial on this machine start filmless serve --open\n";
    let mut response = (StatusCode::UNAUTHORIZED, text).into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"filmless\""));
    response
}

/// What every answer has to carry.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    response
}
