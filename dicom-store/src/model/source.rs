//! Bytes that can be looked at in any place, wherever they lie.

use std::io;

/// A run of bytes with random access. Slices are one; the write path has others for bytes that
/// lie in many buffers or in a file.
pub trait Source {
    /// At most `want` bytes from `offset`; fewer only where the source ends.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]>;

    /// Bytes in all.
    fn length(&self) -> u64;
}

impl Source for &[u8] {
    fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let end = start.saturating_add(want).min(self.len());
        Ok(self.get(start..end).unwrap_or_default())
    }

    fn length(&self) -> u64 {
        self.len() as u64
    }
}
