//! The one table from [`ErrorKind`] to HTTP status (PS3.18 §8.5), and the Status Report that a refusal carries: a problem
//! of RFC 9457.
//!
//! The client hears what went wrong when it can do something about it (4xx). Otherwise it hears a sentence and an id;
//! the log has the rest under the same id. No patient data is in either.

use std::hash::{BuildHasher, Hasher, RandomState};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use dicom_store::{Error, ErrorKind};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use worker::pixel;
use worker::pool::Panicked;

use crate::accept::Refusal;
use crate::base_url::BaseUrl;

/// Seconds after which a busy server is worth another try.
const RETRY_SECONDS: &str = "5";

/// A refusal or failure as the client hears it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) what: String,
    /// Whether it is about stored pixels, which no other request can have otherwise.
    pub(crate) is_of_pixels: bool,
    field: Option<(HeaderName, HeaderValue)>,
}

/// Media type of a refusal.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Status Report (PS3.18 §8.5). Its type is `about:blank`, which is not said.
#[derive(Serialize)]
struct Report<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// The status of each kind of error.
pub(crate) fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Exhausted | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status of what can go wrong with pixels. Stored pixels that cannot be decoded are no fault of the request, and
/// nothing to wake anybody for: the client hears what is wrong with them.
fn pixel_status(kind: pixel::ErrorKind) -> StatusCode {
    match kind {
        pixel::ErrorKind::NotAnImage | pixel::ErrorKind::Unsupported => StatusCode::NOT_ACCEPTABLE,
        pixel::ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        pixel::ErrorKind::Presentation => StatusCode::BAD_REQUEST,
        pixel::ErrorKind::Invalid | pixel::ErrorKind::Corrupt | pixel::ErrorKind::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl Problem {
    pub(crate) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self { status, what: what.into(), is_of_pixels: false, field: None }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    pub(crate) fn not_acceptable(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, what)
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what)
    }

    /// 415 for a body that is compressed (RFC 9110 §8.4, §12.5.3).
    pub(crate) fn encoded() -> Self {
        let mut problem = Self::unsupported("the body has a content coding; it is taken as it is alone");
        problem.field = Some((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        problem
    }

    pub(crate) fn forbidden(what: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, what)
    }

    pub(crate) fn too_large(what: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, what)
    }

    /// 401 with the challenge that RFC 9110 asks for.
    pub(crate) fn unauthenticated() -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, "sign in first");
        problem.field = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"filmless\"")));
        problem
    }

    /// A failure on our side: the log hears it whole, the client an id to ask about.
    fn internal(status: StatusCode, error: &dyn std::error::Error) -> Self {
        let id = format!("{:016x}", RandomState::new().build_hasher().finish());
        let is_unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
        if is_unavailable {
            // It passes by itself, and whatever is gone tells of it where it is missed.
            tracing::warn!(request = %id, error = %Chain(error), "request turned away for now");
        } else {
            tracing::error!(request = %id, error = %Chain(error), "request failed");
        }
        let what = if is_unavailable {
            "the archive cannot do this just now: something that it needs is gone, full or too busy; try again"
        } else {
            "the server could not answer"
        };
        let mut problem = Self::new(status, format!("{what}; the log names the cause at {id}"));
        if is_unavailable {
            problem.field = Some((RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS)));
        }
        problem
    }
}

/// Says something beside an answer (PS3.18 §8.4.4). `agent`: who says it, the URL of the service.
pub(crate) fn warn(response: &mut Response, agent: &BaseUrl, text: &str) {
    // What a header field has no place for may come from a name in the request.
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    let said: String = text.chars().map(|c| if is_plain(c) { c } else { '?' }).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("299 {agent}: {said}")) {
        response.headers_mut().append(WARNING, value);
    }
}

/// An error and all its sources on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = status(error.kind);
        if status.is_server_error() { Self::internal(status, &error) } else { Self::new(status, error.what) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Mixed(..) => Self::invalid(refusal.to_string()),
            Refusal::Absent | Refusal::NotAcceptable(_) => Self::not_acceptable(refusal.to_string()),
        }
    }
}

impl From<pixel::Error> for Problem {
    fn from(error: pixel::Error) -> Self {
        let is_of_pixels = error.kind != pixel::ErrorKind::Presentation;
        Self { is_of_pixels, ..Self::new(pixel_status(error.kind), error.what) }
    }
}

impl From<worker::Error> for Problem {
    fn from(error: worker::Error) -> Self {
        match error {
            worker::Error::Store(error) => error.into(),
            worker::Error::Pixel(error) => error.into(),
            worker::Error::Remote(what) => Self::new(StatusCode::BAD_GATEWAY, what),
            error => Self::internal(StatusCode::INTERNAL_SERVER_ERROR, &error),
        }
    }
}

impl From<Panicked> for Problem {
    fn from(error: Panicked) -> Self {
        Self { is_of_pixels: true, ..Self::internal(StatusCode::INTERNAL_SERVER_ERROR, &error) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        let report = Report { title, status: self.status.as_u16(), detail: &self.what };
        let body = serde_json::to_vec(&report).expect("a number and texts are always JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some((name, value)) = self.field {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
