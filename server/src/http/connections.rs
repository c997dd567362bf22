//! Connections: bounded in number, with limits on how long a client may keep one waiting.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request as HttpRequest;
use axum::response::Response;
use dicom_store::Pressure;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _, service_fn};
use tracing::{debug, warn};

use crate::config::Http;

use super::patient::{Patient, Stall};
use super::streams::Streams;

/// A client that sends the head of its request slower than this is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames of one page that may be under way on one connection (HTTP/2).
const MAX_STREAMS: u32 = 256;
const WINDOW: u32 = 1 << 20;

/// Accepts until `stop`, then waits for the requests under way. Dropped before, it cuts them off.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    config: Http,
    pressure: Pressure,
    stop: CancellationToken,
) {
    let builder = builder();
    let places = Arc::new(Semaphore::new(config.max_connections.max(1)));
    let stall = Stall { usual: config.stall(), pressure };
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let streams = Streams::default();
        let service = TowerToHyperService::new(watched(&routes, &streams));
        let stream = TokioIo::new(Patient::new(stream, stall.clone()));
        let connection = builder.serve_connection_with_upgrades(stream, service).into_owned();
        let (connection, stall) = (graceful.watch(connection), stall.clone());
        connections.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    debug!(%error, "http: a connection ended early");
                },
                () = streams.stuck(&stall) => {
                    debug!("http: a connection ended, the client takes nothing of an answer on it");
                }
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

/// The routes with an eye on the answers of one connection.
fn watched(
    routes: &Router,
    streams: &Streams,
) -> impl Service<HttpRequest<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ use<> {
    let (routes, streams) = (routes.clone(), streams.clone());
    service_fn(move |request: HttpRequest<Incoming>| {
        let (routes, streams) = (routes.clone(), streams.clone());
        async move { Ok(streams.watch(routes.oneshot(request.map(Body::new)).await?)) }
    })
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW);
    builder
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "http: no TCP_NODELAY");
                }
                return (stream, place);
            }
            Err(error) => {
                // Out of file descriptors, mostly: it passes when somebody leaves.
                warn!(%error, "http: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// A server whose only page says that it is asked, and never answers.
    async fn silent(
        places: usize,
        stop: &CancellationToken,
    ) -> (std::net::SocketAddr, mpsc::Receiver<()>, AbortOnDropHandle<()>) {
        let (asked, is_asked) = mpsc::channel(8);
        let page = get(async move || {
            asked.send(()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Http { max_connections: places, ..Http::default() };
        let serving =
            serve(listener, Router::new().route("/", page), config, Pressure::default(), stop.clone());
        (address, is_asked, AbortOnDropHandle::new(tokio::spawn(serving)))
    }

    async fn ask(server: std::net::SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_server_that_is_cut_off_cuts_off_its_connections() {
        let (server, mut is_asked, serving) = silent(8, &CancellationToken::new()).await;
        let mut stream = ask(server).await;
        is_asked.recv().await.unwrap();
        drop(serving);
        assert!(matches!(stream.read(&mut [0; 10]).await, Ok(0) | Err(_)), "the connection is closed");
    }

    #[tokio::test]
    async fn a_full_server_hears_that_it_is_to_stop() {
        let stop = CancellationToken::new();
        let (server, mut is_asked, _serving) = silent(1, &stop).await;
        let _first = ask(server).await;
        is_asked.recv().await.unwrap();
        stop.cancel();
        // Refused as soon as nobody listens any more; until then the system takes connections on its own.
        tokio::time::timeout(Duration::from_secs(20), async {
            while TcpStream::connect(server).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("it still listens");
    }
}
