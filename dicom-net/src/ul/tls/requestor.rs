//! Our side of a handshake with a peer that we call.

use std::sync::Arc;

use dicom_store::model::AeTitle;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::acceptor::Acceptor;
use super::material::{Identity, revoked, roots, unusable};
use super::trouble::explain;
use super::{VERSIONS, blocking, profile};
use crate::config::{Tls, Trust};
use crate::error::{Error, Result};

/// The peer that is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callee<'a> {
    pub ae_title: &'a AeTitle,
    pub host: &'a str,
}

impl Callee<'_> {
    /// A handshake on a connection to it, by the files that lie there now.
    ///
    /// # Errors
    /// `Tls` with what our files or its certificate lack, `Silent` when it takes too long. There is no other way to the
    /// peer then: least of all clear text.
    pub(crate) async fn secure(self, tls: &Tls, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let trust = tls.trust_of(self.ae_title).cloned();
        let name = trust.as_ref().and_then(|trust| trust.name.as_deref()).unwrap_or(self.host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| Error::Tls(format!("{name:?} is no name that a certificate can have")))?;
        let files = tls.clone();
        let config = blocking(move || client_config(&files, trust.as_ref())).await?;
        let limit = tls.handshake();
        let connected = timeout(limit, TlsConnector::from(config).connect(name, stream)).await;
        connected.map_err(|_| Error::Silent(limit))?.map_err(|error| Error::Tls(explain(&error)))
    }
}

/// An error on a connection over TLS, with what TLS has to say of it: a peer of TLS 1.3 hears of our certificate's
/// refusal only behind the handshake.
pub(crate) fn explained(error: Error) -> Error {
    match error {
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            Error::Tls(explain(&error))
        }
        error => error,
    }
}

/// Whether what the listener and calls of ours need can be read, as far as it is set; and of each of `called`, peers that
/// are called within TLS, what its certificate is compared with. Blocks while it reads.
///
/// # Errors
/// `Tls` with what is wrong, and in which file.
pub(crate) fn check<'a>(tls: &Tls, called: impl IntoIterator<Item = &'a AeTitle>) -> Result<()> {
    Identity::read(tls)?;
    if tls.is_accepting() {
        Acceptor::new(tls)?;
    }
    if tls.ca.is_some() {
        client_config(tls, None)?;
    }
    tls.trust.iter().try_for_each(|trust| client_config(tls, Some(trust)).map(drop))?;
    called.into_iter().try_for_each(|ae_title| {
        let checked = client_config(tls, tls.trust_of(ae_title));
        checked.map(drop).map_err(|error| Error::Tls(format!("peer {ae_title}: {error}")))
    })
}

fn client_config(tls: &Tls, trust: Option<&Trust>) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(profile())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| Error::Tls(error.to_string()))?;
    let pins = pins(trust)?;
    let builder = if pins.is_empty() {
        let ca = trust.and_then(|trust| trust.ca.as_deref()).or(tls.ca.as_deref()).ok_or_else(|| {
            Error::Tls(
                "dimse.tls.ca is not set: the CA that certificates of peers come from; \
                 or pins of the peer in dimse.tls.trust"
                    .to_owned(),
            )
        })?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca)?, profile())
            .with_crls(revoked(tls)?)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| Error::Tls(format!("{}: {error}", ca.display())))?;
        builder.dangerous().with_custom_certificate_verifier(verifier)
    } else {
        let algorithms = profile().signature_verification_algorithms;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { pins, algorithms }))
    };
    let config = match Identity::read(tls)? {
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&error))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

type Pin = [u8; 32];

fn pins(trust: Option<&Trust>) -> Result<Vec<Pin>> {
    let pins = trust.map_or(&[][..], |trust| &trust.pins);
    pins.iter()
        .map(|text| {
            pin(text)
                .ok_or_else(|| Error::Tls(format!("pin {text:?} is no SHA-256 of 64 hexadecimal digits")))
        })
        .collect()
}

/// With or without colons, as `openssl x509 -fingerprint -sha256` prints it.
fn pin(text: &str) -> Option<Pin> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let mut pin = [0; 32];
    (digits.len() == 64 && digits.is_ascii()).then_some(())?;
    for (index, byte) in pin.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(pin)
}

/// Believes one of these certificates and no other. That the peer has its key is still proven.
#[derive(Debug)]
struct Pinned {
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown: Pin = Sha256::digest(end_entity).into();
        if self.pins.contains(&shown) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_with_colons_and_without() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(pin(&plain), Some([0xAB; 32]));
        assert_eq!(pin(&colons), Some([0xAB; 32]));
        assert_eq!(pin(&plain[1..]), None);
        assert_eq!(pin(&"xy".repeat(32)), None);
        assert_eq!(pin(&"é".repeat(32)), None);
    }
}
