//! HTTPS and HTTP/2 by itself: curl and Python as clients, certificates that are renewed, settings that are wrong.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tests::{
    Pacs, Web,
    corpus::{NGUYEN, ct, write_all},
    peers::dicomweb_client_over_tls,
    program::filmless,
    tools::{Finished, run},
    wait::until,
};
use tokio::{io::AsyncReadExt, net::TcpStream, process::Command, time::timeout};

const LIMIT: Duration = Duration::from_secs(60);

/// A certificate of this machine and its key, as files.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

impl Identity {
    async fn new(folder: &Path, name: &str) -> Result<Self> {
        let identity =
            Self { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "2", "-subj", "/CN=filmless"]);
        command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out"]);
        command.arg(&identity.certificate).arg("-keyout").arg(&identity.key);
        run(&mut command, LIMIT).await?.well().context("openssl")?;
        Ok(identity)
    }

    fn flags(&self) -> Result<[&str; 4]> {
        let [certificate, key] =
            [&self.certificate, &self.key].map(|path| path.to_str().context("a path of UTF-8"));
        Ok(["--tls-certificate", certificate?, "--tls-key", key?])
    }

    async fn serve(&self) -> Result<Pacs> {
        Pacs::with(&self.flags()?).await
    }
}

async fn curl(trusted: &Path, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--cacert"]).arg(trusted).args(arguments);
    run(&mut command, LIMIT).await
}

fn url(server: SocketAddr, path: &str) -> String {
    format!("https://{server}{path}")
}

#[tokio::test]
async fn speaks_http_2_and_http_1_with_curl_and_keeps_the_connection() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let identity = Identity::new(folder.path(), "own").await?;
    let pacs = identity.serve().await?;
    let ready = url(pacs.http(), "/health/ready");
    let said = "%{http_code} %{http_version} %{num_connects}\n";
    for (protocol, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let asked = [protocol, "-o", "/dev/null", "-o", "/dev/null", "-w", said, &*ready, &*ready];
        let answers = curl(&identity.certificate, &asked).await?.well()?.stdout;
        // The second request opens no connection.
        assert_eq!(answers, format!("200 {version} 1\n200 {version} 0\n"));
    }
    for tls in ["1.2", "1.3"] {
        let asked = [&*format!("--tlsv{tls}"), "--tls-max", tls, &*ready];
        assert_eq!(curl(&identity.certificate, &asked).await?.well()?.stdout, "ready\n", "TLS {tls}");
    }
    let old = curl(&identity.certificate, &["--tls-max", "1.1", &*ready]).await?;
    assert!(!old.success, "TLS 1.1 is spoken");
    Ok(())
}

#[tokio::test]
async fn links_lead_back_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let identity = Identity::new(folder.path(), "own").await?;
    let pacs = identity.serve().await?;
    let files = write_all(&ct(NGUYEN, 2), &pacs.scratch("sent")?)?;
    let trusted = &identity.certificate;
    let stored = dicomweb_client_over_tls(pacs.http(), trusted, "store", &files).await?;
    let link = stored["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().context("no Retrieve URL")?;
    assert!(link.starts_with("https://127.0.0.1"), "{link}");
    // dicomweb-client names the host without its port.
    let path = link.find("/dicom-web/").and_then(|at| link.get(at..)).context("a Retrieve URL elsewhere")?;
    let wanted = [&*url(pacs.http(), &format!("{path}/metadata")), "-H", "Accept: application/dicom+json"];
    let metadata = curl(trusted, &[&["--http2"], &wanted[..]].concat()).await?.well()?;
    let metadata: Value = serde_json::from_str(&metadata.stdout)?;
    assert_eq!(metadata[0]["0020000D"]["Value"][0], "2.25.7001");
    let found = dicomweb_client_over_tls(pacs.http(), trusted, "studies", &["PatientName=nguyen*"]).await?;
    assert_eq!(found[0]["0020000D"]["Value"][0], "2.25.7001");
    Ok(())
}

#[tokio::test]
async fn a_renewed_certificate_holds_without_a_restart_and_a_broken_one_never() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (old, new) = (Identity::new(folder.path(), "old").await?, Identity::new(folder.path(), "new").await?);
    let shown = Identity { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
    fs::copy(&old.certificate, &shown.certificate)?;
    fs::copy(&old.key, &shown.key)?;
    let pacs = shown.serve().await?;
    let ready = url(pacs.http(), "/health/ready");
    let is_shown = async |identity: &Identity| Ok(curl(&identity.certificate, &[&*ready]).await?.success);
    assert!(is_shown(&old).await? && !is_shown(&new).await?);

    // Another certificate over a key that is not its own.
    fs::copy(&new.certificate, &shown.certificate)?;
    until("the log says that it cannot be used", LIMIT, async || {
        pacs.log().contains("the one before stays").then_some(())
    })
    .await?;
    assert!(is_shown(&old).await?, "the pair that works stays");

    fs::copy(&new.key, &shown.key)?;
    until("the new one is shown", LIMIT, async || {
        let shown: Result<bool> = is_shown(&new).await;
        shown.ok().filter(|is| *is).map(drop)
    })
    .await?;
    assert!(!is_shown(&old).await?);
    Ok(())
}

#[tokio::test]
async fn does_not_start_with_what_cannot_be_used_and_says_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (one, other) =
        (Identity::new(folder.path(), "one").await?, Identity::new(folder.path(), "other").await?);
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let missing = text(&folder.path().join("missing.pem"));
    for (certificate, key, reason) in [
        (text(&one.certificate), text(&other.key), "do not belong together"),
        (missing.clone(), text(&one.key), "missing.pem"),
        (text(&one.key), text(&one.key), "no CERTIFICATE in it"),
        (text(&one.certificate), text(&one.certificate), "no PRIVATE KEY in it"),
        (text(&one.certificate), String::new(), "--tls-key"),
    ] {
        let options = ["serve", "--open", "--data", &data, "--http", "127.0.0.1:0", "--dimse", "127.0.0.1:0"];
        let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
        let finished = filmless(&[&options[..], &tls].concat()).await?;
        assert!(!finished.success && finished.stderr.contains(reason), "{reason}: {}", finished.stderr);
    }
    let finished =
        filmless(&["serve", "--data", &data, "--http", "0.0.0.0:0", "--dimse", "127.0.0.1:0"]).await?;
    assert!(!finished.success && finished.stderr.contains("--tls-certificate"), "{}", finished.stderr);
    Ok(())
}

#[tokio::test]
async fn who_forgets_the_s_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pacs = Identity::new(folder.path(), "own").await?.serve().await?;
    let answer = Web::new(pacs.http()).get("/", "*/*").await?;
    assert_eq!(answer.status.as_u16(), 400);
    assert!(String::from_utf8_lossy(&answer.body).contains("https://"), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_is_let_go() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pacs = Identity::new(folder.path(), "own").await?.serve().await?;
    let mut silent = TcpStream::connect(pacs.http()).await?;
    let read = timeout(LIMIT, silent.read(&mut [0; 16])).await.context("it is kept")?;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    Ok(())
}
