//! Frames of single bits one behind the other: each begins in the byte in which the one before ends (PS3.5 §8.1.1).

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};

use crate::Result;

/// Frames of so many bits each, packed by themselves, as the bytes of all of them.
pub(super) fn joined(
    frames: impl Stream<Item = Result<Bytes>> + Send + 'static,
    bits: u64,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let mut open = Open::default();
    frames.map(Some).chain(stream::iter([None])).map(move |frame| match frame {
        Some(frame) => frame.map(|frame| open.push(&frame, bits)),
        None => Ok(open.rest()),
    })
}

/// The byte that the next frame goes on with.
#[derive(Default)]
struct Open {
    byte: u8,
    /// How many of its bits there are, from the lowest one: 0 … 7.
    bits: u32,
}

impl Open {
    /// The bytes that a frame fills. What stands behind its bits is left off.
    fn push(&mut self, frame: &[u8], bits: u64) -> Bytes {
        let mut left = bits;
        let mut full = Vec::with_capacity(frame.len() + 1);
        for byte in frame {
            let count = u32::try_from(left.min(8)).unwrap_or(8);
            left -= u64::from(count);
            let own = u16::from(*byte) & !(u16::MAX << count);
            let [low, high] = (u16::from(self.byte) | own << self.bits).to_le_bytes();
            self.bits += count;
            self.byte = low;
            if self.bits >= 8 {
                self.bits -= 8;
                self.byte = high;
                full.push(low);
            }
        }
        full.into()
    }

    /// The last byte, where it is not full.
    fn rest(&mut self) -> Bytes {
        if self.bits == 0 { Bytes::new() } else { vec![self.byte].into() }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    async fn of(frames: &[&'static [u8]], bits: u64) -> Vec<u8> {
        let frames: Vec<_> = frames.iter().map(|frame| Ok(Bytes::from_static(frame))).collect();
        let all: Vec<Bytes> = joined(stream::iter(frames), bits).try_collect().await.unwrap();
        all.concat()
    }

    #[tokio::test]
    async fn the_next_frame_begins_in_the_byte_of_the_last_bit() {
        // Ten bits each; of the second one bits are set behind them.
        let frames: [&[u8]; 3] = [&[0b1000_0001, 0b10], &[0xFF, 0xFF], &[0, 0b01]];
        let expected = [0b1000_0001, 0b1111_1110, 0b0000_1111, 0b0001_0000];
        assert_eq!(of(&frames, 10).await, expected);
        assert_eq!(of(&frames[..1], 10).await, [0b1000_0001, 0b10]);
        assert_eq!(of(&[&[0b101], &[0b011], &[0b110]], 3).await, [0b1001_1101, 0b1]);
    }

    #[tokio::test]
    async fn frames_that_end_with_a_byte_leave_nothing_behind() {
        assert_eq!(of(&[&[1], &[2]], 8).await, [1, 2]);
        assert_eq!(of(&[&[1, 0b11], &[2, 0b01], &[3, 0], &[4, 0b10]], 10).await.len(), 5);
    }
}
