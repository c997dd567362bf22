//! Compressing a sealed pack where it lies. What was received is there as a whole at every moment: the tar file goes when
//! its compressed form is durable, has been read again and gives the same bytes.
//!
//! | cut off after | what holds |
//! |---|---|
//! | the compressed file is written beside | the tar file; the other is no object yet, and is written anew |
//! | it is an object | the tar file; the other is removed and made anew |
//! | it was read again and compared | the same |
//! | the tar file is removed | the compressed one |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::Packs;
use super::file::check_reserve;
use super::local::Pace;
use super::pack_bytes::is_lost;
use crate::index::{Index, Stage};
use crate::model::PackId;
use crate::objects::blocking;
use crate::objects::compressed::{Compressor, FRAME};
use crate::{Error, ErrorKind, Result};

/// A pack is left as it is where it would not become smaller by a tenth.
const WORTH: u64 = 10;

/// What became of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    pub pack: PackId,
    /// Bytes of the tar file.
    pub plain: u64,
    /// Bytes of the compressed one; `None` where the pack was left as it is.
    pub compressed: Option<u64>,
}

/// Compresses a pack that is an object and not compressed yet.
///
/// # Errors
/// `NotFound` when it has been removed, `Corrupt` when what was written reads otherwise, `Exhausted`, `Unavailable`; the
/// pack is as it was then.
pub(crate) async fn compress(
    packs: &Packs,
    index: &Arc<dyn Index>,
    pack: PackId,
    pace: &mut Pace,
) -> Result<Compression> {
    let local = packs.local(pack).await?;
    let file = Arc::clone(local.bytes.file());
    let plain = blocking({
        let file = file.clone();
        move || Ok(file.metadata()?.len())
    })
    .await?;
    let scratch = packs.objects.scratch(pack).unwrap_or_else(|| packs.arriving_file(pack));
    let compressed = match write(&file, plain, &scratch, packs.reserve(), pace).await {
        Ok(compressed) if compressed <= plain - plain / WORTH => compressed,
        result => {
            // What the disk has lost of it is told when it is compared with its digests.
            let is_lost = result.as_ref().is_err_and(|error| error.kind == ErrorKind::Corrupt);
            let result = if is_lost { Ok(plain) } else { result };
            match tokio::fs::remove_file(&scratch).await {
                // It may not even have been made: what is told is why.
                Err(error) if error.kind() != io::ErrorKind::NotFound && result.is_ok() => {
                    return Err(error.into());
                }
                _ => {}
            }
            return result.map(|_| Compression { pack, plain, compressed: None });
        }
    };
    packs.objects.put_compressed(pack, &scratch, compressed).await?;
    let checked = match is_the_same(packs, pack, &file, plain, pace).await {
        // Somebody may have rewritten it meanwhile, and removed the objects that there were then.
        Ok(()) => is_in_use(index, pack).await,
        error => error.map(|()| false),
    };
    if !matches!(checked, Ok(true)) {
        packs.objects.delete_compressed(pack).await?;
        checked?;
        return Err(Error::not_found(format!("pack {pack} is not in use any more")));
    }
    packs.objects.delete_plain(pack).await?;
    packs.forget(pack);
    Ok(Compression { pack, plain, compressed: Some(compressed) })
}

async fn write(file: &Arc<File>, length: u64, scratch: &Path, reserve: u64, pace: &mut Pace) -> Result<u64> {
    let target = scratch.to_owned();
    let target = blocking(move || {
        let target = File::create(target)?;
        // Both lie there for a while.
        check_reserve(&target, length, reserve)?;
        Ok(target)
    })
    .await?;
    let mut compressor = Compressor::new(file.clone(), length, target);
    loop {
        let (back, step) = blocking(move || {
            let step = compressor.step();
            Ok((compressor, step))
        })
        .await?;
        compressor = back;
        match step.map_err(lost)? {
            0 => break,
            bytes => pace.passed(bytes).await,
        }
    }
    blocking(move || Ok(compressor.finish())).await?
}

/// What the disk has lost is damage of the pack, which stays as it is then.
fn lost(error: io::Error) -> Error {
    if is_lost(&error) {
        Error::corrupt("the disk has lost a part of the pack").with_source(error)
    } else {
        error.into()
    }
}

/// Reads the compressed object again and compares it with the tar file.
async fn is_the_same(
    packs: &Packs,
    pack: PackId,
    file: &Arc<File>,
    length: u64,
    pace: &mut Pace,
) -> Result<()> {
    let differs = || Error::corrupt(format!("pack {pack} was compressed and reads otherwise"));
    if packs.objects.compressed_length(pack).await? != Some(length) {
        return Err(differs());
    }
    let mut at = 0;
    while at < length {
        let end = length.min(at + FRAME);
        let bytes = packs.objects.compressed_range(pack, at..end).await?;
        let file = file.clone();
        let is_same = blocking(move || {
            let mut plain = vec![0; bytes.len()];
            file.read_exact_at(&mut plain, at)?;
            Ok(plain == bytes)
        });
        if !is_same.await? {
            return Err(differs());
        }
        pace.passed(end - at).await;
        at = end;
    }
    Ok(())
}

async fn is_in_use(index: &Arc<dyn Index>, pack: PackId) -> Result<bool> {
    let rows = index.packs(pack.0.checked_sub(1).map(PackId), 1).await?;
    Ok(rows.first().is_some_and(|row| row.pack == pack && row.stage == Stage::InUse))
}
