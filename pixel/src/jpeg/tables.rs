//! Tables that stand between the scans (ISO/IEC 10918-1 §B.2.4).

use super::super::{Error, Result};
use super::huffman::Huffman;

/// Coefficients of a block in the order of the stream: their places, row by row (§A.3.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What has been defined so far.
#[derive(Default)]
pub(super) struct Tables {
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    /// In the order of the stream.
    quantization: [Option<[u16; 64]>; 4],
    /// Minimum coded units between two restarts; 0 for none.
    pub(super) restart_interval: usize,
}

impl Tables {
    /// Takes a DHT, DQT or DRI segment; others change nothing.
    ///
    /// # Errors
    /// `Corrupt` when the segment breaks off or its codes are none.
    pub(super) fn read(&mut self, marker: u8, segment: &[u8]) -> Result<()> {
        let taken = match marker {
            0xC4 => self.read_huffman(segment),
            0xDB => self.read_quantization(segment),
            0xDD => self.read_restart_interval(segment),
            _ => Some(()),
        };
        taken.ok_or_else(|| Error::corrupt(format!("JPEG segment FF{marker:02X} is broken")))
    }

    fn read_huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((class, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let length = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(length)?;
            let tables = if class >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(class & 15))? = Some(Huffman::new(counts, symbols)?);
            segment = rest;
        }
        Some(())
    }

    fn read_quantization(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((head, rest)) = segment.split_first() {
            let table = self.quantization.get_mut(usize::from(head & 15))?;
            let mut steps = [0; 64];
            segment = if head >> 4 == 0 {
                let (bytes, rest) = rest.split_first_chunk::<64>()?;
                steps.iter_mut().zip(bytes).for_each(|(step, byte)| *step = u16::from(*byte));
                rest
            } else {
                let (bytes, rest) = rest.split_first_chunk::<128>()?;
                let (words, _) = bytes.as_chunks::<2>();
                steps.iter_mut().zip(words).for_each(|(step, word)| *step = u16::from_be_bytes(*word));
                rest
            };
            *table = Some(steps);
        }
        Some(())
    }

    fn read_restart_interval(&mut self, segment: &[u8]) -> Option<()> {
        let (interval, _) = segment.split_first_chunk::<2>()?;
        self.restart_interval = usize::from(u16::from_be_bytes(*interval));
        Some(())
    }

    /// The table for differences of neighbours.
    ///
    /// # Errors
    /// `Corrupt` when there is none of this number; so the other two.
    pub(super) fn dc(&self, number: usize) -> Result<&Huffman> {
        self.dc.get(number).and_then(Option::as_ref).ok_or_else(|| missing("DC", number))
    }

    /// The table for the other coefficients of a block.
    pub(super) fn ac(&self, number: usize) -> Result<&Huffman> {
        self.ac.get(number).and_then(Option::as_ref).ok_or_else(|| missing("AC", number))
    }

    /// Steps of quantization, in the order of the stream.
    pub(super) fn steps(&self, number: usize) -> Result<&[u16; 64]> {
        let table = self.quantization.get(number).and_then(Option::as_ref);
        table.ok_or_else(|| missing("quantization", number))
    }
}

fn missing(kind: &str, number: usize) -> Error {
    Error::corrupt(format!("JPEG stream has no {kind} table {number}"))
}
