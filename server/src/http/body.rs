//! Bodies of requests: none is waited for without end, and none is read of somebody who is not let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt as _, stream};

use super::sign_in_first;

/// Ends a request whose body does not go on for `stall` while it is waited for: 408 (RFC 9110 §15.5.9).
pub(super) async fn keep_coming(State(stall): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let version = request.version();
    let has_stalled = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| Body::from_stream(timed(body, stall, has_stalled.clone())));
    let mut response = next.run(request).await;
    // Whoever read it says what became of what came before, but takes it for the client's hanging up.
    if has_stalled.load(Ordering::Relaxed) && !response.status().is_success() {
        *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
        close(&mut response, version);
    }
    response
}

fn timed(
    body: Body,
    stall: Duration,
    has_stalled: Arc<AtomicBool>,
) -> impl Stream<Item = Result<Bytes, BoxError>> {
    let chunks = stream::unfold(Some(body.into_data_stream()), move |chunks| {
        let has_stalled = has_stalled.clone();
        async move {
            let mut chunks = chunks?;
            match tokio::time::timeout(stall, chunks.next()).await {
                Ok(chunk) => chunk.map(|chunk| (chunk.map_err(BoxError::from), Some(chunks))),
                Err(_) => {
                    has_stalled.store(true, Ordering::Relaxed);
                    let what = format!("nothing of the body came within {} s", stall.as_secs());
                    Some((Err(what.into()), None))
                }
            }
        }
    });
    // Whoever throws away the rest of a body asks again behind its end.
    chunks.fuse()
}

/// Without accounts nobody is let in, so that nothing that somebody sends is looked at.
pub(super) async fn refuse_unread(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let mut response = sign_in_first().await;
    close(&mut response, request.version());
    response
}

/// The rest of the body still lies in the connection; HTTP/2 ends the stream by itself.
fn close(response: &mut Response, version: Version) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::{from_fn, from_fn_with_state};
    use axum::routing::post;
    use tower::ServiceExt as _;

    use super::*;

    const STALL: Duration = Duration::from_millis(50);

    /// Two chunks, then silence.
    fn silent() -> Request {
        let chunks =
            stream::iter([Ok::<_, BoxError>(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"c"))]);
        Request::post("/").body(Body::from_stream(chunks.chain(stream::pending()))).unwrap()
    }

    async fn read(body: Body) -> Result<String, StatusCode> {
        let bytes = axum::body::to_bytes(body, 1024).await.map_err(|_| StatusCode::BAD_REQUEST)?;
        Ok(bytes.len().to_string())
    }

    #[tokio::test]
    async fn a_body_that_stops_coming_ends_with_408() {
        let routes = Router::new().route("/", post(read)).layer(from_fn_with_state(STALL, keep_coming));
        let response = routes.oneshot(silent()).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(response.headers().get(header::CONNECTION).unwrap(), "close");
    }

    #[tokio::test]
    async fn a_body_that_comes_is_handed_on_whole() {
        let routes = Router::new().route("/", post(read)).layer(from_fn_with_state(STALL, keep_coming));
        let request = Request::post("/").body(Body::from("abc")).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(axum::body::to_bytes(response.into_body(), 10).await.unwrap(), "3");
    }

    #[tokio::test]
    async fn who_is_not_let_in_hears_it_before_the_body_is_read() {
        let routes = Router::new().route("/", post(read)).layer(from_fn(refuse_unread));
        let body =
            Body::from_stream(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, BoxError>>> {
                unreachable!("the body is read")
            }));
        let response = routes.oneshot(Request::post("/").body(body).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers().get(header::CONNECTION).unwrap(), "close");
    }

    #[tokio::test]
    async fn a_body_that_has_ended_has_ended_for_whoever_asks_again() {
        let body = Body::from("abc");
        let mut chunks = Box::pin(timed(body, Duration::from_secs(10), Arc::default()));
        assert_eq!(chunks.next().await.unwrap().unwrap(), "abc");
        assert!(chunks.next().await.is_none());
        assert!(chunks.next().await.is_none());
    }
}
