//! What the log does to files, one step at a time.
//!
//! Every change of a file or a folder of the log goes through [`Disk`]. Where somebody watches, each
//! step is told before it is taken, and not taken when the watcher says no: so a test knows what the
//! disk was asked to hold at any moment, and what becomes of the archive when it does not.

#![cfg_attr(
    not(feature = "fixtures"),
    expect(
        unreachable_pub,
        dead_code,
        reason = "fixtures give the steps to tests, which read what they say"
    )
)]

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with};
use rustix::io::{Errno, pwritev};

/// Slices handed to one `pwritev`.
const MAX_SLICES: usize = 512;

/// Something that is about to be done, in the words of the file system.
#[derive(Debug)]
pub enum Step<'a> {
    Create {
        path: &'a Path,
    },
    Allocate {
        file: &'a File,
        at: u64,
        length: u64,
    },
    Write {
        file: &'a File,
        at: u64,
        parts: &'a [Bytes],
    },
    SetLength {
        file: &'a File,
        length: u64,
    },
    /// All that was written to the file before is on stable storage afterwards.
    Sync {
        file: &'a File,
    },
    Rename {
        from: &'a Path,
        to: &'a Path,
    },
    Remove {
        path: &'a Path,
    },
    /// The names in the folder are on stable storage afterwards.
    SyncFolder {
        path: &'a Path,
    },
    /// The index takes a group.
    Commit,
    /// The index has taken it, or has refused it.
    Committed,
    /// All that the index has taken is on stable storage afterwards.
    SyncIndex,
}

/// Hears of each step before it is taken; its error takes the step's place.
pub type Watch = Arc<dyn Fn(&Step<'_>) -> io::Result<()> + Send + Sync>;

/// Hears of each reading of a pack from end to end before it is done; its error takes the place of what would be read.
pub type ReadWatch = Arc<dyn Fn(&File, Range<u64>) -> io::Result<()> + Send + Sync>;

/// The file system below the log.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    watch: Option<Watch>,
    reads: Option<ReadWatch>,
}

impl Disk {
    /// The disk as it is, with somebody who watches.
    #[cfg(feature = "fixtures")]
    pub(crate) fn watched_by(watch: Watch) -> Self {
        Self { watch: Some(watch), reads: None }
    }

    /// The disk as it is, but for what cannot be read of it.
    #[cfg(feature = "fixtures")]
    pub(crate) fn reading_by(reads: ReadWatch) -> Self {
        Self { watch: None, reads: Some(reads) }
    }

    pub(super) fn read_exact_at(&self, file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.tell_read(file, bytes, at)?;
        file.read_exact_at(bytes, at)
    }

    /// As much as there is at once.
    pub(super) fn read_at(&self, file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.tell_read(file, bytes, at)?;
        file.read_at(bytes, at)
    }

    fn tell_read(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.reads.as_ref().map_or(Ok(()), |reads| reads(file, at..at + bytes.len() as u64))
    }

    /// Tells of a step that is taken elsewhere.
    pub(crate) fn tell(&self, step: &Step<'_>) -> io::Result<()> {
        self.watch.as_ref().map_or(Ok(()), |watch| watch(step))
    }

    /// Makes a file that must not be there yet.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        self.tell(&Step::Create { path })?;
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Blocks for what is to be written, so that a sync has no new ones to record.
    pub(crate) fn allocate(&self, file: &File, at: u64, length: u64) -> io::Result<()> {
        self.tell(&Step::Allocate { file, at, length })?;
        Ok(fallocate(file, FallocateFlags::empty(), at, length)?)
    }

    /// Writes all parts, one after the other.
    pub(crate) fn write(&self, file: &File, at: u64, parts: &[Bytes]) -> io::Result<()> {
        self.tell(&Step::Write { file, at, parts })?;
        let mut at = at;
        for some in parts.chunks(MAX_SLICES) {
            let mut views: Vec<IoSlice<'_>> = some.iter().map(|part| IoSlice::new(part)).collect();
            let mut views = views.as_mut_slice();
            IoSlice::advance_slices(&mut views, 0);
            while !views.is_empty() {
                match pwritev(file, views, at) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        at += written as u64;
                        IoSlice::advance_slices(&mut views, written);
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    pub(crate) fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        self.tell(&Step::SetLength { file, length })?;
        file.set_len(length)
    }

    /// `fdatasync`: the bytes, and the length where it has changed.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.tell(&Step::Sync { file })?;
        file.sync_data()
    }

    /// Renames, and never over something that is there.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tell(&Step::Rename { from, to })?;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag.
            Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => std::fs::rename(from, to),
            result => Ok(result?),
        }
    }

    /// The same into another folder, durably.
    pub(crate) fn move_to(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename(from, to)?;
        self.sync_folder(folder_of(to))?;
        self.sync_folder(folder_of(from))
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.tell(&Step::Remove { path })?;
        std::fs::remove_file(path)
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.tell(&Step::SyncFolder { path })?;
        File::open(path)?.sync_all()
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_watched = self.watch.is_some() || self.reads.is_some();
        f.debug_struct("Disk").field("is_watched", &is_watched).finish()
    }
}
