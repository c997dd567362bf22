//! A sealed pack as a file of this machine, to be read from end to end.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::Packs;
use super::damage::{self, Piece};
use super::entry::{BLOCK, BLOCK_BYTES, Entry};
use super::pack_bytes::PackBytes;
use crate::Result;
use crate::index::PackEntry;
use crate::model::PackId;
use crate::objects::blocking;

/// Bytes that are hashed or copied at a time.
const STEP: u64 = 4 << 20;

/// A pack, and the copy that it is read from where it is no file by itself; the copy goes away with this.
#[derive(Debug)]
pub(super) struct LocalPack {
    pub(super) pack: PackId,
    pub(super) bytes: PackBytes,
    copy: Option<PathBuf>,
}

impl Drop for LocalPack {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            // What cannot be removed now is removed at the next start.
            let _ = std::fs::remove_file(copy);
        }
    }
}

impl Packs {
    /// Opens a pack wherever it is; one in a bucket is copied here first.
    ///
    /// # Errors
    /// `NotFound` when there is no such pack.
    pub(super) async fn local(&self, pack: PackId) -> Result<LocalPack> {
        if let Some(file) = self.handle(pack).await? {
            return Ok(LocalPack { pack, bytes: PackBytes::new(file, &self.disk), copy: None });
        }
        let copy = self.copied_file(pack);
        let mut local = None;
        let result = async {
            let path = self.objects.pack_copy(pack, &copy).await?;
            local = (path == copy).then_some(copy);
            blocking(move || File::open(path)).await
        };
        let opened = result.await;
        let file = Arc::new(opened?);
        let bytes = match &local {
            Some(_) => PackBytes::of_copy(file, &self.disk),
            None => PackBytes::new(file, &self.disk),
        };
        Ok(LocalPack { pack, bytes, copy: local })
    }

    /// Reads a pack from its beginning to this place, as a copy of it would.
    ///
    /// # Errors
    /// As [`Packs::local`], and what stands in the way of reading it, but for what the disk has lost.
    pub(crate) async fn read_through(&self, pack: PackId, end: u64) -> Result<()> {
        let local = self.local(pack).await?;
        let bytes = local.bytes.clone();
        blocking(move || read_legible(&bytes, 0..end, |_| Ok(()))).await
    }
}

/// Why bytes are not what came, or what stood in the way of reading them.
enum Unread {
    Damaged(String),
    Failed(crate::Error),
}

impl From<crate::Error> for Unread {
    fn from(error: crate::Error) -> Self {
        Self::Failed(error)
    }
}

/// What is wrong with an entry: whether it is what the index and its own header say.
///
/// # Errors
/// What is no fault of the pack.
pub(super) async fn fault(bytes: &PackBytes, entry: &PackEntry, pace: &mut Pace) -> Result<Option<String>> {
    told(compared(bytes, entry, pace).await)
}

/// What is wrong with a record of the archive's own: whether it is what its header says.
///
/// # Errors
/// What is no fault of the pack.
pub(super) async fn fault_of_record(
    bytes: &PackBytes,
    at: u64,
    header: &Entry,
    pace: &mut Pace,
) -> Result<Option<String>> {
    let range = at + BLOCK..at + BLOCK + header.size;
    let hashed = hash(bytes, range, Box::default(), pace).await;
    told(hashed.and_then(|hashed| is_what_came(header.proves(hashed.finalize().as_bytes()))))
}

fn told(compared: std::result::Result<(), Unread>) -> Result<Option<String>> {
    match compared {
        Ok(()) => Ok(None),
        Err(Unread::Damaged(why)) => Ok(Some(why)),
        Err(Unread::Failed(error)) => Err(error),
    }
}

fn is_what_came(is_it: bool) -> std::result::Result<(), Unread> {
    let why = || Unread::Damaged("its bytes are not those that came".to_owned());
    is_it.then_some(()).ok_or_else(why)
}

async fn compared(bytes: &PackBytes, entry: &PackEntry, pace: &mut Pace) -> std::result::Result<(), Unread> {
    let (start, length) = (entry.location.offset, entry.location.length);
    let mut block = vec![0; BLOCK_BYTES];
    block = read(bytes, block, start - BLOCK).await?;
    let elsewhere = || Unread::Damaged("something else lies where the index says".to_owned());
    let header = Entry::read(&block).filter(|header| header.size == length).ok_or_else(elsewhere)?;
    let data_set = start + entry.data_set;
    let hasher = hash(bytes, data_set..start + length, Box::default(), pace).await?;
    is_what_came(*hasher.finalize().as_bytes() == entry.digest)?;
    let hasher = hash(bytes, start..data_set, hasher, pace).await?;
    is_what_came(header.proves(hasher.finalize().as_bytes()))
}

async fn hash(
    bytes: &PackBytes,
    range: Range<u64>,
    mut hasher: Box<blake3::Hasher>,
    pace: &mut Pace,
) -> std::result::Result<Box<blake3::Hasher>, Unread> {
    let (mut at, mut buffer) = (range.start, Vec::new());
    while at < range.end {
        let end = range.end.min(at + STEP);
        buffer.resize(usize::try_from(end - at).unwrap_or_default(), 0);
        buffer = read(bytes, buffer, at).await?;
        (hasher, buffer) = blocking(move || {
            hasher.update(&buffer);
            Ok((hasher, buffer))
        })
        .await?;
        pace.passed(end - at).await;
        at = end;
    }
    Ok(hasher)
}

/// Fills a buffer from a place on.
async fn read(bytes: &PackBytes, mut buffer: Vec<u8>, at: u64) -> std::result::Result<Vec<u8>, Unread> {
    let from = bytes.clone();
    blocking(move || {
        let read = from.read_exact_at(&mut buffer, at);
        Ok(match read {
            Ok(()) => Ok(buffer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err("the pack ends before it does".to_owned())
            }
            Err(error) if from.has_lost(&error) => {
                let lost = from.first_lost(at..at + buffer.len() as u64)?;
                Err(lost.map_or_else(|| error.to_string(), |lost| lost.to_string()))
            }
            Err(error) => return Err(error),
        })
    })
    .await?
    .map_err(Unread::Damaged)
}

/// What lies in a part of a pack, by the headers in it.
pub(super) async fn pieces(bytes: &PackBytes, part: Range<u64>) -> Result<Vec<Piece>> {
    let bytes = bytes.clone();
    blocking(move || damage::pieces(&bytes, part)).await
}

/// Copies whole blocks from a pack to the place in a file; what the disk has lost is lost in the copy.
pub(super) fn copy(from: &PackBytes, part: Range<u64>, to: &File, mut place: u64) -> io::Result<()> {
    read_legible(from, part, |bytes| {
        to.write_all_at(bytes, place)?;
        place += bytes.len() as u64;
        Ok(())
    })
}

/// Gives the bytes of a pack in their order; what the disk has lost as zeros.
fn read_legible(
    from: &PackBytes,
    part: Range<u64>,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from((part.end - part.start).min(STEP)).unwrap_or_default()];
    let mut at = part.start;
    while at < part.end {
        let want = usize::try_from((part.end - at).min(STEP)).unwrap_or_default();
        let bytes = buffer.get_mut(..want).unwrap_or_default();
        from.read_legible_at(bytes, at)?;
        take(bytes)?;
        at += want as u64;
    }
    Ok(())
}

/// Keeps reading to so many bytes a second.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_a_second: Option<u64>,
    began: tokio::time::Instant,
    passed: u64,
}

impl Pace {
    /// As fast as it goes, or so many bytes a second.
    pub(crate) fn new(bytes_a_second: Option<u64>) -> Self {
        Self { bytes_a_second, began: tokio::time::Instant::now(), passed: 0 }
    }

    pub(super) async fn passed(&mut self, bytes: u64) {
        self.passed += bytes;
        if let Some(rate) = self.bytes_a_second {
            let due = std::time::Duration::from_millis(self.passed.saturating_mul(1000) / rate.max(1));
            tokio::time::sleep_until(self.began + due).await;
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.passed
    }
}
