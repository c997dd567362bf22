//! Connections: bounded in number, with limits on how long a client may keep one waiting.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::uri::Scheme;
use axum::http::{Request as HttpRequest, StatusCode, header};
use axum::response::Response;
use dicom_store::Pressure;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _, service_fn};
use tracing::{debug, warn};

use crate::config::Http;

use super::patient::{Patient, Stall};
use super::streams::Streams;
use super::tls::Tls;

/// A client that sends the head of its request slower than this is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Frames of one page that may be under way on one connection (HTTP/2).
const MAX_STREAMS: u32 = 256;
const WINDOW: u32 = 1 << 20;
/// How often a client that is silent on HTTP/2 is asked whether it is there, and how long it may take to say so.
const ASK: Duration = Duration::from_secs(30);
/// A connection on which nothing is asked for so long is ended, so that it keeps no place from others.
const IDLE: Duration = Duration::from_secs(300);

/// What is listened on.
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    /// Clear text without.
    pub(crate) tls: Option<Tls>,
}

/// Accepts until `stop`, then waits for the requests under way. Dropped before, it cuts them off.
pub(crate) async fn serve(
    Listening { listener, tls }: Listening,
    routes: Router,
    config: Http,
    pressure: Pressure,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(config.max_connections.max(1)));
    let server = Arc::new(Server {
        builder: builder(),
        routes,
        tls,
        stall: Stall { usual: config.stall(), pressure },
        stop: stop.clone(),
    });
    let mut connections = JoinSet::new();
    loop {
        let (stream, client, place) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let server = server.clone();
        connections.spawn(async move {
            server.connection(stream, client).await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Who speaks, and how.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    /// Where it was let in.
    accepted: Option<SocketAddr>,
    scheme: Scheme,
}

/// What all connections share.
struct Server {
    builder: Builder<TokioExecutor>,
    routes: Router,
    tls: Option<Tls>,
    stall: Stall,
    stop: CancellationToken,
}

impl Server {
    async fn connection(&self, stream: TcpStream, address: SocketAddr) {
        let accepted = stream.local_addr().ok();
        let Some(tls) = &self.tls else {
            return self.speak(stream, Client { address, accepted, scheme: Scheme::HTTP }).await;
        };
        let agreed = tokio::select! {
            agreed = tls.accept(stream) => agreed,
            () = self.stop.cancelled() => return,
        };
        match agreed {
            // On the heap, as it is larger than one without TLS.
            Ok(stream) => {
                let client = Client { address, accepted, scheme: Scheme::HTTPS };
                Box::pin(self.speak(stream, client)).await;
            }
            Err(error) => debug!(%error, "http: no TLS with a client"),
        }
    }

    /// Answers until the client leaves, takes nothing of an answer, or asks for nothing; what is under way when the
    /// server is to stop is still answered.
    async fn speak<S>(&self, stream: S, client: Client)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let streams = Streams::default();
        let service = TowerToHyperService::new(watched(&self.routes, &streams, client));
        let stream = TokioIo::new(Patient::new(stream, self.stall.clone()));
        let connection = self.builder.serve_connection_with_upgrades(stream, service);
        tokio::pin!(connection);
        let mut is_ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "http: a connection ended early");
                    }
                    return;
                }
                () = streams.stuck(&self.stall) => {
                    debug!("http: a connection ended, the client takes nothing of an answer on it");
                    return;
                }
                () = self.stop.cancelled(), if !is_ending => {}
                () = streams.idle(IDLE), if !is_ending => {}
            }
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// The routes with an eye on the answers of one connection.
fn watched(
    routes: &Router,
    streams: &Streams,
    client: Client,
) -> impl Service<HttpRequest<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ use<> {
    let (routes, streams) = (routes.clone(), streams.clone());
    service_fn(move |mut request: HttpRequest<Incoming>| {
        let (routes, streams) = (routes.clone(), streams.clone());
        request.extensions_mut().insert(ConnectInfo(client.address));
        request.extensions_mut().insert(client.scheme.clone());
        if let Some(accepted) = client.accepted {
            request.extensions_mut().insert(wado::Accepted(accepted));
        }
        async move {
            let under_way = streams.begin();
            let mut response = routes.oneshot(request.map(Body::new)).await?;
            // There is no body to have a length (RFC 9110 §8.6). The router says one of all that is asked for by HEAD.
            if response.status() == StatusCode::NO_CONTENT {
                response.headers_mut().remove(header::CONTENT_LENGTH);
            }
            Ok(streams.watch(response, under_way))
        }
    })
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(ASK)
        .keep_alive_timeout(ASK)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW);
    builder
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "http: no TCP_NODELAY");
                }
                return (stream, client, place);
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
    use axum::routing::{MethodRouter, get};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// A server whose only page says that it is asked, and never answers.
    async fn silent(
        places: usize,
        stop: &CancellationToken,
    ) -> (SocketAddr, mpsc::Receiver<()>, AbortOnDropHandle<()>) {
        let (asked, is_asked) = mpsc::channel(8);
        let page = get(async move || {
            asked.send(()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let (address, serving) = serving(page, places, stop).await;
        (address, is_asked, serving)
    }

    async fn serving(
        page: MethodRouter,
        places: usize,
        stop: &CancellationToken,
    ) -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Http { max_connections: places, ..Http::default() };
        let listening = Listening { listener, tls: None };
        let serving =
            serve(listening, Router::new().route("/", page), config, Pressure::default(), stop.clone());
        (address, AbortOnDropHandle::new(tokio::spawn(serving)))
    }

    async fn ask(server: SocketAddr) -> TcpStream {
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
    async fn what_has_no_body_has_no_length_of_one() {
        let page = get(async || StatusCode::NO_CONTENT);
        let (server, _serving) = serving(page, 8, &CancellationToken::new()).await;
        for method in ["GET", "HEAD"] {
            let mut stream = TcpStream::connect(server).await.unwrap();
            let request = format!("{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 204"), "{method}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("content-length"), "{method}: {answer}");
        }
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
