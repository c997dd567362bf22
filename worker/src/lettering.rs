//! Words in pictures, in the letters of a font that comes along (`docs/decisions/0030-a-font-that-comes-along.md`).
//!
//! Latin with the marks of Vietnamese, Greek and Cyrillic are there; of another letter there is a box.

use ab_glyph::{Font, FontRef, Glyph, OutlinedGlyph, ScaleFont, point};

use crate::pixel::Bitmap;

/// Roboto Medium 2.138, of which 1,026 characters are left. Apache-2.0.
const FONT: &[u8] = include_bytes!("lettering/Roboto-Medium.ttf");

/// How much of the picture is left below the ground around letters, of 255.
const GROUND: u8 = 190;

/// Letters of one line; what is behind them is left off.
const MOST_LETTERS: usize = 200;

/// A line of words in a picture, in its pixels from the upper left corner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) words: &'a str,
    pub(crate) left: f32,
    pub(crate) top: f32,
    /// Height of the line.
    pub(crate) size: f32,
    pub(crate) shade: u8,
}

/// How wide the words are, in heights of their line.
pub(crate) fn width(words: &str) -> f32 {
    let font = font();
    let scaled = font.as_scaled(1.0);
    letters(words).map(|letter| scaled.h_advance(scaled.glyph_id(letter))).sum()
}

impl Line<'_> {
    /// Writes the words on a ground of their own, dark below light ones and light below dark ones, as far as they lie in
    /// the picture.
    pub(crate) fn write(&self, picture: &mut Bitmap) {
        let outlines = self.outlines();
        let Some(mut ink) = Ink::around(&outlines, self.radius(), picture) else { return };
        outlines.iter().for_each(|outline| ink.take(outline));
        let ground = if self.shade < 128 { u8::MAX } else { 0 };
        ink.spread(self.radius()).print(picture, ground, GROUND);
        ink.print(picture, self.shade, u8::MAX);
    }

    /// How far the ground goes beyond the letters.
    fn radius(&self) -> i64 {
        whole(self.size / 12.0).max(1)
    }

    fn outlines(&self) -> Vec<OutlinedGlyph> {
        let font = font();
        let scaled = font.as_scaled(self.size);
        let (mut x, y) = (self.left, self.top + scaled.ascent());
        let glyphs = letters(self.words).map(|letter| {
            let glyph: Glyph = scaled.glyph_id(letter).with_scale_and_position(self.size, point(x, y));
            x += scaled.h_advance(glyph.id);
            glyph
        });
        glyphs.filter_map(|glyph| font.outline_glyph(glyph)).collect()
    }
}

fn font() -> FontRef<'static> {
    FontRef::try_from_slice(FONT).expect("a test reads the font")
}

fn letters(words: &str) -> impl Iterator<Item = char> {
    words.chars().filter(|letter| !letter.is_control()).take(MOST_LETTERS)
}

#[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
fn whole(number: f32) -> i64 {
    number.round() as i64
}

/// How much of each pixel of a part of a picture is covered.
struct Ink {
    /// Of the first pixel, in the picture.
    left: i64,
    top: i64,
    width: i64,
    height: i64,
    /// Row by row.
    covered: Vec<u8>,
}

impl Ink {
    /// None of it yet, of the part of the picture where these letters and what is around them lie; `None` when that is
    /// outside.
    fn around(outlines: &[OutlinedGlyph], radius: i64, picture: &Bitmap) -> Option<Self> {
        let mut edges = (i64::MAX, i64::MAX, i64::MIN, i64::MIN);
        for bounds in outlines.iter().map(OutlinedGlyph::px_bounds) {
            edges.0 = edges.0.min(whole(bounds.min.x) - radius);
            edges.1 = edges.1.min(whole(bounds.min.y) - radius);
            edges.2 = edges.2.max(whole(bounds.max.x) + radius);
            edges.3 = edges.3.max(whole(bounds.max.y) + radius);
        }
        let (left, top) = (edges.0.max(0), edges.1.max(0));
        let width = edges.2.min(i64::from(picture.width)) - left;
        let height = edges.3.min(i64::from(picture.height)) - top;
        if width <= 0 || height <= 0 {
            return None;
        }
        let pixels = usize::try_from(width * height).ok()?;
        Some(Self { left, top, width, height, covered: vec![0; pixels] })
    }

    fn place(&self, x: i64, y: i64) -> Option<usize> {
        let is_inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        is_inside.then(|| usize::try_from(y * self.width + x).ok()).flatten()
    }

    fn take(&mut self, letter: &OutlinedGlyph) {
        let bounds = letter.px_bounds();
        let (left, top) = (whole(bounds.min.x) - self.left, whole(bounds.min.y) - self.top);
        letter.draw(|x, y, part| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
            let part = (part.clamp(0.0, 1.0) * 255.0) as u8;
            let place = self.place(left + i64::from(x), top + i64::from(y));
            if let Some(covered) = place.and_then(|place| self.covered.get_mut(place)) {
                *covered = (*covered).max(part);
            }
        });
    }

    /// The same with each pixel as dark as the darkest so near to it: along the rows, then along the columns.
    fn spread(&self, radius: i64) -> Self {
        self.darkest(|x, y, by| (x + by, y), radius).darkest(|x, y, by| (x, y + by), radius)
    }

    fn darkest(&self, near: impl Fn(i64, i64, i64) -> (i64, i64), radius: i64) -> Self {
        let at = |(x, y)| self.place(x, y).and_then(|place| self.covered.get(place)).copied().unwrap_or(0);
        let of = |x, y| (-radius..=radius).map(|by| at(near(x, y, by))).max().unwrap_or(0);
        let rows = 0..self.height;
        let covered =
            rows.flat_map(|y| (0..self.width).map(move |x| (x, y))).map(|(x, y)| of(x, y)).collect();
        Self { covered, ..*self }
    }

    /// Gives the covered pixels a shade; `most`, of 255, is how much of it they take.
    fn print(&self, picture: &mut Bitmap, shade: u8, most: u8) {
        let channels = picture.channels.count();
        let row = usize::try_from(picture.width).unwrap_or(usize::MAX);
        let first = (usize::try_from(self.left).unwrap_or(0), usize::try_from(self.top).unwrap_or(0));
        let width = usize::try_from(self.width).unwrap_or(1).max(1);
        for (n, covered) in self.covered.iter().enumerate().filter(|(_, covered)| **covered > 0) {
            let at = ((first.1 + n / width) * row + first.0 + n % width) * channels;
            let part = u32::from(*covered) * u32::from(most) / 255;
            for byte in picture.bytes.get_mut(at..at + channels).into_iter().flatten() {
                let mixed = (u32::from(*byte) * (255 - part) + u32::from(shade) * part + 127) / 255;
                *byte = u8::try_from(mixed).unwrap_or(u8::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Channels;

    fn blank(shade: u8) -> Bitmap {
        Bitmap { width: 120, height: 24, channels: Channels::Grey, bytes: vec![shade; 120 * 24] }
    }

    fn written(words: &str, shade: u8, on: u8) -> Vec<u8> {
        let mut picture = blank(on);
        Line { words, left: 2.0, top: 2.0, size: 20.0, shade }.write(&mut picture);
        picture.bytes
    }

    #[test]
    fn every_letter_of_vietnamese_is_there_and_differs_from_the_one_without_its_mark() {
        let font = font();
        let marked = "ÀÁẢÃẠĂẰẮẲẴẶÂẦẤẨẪẬĐÈÉẺẼẸÊỀẾỂỄỆÌÍỈĨỊÒÓỎÕỌÔỒỐỔỖỘƠỜỚỞỠỢÙÚỦŨỤƯỪỨỬỮỰỲÝỶỸỴ";
        for letter in marked.chars().chain(marked.to_lowercase().chars()) {
            assert_ne!(font.glyph_id(letter).0, 0, "{letter}");
        }
        assert_ne!(written("Ệ", 255, 0), written("Ê", 255, 0));
        assert_ne!(written("Đ", 255, 0), written("D", 255, 0));
        assert_eq!(font.glyph_id('山').0, 0);
        assert!(written("山", 255, 0).iter().any(|byte| *byte > 150), "a box");
    }

    #[test]
    fn words_can_be_read_on_any_ground() {
        for on in [0, 128, 255] {
            let bytes = written("An", 255, on);
            assert!(bytes.contains(&255) && bytes.iter().any(|byte| *byte < 80), "{on}");
        }
        assert!(written("An", 0, 0).iter().any(|byte| *byte > 150));
    }

    #[test]
    fn what_lies_outside_is_left_off_and_controls_are_nothing() {
        let mut picture = blank(7);
        for (left, top) in [(-1e9, 0.0), (1e9, 0.0), (0.0, -500.0), (0.0, 1e9)] {
            Line { words: "An", left, top, size: 20.0, shade: 255 }.write(&mut picture);
        }
        assert_eq!(picture, blank(7));
        assert_eq!(written("A\u{1b}n\n", 255, 0), written("An", 255, 0));
        assert!(width(&"A".repeat(100_000)) < 200.0);
        let mut picture = blank(7);
        Line { words: &"An ".repeat(999), left: -300.0, top: 2.0, size: 20.0, shade: 255 }
            .write(&mut picture);
        assert_ne!(picture, blank(7));
    }

    #[test]
    fn colours_take_the_same_shade_in_each() {
        let mut picture = Bitmap { channels: Channels::Rgb, bytes: vec![9; 120 * 24 * 3], ..blank(0) };
        Line { words: "An", left: 2.0, top: 2.0, size: 20.0, shade: 255 }.write(&mut picture);
        assert!(picture.bytes.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
    }
}
