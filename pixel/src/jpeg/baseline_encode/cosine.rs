//! The forward cosine transform and its quantization (ISO/IEC 10918-1 §A.3.3, §A.3.4).
//!
//! By the method of Arai, Agui and Nakajima, with five multiplications a line: what is left to multiply goes into the
//! steps of quantization. In floats, a line in each lane.

use fearless_simd::{Bytes as _, Simd, SimdBase as _, f32x8, i16x16, i32x8};

use super::super::tables::ZIGZAG;

/// Rows or columns of a block.
pub(super) type Lines = [[f32; 8]; 8];

/// Added to a number of less than 2²² it leaves the nearest whole one in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;

/// What the transform leaves to multiply the coefficient of each frequency with: 1, and √2·cos(kπ/16).
const LEFT: [f64; 8] = [
    1.0,
    1.387_039_845_322_148,
    1.306_562_964_876_377,
    1.175_875_602_419_359,
    1.0,
    0.785_694_958_387_102,
    0.541_196_100_146_197,
    0.275_899_379_282_943,
];

/// Steps of quantization, as what a coefficient that was transformed here is to be multiplied with.
pub(super) struct Steps(Lines);

/// Quantized coefficients, and in which places of the stream's order there are others than 0.
pub(super) struct Block {
    /// Column of frequencies by column, as the transform leaves them.
    values: [i16; 64],
    /// The first one of the stream is the lowest bit.
    pub(super) occupied: u64,
}

/// Places in [`Block`] in the order of the stream.
const PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let (mut to, mut from): (&mut [u8], &[u8]) = (&mut places, &ZIGZAG);
    while let ([place, others @ ..], [by_row, rest @ ..]) = (to, from) {
        *place = *by_row % 8 * 8 + *by_row / 8;
        (to, from) = (others, rest);
    }
    places
};

/// By which of its eight values a column of a block has other than 0: the places of them in the order of the stream.
static OCCUPIED: [[u64; 256]; 8] = {
    let mut all = [[0_u64; 256]; 8];
    let mut order = 0;
    let mut places: &[u8] = &PLACES;
    while let [place, rest @ ..] = places {
        let (column, bit) = (*place / 8, *place % 8);
        let mut tables: &mut [[u64; 256]] = &mut all;
        let mut number = 0;
        while let [table, others @ ..] = tables {
            if number == column {
                let mut entries: &mut [u64] = table;
                let mut flags = 0_u32;
                while let [entry, behind @ ..] = entries {
                    if flags >> bit & 1 == 1 {
                        *entry |= 1 << order;
                    }
                    entries = behind;
                    flags += 1;
                }
            }
            tables = others;
            number += 1;
        }
        places = rest;
        order += 1;
    }
    all
};

impl Steps {
    /// From the table of a stream, in its order.
    pub(super) fn new(table: &[u8; 64]) -> Self {
        let mut steps = [[0.0; 8]; 8];
        for (step, place) in table.iter().zip(ZIGZAG) {
            let (row, column) = (usize::from(place / 8), usize::from(place % 8));
            let left = LEFT.get(row).zip(LEFT.get(column)).map_or(1.0, |(row, column)| row * column);
            if let Some(place) = steps.get_mut(column).and_then(|column| column.get_mut(row)) {
                #[expect(clippy::cast_possible_truncation, reason = "a factor of at most an eighth")]
                let factor = (1.0 / (8.0 * left * f64::from(*step))) as f32;
                *place = factor;
            }
        }
        Self(steps)
    }
}

impl Block {
    /// The first of the order, whatever it is.
    #[inline(always)]
    pub(super) fn first(&self) -> i16 {
        let [first, ..] = self.values;
        first
    }

    /// The coefficient of a place in the order of the stream.
    #[inline(always)]
    pub(super) fn at(&self, order: u32) -> i16 {
        let place = PLACES.get(order as usize & 63).copied().unwrap_or(0);
        self.values.get(usize::from(place & 63)).copied().unwrap_or(0)
    }
}

/// Samples, less 128, as coefficients in steps.
#[inline(always)]
pub(super) fn quantized<S: Simd>(simd: S, samples: &Lines, steps: &Steps) -> Block {
    let lines = samples.map(|line| f32x8::from_slice(simd, &line));
    let columns = transformed(transposed(transformed(lines)));
    let mut values = [0_i16; 64];
    let (pairs, _) = values.as_chunks_mut::<16>();
    let (of_columns, _) = columns.as_chunks::<2>();
    let (of_steps, _) = steps.0.as_chunks::<2>();
    let (mut tables, _) = OCCUPIED.as_chunks::<2>();
    let mut occupied = 0;
    for ((pair, [low, high]), [low_steps, high_steps]) in pairs.iter_mut().zip(of_columns).zip(of_steps) {
        let low = whole(*low * f32x8::from_slice(simd, low_steps));
        let high = whole(*high * f32x8::from_slice(simd, high_steps));
        let both = simd.saturating_narrow_i32x8(low, high);
        let flags = simd.to_bitmask_mask16x16(simd.simd_eq_i16x16(both, i16x16::splat(simd, 0)));
        let [low, high, ..] = (!flags).to_le_bytes();
        if let [[low_table, high_table], rest @ ..] = tables {
            occupied |= low_table.get(usize::from(low)).copied().unwrap_or(0)
                | high_table.get(usize::from(high)).copied().unwrap_or(0);
            tables = rest;
        }
        both.store_slice(pair);
    }
    Block { values, occupied }
}

/// The nearest whole numbers.
#[inline(always)]
fn whole<S: Simd>(numbers: f32x8<S>) -> i32x8<S> {
    (numbers + ROUNDING).bitcast::<i32x8<S>>() - ROUNDING.to_bits().cast_signed()
}

#[inline(always)]
fn transposed<S: Simd>([a, b, c, d, e, f, g, h]: [f32x8<S>; 8]) -> [f32x8<S>; 8] {
    let mixed = |x: f32x8<S>, y: f32x8<S>| x.simd.interleave_f32x8(x, y);
    let round = |[a, b, c, d, e, f, g, h]: [f32x8<S>; 8]| {
        let ((a, b), (c, d), (e, f), (g, h)) = (mixed(a, e), mixed(b, f), mixed(c, g), mixed(d, h));
        [a, b, c, d, e, f, g, h]
    };
    round(round(round([a, b, c, d, e, f, g, h])))
}

/// One direction, lane by lane.
#[inline(always)]
fn transformed<S: Simd>([a, b, c, d, e, f, g, h]: [f32x8<S>; 8]) -> [f32x8<S>; 8] {
    let (s0, s1, s2, s3) = (a + h, b + g, c + f, d + e);
    let (d0, d1, d2, d3) = (a - h, b - g, c - f, d - e);
    // The even frequencies.
    let (t0, t3, t1, t2) = (s0 + s3, s0 - s3, s1 + s2, s1 - s2);
    let z1 = (t2 + t3) * 0.707_106_77;
    let (f0, f4, f2, f6) = (t0 + t1, t0 - t1, t3 + z1, t3 - z1);
    // The odd ones.
    let (u0, u1, u2) = (d3 + d2, d2 + d1, d1 + d0);
    let z5 = (u0 - u2) * 0.382_683_43;
    let z2 = u0 * 0.541_196_1 + z5;
    let z4 = u2 * 1.306_563 + z5;
    let z3 = u1 * 0.707_106_77;
    let (z11, z13) = (d0 + z3, d0 - z3);
    [f0, z11 + z4, f2, z13 - z2, f4, z13 + z2, f6, z11 - z4]
}
