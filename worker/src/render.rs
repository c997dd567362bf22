//! A stored frame → an image file, as a rendered resource or a thumbnail (PS3.18 §8.3.5, §8.7.4).

use dicom_store::model::TransferSyntaxUid;

use crate::pixel::{self, Bitmap, Decoded, Format, ImageInfo, Shown, Viewport, Window, encode, fit};

/// Longest edge of a thumbnail, in pixels.
pub const THUMBNAIL_EDGE: u32 = 256;

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
}

impl Default for Presentation {
    /// As the data set proposes, pixel by pixel, in JPEG of quality 90.
    fn default() -> Self {
        Self { window: None, viewport: None, format: Format::Jpeg { quality: 90 } }
    }
}

/// The frame, as it is stored, shown so and encoded.
///
/// # Errors
/// Those of [`pixel::decode`]; `Presentation` when the viewport shows nothing of the image.
pub fn render(
    frame: &[u8],
    info: &ImageInfo,
    syntax: &TransferSyntaxUid,
    presentation: &Presentation,
) -> pixel::Result<Vec<u8>> {
    let decoded = pixel::decode(frame, info, syntax)?;
    encode(&shown(decoded, info, presentation)?, presentation.format)
}

/// The frame in at most 256 × 256 square pixels, as a JPEG; what is smaller is not enlarged.
///
/// # Errors
/// Those of [`pixel::decode`].
pub fn thumbnail(frame: &[u8], info: &ImageInfo, syntax: &TransferSyntaxUid) -> pixel::Result<Vec<u8>> {
    let decoded = pixel::decode(frame, info, syntax)?;
    let edge = THUMBNAIL_EDGE.min(info.rows.max(info.columns));
    let viewport = Some(Viewport { width: edge, height: edge, region: None });
    let bitmap = shown(decoded, info, &Presentation { viewport, ..Presentation::default() })?;
    encode(&bitmap, THUMBNAIL_FORMAT)
}

fn shown(decoded: Decoded<'_>, info: &ImageInfo, presentation: &Presentation) -> pixel::Result<Bitmap> {
    let shown = presentation.window.map_or(Shown::AsProposed, Shown::Window);
    let bitmap = pixel::to_bitmap(decoded, &shown)?;
    match &presentation.viewport {
        Some(viewport) => fit(bitmap, viewport, info.pixel_aspect),
        None => Ok(bitmap),
    }
}
