//! Remote AEs: where they are, what they may do, and how they want to be answered.
//!
//! Those of the settings are fixed; the others are lines of the register, and every node sees them. Who calls and is
//! in neither is a sender that nobody has named yet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::Config;
use crate::index::IndexPlace;
use crate::model::{AeTitle, DayTimes, TransferSyntaxUid};
use crate::register::Registered;
use crate::{Error, Result};

/// The kinds of lines in the register.
pub const PEER: &str = "peer";
pub const SENDER: &str = "sender";

/// A remote AE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peer {
    pub ae_title: AeTitle,
    /// Host name or address: where we connect to, and where this peer has to call from to be known. An IPv6 address may
    /// stand in brackets.
    #[serde(deserialize_with = "host")]
    pub host: String,
    pub port: u16,
    /// Whether the peer is known by its title alone, as one behind NAT or with changing addresses has to be.
    /// Everyone who can reach us may then call themselves so. Default false.
    #[serde(default)]
    pub any_address: bool,
    /// Whether we connect to it with TLS. Default false.
    #[serde(default)]
    pub tls: bool,
    /// What it may do, and be used for. Default everything.
    #[serde(default = "all_rights")]
    pub may: Vec<PeerRight>,
    /// Transfer syntaxes that it wants objects in, the best first; and that objects of it are taken in where it offers
    /// several. What cannot be had so is sent as it is stored, or
    /// uncompressed. Default none: as it is stored is the best.
    #[serde(default)]
    pub transfer_syntaxes: Vec<TransferSyntaxUid>,
    /// In which characters it is answered. Default `utf8`.
    #[serde(default)]
    pub text: PeerText,
    /// Associations to it at the same time, all nodes counting for themselves. Default 4.
    #[serde(default = "four")]
    pub max_associations: usize,
    /// KiB a second that are sent to it, at the most; each node counts for itself, what C-MOVE sends too. 0, the
    /// default, is as fast as it goes.
    #[serde(default)]
    pub max_kib_s: u64,
    /// When rules may send to it, by the clock of this machine: `"19:00-06:00"`. Default empty: always. What somebody asks
    /// for is sent at once.
    #[serde(default)]
    pub send_between: DayTimes,
    /// Whether it is told of each study that is complete here (Instance Availability Notification, PS3.4 Annex R).
    /// Default false.
    #[serde(default)]
    pub notify_availability: bool,
    /// How long it may take to commit itself to what we have sent to it of ourselves (Storage Commitment, PS3.4 Annex J), in
    /// seconds, up to thirty days; then it is asked once more. A study counts as sent when it has. 0, the default: it is not
    /// asked, and what it has taken is proof enough.
    #[serde(default)]
    pub commitment_s: u64,
    /// What it is, for people. Default empty.
    #[serde(default)]
    pub description: String,
}

/// Something that a peer may do, or be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerRight {
    /// C-STORE to us, and rejection notes among it.
    Store,
    /// C-FIND at us.
    Query,
    /// C-MOVE and C-GET at us.
    Retrieve,
    /// Be sent to: by a C-MOVE that anybody asks for, and by what we send ourselves.
    Destination,
}

/// The characters of answers to C-FIND (PS3.4 §C.4.1.1.3.2). What cannot be said in them is said in ISO_IR 192 all the
/// same: nothing becomes a question mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerText {
    /// ISO_IR 192 where there is anything beyond ASCII.
    #[default]
    Utf8,
    /// ISO_IR 100; letters that it does not have lose their marks: Nguyên for Nguyễn.
    Latin1,
    /// No character set: letters lose all marks, Nguyen for Nguyễn.
    AsciiFold,
}

fn all_rights() -> Vec<PeerRight> {
    vec![PeerRight::Store, PeerRight::Query, PeerRight::Retrieve, PeerRight::Destination]
}

fn four() -> usize {
    4
}

/// The longest that a peer may take to commit itself: nobody waits longer.
const LONGEST_COMMITMENT_S: u64 = 30 * 24 * 60 * 60;

fn host<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    Ok(without_brackets(&String::deserialize(from)?).to_owned())
}

/// `::1` of `[::1]`, which is how an address stands before a port.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl Peer {
    /// One that may do everything and wants nothing in particular.
    pub fn new(ae_title: AeTitle, host: impl Into<String>, port: u16) -> Self {
        Self {
            ae_title,
            host: host.into(),
            port,
            any_address: false,
            tls: false,
            may: all_rights(),
            transfer_syntaxes: Vec::new(),
            text: PeerText::default(),
            max_associations: four(),
            max_kib_s: 0,
            send_between: DayTimes::default(),
            notify_availability: false,
            commitment_s: 0,
            description: String::new(),
        }
    }

    pub fn may(&self, right: PeerRight) -> bool {
        self.may.contains(&right)
    }

    pub fn rights(&self) -> PeerRights {
        PeerRights {
            known: true,
            store: self.may(PeerRight::Store),
            query: self.may(PeerRight::Query),
            retrieve: self.may(PeerRight::Retrieve),
        }
    }

    /// # Errors
    /// `Invalid`, with what is wrong.
    pub fn check(&self) -> Result<()> {
        let is_host = !self.host.is_empty() && self.host.len() <= 253;
        let is_wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']');
        if !is_host || self.host.contains(is_wrong) {
            return Err(Error::invalid(
                "host is a name or an address of up to 253 characters without spaces",
            ));
        }
        if self.port == 0 {
            return Err(Error::invalid("port is from 1 to 65535"));
        }
        if self.max_associations == 0 {
            return Err(Error::invalid("max-associations is at least 1"));
        }
        if self.commitment_s > LONGEST_COMMITMENT_S {
            return Err(Error::invalid(format!(
                "commitment-s is {}, the most is {LONGEST_COMMITMENT_S}: thirty days",
                self.commitment_s
            )));
        }
        if self.description.chars().count() > 256 || self.description.chars().any(char::is_control) {
            return Err(Error::invalid("description is one line of up to 256 characters"));
        }
        if self.transfer_syntaxes.len() > 16 {
            return Err(Error::invalid("up to 16 transfer-syntaxes can be wanted"));
        }
        Ok(())
    }

    /// As it stands in the register.
    ///
    /// # Errors
    /// `Corrupt` when it is none.
    pub fn read(row: &Registered) -> Result<Self> {
        serde_json::from_str(&row.body)
            .map_err(|cause| Error::corrupt(format!("peer {} of the register", row.name)).with_source(cause))
    }

    /// The peer of that title in the register of an archive, beside which a server may run.
    ///
    /// # Errors
    /// What the index says.
    pub async fn registered(config: &Config, ae_title: &AeTitle) -> Result<Option<Self>> {
        let row = IndexPlace::of(config)?.registered_as(PEER, ae_title.as_str()).await?;
        row.as_ref().map(Self::read).transpose()
    }
}

/// `AET=HOST:PORT` or `AET@HOST:PORT`.
impl FromStr for Peer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("peer {text:?} is not of the form AET=HOST:PORT"));
        let (ae_title, address) = text.split_once('=').or_else(|| text.split_once('@')).ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let host = without_brackets(host);
        let port = port.parse().ok().filter(|&port| port != 0 && !host.is_empty()).ok_or_else(wrong)?;
        Ok(Self::new(AeTitle::parse(ae_title)?, host, port))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.ae_title, self.host, self.port)
    }
}

/// What a caller on DIMSE may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRights {
    /// It is in the table, and calls from where it should.
    pub known: bool,
    pub store: bool,
    pub query: bool,
    pub retrieve: bool,
}

impl PeerRights {
    pub const ALL: Self = Self { known: true, store: true, query: true, retrieve: true };
    /// Of one that is not known: a hospital's new modality works at once.
    pub const STRANGER: Self = Self { known: false, store: true, query: false, retrieve: false };
}

/// Somebody who called and is not in the table of peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sender {
    pub ae_title: AeTitle,
    pub address: IpAddr,
}

impl Sender {
    /// Its name in the register.
    pub fn name(&self) -> String {
        format!("{} {}", self.address, self.ae_title)
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
        assert_eq!(text.parse::<Peer>().unwrap(), Peer::new(AeTitle::parse(ae_title).unwrap(), host, port));
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

    #[test]
    fn what_is_not_said_of_a_peer_is_as_it_always_was() {
        let peer: Peer = serde_json::from_str(r#"{"ae-title": "CT1", "host": "ct1", "port": 104}"#).unwrap();
        assert_eq!(peer, "CT1=ct1:104".parse().unwrap());
        assert_eq!(peer.rights(), PeerRights::ALL);
    }

    #[rstest]
    #[case("[::1]", "::1")]
    #[case("::1", "::1")]
    #[case("[2001:db8::7]", "2001:db8::7")]
    #[case("ct1", "ct1")]
    fn an_address_may_stand_in_brackets(#[case] told: &str, #[case] host: &str) {
        let body = format!(r#"{{"ae-title": "CT1", "host": "{told}", "port": 104}}"#);
        let peer: Peer = serde_json::from_str(&body).unwrap();
        peer.check().unwrap();
        assert_eq!(peer.host, host);
    }

    #[rstest]
    #[case::half_a_bracket(r#"{"ae-title": "CT1", "host": "[::1", "port": 104}"#)]
    #[case::no_address_in_brackets(r#"{"ae-title": "CT1", "host": "[]", "port": 104}"#)]
    #[case::longer_than_anybody_waits(
        r#"{"ae-title": "CT1", "host": "ct1", "port": 104, "commitment-s": 18446744073709551615}"#
    )]
    #[case::a_second_more(r#"{"ae-title": "CT1", "host": "ct1", "port": 104, "commitment-s": 2592001}"#)]
    #[case::no_host(r#"{"ae-title": "CT1", "host": "", "port": 104}"#)]
    #[case::space(r#"{"ae-title": "CT1", "host": "a b", "port": 104}"#)]
    #[case::no_port(r#"{"ae-title": "CT1", "host": "ct1", "port": 0}"#)]
    #[case::nothing_at_a_time(r#"{"ae-title": "CT1", "host": "ct1", "port": 104, "max-associations": 0}"#)]
    #[case::two_lines(r#"{"ae-title": "CT1", "host": "ct1", "port": 104, "description": "a\nb"}"#)]
    fn what_cannot_be_a_peer_is_refused(#[case] body: &str) {
        assert!(serde_json::from_str::<Peer>(body).unwrap().check().is_err());
    }

    #[test]
    fn a_month_is_not_too_long_to_wait_for() {
        let body = r#"{"ae-title": "CT1", "host": "ct1", "port": 104, "commitment-s": 2592000}"#;
        serde_json::from_str::<Peer>(body).unwrap().check().unwrap();
    }
}
