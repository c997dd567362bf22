//! What went wrong in a handshake, in words that help whoever has to mend it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// What an error of a connection means.
pub(super) fn explain(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => words(error),
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            "the peer closed the connection during the TLS handshake: it may want no TLS here, or refuse our certificate"
                .to_owned()
        }
        None => format!("TLS failed: {error}"),
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => {
            format!("the peer's certificate is not believed: {}", of_certificate(error))
        }
        Error::NoCertificatesPresented => {
            "the peer shows no certificate; it needs one of a CA in dimse.tls.ca (or mutual = false)"
                .to_owned()
        }
        Error::AlertReceived(alert) => format!("the peer ended the TLS handshake: {}", of_alert(*alert)),
        Error::InvalidMessage(_) => "the peer speaks no TLS here, or a clear text port was called".to_owned(),
        // Peers of TLS 1.1 and before know nothing of signature algorithms.
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "the peer offers neither TLS 1.2 nor TLS 1.3".to_owned(),
        Error::PeerIncompatible(_) => {
            format!("the peer has no version or cipher suite of the profile: {error}")
        }
        error => format!("TLS failed: {error}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "none of our CAs has signed it (dimse.tls.ca)".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{error}; set name of the peer in dimse.tls.trust where it is called otherwise")
        }
        CertificateError::ApplicationVerificationFailure => {
            "it is none of the peer's pins in dimse.tls.trust".to_owned()
        }
        CertificateError::BadSignature => "who is named as its issuer has not signed it".to_owned(),
        error => error.to_string(),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "it does not know the CA of our certificate (dimse.tls.certificate)".to_owned()
        }
        AlertDescription::CertificateRequired => {
            "it wants a certificate of ours (dimse.tls.certificate and key)".to_owned()
        }
        AlertDescription::CertificateExpired => "our certificate has expired for it".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::DecryptError
        | AlertDescription::CertificateUnknown => format!("it refuses our certificate ({alert:?})"),
        AlertDescription::ProtocolVersion => "it has neither TLS 1.2 nor TLS 1.3".to_owned(),
        AlertDescription::HandshakeFailure => {
            "it has no cipher suite of the profile, or wants a certificate of ours".to_owned()
        }
        alert => format!("{alert:?}"),
    }
}
