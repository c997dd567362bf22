//! The table of remote AEs, and who a calling AE title is.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use dicom_store::Caller;
use dicom_store::model::{AeTitle, Error};
use serde::{Deserialize, Serialize};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::warn;

use crate::config::Config;

/// How long the name of a peer's host may take to resolve. A peer waits for its first answer meanwhile.
const LOOKUP: Duration = Duration::from_secs(5);

/// A remote AE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peer {
    pub ae_title: AeTitle,
    /// Host name or address: where we connect to, and where this peer has to call from to be known.
    pub host: String,
    pub port: u16,
    /// Whether the peer is known by its title alone, as one behind NAT or with changing addresses has to be.
    /// Everyone who can reach us may then call themselves so. Default false.
    #[serde(default)]
    pub any_address: bool,
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
        Ok(Self { ae_title: AeTitle::parse(ae_title)?, host: host.to_owned(), port, any_address: false })
    }
}

impl Peer {
    /// Whether calls from `address` are this peer's: its host has that address, now, or need not.
    ///
    /// A host that cannot be resolved has none.
    async fn calls_from(&self, address: IpAddr) -> bool {
        if self.any_address {
            return true;
        }
        let found = timeout(LOOKUP, lookup_host((self.host.as_str(), self.port))).await;
        let address = address.to_canonical();
        match found {
            Ok(Ok(mut addresses)) => addresses.any(|found| found.ip().to_canonical() == address),
            Ok(Err(error)) => {
                warn!(peer = %self.ae_title, host = self.host, %error, "the host of a peer is not found");
                false
            }
            Err(_) => {
                warn!(peer = %self.ae_title, host = self.host, "the host of a peer is not found in time");
                false
            }
        }
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
    ///
    /// A peer is known by its title and its address: a title is no secret. Takes as long as the name of a
    /// host takes to resolve, within bounds.
    pub async fn caller(&self, calling: &AeTitle, called: &AeTitle, address: IpAddr) -> Caller {
        let known = self.open || self.knows(calling, address).await;
        Caller::Peer { calling: calling.clone(), called: called.clone(), address, known }
    }

    async fn knows(&self, calling: &AeTitle, address: IpAddr) -> bool {
        let Some(peer) = self.get(calling) else { return false };
        let known = peer.calls_from(address).await;
        if !known {
            warn!(%calling, %address, host = peer.host, "not the address of the peer of this title, it is not known");
        }
        known
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
        let peer =
            Peer { ae_title: AeTitle::parse(ae_title).unwrap(), host: host.into(), port, any_address: false };
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

    async fn is_known(config: &Config, calling: &str, address: &str) -> bool {
        let calling = AeTitle::parse(calling).unwrap();
        let peers = Peers::new(config);
        let caller = peers.caller(&calling, &config.ae_title, address.parse().unwrap()).await;
        matches!(caller, Caller::Peer { known: true, .. })
    }

    #[rstest]
    #[case::address("10.0.0.5", "10.0.0.5", true)]
    #[case::other_address("10.0.0.5", "10.0.0.6", false)]
    #[case::mapped_caller("10.0.0.5", "::ffff:10.0.0.5", true)]
    #[case::mapped_host("::ffff:10.0.0.5", "10.0.0.5", true)]
    #[case::mapped_other("10.0.0.5", "::ffff:10.0.0.6", false)]
    #[case::ipv6("2001:db8:0:0::5", "2001:db8::5", true)]
    #[case::other_ipv6("2001:db8::5", "2001:db8::6", false)]
    #[case::name("localhost", "127.0.0.1", true)]
    #[case::name_of_another("localhost", "10.0.0.5", false)]
    #[case::no_such_name("no\0host", "10.0.0.5", false)]
    #[tokio::test]
    async fn a_peer_is_known_by_title_and_address(
        #[case] host: &str,
        #[case] address: &str,
        #[case] expected: bool,
    ) {
        let peer: Peer = format!("CT1=[{host}]:104").parse().unwrap();
        let config = Config { peers: vec![peer], ..Config::default() };
        assert_eq!(is_known(&config, "CT1", address).await, expected);
        assert!(!is_known(&config, "CT2", address).await);
    }

    #[rstest]
    #[case::known_by_title("CT1", true, false, true)]
    #[case::other_title("CT2", true, false, false)]
    #[case::neither("CT1", false, false, false)]
    #[case::open("CT1", false, true, true)]
    #[case::open_to_others("CT2", false, true, true)]
    #[tokio::test]
    async fn only_a_setting_lets_a_peer_call_from_any_address(
        #[case] calling: &str,
        #[case] any_address: bool,
        #[case] open: bool,
        #[case] expected: bool,
    ) {
        let peer = Peer { any_address, ..Peer::from_str("CT1=10.0.0.5:104").unwrap() };
        let config = Config { peers: vec![peer], open, ..Config::default() };
        assert_eq!(is_known(&config, calling, "192.0.2.1").await, expected);
    }
}
