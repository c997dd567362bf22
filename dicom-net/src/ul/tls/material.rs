//! Certificates, keys and lists of what is revoked, from PEM files; whatever is wrong with one is told with its name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::validity::Validity;
use crate::config::Tls;
use crate::error::{Error, Result};

/// A file of certificates may be this long; one with all the world's CAs has a few hundred KiB.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

fn wrong(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::Tls(format!("{}: {what}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let length = fs::metadata(path).map_err(|error| wrong(path, error))?.len();
    if length > LONGEST_FILE {
        return Err(wrong(path, "too long for a file of certificates"));
    }
    fs::read(path).map_err(|error| wrong(path, error))
}

/// All objects of a kind in a PEM file; at least one.
fn objects<T: PemObject>(path: &Path, kind: &str) -> Result<Vec<T>> {
    let bytes = read(path)?;
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| wrong(path, format!("no PEM file: {error}")))?;
    if found.is_empty() {
        return Err(wrong(path, format!("no {kind} in it; a PEM file with BEGIN {kind} is wanted")));
    }
    Ok(found)
}

/// A certificate with those that lead to its CA, and its key.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From two PEM files; whether they belong together is not looked at. Blocks while it reads.
    ///
    /// # Errors
    /// `Tls` with what is wrong, and in which file.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self> {
        let chain = objects(certificate, "CERTIFICATE")?;
        let bytes = read(key)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
            pem::Error::NoItemsFound if is_encrypted(&bytes) => {
                wrong(key, "the key has a pass phrase; `openssl pkey -in KEY -out PLAIN` takes it away")
            }
            pem::Error::NoItemsFound => wrong(key, "no PRIVATE KEY in it"),
            error => wrong(key, format!("no PEM file: {error}")),
        })?;
        Ok(Self { chain, key })
    }

    /// Ours, which is valid today; `None` when neither certificate nor key is set.
    pub(super) fn read(tls: &Tls) -> Result<Option<Self>> {
        let (certificate, key) = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(Error::Tls("certificate is set, but key is not: both are needed".to_owned()));
            }
            (None, Some(_)) => {
                return Err(Error::Tls("key is set, but certificate is not: both are needed".to_owned()));
            }
        };
        let identity = Self::open(certificate, key)?;
        if let Some(first) = identity.chain.first() {
            Validity::of(first)
                .ok_or_else(|| wrong(certificate, "its first certificate cannot be read"))?
                .check()
                .map_err(|what| wrong(certificate, what))?;
        }
        Ok(Some(identity))
    }
}

/// Why certificate and key cannot be used together.
pub(super) fn unusable(error: &rustls::Error) -> Error {
    Error::Tls(match error {
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        error => format!("certificate and key cannot be used: {error}"),
    })
}

fn is_encrypted(bytes: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    marks.iter().any(|mark| bytes.windows(mark.len()).any(|window| window == *mark))
}

/// The CAs of a file.
pub(super) fn roots(path: &Path) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in objects::<CertificateDer<'static>>(path, "CERTIFICATE")? {
        roots
            .add(certificate)
            .map_err(|error| wrong(path, format!("a certificate cannot be read: {error}")))?;
    }
    Ok(Arc::new(roots))
}

/// What CAs have revoked; empty when no file is set.
pub(super) fn revoked(tls: &Tls) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    tls.crl.as_deref().map_or(Ok(Vec::new()), |path| objects(path, "X509 CRL"))
}

/// What tells whether files have changed: of each its inode, length and time of change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamp {
    pub(super) fn of(tls: &Tls) -> Self {
        let files: [&Option<PathBuf>; 4] = [&tls.certificate, &tls.key, &tls.ca, &tls.crl];
        let stamp = |path: &PathBuf| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
        };
        Self(files.into_iter().flatten().map(stamp).collect())
    }
}
