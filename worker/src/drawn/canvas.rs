//! A picture to draw on: lines, and words in capitals.

use crate::pixel::{Bitmap, Channels};

use super::SIZE;

pub(super) type Colour = [u8; 3];

pub(super) const WHITE: Colour = [0xE6, 0xEA, 0xEE];
pub(super) const GREEN: Colour = [0x5F, 0xD3, 0x8D];
pub(super) const GREY: Colour = [0x8A, 0x96, 0xA3];
const GROUND: Colour = [0x14, 0x1B, 0x22];

/// Columns of a letter, and of one with the gap behind it.
const LETTER: i32 = 5;
const STEP: i32 = 6;
const ROWS: i32 = 7;

/// Letters by their columns, the highest row lowest in a byte.
const LETTERS: [(char, [u8; 5]); 40] = [
    ('0', [0x3E, 0x51, 0x49, 0x45, 0x3E]),
    ('1', [0x00, 0x42, 0x7F, 0x40, 0x00]),
    ('2', [0x42, 0x61, 0x51, 0x49, 0x46]),
    ('3', [0x21, 0x41, 0x45, 0x4B, 0x31]),
    ('4', [0x18, 0x14, 0x12, 0x7F, 0x10]),
    ('5', [0x27, 0x45, 0x45, 0x45, 0x39]),
    ('6', [0x3C, 0x4A, 0x49, 0x49, 0x30]),
    ('7', [0x01, 0x71, 0x09, 0x05, 0x03]),
    ('8', [0x36, 0x49, 0x49, 0x49, 0x36]),
    ('9', [0x06, 0x49, 0x49, 0x29, 0x1E]),
    (':', [0x00, 0x36, 0x36, 0x00, 0x00]),
    ('-', [0x08, 0x08, 0x08, 0x08, 0x08]),
    ('.', [0x00, 0x60, 0x60, 0x00, 0x00]),
    ('/', [0x20, 0x10, 0x08, 0x04, 0x02]),
    ('A', [0x7E, 0x11, 0x11, 0x11, 0x7E]),
    ('B', [0x7F, 0x49, 0x49, 0x49, 0x36]),
    ('C', [0x3E, 0x41, 0x41, 0x41, 0x22]),
    ('D', [0x7F, 0x41, 0x41, 0x22, 0x1C]),
    ('E', [0x7F, 0x49, 0x49, 0x49, 0x41]),
    ('F', [0x7F, 0x09, 0x09, 0x09, 0x01]),
    ('G', [0x3E, 0x41, 0x49, 0x49, 0x7A]),
    ('H', [0x7F, 0x08, 0x08, 0x08, 0x7F]),
    ('I', [0x00, 0x41, 0x7F, 0x41, 0x00]),
    ('J', [0x20, 0x40, 0x41, 0x3F, 0x01]),
    ('K', [0x7F, 0x08, 0x14, 0x22, 0x41]),
    ('L', [0x7F, 0x40, 0x40, 0x40, 0x40]),
    ('M', [0x7F, 0x02, 0x0C, 0x02, 0x7F]),
    ('N', [0x7F, 0x04, 0x08, 0x10, 0x7F]),
    ('O', [0x3E, 0x41, 0x41, 0x41, 0x3E]),
    ('P', [0x7F, 0x09, 0x09, 0x09, 0x06]),
    ('Q', [0x3E, 0x41, 0x51, 0x21, 0x5E]),
    ('R', [0x7F, 0x09, 0x19, 0x29, 0x46]),
    ('S', [0x46, 0x49, 0x49, 0x49, 0x31]),
    ('T', [0x01, 0x01, 0x7F, 0x01, 0x01]),
    ('U', [0x3F, 0x40, 0x40, 0x40, 0x3F]),
    ('V', [0x1F, 0x20, 0x40, 0x20, 0x1F]),
    ('W', [0x3F, 0x40, 0x38, 0x40, 0x3F]),
    ('X', [0x63, 0x14, 0x08, 0x14, 0x63]),
    ('Y', [0x07, 0x08, 0x70, 0x08, 0x07]),
    ('Z', [0x61, 0x51, 0x49, 0x45, 0x43]),
];

pub(super) struct Canvas {
    bytes: Vec<u8>,
}

impl Canvas {
    pub(super) fn new() -> Self {
        let pixels = usize::try_from(SIZE.0 * SIZE.1).unwrap_or(0);
        Self { bytes: GROUND.repeat(pixels) }
    }

    pub(super) fn into_bitmap(self) -> Bitmap {
        let length = |length: i32| u32::try_from(length).unwrap_or(0);
        let (width, height) = (length(SIZE.0), length(SIZE.1));
        Bitmap { width, height, channels: Channels::Rgb, bytes: self.bytes }
    }

    fn point(&mut self, x: i32, y: i32, colour: Colour) {
        if !(0..SIZE.0).contains(&x) || !(0..SIZE.1).contains(&y) {
            return;
        }
        let place = usize::try_from((y * SIZE.0 + x) * 3).unwrap_or(usize::MAX);
        if let Some(pixel) = self.bytes.get_mut(place..place.saturating_add(3)) {
            pixel.copy_from_slice(&colour);
        }
    }

    /// A line between two points (Bresenham's); what lies outside is left off.
    pub(super) fn line(&mut self, from: (i32, i32), to: (i32, i32), colour: Colour) {
        let near = |(x, y): (i32, i32)| (x.clamp(-SIZE.0, 2 * SIZE.0), y.clamp(-SIZE.1, 2 * SIZE.1));
        let ((mut x, mut y), to) = (near(from), near(to));
        let (across, down) = ((to.0 - x).abs(), -(to.1 - y).abs());
        let (right, below) = ((to.0 - x).signum(), (to.1 - y).signum());
        let mut error = across + down;
        loop {
            self.point(x, y, colour);
            if (x, y) == to {
                return;
            }
            let doubled = 2 * error;
            if doubled >= down {
                error += down;
                x += right;
            }
            if doubled <= across {
                error += across;
                y += below;
            }
        }
    }

    fn block(&mut self, (left, top): (i32, i32), edge: i32, colour: Colour) {
        for y in top..top + edge {
            (left..left + edge).for_each(|x| self.point(x, y, colour));
        }
    }

    /// Words in the middle of a line; letters that there are none of are left blank.
    pub(super) fn words(&mut self, words: &str, top: i32, scale: i32, colour: Colour) {
        let count = i32::try_from(words.chars().count()).unwrap_or(i32::MAX / STEP / 8);
        let scale = scale.min(SIZE.0 / (count * STEP).max(1)).max(1);
        let mut left = (SIZE.0 - (count * STEP - (STEP - LETTER)) * scale) / 2;
        for letter in words.chars() {
            let columns =
                LETTERS.iter().find(|(of, _)| of.eq_ignore_ascii_case(&letter)).map(|(_, columns)| columns);
            for (x, column) in (0..).zip(columns.into_iter().flatten()) {
                for y in (0..ROWS).filter(|y| column >> y & 1 == 1) {
                    self.block((left + x * scale, top + y * scale), scale, colour);
                }
            }
            left += STEP * scale;
        }
    }

    /// The outline of a rectangle.
    pub(super) fn frame(&mut self, left: i32, top: i32, right: i32, bottom: i32, colour: Colour) {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        corners.windows(2).for_each(|pair| {
            if let [from, to] = pair {
                self.line(*from, *to, colour);
            }
        });
    }
}
