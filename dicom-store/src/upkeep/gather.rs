//! Gathering small packs, and rewriting those that are dead to a large part.

use std::collections::BTreeMap;
use std::time::Instant;

use super::removal::stays;
use super::{Done, SMALL, Upkeep};
use crate::index::{PackRow, Stage};
use crate::model::PackId;
use crate::{Error, ErrorKind, Result};

/// Packs of about a size that are gathered together: each byte is written anew about once for each sixteenfold of size.
const TOGETHER: usize = 16;
/// Bytes and packs of one gathering, at the most, so that it does not keep the index for long.
const GATHERED: u64 = 64 << 20;
const GATHERED_PACKS: usize = 1000;
/// Other packs that are read, the smallest, to see whether it is for the pack that one cannot be.
const OTHERS: usize = 3;
/// A pack is rewritten when the dead part of it is one of so many.
const DEAD_PART: u64 = 3;

impl Upkeep {
    /// What is rewritten next. What could not be read lately is left alone.
    pub(super) async fn next_to_gather(&self, rows: &[PackRow]) -> Option<Vec<PackId>> {
        let unread = self.unread().await;
        let mut sealed: Vec<PackRow> = rows.iter().filter(|row| row.stage == Stage::InUse).copied().collect();
        sealed.retain(|row| !unread.contains(&row.pack) && !self.packs().log_file(row.pack).exists());
        next_inputs(&sealed, self.archive.inner.pack_size)
    }

    /// Gathers and rewrites until nothing is left to do.
    ///
    /// # Errors
    /// What is the matter with all packs alike: no room, no index, no object store.
    pub(super) async fn gather(&self) -> Result<Done> {
        let mut done = Done::default();
        loop {
            let _turn = self.archive.inner.rewriting.lock().await;
            self.recover().await?;
            let rows = self.rows().await?;
            let Some(inputs) = self.next_to_gather(&rows).await else { return Ok(done) };
            match self.rewrite(&inputs, &|_| false).await {
                Ok(_) => done.count += inputs.len() as u64,
                Err(cause) if self.leave_alone(&inputs, &rows, &cause).await? => {
                    done.failed = done.failed.and(Err(cause));
                }
                Err(cause) => return Err(cause),
            }
        }
    }

    /// Looks which of these cannot be read, where that may be why they were not rewritten, and leaves them alone for a day.
    /// `false` when it is something else: where no other pack can be read either, it is not for the pack.
    pub(super) async fn leave_alone(
        &self,
        packs: &[PackId],
        rows: &[PackRow],
        cause: &Error,
    ) -> Result<bool> {
        if !is_for_reading(cause) || !self.is_of_pack(cause).await {
            return Ok(false);
        }
        let (mut unread, mut is_another_read) = (Vec::new(), false);
        let mut others: Vec<&PackRow> =
            rows.iter().filter(|row| row.stage == Stage::InUse && !packs.contains(&row.pack)).collect();
        others.sort_by_key(|row| row.mark);
        others.truncate(OTHERS);
        for row in rows.iter().filter(|row| packs.contains(&row.pack)).chain(others) {
            let is_meant = packs.contains(&row.pack);
            if !is_meant && (is_another_read || unread.is_empty()) {
                break;
            }
            match self.packs().read_through(row.pack, row.mark).await {
                Ok(()) => is_another_read = true,
                Err(cause) if is_for_reading(&cause) && is_meant => unread.push((row.pack, cause)),
                Err(cause) if is_for_reading(&cause) => {}
                Err(cause) => return Err(cause),
            }
        }
        if !is_another_read || unread.is_empty() {
            return Ok(false);
        }
        let mut left = self.archive.inner.unread.lock().await;
        for (pack, cause) in unread {
            tracing::error!(%pack, error = %cause.chain(), "a pack cannot be read, so it stays as it is; it is tried again in a day");
            left.insert(pack, Instant::now());
        }
        Ok(true)
    }

    /// Rewrites packs with copies that nothing refers to, and that are to go.
    ///
    /// # Errors
    /// As for [`Upkeep::gather`].
    pub(super) async fn rewrite_dead_copies(&self) -> Result<Done> {
        let mut done = Done::default();
        let packs = self.dead_copies_due().await?;
        let in_log = self.leave_log(&packs).await?;
        for pack in packs {
            if in_log.contains(&pack) {
                done.failed = done.failed.and(Err(stays(pack)));
                continue;
            }
            let _turn = self.archive.inner.rewriting.lock().await;
            self.recover().await?;
            match self.rewrite(&[pack], &|_| false).await {
                Ok(_) => done.count += 1,
                Err(cause) => done.failed = done.failed.and(Err(cause)),
            }
        }
        Ok(done)
    }
}

fn is_for_reading(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Corrupt)
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
