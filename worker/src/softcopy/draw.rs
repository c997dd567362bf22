//! Drawing into a picture, in the pixels of the image: columns and rows from 1, whose centers are whole numbers. The
//! picture may begin before them.

use crate::pixel::Bitmap;

/// A picture that is drawn into.
pub(super) struct Canvas {
    picture: Bitmap,
    /// Column and row of its first pixel.
    first: (i64, i64),
}

impl Canvas {
    pub(super) fn new(picture: Bitmap) -> Self {
        Self { picture, first: (1, 1) }
    }

    pub(super) fn into_picture(self) -> Bitmap {
        self.picture
    }

    /// First and last column and row.
    pub(super) fn whole(&self) -> [f64; 4] {
        let (left, upper) = (number(self.first.0), number(self.first.1));
        let (width, height) = (f64::from(self.picture.width), f64::from(self.picture.height));
        [left, upper, left + width - 1.0, upper + height - 1.0]
    }

    /// Columns and rows are those of the picture from here on.
    pub(super) fn count_from_one(&mut self) {
        self.first = (1, 1);
    }

    /// All rows, or all columns.
    fn all(first: i64, count: u32) -> std::ops::Range<i64> {
        first..first + i64::from(count)
    }

    fn channels(&self) -> usize {
        self.picture.channels.count()
    }

    pub(super) fn each(&mut self, change: impl Fn(u8) -> u8) {
        self.picture.bytes.iter_mut().for_each(|byte| *byte = change(*byte));
    }

    /// Gives a shade to all pixels of which this is true.
    pub(super) fn paint(&mut self, is_painted: impl Fn(f64, f64) -> bool, shade: u8) {
        for y in Self::all(self.first.1, self.picture.height) {
            for x in Self::all(self.first.0, self.picture.width) {
                if is_painted(number(x), number(y)) {
                    self.put(x, y, shade);
                }
            }
        }
    }

    /// Gives a shade to all pixels inside of the outline.
    pub(super) fn fill(&mut self, outline: &[(f64, f64)], shade: u8) {
        self.spans(outline, |canvas, y, inside| {
            for (from, to) in inside {
                (*from..=*to).for_each(|x| canvas.put(x, y, shade));
            }
        });
    }

    /// Gives a shade to all pixels outside of the outline.
    pub(super) fn fill_around(&mut self, outline: &[(f64, f64)], shade: u8) {
        let columns = Self::all(self.first.0, self.picture.width);
        self.spans(outline, |canvas, y, inside| {
            let mut next = columns.start;
            for (from, to) in inside {
                (next..*from).for_each(|x| canvas.put(x, y, shade));
                next = to + 1;
            }
            (next..columns.end).for_each(|x| canvas.put(x, y, shade));
        });
    }

    /// Gives each row with the stretches of it, first and last column, that lie inside of the outline.
    fn spans(&mut self, outline: &[(f64, f64)], mut draw: impl FnMut(&mut Self, i64, &[(i64, i64)])) {
        let [left, _, right, _] = self.whole();
        let (mut crossings, mut inside) = (Vec::new(), Vec::new());
        for row in Self::all(self.first.1, self.picture.height) {
            let y = number(row);
            crossings.clear();
            for ((x1, y1), (x2, y2)) in outline.iter().zip(outline.iter().cycle().skip(1)) {
                if (*y1 > y) != (*y2 > y) {
                    crossings.push((x2 - x1) * (y - y1) / (y2 - y1) + x1);
                }
            }
            crossings.sort_by(f64::total_cmp);
            inside.clear();
            for [from, to] in crossings.as_chunks::<2>().0 {
                let (from, to) = (whole(from.max(left).ceil()), whole(to.min(right).floor()));
                if from <= to {
                    inside.push((from, to));
                }
            }
            draw(self, row, &inside);
        }
    }

    pub(super) fn put(&mut self, x: i64, y: i64, shade: u8) {
        let (left, upper) = self.first;
        let column = inside(x - left + 1, self.picture.width);
        let (Some(column), Some(row)) = (column, inside(y - upper + 1, self.picture.height)) else { return };
        let (width, channels) = (usize::try_from(self.picture.width).unwrap_or(usize::MAX), self.channels());
        let at = (row * width + column) * channels;
        if let Some(pixel) = self.picture.bytes.get_mut(at..at + channels) {
            pixel.fill(shade);
        }
    }

    /// A cross of five pixels.
    pub(super) fn dot(&mut self, (x, y): (f64, f64), shade: u8) {
        let (x, y) = (whole(x), whole(y));
        for (right, down) in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)] {
            self.put(x + right, y + down, shade);
        }
    }

    /// A line of one pixel, of which what lies outside costs nothing.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), shade: u8) {
        let Some((from, to)) = clipped(from, to, self.whole()) else { return };
        let steps = whole((to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil()).max(1);
        for step in 0..=steps {
            let part = number(step) / number(steps);
            let (x, y) = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
            self.put(whole(x), whole(y), shade);
        }
    }

    /// Keeps the area, both ends of it; what it has beyond the picture is black. All is kept when nothing of the picture
    /// lies in it.
    ///
    /// Gives what was kept: left and upper edge, width and height, from 0.
    pub(super) fn cut(&mut self, area: [f64; 4]) -> [f64; 4] {
        let Bitmap { width, height, .. } = self.picture;
        let [left, upper, right, lower] = area.map(whole);
        let is_within = right >= 1 && lower >= 1 && left <= i64::from(width) && upper <= i64::from(height);
        let size = (u32::try_from(right - left + 1), u32::try_from(lower - upper + 1));
        let (true, (Ok(new_width @ 1..), Ok(new_height @ 1..))) = (is_within, size) else {
            return [0.0, 0.0, f64::from(width), f64::from(height)];
        };
        let at = |first: i64, place: usize, count: u32| inside(first + i64::try_from(place).ok()?, count);
        self.remake(new_width, new_height, |x, y| at(left, x, width).zip(at(upper, y, height)));
        self.first = (left, upper);
        [number(left - 1), number(upper - 1), f64::from(new_width), f64::from(new_height)]
    }

    /// A quarter turn clockwise.
    pub(super) fn turn(&mut self) {
        let (width, height) = (self.picture.width, self.picture.height);
        self.remake(height, width, |x, y| Some((y, offset_of(height) - x)));
    }

    /// Left and right change places.
    pub(super) fn flip(&mut self) {
        let width = self.picture.width;
        self.remake(width, self.picture.height, |x, y| Some((offset_of(width) - x, y)));
    }

    /// A picture of this size, whose pixels are taken from where `from` says, counted from 0; black where that is nowhere.
    fn remake(&mut self, width: u32, height: u32, from: impl Fn(usize, usize) -> Option<(usize, usize)>) {
        let channels = self.channels();
        let row = usize::try_from(self.picture.width).unwrap_or(usize::MAX);
        let (columns, rows) = (usize::try_from(width).unwrap_or(0), usize::try_from(height).unwrap_or(0));
        let mut bytes = Vec::with_capacity(columns * rows * channels);
        for y in 0..rows {
            for x in 0..columns {
                let at = from(x, y).map(|(x, y)| (y * row + x) * channels);
                match at.and_then(|at| self.picture.bytes.get(at..at + channels)) {
                    Some(pixel) => bytes.extend_from_slice(pixel),
                    None => bytes.resize(bytes.len() + channels, 0),
                }
            }
        }
        self.picture = Bitmap { width, height, channels: self.picture.channels, bytes };
    }
}

fn offset_of(length: u32) -> usize {
    usize::try_from(length).unwrap_or(1).saturating_sub(1)
}

/// Counted from 0, if it is one of so many counted from 1.
fn inside(at: i64, count: u32) -> Option<usize> {
    (1..=i64::from(count)).contains(&at).then(|| usize::try_from(at - 1).ok()).flatten()
}

#[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "columns and rows are pixels of a picture")]
fn number(whole: i64) -> f64 {
    whole as f64
}

/// The part of a line that lies in a rectangle, with a pixel around it (Liang and Barsky).
fn clipped(
    from: (f64, f64),
    to: (f64, f64),
    [left, upper, right, lower]: [f64; 4],
) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (mut start, mut end) = (0.0_f64, 1.0_f64);
    for (run, room) in [
        (-dx, from.0 - (left - 1.0)),
        (dx, right + 1.0 - from.0),
        (-dy, from.1 - (upper - 1.0)),
        (dy, lower + 1.0 - from.1),
    ] {
        if run == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if run < 0.0 {
            start = start.max(room / run);
        } else {
            end = end.min(room / run);
        }
    }
    let at = |part: f64| (from.0 + dx * part, from.1 + dy * part);
    (start <= end).then(|| (at(start), at(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Channels;

    fn blank() -> Canvas {
        Canvas::new(Bitmap { width: 5, height: 4, channels: Channels::Grey, bytes: vec![0; 20] })
    }

    #[test]
    fn a_line_that_comes_from_far_away_is_drawn_where_it_is_seen() {
        let mut canvas = blank();
        canvas.line((-1e9, 2.0), (1e9, 2.0), 9);
        canvas.line((100.0, 100.0), (200.0, 100.0), 7);
        let bytes = canvas.into_picture().bytes;
        assert_eq!(bytes, [[0; 5], [9; 5], [0; 5], [0; 5]].concat());
    }

    #[test]
    fn a_filled_outline_covers_its_inside() {
        let mut canvas = blank();
        canvas.fill(&[(1.5, 0.5), (4.5, 0.5), (4.5, 2.5), (1.5, 2.5)], 3);
        assert_eq!(canvas.into_picture().bytes[..10], [0, 3, 3, 3, 0, 0, 3, 3, 3, 0]);
    }

    #[test]
    fn four_turns_are_none_and_two_flips_too() {
        let bytes: Vec<u8> = (0..60).collect();
        let picture = Bitmap { width: 5, height: 4, channels: Channels::Rgb, bytes: bytes.clone() };
        let mut canvas = Canvas::new(picture);
        canvas.turn();
        assert_eq!((canvas.picture.width, canvas.picture.height), (4, 5));
        assert_eq!(canvas.picture.bytes[..3], bytes[45..48], "the lower left corner comes up");
        (0..3).for_each(|_| canvas.turn());
        canvas.flip();
        canvas.flip();
        assert_eq!(canvas.into_picture().bytes, bytes);
    }
}
