//! Texts of a presentation state (PS3.3 §C.10.5). They are written after everything else, so that they are upright and
//! sharp however the image is turned and scaled.

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Tag};

use super::draw::Canvas;
use crate::lettering::{Line, width};
use crate::pixel::Bitmap;

/// Lines of one text.
const MOST_LINES: usize = 100;
/// Height of a line where no box says it, as a part of the shorter side; and at the least, in pixels.
const PART: f64 = 28.0;
const LEAST: f64 = 8.0;

/// A place in the image, or on the display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    at: (f64, f64),
    /// A part of the displayed area, from 0 to 1, and not pixels.
    is_of_display: bool,
}

impl Place {
    fn read(object: &Attributes, tag: Tag, units: Tag) -> Option<Self> {
        let numbers = object.floats(tag);
        let at = (*numbers.first()?, *numbers.get(1)?);
        let is_of_display = object.text(units).as_deref() == Some("DISPLAY");
        (at.0.is_finite() && at.1.is_finite()).then_some(Self { at, is_of_display })
    }
}

/// From the pixels of the image to those of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mapping {
    /// What is cut out: its left and upper edge, its width and height, from 0.
    pub(super) cut: [f64; 4],
    /// Quarter turns clockwise, then whether left and right change places.
    pub(super) turns: u8,
    pub(super) is_flipped: bool,
    /// Pixels of the picture for each of the image.
    pub(super) scale: (f64, f64),
}

impl Mapping {
    fn size(&self) -> (f64, f64) {
        let [_, _, width, height] = self.cut;
        if self.turns % 2 == 1 { (height, width) } else { (width, height) }
    }

    fn of(&self, place: Place) -> (f64, f64) {
        let size = self.size();
        let (x, y) = if place.is_of_display {
            (place.at.0 * size.0, place.at.1 * size.1)
        } else {
            let [left, top, mut width, mut height] = self.cut;
            let (mut x, mut y) = (place.at.0 - left, place.at.1 - top);
            for _ in 0..self.turns {
                (x, y) = (height - y, x);
                (width, height) = (height, width);
            }
            (if self.is_flipped { width - x } else { x }, y)
        };
        (x * self.scale.0, y * self.scale.1)
    }
}

/// A text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    lines: Vec<String>,
    corners: Option<(Place, Place)>,
    anchor: Option<Place>,
    /// Whether a line leads from the text to its anchor.
    is_anchor_seen: bool,
    /// Part of the room beside a line that is left of it.
    side: f64,
    shade: u8,
}

impl Label {
    /// `None` for what says nothing, or says it nowhere.
    pub(super) fn read(object: &Attributes, shade: u8) -> Option<Self> {
        let text = object.text(tags::UNFORMATTED_TEXT_VALUE)?;
        let lines = text.lines().map(|line| line.trim_end().to_owned()).take(MOST_LINES);
        let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        let corner = |tag| Place::read(object, tag, tags::BOUNDING_BOX_ANNOTATION_UNITS);
        let first = corner(tags::BOUNDING_BOX_TOP_LEFT_HAND_CORNER);
        let corners = first.zip(corner(tags::BOUNDING_BOX_BOTTOM_RIGHT_HAND_CORNER));
        let anchor = Place::read(object, tags::ANCHOR_POINT, tags::ANCHOR_POINT_ANNOTATION_UNITS);
        let justified = object.text(tags::BOUNDING_BOX_TEXT_HORIZONTAL_JUSTIFICATION);
        let side = match justified.as_deref() {
            Some("RIGHT") => 1.0,
            Some("CENTER") => 0.5,
            _ => 0.0,
        };
        let is_anchor_seen = object.text(tags::ANCHOR_POINT_VISIBILITY).as_deref() == Some("Y");
        let is_somewhere = corners.is_some() || anchor.is_some();
        let label = Self { lines, corners, anchor, is_anchor_seen, side, shade };
        (is_somewhere && !label.lines.is_empty()).then_some(label)
    }

    pub(super) fn write(&self, picture: &mut Bitmap, mapping: &Mapping) {
        let widest = self.lines.iter().map(|line| f64::from(width(line))).fold(0.1, f64::max);
        let count = self.lines.iter().fold(0.0, |count, _| count + 1.0);
        let usual = (f64::from(picture.width.min(picture.height)) / PART).max(LEAST);
        let anchor = self.anchor.map(|anchor| mapping.of(anchor));
        let (left, top, size) = match (self.corners, anchor) {
            (Some((one, other)), _) => {
                let (one, other) = (mapping.of(one), mapping.of(other));
                let (left, top) = (one.0.min(other.0), one.1.min(other.1));
                let (across, down) = ((one.0 - other.0).abs(), (one.1 - other.1).abs());
                let size = (down / count).min(across / widest).max(LEAST);
                (left + (across - widest * size).max(0.0) * self.side, top, size)
            }
            (None, Some((x, y))) => (x + usual / 3.0, y + usual / 3.0, usual),
            (None, None) => return,
        };
        if let (Some(anchor), true) = (anchor, self.is_anchor_seen && self.corners.is_some()) {
            let (right, bottom) = (left + widest * size, top + count * size);
            let near = (anchor.0.clamp(left, right), anchor.1.clamp(top, bottom));
            line(picture, near, anchor, self.shade);
        }
        let mut top = top;
        for words in &self.lines {
            let left = left + (widest - f64::from(width(words))) * size * self.side;
            Line { words, left: single(left), top: single(top), size: single(size), shade: self.shade }
                .write(picture);
            top += size;
        }
    }
}

fn line(picture: &mut Bitmap, from: (f64, f64), to: (f64, f64), shade: u8) {
    let empty = Bitmap { width: 0, height: 0, bytes: Vec::new(), ..*picture };
    let mut canvas = Canvas::new(std::mem::replace(picture, empty));
    // A canvas counts pixels from 1.
    canvas.line((from.0 + 1.0, from.1 + 1.0), (to.0 + 1.0, to.1 + 1.0), shade);
    *picture = canvas.into_picture();
}

#[expect(clippy::cast_possible_truncation, reason = "places in pictures need no more digits")]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::*;
    use crate::pixel::Channels;

    const AS_IT_IS: Mapping =
        Mapping { cut: [0.0, 0.0, 200.0, 100.0], turns: 0, is_flipped: false, scale: (1.0, 1.0) };

    fn pair(numbers: [f32; 2]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn object(text: &str, corners: Option<[[f32; 2]; 2]>, anchor: Option<[f32; 2]>) -> Attributes {
        let mut object = Attributes::new();
        object.put_text(tags::UNFORMATTED_TEXT_VALUE, VR::ST, text);
        if let Some([one, other]) = corners {
            object.put_text(tags::BOUNDING_BOX_ANNOTATION_UNITS, VR::CS, "PIXEL");
            object.put_bytes(tags::BOUNDING_BOX_TOP_LEFT_HAND_CORNER, VR::FL, pair(one));
            object.put_bytes(tags::BOUNDING_BOX_BOTTOM_RIGHT_HAND_CORNER, VR::FL, pair(other));
        }
        if let Some(anchor) = anchor {
            object.put_text(tags::ANCHOR_POINT_ANNOTATION_UNITS, VR::CS, "PIXEL");
            object.put_bytes(tags::ANCHOR_POINT, VR::FL, pair(anchor));
            object.put_text(tags::ANCHOR_POINT_VISIBILITY, VR::CS, "Y");
        }
        object
    }

    /// First and last column and row that something light is in, of a picture of 200 × 100.
    fn extent(object: &Attributes, mapping: Mapping) -> Option<[usize; 4]> {
        let mut picture =
            Bitmap { width: 200, height: 100, channels: Channels::Grey, bytes: vec![0; 20_000] };
        Label::read(object, 255)?.write(&mut picture, &mapping);
        let light = picture.bytes.iter().enumerate().filter(|(_, byte)| **byte > 100);
        let places: Vec<(usize, usize)> = light.map(|(n, _)| (n % 200, n / 200)).collect();
        let (columns, rows) = (places.iter().map(|place| place.0), places.iter().map(|place| place.1));
        Some([columns.clone().min()?, rows.clone().min()?, columns.max()?, rows.max()?])
    }

    #[test]
    fn a_text_fills_its_box_and_not_more() {
        let boxed = object("Nốt phổi\r\n8 mm", Some([[20.0, 10.0], [120.0, 70.0]]), None);
        let [left, top, right, bottom] = extent(&boxed, AS_IT_IS).unwrap();
        assert!((18..40).contains(&left) && (8..25).contains(&top), "{left} {top}");
        assert!((80..=122).contains(&right) && (50..=72).contains(&bottom), "{right} {bottom}");
    }

    #[test]
    fn it_stands_upright_where_its_box_comes_to_lie() {
        let boxed = object("phổi", Some([[20.0, 10.0], [60.0, 30.0]]), None);
        let here = extent(&boxed, AS_IT_IS).unwrap();
        let flipped = extent(&boxed, Mapping { is_flipped: true, ..AS_IT_IS }).unwrap();
        assert_eq!(flipped[2] - flipped[0], here[2] - here[0]);
        assert!(flipped[0] >= 135 && flipped[2] <= 182, "{flipped:?}");
        let half = extent(&boxed, Mapping { turns: 2, ..AS_IT_IS }).unwrap();
        assert!(half[0] >= 135 && half[1] >= 68 && half[3] <= 92, "{half:?}");
        // The place (20, 10) of an image of 100 × 200 comes to (190, 20) by a quarter turn.
        let quarter = Mapping { cut: [0.0, 0.0, 100.0, 200.0], turns: 1, ..AS_IT_IS };
        let at = quarter.of(Place { at: (20.0, 10.0), is_of_display: false });
        assert_eq!(at, (190.0, 20.0));
        assert_eq!(quarter.of(Place { at: (0.5, 0.5), is_of_display: true }), (100.0, 50.0));
    }

    #[test]
    fn a_line_leads_to_the_anchor() {
        let anchored = object("A", Some([[20.0, 10.0], [40.0, 30.0]]), Some([150.0, 80.0]));
        let [_, _, right, bottom] = extent(&anchored, AS_IT_IS).unwrap();
        assert!(right.abs_diff(150) <= 2 && bottom.abs_diff(80) <= 2, "{right} {bottom}");
        let beside = extent(&object("A", None, Some([150.0, 40.0])), AS_IT_IS).unwrap();
        assert!(beside[0] >= 150 && beside[1] >= 40 && beside[2] < 170, "{beside:?}");
        assert_eq!(Label::read(&object("A", None, None), 255), None);
        assert_eq!(Label::read(&object(" \r\n", None, Some([1.0, 1.0])), 255), None);
    }
}
