//! A pack's file as the writer sees it: appending, syncing, sealing.

use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::entry::{BLOCK, BLOCK_BYTES};
use crate::model::{PackId, Source};

/// Space that is allocated ahead of the writer, so that a sync has no new blocks to record.
const AHEAD: u64 = 32 << 20;
/// Slices handed to one writev.
const MAX_SLICES: usize = 512;

/// The pack that is written to.
#[derive(Debug)]
pub(crate) struct PackFile {
    pub(crate) id: PackId,
    file: File,
    /// Where the next entry goes.
    pub(crate) end: u64,
    allocated: u64,
}

impl PackFile {
    pub(crate) fn new(id: PackId, file: File, end: u64) -> Self {
        Self { id, file, end, allocated: end }
    }

    /// Appends the slices and makes them durable with one sync. On failure the pack is as before:
    /// what was written lies behind its end, and the next write goes over it.
    pub(crate) fn append(&mut self, slices: &[Bytes], reserve: u64) -> io::Result<()> {
        let length: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        self.make_room(length, reserve)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        write_all(&mut self.file, slices)?;
        self.file.sync_data()?;
        self.end += length;
        Ok(())
    }

    fn make_room(&mut self, length: u64, reserve: u64) -> io::Result<()> {
        let needed = self.end + length;
        if needed <= self.allocated {
            return Ok(());
        }
        check_reserve(&self.file, length, reserve)?;
        let ahead = AHEAD.max(length);
        match fallocate(&self.file, FallocateFlags::empty(), self.end, ahead) {
            Ok(()) => self.allocated = self.end + ahead,
            // Without room for all of it, or on a file system that cannot, the write itself decides.
            Err(Errno::NOSPC | Errno::OPNOTSUPP | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Ends the tar (two blocks of zeros) and cuts what was allocated ahead.
    pub(crate) fn seal(&self) -> io::Result<()> {
        self.file.write_all_at(&[0; 2 * BLOCK_BYTES], self.end)?;
        self.file.set_len(self.end + 2 * BLOCK)?;
        self.file.sync_all()
    }
}

/// # Errors
/// `StorageFull` when less than the reserve would be left.
pub(crate) fn check_reserve(file: &File, length: u64, reserve: u64) -> io::Result<()> {
    let stat = fstatvfs(file)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < reserve.saturating_add(length) {
        let what = format!(
            "disk has {} MiB left, {} MiB are kept free (store.reserve-mib)",
            free >> 20,
            reserve >> 20
        );
        return Err(io::Error::new(io::ErrorKind::StorageFull, what));
    }
    Ok(())
}

pub(crate) fn write_all(file: &mut File, slices: &[Bytes]) -> io::Result<()> {
    for part in slices.chunks(MAX_SLICES) {
        let mut views: Vec<IoSlice<'_>> = part.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut views = views.as_mut_slice();
        IoSlice::advance_slices(&mut views, 0);
        while !views.is_empty() {
            match file.write_vectored(views) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut views, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A part of a file as a source to scan, read through a window.
pub(crate) struct FileSource<'a> {
    file: &'a File,
    start: u64,
    length: u64,
    window: Vec<u8>,
    window_at: u64,
}

const WINDOW: usize = 64 * 1024;

impl<'a> FileSource<'a> {
    /// `length` bytes from `start` of the file.
    pub(crate) fn new(file: &'a File, start: u64, length: u64) -> Self {
        Self { file, start, length, window: Vec::new(), window_at: 0 }
    }
}

impl Source for FileSource<'_> {
    fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(left);
        let is_inside =
            offset >= self.window_at && offset + want as u64 <= self.window_at + self.window.len() as u64;
        if !is_inside {
            self.window.resize(want.max(WINDOW).min(left), 0);
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
