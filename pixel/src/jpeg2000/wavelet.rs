//! The reversible wavelet of 5 and 3 taps (ISO/IEC 15444-1 Annex F).
//!
//! Columns are transformed row by row, so that a step is the same arithmetic on whole rows.

/// Samples of a tile-component; low frequencies stand left and above of high ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Vec<i32>,
}

/// Transforms the first `width` columns and `height` rows once, all of which begin at even places.
///
/// `spare` is room for as many samples as the plane has.
pub(super) fn forward(plane: &mut Plane, width: usize, height: usize, spare: &mut [i32]) {
    if width == 0 || height == 0 {
        return;
    }
    forward_down(plane, width, height, spare);
    let stride = plane.width;
    for (row, from) in plane.samples.chunks_exact_mut(stride).zip(spare.chunks_exact(width)).take(height) {
        if let Some(row) = row.get_mut(..width) {
            forward_across(from, row);
        }
    }
}

/// From the plane into `spare`, rows of `width` samples.
fn forward_down(plane: &Plane, width: usize, height: usize, spare: &mut [i32]) {
    let row = |number: usize| {
        let start = number * plane.width;
        plane.samples.get(start..start + width).unwrap_or_default()
    };
    let low_rows = height.div_ceil(2);
    let Some((lows, highs)) = spare.split_at_mut_checked(low_rows * width) else { return };
    for (number, high) in highs.chunks_exact_mut(width).take(height / 2).enumerate() {
        let above = row(2 * number);
        let below = if 2 * number + 2 < height { row(2 * number + 2) } else { above };
        let own = row(2 * number + 1);
        for (((high, own), above), below) in high.iter_mut().zip(own).zip(above).zip(below) {
            *high = own - ((above + below) >> 1);
        }
    }
    let last = (height / 2).checked_sub(1);
    for (number, low) in lows.chunks_exact_mut(width).enumerate() {
        let own = row(2 * number);
        let Some(last) = last else {
            low.copy_from_slice(own);
            continue;
        };
        let high = |number: usize| {
            let start = number.min(last) * width;
            highs.get(start..start + width).unwrap_or_default()
        };
        let (above, below) = (high(number.saturating_sub(1)), high(number));
        for (((low, own), above), below) in low.iter_mut().zip(own).zip(above).zip(below) {
            *low = own + ((above + below + 2) >> 2);
        }
    }
}

/// One row.
fn forward_across(from: &[i32], row: &mut [i32]) {
    let width = from.len();
    let Some((lows, highs)) = row.split_at_mut_checked(width.div_ceil(2)) else { return };
    for (high, three) in highs.iter_mut().zip(from.windows(3).step_by(2)) {
        if let [left, own, right] = three {
            *high = own - ((left + right) >> 1);
        }
    }
    // Where the row ends with a high one, its right neighbour is the left one again.
    if let (true, [.., left, own], Some(high)) = (width.is_multiple_of(2), from, highs.last_mut()) {
        *high = own - left;
    }
    let Some(first) = highs.first().copied() else {
        lows.iter_mut().zip(from).for_each(|(low, own)| *low = *own);
        return;
    };
    let last = highs.last().copied().unwrap_or(first);
    let left = std::iter::once(first).chain(highs.iter().copied());
    let right = highs.iter().copied().chain([last]);
    let owns = from.iter().step_by(2);
    for (((low, own), left), right) in lows.iter_mut().zip(owns).zip(left).zip(right) {
        *low = own + ((left + right + 2) >> 2);
    }
}

/// Columns that are put together at a time: a strip of a large image stays near the processor.
const STRIP: usize = 32;

/// Room that [`inverse`] uses again.
#[derive(Default)]
pub(super) struct Room {
    row: Vec<i32>,
    strip: Vec<i32>,
}

/// Turns [`forward`] back.
pub(super) fn inverse(plane: &mut Plane, width: usize, height: usize, room: &mut Room) {
    if width == 0 || height == 0 {
        return;
    }
    let stride = plane.width;
    room.row.resize(width, 0);
    for row in plane.samples.chunks_exact_mut(stride).take(height).filter_map(|row| row.get_mut(..width)) {
        room.row.copy_from_slice(row);
        inverse_across(&mut room.row, row);
    }
    if height == 1 {
        return;
    }
    for left in (0..width).step_by(STRIP) {
        let columns = left..width.min(left + STRIP);
        room.strip.clear();
        let rows = plane.samples.chunks_exact(stride).take(height).filter_map(|row| row.get(columns.clone()));
        rows.for_each(|row| room.strip.extend_from_slice(row));
        inverse_down(&mut room.strip, columns.len(), height);
        let (lows, highs) = room.strip.split_at(height.div_ceil(2) * columns.len());
        let (mut lows, mut highs) = (lows.chunks_exact(columns.len()), highs.chunks_exact(columns.len()));
        let rows = plane.samples.chunks_exact_mut(stride).take(height);
        for (number, row) in rows.filter_map(|row| row.get_mut(columns.clone())).enumerate() {
            let from = if number.is_multiple_of(2) { lows.next() } else { highs.next() };
            if let Some(from) = from {
                row.copy_from_slice(from);
            }
        }
    }
}

/// Low rows become even ones, high rows odd ones, where they are.
fn inverse_down(strip: &mut [i32], width: usize, height: usize) {
    let (lows, highs) = strip.split_at_mut(height.div_ceil(2) * width);
    let last = (height / 2).saturating_sub(1);
    for (number, low) in lows.chunks_exact_mut(width).enumerate() {
        let high = |number: usize| highs.chunks_exact(width).nth(number.min(last)).unwrap_or_default();
        let (above, below) = (high(number.saturating_sub(1)), high(number));
        for ((low, above), below) in low.iter_mut().zip(above).zip(below) {
            *low = low.wrapping_sub(above.wrapping_add(*below).wrapping_add(2) >> 2);
        }
    }
    let last = height.div_ceil(2) - 1;
    for (number, high) in highs.chunks_exact_mut(width).enumerate() {
        let low = |number: usize| lows.chunks_exact(width).nth(number.min(last)).unwrap_or_default();
        let (above, below) = (low(number), low(number + 1));
        for ((high, above), below) in high.iter_mut().zip(above).zip(below) {
            *high = high.wrapping_add(above.wrapping_add(*below) >> 1);
        }
    }
}

/// One row; `from` holds what is in `row`.
fn inverse_across(from: &mut [i32], row: &mut [i32]) {
    let (lows, highs) = from.split_at_mut(row.len().div_ceil(2));
    let (Some(first), Some(last)) = (highs.first().copied(), highs.last().copied()) else { return };
    let left = std::iter::once(first).chain(highs.iter().copied());
    let right = highs.iter().copied().chain([last]);
    for ((low, left), right) in lows.iter_mut().zip(left).zip(right) {
        *low = low.wrapping_sub(left.wrapping_add(right).wrapping_add(2) >> 2);
    }
    let last = lows.last().copied().unwrap_or(0);
    let (pairs, rest) = row.as_chunks_mut::<2>();
    let right = lows.iter().skip(1).copied().chain([last]);
    for (((pair, low), high), right) in pairs.iter_mut().zip(&*lows).zip(&*highs).zip(right) {
        *pair = [*low, high.wrapping_add(low.wrapping_add(right) >> 1)];
    }
    if let [end] = rest {
        *end = last;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::damage::Numbers;
    use super::*;

    #[test]
    fn what_was_transformed_comes_back() {
        let mut numbers = Numbers(7);
        for (width, height) in [(1, 1), (1, 2), (2, 1), (5, 4), (4, 5), (70, 33), (33, 3), (1, 9), (9, 1)] {
            let samples = (0..width * height).map(|_| i32::try_from(numbers.below(1 << 16)).unwrap() - 32768);
            let plane = Plane { width, height, samples: samples.collect() };
            let (mut changed, mut room) = (plane.clone(), Room::default());
            forward(&mut changed, width, height, &mut vec![0; width * height]);
            assert!(changed != plane || width * height == 1);
            inverse(&mut changed, width, height, &mut room);
            assert_eq!(changed, plane, "{width} × {height}");
        }
    }

    #[test]
    fn a_slope_leaves_nothing_high() {
        let mut plane = Plane { width: 9, height: 1, samples: (0..9).map(|x| 3 * x).collect() };
        forward(&mut plane, 9, 1, &mut [0; 9]);
        assert_eq!(plane.samples, [0, 6, 12, 18, 24, 0, 0, 0, 0]);
    }
}
