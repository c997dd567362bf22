//! How a tile is divided: resolutions, subbands, precincts, code-blocks (ISO/IEC 15444-1 Annex B).

/// A part of the reference grid or of one of its reductions; right and bottom do not belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) right: u32,
    pub(super) bottom: u32,
}

impl Rect {
    pub(super) fn width(self) -> u32 {
        self.right.saturating_sub(self.left)
    }

    pub(super) fn height(self) -> u32 {
        self.bottom.saturating_sub(self.top)
    }

    pub(super) fn is_empty(self) -> bool {
        self.width() == 0 || self.height() == 0
    }

    pub(super) fn intersection(self, other: Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// Every edge through the same function, columns and rows apart.
    pub(super) fn map(self, columns: impl Fn(u32) -> u32, rows: impl Fn(u32) -> u32) -> Self {
        let Self { left, top, right, bottom } = self;
        Self { left: columns(left), top: rows(top), right: columns(right), bottom: rows(bottom) }
    }
}

/// Divides by a power of two, rounding up.
fn ceil_shift(value: u32, shift: u32) -> u32 {
    shifted(u64::from(value) + (1_u64 << shift) - 1, shift)
}

fn shifted(value: u64, shift: u32) -> u32 {
    u32::try_from(value >> shift).unwrap_or(u32::MAX)
}

/// What a subband has of columns and rows: its low or its high frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orientation {
    Ll,
    /// High across.
    Hl,
    /// High down.
    Lh,
    Hh,
}

impl Orientation {
    fn is_high(self) -> (bool, bool) {
        (matches!(self, Self::Hl | Self::Hh), matches!(self, Self::Lh | Self::Hh))
    }
}

/// A subband of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) orientation: Orientation,
    pub(super) rect: Rect,
    /// Which of the step sizes is its own, counted over all resolutions (§A.6.4).
    pub(super) index: usize,
    /// Column and row where it begins among the samples of its tile-component, all low frequencies left and above.
    pub(super) place: (usize, usize),
}

/// A resolution of a tile-component (§B.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolution {
    pub(super) rect: Rect,
    pub(super) bands: Vec<Band>,
    /// Exponents of the width and height of a precinct, 15 at the most.
    precinct: (u32, u32),
    /// Exponents of the width and height of a code-block, before precincts cut it.
    block: (u32, u32),
    is_lowest: bool,
}

/// The code-blocks that a precinct has of one subband, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) across: usize,
    pub(super) down: usize,
    area: Rect,
    exponents: (u32, u32),
}

/// The resolutions of a tile-component, the lowest first; `block` and `precinct` give exponents, the latter for each
/// resolution.
pub(super) fn resolutions(
    component: Rect,
    levels: u32,
    block: (u32, u32),
    precinct: impl Fn(u32) -> (u32, u32),
) -> Vec<Resolution> {
    let levels = levels.min(32);
    let reduced = |shift: u32| component.map(|x| ceil_shift(x, shift), |y| ceil_shift(y, shift));
    let band = |orientation: Orientation, level: u32, index: usize, lower: Rect| {
        let (across, down) = orientation.is_high();
        // ⌈(x − 2^(level − 1)) / 2^level⌉ for high frequencies (§B.5).
        let edge = |value: u32, is_high: bool| {
            let whole = u64::from(value) + (1 << level) - 1;
            shifted(if is_high { whole - (1 << (level - 1)) } else { whole }, level)
        };
        let place =
            |is_high: bool, length: u32| if is_high { usize::try_from(length).unwrap_or(0) } else { 0 };
        Band {
            orientation,
            rect: component.map(|x| edge(x, across), |y| edge(y, down)),
            index,
            place: (place(across, lower.width()), place(down, lower.height())),
        }
    };
    let of_number = |number: u32| {
        let rect = reduced(levels - number);
        let is_lowest = number == 0;
        let bands = if is_lowest {
            vec![Band { orientation: Orientation::Ll, rect, index: 0, place: (0, 0) }]
        } else {
            let (level, lower) = (levels - number + 1, reduced(levels - number + 1));
            let first = usize::try_from(3 * (number - 1) + 1).unwrap_or(0);
            [Orientation::Hl, Orientation::Lh, Orientation::Hh]
                .into_iter()
                .enumerate()
                .map(|(at, orientation)| band(orientation, level, first + at, lower))
                .collect()
        };
        Resolution { rect, bands, precinct: precinct(number), block, is_lowest }
    };
    (0..=levels).map(of_number).collect()
}

impl Resolution {
    /// How many precincts there are across and down (§B.6).
    pub(super) fn precincts(&self) -> (u32, u32) {
        if self.rect.is_empty() {
            return (0, 0);
        }
        let count =
            |first: u32, end: u32, exponent: u32| ceil_shift(end, exponent) - shifted(first.into(), exponent);
        let (width, height) = self.precinct;
        (count(self.rect.left, self.rect.right, width), count(self.rect.top, self.rect.bottom, height))
    }

    /// The code-blocks of a band in a precinct, which are counted row by row (§B.7); none where precincts are too
    /// small to hold any.
    pub(super) fn blocks(&self, band: &Band, precinct: u32) -> Option<Blocks> {
        let (across, _) = self.precincts();
        let (column, row) = (precinct.checked_rem(across)?, precinct.checked_div(across)?);
        // A precinct of a subband has half the width and height (§B.6).
        let halved = u32::from(!self.is_lowest);
        let (width, height) = (self.precinct.0.checked_sub(halved)?, self.precinct.1.checked_sub(halved)?);
        let edge = |first: u32, number: u32, exponent: u32, whole: u32| {
            let place = (u64::from(first >> whole) + u64::from(number)) << exponent;
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        let (left, top) = (self.rect.left, self.rect.top);
        let whole = Rect {
            left: edge(left, column, width, self.precinct.0),
            top: edge(top, row, height, self.precinct.1),
            right: edge(left, column + 1, width, self.precinct.0),
            bottom: edge(top, row + 1, height, self.precinct.1),
        };
        let area = band.rect.intersection(whole);
        let exponents = (self.block.0.min(width), self.block.1.min(height));
        if area.is_empty() {
            return Some(Blocks { across: 0, down: 0, area: Rect::default(), exponents });
        }
        let count = |first: u32, end: u32, exponent: u32| {
            usize::try_from(ceil_shift(end, exponent) - (first >> exponent)).unwrap_or(0)
        };
        let across = count(area.left, area.right, exponents.0);
        let down = count(area.top, area.bottom, exponents.1);
        Some(Blocks { across, down, area, exponents })
    }
}

impl Blocks {
    pub(super) fn count(&self) -> usize {
        self.across.saturating_mul(self.down)
    }

    /// The part of the subband that a code-block is.
    pub(super) fn rect(&self, number: usize) -> Rect {
        let (column, row) = (number % self.across.max(1), number / self.across.max(1));
        let edge = |first: u32, number: usize, exponent: u32| {
            let place =
                (u64::from(first >> exponent) + u64::try_from(number).unwrap_or(u64::MAX)) << exponent;
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        let Self { area, exponents: (width, height), .. } = *self;
        area.intersection(Rect {
            left: edge(area.left, column, width),
            top: edge(area.top, row, height),
            right: edge(area.left, column + 1, width),
            bottom: edge(area.top, row + 1, height),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(left: u32, top: u32, right: u32, bottom: u32) -> Rect {
        Rect { left, top, right, bottom }
    }

    #[test]
    fn bands_of_a_resolution_fill_what_the_lower_one_leaves() {
        let all = resolutions(rect(0, 0, 13, 11), 2, (6, 6), |_| (15, 15));
        assert_eq!(
            all.iter().map(|one| one.rect).collect::<Vec<_>>(),
            [rect(0, 0, 4, 3), rect(0, 0, 7, 6), rect(0, 0, 13, 11)]
        );
        let [hl, lh, hh] = all[2].bands.as_slice() else { panic!("three bands") };
        assert_eq!((hl.rect, hl.place, hl.index), (rect(0, 0, 6, 6), (7, 0), 4));
        assert_eq!((lh.rect, lh.place), (rect(0, 0, 7, 5), (0, 6)));
        assert_eq!((hh.rect, hh.place, hh.index), (rect(0, 0, 6, 5), (7, 6), 6));
    }

    #[test]
    fn samples_of_an_image_that_begins_anywhere_lie_in_one_band_each() {
        for (left, top) in [(5, 2), (1, 1), (7, 0), (64, 33)] {
            let all = resolutions(rect(left, top, left + 30, top + 17), 5, (3, 3), |_| (15, 15));
            let samples: u32 = all
                .iter()
                .flat_map(|resolution| &resolution.bands)
                .map(|band| band.rect.width() * band.rect.height())
                .sum();
            assert_eq!(samples, 30 * 17);
        }
    }

    #[test]
    fn code_blocks_of_all_precincts_cover_a_band_once() {
        let all = resolutions(rect(3, 5, 103, 77), 1, (4, 3), |_| (5, 4));
        for resolution in &all {
            let (across, down) = resolution.precincts();
            for band in &resolution.bands {
                let blocks = (0..across * down).filter_map(|precinct| resolution.blocks(band, precinct));
                let samples: u32 = blocks
                    .flat_map(|blocks| (0..blocks.count()).map(move |number| blocks.rect(number)))
                    .map(|block| {
                        assert!(block.width() <= 16 && block.height() <= 8 && !block.is_empty());
                        block.width() * block.height()
                    })
                    .sum();
                assert_eq!(samples, band.rect.width() * band.rect.height());
            }
        }
    }
}
