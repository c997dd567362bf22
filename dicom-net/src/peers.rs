//! The table of remote AEs, and who a calling AE title is.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use dicom_store::Caller;
use dicom_store::model::{AeTitle, Error};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// A remote AE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peer {
    pub ae_title: AeTitle,
    /// Host name or address.
    pub host: String,
    pub port: u16,
}

/// `AET=HOST:PORT` or `AET@HOST:PORT`.
impl FromStr for Peer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::invalid(format!("peer {text:?} is not of the form AET=HOST:PORT"));
        let (ae_title, address) = text.split_once('=').or_else(|| text.split_once('@')).ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|&port| port != 0 && !host.is_empty()).ok_or_else(wrong)?;
        Ok(Self { ae_title: AeTitle::parse(ae_title)?, host: host.to_owned(), port })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.ae_title, self.host, self.port)
    }
}

/// Remote AEs by their titles.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    by_title: HashMap<AeTitle, Peer>,
    open: bool,
}

impl Peers {
    pub fn new(config: &Config) -> Self {
        let by_title = config.peers.iter().map(|peer| (peer.ae_title.clone(), peer.clone()));
        Self { by_title: by_title.collect(), open: config.open }
    }

    pub fn get(&self, ae_title: &AeTitle) -> Option<&Peer> {
        self.by_title.get(ae_title)
    }

    /// Who calls, for the archive to decide what they may do.
    pub fn caller(&self, calling: &AeTitle, called: &AeTitle, address: IpAddr) -> Caller {
        let known = self.open || self.by_title.contains_key(calling);
        Caller::Peer { calling: calling.clone(), called: called.clone(), address, known }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("CT1=10.0.0.5:104", "CT1", "10.0.0.5", 104)]
    #[case("WS 1=ws1.example:11112", "WS 1", "ws1.example", 11112)]
    #[case("CT2@ct2:104", "CT2", "ct2", 104)]
    #[case("V6=[::1]:104", "V6", "::1", 104)]
    fn a_peer_is_read_from_the_command_line(
        #[case] text: &str,
        #[case] ae_title: &str,
        #[case] host: &str,
        #[case] port: u16,
    ) {
        let peer = Peer { ae_title: AeTitle::parse(ae_title).unwrap(), host: host.into(), port };
        assert_eq!(text.parse::<Peer>().unwrap(), peer);
    }

    #[rstest]
    #[case("CT1")]
    #[case("CT1=host")]
    #[case("CT1=host:0")]
    #[case("CT1=host:70000")]
    #[case("CT1=:104")]
    #[case("=host:104")]
    fn refuses_what_is_no_peer(#[case] text: &str) {
        assert!(text.parse::<Peer>().is_err());
    }

    #[rstest]
    #[case("CT1", false, true)]
    #[case("CT2", false, false)]
    #[case("CT2", true, true)]
    fn a_peer_is_known_by_its_title(#[case] calling: &str, #[case] open: bool, #[case] expected: bool) {
        let config = Config { peers: vec!["CT1=10.0.0.5:104".parse().unwrap()], open, ..Config::default() };
        let calling = AeTitle::parse(calling).unwrap();
        let caller = Peers::new(&config).caller(&calling, &config.ae_title, [10, 0, 0, 5].into());
        assert!(matches!(caller, Caller::Peer { known, .. } if known == expected));
    }
}
