//! Cross-origin requests of viewers that are hosted elsewhere (Fetch standard).
//!
//! A preflight is answered here, without authentication, and told from Retrieve Capabilities by its
//! `Access-Control-Request-Method`. Every other answer, refusals included, is marked for the origins of the settings. Where
//! these name any, every answer may be embedded.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::origin::Origin;
use crate::state::Web;

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
const REQUEST_FIELDS: &str =
    "accept, authorization, content-type, range, if-none-match, cache-control, x-requested-with";
const EXPOSED_FIELDS: &str = "content-location, content-range, accept-ranges, etag, location, warning, link, \
                              retry-after, www-authenticate";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Answers preflights and marks answers. Nothing is allowed to requests without `Origin` or from origins not listed.
pub(crate) async fn allow(State(web): State<Web>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight && origin.is_some() { preflight() } else { next.run(request).await };
    if !web.config.cors_origins.is_empty() {
        response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
        // Browsers do not say whose page it is that embeds an image, and take none without this where the page embeds only
        // what says that it may be (Fetch standard, Cross-Origin-Embedder-Policy).
        response.headers_mut().insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        if let Some(origin) = origin {
            mark(response.headers_mut(), &origin, &web.config.cors_origins);
        }
    }
    response
}

fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn mark(headers: &mut HeaderMap, origin: &HeaderValue, allowed: &[Origin]) {
    let is_listed = allowed.iter().any(|listed| listed.is(origin.as_bytes()));
    let is_open = allowed.iter().any(Origin::is_any);
    if !is_listed && !is_open {
        return;
    }
    if is_listed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_FIELDS));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_FIELDS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
}
