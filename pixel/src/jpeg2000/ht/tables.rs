//! The codes, by what is looked up.

use super::codes::{FIRST_ROW, OTHER_ROWS};

/// By context (3 bits), significance (4) and raised exponents (4): the code (from bit 8), its length (3 bits from bit
/// 4), and which exponents it tells (4 bits).
pub(super) type ByPattern = [u16; 2048];

pub(super) static FIRST_BY_PATTERN: ByPattern = by_pattern(&FIRST_ROW);
pub(super) static OTHER_BY_PATTERN: ByPattern = by_pattern(&OTHER_ROWS);

#[derive(Clone, Copy)]
struct Row {
    context: u32,
    significance: u32,
    has_offset: bool,
    known: u32,
    raised: u32,
    code: u32,
    length: u32,
}

const fn row(packed: u32) -> Row {
    Row {
        context: packed >> 23,
        significance: packed >> 19 & 15,
        has_offset: packed >> 18 & 1 == 1,
        known: packed >> 14 & 15,
        raised: packed >> 10 & 15,
        code: packed >> 3 & 127,
        length: packed & 7,
    }
}

/// Of several codes for one pattern, the one that tells most exponents saves most bits of magnitudes.
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which would refuse an index too large; all fields fit"
)]
const fn by_pattern<const N: usize>(rows: &[u32; N]) -> ByPattern {
    let mut table = [0; 2048];
    let mut number = 0;
    while number < N {
        let row = row(rows[number]);
        let mut raised = if row.has_offset { 1 } else { 0 };
        let end = if row.has_offset { 16 } else { 1 };
        while raised < end {
            let is_of_pattern = raised & row.significance == raised;
            let is_told = !row.has_offset || raised & row.known == row.raised;
            let place = (row.context << 8 | row.significance << 4 | raised) as usize;
            let known_so_far = (table[place] & 15_u16).count_ones();
            if is_of_pattern && is_told && (table[place] == 0 || row.known.count_ones() >= known_so_far) {
                table[place] = (row.code << 8 | row.length << 4 | row.known) as u16;
            }
            raised += 1;
        }
        number += 1;
    }
    table
}

/// By context (3 bits) and the next seven bits: exponents known (from bit 12) and raised (from bit 8), significance
/// (from bit 4), whether there is an offset (bit 3), and the length of the code. All zero where there is no such code.
pub(super) type ByCode = [u16; 1024];

pub(super) static FIRST_BY_CODE: ByCode = by_code(&FIRST_ROW);
pub(super) static OTHER_BY_CODE: ByCode = by_code(&OTHER_ROWS);

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which would refuse an index too large; all fields fit"
)]
const fn by_code<const N: usize>(rows: &[u32; N]) -> ByCode {
    let mut table = [0; 1024];
    let mut number = 0;
    while number < N {
        let row = row(rows[number]);
        let offset = if row.has_offset { 1 } else { 0 };
        let entry = row.known << 12 | row.raised << 8 | row.significance << 4 | offset << 3 | row.length;
        let mut above = 0;
        while above < 128 >> row.length {
            table[(row.context << 7 | above << row.length | row.code) as usize] = entry as u16;
            above += 1;
        }
        number += 1;
    }
    table
}
