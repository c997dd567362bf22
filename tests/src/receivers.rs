//! Destinations: the storage SCPs of DCMTK and dicom-rs, one that keeps a connection and says nothing, and a program that
//! hears HTTP requests.

use std::{ffi::OsStr, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{tools::dicom_rs, wait::until};

const LIMIT: Duration = Duration::from_secs(60);

/// The one of dicom-rs, in the same way; `ae_title` is its own.
pub async fn dicom_rs_storescp(address: SocketAddr, ae_title: &str, into: &Path) -> Result<Child> {
    let mut command = Command::new(dicom_rs("dicom-storescp")?);
    command.args(["--calling-ae-title", ae_title, "-p", &address.port().to_string(), "-o"]).arg(into);
    started(&mut command, address).await
}

/// DCMTK's `storescp`, which writes what comes into a folder and ends with what is given back.
pub async fn storescp<O: AsRef<OsStr>>(address: SocketAddr, options: &[O], into: &Path) -> Result<Child> {
    let mut command = Command::new("storescp");
    command.args(options).arg("-od").arg(into).arg(address.port().to_string());
    started(&mut command, address).await
}

async fn started(command: &mut Command, address: SocketAddr) -> Result<Child> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let child = child.spawn().context("start a storage SCP")?;
    until("the storage SCP listens", LIMIT, async || TcpStream::connect(address).await.ok()).await?;
    Ok(child)
}

/// Accepts connections, keeps them and says nothing, as long as what is given back lives.
pub async fn hangs() -> Result<(SocketAddr, AbortOnDropHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let accepting = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    Ok((address, AbortOnDropHandle::new(accepting)))
}

/// A request as it came.
#[derive(Debug)]
pub struct Heard {
    /// Request line and header fields.
    pub head: String,
    pub body: Vec<u8>,
}

impl Heard {
    /// The value of a header field; its name in small letters.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A program that hears HTTP requests and answers them with these heads (`204 No Content`), the last one again and again.
pub struct Listener {
    pub address: SocketAddr,
    pub heard: mpsc::UnboundedReceiver<Heard>,
    _accepting: AbortOnDropHandle<()>,
}

impl Listener {
    pub async fn start(answers: &[&str]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (tell, heard) = mpsc::unbounded_channel();
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let accepting = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                // A connection for a request: who asks is told that it is closed.
                let Ok(heard) = hear(&mut stream).await else { continue };
                let answer = answers.get(number).or(answers.last()).map_or("500 Nothing", String::as_str);
                number += 1;
                let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                if stream.write_all(head.as_bytes()).await.is_err() || tell.send(heard).is_err() {
                    continue;
                }
            }
        });
        Ok(Self { address, heard, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// The next request.
    pub async fn next(&mut self) -> Result<Heard> {
        let heard = timeout(LIMIT, self.heard.recv()).await.context("nobody asks")?;
        heard.context("nobody listens any more")
    }
}

async fn hear(stream: &mut TcpStream) -> Result<Heard> {
    let mut bytes = Vec::new();
    loop {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "the request ends early");
        let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        let heard = Heard { head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() };
        let length: usize = heard.field("content-length").unwrap_or("0").parse()?;
        if heard.body.len() >= length {
            return Ok(heard);
        }
    }
}
