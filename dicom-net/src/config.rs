//! Settings of DIMSE: table `[dimse]`.

mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use dicom_store::Peer;
use dicom_store::model::AeTitle;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::scp::check_users;
use crate::ul;

pub use tls::{Tls, Trust};

/// Where and how associations are accepted and requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Address of the listener. Default `0.0.0.0:11112`.
    pub listen: SocketAddr,
    /// Our AE title: peers call it, and we call peers by it. Default `FILMLESS`.
    pub ae_title: AeTitle,
    /// Whether a request that calls another AE title is accepted too. Default false.
    pub accept_any_called: bool,
    /// Whether every peer is treated as a known one: for trials, and set by the server alone.
    #[serde(skip)]
    pub open: bool,
    /// Remote AEs: who may query and retrieve, and where a C-MOVE can send to. These are fixed; others are told to the
    /// server while it runs. Default none.
    pub peers: Vec<Peer>,
    /// Whether anybody may store who is not in the table of peers, as a hospital's new modality: it is noted as a sender
    /// to be named. Default true.
    pub accept_unknown_senders: bool,
    /// Whether AEs that are not in the table of peers may have an association at all. Default true.
    pub accept_unknown_calling: bool,
    /// Associations at the same time, of which one address other than loopback has half at most; one more is
    /// rejected for the moment. Default 64.
    pub max_associations: usize,
    /// Connections that have not asked for an association yet. When one more comes the oldest of them
    /// is closed, so that silent connections hinder nobody. Default 256.
    pub max_waiting: usize,
    /// The longest P-DATA-TF that we take, in bytes. Longer ones mean fewer headers, not more memory.
    /// Default 262144.
    pub max_pdu_length: u32,
    /// ARTIM: how long a peer may take to ask for an association, and to close after the last word.
    /// In seconds, default 30.
    pub artim_s: u64,
    /// How long an association may lie idle between two messages. In seconds, default 600.
    pub idle_s: u64,
    /// How long a peer may stop within a message, sending or taking. In seconds, default 60. Whoever sends
    /// less than 60 KiB in this time and a minute more has stopped as well.
    pub stall_s: u64,
    /// How long a peer may take to answer a request of ours. In seconds, default 120.
    pub response_s: u64,
    /// How long connecting to a peer may take. In seconds, default 10.
    pub connect_s: u64,
    /// How long running associations may go on when the server stops. In seconds, default 10.
    pub grace_s: u64,
    /// Whether objects of SOP classes that are private, or newer than this software, are archived as
    /// they come. Default true.
    pub accept_unknown_storage: bool,
    /// Whether objects in private transfer syntaxes are taken, read as Explicit VR Little Endian; what cannot
    /// be read so is refused one by one. Default false: what cannot be read back is no archive.
    pub accept_unknown_transfer_syntaxes: bool,
    /// Whether an entity without a value for a required key of a C-FIND matches whatever is asked of it, to the letter of
    /// PS3.4 §C.2.2.1.2: a search for an accession number then finds all studies that have none, too. Default false.
    pub unknown_matches: bool,
    /// C-STOREs that a peer may have under way at the same time on one association, where it asks for that
    /// (asynchronous operations window). Default 16.
    pub max_operations: u16,
    /// What becomes of the user identity of a requestor: `ignored`, `checked` by `users` where there is one, or
    /// `required`. Default `ignored`.
    pub user_identity: UserIdentityPolicy,
    /// Who is let in where identities are checked. Default none.
    pub users: Vec<User>,
    /// DICOM TLS: a listener of its own, and what is believed of peers.
    pub tls: Tls,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 11112)),
            ae_title: AeTitle::parse("FILMLESS").expect("FILMLESS is an AE title"),
            accept_any_called: false,
            open: false,
            peers: Vec::new(),
            accept_unknown_senders: true,
            accept_unknown_calling: true,
            max_associations: 64,
            max_waiting: 256,
            max_pdu_length: 256 * 1024,
            artim_s: 30,
            idle_s: 600,
            stall_s: 60,
            response_s: 120,
            connect_s: 10,
            grace_s: 10,
            accept_unknown_storage: true,
            accept_unknown_transfer_syntaxes: false,
            unknown_matches: false,
            max_operations: 16,
            user_identity: UserIdentityPolicy::Ignored,
            users: Vec::new(),
            tls: Tls::default(),
        }
    }
}

/// What becomes of the user identity of a requestor (PS3.7 §D.3.3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserIdentityPolicy {
    /// Nobody looks at it.
    Ignored,
    /// One that is sent has to be of `users`; none need be sent.
    Checked,
    /// It has to be sent, and of `users`.
    Required,
}

/// A user by name, or by name and passcode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    pub name: String,
    /// A file with the passcode; without one the name alone is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passcode_file: Option<PathBuf>,
}

/// Less than this in a PDU would be nearly all headers.
const SHORTEST_PDU: u32 = 4096;

impl Config {
    /// A remote AE by its title in the table, or written out as `AET@HOST:PORT`.
    pub fn peer(&self, name: &str) -> Option<Peer> {
        let in_table = self.peers.iter().find(|peer| peer.ae_title.as_str() == name.trim());
        in_table.cloned().or_else(|| name.parse().ok())
    }

    /// Whether everything that the settings name can be used: certificates and keys, for calls to us and of ours, and the
    /// passcodes of users. Blocks while it reads.
    ///
    /// # Errors
    /// `Tls` and `Settings` with what is wrong, and in which file.
    pub fn check(&self) -> Result<()> {
        let called = self.peers.iter().filter(|peer| peer.tls).map(|peer| &peer.ae_title);
        ul::tls::check(&self.tls, called)?;
        check_users(self)
    }

    pub(crate) fn max_pdu_length(&self) -> u32 {
        self.max_pdu_length.max(SHORTEST_PDU)
    }

    pub(crate) fn artim(&self) -> Duration {
        seconds(self.artim_s)
    }

    pub(crate) fn idle(&self) -> Duration {
        seconds(self.idle_s)
    }

    pub(crate) fn stall(&self) -> Duration {
        seconds(self.stall_s)
    }

    pub(crate) fn response(&self) -> Duration {
        seconds(self.response_s)
    }

    pub(crate) fn connect(&self) -> Duration {
        seconds(self.connect_s)
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s)
    }
}

/// Every wait has a limit, and none is nothing.
fn seconds(count: u64) -> Duration {
    Duration::from_secs(count.max(1))
}
