//! Settings of DICOM TLS: table `[dimse.tls]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use dicom_store::model::AeTitle;
use serde::{Deserialize, Serialize};

/// Which certificates we show, and which we believe. Files are PEM, and read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// Address of the TLS listener, which is there when `certificate` is set. Default `0.0.0.0:2762`.
    pub listen: SocketAddr,
    /// Whether peers may call by TLS at all; without, the certificate is only for calls of ours. Default true.
    pub accept: bool,
    /// Our certificate, and behind it those between it and its CA. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The key of the certificate, without a pass phrase. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The CAs that certificates of peers have to come from: of those that call, and of those that we call.
    /// Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Lists of these CAs of what they have revoked. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<PathBuf>,
    /// Whether a peer that calls has to show a certificate. Default true.
    pub mutual: bool,
    /// How long a handshake may take. In seconds, default 10.
    pub handshake_s: u64,
    /// What is believed of single peers that we call, instead of `ca`. Default none.
    pub trust: Vec<Trust>,
}

/// What is believed of a peer that we call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trust {
    pub ae_title: AeTitle,
    /// The CAs that its certificate has to come from. Default `dimse.tls.ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// SHA-256 of certificates, in hexadecimal: it has to show one of these, whoever has signed it and for whichever
    /// name. Default none.
    #[serde(default)]
    pub pins: Vec<String>,
    /// The name that its certificate has. Default the peer's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 2762)),
            accept: true,
            certificate: None,
            key: None,
            ca: None,
            crl: None,
            mutual: true,
            handshake_s: 10,
            trust: Vec::new(),
        }
    }
}

impl Tls {
    /// Whether there is a listener.
    pub fn is_accepting(&self) -> bool {
        self.accept && (self.certificate.is_some() || self.key.is_some())
    }

    pub(crate) fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_s.max(1))
    }

    pub(crate) fn trust_of(&self, ae_title: &AeTitle) -> Option<&Trust> {
        self.trust.iter().find(|trust| trust.ae_title == *ae_title)
    }
}
