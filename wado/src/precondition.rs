//! `If-Match` (RFC 9110 §13.1.1): what is retrieved is what the client means, or 412.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderValue, Method, StatusCode};

use crate::error::Problem;

/// Looks at the answers that have an ETag. One that is weak is never the one that is meant: its bytes may be others.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let is_retrieval = request.method() == Method::GET || request.method() == Method::HEAD;
    let meant: Vec<HeaderValue> = request.headers().get_all(IF_MATCH).iter().cloned().collect();
    let response = next.run(request).await;
    let is_had = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    match response.headers().get(ETAG) {
        Some(tag) if is_retrieval && is_had && !meant.is_empty() && !is_met(&meant, tag) => {
            let what =
                "the answer is another one than If-Match means, or one whose bytes are not always the same";
            Problem::new(StatusCode::PRECONDITION_FAILED, what).into_response()
        }
        _ => response,
    }
}

fn is_met(meant: &[HeaderValue], tag: &HeaderValue) -> bool {
    let tag = tag.to_str().unwrap_or_default();
    let lists = meant.iter().filter_map(|list| list.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one == tag && !tag.starts_with("W/"))
}
