//! A pack's file as the writer sees it: appending, syncing, sealing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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
    disk: Disk,
    file: File,
    /// Where the next entry goes.
    pub(crate) end: u64,
    allocated: u64,
    /// A sync has failed: the system may have forgotten what it was to write, and a later sync would
    /// not tell. Nothing more goes into this pack; the next start reads what it holds.
    pub(crate) is_doubtful: bool,
}

impl PackFile {
    pub(crate) fn new(disk: Disk, id: PackId, file: File, end: u64) -> Self {
        Self { id, disk, file, end, allocated: end, is_doubtful: false }
    }

    /// Appends a record of the archive's own and makes it durable with one sync. On failure the pack ends where it
    /// ended before. The reserve of the disk is there for this: what frees a disk that is full begins with it. So nothing
    /// is allocated ahead, which images would fill.
    pub(crate) fn append(&mut self, slices: &[Bytes]) -> io::Result<()> {
        self.write(slices)?;
        self.sync_to(self.end + length(slices))
    }

    /// Writes the slices behind the end, where they stay once [`PackFile::sync_to`] has succeeded for the end of them. On
    /// failure the pack ends where it ended before.
    pub(crate) fn write(&mut self, slices: &[Bytes]) -> io::Result<()> {
        self.disk.write(&self.file, self.end, slices).inspect_err(|_| self.cut())
    }

    /// Makes durable what was written; the pack ends there from now on. On failure it is cut: the system's cache would
    /// give the bytes to the next start as if they were on the disk.
    pub(crate) fn sync_to(&mut self, end: u64) -> io::Result<()> {
        if let Err(error) = self.disk.sync(&self.file) {
            self.cut();
            self.is_doubtful = true;
            return Err(error);
        }
        self.end = end;
        Ok(())
    }

    /// Takes away what a failed write has left, so that it is never mistaken for something that was answered.
    fn cut(&mut self) {
        match self.disk.set_length(&self.file, self.end) {
            Ok(()) => self.allocated = self.end,
            Err(_also_failed) => self.is_doubtful = true,
        }
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
        check_reserve(&self.file, length, reserve)?;
        let ahead = AHEAD.max(length);
        match self.disk.allocate(&self.file, self.end, ahead) {
            Ok(()) => self.allocated = self.end + ahead,
            // Without room for all of it, or on a file system that cannot, the write itself decides.
            Err(error) if is_left_to_the_write(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(needed)
    }

    /// Cuts what a crash has left behind the last entry.
    pub(crate) fn cut_torn_tail(&self) -> io::Result<()> {
        self.disk.set_length(&self.file, self.end)?;
        self.disk.sync(&self.file)
    }

    /// Ends the tar (two blocks of zeros) and cuts what was allocated ahead.
    pub(crate) fn seal(&self) -> io::Result<()> {
        self.disk.write(&self.file, self.end, &[Bytes::from_static(&[0; 2 * BLOCK_BYTES])])?;
        self.disk.set_length(&self.file, self.end + 2 * BLOCK)?;
        self.disk.sync(&self.file)
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
        assert!(pack.is_doubtful && pack.end == 0);
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
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
