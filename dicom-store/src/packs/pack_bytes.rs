//! The file of a pack, as it is read from end to end.
//!
//! A disk that has lost some of it says so for these bytes and gives all others: that is damage of the pack, to be told and
//! stepped over. Whatever else stands in the way of reading is no fault of the pack, and may pass.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::disk::Disk;
use crate::objects::compressed::LOST;

/// Bytes that are given up at a time where the disk has lost some.
const PIECE: u64 = 4096;
const STEP: u64 = 1 << 20;

/// A pack's file, or a copy of the pack.
#[derive(Debug, Clone)]
pub(crate) struct PackBytes {
    file: Arc<File>,
    disk: Disk,
    /// What the disk loses of a copy is no fault of the pack.
    is_copy: bool,
}

/// The first place that could not be read, and what the disk says.
#[derive(Debug)]
pub(super) struct LostPlace {
    at: u64,
    says: String,
}

impl fmt::Display for LostPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the disk cannot read what begins at byte {} of the pack: {}", self.at, self.says)
    }
}

/// Whether the disk says that it has lost these bytes, and not that it cannot be used: a sector that cannot be read, a
/// checksum of the file system or of the disk that does not hold.
pub(crate) fn is_lost(error: &io::Error) -> bool {
    let lost = [Errno::IO, Errno::NODATA, Errno::ILSEQ, Errno::BADMSG, Errno::UCLEAN, Errno::REMOTEIO];
    Errno::from_io_error(error).is_some_and(|errno| lost.contains(&errno))
}

impl PackBytes {
    pub(super) fn new(file: Arc<File>, disk: &Disk) -> Self {
        Self { file, disk: disk.clone(), is_copy: false }
    }

    /// A copy of a pack that is no file of this machine.
    pub(super) fn of_copy(file: Arc<File>, disk: &Disk) -> Self {
        Self { is_copy: true, ..Self::new(file, disk) }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn into_file(self) -> Arc<File> {
        self.file
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether an error of reading it says that the pack is damaged there.
    pub(super) fn has_lost(&self, error: &io::Error) -> bool {
        !self.is_copy && is_lost(error)
    }

    /// What was read; `None` where the disk has lost some of it.
    pub(super) fn unless_lost<T>(&self, read: io::Result<T>) -> io::Result<Option<T>> {
        match read {
            Err(error) if self.has_lost(&error) => Ok(None),
            read => read.map(Some),
        }
    }

    pub(super) fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.disk.read_exact_at(&self.file, bytes, at)
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.disk.read_at(&self.file, bytes, at)
    }

    /// Reads all, with [`LOST`] for what the disk has lost.
    pub(super) fn read_legible_at(&self, bytes: &mut [u8], at: u64) -> io::Result<Option<LostPlace>> {
        match self.read_exact_at(bytes, at) {
            Err(error) if self.has_lost(&error) => {}
            read => return read.map(|()| None),
        }
        let (mut first, mut place) = (None, at);
        let mut rest = bytes;
        while !rest.is_empty() {
            let next = (place / PIECE + 1) * PIECE;
            let length = usize::try_from(next - place).unwrap_or(usize::MAX).min(rest.len());
            let (piece, behind) = rest.split_at_mut(length);
            match self.read_exact_at(piece, place) {
                Err(error) if self.has_lost(&error) => {
                    piece.fill(LOST);
                    first.get_or_insert(LostPlace { at: place, says: error.to_string() });
                }
                read => read?,
            }
            (rest, place) = (behind, next);
        }
        Ok(first)
    }

    /// The first place within a part of it that the disk has lost.
    pub(super) fn first_lost(&self, part: std::ops::Range<u64>) -> io::Result<Option<LostPlace>> {
        let mut buffer = vec![0; usize::try_from(part.end.saturating_sub(part.start).min(STEP)).unwrap_or(0)];
        let mut at = part.start;
        while at < part.end {
            let want = usize::try_from((part.end - at).min(STEP)).unwrap_or_default();
            let lost = self.read_legible_at(buffer.get_mut(..want).unwrap_or_default(), at)?;
            if lost.is_some() {
                return Ok(lost);
            }
            at += want as u64;
        }
        Ok(None)
    }
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    /// A file of three pieces, the second of which the disk has lost.
    #[allow(clippy::unwrap_used, reason = "a test's preparation")]
    fn bytes() -> PackBytes {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 3 * 4096]).unwrap();
        let disk = Disk::reading_by(Arc::new(|_, range| {
            let is_lost = range.start < 8192 && range.end > 4096;
            if is_lost { Err(Errno::IO.into()) } else { Ok(()) }
        }));
        PackBytes::new(Arc::new(file), &disk)
    }

    #[test]
    fn what_the_disk_has_lost_is_told_and_all_around_it_is_read() {
        let (bytes, mut read) = (bytes(), vec![0; 12_000]);
        let lost = bytes.read_legible_at(&mut read, 100).unwrap().unwrap();
        assert_eq!(lost.at, 4096);
        let is_lost = |place: usize| (4096..8192).contains(&(place + 100));
        assert!(read.iter().enumerate().all(|(place, byte)| *byte == if is_lost(place) { LOST } else { 7 }));
        assert_eq!(bytes.first_lost(0..4096).unwrap().map(|lost| lost.at), None);
        assert_eq!(bytes.first_lost(0..12_288).unwrap().map(|lost| lost.at), Some(4096));
    }

    #[test]
    fn what_is_lost_of_a_copy_is_an_error_like_another() {
        let bytes = PackBytes { is_copy: true, ..bytes() };
        assert!(bytes.read_legible_at(&mut [0; 12_288], 0).is_err());
    }

    #[rstest]
    #[case(Errno::IO, true)]
    #[case(Errno::NODATA, true)]
    #[case(Errno::ACCESS, false)]
    #[case(Errno::MFILE, false)]
    fn some_errors_say_that_bytes_are_lost(#[case] errno: Errno, #[case] lost: bool) {
        assert_eq!(is_lost(&errno.into()), lost);
    }
}
