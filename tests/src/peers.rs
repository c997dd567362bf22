//! Peers in Python: pynetdicom for DIMSE, dicomweb-client for the web.
//!
//! The scripts in `peers/` print one JSON value each; what they saw is judged by the tests.

use std::{ffi::OsStr, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::tools::{python, run, scripts};

const LIMIT: Duration = Duration::from_secs(120);

/// Does one thing with pynetdicom: `peers/dimse.py` documents the verbs.
pub async fn pynetdicom<A: AsRef<OsStr>>(server: SocketAddr, verb: &str, arguments: &[A]) -> Result<Value> {
    script("dimse.py", &[server.ip().to_string(), server.port().to_string(), verb.to_owned()], arguments)
        .await
}

/// Does one thing with dicomweb-client: `peers/web.py` documents the verbs.
pub async fn dicomweb_client<A: AsRef<OsStr>>(
    server: SocketAddr,
    verb: &str,
    arguments: &[A],
) -> Result<Value> {
    script("web.py", &[format!("http://{server}/dicom-web"), verb.to_owned()], arguments).await
}

/// The instances of a File-set as pydicom finds them by its DICOMDIR: `peers/file_set.py` documents the fields.
pub async fn file_set(dicomdir: &Path) -> Result<Value> {
    script("file_set.py", &[], &[dicomdir]).await
}

/// Compares rendered frames of real files with an independent rendering: `peers/rendering.py` tells how.
pub async fn renderings<A: AsRef<OsStr>>(server: SocketAddr, files: &[A]) -> Result<Value> {
    script("rendering.py", &[format!("http://{server}/dicom-web")], files).await
}

/// As [`dicomweb_client`] over TLS, trusting this certificate alone.
pub async fn dicomweb_client_over_tls<A: AsRef<OsStr>>(
    server: SocketAddr,
    trusted: &Path,
    verb: &str,
    arguments: &[A],
) -> Result<Value> {
    let mut command = python_script("web.py")?;
    command.env("REQUESTS_CA_BUNDLE", trusted).arg(format!("https://{server}/dicom-web")).arg(verb);
    answer("web.py", command.args(arguments)).await
}

/// Works a workitem through all its states and listens to it at another node, or the same: `peers/workitems.py` says how,
/// and what it prints.
pub async fn workitems(server: SocketAddr, listens_to: SocketAddr) -> Result<Value> {
    let urls = [server, listens_to].map(|node| format!("http://{node}/dicom-web"));
    script("workitems.py", &urls, &[""; 0]).await
}

/// Tells of performed procedure steps, operation by operation: `peers/steps.py` says what each of them is, and what comes back.
pub async fn steps(server: SocketAddr, operations: &[Value]) -> Result<Vec<Value>> {
    let operations: Vec<String> = operations.iter().map(Value::to_string).collect();
    let answers =
        script("steps.py", &[server.ip().to_string(), server.port().to_string()], &operations).await?;
    let answers = answers.as_array().context("steps.py prints a list")?;
    Ok(answers.clone())
}

/// Writes the studies into a folder that OHIF is shown: `peers/ohif_study.py` says which. Gives their UIDs.
pub async fn ohif_study(folder: &Path) -> Result<Value> {
    script("ohif_study.py", &[], &[folder]).await
}

/// The folder of real files that come with pydicom.
pub async fn pydicom_data() -> Result<String> {
    let mut command = Command::new(python()?);
    command.args(["-c", "import os, pydicom.data as d; print(os.path.dirname(d.__file__))"]);
    Ok(run(&mut command, LIMIT).await?.well()?.stdout.trim().to_owned())
}

async fn script<A: AsRef<OsStr>>(name: &str, server: &[String], arguments: &[A]) -> Result<Value> {
    answer(name, python_script(name)?.args(server).args(arguments)).await
}

fn python_script(name: &str) -> Result<Command> {
    let mut command = Command::new(python()?);
    command.arg(scripts().join("peers").join(name));
    Ok(command)
}

async fn answer(name: &str, command: &mut Command) -> Result<Value> {
    let finished = run(command, LIMIT).await?.well().with_context(|| name.to_owned())?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("{name} printed {:?}", finished.stdout))
}
