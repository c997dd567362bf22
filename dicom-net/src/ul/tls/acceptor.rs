//! The TLS listener's side of a handshake, by the certificates that lie there now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::material::{Identity, Stamp, revoked, roots, unusable};
use super::trouble::explain;
use super::{VERSIONS, blocking, profile};
use crate::config::Tls;
use crate::error::{Error, Result};

/// Accepts TLS on connections.
#[derive(Debug)]
pub struct Acceptor {
    tls: Tls,
    current: Mutex<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    /// Of the files, when they were looked at last.
    stamp: Stamp,
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// Reads certificates and key. Blocks while it reads.
    ///
    /// # Errors
    /// `Tls` with what is wrong, and in which file.
    pub fn new(tls: &Tls) -> Result<Self> {
        let stamp = Stamp::of(tls);
        let config = server_config(tls)?;
        Ok(Self { tls: tls.clone(), current: Mutex::new(Current { stamp, config }) })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // It is replaced whole; a panic elsewhere cannot have broken it.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handshake, within the time that the settings give it.
    ///
    /// # Errors
    /// `Tls` with what the peer or its certificate lacks, `Silent` when it takes too long.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let config = self.config().await;
        let limit = self.tls.handshake();
        let accepted = timeout(limit, TlsAcceptor::from(config).accept(stream)).await;
        accepted.map_err(|_| Error::Silent(limit))?.map_err(|error| Error::Tls(explain(&error)))
    }

    /// What holds for the next handshake. Files that cannot be used leave everything as it was.
    async fn config(&self) -> Arc<ServerConfig> {
        let before = self.current().clone();
        let tls = self.tls.clone();
        let known = before.stamp.clone();
        let looked = blocking(move || {
            let stamp = Stamp::of(&tls);
            let config = (stamp != known).then(|| server_config(&tls));
            Ok((stamp, config))
        });
        let Ok((stamp, Some(read))) = looked.await else { return before.config };
        let config = match read {
            Ok(config) => {
                info!("certificates of DICOM TLS were read again, they have changed");
                config
            }
            Err(error) => {
                warn!(%error, "certificates of DICOM TLS have changed and cannot be used; those of before hold");
                before.config
            }
        };
        *self.current() = Current { stamp, config: Arc::clone(&config) };
        config
    }
}

fn server_config(tls: &Tls) -> Result<Arc<ServerConfig>> {
    let identity = Identity::read(tls)?
        .ok_or_else(|| Error::Tls("certificate and key are not set; a listener needs both".to_owned()))?;
    let builder = ServerConfig::builder_with_provider(profile())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| Error::Tls(error.to_string()))?;
    let builder = if tls.mutual {
        let ca = tls.ca.as_deref().ok_or_else(|| {
            Error::Tls(
                "ca is not set: the CA that certificates of peers come from; \
                 with mutual = false they need none"
                    .to_owned(),
            )
        })?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca)?, profile())
            .with_crls(revoked(tls)?)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| Error::Tls(format!("{}: {error}", ca.display())))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(identity.chain, identity.key).map_err(|error| unusable(&error))?;
    Ok(Arc::new(config))
}
