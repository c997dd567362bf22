//! Bodies that are made while they are sent.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE};

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
}

impl Part {
    /// A part that is in memory.
    pub(super) fn of(bytes: Bytes, content_type: String, location: String) -> Self {
        let length = u64::try_from(bytes.len()).ok();
        Self { content_type, location, length, chunks: stream::iter([Ok(bytes)]).boxed() }
    }

    /// The same with its first bytes read already, so that their failure has a status.
    pub(super) async fn begun(mut self) -> Result<Self, Problem> {
        let first = self.chunks.try_next().await?;
        self.chunks = stream::iter(first.map(Ok)).chain(self.chunks).boxed();
        Ok(self)
    }

    /// The answer that is this item alone.
    pub(super) fn into_single(self) -> Result<Response, Problem> {
        let mut response = Response::new(Body::from_stream(self.chunks));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, field(&self.content_type)?);
        headers.insert(CONTENT_LOCATION, field(&self.location)?);
        if let Some(length) = self.length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(response)
    }
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
