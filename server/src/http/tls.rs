//! TLS of the web side: who we say that we are, and the handshake.
//!
//! Certificate and key are read again when they change, so that one that is renewed holds for the next connection. What
//! cannot be used stops a start; while serving, the pair before stays.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use dicom_net::ul::tls::Identity;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// A client that is slower to agree on how to speak is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Protocols that are offered (RFC 7301), the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Table `[http.tls]`: both files, or neither.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsFiles {
    /// PEM: the certificate of this server, then those between it and an authority that clients know. Read again when
    /// it changes. Default: none, and HTTP is clear text.
    pub certificate: PathBuf,
    /// PEM: the private key of the certificate, without a passphrase, readable by this server's user alone.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Whether there is TLS.
    pub(crate) fn is_set(&self) -> bool {
        !self.certificate.as_os_str().is_empty() && !self.key.as_os_str().is_empty()
    }

    /// # Errors
    /// When only one of them is named.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let is_half = self.certificate.as_os_str().is_empty() != self.key.as_os_str().is_empty();
        ensure!(!is_half, "http.tls needs both a certificate and its key (--tls-certificate, --tls-key)");
        Ok(())
    }

    fn read(&self) -> anyhow::Result<Identity> {
        Identity::open(&self.certificate, &self.key).context("http.tls")
    }
}

/// TLS as the settings want it.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    _following: Arc<AbortOnDropHandle<()>>,
}

impl Tls {
    /// Reads the files, and follows them until the last clone is dropped. `None` without files.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub(crate) fn open(files: &TlsFiles) -> anyhow::Result<Option<Self>> {
        files.check()?;
        if !files.is_set() {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let identity = files.read()?;
        let shown = Arc::new(Shown(RwLock::new(certified(files, &identity, &provider)?)));
        warn_of_a_key_that_everybody_reads(&files.key);
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .context("http.tls")?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let following = tokio::spawn(follow(files.clone(), identity, shown, provider));
        Ok(Some(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            _following: Arc::new(AbortOnDropHandle::new(following)),
        }))
    }

    /// Agrees with a client on how to speak.
    ///
    /// # Errors
    /// When the client does not speak TLS, refuses the certificate, or takes too long.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        timeout(HANDSHAKE, async {
            let stream = refuse_clear_text(stream).await?;
            self.acceptor.accept(stream).await
        })
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake takes too long")))
    }
}

/// A TLS record never begins with a letter, a request for HTTP always does: whoever forgot the `s` is told.
async fn refuse_clear_text(mut stream: TcpStream) -> io::Result<TcpStream> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || !first[0].is_ascii_alphabetic() {
        return Ok(stream);
    }
    let text = "this port speaks HTTPS: the address begins with https://\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // What the client sent is read, so that closing does not take the answer away from it.
    let _ = stream.try_read(&mut [0; 8192]);
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::InvalidData, "clear text on a port of HTTPS"))
}

/// The certificate that is shown to the next client.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Looks at the files now and then, and shows what is new.
async fn follow(files: TlsFiles, mut seen: Identity, shown: Arc<Shown>, provider: Arc<CryptoProvider>) {
    let files = Arc::new(files);
    let mut is_missing = false;
    loop {
        sleep(LOOK).await;
        let reading = files.clone();
        let read = tokio::task::spawn_blocking(move || reading.read()).await;
        let identity = match read {
            Ok(Ok(identity)) => identity,
            // Between two files of which one is just being replaced, or on a disk that is gone.
            Ok(Err(error)) => {
                if !is_missing {
                    warn!(
                        error = format!("{error:#}"),
                        "the certificate cannot be read; the one before stays"
                    );
                }
                is_missing = true;
                continue;
            }
            Err(_) => continue,
        };
        is_missing = false;
        if identity == seen {
            continue;
        }
        match certified(&files, &identity, &provider) {
            Ok(key) => {
                *shown.0.write().unwrap_or_else(PoisonError::into_inner) = key;
                info!(certificate = %files.certificate.display(), "a new certificate is shown");
            }
            Err(error) => {
                warn!(error = format!("{error:#}"), "the certificate cannot be used; the one before stays");
            }
        }
        seen = identity;
    }
}

fn certified(
    files: &TlsFiles,
    identity: &Identity,
    provider: &CryptoProvider,
) -> anyhow::Result<Arc<CertifiedKey>> {
    let certified = CertifiedKey::from_der(identity.chain.clone(), identity.key.clone_key(), provider);
    let certified = certified.with_context(|| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!("http.tls: {certificate} and {key} do not belong together, or are broken")
    })?;
    Ok(Arc::new(certified))
}

fn warn_of_a_key_that_everybody_reads(key: &Path) {
    let mode = fs::metadata(key).map_or(0, |found| Permissions::mode(&found.permissions()));
    if mode & 0o007 != 0 {
        warn!(key = %key.display(), "every user of this machine may read the private key; chmod 600");
    }
}
