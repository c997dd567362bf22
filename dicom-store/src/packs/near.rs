//! Reading packs that are files of this machine.
//!
//! What the system has in memory already, as it has what has just come or was read lately, is copied at once: to give
//! a read to another thread and hear of it takes longer.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};

use crate::Result;
use crate::buffers::{Buffers, LARGEST};
use crate::objects::blocking;

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
        Ok(filled.into())
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

    #[tokio::test]
    async fn every_length_is_read_whole_and_nothing_of_another() {
        let all: Vec<u8> = (0..3 * LARGEST).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (file, buffers) = (file(&all), Buffers::default());
        for length in [0, 1, 500, 40_000, 65_536, 65_537, 300_000, LARGEST, LARGEST + 1, 5, 65_536] {
            for start in [0, 1, 70_001] {
                let read = buffers.read(&file, start as u64..(start + length) as u64).await.unwrap();
                assert_eq!(read, &all[start..start + length], "{length} from {start}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_ends_early_is_an_error() {
        let (file, buffers) = (file(&[7; 1000]), Buffers::default());
        let error = buffers.read(&file, 990..1001).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), ErrorKind::UnexpectedEof);
    }
}
