//! The answers of a connection: what a client asks for and does not let come ends the connection.
//!
//! A client may read a byte now and then, and over HTTP/2 each stream has a window of its own (RFC 9113 §5.2), so that
//! the connection goes on and an answer does not. What it holds cannot be had back but with the connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use super::patient::Stall;

/// Bytes of a frame at the most: so often it shows that a stream goes on.
const SLICE: usize = 64 << 10;

/// The bodies under way on one connection, each with the time since when nobody has asked for more of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    next: u64,
    waiting: Vec<(u64, Instant)>,
    /// Requests that are not answered to their end, and when that last changed.
    under_way: usize,
    changed: Instant,
}

impl Default for Table {
    fn default() -> Self {
        Self { next: 0, waiting: Vec::new(), under_way: 0, changed: Instant::now() }
    }
}

/// A request that is not answered to its end.
pub(super) struct UnderWay(Streams);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.count(|under_way| under_way.saturating_sub(1));
    }
}

impl Streams {
    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is whole after every statement; a panic elsewhere cannot have broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut table = self.table();
        table.under_way = change(table.under_way);
        table.changed = Instant::now();
    }

    /// A request has come.
    pub(super) fn begin(&self) -> UnderWay {
        self.count(|under_way| under_way.saturating_add(1));
        UnderWay(self.clone())
    }

    /// Waits until nothing has been asked for so long.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let left = {
                let table = self.table();
                if table.under_way > 0 { limit } else { limit.saturating_sub(table.changed.elapsed()) }
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Sees to the body of an answer.
    pub(super) fn watch(&self, response: Response, under_way: UnderWay) -> Response {
        let number = {
            let mut table = self.table();
            table.next += 1;
            table.next
        };
        let streams = self.clone();
        response.map(|body| {
            let rest = Bytes::new();
            Body::new(Watched { body, has_begun: false, rest, streams, number, _under_way: under_way })
        })
    }

    /// Waits until one of them has waited for too long.
    pub(super) async fn stuck(&self, stall: &Stall) {
        let is_over = || self.table().waiting.iter().any(|(_, since)| stall.is_over(*since));
        while !is_over() {
            tokio::time::sleep(stall.look()).await;
        }
    }

    fn gave(&self, number: u64) {
        self.table().waiting.push((number, Instant::now()));
    }

    fn is_asked(&self, number: u64) {
        self.table().waiting.retain(|(waiting, _)| *waiting != number);
    }
}

/// A body in small frames. Once it has begun it does not say beforehand that it ends, so that its end is asked for:
/// that is when all of it has a place in the window of its stream.
struct Watched {
    body: Body,
    has_begun: bool,
    /// Of the frame before, what was not given yet.
    rest: Bytes,
    streams: Streams,
    number: u64,
    _under_way: UnderWay,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        this.has_begun = true;
        this.streams.is_asked(this.number);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let slice = this.rest.split_to(this.rest.len().min(SLICE));
        this.streams.gave(this.number);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        !self.has_begun && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(rest)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.streams.is_asked(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dicom_store::Pressure;
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_that_nobody_asks_for_any_more_is_stuck_until_it_is_dropped() {
        let streams = Streams::default();
        let response = streams.watch(Response::new(Body::from(vec![7; 2 * SLICE])), streams.begin());
        let mut body = response.into_body().into_data_stream();
        let is_stuck = |streams: &Streams| streams.table().waiting.len();
        assert_eq!(is_stuck(&streams), 0, "nothing was given yet");
        assert_eq!(body.next().await.unwrap().unwrap().len(), SLICE);
        assert_eq!(is_stuck(&streams), 1);
        streams.stuck(&Stall { usual: Duration::ZERO, pressure: Pressure::default() }).await;
        drop(body);
        assert_eq!(is_stuck(&streams), 0);
    }

    #[tokio::test]
    async fn a_body_is_given_whole() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * SLICE + 5).collect();
        let streams = Streams::default();
        let response = streams.watch(Response::new(Body::from(bytes.clone())), streams.begin());
        assert_eq!(HttpBody::size_hint(response.body()).exact(), Some(bytes.len() as u64));
        let read = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(read == bytes);
    }

    #[tokio::test]
    async fn a_connection_is_idle_when_nothing_is_asked_for_and_not_before() {
        let streams = Streams::default();
        let under_way = streams.begin();
        let response = streams.watch(Response::new(Body::from("a")), under_way);
        let limit = Duration::from_millis(20);
        assert!(
            tokio::time::timeout(10 * limit, streams.idle(limit)).await.is_err(),
            "an answer is under way"
        );
        drop(response);
        streams.idle(limit).await;
    }
}
