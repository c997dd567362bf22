//! Memory for what is read, used again and again: fresh pages cost as much as what is copied into them.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers have sizes that are multiples of this, so that little of one is left over.
const GRAIN: usize = 64 << 10;
/// What is larger, of which there is little at a time, has memory of its own.
pub(crate) const LARGEST: usize = 1 << 20;
/// Bytes of buffers that wait to be used again, at the most.
const IDLE: usize = 16 << 20;

/// Buffers that were used before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers {
    idle: Arc<Mutex<Idle>>,
}

/// Buffers by their sizes in grains, from one.
#[derive(Debug, Default)]
struct Idle {
    by_grains: [Vec<Box<[u8]>>; LARGEST / GRAIN],
    bytes: usize,
}

/// A buffer to be filled from its beginning; goes back to the others when it is dropped, or the last of the bytes that
/// were made of it.
pub(crate) struct Filled {
    buffer: Box<[u8]>,
    length: usize,
    idle: Arc<Mutex<Idle>>,
}

impl Buffers {
    /// One of so many bytes, with whatever was in it before.
    pub(crate) fn take(&self, length: usize) -> Filled {
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
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }

    /// Leaves so many bytes of it, at the most.
    pub(crate) fn shorten(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl From<Filled> for Bytes {
    fn from(filled: Filled) -> Self {
        Self::from_owner(filled)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(buffers: &Buffers) -> usize {
        buffers.idle.lock().unwrap().bytes
    }

    #[test]
    fn memory_is_used_again_once_nobody_holds_it() {
        let buffers = Buffers::default();
        let first = Bytes::from(buffers.take(100_000));
        let (place, part) = (first.as_ptr(), first.slice(5..9));
        drop(first);
        assert_eq!(idle(&buffers), 0, "a part of it is held");
        drop(part);
        assert_eq!(idle(&buffers), 2 * GRAIN);
        let again = Bytes::from(buffers.take(99_991));
        assert_eq!((again.as_ptr(), again.len(), idle(&buffers)), (place, 99_991, 0));
        let many: Vec<Filled> = (0..400).map(|_| buffers.take(100_000)).collect();
        drop((again, many));
        assert_eq!(idle(&buffers), IDLE, "more than is kept goes back to the system");
    }

    #[test]
    fn what_is_small_or_large_leaves_the_kept_memory_alone() {
        let buffers = Buffers::default();
        drop(buffers.take(GRAIN));
        let small = buffers.take(GRAIN / 2);
        assert_eq!((Bytes::from(small).len(), idle(&buffers)), (GRAIN / 2, GRAIN));
        let large = buffers.take(LARGEST + 1);
        assert_eq!((Bytes::from(large).len(), idle(&buffers)), (LARGEST + 1, GRAIN));
        let more = buffers.take(GRAIN / 2 + 1);
        assert_eq!(idle(&buffers), 0, "it is the kept one");
        assert_eq!(Bytes::from(more).len(), GRAIN / 2 + 1);
    }

    #[test]
    fn what_is_shortened_ends_where_it_was_filled() {
        let mut filled = Buffers::default().take(100_000);
        filled.bytes_mut()[..3].copy_from_slice(b"abc");
        filled.shorten(3);
        assert_eq!(Bytes::from(filled), &b"abc"[..]);
    }
}
