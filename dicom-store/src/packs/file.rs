//! A pack's file as the writer sees it: appending, syncing, sealing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use rustix::fs::fstatvfs;

use super::disk::Disk;
use super::entry::{BLOCK, BLOCK_BYTES};
use crate::model::{PackId, Source};

/// Space that is allocated ahead of the writer, so that a sync has no new blocks to record.
const AHEAD: u64 = 32 << 20;

/// The pack that is written to.
#[derive(Debug)]
pub(crate) struct PackFile {
    pub(crate) id: PackId,
    open: Arc<OpenPack>,
    /// Where the next entry goes: the end of what is written.
    pub(crate) end: u64,
    allocated: u64,
}

impl PackFile {
    pub(crate) fn new(disk: Disk, id: PackId, file: File, end: u64) -> Self {
        Self { id, open: Arc::new(OpenPack::new(disk, file, end)), end, allocated: end }
    }

    /// Its file, to be synced.
    pub(super) fn file(&self) -> Arc<OpenPack> {
        self.open.clone()
    }

    /// Nothing more goes into this pack; it is sealed where it is durable.
    pub(super) fn is_doubtful(&self) -> bool {
        self.open.doubt.get().is_some()
    }

    /// Appends a record of the archive's own and makes it durable with one sync, when all before it is. On failure the
    /// pack ends where it ended before. The reserve of the disk is there for this: what frees a disk that is full begins with
    /// it. So nothing is allocated ahead, which images would fill.
    pub(crate) fn append(&mut self, slices: &[Bytes]) -> io::Result<()> {
        let before = self.end;
        self.write(slices)?;
        self.open.sync_to(self.end).inspect_err(|_| self.end = before)
    }

    /// Writes the slices behind the end, where they stay once [`OpenPack::sync_to`] has succeeded for the end of them. On
    /// failure the pack ends where it ended before.
    pub(crate) fn write(&mut self, slices: &[Bytes]) -> io::Result<()> {
        if let Err(error) = self.open.write(self.end, slices) {
            self.allocated = self.end;
            return Err(error);
        }
        self.end += length(slices);
        Ok(())
    }

    /// Where the pack ends once these are written; there is room for them, as far as that can be told before.
    ///
    /// # Errors
    /// `StorageFull` when less than the reserve would be left.
    pub(crate) fn make_room(&mut self, slices: &[Bytes], reserve: u64) -> io::Result<u64> {
        let length = length(slices);
        let needed = self.end + length;
        if needed <= self.allocated {
            return Ok(needed);
        }
        let OpenPack { disk, file, .. } = &*self.open;
        check_reserve(file, length, reserve)?;
        let ahead = AHEAD.max(length);
        match disk.allocate(file, self.end, ahead) {
            Ok(()) => self.allocated = self.end + ahead,
            // Without room for all of it, or on a file system that cannot, the write itself decides.
            Err(error) if is_left_to_the_write(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(needed)
    }

    /// Cuts what a crash has left behind the last entry.
    pub(crate) fn cut_torn_tail(&self) -> io::Result<()> {
        let OpenPack { disk, file, .. } = &*self.open;
        disk.set_length(file, self.end)?;
        disk.sync(file)
    }

    /// Ends the tar (two blocks of zeros) behind what is durable, when nothing is written or synced any more, and cuts what
    /// was allocated ahead or could not be synced. `false` when nothing is durable.
    pub(crate) fn seal(&self) -> io::Result<bool> {
        let OpenPack { disk, file, synced, .. } = &*self.open;
        let end = synced.load(Ordering::Acquire);
        if end == 0 {
            return Ok(false);
        }
        disk.write(file, end, &[Bytes::from_static(&[0; 2 * BLOCK_BYTES])])?;
        disk.set_length(file, end + 2 * BLOCK)?;
        disk.sync(file).map(|()| true)
    }
}

/// The file of that pack, which one thread writes to while another syncs.
#[derive(Debug)]
pub(super) struct OpenPack {
    disk: Disk,
    file: File,
    /// Held while something is written, and to cut what could not be synced.
    writing: Mutex<()>,
    /// What lies before this is durable.
    synced: AtomicU64,
    /// Why a sync has failed, or a cut: the system may have forgotten what it was to write, and a later sync would not tell.
    doubt: OnceLock<(io::ErrorKind, String)>,
}

impl OpenPack {
    fn new(disk: Disk, file: File, end: u64) -> Self {
        let synced = AtomicU64::new(end);
        Self { disk, file, writing: Mutex::new(()), synced, doubt: OnceLock::new() }
    }

    /// Takes away again what a failed write has left, so that it is never mistaken for something that was answered.
    fn write(&self, at: u64, slices: &[Bytes]) -> io::Result<()> {
        let alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        self.disk.write(&self.file, at, slices).inspect_err(|error| {
            if self.cut(&alone, at).is_err() {
                self.doubts(error);
            }
        })
    }

    /// Makes durable what was written, as far as this place. On failure all that was written since the last success is
    /// cut: the system's cache would give the bytes to the next start as if they were on the disk.
    pub(super) fn sync_to(&self, end: u64) -> io::Result<()> {
        if let Err(error) = self.check().and_then(|()| self.disk.sync(&self.file)) {
            let alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            self.doubts(&error);
            // What cannot be cut is cut when the pack is sealed.
            let _ = self.cut(&alone, self.synced.load(Ordering::Acquire));
            return Err(error);
        }
        self.synced.store(end, Ordering::Release);
        Ok(())
    }

    fn cut(&self, _alone: &MutexGuard<'_, ()>, to: u64) -> io::Result<()> {
        self.disk.set_length(&self.file, to)
    }

    fn doubts(&self, error: &io::Error) {
        // The first reason is the one.
        let _ = self.doubt.set((error.kind(), error.to_string()));
    }

    fn check(&self) -> io::Result<()> {
        self.doubt.get().map_or(Ok(()), |(kind, why)| Err(io::Error::new(*kind, why.clone())))
    }
}

fn length(slices: &[Bytes]) -> u64 {
    slices.iter().map(|slice| slice.len() as u64).sum()
}

fn is_left_to_the_write(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, StorageFull, Unsupported};
    matches!(error.kind(), InvalidInput | StorageFull | Unsupported)
}

/// # Errors
/// `StorageFull` when less than the reserve would be left.
pub(crate) fn check_reserve(file: &File, length: u64, reserve: u64) -> io::Result<()> {
    let stat = fstatvfs(file)?;
    has_room(stat.f_bavail.saturating_mul(stat.f_frsize), length, reserve)
}

fn has_room(free: u64, length: u64, reserve: u64) -> io::Result<()> {
    if free >= reserve.saturating_add(length) {
        return Ok(());
    }
    let what = if reserve == 0 {
        format!("disk has {} KiB left, and no room for {} KiB", free >> 10, length.div_ceil(1024))
    } else {
        format!("disk has {} MiB left, {} MiB are kept free (store.reserve-mib)", free >> 20, reserve >> 20)
    };
    Err(io::Error::new(io::ErrorKind::StorageFull, what))
}

/// A part of a file as a source to scan, read through a window.
pub(crate) struct FileSource<'a> {
    file: &'a File,
    start: u64,
    length: u64,
    /// What has been read of it already.
    beginning: Bytes,
    window: Vec<u8>,
    window_at: u64,
}

/// Bytes that are read at a time, where one thing follows the other.
const WINDOW: usize = 64 * 1024;
/// The same where something was stepped over: from one fragment to the next there is only a length to read.
const STEP: usize = 4 * 1024;

impl<'a> FileSource<'a> {
    /// `length` bytes from `start` of the file.
    pub(crate) fn new(file: &'a File, start: u64, length: u64) -> Self {
        Self { file, start, length, beginning: Bytes::new(), window: Vec::new(), window_at: 0 }
    }

    /// The same part, of which these bytes are the first.
    pub(crate) fn begun(self, beginning: Bytes) -> Self {
        Self { beginning, ..self }
    }

    /// Whether this place is where what was read last ends, or within it.
    fn goes_on(&self, offset: u64) -> bool {
        let end = self.window_at + self.window.len() as u64;
        (self.window_at..=end).contains(&offset) || offset <= self.beginning.len() as u64
    }
}

impl Source for FileSource<'_> {
    fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(left);
        if offset + want as u64 <= self.beginning.len() as u64 {
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            return Ok(self.beginning.get(at..at + want).unwrap_or_default());
        }
        let is_inside =
            offset >= self.window_at && offset + want as u64 <= self.window_at + self.window.len() as u64;
        if !is_inside {
            let some = if self.goes_on(offset) { WINDOW } else { STEP };
            self.window.resize(want.max(some).min(left), 0);
            self.file.read_exact_at(&mut self.window, self.start + offset)?;
            self.window_at = offset;
        }
        let at = usize::try_from(offset - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(at..at + want).unwrap_or_default())
    }

    fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use std::sync::Arc;

    use super::super::disk::Step;
    use super::*;

    #[test]
    fn what_could_not_be_synced_does_not_stay_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.tar");
        let refuses = |step: &Step<'_>| match step {
            Step::Sync { .. } => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        };
        let disk = Disk::watched_by(Arc::new(refuses));
        let mut pack = PackFile::new(disk.clone(), PackId(1), disk.create(&path).unwrap(), 0);
        assert!(pack.append(&[Bytes::from_static(&[1; 1024])]).is_err());
        assert!(pack.is_doubtful() && pack.end == 0);
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
    }

    #[test]
    fn what_was_written_behind_something_that_could_not_be_synced_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.tar");
        let syncs = AtomicU64::new(0);
        let refuses_the_second = move |step: &Step<'_>| match step {
            Step::Sync { .. } if syncs.fetch_add(1, Ordering::Relaxed) == 1 => {
                Err(io::ErrorKind::Other.into())
            }
            _ => Ok(()),
        };
        let disk = Disk::watched_by(Arc::new(refuses_the_second));
        let mut pack = PackFile::new(disk.clone(), PackId(1), disk.create(&path).unwrap(), 0);
        let block = [Bytes::from_static(&[1; 512])];
        pack.append(&block).unwrap();
        let open = pack.file();
        pack.write(&block).unwrap();
        let first = pack.end;
        pack.write(&block).unwrap();
        assert!(
            open.sync_to(first).is_err() && open.sync_to(pack.end).is_err() && pack.write(&block).is_err()
        );
        assert_eq!(std::fs::metadata(path).unwrap().len(), 512);
    }

    #[test]
    fn a_disk_has_room_beside_its_reserve_and_without_one_for_what_comes() {
        let refused = |free, length, reserve| has_room(free, length, reserve).unwrap_err().to_string();
        assert!(has_room(10 << 20, 1 << 20, 9 << 20).is_ok() && has_room(1 << 20, 1 << 20, 0).is_ok());
        assert_eq!(
            refused(10 << 20, 1, 10 << 20),
            "disk has 10 MiB left, 10 MiB are kept free (store.reserve-mib)"
        );
        assert_eq!(refused(5 << 10, 1 << 20, 0), "disk has 5 KiB left, and no room for 1024 KiB");
    }
}
