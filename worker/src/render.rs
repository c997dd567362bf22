//! A stored frame → an image file, as a rendered resource or a thumbnail (PS3.18 §8.3.5, §8.7.4).

use bytes::Bytes;
use dicom_store::model::TransferSyntaxUid;

use crate::captions::{Annotation, Captions};
use crate::pixel::{
    self, Bitmap, Decoded, Format, GifFrame, IccProfile, ImageInfo, Shown, Viewport, Window, encode, fit,
};
use crate::softcopy::Softcopy;

/// Longest edge of a thumbnail, in pixels.
pub const THUMBNAIL_EDGE: u32 = 256;

/// What a thumbnail is fitted into where nobody asks for less: columns and rows.
pub const THUMBNAIL: (u32, u32) = (THUMBNAIL_EDGE, THUMBNAIL_EDGE);

/// The form of thumbnails.
const THUMBNAIL_FORMAT: Format = Format::Jpeg { quality: 80 };

/// How a frame is to be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presentation {
    /// The window to see it through; none for what the data set proposes.
    pub window: Option<Window>,
    /// The place to fit it into; none for the pixels as they are, square or not.
    pub viewport: Option<Viewport>,
    /// The form of the answer.
    pub format: Format,
    /// The colour space.
    pub profile: IccProfile,
    /// What is burnt in.
    pub annotation: Annotation,
}

/// What goes into a picture beside the pixels, from the data set.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The ICC profile of the image.
    pub profile: Option<Bytes>,
    /// The words that are burnt in.
    pub captions: Captions,
}

impl Default for Presentation {
    /// As the data set proposes, pixel by pixel, in JPEG of quality 90.
    fn default() -> Self {
        Self {
            window: None,
            viewport: None,
            format: Format::Jpeg { quality: 90 },
            profile: IccProfile::No,
            annotation: Annotation::default(),
        }
    }
}

/// The frame, as it is stored, shown so and encoded.
///
/// # Errors
/// Those of [`pixel::decode`]; `Presentation` when the viewport shows nothing of the image; `Unsupported` for a profile
/// that cannot be read where colours are to be converted.
pub fn render(
    frame: &[u8],
    info: &ImageInfo,
    syntax: &TransferSyntaxUid,
    presentation: &Presentation,
    beside: &Beside,
) -> pixel::Result<Vec<u8>> {
    let decoded = pixel::decode(frame, info, syntax)?;
    finished(shown(decoded, info, presentation)?, presentation, beside)
}

/// The picture with its words, in its colour space and form.
fn finished(picture: Bitmap, presentation: &Presentation, beside: &Beside) -> pixel::Result<Vec<u8>> {
    let (mut picture, profile) = presentation.profile.apply(picture, beside.profile.as_deref())?;
    beside.captions.draw(&mut picture);
    encode(&picture, presentation.format, profile)
}

/// The frame as a presentation state wants it to be seen; `info` is read from the attributes that the state gives it
/// ([`Softcopy::over`]).
///
/// # Errors
/// As [`render`].
pub fn render_by(
    frame: &[u8],
    info: &ImageInfo,
    syntax: &TransferSyntaxUid,
    presentation: &Presentation,
    state: &Softcopy,
    beside: &Beside,
) -> pixel::Result<Vec<u8>> {
    let decoded = pixel::decode(frame, info, syntax)?;
    let aspect = state.pixel_aspect(info.pixel_aspect);
    let fitted = |picture| match &presentation.viewport {
        Some(viewport) => fit(picture, viewport, aspect),
        None => Ok(picture),
    };
    // A state without a view shows all values alike, whatever the frame has of them (PS3.4 §N.2.1.3).
    let picture = state.show(pixel::to_bitmap(decoded, &Shown::AsProposedOrAll)?, fitted)?;
    finished(picture, presentation, beside)
}

/// The same as a picture of an animation, which is shown for `delay` hundredths of a second.
///
/// # Errors
/// As [`render`].
pub fn animate(
    frame: &[u8],
    info: &ImageInfo,
    syntax: &TransferSyntaxUid,
    presentation: &Presentation,
    (captions, delay): (&Captions, u16),
) -> pixel::Result<GifFrame> {
    let decoded = pixel::decode(frame, info, syntax)?;
    let mut picture = shown(decoded, info, presentation)?;
    captions.draw(&mut picture);
    GifFrame::new(&picture, delay)
}

/// The frame in at most 256 × 256 square pixels, and no more than `within`, as a JPEG; what is smaller is not enlarged. Without the overlays of the
/// image: they may name the patient, which a thumbnail does not (PS3.18 §10.4.1.1.5).
///
/// # Errors
/// Those of [`pixel::decode`].
pub fn thumbnail(
    frame: &[u8],
    info: &ImageInfo,
    syntax: &TransferSyntaxUid,
    within: (u32, u32),
) -> pixel::Result<Vec<u8>> {
    let decoded = pixel::decode(frame, info, syntax)?;
    let edge = THUMBNAIL_EDGE.min(info.rows.max(info.columns));
    let viewport = Viewport { width: edge.min(within.0), height: edge.min(within.1), region: None };
    let bitmap = fit(pixel::to_bitmap(decoded, &Shown::AsProposed)?, &viewport, info.pixel_aspect)?;
    encode(&bitmap, THUMBNAIL_FORMAT, None)
}

fn shown(decoded: Decoded<'_>, info: &ImageInfo, presentation: &Presentation) -> pixel::Result<Bitmap> {
    let shown = presentation.window.map_or(Shown::AsProposed, Shown::Window);
    let bitmap = pixel::to_bitmap_with_overlays(decoded, &shown)?;
    match &presentation.viewport {
        Some(viewport) => fit(bitmap, viewport, info.pixel_aspect),
        None => Ok(bitmap),
    }
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;
    use dicom_store::model::{Attributes, FrameNumber, Tag, VR, transfer_syntax};

    use super::*;
    use crate::pixel::WindowFunction;

    /// 64 columns of 0 … 63 and 32 rows, seen through centre 32 and width 64.
    fn ramp(photometric: &str) -> (Vec<u8>, ImageInfo) {
        ramp_with(photometric, &Attributes::new())
    }

    fn ramp_with(photometric: &str, more: &Attributes) -> (Vec<u8>, ImageInfo) {
        let mut attributes = Attributes::new();
        for (tag, value) in [
            (tags::ROWS, 32),
            (tags::COLUMNS, 64),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 12),
            (tags::SAMPLES_PER_PIXEL, 1),
        ] {
            attributes.put_u16(tag, value);
        }
        attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
        attributes.put_text(tags::WINDOW_CENTER, VR::DS, "32");
        attributes.put_text(tags::WINDOW_WIDTH, VR::DS, "64");
        attributes.put_bytes(tags::PIXEL_DATA, VR::OW, Vec::new());
        more.iter().for_each(|element| attributes.put_from(more, element));
        let frame = (0..32).flat_map(|_| (0..64_u16).flat_map(u16::to_le_bytes)).collect();
        (frame, ImageInfo::read(&attributes, FrameNumber::FIRST).unwrap())
    }

    fn syntax() -> TransferSyntaxUid {
        TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE).unwrap()
    }

    #[test]
    fn overlays_are_drawn_and_no_thumbnail_has_them() {
        let mut overlay = Attributes::new();
        for (element, value) in [(0x0010, 32), (0x0011, 64), (0x0100, 1), (0x0102, 0)] {
            overlay.put_u16(Tag(0x6000, element), value);
        }
        overlay.put_text(Tag(0x6000, 0x0040), VR::CS, "G");
        overlay.put_bytes(Tag(0x6000, 0x3000), VR::OW, vec![0xFF; 32 * 64 / 8]);
        let (frame, plain) = ramp("MONOCHROME2");
        let (_, info) = ramp_with("MONOCHROME2", &overlay);
        let made = |info| thumbnail(&frame, info, &syntax(), THUMBNAIL).unwrap();
        assert_eq!(made(&info), made(&plain));
        let presentation = Presentation { format: Format::Png, ..Presentation::default() };
        let file = render(&frame, &info, &syntax(), &presentation, &Beside::default()).unwrap();
        assert_eq!(first_row(&file, 64), [255; 64]);
    }

    fn first_row(file: &[u8], columns: usize) -> Vec<u8> {
        let picture = image::load_from_memory_with_format(file, image::ImageFormat::Png).unwrap();
        picture.to_luma8().into_raw().into_iter().take(columns).collect()
    }

    fn png(window: Option<Window>) -> Presentation {
        Presentation { window, format: Format::Png, ..Presentation::default() }
    }

    #[test]
    fn the_proposed_window_spreads_the_ramp_over_all_shades() {
        let (frame, info) = ramp("MONOCHROME2");
        let row = first_row(&render(&frame, &info, &syntax(), &png(None), &Beside::default()).unwrap(), 64);
        // ((v − 31.5) / 63 + 0.5) · 255, to the nearest.
        assert_eq!((row[0], row[1], row[16], row[31], row[32], row[63]), (0, 4, 65, 125, 130, 255));
    }

    #[test]
    fn monochrome1_is_the_negative() {
        let (frame, info) = ramp("MONOCHROME1");
        let row = first_row(&render(&frame, &info, &syntax(), &png(None), &Beside::default()).unwrap(), 64);
        assert_eq!((row[0], row[63]), (255, 0));
    }

    #[test]
    fn a_state_without_a_view_shows_all_values_of_the_bits() {
        let (frame, info) = ramp("MONOCHROME2");
        let info = ImageInfo { voi: None, bits_stored: 6, high_bit: 5, ..info };
        let shown = |info: &ImageInfo| {
            let state = Softcopy::default();
            let file = render_by(&frame, info, &syntax(), &png(None), &state, &Beside::default()).unwrap();
            let row = first_row(&file, 64);
            (row[0], row[63])
        };
        assert_eq!(shown(&info), (0, 255));
        // 63 of 4095.
        assert_eq!(shown(&ImageInfo { bits_stored: 12, high_bit: 11, ..info }), (0, 4));
    }

    #[test]
    fn an_asked_window_clips_what_lies_beyond() {
        let (frame, info) = ramp("MONOCHROME2");
        let window = Window::new(16.0, 16.0, WindowFunction::Linear).unwrap();
        let row =
            first_row(&render(&frame, &info, &syntax(), &png(Some(window)), &Beside::default()).unwrap(), 64);
        assert_eq!((row[4], row[16], row[40]), (0, 136, 255));
    }

    #[test]
    fn a_viewport_scales_and_keeps_the_aspect() {
        let (frame, info) = ramp("MONOCHROME2");
        let viewport = Some(Viewport { width: 32, height: 32, region: None });
        let file =
            render(&frame, &info, &syntax(), &Presentation { viewport, ..png(None) }, &Beside::default())
                .unwrap();
        let picture = image::load_from_memory_with_format(&file, image::ImageFormat::Png).unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 16));
    }

    #[test]
    fn a_thumbnail_is_a_jpeg_with_an_edge_of_at_most_256() {
        let (frame, info) = ramp("MONOCHROME2");
        let (large, wide) = (frame.repeat(16 * 8), ImageInfo { rows: 512, columns: 512, ..info.clone() });
        let size = |file: &[u8]| {
            let mut decoder = zune_jpeg::JpegDecoder::new(zune_core::bytestream::ZCursor::new(file));
            decoder.decode_headers().unwrap();
            decoder.dimensions().unwrap()
        };
        assert_eq!(size(&thumbnail(&large, &wide, &syntax(), THUMBNAIL).unwrap()), (256, 256));
        assert_eq!(size(&thumbnail(&large, &wide, &syntax(), (1000, 100)).unwrap()), (100, 100));
        assert_eq!(size(&thumbnail(&frame, &info, &syntax(), THUMBNAIL).unwrap()), (64, 32));
        assert_eq!(size(&thumbnail(&frame, &info, &syntax(), (32, 32)).unwrap()), (32, 16));
    }
}
