//! The table of remote AEs: those of the settings, which are fixed, and those of the register, as they stand now; and
//! who a calling AE title is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dicom_store::model::AeTitle;
use dicom_store::peer::PEER;
use dicom_store::{Caller, Peer, PeerRight, PeerRights, Sender, Work};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::warn;

use crate::config::Config;
use crate::lane::Lane;
use crate::senders::Senders;

/// How long the name of a peer's host may take to resolve. A peer waits for its first answer meanwhile.
const LOOKUP: Duration = Duration::from_secs(5);
/// What was read of the register holds for so long.
const FRESH: Duration = Duration::from_secs(1);
/// Lines of the register that are read at a time.
const PAGE: u32 = 1000;

/// Whether calls from `address` are this peer's: its host has that address, now, or need not.
///
/// A host that cannot be resolved has none.
async fn calls_from(peer: &Peer, address: IpAddr) -> bool {
    if peer.any_address {
        return true;
    }
    let found = timeout(LOOKUP, lookup_host((peer.host.as_str(), peer.port))).await;
    let address = address.to_canonical();
    match found {
        Ok(Ok(mut addresses)) => addresses.any(|found| found.ip().to_canonical() == address),
        Ok(Err(error)) => {
            warn!(peer = %peer.ae_title, host = peer.host, %error, "the host of a peer is not found");
            false
        }
        Err(_) => {
            warn!(peer = %peer.ae_title, host = peer.host, "the host of a peer is not found in time");
            false
        }
    }
}

/// Remote AEs by their titles; cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Of the settings.
    fixed: HashMap<AeTitle, Arc<Peer>>,
    work: Work,
    read: Mutex<Read>,
    /// The way to each that was called.
    lanes: Mutex<HashMap<AeTitle, Arc<Lane>>>,
    senders: Senders,
    open: bool,
    strangers: PeerRights,
}

/// What was read of the register, and when.
#[derive(Debug, Default)]
struct Read {
    at: Option<Instant>,
    peers: HashMap<AeTitle, Arc<Peer>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is whole after every statement; a panic elsewhere cannot have broken it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    /// `work`: where the register is.
    pub fn new(config: &Config, work: Work) -> Self {
        let fixed = config.peers.iter().map(|peer| (peer.ae_title.clone(), Arc::new(peer.clone())));
        let strangers = PeerRights { store: config.accept_unknown_senders, ..PeerRights::STRANGER };
        let shared = Shared {
            fixed: fixed.collect(),
            senders: Senders::new(work.clone()),
            work,
            read: Mutex::default(),
            lanes: Mutex::default(),
            open: config.open,
            strangers,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Those of the settings, by title.
    pub fn fixed(&self) -> Vec<Peer> {
        let mut fixed: Vec<Peer> = self.shared.fixed.values().map(|peer| Peer::clone(peer)).collect();
        fixed.sort_by(|one, other| one.ae_title.cmp(&other.ae_title));
        fixed
    }

    /// The peer of that title, as it is known within the last second. While the register cannot be read, as it was known.
    pub async fn get(&self, ae_title: &AeTitle) -> Option<Arc<Peer>> {
        if let Some(fixed) = self.shared.fixed.get(ae_title) {
            return Some(Arc::clone(fixed));
        }
        let is_fresh = lock(&self.shared.read).at.is_some_and(|at| at.elapsed() < FRESH);
        if !is_fresh {
            match self.registered().await {
                Ok(peers) => *lock(&self.shared.read) = Read { at: Some(Instant::now()), peers },
                Err(error) => {
                    warn!(%error, "the peers of the register cannot be read; they are taken as they were")
                }
            }
        }
        lock(&self.shared.read).peers.get(ae_title).cloned()
    }

    async fn registered(&self) -> dicom_store::Result<HashMap<AeTitle, Arc<Peer>>> {
        let (mut peers, mut after) = (HashMap::new(), String::new());
        loop {
            let rows = self.shared.work.registered(PEER, &after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(peers) };
            after.clone_from(&last.name);
            for row in &rows {
                match Peer::read(row) {
                    Ok(peer) => drop(peers.insert(peer.ae_title.clone(), Arc::new(peer))),
                    // A newer program may have written it; the others are none the worse for it.
                    Err(error) => warn!(%error, "a peer of the register cannot be read"),
                }
            }
        }
    }

    /// The peer of that title, if anything may be sent to it.
    pub(crate) async fn destination(&self, ae_title: &AeTitle) -> Option<Arc<Peer>> {
        self.get(ae_title).await.filter(|peer| peer.may(PeerRight::Destination))
    }

    /// Who calls, for the archive to decide what they may do. Who is in no table is noted as a sender.
    ///
    /// A peer is known by its title and its address: a title is no secret. Takes as long as the name of a
    /// host takes to resolve, within bounds.
    pub async fn caller(&self, calling: &AeTitle, called: &AeTitle, address: IpAddr) -> Caller {
        let rights = self.rights(calling, address).await;
        if !rights.is_some_and(|rights| rights.known) {
            self.shared.senders.note(Sender { ae_title: calling.clone(), address });
        }
        let rights = match rights {
            _ if self.shared.open => PeerRights::ALL,
            Some(rights) => rights,
            None => self.shared.strangers,
        };
        Caller::Peer { calling: calling.clone(), called: called.clone(), address, rights }
    }

    async fn rights(&self, calling: &AeTitle, address: IpAddr) -> Option<PeerRights> {
        let peer = self.get(calling).await?;
        if calls_from(&peer, address).await {
            return Some(peer.rights());
        }
        warn!(%calling, %address, host = peer.host, "not the address of the peer of this title, it is not known");
        None
    }

    /// The way to a peer, by the limits that it has now. Whoever is under way by those of before goes on so.
    pub(crate) fn lane(&self, peer: &Peer) -> Arc<Lane> {
        let mut lanes = lock(&self.shared.lanes);
        match lanes.get(&peer.ae_title) {
            Some(lane) if lane.is_of(peer) => Arc::clone(lane),
            _ => {
                let lane = Arc::new(Lane::of(peer));
                lanes.insert(peer.ae_title.clone(), Arc::clone(&lane));
                lane
            }
        }
    }

    /// Writes down who has called, now and then.
    pub(crate) async fn keep_senders(&self) {
        self.shared.senders.keep().await;
    }

    /// Writes down who has called since.
    pub(crate) async fn write_senders(&self) {
        self.shared.senders.write().await;
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use dicom_store::{Subject, fixture};
    use rstest::rstest;

    use super::*;

    fn title(text: &str) -> AeTitle {
        AeTitle::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_peer_of_the_register_is_known_and_one_that_was_removed_is_a_stranger() {
        let (archive, _folder) = fixture::archive().await;
        let operator = archive.acting_as(Caller::Web { subject: Subject::Open, address: None });
        let peers = Peers::new(&Config::default(), archive.work());
        let address = [10, 0, 0, 5].into();
        let rights =
            async |peers: &Peers| match peers.caller(&title("CT1"), &title("FILMLESS"), address).await {
                Caller::Peer { rights, .. } => rights,
                other => panic!("{other:?}"),
            };
        assert_eq!(rights(&peers).await, PeerRights::STRANGER);
        peers.write_senders().await;
        let (sender, row) = operator.senders().await.unwrap().remove(0);
        assert_eq!((sender.ae_title, sender.address, row.times), (title("CT1"), address, 1));

        let may = vec![PeerRight::Query];
        let peer = Peer { may, ..Peer::new(title("CT1"), "10.0.0.5", 104) };
        assert!(operator.put_peer(&peer).await.unwrap());
        assert!(operator.senders().await.unwrap().is_empty(), "it has a name now");
        let expected = PeerRights { known: true, store: false, query: true, retrieve: false };
        let anew = Peers::new(&Config::default(), archive.work());
        assert_eq!(rights(&anew).await, expected);
        assert!(anew.destination(&title("CT1")).await.is_none());

        assert!(!operator.put_peer(&Peer { may: vec![PeerRight::Destination], ..peer }).await.unwrap());
        let anew = Peers::new(&Config::default(), archive.work());
        assert_eq!(anew.destination(&title("CT1")).await.unwrap().port, 104);
        operator.remove_peer(&title("CT1")).await.unwrap();
        assert!(operator.remove_peer(&title("CT1")).await.is_err());
        assert_eq!(rights(&Peers::new(&Config::default(), archive.work())).await, PeerRights::STRANGER);
        let audit = operator.audit(None, 10).await.unwrap();
        let actions: Vec<_> = audit.iter().map(|(_, row)| row.action.as_str()).collect();
        assert_eq!(actions, ["remove peer", "put peer", "put peer"]);
    }

    #[tokio::test]
    async fn what_strangers_may_is_a_setting() {
        let (archive, _folder) = fixture::archive().await;
        let config = Config { accept_unknown_senders: false, ..Config::default() };
        let peers = Peers::new(&config, archive.work());
        let caller = peers.caller(&title("CT1"), &title("FILMLESS"), [10, 0, 0, 5].into()).await;
        let Caller::Peer { rights, .. } = caller else { panic!("{caller:?}") };
        assert_eq!(rights, PeerRights { store: false, ..PeerRights::STRANGER });
    }

    async fn is_known(config: &Config, calling: &str, address: &str) -> bool {
        let calling = AeTitle::parse(calling).unwrap();
        let (archive, _folder) = fixture::archive().await;
        let peers = Peers::new(config, archive.work());
        let caller = peers.caller(&calling, &config.ae_title, address.parse().unwrap()).await;
        matches!(caller, Caller::Peer { rights: PeerRights { known: true, .. }, .. })
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
