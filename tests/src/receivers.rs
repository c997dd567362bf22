//! Destinations: the storage SCPs of DCMTK and dicom-rs, and one that keeps a connection and says nothing.

use std::{ffi::OsStr, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
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
