//! Overlay planes (PS3.3 §C.9.2): bits that lie over the image, of the state or of the image itself.

use dicom_store::model::{Attributes, FrameNumber, Tag};

use super::draw::Canvas;

/// Elements of an overlay, by their number in its group.
const ROWS: u16 = 0x0010;
const COLUMNS: u16 = 0x0011;
const FRAMES: u16 = 0x0015;
const ORIGIN: u16 = 0x0050;
const FRAME_ORIGIN: u16 = 0x0051;
const LAYER: u16 = 0x1001;
const DATA: u16 = 0x3000;

/// Groups of overlays that there may be (PS3.5 §7.6).
const GROUPS: std::ops::RangeInclusive<u16> = 0x6000..=0x601E;

/// An overlay plane of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlay {
    /// Of its first bit, in pixels of the image from 1.
    left: i64,
    top: i64,
    columns: usize,
    /// Row by row, the first bit lowest in a byte.
    data: bytes::Bytes,
    /// Bits of the frames before.
    skipped: usize,
    bits: usize,
}

/// Where the bits of an overlay group are.
pub(super) fn data_of(group: u16) -> Tag {
    Tag(group, DATA)
}

/// The groups that a state wants to be seen, with the layers that they are in (PS3.3 §C.11.7).
pub(super) fn activated(state: &Attributes) -> impl Iterator<Item = (u16, String)> {
    let groups = GROUPS.step_by(2);
    groups.filter_map(|group| Some((group, state.text(Tag(group, LAYER)).filter(|layer| !layer.is_empty())?)))
}

impl Overlay {
    /// The plane of a group that lies over a frame; `None` where there are no bits, or none for this frame.
    pub(super) fn read(of: &Attributes, group: u16, frame: FrameNumber) -> Option<Self> {
        let number = |element| of.int(Tag(group, element)).and_then(|number| usize::try_from(number).ok());
        let (rows, columns) = (number(ROWS)?, number(COLUMNS).filter(|columns| *columns > 0)?);
        let data = of.bytes(data_of(group))?.clone();
        let bits = rows.checked_mul(columns)?;
        // Without frames of its own it lies over all.
        let before = match number(FRAMES) {
            None | Some(0) => 0,
            Some(frames) => {
                let first = number(FRAME_ORIGIN).unwrap_or(1);
                let before = usize::try_from(frame.get()).ok()?.checked_sub(first)?;
                (frames == 1 || before < frames).then_some(before.min(frames - 1))?
            }
        };
        let skipped = before.checked_mul(bits)?;
        (skipped.checked_add(bits)? <= data.len().saturating_mul(8)).then_some(())?;
        let origin = of.ints(Tag(group, ORIGIN));
        let (top, left) = (origin.first().copied().unwrap_or(1), origin.get(1).copied().unwrap_or(1));
        Some(Self { left, top, columns, data, skipped, bits })
    }

    /// Gives a shade to the pixels below its bits.
    pub(super) fn draw(&self, canvas: &mut Canvas, shade: u8) {
        let at = |number: usize| i64::try_from(number).unwrap_or(i64::MAX / 2);
        for number in 0..self.bits {
            let bit = self.skipped + number;
            if self.data.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1) {
                let (x, y) = (number % self.columns, number / self.columns);
                canvas.put(self.left.saturating_add(at(x)), self.top.saturating_add(at(y)), shade);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::*;
    use crate::pixel::{Bitmap, Channels};

    /// A plane of two rows and three columns, in these frames.
    fn plane(data: &[u8], frames: Option<u16>) -> Attributes {
        let mut plane = Attributes::new();
        for (element, number) in [(ROWS, 2), (COLUMNS, 3)] {
            plane.put_u16(Tag(0x6002, element), number);
        }
        if let Some(frames) = frames {
            plane.put_text(Tag(0x6002, FRAMES), VR::IS, &frames.to_string());
            plane.put_u16(Tag(0x6002, FRAME_ORIGIN), 2);
        }
        plane.put_bytes(Tag(0x6002, ORIGIN), VR::SS, vec![1, 0, 2, 0]);
        plane.put_bytes(data_of(0x6002), VR::OW, data.to_vec());
        plane
    }

    fn drawn(plane: &Attributes, frame: u32) -> Option<Vec<u8>> {
        let overlay = Overlay::read(plane, 0x6002, FrameNumber::new(frame).unwrap())?;
        let picture = Bitmap { width: 4, height: 2, channels: Channels::Grey, bytes: vec![0; 8] };
        let mut canvas = Canvas::new(picture);
        overlay.draw(&mut canvas, 9);
        Some(canvas.into_picture().bytes)
    }

    #[test]
    fn bits_lie_over_pixels_from_the_origin_on() {
        let plane = plane(&[0b10_0101, 0], None);
        assert_eq!(drawn(&plane, 1).unwrap(), [0, 9, 0, 9, 0, 0, 0, 9]);
        assert_eq!(drawn(&plane, 7), drawn(&plane, 1), "over every frame");
    }

    #[test]
    fn each_frame_has_its_own_bits() {
        let plane = plane(&[0b0000_0001, 0b0000_1000], Some(2));
        assert_eq!(drawn(&plane, 1), None);
        assert_eq!(drawn(&plane, 2).unwrap(), [0, 9, 0, 0, 0, 0, 0, 0]);
        assert_eq!(drawn(&plane, 3).unwrap(), [0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(drawn(&plane, 4), None);
    }

    #[test]
    fn fewer_bits_than_there_have_to_be_are_none() {
        assert_eq!(drawn(&plane(&[], None), 1), None);
        assert_eq!(drawn(&plane(&[1], Some(2)), 3), None);
        let mut huge = plane(&[1, 2], None);
        huge.put_u16(Tag(0x6002, ROWS), u16::MAX);
        assert_eq!(drawn(&huge, 1), None);
    }

    #[test]
    fn a_state_names_the_layer_of_what_is_to_be_seen() {
        let mut state = Attributes::new();
        state.put_text(Tag(0x6000, LAYER), VR::CS, "");
        state.put_text(Tag(0x6004, LAYER), VR::CS, "MARKS");
        state.put_text(Tag(0x6020, LAYER), VR::CS, "NONE");
        assert_eq!(activated(&state).collect::<Vec<_>>(), [(0x6004, "MARKS".to_owned())]);
    }
}
