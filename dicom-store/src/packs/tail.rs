//! What lies behind the last whole entry of a pack that was not closed well.
//!
//! A crash tears the groups that were being written and synced: nobody was answered for them, and they may be cut. A
//! disk that has lost or changed what it held damages entries that may well have been answered: those
//! are kept, for somebody to look at. The two are told apart by what a tear can do. It happens in a
//! pack that is still open, behind everything that the index knows, and it leaves each sector as it
//! was written or as it was before, which is zero: the pack was allocated ahead, and what a failed
//! write leaves is cut at once. So an entry that is not whole though none of its sectors is missing
//! was whole once. Whatever cannot be told is taken for damage.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::entry::{BLOCK, BLOCK_BYTES, Entry, padded};
use super::pack_bytes::PackBytes;

const BUFFER: u64 = 1 << 20;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing but space that was allocated ahead: the next entry goes here.
    Free,
    /// The two blocks of zeros that end a tar, and nothing behind them.
    Sealed,
    /// A group that a crash tore. Nobody was answered.
    Torn,
    /// What may have been answered once.
    Damaged,
}

impl Tail {
    /// `is_followed`: the index was there before, so that what it does not know was not answered, but
    /// for what a power cut took from it.
    pub(super) fn of(file: &PackBytes, tail: Range<u64>, is_followed: bool) -> io::Result<Self> {
        let seen = Self::seen(file, tail, is_followed);
        // No crash makes a place that cannot be read.
        Ok(file.unless_lost(seen)?.unwrap_or(Self::Damaged))
    }

    fn seen(file: &PackBytes, tail: Range<u64>, is_followed: bool) -> io::Result<Self> {
        if is_zero(file, tail.clone())? {
            let is_sealed = tail.end == tail.start + 2 * BLOCK;
            return Ok(if is_sealed { Self::Sealed } else { Self::Free });
        }
        let is_torn = is_followed && !was_sealed(file, &tail)? && may_be_torn(file, tail.start, tail.end)?;
        Ok(if is_torn { Self::Torn } else { Self::Damaged })
    }
}

/// Whether a crash can have made what begins here, where no whole entry begins.
pub(super) fn is_tear(file: &PackBytes, start: u64, end: u64) -> io::Result<bool> {
    let seen = may_be_torn(file, start, end);
    Ok(file.unless_lost(seen)?.unwrap_or(false))
}

fn may_be_torn(file: &PackBytes, start: u64, end: u64) -> io::Result<bool> {
    let Some(header) = block_at(file, start, end)? else { return Ok(true) };
    let size = match Entry::read(&header) {
        Some(entry) => padded(entry.size),
        None => return Ok(header == [0; BLOCK_BYTES]),
    };
    let Some(entry_end) = start.checked_add(size).filter(|entry_end| *entry_end <= end) else {
        return Ok(true);
    };
    has_zero_block(file, start + BLOCK..entry_end)
}

/// A pack that was sealed was synced before: it ends in two blocks of zeros, right behind its last entry.
fn was_sealed(file: &PackBytes, tail: &Range<u64>) -> io::Result<bool> {
    let Some(last) = tail.end.checked_sub(2 * BLOCK).filter(|last| *last > tail.start) else {
        return Ok(false);
    };
    if !is_zero(file, last..tail.end)? {
        return Ok(false);
    }
    let before = last.saturating_sub(BLOCK);
    if before.is_multiple_of(BLOCK) && !is_zero(file, before..last)? {
        return Ok(true);
    }
    // The last entry itself may end in zeros: then its header says where.
    let mut at = tail.start;
    while at < last {
        let Some(entry) = block_at(file, at, last)?.and_then(|block| Entry::read(&block)) else {
            return Ok(false);
        };
        at = at.saturating_add(padded(entry.size));
    }
    Ok(at == last)
}

fn block_at(file: &PackBytes, at: u64, end: u64) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
    let mut block = [0; BLOCK_BYTES];
    if at.checked_add(BLOCK).is_none_or(|block_end| block_end > end) {
        return Ok(None);
    }
    file.read_exact_at(&mut block, at)?;
    Ok(Some(block))
}

pub(super) fn is_zero(file: &PackBytes, range: Range<u64>) -> io::Result<bool> {
    let Some(first) = next_data(file.file(), range.start)? else { return Ok(true) };
    let differs = |part: &[u8]| part.chunks(ZEROS.len()).any(|some| !is_prefix_of_zeros(some));
    any_part(file, first.max(range.start)..range.end, differs).map(|found| !found)
}

/// The block in which the next data lies, as far as the file system tells; what it leaves out is zero.
pub(super) fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(at.max(data / BLOCK * BLOCK))),
        Err(Errno::NXIO) => Ok(None),
        // A file system that does not know.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(at)),
        Err(error) => Err(error.into()),
    }
}

fn has_zero_block(file: &PackBytes, range: Range<u64>) -> io::Result<bool> {
    any_part(file, range, |part| part.chunks(BLOCK_BYTES).any(is_prefix_of_zeros))
}

/// Compared as a whole: byte by byte, 32 MiB that were allocated ahead would be felt.
fn is_prefix_of_zeros(bytes: &[u8]) -> bool {
    ZEROS.get(..bytes.len()) == Some(bytes)
}

/// Whether a part of the range, in steps of whole blocks, is what is looked for.
fn any_part(file: &PackBytes, range: Range<u64>, is_it: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let mut buffer = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let want = (range.end - at).min(BUFFER);
        buffer.resize(usize::try_from(want).unwrap_or_default(), 0);
        file.read_exact_at(&mut buffer, at)?;
        if is_it(&buffer) {
            return Ok(true);
        }
        at += want;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use rstest::rstest;

    use super::super::disk::Disk;
    use super::*;

    /// An entry of three blocks of content, none of them zero.
    fn entry() -> Vec<u8> {
        let mut bytes = Entry::header("1/2/3.dcm", 1500, &[7; 32], 0).unwrap().to_vec();
        bytes.resize(512 + 1500, 5);
        bytes.resize(512 + 1536, 0);
        bytes
    }

    fn tail(bytes: &[u8], allocated: usize, is_followed: bool) -> Tail {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.set_len((bytes.len() + allocated) as u64).unwrap();
        let file = PackBytes::new(Arc::new(file), &Disk::default());
        Tail::of(&file, 0..(bytes.len() + allocated) as u64, is_followed).unwrap()
    }

    fn without(mut bytes: Vec<u8>, range: Range<usize>) -> Vec<u8> {
        bytes[range].fill(0);
        bytes
    }

    #[test]
    fn zeros_are_free_and_two_blocks_of_them_are_the_end() {
        assert_eq!(tail(&[], 0, true), Tail::Free);
        assert_eq!(tail(&[], 1 << 20, false), Tail::Free);
        assert_eq!(tail(&[], 1024, true), Tail::Sealed);
    }

    #[rstest]
    #[case::content(without(entry(), 1024..2048), 1 << 20)]
    #[case::header(without(entry(), 0..512), 1 << 20)]
    #[case::end_of_the_file(entry()[..1024].to_vec(), 0)]
    #[case::end_within_a_header(entry()[..100].to_vec(), 0)]
    fn a_sector_that_is_missing_is_a_tear(#[case] bytes: Vec<u8>, #[case] allocated: usize) {
        assert_eq!(tail(&bytes, allocated, true), Tail::Torn);
        assert_eq!(tail(&bytes, allocated, false), Tail::Damaged, "without an index nothing is known");
    }

    #[rstest]
    #[case::content(600)]
    #[case::header(20)]
    fn a_sector_that_has_changed_is_damage(#[case] at: usize) {
        let mut bytes = entry();
        bytes[at] ^= 1;
        assert_eq!(tail(&bytes, 1 << 20, true), Tail::Damaged);
    }

    #[test]
    fn what_is_missing_in_a_sealed_pack_is_damage() {
        assert_eq!(tail(&without(entry(), 512..1024), 1024, true), Tail::Damaged);
        assert_eq!(tail(&without(entry(), 512..2048), 1024, true), Tail::Damaged);
    }
}
