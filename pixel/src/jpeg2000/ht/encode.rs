//! A code-block → its cleanup pass.

use super::streams::{BackwardWriter, ForwardWriter, RunWriter, join};
use super::tables::{ByPattern, FIRST_BY_PATTERN, OTHER_BY_PATTERN};

/// Encodes code-blocks, with room that is used again for each.
pub(in super::super) struct BlockEncoder {
    events: RunWriter,
    codes: BackwardWriter,
    magnitudes: ForwardWriter,
    /// Twice the size of each sample and its sign, in rows of even length, of which there is an even number.
    samples: Vec<u32>,
    /// Exponents of the row above, from the column before the first to the one behind the last.
    above: Vec<u8>,
    here: Vec<u8>,
}

/// Two columns of two rows: a quad (§7.1.1). Samples go down first.
#[derive(Clone, Copy, Default)]
struct Quad {
    /// ρ: which samples are not zero.
    significance: u32,
    exponents: [u32; 4],
    /// What is written of each: twice the size less one, and the sign.
    values: [u32; 4],
    /// The greatest exponent.
    greatest: u32,
}

impl Quad {
    fn new(samples: [u32; 4]) -> Self {
        let mut quad = Self::default();
        let places = quad.exponents.iter_mut().zip(&mut quad.values).zip(samples).enumerate();
        for (number, ((exponent, value), sample)) in places {
            let doubled = sample & !1;
            if doubled != 0 {
                quad.significance |= 1 << number;
                *exponent = 32 - (doubled - 1).leading_zeros();
                *value = doubled - 2 + (sample & 1);
                quad.greatest = quad.greatest.max(*exponent);
            }
        }
        quad
    }

    /// ε: whose exponent is the greatest.
    fn raised(&self) -> u32 {
        let is_raised = self.exponents.map(|exponent| u32::from(exponent == self.greatest));
        is_raised.iter().rev().fold(0, |pattern, bit| pattern << 1 | bit)
    }
}

impl BlockEncoder {
    pub(in super::super) fn new() -> Self {
        Self {
            events: RunWriter::new(),
            codes: BackwardWriter::new(),
            magnitudes: ForwardWriter::new(),
            samples: Vec::new(),
            above: Vec::new(),
            here: Vec::new(),
        }
    }

    /// Appends the pass of the block, whose rows all have the same length; gives its length, 0 for a block of zeros,
    /// which has none.
    pub(in super::super) fn encode<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a [i32]>,
        pass: &mut Vec<u8>,
    ) -> usize {
        let Some(stride) = self.take(rows) else { return 0 };
        self.events.clear();
        self.codes.clear();
        self.magnitudes.clear();
        for exponents in [&mut self.above, &mut self.here] {
            exponents.clear();
            exponents.resize(stride + 2, 0);
        }
        let samples = std::mem::take(&mut self.samples);
        for (number, rows) in samples.chunks_exact(2 * stride).enumerate() {
            let (upper, lower) = rows.split_at(stride);
            if number == 0 {
                self.first_row(upper, lower)
            } else {
                self.row(upper, lower)
            }
            std::mem::swap(&mut self.above, &mut self.here);
        }
        self.samples = samples;
        let before = pass.len();
        self.magnitudes.finish();
        pass.extend_from_slice(&self.magnitudes.bytes);
        let start = pass.len();
        join(&mut self.events, &mut self.codes, pass);
        // Where the streams but the first begin, told from the end (§7.1.1).
        let [low, high, ..] = (pass.len() - start).to_le_bytes();
        if let [.., last_but_one, last] = pass.as_mut_slice() {
            *last = high << 4 | low >> 4;
            *last_but_one = *last_but_one & 0xF0 | low & 0xF;
        }
        pass.len() - before
    }

    /// Gives the length of a row, `None` when all samples are zero.
    fn take<'a>(&mut self, rows: impl Iterator<Item = &'a [i32]>) -> Option<usize> {
        self.samples.clear();
        let (mut any, mut stride) = (0, 0);
        for row in rows {
            stride = row.len().next_multiple_of(2);
            self.samples.extend(row.iter().map(|sample| {
                let size = sample.unsigned_abs();
                any |= size;
                size << 1 | u32::from(*sample < 0)
            }));
            if stride != row.len() {
                self.samples.push(0);
            }
        }
        if any == 0 {
            return None;
        }
        if !self.samples.len().is_multiple_of(2 * stride) {
            self.samples.resize(self.samples.len() + stride, 0);
        }
        Some(stride)
    }

    /// The first row of quads has nothing above it (§7.3.5).
    fn first_row(&mut self, upper: &[u32], lower: &[u32]) {
        let mut context = 0;
        let mut first = None;
        let (upper, _) = upper.as_chunks::<2>();
        let (lower, _) = lower.as_chunks::<2>();
        let (below, _) = self.here.get_mut(1..).unwrap_or_default().as_chunks_mut::<2>();
        for (([a, c], [b, d]), below) in upper.iter().zip(lower).zip(below) {
            let quad = Quad::new([*a, *b, *c, *d]);
            *below = bottoms(&quad);
            let offset = quad.greatest.max(1) - 1;
            let (events, codes, magnitudes) = (&mut self.events, &mut self.codes, &mut self.magnitudes);
            put_quad(&FIRST_BY_PATTERN, (events, codes, magnitudes), &quad, context, 1);
            context = quad.significance >> 1 | quad.significance & 1;
            match first.take() {
                None => first = Some(offset),
                Some(before) => put_first_offsets(&mut self.events, &mut self.codes, before, offset),
            }
        }
        if let Some(offset) = first {
            put_first_offsets(&mut self.events, &mut self.codes, offset, 0);
        }
    }

    fn row(&mut self, upper: &[u32], lower: &[u32]) {
        let mut west = 0;
        let mut first = None;
        let (upper, _) = upper.as_chunks::<2>();
        let (lower, _) = lower.as_chunks::<2>();
        let (below, _) = self.here.get_mut(1..).unwrap_or_default().as_chunks_mut::<2>();
        let around = self.above.windows(4).step_by(2);
        for ((([a, c], [b, d]), below), above) in upper.iter().zip(lower).zip(below).zip(around) {
            let quad = Quad::new([*a, *b, *c, *d]);
            *below = bottoms(&quad);
            let &[e0, e1, e2, e3] = above else { continue };
            let context = u32::from(e0 | e1 > 0) | west << 1 | u32::from(e2 | e3 > 0) << 2;
            let several = quad.significance & quad.significance.wrapping_sub(1) != 0;
            let greatest_above = u32::from(e0.max(e1).max(e2).max(e3));
            let least = if several { greatest_above.max(2) - 1 } else { 1 };
            let (events, codes, magnitudes) = (&mut self.events, &mut self.codes, &mut self.magnitudes);
            put_quad(&OTHER_BY_PATTERN, (events, codes, magnitudes), &quad, context, least);
            west = u32::from(quad.significance & 0b1100 != 0);
            let offset = quad.greatest.max(least) - least;
            match first.take() {
                None => first = Some(offset),
                Some(before) => put_offsets(&mut self.codes, before, offset),
            }
        }
        if let Some(offset) = first {
            put_offsets(&mut self.codes, offset, 0);
        }
    }
}

/// The exponents of the lower samples.
fn bottoms(quad: &Quad) -> [u8; 2] {
    let [_, left, _, right] = quad.exponents;
    [left.to_le_bytes()[0], right.to_le_bytes()[0]]
}

/// Writes all of a quad but its offset; `least` is κ, what its exponents are taken to be at least.
fn put_quad(
    table: &ByPattern,
    (events, codes, magnitudes): (&mut RunWriter, &mut BackwardWriter, &mut ForwardWriter),
    quad: &Quad,
    context: u32,
    least: u32,
) {
    if context == 0 {
        events.event(quad.significance != 0);
    }
    let bound = quad.greatest.max(least);
    let raised = if bound > least { quad.raised() } else { 0 };
    let place = usize::try_from(context << 8 | quad.significance << 4 | raised).unwrap_or(0);
    let entry = u32::from(table.get(place).copied().unwrap_or(0));
    codes.put(entry >> 8, entry >> 4 & 7);
    let known = entry & 15;
    for (number, value) in quad.values.iter().enumerate() {
        if quad.significance >> number & 1 == 1 {
            let bits = bound - (known >> number & 1);
            magnitudes.put(value & low_bits(bits), bits);
        }
    }
}

/// So many ones, 32 at the most.
fn low_bits(bits: u32) -> u32 {
    u32::MAX.checked_shr(32 - bits).unwrap_or(0)
}

/// Prefix and suffix of an offset, each with its length (Table 3).
fn parts(offset: u32) -> ((u32, u32), (u32, u32)) {
    match offset {
        0 => ((0, 0), (0, 0)),
        1 => ((1, 1), (0, 0)),
        2 => ((2, 2), (0, 0)),
        3 | 4 => ((4, 3), (offset - 3, 1)),
        _ => ((0, 3), (offset - 5, 5)),
    }
}

fn put_offsets(codes: &mut BackwardWriter, first: u32, second: u32) {
    let ((prefix_1, suffix_1), (prefix_2, suffix_2)) = (parts(first), parts(second));
    for (code, bits) in [prefix_1, prefix_2, suffix_1, suffix_2] {
        codes.put(code, bits);
    }
}

/// In the first row large offsets come in pairs, and an event says so (§7.3.6).
fn put_first_offsets(events: &mut RunWriter, codes: &mut BackwardWriter, first: u32, second: u32) {
    if first > 0 && second > 0 {
        events.event(first.min(second) > 2);
    }
    if first > 2 && second > 2 {
        put_offsets(codes, first - 2, second - 2);
    } else if first > 2 && second > 0 {
        let (prefix, suffix) = parts(first);
        for (code, bits) in [prefix, (second - 1, 1), suffix] {
            codes.put(code, bits);
        }
    } else {
        put_offsets(codes, first, second);
    }
}
