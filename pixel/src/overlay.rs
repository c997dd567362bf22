//! Overlay planes of the image itself, groups 6000 … 601E (PS3.3 §C.9.2, §C.9.3).
//!
//! Graphics are drawn in white over the picture, pixel by pixel. Regions of interest are not: they would hide what they
//! mark.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use dicom_store::model::{Attributes, FrameNumber, Tag};

use super::{Bitmap, Decoded, ImageInfo, Result, Shown, to_bitmap};

/// Groups that an overlay may have; every other number.
const GROUPS: RangeInclusive<u16> = 0x6000..=0x601E;
/// Bytes of an overlay that is left in the object, at the most: a bit for each pixel of the largest radiographs.
pub(super) const MOST_BYTES: u64 = 4 << 20;
const WHITE: u8 = 255;

/// One plane, for one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    rows: usize,
    columns: usize,
    /// Row and column of the image where it begins, counted from 0; before it when negative.
    origin: (i64, i64),
    bits: Bits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Bits {
    /// Overlay Data, from this bit on; the first pixel is the lowest bit of a byte.
    Own(Bytes, usize),
    /// A bit of each sample that is none of the stored ones, as devices did it before it was retired.
    OfSamples(u32),
}

/// Whether that is Overlay Data (60xx,3000).
pub(super) fn is_data(tag: Tag) -> bool {
    GROUPS.contains(&tag.0) && tag.0.is_multiple_of(2) && tag.1 == 0x3000
}

/// The graphics of a frame. What is described in a way that cannot be is left out.
pub(super) fn read(attributes: &Attributes, frame: FrameNumber) -> Arc<[Overlay]> {
    GROUPS.step_by(2).filter_map(|group| Overlay::read(attributes, group, frame)).collect()
}

impl Overlay {
    fn read(attributes: &Attributes, group: u16, frame: FrameNumber) -> Option<Self> {
        let tag = |element| Tag(group, element);
        let size = |element| attributes.int(tag(element)).and_then(|size| usize::try_from(size).ok());
        let (rows, columns) = (size(0x0010)?, size(0x0011)?);
        if attributes.text(tag(0x0040)).as_deref().map(str::trim) != Some("G") {
            return None;
        }
        // Those of several frames begin at one of the image's (§C.9.3).
        let first = attributes.int(tag(0x0051)).unwrap_or(1);
        let number = match size(0x0015) {
            None => 0,
            Some(count) => {
                let number = usize::try_from(i64::from(frame.get()) - first).ok()?;
                (number < count).then_some(number)?
            }
        };
        let bits = match attributes.bytes(tag(0x3000)) {
            Some(data) => {
                let start = rows.checked_mul(columns)?.checked_mul(number)?;
                Bits::Own(data.clone(), start)
            }
            None => Bits::OfSamples(u32::try_from(attributes.int(tag(0x0102))?).ok()?),
        };
        let origin = match attributes.ints(tag(0x0050)).as_slice() {
            [row, column, ..] => (row - 1, column - 1),
            _ => (0, 0),
        };
        Some(Self { rows, columns, origin, bits })
    }

    /// Whether the plane has something at a row and a column of the image; `sample` is what the frame has there.
    fn is_set(&self, row: usize, column: usize, sample: u32) -> bool {
        let own = |at: usize, origin: i64, size: usize| {
            let at = usize::try_from(i64::try_from(at).ok()? - origin).ok()?;
            (at < size).then_some(at)
        };
        let place = own(row, self.origin.0, self.rows).zip(own(column, self.origin.1, self.columns));
        let Some((row, column)) = place else { return false };
        match &self.bits {
            Bits::OfSamples(bit) => sample.checked_shr(*bit).unwrap_or(0) & 1 == 1,
            Bits::Own(data, start) => {
                let bit = start + row * self.columns + column;
                data.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
            }
        }
    }

    /// Whether its bits may lie in samples of that image: none that is stored can be one of them.
    fn is_of(&self, info: &ImageInfo) -> bool {
        match self.bits {
            Bits::Own(..) => true,
            Bits::OfSamples(bit) => {
                let lowest = (info.high_bit + 1).saturating_sub(info.bits_stored);
                info.samples_per_pixel == 1
                    && bit < info.bits_allocated
                    && !(lowest..=info.high_bit).contains(&bit)
            }
        }
    }
}

/// The picture that decoded samples make, with the overlays of the image drawn over it.
///
/// # Errors
/// As [`to_bitmap`].
pub fn to_bitmap_with_overlays(decoded: Decoded<'_>, shown: &Shown) -> Result<Bitmap> {
    let overlays: Vec<Overlay> =
        decoded.info.overlays.iter().filter(|overlay| overlay.is_of(&decoded.info)).cloned().collect();
    if overlays.is_empty() {
        return to_bitmap(decoded, shown);
    }
    let set = pixels(&decoded, &overlays);
    let mut picture = to_bitmap(decoded, shown)?;
    let colours = picture.channels.count();
    let drawn = picture.bytes.chunks_exact_mut(colours).zip(set).filter(|(_, is_set)| *is_set);
    drawn.for_each(|(pixel, _)| pixel.fill(WHITE));
    Ok(picture)
}

/// For each pixel whether any overlay has something there.
fn pixels(decoded: &Decoded<'_>, overlays: &[Overlay]) -> Vec<bool> {
    let info = &decoded.info;
    let columns = usize::try_from(info.columns).unwrap_or(usize::MAX).max(1);
    let width = info.pixel_bytes().max(1);
    let sample = |pixel: &[u8]| match *pixel {
        [low] => u32::from(low),
        [low, high] => u32::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let is_set = |(place, pixel): (usize, &[u8])| {
        let (row, column) = (place / columns, place % columns);
        overlays.iter().any(|overlay| overlay.is_set(row, column, sample(pixel)))
    };
    decoded.samples.chunks_exact(width).enumerate().map(is_set).collect()
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::super::fixture::{grey, rgb};
    use super::*;

    const ROWS: Tag = Tag(0x6002, 0x0010);
    const COLUMNS: Tag = Tag(0x6002, 0x0011);
    const FRAMES: Tag = Tag(0x6002, 0x0015);
    const TYPE: Tag = Tag(0x6002, 0x0040);
    const ORIGIN: Tag = Tag(0x6002, 0x0050);
    const FIRST_FRAME: Tag = Tag(0x6002, 0x0051);
    const BIT_POSITION: Tag = Tag(0x6002, 0x0102);
    const DATA: Tag = Tag(0x6002, 0x3000);

    /// Two rows of three columns: 101 and 010.
    fn overlay() -> Attributes {
        let mut attributes = Attributes::new();
        attributes.put_u16(ROWS, 2);
        attributes.put_u16(COLUMNS, 3);
        attributes.put_text(TYPE, VR::CS, "G");
        attributes.put_bytes(DATA, VR::OW, vec![0b01_0101, 0]);
        attributes
    }

    fn origin(attributes: &mut Attributes, row: i16, column: i16) {
        attributes.put_bytes(ORIGIN, VR::SS, [row.to_le_bytes(), column.to_le_bytes()].concat());
    }

    /// What becomes white of a black frame.
    fn drawn(attributes: &Attributes, info: ImageInfo, frame: u32) -> Vec<u8> {
        let overlays = read(attributes, FrameNumber::new(frame).unwrap());
        let samples = vec![0; info.decoded_length().unwrap()];
        let decoded = Decoded { samples: samples.into(), info: ImageInfo { overlays, ..info } };
        to_bitmap_with_overlays(decoded, &Shown::AsProposed).unwrap().bytes
    }

    fn black(rows: u32, columns: u32) -> ImageInfo {
        let window = super::super::Window::new(128.0, 256.0, super::super::WindowFunction::Linear).unwrap();
        ImageInfo { voi: Some(super::super::Voi::Window(window)), ..grey(rows, columns, 8) }
    }

    #[test]
    fn bits_are_drawn_where_the_overlay_begins() {
        let mut attributes = overlay();
        attributes.put_bytes(DATA, VR::OW, vec![0b0001_0101, 0]);
        assert_eq!(drawn(&attributes, black(2, 3), 1), [255, 0, 255, 0, 255, 0]);
        origin(&mut attributes, 2, 2);
        assert_eq!(drawn(&attributes, black(3, 3), 1), [0, 0, 0, 0, 255, 0, 0, 0, 255]);
        origin(&mut attributes, 0, 0);
        assert_eq!(drawn(&attributes, black(2, 2), 1), [255, 0, 0, 0]);
        let colours = drawn(&overlay(), rgb(2, 3), 1);
        assert_eq!(colours[..9], [255, 255, 255, 0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn regions_of_interest_and_what_cannot_be_are_not_drawn() {
        let mut region = overlay();
        region.put_text(TYPE, VR::CS, "R");
        let mut endless = overlay();
        endless.put_u16(ROWS, u16::MAX);
        endless.put_bytes(DATA, VR::OW, Vec::new());
        for attributes in [region, endless] {
            assert_eq!(drawn(&attributes, black(2, 3), 1), [0; 6]);
        }
    }

    #[test]
    fn each_frame_has_its_own_and_others_none() {
        let mut attributes = overlay();
        attributes.put_text(FRAMES, VR::IS, "2");
        attributes.put_u16(FIRST_FRAME, 2);
        // Frames of six bits, one behind the other: 101010, 000011.
        attributes.put_bytes(DATA, VR::OW, vec![0b0001_0101, 0b0000_1100]);
        assert_eq!(drawn(&attributes, black(2, 3), 1), [0; 6]);
        assert_eq!(drawn(&attributes, black(2, 3), 2), [255, 0, 255, 0, 255, 0]);
        assert_eq!(drawn(&attributes, black(2, 3), 3), [0, 0, 0, 0, 255, 255]);
        assert_eq!(drawn(&attributes, black(2, 3), 4), [0; 6]);
    }

    #[test]
    fn a_bit_above_the_stored_ones_is_drawn_and_a_stored_one_never() {
        let mut attributes = overlay();
        attributes.remove(DATA);
        let info = ImageInfo { bits_allocated: 16, bits_stored: 12, high_bit: 11, ..black(1, 3) };
        for (bit, expected) in [(12, [255, 0, 255]), (4, [0, 0, 0])] {
            attributes.put_u16(BIT_POSITION, bit);
            let overlays = read(&attributes, FrameNumber::FIRST);
            let samples: Vec<u8> =
                [0x1000_u16, 0x0010, 0x1000].iter().flat_map(|word| word.to_le_bytes()).collect();
            let info = ImageInfo { overlays, voi: None, ..info.clone() };
            let window = Shown::Window(
                super::super::Window::new(4000.0, 10.0, super::super::WindowFunction::Linear).unwrap(),
            );
            let decoded = Decoded { samples: samples.into(), info };
            assert_eq!(to_bitmap_with_overlays(decoded, &window).unwrap().bytes, expected);
        }
    }
}
