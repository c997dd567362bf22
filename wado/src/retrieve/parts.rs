//! Bodies that are made while they are sent.

use std::ops::Range;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::range::{Asked, cut};
use super::validator::Validator;
use crate::error::Problem;
use crate::multipart::{Boundary, PartHead};

/// Bytes of one item. An error ends the answer: the connection is cut, so that nothing short passes for whole.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, Problem>>;

/// One item of an answer.
pub(super) struct Part {
    pub(super) content_type: String,
    /// URL of the item.
    pub(super) location: String,
    pub(super) length: Option<u64>,
    pub(super) chunks: Chunks,
    seek: Option<Seek>,
}

/// Reads a range of the item and nothing before it.
type Seek = Box<dyn FnOnce(Range<u64>) -> Chunks + Send>;

impl Part {
    pub(super) fn new(content_type: String, location: String, length: Option<u64>, chunks: Chunks) -> Self {
        Self { content_type, location, length, chunks, seek: None }
    }

    /// A part that is in memory.
    pub(super) fn of(bytes: Bytes, content_type: String, location: String) -> Self {
        let length = u64::try_from(bytes.len()).ok();
        Self::new(content_type, location, length, stream::iter([Ok(bytes)]).boxed())
    }

    /// The same, of which a range can be read by itself.
    pub(super) fn seekable(self, seek: impl FnOnce(Range<u64>) -> Chunks + Send + 'static) -> Self {
        Self { seek: Some(Box::new(seek)), ..self }
    }

    /// The same without what lies behind so many bytes.
    pub(super) fn shortened(self, most: u64) -> Self {
        let length = self.length.map(|length| length.min(most));
        Self { length, chunks: cut(self.chunks, 0..most), ..self }
    }

    /// The same with its first bytes read already, so that their failure has a status.
    pub(super) async fn begun(mut self) -> Result<Self, Problem> {
        let first = self.chunks.try_next().await?;
        self.chunks = stream::iter(first.map(Ok)).chain(self.chunks).boxed();
        Ok(self)
    }

    /// The answer that is this item alone, or the range of it that is asked for.
    pub(super) async fn into_single(
        mut self,
        asked: &HeaderMap,
        validator: &Validator,
    ) -> Result<Response, Problem> {
        let mut content_range = None;
        if let Some(length) = self.length {
            match Asked::read(asked, validator, length) {
                Asked::Whole => {}
                Asked::Beyond => return beyond(length),
                Asked::Part(range) => {
                    content_range = Some(format!("bytes {}-{}/{length}", range.start, range.end - 1));
                    self.length = Some(range.end - range.start);
                    self.chunks = match self.seek.take() {
                        Some(seek) => seek(range),
                        None => cut(self.chunks, range),
                    };
                }
            }
        }
        let part = self.begun().await?;
        let mut response = Response::new(Body::from_stream(part.chunks));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, field(&part.content_type)?);
        headers.insert(CONTENT_LOCATION, field(&part.location)?);
        if let Some(length) = part.length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if let Some(range) = content_range {
            headers.insert(CONTENT_RANGE, field(&range)?);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }
}

/// 416 (RFC 9110 §15.5.17).
fn beyond(length: u64) -> Result<Response, Problem> {
    let what = format!("the range begins behind the {length} bytes that there are");
    let mut response = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, what).into_response();
    response.headers_mut().insert(CONTENT_RANGE, field(&format!("bytes */{length}"))?);
    Ok(response)
}

/// The answer of one part for each item, made one after the other; `root` is the media type of all.
pub(super) fn multipart(
    root: &str,
    parts: impl stream::Stream<Item = Result<Part, Problem>> + Send + 'static,
) -> Response {
    let boundary = Boundary::new();
    let content_type = boundary.content_type(root);
    let close = boundary.close();
    let body = parts
        .enumerate()
        .map(move |(place, part)| -> Chunks {
            match part {
                Ok(part) => {
                    let head = boundary.open(&part.head(), place == 0);
                    stream::iter([Ok(head)]).chain(part.chunks).boxed()
                }
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        })
        .flatten()
        .chain(stream::iter([Ok(close)]));
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The answer of one part for each of some items at hand; it says its length when each item does.
pub(super) fn multipart_of(root: &str, parts: Vec<Part>) -> Response {
    let boundary = Boundary::new();
    let content_type = boundary.content_type(root);
    let close = boundary.close();
    let mut total = u64::try_from(close.len()).ok();
    let mut chunks = Vec::with_capacity(2 * parts.len() + 1);
    for (place, part) in parts.into_iter().enumerate() {
        let head = boundary.open(&part.head(), place == 0);
        let sizes = u64::try_from(head.len()).ok().zip(part.length);
        total = total.zip(sizes).map(|(total, (head, length))| total + head + length);
        chunks.push(stream::iter([Ok(head)]).boxed());
        chunks.push(part.chunks);
    }
    chunks.push(stream::iter([Ok(close)]).boxed());
    let mut response = Response::new(Body::from_stream(stream::iter(chunks).flatten()));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if let Some(total) = total {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(total));
    }
    response
}

impl Part {
    fn head(&self) -> PartHead<'_> {
        PartHead { content_type: &self.content_type, location: Some(&self.location), length: self.length }
    }
}

fn field(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text)
        .map_err(|_| Problem::invalid("the request names what cannot stand in a header field"))
}
