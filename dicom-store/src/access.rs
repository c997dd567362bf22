//! Who may do what. Protocols tell who is calling; allowing is decided here.

use std::net::IpAddr;

use crate::model::AeTitle;
use crate::peer::PeerRights;
use crate::{Error, ErrorKind, Result};

/// Who is at the door, as the protocol identified them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A DICOM application, with what the table of peers allows it.
    Peer { calling: AeTitle, called: AeTitle, address: IpAddr, rights: PeerRights },
    /// Somebody on the web.
    Web { subject: Subject, address: Option<IpAddr> },
    /// A part of this server, by its name.
    System(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The server runs in its trial mode: everybody on this machine is let in.
    Open,
    /// Nobody signed in.
    Anonymous,
}

/// What a session is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Store,
    Search,
    Retrieve,
    /// Take back what was stored, by a rejection note.
    Reject,
    /// Say otherwise who or what a study is of; decide what was kept aside.
    Correct,
    /// Delete, restore, destroy, and look at what is deleted.
    Delete,
    /// Say with whom images are exchanged: the table of peers; have images fetched and sent.
    Configure,
    /// Jobs and derived images.
    Maintain,
}

impl Caller {
    /// Whether the caller may; an unknown peer may store, so that a hospital's new modality works at once.
    pub fn may(&self, action: Action) -> bool {
        match (self, action) {
            (Self::System(_), _) => true,
            (_, Action::Maintain) => false,
            (Self::Peer { rights, .. }, Action::Store) => rights.store,
            (Self::Peer { rights, .. }, Action::Search) => rights.query,
            (Self::Peer { rights, .. }, Action::Retrieve) => rights.retrieve,
            (Self::Peer { rights, .. }, Action::Reject) => rights.known && rights.store,
            (Self::Peer { .. }, _) => false,
            (Self::Web { subject, .. }, _) => *subject == Subject::Open,
        }
    }

    /// How an act or a row of the audit names the caller.
    pub(crate) fn author(&self) -> String {
        let at = |address: &Option<IpAddr>| address.map(|a| format!(" at {a}")).unwrap_or_default();
        match self {
            Self::Peer { calling, address, .. } => format!("{calling} at {address}"),
            Self::Web { subject: Subject::Open, address } => format!("trial{}", at(address)),
            Self::Web { subject: Subject::Anonymous, address } => format!("nobody{}", at(address)),
            Self::System(name) => format!("system {name}"),
        }
    }

    pub(crate) fn check(&self, action: Action) -> Result<()> {
        if self.may(action) {
            return Ok(());
        }
        let what = match self {
            Self::Peer { calling, rights: PeerRights { known: false, store, .. }, .. } => {
                let store = if *store { "it may store, not" } else { "it may neither store nor" };
                format!("{calling} is not a known peer: {store} search or retrieve")
            }
            Self::Peer { calling, .. } => {
                let done = match action {
                    Action::Store => "store",
                    Action::Search => "search",
                    Action::Retrieve => "retrieve",
                    _ => "change what is stored",
                };
                format!("{calling} is a peer that may not {done}")
            }
            Self::Web { .. } => "nobody is signed in".to_owned(),
            Self::System(name) => format!("{name} may not do this"),
        };
        Err(Error::new(ErrorKind::Forbidden, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(known: bool) -> Caller {
        let rights = if known { PeerRights::ALL } else { PeerRights::STRANGER };
        with(rights)
    }

    fn with(rights: PeerRights) -> Caller {
        let title = |text| AeTitle::parse(text).unwrap();
        Caller::Peer {
            calling: title("CT"),
            called: title("FILMLESS"),
            address: [127, 0, 0, 1].into(),
            rights,
        }
    }

    #[test]
    fn an_unknown_peer_may_store_and_nothing_else() {
        assert!(peer(false).may(Action::Store));
        assert!(!peer(false).may(Action::Search) && !peer(false).may(Action::Retrieve));
        assert!(!peer(false).may(Action::Reject) && !peer(false).may(Action::Delete));
        assert!(peer(true).may(Action::Search) && peer(true).may(Action::Reject));
        assert!(!peer(true).may(Action::Delete) && !peer(true).may(Action::Correct));
    }

    #[test]
    fn a_peer_may_what_the_table_says() {
        let modality = with(PeerRights { query: false, retrieve: false, ..PeerRights::ALL });
        assert!(modality.may(Action::Store) && modality.may(Action::Reject));
        assert!(!modality.may(Action::Search) && !modality.may(Action::Retrieve));
        let workstation = with(PeerRights { store: false, ..PeerRights::ALL });
        assert!(!workstation.may(Action::Store) && !workstation.may(Action::Reject));
        assert!(workstation.may(Action::Search) && !workstation.may(Action::Configure));
    }

    #[test]
    fn nobody_reads_on_the_web_without_signing_in() {
        let web = |subject| Caller::Web { subject, address: None };
        assert!(!web(Subject::Anonymous).may(Action::Search) && !web(Subject::Anonymous).may(Action::Store));
        assert!(web(Subject::Open).may(Action::Retrieve) && !web(Subject::Open).may(Action::Maintain));
    }
}
