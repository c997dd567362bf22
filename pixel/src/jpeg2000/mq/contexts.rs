//! What the neighbours of a sample let expect of it (ISO/IEC 15444-1 §D.3).
//!
//! A sample is a set of flags: which neighbours are significant, the signs of the four nearest, and what it is itself.

use super::super::geometry::Orientation;
use super::states::{FIRST_REFINED, FIRST_SIGN};

pub(super) type Flags = u16;

/// Significant neighbours: the diagonal ones, then north, east, south, west.
const NE: Flags = 1;
const SE: Flags = 1 << 1;
const SW: Flags = 1 << 2;
const NW: Flags = 1 << 3;
const N: Flags = 1 << 4;
const E: Flags = 1 << 5;
const S: Flags = 1 << 6;
const W: Flags = 1 << 7;
pub(super) const NEIGHBOURS: Flags = 0xFF;
/// The signs of the nearest ones.
const NORTH_IS_NEGATIVE: Flags = 1 << 8;
const EAST_IS_NEGATIVE: Flags = 1 << 9;
const SOUTH_IS_NEGATIVE: Flags = 1 << 10;
const WEST_IS_NEGATIVE: Flags = 1 << 11;

/// The sample itself: it is significant, was refined before, was coded in this bit plane.
pub(super) const SIGNIFICANT: Flags = 1 << 12;
pub(super) const REFINED: Flags = 1 << 13;
pub(super) const VISITED: Flags = 1 << 14;

/// The flags of a block's samples, with one of the outside at each side.
pub(super) struct Neighbourhood {
    pub(super) flags: Vec<Flags>,
    /// From a sample to the one below.
    pub(super) stride: usize,
}

impl Neighbourhood {
    pub(super) fn new() -> Self {
        Self { flags: Vec::new(), stride: 0 }
    }

    pub(super) fn restart(&mut self, width: usize, height: usize) {
        self.stride = width + 2;
        self.flags.clear();
        self.flags.resize(self.stride * (height + 2), 0);
    }

    /// Where the flags of a sample stand.
    pub(super) fn place(&self, column: usize, row: usize) -> usize {
        (row + 1) * self.stride + column + 1
    }

    #[inline]
    pub(super) fn at(&self, place: usize) -> Flags {
        self.flags.get(place).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn add(&mut self, place: usize, flags: Flags) {
        if let Some(own) = self.flags.get_mut(place) {
            *own |= flags;
        }
    }

    /// The sample has become significant: its neighbours learn of it.
    pub(super) fn becomes_significant(&mut self, place: usize, is_negative: bool) {
        let sign = |flag: Flags| if is_negative { flag } else { 0 };
        let (above, below) = (place.wrapping_sub(self.stride), place + self.stride);
        for (place, flags) in [
            (above.wrapping_sub(1), SE),
            (above, S | sign(SOUTH_IS_NEGATIVE)),
            (above.wrapping_add(1), SW),
            (place - 1, E | sign(EAST_IS_NEGATIVE)),
            (place, SIGNIFICANT),
            (place + 1, W | sign(WEST_IS_NEGATIVE)),
            (below - 1, NE),
            (below, N | sign(NORTH_IS_NEGATIVE)),
            (below + 1, NW),
        ] {
            self.add(place, flags);
        }
    }
}

/// The context of a sample that was zero so far, by its neighbours (Table D.1).
pub(super) fn zero_contexts(orientation: Orientation) -> &'static [u8; 256] {
    match orientation {
        Orientation::Ll | Orientation::Lh => &ZERO_LOW,
        Orientation::Hl => &ZERO_HIGH_ACROSS,
        Orientation::Hh => &ZERO_HIGH,
    }
}

static ZERO_LOW: [u8; 256] = zero_table(false, false);
static ZERO_HIGH_ACROSS: [u8; 256] = zero_table(true, false);
static ZERO_HIGH: [u8; 256] = zero_table(false, true);

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which would refuse an index too large"
)]
const fn zero_table(is_turned: bool, is_diagonal: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut flags = 0;
    while flags < 256 {
        let neighbours = flags as Flags;
        let (across, down) = ((neighbours & (W | E)).count_ones(), (neighbours & (N | S)).count_ones());
        let diagonal = (neighbours & (NE | SE | SW | NW)).count_ones();
        let (across, down) = if is_turned { (down, across) } else { (across, down) };
        table[flags] =
            if is_diagonal { by_diagonals(diagonal, across + down) } else { by_rows(across, down, diagonal) };
        flags += 1;
    }
    table
}

const fn by_rows(across: u32, down: u32, diagonal: u32) -> u8 {
    match (across, down, diagonal) {
        (0, 0, 0) => 0,
        (0, 0, 1) => 1,
        (0, 0, _) => 2,
        (0, 1, _) => 3,
        (0, _, _) => 4,
        (1, 0, 0) => 5,
        (1, 0, _) => 6,
        (1, _, _) => 7,
        _ => 8,
    }
}

const fn by_diagonals(diagonal: u32, others: u32) -> u8 {
    match (diagonal, others) {
        (0, 0) => 0,
        (0, 1) => 1,
        (0, _) => 2,
        (1, 0) => 3,
        (1, 1) => 4,
        (1, _) => 5,
        (2, 0) => 6,
        (2, _) => 7,
        _ => 8,
    }
}

/// The context of a sign, and whether the sign is turned round there (Tables D.2, D.3).
pub(super) fn sign_context(flags: Flags) -> (u8, bool) {
    let of = |significant: Flags, negative: Flags| match (flags & significant != 0, flags & negative != 0) {
        (false, _) => 0_i32,
        (true, false) => 1,
        (true, true) => -1,
    };
    let across = (of(W, WEST_IS_NEGATIVE) + of(E, EAST_IS_NEGATIVE)).signum();
    let down = (of(N, NORTH_IS_NEGATIVE) + of(S, SOUTH_IS_NEGATIVE)).signum();
    let is_turned = across < 0 || (across == 0 && down < 0);
    let number = match (across.abs(), if is_turned { -down } else { down }) {
        (0, 0) => 0,
        (0, _) => 1,
        (_, -1) => 2,
        (_, 0) => 3,
        _ => 4,
    };
    (FIRST_SIGN + number, is_turned)
}

/// The context of a further bit of a significant sample (Table D.4).
pub(super) fn refined_context(flags: Flags) -> u8 {
    if flags & REFINED != 0 { FIRST_REFINED + 2 } else { FIRST_REFINED + u8::from(flags & NEIGHBOURS != 0) }
}
