//! Who makes a request, and the answer to somebody who would have to sign in first.
//!
//! What a caller may do is decided by the archive's session; here it is only said who it is.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dicom_store::{Caller, Subject};
use http::request::Parts;

use crate::config::Config;
use crate::error::Problem;
use crate::state::Web;

/// The caller of a request.
pub(crate) fn caller(parts: &Parts, config: &Config) -> Caller {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    Caller::Web { subject: subject(config), address: peer.map(|ConnectInfo(address)| address.ip()) }
}

/// Has whoever is not signed in do so before anything of the request is looked at: 401 with a challenge (PS3.18 §8.5).
pub(crate) async fn challenge(State(web): State<Web>, request: Request, next: Next) -> Response {
    match subject(&web.config) {
        Subject::Anonymous => Problem::unauthenticated().into_response(),
        _ => next.run(request).await,
    }
}

fn subject(config: &Config) -> Subject {
    if config.open { Subject::Open } else { Subject::Anonymous }
}
