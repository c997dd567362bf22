//! Associations over TLS (PS3.15 Annex B): the BCP 195 profiles, of which the one that never goes below TLS 1.2.
//!
//! TLS 1.3, and TLS 1.2 with ephemeral keys of elliptic curves and authenticated encryption; nothing older and nothing
//! else, and never clear text in its place. Certificates and keys are PEM files, read again when they change: an
//! acceptor looks at each handshake whether they did, a requestor reads them for each association.

mod acceptor;
mod material;
mod requestor;
mod trouble;
mod validity;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::error::{Error, Result};

pub use acceptor::Acceptor;
pub use material::Identity;
pub(crate) use requestor::{Callee, check, explained};

/// Versions of TLS, the best first.
const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// Cipher suites, in the order in which we choose (RFC 8446 §B.4, RFC 9325 §4.2).
pub(crate) const CIPHER_SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// What the profile allows.
fn profile() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { cipher_suites: CIPHER_SUITES.to_vec(), ..ring::default_provider() })
}

/// A wait on another thread: files may lie on a disk that is slow.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Tls("reading certificates failed".to_owned()))?
}
