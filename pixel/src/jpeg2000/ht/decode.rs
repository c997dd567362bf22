//! A cleanup pass → its code-block.

use super::readers::{Codes, Events, Magnitudes};
use super::tables::{ByCode, FIRST_BY_CODE, OTHER_BY_CODE};

/// Most bits of a magnitude and its sign.
const MOST_BITS: u32 = 30;

/// Decodes code-blocks, with room that is used again for each.
#[derive(Default)]
pub(in super::super) struct BlockDecoder {
    /// Exponents of the row above, from the column before the first to the one behind the last.
    above: Vec<u8>,
    here: Vec<u8>,
}

/// What the codes say of a quad.
#[derive(Clone, Copy, Default)]
struct Quad {
    known: u32,
    raised: u32,
    significance: u32,
    has_offset: bool,
}

impl BlockDecoder {
    /// Puts the block's samples to their places: `samples` begins with its first one, rows are `stride` apart. `None`
    /// when the pass is none.
    pub(in super::super) fn decode(
        &mut self,
        pass: &[u8],
        (width, height): (usize, usize),
        samples: &mut [i32],
        stride: usize,
    ) -> Option<()> {
        let [.., low, high] = pass else { return None };
        let behind = usize::from(*high) << 4 | usize::from(low & 0xF);
        if behind < 2 {
            return None;
        }
        let (magnitudes, others) = pass.split_at_checked(pass.len().checked_sub(behind)?)?;
        let (_, others) = others.split_last()?;
        let (mut events, mut codes) = (Events::new(others), Codes::new(others));
        let mut magnitudes = Magnitudes::new(magnitudes);
        for exponents in [&mut self.above, &mut self.here] {
            exponents.clear();
            exponents.resize(width.next_multiple_of(4) + 4, 0);
        }
        let mut rows = samples.chunks_mut(stride.max(1)).take(height);
        let mut is_first = true;
        while let Some(upper) = rows.next() {
            let upper = upper.get_mut(..width)?;
            let lower = rows.next().unwrap_or_default();
            let lower = lower.get_mut(..width).unwrap_or_default();
            let streams = (&mut events, &mut codes, &mut magnitudes);
            self.row(is_first, streams, upper, lower)?;
            std::mem::swap(&mut self.above, &mut self.here);
            is_first = false;
        }
        Some(())
    }

    /// A row of quads.
    fn row(
        &mut self,
        is_first: bool,
        (events, codes, magnitudes): (&mut Events<'_>, &mut Codes<'_>, &mut Magnitudes<'_>),
        upper: &mut [i32],
        lower: &mut [i32],
    ) -> Option<()> {
        let table = if is_first { &FIRST_BY_CODE } else { &OTHER_BY_CODE };
        let quads = upper.len().div_ceil(2);
        let mut west = 0;
        let mut lower = lower.chunks_mut(4);
        for (number, upper) in upper.chunks_mut(4).enumerate() {
            let first = number * 2;
            let above = *self.above.get(first * 2..)?.first_chunk::<6>()?;
            let context = |at: usize, west: u32| {
                if is_first {
                    return west;
                }
                let any = |at: usize| u32::from(above.get(at..at + 2).is_some_and(|pair| pair != [0, 0]));
                any(at) | west << 1 | any(at + 2) << 2
            };
            let own = quad(table, events, codes, context(0, west));
            west = west_of(own, is_first);
            let other = if first + 1 < quads {
                let other = quad(table, events, codes, context(2, west));
                west = west_of(other, is_first);
                other
            } else {
                Quad::default()
            };
            let offsets = if is_first && own.has_offset && other.has_offset {
                first_offsets(events, codes)?
            } else {
                offsets(codes, own.has_offset, other.has_offset)?
            };
            let mut values = [[0; 4]; 2];
            let mut bottoms = [0; 4];
            let both = [(own, offsets.0), (other, offsets.1)];
            for (at, ((quad, offset), values)) in both.into_iter().zip(&mut values).enumerate() {
                let greatest = above.get(at * 2..at * 2 + 4)?.iter().max().copied().unwrap_or(0);
                let several = quad.significance & quad.significance.wrapping_sub(1) != 0;
                let least = if several && !is_first { u32::from(greatest).max(2) - 1 } else { 1 };
                let bound = least + offset;
                if bound > MOST_BITS {
                    return None;
                }
                let mut exponents = [0; 4];
                for (sample, (value, exponent)) in values.iter_mut().zip(&mut exponents).enumerate() {
                    if quad.significance >> sample & 1 == 1 {
                        let bits = bound - (quad.known >> sample & 1);
                        let coded = magnitudes.number(bits) | (quad.raised >> sample & 1) << bits;
                        *exponent = (32 - (coded | 1).leading_zeros()).to_le_bytes()[0];
                        let size = i32::try_from(coded >> 1).ok()? + 1;
                        *value = if coded & 1 == 1 { -size } else { size };
                    }
                }
                let [_, left, _, right] = exponents;
                bottoms.get_mut(at * 2..at * 2 + 2)?.copy_from_slice(&[left, right]);
            }
            self.here.get_mut(first * 2 + 1..first * 2 + 5)?.copy_from_slice(&bottoms);
            let [[a, b, c, d], [e, f, g, h]] = values;
            upper.iter_mut().zip([a, c, e, g]).for_each(|(place, value)| *place = value);
            if let Some(lower) = lower.next() {
                lower.iter_mut().zip([b, d, f, h]).for_each(|(place, value)| *place = value);
            }
        }
        // What was decoded beyond the last column is no neighbour of the next row.
        let end = upper.len() + 1;
        self.here.get_mut(end..)?.fill(0);
        Some(())
    }
}

/// What a quad lets the next one expect (§7.3.5).
fn west_of(quad: Quad, is_first: bool) -> u32 {
    if is_first {
        quad.significance >> 1 | quad.significance & 1
    } else {
        u32::from(quad.significance & 0b1100 != 0)
    }
}

fn quad(table: &ByCode, events: &mut Events<'_>, codes: &mut Codes<'_>, context: u32) -> Quad {
    if context == 0 && !events.event() {
        return Quad::default();
    }
    let place = usize::try_from(context << 7 | codes.peek() & 0x7F).unwrap_or(0);
    let entry = u32::from(table.get(place).copied().unwrap_or(0));
    codes.skip(entry & 7);
    Quad {
        known: entry >> 12,
        raised: entry >> 8 & 15,
        significance: entry >> 4 & 15,
        has_offset: entry & 8 != 0,
    }
}

/// The prefix of an offset: the number that it stands for at the least, and how many bits follow.
fn prefix(codes: &mut Codes<'_>) -> (u32, u32) {
    let (length, least, more) = match codes.peek() & 7 {
        bits if bits & 1 == 1 => (1, 1, 0),
        bits if bits & 2 == 2 => (2, 2, 0),
        4 => (3, 3, 1),
        _ => (3, 5, 5),
    };
    codes.skip(length);
    (least, more)
}

fn number(codes: &mut Codes<'_>, bits: u32) -> u32 {
    let number = codes.peek() & ((1 << bits) - 1);
    codes.skip(bits);
    number
}

/// `None` for offsets of more bits than any sample has.
fn whole(codes: &mut Codes<'_>, (least, more): (u32, u32)) -> Option<u32> {
    let rest = number(codes, more);
    (rest < 28).then_some(least + rest)
}

fn offsets(codes: &mut Codes<'_>, has_first: bool, has_second: bool) -> Option<(u32, u32)> {
    let first = if has_first { prefix(codes) } else { (0, 0) };
    let second = if has_second { prefix(codes) } else { (0, 0) };
    let first = whole(codes, first)?;
    Some((first, whole(codes, second)?))
}

/// Two offsets of the first row (§7.3.6).
fn first_offsets(events: &mut Events<'_>, codes: &mut Codes<'_>) -> Option<(u32, u32)> {
    if events.event() {
        let (first, second) = offsets(codes, true, true)?;
        return Some((first + 2, second + 2));
    }
    let first = prefix(codes);
    if first.1 == 0 {
        let second = prefix(codes);
        return Some((first.0, whole(codes, second)?));
    }
    let second = number(codes, 1) + 1;
    Some((whole(codes, first)?, second))
}
