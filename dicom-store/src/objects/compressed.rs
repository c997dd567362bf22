//! Sealed packs that lie compressed: the tar file in Zstandard frames of 1 MiB each, and a table of where they lie.
//!
//! It is a plain Zstandard file (RFC 8878): `zstd -d` makes the tar file of it again, byte for byte, and `tar --zstd -xf`
//! unpacks it. The table stands in a skippable frame at its end, as in Zstandard's seekable format, so that a part is read
//! without the rest. Each frame has a checksum of its content.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::{Error, Result};

/// Bytes of the tar file in a frame; the last one has what is left.
pub(crate) const FRAME: u64 = 1 << 20;
/// Beyond this a little is gained for much time.
const LEVEL: i32 = 3;
/// A skippable frame, and the end of a table of the seekable format.
const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
/// Bytes of the end of the table: number of frames, descriptor, magic.
pub(crate) const FOOTER: u64 = 9;
/// Stands for what cannot be read. No zeros: of an image that is black nobody could tell that a part of it is lost.
pub(crate) const LOST: u8 = 0xDA;
/// Of a frame in the table: compressed and decompressed size.
const ENTRY: u64 = 8;

/// Where the frames of a compressed pack lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Ends of the frames in the compressed file.
    ends: Vec<u64>,
    /// Bytes of the tar file.
    pub(crate) length: u64,
}

impl Table {
    /// How many bytes at the end of a file of this length hold the table; `end` is its last bytes.
    pub(crate) fn bytes(end: &[u8]) -> Result<u64> {
        let footer = end.last_chunk::<9>().ok_or_else(broken)?;
        let [a, b, c, d, descriptor, magic @ ..] = *footer;
        if u32::from_le_bytes(magic) != SEEKABLE || descriptor != 0 {
            return Err(broken());
        }
        Ok(u64::from(u32::from_le_bytes([a, b, c, d])) * ENTRY + FOOTER + 8)
    }

    /// Reads the skippable frame.
    pub(crate) fn read(frame: &[u8]) -> Result<Self> {
        let (head, rest) = frame.split_first_chunk::<8>().ok_or_else(broken)?;
        let [a, b, c, d, size @ ..] = *head;
        let is_whole = u32::try_from(rest.len()) == Ok(u32::from_le_bytes(size));
        let entries = rest.len().checked_sub(usize::try_from(FOOTER).unwrap_or(0)).ok_or_else(broken)?;
        if u32::from_le_bytes([a, b, c, d]) != SKIPPABLE || !is_whole {
            return Err(broken());
        }
        let (entries, _) = rest.get(..entries).unwrap_or_default().as_chunks::<8>();
        let (mut ends, mut at, mut length) = (Vec::with_capacity(entries.len()), 0, 0);
        for (number, [a, b, c, d, size @ ..]) in entries.iter().enumerate() {
            let size = u64::from(u32::from_le_bytes(*size));
            let is_last = number + 1 == entries.len();
            if size > FRAME || (size < FRAME && !is_last) {
                return Err(broken());
            }
            at += u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
            length += size;
            ends.push(at);
        }
        Ok(Self { ends, length })
    }

    fn written(sizes: &[(u32, u32)]) -> Result<Vec<u8>> {
        let too_many = |_| Error::internal("a pack of too many frames");
        let count = u32::try_from(sizes.len()).map_err(too_many)?;
        let size = u32::try_from(sizes.len() as u64 * ENTRY + FOOTER).map_err(too_many)?;
        let mut table = [SKIPPABLE.to_le_bytes(), size.to_le_bytes()].concat();
        for (compressed, plain) in sizes {
            table.extend(compressed.to_le_bytes());
            table.extend(plain.to_le_bytes());
        }
        table.extend(count.to_le_bytes());
        table.push(0);
        table.extend(SEEKABLE.to_le_bytes());
        Ok(table)
    }

    /// Which bytes of the compressed file hold a range of the tar file, which has to lie within.
    pub(crate) fn place(&self, range: &Range<u64>) -> Range<u64> {
        let end_of = |frames: u64| match usize::try_from(frames).unwrap_or(usize::MAX).checked_sub(1) {
            None => 0,
            Some(last) => self.ends.get(last).or(self.ends.last()).copied().unwrap_or(0),
        };
        end_of(range.start / FRAME)..end_of(range.end.div_ceil(FRAME))
    }

    /// A range of the tar file out of the bytes that hold it.
    ///
    /// # Errors
    /// `Corrupt` when they are not what was written.
    pub(crate) fn decompressed(&self, bytes: &[u8], range: &Range<u64>) -> Result<Bytes> {
        let mut plain = BytesMut::new();
        for frame in self.frames(bytes, range) {
            plain.extend_from_slice(&plain_frame(frame.compressed, frame.size)?);
        }
        Ok(cut(plain, range))
    }

    /// The same of bytes that are damaged, with [`LOST`] for each frame that cannot be read.
    pub(crate) fn legible(&self, bytes: &[u8], range: &Range<u64>) -> Bytes {
        let mut plain = BytesMut::new();
        for Frame { compressed, size } in self.frames(bytes, range) {
            plain.extend_from_slice(&plain_frame(compressed, size).unwrap_or_else(|_| vec![LOST; size]));
        }
        cut(plain, range)
    }

    /// The frames that hold a range.
    fn frames<'a>(&self, bytes: &'a [u8], range: &Range<u64>) -> impl Iterator<Item = Frame<'a>> {
        let mut rest = Some(bytes);
        (range.start / FRAME..range.end.div_ceil(FRAME)).map(move |number| {
            let place = self.place(&(number * FRAME..number * FRAME + 1));
            let length = usize::try_from(place.end.saturating_sub(place.start)).unwrap_or(usize::MAX);
            let size = usize::try_from(FRAME.min(self.length.saturating_sub(number * FRAME))).unwrap_or(0);
            let split = rest.and_then(|rest| rest.split_at_checked(length));
            rest = split.map(|(_, behind)| behind);
            Frame { compressed: split.map(|(frame, _)| frame), size }
        })
    }
}

/// A frame, as it lies; `None` where it is cut off.
struct Frame<'a> {
    compressed: Option<&'a [u8]>,
    /// Bytes that it has of the tar file.
    size: usize,
}

fn plain_frame(compressed: Option<&[u8]>, size: usize) -> Result<Vec<u8>> {
    let compressed = compressed.ok_or_else(damaged)?;
    let plain = zstd::bulk::decompress(compressed, size).map_err(|cause| damaged().with_source(cause))?;
    if plain.len() == size { Ok(plain) } else { Err(damaged()) }
}

/// A range out of the frames that hold it.
fn cut(plain: BytesMut, range: &Range<u64>) -> Bytes {
    let first = range.start / FRAME * FRAME;
    let at = |place: u64| usize::try_from(place - first).unwrap_or(usize::MAX).min(plain.len());
    let (start, end) = (at(range.start), at(range.end));
    plain.freeze().slice(start..end)
}

fn broken() -> Error {
    Error::corrupt("the table of a compressed pack is broken")
}

fn damaged() -> Error {
    Error::corrupt("a compressed pack is damaged")
}

/// Compresses a tar file step by step, so that whoever does it can give way between.
pub(crate) struct Compressor {
    plain: Arc<File>,
    length: u64,
    target: File,
    sizes: Vec<(u32, u32)>,
    at: u64,
    written: u64,
}

impl Compressor {
    /// The first `length` bytes of a file, into another.
    pub(crate) fn new(plain: Arc<File>, length: u64, target: File) -> Self {
        Self { plain, length, target, sizes: Vec::new(), at: 0, written: 0 }
    }

    /// Compresses the next frame; gives the bytes that it took, 0 at the end.
    pub(crate) fn step(&mut self) -> io::Result<u64> {
        let size = FRAME.min(self.length - self.at);
        if size == 0 {
            return Ok(0);
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.plain.read_exact_at(&mut bytes, self.at)?;
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        let frame = compressor.compress(&bytes)?;
        self.target.write_all(&frame)?;
        let sizes = (u32::try_from(frame.len()), u32::try_from(size));
        let (Ok(compressed), Ok(plain)) = sizes else { return Err(io::Error::other("a frame is too large")) };
        self.sizes.push((compressed, plain));
        self.written += u64::from(compressed);
        self.at += size;
        Ok(size)
    }

    /// Writes the table and syncs; gives the length of the compressed file.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let table = Table::written(&self.sizes)?;
        self.target.write_all(&table)?;
        self.target.sync_all()?;
        Ok(self.written + table.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that can be compressed somewhat.
    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|n| u8::try_from(n * n % 251 * (n / 4096 % 3) % 256).unwrap_or(0)).collect()
    }

    fn compressed(plain: &[u8]) -> (Vec<u8>, Table) {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("plain"), folder.path().join("compressed"));
        std::fs::write(&source, plain).unwrap();
        let source = Arc::new(File::open(source).unwrap());
        let mut compressor = Compressor::new(source, plain.len() as u64, File::create(&target).unwrap());
        while compressor.step().unwrap() > 0 {}
        let length = compressor.finish().unwrap();
        let file = std::fs::read(target).unwrap();
        assert_eq!(file.len() as u64, length);
        let table = usize::try_from(Table::bytes(&file).unwrap()).unwrap();
        let table = Table::read(&file[file.len() - table..]).unwrap();
        (file, table)
    }

    #[test]
    fn every_range_comes_back_and_the_whole_is_a_zstandard_file() {
        let frame = usize::try_from(FRAME).unwrap();
        for length in [0, 1, frame - 1, frame, 2 * frame + 7] {
            let plain = plain(length);
            let (file, table) = compressed(&plain);
            assert_eq!(table.length, length as u64);
            assert_eq!(zstd::stream::decode_all(file.as_slice()).unwrap(), plain);
            for (start, end) in
                [(0, length), (length / 2, length), (length / 3, length / 2), (length, length)]
            {
                let range = start as u64..end as u64;
                let place = table.place(&range);
                let place = usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap();
                assert_eq!(table.decompressed(&file[place], &range).unwrap(), plain[start..end]);
            }
        }
    }

    #[test]
    fn a_byte_that_is_wrong_is_found() {
        let plain = plain(200_000);
        let (mut file, table) = compressed(&plain);
        let range = 0..plain.len() as u64;
        let place = table.place(&range);
        let middle = usize::try_from(place.end / 2).unwrap();
        file[middle] ^= 1;
        assert!(table.decompressed(&file[..usize::try_from(place.end).unwrap()], &range).is_err());
        assert!(table.decompressed(&file[..10], &range).is_err());
        let left = table.legible(&file[..usize::try_from(place.end).unwrap()], &range);
        assert!(left.len() == plain.len() && left.iter().all(|byte| *byte == LOST));
        let end = file.len() - 1;
        file[end] ^= 1;
        assert!(Table::bytes(&file).is_err());
        assert!(Table::read(&file[file.len() - 20..]).is_err());
    }
}
