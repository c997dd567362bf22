//! Reading packs that are files of this machine.
//!
//! What the system has in memory already, as it has what has just come or was read lately, is copied at once: to give
//! a read to another thread and hear of it takes longer. Memory is used again and again: fresh pages cost as much as
//! what is copied into them.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};

use crate::Result;
use crate::objects::blocking;

/// Buffers have sizes that are multiples of this, so that little of one is left over.
const GRAIN: usize = 64 << 10;
/// Larger reads, of which there are few at a time, take memory of their own and a thread that may block.
const LARGEST: usize = 1 << 20;
/// Bytes of buffers that wait to be used again, at the most.
const IDLE: usize = 16 << 20;

/// Buffers that were used before.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    idle: Arc<Mutex<Idle>>,
}

/// Buffers by their sizes in grains, from one.
#[derive(Debug, Default)]
struct Idle {
    by_grains: [Vec<Box<[u8]>>; LARGEST / GRAIN],
    bytes: usize,
}

/// A buffer with what was read into its beginning; goes back to the others when it is dropped.
struct Filled {
    buffer: Box<[u8]>,
    length: usize,
    idle: Arc<Mutex<Idle>>,
}

impl Buffers {
    /// All of a range of a file.
    ///
    /// # Errors
    /// What the system says, also when the file ends before the range does.
    pub(super) async fn read(&self, file: &Arc<File>, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if length > LARGEST {
            let file = file.clone();
            return blocking(move || {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            })
            .await;
        }
        let mut filled = self.take(length);
        let at_once = read_at_once(file, filled.bytes_mut(), range.start);
        if at_once < length {
            let file = file.clone();
            filled = blocking(move || {
                if let Some(rest) = filled.bytes_mut().get_mut(at_once..) {
                    file.read_exact_at(rest, range.start + at_once as u64)?;
                }
                Ok(filled)
            })
            .await?;
        }
        Ok(Bytes::from_owner(filled))
    }

    fn take(&self, length: usize) -> Filled {
        let idle = self.idle.clone();
        // What is much smaller than a grain has memory of its own size.
        if length <= GRAIN / 2 {
            return Filled { buffer: vec![0; length].into(), length, idle };
        }
        let grains = length.div_ceil(GRAIN);
        let known = {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            let known = idle.of(grains).and_then(Vec::pop);
            idle.bytes -= known.as_ref().map_or(0, |buffer| buffer.len());
            known
        };
        let buffer = known.unwrap_or_else(|| vec![0; grains * GRAIN].into());
        Filled { buffer, length, idle }
    }
}

impl Idle {
    fn of(&mut self, grains: usize) -> Option<&mut Vec<Box<[u8]>>> {
        self.by_grains.get_mut(grains.checked_sub(1)?)
    }
}

impl Filled {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let size = buffer.len();
        if size == 0 || !size.is_multiple_of(GRAIN) {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.bytes + size <= IDLE
            && let Some(others) = idle.of(size / GRAIN)
        {
            others.push(buffer);
            idle.bytes += size;
        }
    }
}

/// Copies what the system has in memory, from the beginning on, and gives how much that was.
fn read_at_once(file: &File, buffer: &mut [u8], offset: u64) -> usize {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        let into = &mut [IoSliceMut::new(rest)];
        // Whoever reads the rest meets the error, or a file system that does not know of this.
        match preadv2(file, into, offset + read as u64, ReadWriteFlags::NOWAIT) {
            Ok(more @ 1..) => read += more,
            _ => break,
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};

    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    fn idle(buffers: &Buffers) -> usize {
        buffers.idle.lock().unwrap().bytes
    }

    #[tokio::test]
    async fn every_length_is_read_whole_and_nothing_of_another() {
        let all: Vec<u8> = (0..3 * LARGEST).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (file, buffers) = (file(&all), Buffers::default());
        for length in [0, 1, 500, GRAIN / 2 + 1, GRAIN, GRAIN + 1, 300_000, LARGEST, LARGEST + 1, 5, GRAIN] {
            for start in [0, 1, 70_001] {
                let read = buffers.read(&file, start as u64..(start + length) as u64).await.unwrap();
                assert_eq!(read, &all[start..start + length], "{length} from {start}");
            }
        }
    }

    #[tokio::test]
    async fn memory_is_used_again_once_nobody_holds_it() {
        let (file, buffers) = (file(&[7; 2 * GRAIN]), Buffers::default());
        let first = buffers.read(&file, 0..100_000).await.unwrap();
        let (place, part) = (first.as_ptr(), first.slice(5..9));
        drop(first);
        assert_eq!(idle(&buffers), 0, "a part of it is held");
        drop(part);
        assert_eq!(idle(&buffers), 2 * GRAIN);
        let again = buffers.read(&file, 10..100_001).await.unwrap();
        assert_eq!((again.as_ptr(), idle(&buffers)), (place, 0));
        let many: Vec<Bytes> =
            futures_util::future::join_all((0..400).map(|_| buffers.read(&file, 0..100_000)))
                .await
                .into_iter()
                .collect::<Result<_>>()
                .unwrap();
        drop((again, many));
        assert_eq!(idle(&buffers), IDLE, "more than is kept goes back to the system");
    }

    #[tokio::test]
    async fn a_small_read_leaves_the_kept_memory_alone() {
        let (file, buffers) = (file(&[7; GRAIN]), Buffers::default());
        drop(buffers.read(&file, 0..GRAIN as u64).await.unwrap());
        let small = buffers.read(&file, 0..GRAIN as u64 / 2).await.unwrap();
        assert_eq!((small.len(), idle(&buffers)), (GRAIN / 2, GRAIN));
        let more = buffers.read(&file, 0..GRAIN as u64 / 2 + 1).await.unwrap();
        assert_eq!((more.len(), idle(&buffers)), (GRAIN / 2 + 1, 0));
    }

    #[tokio::test]
    async fn a_file_that_ends_early_is_an_error() {
        let (file, buffers) = (file(&[7; 1000]), Buffers::default());
        let error = buffers.read(&file, 990..1001).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), ErrorKind::UnexpectedEof);
    }
}
