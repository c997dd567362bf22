//! Overlay planes of presentation states (PS3.3 §C.11.7): which of them are seen, and in which shade.

use dicom_store::model::{Attributes, Tag};

use super::draw::Canvas;
use crate::pixel::Overlay;

/// Overlay Activation Layer, by its number in its group.
const LAYER: u16 = 0x1001;

/// The groups that a state wants to be seen, with the layers that they are in.
pub(super) fn activated(state: &Attributes) -> impl Iterator<Item = (u16, String)> {
    let layer = |group| state.text(Tag(group, LAYER)).filter(|layer| !layer.is_empty());
    Overlay::groups().filter_map(move |group| Some((group, layer(group)?)))
}

/// Gives a shade to the pixels below the bits of an overlay.
pub(super) fn draw(overlay: &Overlay, canvas: &mut Canvas, shade: u8) {
    overlay.each(|row, column| canvas.put(column, row, shade));
}

#[cfg(test)]
mod tests {
    use dicom_store::model::{FrameNumber, VR};

    use super::*;
    use crate::pixel::{Bitmap, Channels};

    /// A plane of two rows and three columns.
    fn drawn(data: &[u8]) -> Vec<u8> {
        let mut plane = Attributes::new();
        for (element, number) in [(0x0010, 2), (0x0011, 3)] {
            plane.put_u16(Tag(0x6002, element), number);
        }
        plane.put_bytes(Tag(0x6002, 0x0050), VR::SS, vec![1, 0, 2, 0]);
        plane.put_bytes(Overlay::data_of(0x6002), VR::OW, data.to_vec());
        let overlay = Overlay::read(&plane, 0x6002, FrameNumber::FIRST).unwrap();
        let picture = Bitmap { width: 4, height: 2, channels: Channels::Grey, bytes: vec![0; 8] };
        let mut canvas = Canvas::new(picture);
        draw(&overlay, &mut canvas, 9);
        canvas.into_picture().bytes
    }

    #[test]
    fn bits_lie_over_pixels_from_the_origin_on() {
        assert_eq!(drawn(&[0b10_0101, 0]), [0, 9, 0, 9, 0, 0, 0, 9]);
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
