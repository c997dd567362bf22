//! What a handler leaves of the body of its request, as whoever refuses does.
//!
//! It is read before the answer goes out: a client that is still sending when the connection is closed may not hear the
//! answer. Where it is too much, the answer says that the connection is closed (RFC 9112 §9.6), so that nobody sends the
//! next request on it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::CONNECTION;
use http::{HeaderValue, Version};

/// Bytes that are read of what nobody wants.
const DRAINED: usize = 16 << 20;
/// Time for that.
const DRAINING: Duration = Duration::from_secs(1);

/// Reads what the handler has not read. When the client is still sending after a bounded part of it, the connection is
/// closed.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (version, left) = (request.version(), Left::default());
    let request = request
        .map(|body| Body::from_stream(Lent { body: Some(body.into_data_stream()), left: left.clone() }));
    let mut response = next.run(request).await;
    let is_read = match left.take() {
        Some(rest) => tokio::time::timeout(DRAINING, is_read(rest)).await.unwrap_or(false),
        None => true,
    };
    // HTTP/2 has no such field: there the stream is reset.
    if !is_read && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads to the end, unless that is too far.
async fn is_read(mut rest: BodyDataStream) -> bool {
    let mut read = 0;
    while let Some(Ok(chunk)) = rest.next().await {
        read += chunk.len();
        if read > DRAINED {
            return false;
        }
    }
    true
}

/// Where a body is found again when the handler is through with it.
#[derive(Clone, Default)]
struct Left(Arc<Mutex<Option<BodyDataStream>>>);

impl Left {
    fn take(&self) -> Option<BodyDataStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, rest: BodyDataStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }
}

/// A body as the handler has it.
struct Lent {
    /// None behind its end.
    body: Option<BodyDataStream>,
    left: Left,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let next = body.poll_next_unpin(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        next
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take() {
            self.left.put(rest);
        }
    }
}
