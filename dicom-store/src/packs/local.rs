//! A sealed pack as a file of this machine, to be read from end to end.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::Packs;
use super::entry::{BLOCK, BLOCK_BYTES, Entry, padded};
use crate::index::PackEntry;
use crate::model::PackId;
use crate::objects::blocking;
use crate::{ErrorKind, Result};

/// Bytes that are hashed or copied at a time.
const STEP: u64 = 4 << 20;

/// A pack, and the copy that it is read from where it is no file by itself; the copy goes away with this.
#[derive(Debug)]
pub(super) struct LocalPack {
    pub(super) pack: PackId,
    pub(super) file: Arc<File>,
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
            return Ok(LocalPack { pack, file, copy: None });
        }
        let copy = self.copied_file(pack);
        let mut local = None;
        let result = async {
            let path = self.objects.pack_copy(pack, &copy).await?;
            local = (path == copy).then_some(copy);
            blocking(move || File::open(path)).await
        };
        let opened = result.await;
        opened.map(|file| LocalPack { pack, file: Arc::new(file), copy: local })
    }
}

/// Whether an entry is what the index and its own header say.
pub(super) async fn is_right(file: &Arc<File>, entry: &PackEntry, pace: &mut Pace) -> Result<bool> {
    let (start, length) = (entry.location.offset, entry.location.length);
    let Some(header) = header_at(file, start - BLOCK).await? else { return Ok(false) };
    if header.size != length {
        return Ok(false);
    }
    let mut hasher = Box::new(blake3::Hasher::new());
    let data_set = start + entry.data_set;
    match hash(file, data_set..start + length, hasher, pace).await {
        Ok(hashed) => hasher = hashed,
        Err(error) => return ended(error),
    }
    if *hasher.finalize().as_bytes() != entry.digest {
        return Ok(false);
    }
    match hash(file, start..data_set, hasher, pace).await {
        Ok(hashed) => Ok(header.proves(hashed.finalize().as_bytes())),
        Err(error) => ended(error),
    }
}

/// Whether a record of the archive's own is what its header says.
pub(super) async fn is_record_right(
    file: &Arc<File>,
    at: u64,
    header: &Entry,
    pace: &mut Pace,
) -> Result<bool> {
    let range = at + BLOCK..at + BLOCK + header.size;
    match hash(file, range, Box::default(), pace).await {
        Ok(hashed) => Ok(header.proves(hashed.finalize().as_bytes())),
        Err(error) => ended(error),
    }
}

/// A pack that ends too early is damaged; whatever else is met is no fault of the pack.
fn ended(error: crate::Error) -> Result<bool> {
    if error.kind == ErrorKind::Corrupt { Ok(false) } else { Err(error) }
}

async fn hash(
    file: &Arc<File>,
    range: Range<u64>,
    mut hasher: Box<blake3::Hasher>,
    pace: &mut Pace,
) -> Result<Box<blake3::Hasher>> {
    let mut at = range.start;
    while at < range.end {
        let (file, end) = (file.clone(), range.end.min(at + STEP));
        hasher = blocking(move || {
            let mut bytes = vec![0; usize::try_from(end - at).unwrap_or_default()];
            Ok(file.read_exact_at(&mut bytes, at).map(|()| {
                hasher.update(&bytes);
                hasher
            }))
        })
        .await?
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => crate::Error::corrupt("pack ends too early"),
            _ => error.into(),
        })?;
        pace.passed(end - at).await;
        at = end;
    }
    Ok(hasher)
}

async fn header_at(file: &Arc<File>, at: u64) -> Result<Option<Entry>> {
    let file = file.clone();
    blocking(move || read_header(&file, at)).await
}

fn read_header(file: &File, at: u64) -> io::Result<Option<Entry>> {
    let mut block = [0; BLOCK_BYTES];
    match file.read_exact_at(&mut block, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map(|()| Entry::read(&block)),
    }
}

/// The headers of a part of a pack, with their places, as far as one follows the other.
pub(super) async fn headers(file: &Arc<File>, part: Range<u64>) -> Result<Vec<(u64, Entry)>> {
    let file = file.clone();
    blocking(move || {
        let (mut found, mut at) = (Vec::new(), part.start);
        while at < part.end
            && let Some(entry) = read_header(&file, at)?
        {
            let next = at.saturating_add(padded(entry.size));
            found.push((at, entry));
            at = next;
        }
        Ok(found)
    })
    .await
}

/// Copies whole blocks from one file to the place in another.
pub(super) fn copy(from: &File, part: Range<u64>, to: &File, mut place: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from((part.end - part.start).min(STEP)).unwrap_or_default()];
    let mut at = part.start;
    while at < part.end {
        let want = usize::try_from((part.end - at).min(STEP)).unwrap_or_default();
        let bytes = buffer.get_mut(..want).unwrap_or_default();
        from.read_exact_at(bytes, at)?;
        to.write_all_at(bytes, place)?;
        at += want as u64;
        place += want as u64;
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
