//! A plain HTTP client: one connection a request, whole bodies in memory.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde_json::Value;
use tokio::{net::TcpStream, time};
use tokio_util::task::AbortOnDropHandle;

const LIMIT: Duration = Duration::from_secs(60);

/// The web side of a server.
pub struct Web {
    server: SocketAddr,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: String,
    pub body: Bytes,
    pub headers: hyper::HeaderMap,
}

impl Web {
    pub fn new(server: SocketAddr) -> Self {
        Self { server }
    }

    /// GET of a path with its query; an empty `accept` sends no such header.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Answer> {
        let mut request = Request::builder().method(Method::GET).uri(path);
        if !accept.is_empty() {
            request = request.header(ACCEPT, accept);
        }
        self.send(request.body(Full::default())?).await
    }

    /// QIDO-RS or metadata: a JSON array; none when the answer is 204 (PS3.18 §8.5).
    pub async fn json(&self, path: &str) -> Result<Vec<Value>> {
        let answer = self.get(path, "application/dicom+json").await?;
        if answer.status == StatusCode::NO_CONTENT {
            return Ok(Vec::new());
        }
        ensure!(answer.status == StatusCode::OK, "{path}: {answer:?}");
        serde_json::from_slice(&answer.body).with_context(|| format!("{path} gave no JSON array"))
    }

    /// STOW-RS of whole files (PS3.18 §10.5).
    pub async fn store(&self, path: &str, files: &[Bytes]) -> Result<Answer> {
        let boundary = "filmless-end-to-end";
        let mut body = Vec::new();
        for file in files {
            body.extend_from_slice(
                format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(file);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let content_type = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(CONTENT_TYPE, content_type)
            .header(ACCEPT, "application/dicom+json");
        self.send(request.body(Full::from(body))?).await
    }

    /// POST of a body as it is; what is answered is the test's to judge.
    pub async fn post(&self, path: &str, content_type: &str, body: Bytes) -> Result<Answer> {
        let request = Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, content_type);
        self.send(request.header(ACCEPT, "*/*").body(Full::from(body))?).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(Request::builder().method(Method::DELETE).uri(path).body(Full::default())?).await
    }

    /// PUT of JSON, which has to be taken.
    pub async fn put_json(&self, path: &str, body: &Value) -> Result<Answer> {
        let answer = self.send_json(Method::PUT, path, body).await?;
        ensure!(answer.status.is_success(), "{path}: {answer:?}");
        Ok(answer)
    }

    /// POST of JSON; what is answered is the test's to judge.
    pub async fn post_json(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send_json(Method::POST, path, body).await
    }

    async fn send_json(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        self.send(request.body(Full::from(body.to_string()))?).await
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Answer> {
        let what = format!("{} {}", request.method(), request.uri());
        request.headers_mut().insert(HOST, self.server.to_string().parse()?);
        time::timeout(LIMIT, self.exchange(request))
            .await
            .with_context(|| format!("{what}: no answer"))?
            .context(what)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            Answer::read(response).await
        };
        // The connection is driven beside the exchange. It may end first, with the answer already handed over.
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => {
                ended?;
                exchange.await
            }
        }
    }
}

/// A connection that is kept, as a browser keeps some.
pub struct Connection {
    server: SocketAddr,
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    _carrying: AbortOnDropHandle<hyper::Result<()>>,
}

impl Connection {
    pub async fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { server, sender, _carrying: AbortOnDropHandle::new(tokio::spawn(connection)) })
    }

    /// GET of a path, whose answer has to be 200; gives the length of its body, of which nothing is kept.
    pub async fn get(&mut self, path: &str, accept: &str) -> Result<usize> {
        let request = Request::builder()
            .uri(path)
            .header(ACCEPT, accept)
            .header(HOST, self.server.to_string())
            .body(Full::default())?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        ensure!(response.status() == StatusCode::OK, "{path}: {}", response.status());
        let (mut body, mut length) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }
}

impl Answer {
    async fn read<B>(response: Response<B>) -> Result<Self>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let (head, body) = response.into_parts();
        let content_type = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = body.collect().await?.to_bytes();
        Ok(Self { status: head.status, content_type, body, headers: head.headers })
    }

    /// The parts of a multipart/related answer, without their headers (RFC 2387).
    pub fn parts(&self) -> Result<Vec<Bytes>> {
        ensure!(self.status.is_success(), "{self:?}");
        let boundary = self.content_type.split("boundary=").nth(1).context("no boundary")?;
        let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches('"');
        let delimiter = format!("--{boundary}");
        let starts: Vec<usize> = memmem::find_iter(&self.body, delimiter.as_bytes()).collect();
        let mut parts = Vec::new();
        for pair in starts.windows(2) {
            let &[start, end] = pair else { continue };
            let part = self.body.slice(start + delimiter.len()..end);
            let head = memmem::find(&part, b"\r\n\r\n").context("a part without a head")? + 4;
            let end =
                part.len().checked_sub(2).filter(|end| *end >= head).context("a part without an end")?;
            parts.push(part.slice(head..end));
        }
        Ok(parts)
    }
}
