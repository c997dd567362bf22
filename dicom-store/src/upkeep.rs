//! What the archive does to its packs by itself, or when it is told to: gathering small ones, rewriting those that are
//! mostly dead, comparing what is kept with its digests, destroying what the law wants destroyed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use tokio::sync::Mutex;
use tracing::info;

use crate::archive::Archive;
use crate::hex::hex;
use crate::index::{EntryRow, Index, PackEntry, PackRow, Stage, known_acts};
use crate::ledger::{self, Act};
use crate::model::{PackId, SopInstanceUid};
use crate::node;
use crate::packs::Packs;
use crate::packs::compress::{Compression, compress};
use crate::packs::damage::{DamagedStretch, Holds, LostAct};
use crate::packs::local::Pace;
use crate::packs::rewrite::{Rewritten, all_rows, recover, rewrite};
use crate::packs::verify::{Verified, verify};
use crate::register::Entry as Registration;
use crate::{Error, ErrorKind, Result};

/// Packs below this are gathered. A large instance has one of its own from about there on, and is left alone.
const SMALL: u64 = 8 << 20;
/// Packs of about a size that are gathered together: each byte is written anew about once for each sixteenfold of size.
const TOGETHER: usize = 16;
/// Bytes and packs of one gathering, at the most, so that it does not keep the index for long.
const GATHERED: u64 = 64 << 20;
const GATHERED_PACKS: usize = 1000;
/// A pack is rewritten when the dead part of it is one of so many.
const DEAD_PART: u64 = 3;
/// What was deleted leaves the packs so many at a time.
const DUE: u32 = 1000;
/// A pack is compared with its digests this often.
const VERIFY_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);
/// One that could not be read then is tried again after this time.
const READ_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// What is smaller is not worth a file of another kind.
const LEAST_COMPRESSED: u64 = 1 << 20;
/// Bytes that are compressed, or read again and compared, in a second: what arrives has most of the processor.
const COMPRESSED_A_SECOND: u64 = 64 << 20;
/// Lines of the register for packs that would not become smaller.
const LEFT_PLAIN: &str = "pack-left-plain";
/// How long a pack that has to be rewritten at once may take to leave the log.
const LEAVE_LOG: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The packs of an archive, to be kept in order.
#[derive(Debug, Clone)]
pub struct Upkeep {
    archive: Archive,
}

/// How the packs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackReport {
    pub packs: u64,
    pub bytes: u64,
    /// Packs that will be gathered once there are enough of a size.
    pub small: u64,
    /// Bytes that nothing refers to any more.
    pub dead: u64,
    /// Packs that others have taken the place of, or that are being written.
    pub in_between: u64,
    /// Packs that were never compared with their digests since they were written.
    pub never_verified: u64,
    /// Packs that wait for their upload.
    pub waiting: u64,
    /// Packs that are compressed, the bytes that these are the compressed form of, and the bytes that they take.
    pub compressed: u64,
    pub compressed_of: u64,
    pub compressed_to: u64,
}

/// What is worth doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// There are small packs to gather or dead parts to drop, or something was left half done.
    pub tidy: bool,
    /// A pack has not been compared with its digests for a month, and the settings want it to be.
    pub verify: bool,
    /// A pack is old enough to be compressed, and the settings want it to be.
    pub compress: bool,
}

/// What came of comparing all packs with their digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllVerified {
    /// Bytes that were read.
    pub bytes: u64,
    /// Acts that the index knows and no pack holds.
    pub lost_acts: Vec<LostAct>,
}

/// One rewriting at a time in this process. Between processes, the index sees to it.
pub(crate) type Turn = Arc<Mutex<()>>;

impl Upkeep {
    pub(crate) fn new(archive: Archive) -> Self {
        Self { archive }
    }

    fn packs(&self) -> &Arc<Packs> {
        &self.archive.inner.packs
    }

    fn index(&self) -> &Arc<dyn Index> {
        &self.archive.inner.index
    }

    /// What there is to do.
    ///
    /// # Errors
    /// As all verbs here: `Unavailable` when index or object store cannot be reached.
    pub async fn due(&self) -> Result<Due> {
        let rows = self.rows().await?;
        let tidy = rows.iter().any(|row| row.stage == Stage::Retired)
            || !self.entries_due(1).await?.is_empty()
            || !self.dead_copies_due().await?.is_empty()
            || next_inputs(&self.sealed(&rows), self.archive.inner.pack_size).is_some();
        let compress = match self.archive.inner.compress_after {
            Some(age) => self.next_to_compress(&rows, age).await?.is_some(),
            None => false,
        };
        Ok(Due { tidy, verify: self.stalest(&rows).await?.is_some(), compress })
    }

    /// Takes out what is to leave the packs, then gathers and rewrites until nothing is left to do; gives how many packs
    /// it made others of.
    ///
    /// # Errors
    /// `Exhausted` when the disk has no room for a copy; what a pack says that cannot be read, once the others are done.
    pub async fn tidy(&self) -> Result<u64> {
        let (mut count, mut failed) = (0, Ok(()));
        loop {
            let due = self.entries_due(DUE).await?;
            if due.is_empty() {
                break;
            }
            let rows: HashSet<EntryRow> = due.iter().map(|entry| entry.row).collect();
            match self.take_out(&uids_of(&due), &due, &|entry| rows.contains(&entry.row)).await {
                Ok(0) => break,
                Ok(dropped) => {
                    info!(dropped, "what was deleted has left the packs");
                    count += dropped;
                }
                Err(cause) => {
                    failed = Err(cause);
                    break;
                }
            }
        }
        loop {
            let _turn = self.archive.inner.rewriting.lock().await;
            self.recover().await?;
            let rows = self.rows().await?;
            let Some(inputs) = next_inputs(&self.sealed(&rows), self.archive.inner.pack_size) else { break };
            self.rewrite(&inputs, &|_| false).await?;
            count += inputs.len() as u64;
        }
        for pack in self.dead_copies_due().await? {
            self.leaves_log(pack).await?;
            let _turn = self.archive.inner.rewriting.lock().await;
            self.recover().await?;
            match self.rewrite(&[pack], &|_| false).await {
                Ok(_) => count += 1,
                Err(cause) => failed = failed.and(Err(cause)),
            }
        }
        failed.map(|()| count)
    }

    /// Compares one pack with its digests at the pace of the settings, the one that has waited longest; `None` when
    /// none is due.
    ///
    /// # Errors
    /// As for [`Upkeep::due`].
    pub async fn verify_next(&self) -> Result<Option<Verified>> {
        let Some(row) = self.stalest(&self.rows().await?).await? else { return Ok(None) };
        let mut pace = Pace::new(Some(self.archive.inner.verify_pace));
        self.verify_one(row, &mut pace).await.map(Some)
    }

    /// Compares all packs with their digests, as fast as it goes or so many bytes a second, and tells of each; then whether
    /// every act that the index knows lies in one of them.
    ///
    /// # Errors
    /// As for [`Upkeep::due`].
    pub async fn verify_all(
        &self,
        bytes_a_second: Option<u64>,
        mut tell: impl FnMut(PackId, &Verified),
    ) -> Result<AllVerified> {
        let mut pace = Pace::new(bytes_a_second);
        let mut acts = known_acts(&**self.index()).await?;
        for row in self.rows().await?.into_iter().filter(|row| row.stage == Stage::InUse) {
            let verified = self.verify_one(row, &mut pace).await?;
            acts.retain(|number, _| !verified.acts.contains(number));
            if verified.is_unread {
                // Any of them may lie there.
                acts.clear();
            }
            tell(row.pack, &verified);
        }
        let lost_acts = acts.into_iter().map(|(number, kind)| LostAct { number, kind }).collect();
        Ok(AllVerified { bytes: pace.bytes(), lost_acts })
    }

    async fn verify_one(&self, row: PackRow, pace: &mut Pace) -> Result<Verified> {
        match verify(self.packs(), self.index(), row.pack, row.mark, pace).await {
            Err(error) if error.kind == ErrorKind::NotFound => self.is_missing(row, error).await,
            Err(error) if error.kind == ErrorKind::Unavailable => self.is_unread(row, error).await,
            verified => verified,
        }
    }

    /// A pack that cannot be read though the object store is there: a file that this user may not open, or that the disk
    /// does not give. Whether it is damaged nobody knows, so what it holds is not hidden, and it does not count as compared;
    /// the others are compared all the same.
    async fn is_unread(&self, row: PackRow, error: Error) -> Result<Verified> {
        if is_short_of_something(&error) || self.packs().objects.is_well().await.is_err() {
            return Err(error);
        }
        let reason = format!("the pack cannot be read: {}", error.chain());
        tracing::error!(pack = %row.pack, reason, "a pack cannot be read; it is tried again in a day");
        self.archive.inner.unread.lock().await.insert(row.pack, Instant::now());
        let whole = DamagedStretch { pack: row.pack, range: 0..row.mark, holds: Holds::Unknown, reason };
        Ok(Verified { stretches: vec![whole], is_unread: true, ..Verified::default() })
    }

    /// A pack that is not there was rewritten meanwhile, and compared in doing so; or somebody has taken it away. What it
    /// held is not hidden then, and it does not count as compared: it may be put back.
    async fn is_missing(&self, row: PackRow, error: Error) -> Result<Verified> {
        let after = row.pack.0.checked_sub(1).map(PackId);
        let now = self.index().packs(after, 1).await?;
        if !now.first().is_some_and(|now| now.pack == row.pack && now.stage == Stage::InUse) {
            return Ok(Verified::default());
        }
        self.packs().objects.is_well().await?;
        let reason = "the pack is neither in the log nor in the object store".to_owned();
        tracing::error!(pack = %row.pack, error = %error.chain(), reason, "a pack is missing");
        self.archive.inner.unread.lock().await.insert(row.pack, Instant::now());
        let whole = DamagedStretch { pack: row.pack, range: 0..row.mark, holds: Holds::Unknown, reason };
        Ok(Verified { stretches: vec![whole], ..Verified::default() })
    }

    /// Compresses one pack that is as old as the settings want; `None` when none is.
    ///
    /// # Errors
    /// As for [`Upkeep::compress_older`].
    pub async fn compress_next(&self) -> Result<Option<Compression>> {
        match self.archive.inner.compress_after {
            Some(age) => self.compress_older(age).await,
            None => Ok(None),
        }
    }

    /// Compresses one pack of this node that became an object so long ago; `None` when there is none. One that does not
    /// become smaller by a tenth is left as it is, and not tried again.
    ///
    /// # Errors
    /// As for [`Upkeep::due`]; `Exhausted` when the disk has no room, `Corrupt` when what was written reads otherwise. The
    /// pack is as it was then.
    pub async fn compress_older(&self, age: Duration) -> Result<Option<Compression>> {
        let _turn = self.archive.inner.rewriting.lock().await;
        let Some(pack) = self.next_to_compress(&self.rows().await?, age).await? else { return Ok(None) };
        let mut pace = Pace::new(Some(COMPRESSED_A_SECOND));
        let done = compress(self.packs(), self.index(), pack, &mut pace).await?;
        if done.compressed.is_none() {
            let line = Registration::new(LEFT_PLAIN, pack.to_string(), "{}");
            self.index().register(&[line], None).await?;
        }
        Ok(Some(done))
    }

    async fn next_to_compress(&self, rows: &[PackRow], age: Duration) -> Result<Option<PackId>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = u64::try_from(now.saturating_sub(age).as_millis()).unwrap_or_default();
        let in_use: HashSet<PackId> =
            rows.iter().filter(|row| row.stage == Stage::InUse).map(|row| row.pack).collect();
        let mut old = self.packs().objects.plain_packs().await?;
        old.retain(|(pack, size, made)| {
            *size >= LEAST_COMPRESSED
                && *made <= before
                && in_use.contains(pack)
                && self.packs().is_own(*pack)
        });
        old.sort_unstable();
        for (pack, ..) in old {
            if self.index().registered_as(LEFT_PLAIN, &pack.to_string()).await?.is_none() {
                return Ok(Some(pack));
            }
        }
        Ok(None)
    }

    /// Takes instances out of the packs now, with everything that came under their UIDs and what was made of them.
    /// When this returns, no file and no object of this archive holds their bytes.
    ///
    /// # Errors
    /// `Unavailable` when a pack cannot be rewritten at once; it has to be asked for again then.
    pub async fn destroy(&self, instances: &[SopInstanceUid]) -> Result<u64> {
        let entries = self.index().pack_entries_of(instances).await?;
        let uids: HashSet<&SopInstanceUid> = instances.iter().collect();
        let is_meant = |entry: &PackEntry| uids.contains(&entry.sop_instance);
        let dropped = self.take_out(instances, &entries, &is_meant).await?;
        info!(instances = dropped, "instances destroyed");
        Ok(dropped)
    }

    /// Takes out of the packs what acts that were just done destroy.
    ///
    /// # Errors
    /// As for [`Upkeep::destroy`].
    pub(crate) async fn follow(&self, acts: &[ledger::Entry]) -> Result<()> {
        let (mut instances, mut aside) = (Vec::new(), HashSet::new());
        for entry in acts {
            match &entry.act {
                Act::Destroy { instances: some } => instances.extend_from_slice(some),
                Act::DestroyAside { instance, digest } => {
                    aside.insert((instance, digest.clone()));
                }
                _ => {}
            }
        }
        if !instances.is_empty() {
            self.destroy(&instances).await?;
        }
        if aside.is_empty() {
            return Ok(());
        }
        let is_meant = |entry: &PackEntry| {
            matches!(entry.row, EntryRow::Conflict(_))
                && aside.contains(&(&entry.sop_instance, hex(&entry.digest)))
        };
        let uids: Vec<SopInstanceUid> = aside.iter().map(|(instance, _)| (*instance).clone()).collect();
        let mut entries = self.index().pack_entries_of(&uids).await?;
        entries.retain(is_meant);
        let dropped = self.take_out(&uids, &entries, &is_meant).await?;
        info!(data_sets = dropped, "data sets that were kept aside are destroyed");
        Ok(())
    }

    /// Hidden instances and data sets whose bytes are to go.
    async fn entries_due(&self, limit: u32) -> Result<Vec<PackEntry>> {
        self.index().pack_entries_due(self.kept_since(), limit).await
    }

    /// Packs with copies that nothing refers to, and that are to go.
    async fn dead_copies_due(&self) -> Result<Vec<PackId>> {
        self.index().dead_copies_due(self.kept_since()).await
    }

    /// What was deleted before leaves the packs: milliseconds since 1970.
    fn kept_since(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = now.saturating_sub(self.archive.inner.keep_deleted).as_millis();
        u64::try_from(before).unwrap_or(u64::MAX)
    }

    /// Rewrites the packs in which these lie, or copies under their UIDs that nothing refers to, without what is dropped, and
    /// removes what was made of them. One that cannot be rewritten keeps nothing in the others, and is the error in the end.
    /// After a stop between two packs the rows of index and ledger tell what is left to do.
    async fn take_out(
        &self,
        uids: &[SopInstanceUid],
        entries: &[PackEntry],
        is_dropped: &(dyn Fn(&PackEntry) -> bool + Send + Sync),
    ) -> Result<u64> {
        let mut packs = self.index().dead_copies_of(uids).await?;
        packs.extend(entries.iter().map(|entry| entry.location.pack));
        packs.sort_unstable();
        packs.dedup();
        for pack in &packs {
            self.leaves_log(*pack).await?;
        }
        let _turn = self.archive.inner.rewriting.lock().await;
        self.recover().await?;
        let (mut dropped, mut failed) = (0, Ok(()));
        for pack in packs {
            match self.rewrite(&[pack], is_dropped).await {
                Ok(rewritten) => dropped += rewritten.dropped as u64,
                Err(cause) => {
                    tracing::error!(pack = %pack, error = %cause.chain(), "a pack could not be rewritten without what is to leave it");
                    failed = failed.and(Err(cause));
                }
            }
        }
        let series: HashSet<_> = entries.iter().map(|entry| (&entry.study, &entry.series)).collect();
        for (study, series) in series {
            self.packs().objects.delete_made_of(study, series).await?;
            self.archive.inner.renditions.forget(&(study.clone(), series.clone()));
        }
        failed.map(|()| dropped)
    }

    /// How the packs are.
    ///
    /// # Errors
    /// As for [`Upkeep::due`].
    pub async fn report(&self) -> Result<PackReport> {
        let rows = self.rows().await?;
        let marks: BTreeMap<PackId, u64> = rows.iter().map(|row| (row.pack, row.mark)).collect();
        let plain: HashSet<PackId> =
            self.packs().objects.plain_packs().await?.into_iter().map(|(pack, ..)| pack).collect();
        let mut compressed = self.packs().objects.compressed_packs().await?;
        compressed.retain(|(pack, _)| marks.contains_key(pack) && !plain.contains(pack));
        let count = |is: &dyn Fn(&PackRow) -> bool| rows.iter().filter(|row| is(row)).count() as u64;
        Ok(PackReport {
            packs: count(&|row| row.stage == Stage::InUse),
            bytes: rows.iter().map(|row| row.mark).sum(),
            small: count(&|row| row.stage == Stage::InUse && row.mark < SMALL),
            dead: rows.iter().map(|row| row.dead).sum(),
            in_between: count(&|row| matches!(row.stage, Stage::InTheMaking | Stage::Retired)),
            never_verified: count(&|row| row.stage == Stage::InUse && row.verified == 0),
            waiting: self.packs().waiting() as u64,
            compressed: compressed.len() as u64,
            compressed_of: compressed.iter().filter_map(|(pack, _)| marks.get(pack)).sum(),
            compressed_to: compressed.iter().map(|(_, size)| size).sum(),
        })
    }

    async fn rewrite(
        &self,
        inputs: &[PackId],
        is_dropped: &(dyn Fn(&PackEntry) -> bool + Send + Sync),
    ) -> Result<Rewritten> {
        rewrite(self.packs(), self.index(), inputs, is_dropped).await
    }

    async fn recover(&self) -> Result<()> {
        recover(self.packs(), self.index()).await
    }

    async fn rows(&self) -> Result<Vec<PackRow>> {
        all_rows(self.index()).await
    }

    /// Those that can be rewritten: in use, and in the object store.
    fn sealed(&self, rows: &[PackRow]) -> Vec<PackRow> {
        let is_in_log = |row: &&PackRow| self.packs().log_file(row.pack).exists();
        rows.iter().filter(|row| row.stage == Stage::InUse).filter(|row| !is_in_log(row)).copied().collect()
    }

    /// The pack that has not been compared for the longest time, when that is too long. One that never was counts from
    /// when its first instance came, and the first such pack of a node is its oldest; one of records alone is short, and
    /// is compared at once.
    async fn stalest(&self, rows: &[PackRow]) -> Result<Option<PackRow>> {
        if self.archive.inner.verify_pace == 0 {
            return Ok(None);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let limit = u64::try_from(now.saturating_sub(VERIFY_EVERY).as_millis()).unwrap_or_default();
        let mut unread = self.archive.inner.unread.lock().await;
        unread.retain(|_, tried| tried.elapsed() < READ_AGAIN);
        let used = || rows.iter().filter(|row| row.stage == Stage::InUse && !unread.contains_key(&row.pack));
        let mut nodes = BTreeSet::new();
        for row in used().filter(|row| row.verified == 0 && nodes.insert(node::of(row.pack))) {
            let first = self.index().pack_entries(row.pack, 0, 1).await?;
            if first.first().is_none_or(|entry| entry.received < limit) {
                return Ok(Some(*row));
            }
        }
        Ok(used()
            .filter(|row| row.verified > 0)
            .min_by_key(|row| row.verified)
            .copied()
            .filter(|row| row.verified < limit))
    }

    /// Waits until a pack is an object; the one that is written to is sealed for it.
    async fn leaves_log(&self, pack: PackId) -> Result<()> {
        let left = async {
            while tokio::fs::try_exists(self.packs().log_file(pack)).await? {
                self.archive.store()?.seal().await?;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(())
        };
        tokio::time::timeout(LEAVE_LOG, left).await.unwrap_or_else(|_| {
            let what = format!("pack {pack} does not leave the log, so nothing can be taken out of it");
            Err(Error::new(ErrorKind::Unavailable, what))
        })
    }
}

/// What fails for want of descriptors or memory says nothing of the file.
fn is_short_of_something(error: &Error) -> bool {
    const WANTS: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error())
        .any(|code| WANTS.iter().any(|want| want.raw_os_error() == code))
}

fn uids_of(entries: &[PackEntry]) -> Vec<SopInstanceUid> {
    entries.iter().map(|entry| entry.sop_instance.clone()).collect()
}

/// What is rewritten next: one that is dead to a large part, or small ones of about a size when there are enough.
fn next_inputs(sealed: &[PackRow], pack_size: u64) -> Option<Vec<PackId>> {
    if let Some(dead) = sealed.iter().find(|row| row.dead > 0 && row.dead >= row.mark / DEAD_PART) {
        return Some(vec![dead.pack]);
    }
    let mut sizes: BTreeMap<u32, Vec<&PackRow>> = BTreeMap::new();
    for row in sealed.iter().filter(|row| row.mark < SMALL) {
        sizes.entry(row.mark.max(1).ilog2() / TOGETHER.ilog2()).or_default().push(row);
    }
    let enough = sizes.into_values().find(|packs| packs.len() >= TOGETHER)?;
    let mut bytes = 0;
    let taken = enough.iter().take(GATHERED_PACKS).take_while(|row| {
        bytes += row.mark;
        bytes <= pack_size.min(GATHERED)
    });
    let inputs: Vec<PackId> = taken.map(|row| row.pack).collect();
    (inputs.len() > 1).then_some(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pack: u64, mark: u64, dead: u64) -> PackRow {
        PackRow { pack: PackId(pack), stage: Stage::InUse, mark, dead, verified: 0 }
    }

    #[test]
    fn small_packs_are_gathered_once_there_are_enough_of_a_size() {
        let mut rows: Vec<_> = (1..16).map(|n| row(n, 600_000, 0)).collect();
        rows.push(row(16, 9 << 20, 0));
        rows.push(row(17, 1024, 0));
        assert_eq!(next_inputs(&rows, 256 << 20), None);
        rows.push(row(18, 700_000, 0));
        let inputs = next_inputs(&rows, 256 << 20).unwrap();
        assert_eq!(inputs.len(), 16);
        assert!(!inputs.contains(&PackId(16)) && !inputs.contains(&PackId(17)));
    }

    #[test]
    fn what_is_gathered_fits_a_pack() {
        let rows: Vec<_> = (1..40).map(|n| row(n, 7 << 20, 0)).collect();
        assert_eq!(next_inputs(&rows, 64 << 20).unwrap().len(), 9);
    }

    #[test]
    fn a_pack_is_rewritten_when_a_third_of_it_is_dead() {
        let rows = [row(1, 300 << 20, 99 << 20), row(2, 300 << 20, 100 << 20)];
        assert_eq!(next_inputs(&rows, 256 << 20), Some(vec![PackId(2)]));
    }
}
