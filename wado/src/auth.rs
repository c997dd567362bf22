//! Who makes a request, and the answer to somebody who would have to sign in first.
//!
//! What a caller may do is decided by the archive's session; here it is only said who it is.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dicom_store::{Caller, Subject};
use http::StatusCode;
use http::header::CONNECTION;
use http::request::Parts;

use crate::config::Config;
use crate::error::Problem;
use crate::state::Web;

/// The caller of a request.
pub(crate) fn caller(parts: &Parts, config: &Config) -> Caller {
    let subject = if config.open { Subject::Open } else { Subject::Anonymous };
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    Caller::Web { subject, address: peer.map(|ConnectInfo(address)| address.ip()) }
}

/// Turns "may not" into "sign in" for callers who have not: 403 becomes 401 with a challenge (PS3.18 §8.5). Whether the
/// connection ends with the answer stays as it was said.
pub(crate) async fn challenge(State(web): State<Web>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() != StatusCode::FORBIDDEN || web.config.open {
        return response;
    }
    let mut challenge = Problem::unauthenticated().into_response();
    if let Some(connection) = response.headers_mut().remove(CONNECTION) {
        challenge.headers_mut().insert(CONNECTION, connection);
    }
    challenge
}
