//! Overlay planes of the image itself, groups 6000 … 601E (PS3.3 §C.9.2, §C.9.3).
//!
//! Graphics are drawn in white over the picture, pixel by pixel. Regions of interest are not: they would hide what they
//! mark.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use dicom_store::model::{Attributes, FrameNumber, Tag};

use super::{Bitmap, Decoded, ImageInfo, Result, Shown, to_bitmap};

/// Groups that an overlay may have; every other number (PS3.5 §7.6).
const GROUPS: RangeInclusive<u16> = 0x6000..=0x601E;
/// Bytes of an overlay that is left in the object, at the most: a bit for each pixel of the largest radiographs.
pub(super) const MOST_BYTES: u64 = 4 << 20;
const WHITE: u8 = 255;

/// Elements of an overlay, by their number in its group.
const ROWS: u16 = 0x0010;
const COLUMNS: u16 = 0x0011;
const FRAMES: u16 = 0x0015;
const TYPE: u16 = 0x0040;
const ORIGIN: u16 = 0x0050;
const FRAME_ORIGIN: u16 = 0x0051;
const BIT_POSITION: u16 = 0x0102;
const DATA: u16 = 0x3000;

/// One plane with bits of its own, for one frame: of an image or of a presentation state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    columns: usize,
    /// Row and column of the image where it begins, counted from 1; before it when less.
    origin: (i64, i64),
    /// The first pixel is the lowest bit of a byte.
    data: Bytes,
    /// The bits of this frame.
    bits: std::ops::Range<usize>,
}

/// An overlay of the image itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnOverlay {
    Plane(Overlay),
    /// A bit of each sample that is none of the stored ones, as devices did it before it was retired.
    OfSamples(u32),
}

/// Whether that is Overlay Data (60xx,3000).
pub(super) fn is_data(tag: Tag) -> bool {
    GROUPS.contains(&tag.0) && tag.0.is_multiple_of(2) && tag.1 == DATA
}

/// The graphics of a frame. What is described in a way that cannot be is left out.
pub(super) fn read(attributes: &Attributes, frame: FrameNumber) -> Arc<[OwnOverlay]> {
    Overlay::groups().filter_map(|group| OwnOverlay::read(attributes, group, frame)).collect()
}

impl OwnOverlay {
    fn read(attributes: &Attributes, group: u16, frame: FrameNumber) -> Option<Self> {
        let tag = |element| Tag(group, element);
        if attributes.text(tag(TYPE)).as_deref().map(str::trim) != Some("G") {
            return None;
        }
        if attributes.contains(tag(DATA)) {
            return Overlay::read(attributes, group, frame).map(Self::Plane);
        }
        let bit = attributes.int(tag(BIT_POSITION))?;
        u32::try_from(bit).ok().map(Self::OfSamples)
    }

    /// Whether its bits may lie in samples of that image: none that is stored can be one of them.
    fn is_of(&self, info: &ImageInfo) -> bool {
        match self {
            Self::Plane(_) => true,
            Self::OfSamples(bit) => {
                let lowest = (info.high_bit + 1).saturating_sub(info.bits_stored);
                info.samples_per_pixel == 1
                    && *bit < info.bits_allocated
                    && !(lowest..=info.high_bit).contains(bit)
            }
        }
    }

    /// Marks the pixels that it has something at.
    fn mark(&self, of: &Decoded<'_>, pixels: &mut [bool]) {
        match self {
            Self::Plane(overlay) => overlay.each(|row, column| {
                let inside = |at: i64, size: u32| {
                    let at = usize::try_from(at - 1).ok()?;
                    (at < usize::try_from(size).unwrap_or(0)).then_some(at)
                };
                let place = inside(row, of.info.rows).zip(inside(column, of.info.columns));
                let columns = usize::try_from(of.info.columns).unwrap_or(0);
                if let Some(pixel) = place.and_then(|(row, column)| pixels.get_mut(row * columns + column)) {
                    *pixel = true;
                }
            }),
            Self::OfSamples(bit) => {
                let sample = |pixel: &[u8]| match *pixel {
                    [low] => u32::from(low),
                    [low, high] => u32::from(u16::from_le_bytes([low, high])),
                    _ => 0,
                };
                let samples = of.samples.chunks_exact(of.info.pixel_bytes().max(1)).map(sample);
                pixels.iter_mut().zip(samples).for_each(|(pixel, sample)| {
                    *pixel |= sample.checked_shr(*bit).unwrap_or(0) & 1 == 1;
                });
            }
        }
    }
}

impl Overlay {
    /// The groups that overlays may have.
    pub fn groups() -> impl Iterator<Item = u16> {
        GROUPS.step_by(2)
    }

    /// Where the bits of a group are.
    pub fn data_of(group: u16) -> Tag {
        Tag(group, DATA)
    }

    /// The plane of a group that lies over a frame; `None` where it has fewer bits than it says, or none for this frame.
    ///
    /// One without a number of frames lies over all of them, and so does one of a single frame that does not say which it
    /// is for (PS3.3 §C.9.3).
    pub fn read(attributes: &Attributes, group: u16, frame: FrameNumber) -> Option<Self> {
        let int = |element| attributes.int(Tag(group, element));
        let size = |element| int(element).and_then(|size| usize::try_from(size).ok());
        let (rows, columns) = (size(ROWS)?, size(COLUMNS).filter(|columns| *columns > 0)?);
        let data = attributes.bytes(Self::data_of(group))?.clone();
        let before = match (size(FRAMES).unwrap_or(0), int(FRAME_ORIGIN)) {
            (0, _) | (1, None) => 0,
            (count, first) => {
                let before = i64::from(frame.get()).checked_sub(first.unwrap_or(1))?;
                usize::try_from(before).ok().filter(|before| *before < count)?
            }
        };
        let each = rows.checked_mul(columns)?;
        let start = each.checked_mul(before)?;
        let bits = start..start.checked_add(each)?;
        (bits.end <= data.len().saturating_mul(8)).then_some(())?;
        let origin = match attributes.ints(Tag(group, ORIGIN)).as_slice() {
            [row, column, ..] => (*row, *column),
            _ => (1, 1),
        };
        Some(Self { columns, origin, data, bits })
    }

    /// Gives row and column of the image, counted from 1, of each bit that is set; they may lie outside of it.
    pub fn each(&self, mut set: impl FnMut(i64, i64)) {
        let at =
            |number: usize, origin: i64| origin.saturating_add(i64::try_from(number).unwrap_or(i64::MAX));
        let mut bit = self.bits.start;
        while bit < self.bits.end {
            let byte = self.data.get(bit / 8).copied().unwrap_or(0);
            if byte == 0 {
                bit = (bit / 8 + 1) * 8;
                continue;
            }
            if byte >> (bit % 8) & 1 == 1 {
                let number = bit - self.bits.start;
                set(at(number / self.columns, self.origin.0), at(number % self.columns, self.origin.1));
            }
            bit += 1;
        }
    }
}

/// The picture that decoded samples make, with the overlays of the image drawn over it.
///
/// # Errors
/// As [`to_bitmap`].
pub fn to_bitmap_with_overlays(decoded: Decoded<'_>, shown: &Shown) -> Result<Bitmap> {
    let info = &decoded.info;
    let overlays: Vec<OwnOverlay> =
        info.overlays.iter().filter(|overlay| overlay.is_of(info)).cloned().collect();
    if overlays.is_empty() {
        return to_bitmap(decoded, shown);
    }
    let mut marked = vec![false; info.pixels()?];
    overlays.iter().for_each(|overlay| overlay.mark(&decoded, &mut marked));
    let mut picture = to_bitmap(decoded, shown)?;
    let colours = picture.channels.count();
    let drawn = picture.bytes.chunks_exact_mut(colours).zip(marked).filter(|(_, is_marked)| *is_marked);
    drawn.for_each(|(pixel, _)| pixel.fill(WHITE));
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::super::fixture::{grey, rgb};
    use super::*;

    const ROWS: Tag = Tag(0x6002, super::ROWS);
    const COLUMNS: Tag = Tag(0x6002, super::COLUMNS);
    const FRAMES: Tag = Tag(0x6002, super::FRAMES);
    const TYPE: Tag = Tag(0x6002, super::TYPE);
    const ORIGIN: Tag = Tag(0x6002, super::ORIGIN);
    const FIRST_FRAME: Tag = Tag(0x6002, FRAME_ORIGIN);
    const BIT_PLACE: Tag = Tag(0x6002, BIT_POSITION);
    const DATA: Tag = Tag(0x6002, super::DATA);

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
    fn one_frame_lies_over_all_unless_it_says_which_it_is_for() {
        let mut attributes = overlay();
        let over = |attributes: &Attributes, frame| drawn(attributes, black(2, 3), frame) != [0; 6];
        assert!(over(&attributes, 1) && over(&attributes, 7));
        attributes.put_text(FRAMES, VR::IS, "1");
        assert!(over(&attributes, 1) && over(&attributes, 7));
        attributes.put_u16(FIRST_FRAME, 7);
        assert!(!over(&attributes, 1) && over(&attributes, 7) && !over(&attributes, 8));
    }

    #[test]
    fn fewer_bits_than_there_have_to_be_are_none() {
        let mut attributes = overlay();
        attributes.put_bytes(DATA, VR::OW, Vec::new());
        assert_eq!(Overlay::read(&attributes, 0x6002, FrameNumber::FIRST), None);
        attributes.put_bytes(DATA, VR::OW, vec![0xFF]);
        attributes.put_text(FRAMES, VR::IS, "2");
        assert!(Overlay::read(&attributes, 0x6002, FrameNumber::FIRST).is_some());
        assert_eq!(Overlay::read(&attributes, 0x6002, FrameNumber::new(2).unwrap()), None);
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
            attributes.put_u16(BIT_PLACE, bit);
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
