//! The table of peers as an operator changes it, and who has called without being in it.

use std::net::IpAddr;

use super::Session;
use crate::access::Action;
use crate::hex::hex;
use crate::index::{AuditRow, EntryRow};
use crate::model::{AeTitle, SopInstanceUid};
use crate::peer::{PEER, Peer, SENDER, Sender};
use crate::register::{Entry, Registered};
use crate::{Error, Result};

/// Peers that the register may hold, and senders that it does.
const MOST: u32 = 1000;
/// UIDs of one question to the index.
const NAMED: usize = 200;

impl Session {
    /// The peers of the register, by title.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn peers(&self) -> Result<Vec<Peer>> {
        self.caller.check(Action::Configure)?;
        let rows = self.archive.inner.index.registered(PEER, "", MOST).await?;
        rows.iter().map(Peer::read).collect()
    }

    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn peer(&self, ae_title: &AeTitle) -> Result<Option<Peer>> {
        self.caller.check(Action::Configure)?;
        let row = self.archive.inner.index.registered_as(PEER, ae_title.as_str()).await?;
        row.as_ref().map(Peer::read).transpose()
    }

    /// Puts a peer into the register, in the place of one of this title; gives whether it is new. Every node knows
    /// it within seconds.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`, `Invalid` with what is wrong with it; `Conflict` when there are 1000.
    pub async fn put_peer(&self, peer: &Peer) -> Result<bool> {
        self.check_audited(Action::Configure).await?;
        peer.check()?;
        let index = &self.archive.inner.index;
        let before = index.registered_as(PEER, peer.ae_title.as_str()).await?;
        if before.is_none() && index.registered(PEER, "", MOST).await?.len() >= MOST as usize {
            return Err(Error::conflict(format!("there are {MOST} peers already")));
        }
        let body = serde_json::to_string(peer)
            .map_err(|cause| Error::internal("a peer is no JSON").with_source(cause))?;
        let by = self.audited("put peer", peer.to_string());
        index.register(&[Entry::new(PEER, peer.ae_title.as_str(), body)], Some(&by)).await?;
        // It has a name now.
        for (sender, row) in self.senders().await? {
            if sender.ae_title == peer.ae_title {
                index.unregister(SENDER, &row.name, None).await?;
            }
        }
        index.sync().await?;
        Ok(before.is_none())
    }

    /// # Errors
    /// `Forbidden`, `Unavailable`; `NotFound` when the register has none of this title.
    pub async fn remove_peer(&self, ae_title: &AeTitle) -> Result<()> {
        self.check_audited(Action::Configure).await?;
        let by = self.audited("remove peer", ae_title.to_string());
        let index = &self.archive.inner.index;
        if !index.unregister(PEER, ae_title.as_str(), Some(&by)).await? {
            return Err(Error::not_found(format!("there is no peer {ae_title}")));
        }
        index.sync().await
    }

    /// Who has called without being in the table of peers, with when and how often.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn senders(&self) -> Result<Vec<(Sender, Registered)>> {
        self.caller.check(Action::Configure)?;
        let rows = self.archive.inner.index.registered(SENDER, "", MOST).await?;
        let sender = |row: Registered| {
            let sender = serde_json::from_str(&row.body).map_err(|cause| {
                Error::corrupt(format!("sender {} of the register", row.name)).with_source(cause)
            })?;
            Ok((sender, row))
        };
        rows.into_iter().map(sender).collect()
    }

    /// Of what the server has noted of its work with peers, the lines of a kind behind a name.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn noted(&self, kind: &str, after: &str, limit: u32) -> Result<Vec<Registered>> {
        self.caller.check(Action::Configure)?;
        self.archive.inner.index.registered(kind, after, limit).await
    }

    /// The same of one name.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn noted_as(&self, kind: &str, name: &str) -> Result<Option<Registered>> {
        self.caller.check(Action::Configure)?;
        self.archive.inner.index.registered_as(kind, name).await
    }

    /// Whether the caller may have images fetched from peers and sent to them; the audit says what was asked for.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn order(&self, action: &str, what: String) -> Result<()> {
        self.check_audited(Action::Configure).await?;
        self.archive.inner.index.record(&self.audited(action, what)).await
    }

    /// Notes in the audit that somebody could not prove to be a node that is let in (Security Alert, Node Authentication:
    /// PS3.15 §A.5.3.11).
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn refused_node(&self, address: IpAddr, why: &str) -> Result<()> {
        let (actor, what) = (self.caller.author(), address.to_string());
        self.archive.inner.index.record(&AuditRow::new(actor, "refuse node", what, why)).await
    }

    /// The digests of what is kept under these UIDs, BLAKE3 of each data set as it came, in hexadecimal digits.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn digests(&self, of: &[SopInstanceUid]) -> Result<Vec<(SopInstanceUid, String)>> {
        self.caller.check(Action::Retrieve)?;
        let mut digests = Vec::with_capacity(of.len());
        for some in of.chunks(NAMED) {
            let entries = self.archive.inner.index.pack_entries_of(some).await?;
            let kept = entries.into_iter().filter(|entry| !entry.is_damaged);
            let kept = kept.filter(|entry| matches!(entry.row, EntryRow::Instance(_)));
            digests.extend(kept.map(|entry| (entry.sop_instance, hex(&entry.digest))));
        }
        Ok(digests)
    }

    /// A line of the audit that says that this caller did it.
    pub(super) fn audited(&self, action: &str, what: String) -> AuditRow {
        AuditRow::new(self.caller.author(), action, what, "done")
    }
}
