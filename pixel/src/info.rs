//! What a data set says about the pixels of one frame (PS3.3 §C.7.6.3.1).

use std::sync::Arc;

use dicom_store::model::FrameNumber;

use super::{Error, ErrorKind, Modality, OwnOverlay, Palette, Result, Voi};

/// Bytes that one decoded frame may take.
///
/// The largest frames in use, digital mammograms and radiographs, have about 40 MB; Rows and
/// Columns alone could ask for 100 GB.
const MAX_FRAME_BYTES: usize = 1 << 29;

/// The image that a data set describes, for one of its frames.
///
/// Any value is safe to use: the functions that take it check it against the bytes they are given.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInfo {
    /// Rows (0028,0010).
    pub rows: u32,
    /// Columns (0028,0011).
    pub columns: u32,
    /// Samples per Pixel (0028,0002).
    pub samples_per_pixel: u32,
    /// Photometric Interpretation (0028,0004).
    pub photometric: Photometric,
    /// Whether Planar Configuration (0028,0006) is 1: all of a colour before the next.
    pub is_planar: bool,
    /// Which element holds the samples, and so what they are.
    pub kind: SampleKind,
    /// Bits Allocated (0028,0100): 1, or 8, 16, 32, 64.
    pub bits_allocated: u32,
    /// Bits Stored (0028,0101), at most Bits Allocated.
    pub bits_stored: u32,
    /// High Bit (0028,0102), counted from 0.
    pub high_bit: u32,
    /// Whether Pixel Representation (0028,0103) is 1: two's complement.
    pub is_signed: bool,
    /// Whether native Pixel Data has the VR OW, which big endian swaps by words of 16 bits whatever
    /// the size of a sample (PS3.5 §7.3).
    pub is_words: bool,
    /// Number of Frames (0028,0008); 1 when absent.
    pub frames: u32,
    /// Which of them it is.
    pub number: FrameNumber,
    /// From stored values to values with a meaning, such as Hounsfield units.
    pub modality: Modality,
    /// The first view that the data set proposes.
    pub voi: Option<Voi>,
    /// Presentation LUT Shape (2050,0020); where there is none Photometric Interpretation tells the polarity.
    pub shape: Option<LutShape>,
    /// Stored values that stand for no pixel (PS3.3 §C.7.5.1.1.2).
    pub padding: Option<Padding>,
    /// The colours of PALETTE COLOR, or why there are none; asked for when a picture is made. Beside shades of grey those
    /// of the values from its first one on (PS3.3 §C.7.6.19).
    pub palette: Option<Result<Arc<Palette>>>,
    /// Graphics of the image itself, to be drawn over it.
    pub overlays: Arc<[OwnOverlay]>,
    /// Height of a pixel divided by its width; 1 for square ones.
    pub pixel_aspect: f64,
}

/// Which element holds the samples (PS3.3 §C.7.6.24, §C.7.6.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Pixel Data (7FE0,0010).
    Integer,
    /// Float Pixel Data (7FE0,0008), 32 bits.
    Float,
    /// Double Float Pixel Data (7FE0,0009), 64 bits.
    Double,
}

/// What becomes of the shades that the values of interest give (PS3.3 §C.11.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LutShape {
    /// They are shown as they are.
    Identity,
    /// What was black is white.
    Inverse,
}

/// The range of stored values that pad the image, integers or floats: both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Padding {
    /// The lowest of them.
    pub first: f64,
    /// The highest of them.
    pub last: f64,
}

impl Padding {
    /// Whether that stored value pads.
    pub fn contains(&self, stored: f64) -> bool {
        (self.first..=self.last).contains(&stored)
    }
}

/// Photometric Interpretation (PS3.3 §C.7.6.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the defined terms of the standard")]
pub enum Photometric {
    Monochrome1,
    Monochrome2,
    PaletteColor,
    Rgb,
    YbrFull,
    YbrFull422,
    YbrPartial422,
    YbrPartial420,
    YbrIct,
    YbrRct,
    Xyb,
    /// Retired (HSV, ARGB, CMYK) or unknown.
    Other,
}

impl Photometric {
    /// Reads a defined term.
    pub fn parse(term: &str) -> Self {
        match term.trim_matches([' ', '\0']) {
            "MONOCHROME1" => Self::Monochrome1,
            "MONOCHROME2" => Self::Monochrome2,
            "PALETTE COLOR" => Self::PaletteColor,
            "RGB" => Self::Rgb,
            "YBR_FULL" => Self::YbrFull,
            "YBR_FULL_422" => Self::YbrFull422,
            "YBR_PARTIAL_422" => Self::YbrPartial422,
            "YBR_PARTIAL_420" => Self::YbrPartial420,
            "YBR_ICT" => Self::YbrIct,
            "YBR_RCT" => Self::YbrRct,
            "XYB" => Self::Xyb,
            _ => Self::Other,
        }
    }

    /// The defined term; none for what has none here.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Monochrome1 => Some("MONOCHROME1"),
            Self::Monochrome2 => Some("MONOCHROME2"),
            Self::PaletteColor => Some("PALETTE COLOR"),
            Self::Rgb => Some("RGB"),
            Self::YbrFull => Some("YBR_FULL"),
            Self::YbrFull422 => Some("YBR_FULL_422"),
            Self::YbrPartial422 => Some("YBR_PARTIAL_422"),
            Self::YbrPartial420 => Some("YBR_PARTIAL_420"),
            Self::YbrIct => Some("YBR_ICT"),
            Self::YbrRct => Some("YBR_RCT"),
            Self::Xyb => Some("XYB"),
            Self::Other => None,
        }
    }

    /// The same colours with as many samples of chrominance as of luminance.
    pub(crate) fn with_whole_chrominance(self) -> Self {
        match self {
            Self::YbrFull422 => Self::YbrFull,
            other => other,
        }
    }

    /// Whether native samples have half the columns of chrominance: Y₁ Y₂ Cb Cr for two pixels.
    pub(crate) fn is_halved_when_native(self) -> bool {
        matches!(self, Self::YbrFull422 | Self::YbrPartial422)
    }
}

impl ImageInfo {
    /// Pixels of the frame.
    ///
    /// # Errors
    /// `Invalid` when there are none; `TooLarge` when their samples would not fit in a frame.
    pub fn pixels(&self) -> Result<usize> {
        let too_large = || {
            let (rows, columns) = (self.rows, self.columns);
            Error::new(ErrorKind::TooLarge, format!("frame of {rows} × {columns} pixels is too large"))
        };
        let pixels = u64::from(self.rows) * u64::from(self.columns);
        if pixels == 0 {
            return Err(Error::invalid(format!("image has {} rows and {} columns", self.rows, self.columns)));
        }
        let pixels = usize::try_from(pixels).map_err(|_| too_large())?;
        let bytes = pixels.checked_mul(self.pixel_bytes()).ok_or_else(too_large)?;
        if bytes > MAX_FRAME_BYTES { Err(too_large()) } else { Ok(pixels) }
    }

    /// Bytes of a decoded sample; a single bit takes one.
    pub fn sample_bytes(&self) -> usize {
        match self.bits_allocated {
            0..=8 => 1,
            9..=16 => 2,
            17..=32 => 4,
            _ => 8,
        }
    }

    /// Bytes of a decoded pixel.
    pub fn pixel_bytes(&self) -> usize {
        self.sample_bytes().saturating_mul(usize::try_from(self.samples_per_pixel).unwrap_or(usize::MAX))
    }

    /// Bytes of the decoded frame.
    ///
    /// # Errors
    /// As [`ImageInfo::pixels`].
    pub fn decoded_length(&self) -> Result<usize> {
        Ok(self.pixels()? * self.pixel_bytes())
    }

    /// Bytes of the picture that the frame is shown as: one a pixel, or red, green and blue.
    ///
    /// # Errors
    /// As [`ImageInfo::pixels`].
    pub fn picture_length(&self) -> Result<usize> {
        let is_grey = self.is_grayscale() && self.palette.is_none();
        Ok(self.pixels()?.saturating_mul(if is_grey { 1 } else { 3 }))
    }

    /// Bytes of the frame in native form, without the padding byte (PS3.5 §8.1.1).
    ///
    /// # Errors
    /// As [`ImageInfo::pixels`]; `Unsupported` for 4:2:2 in anything but 8 bits, and for 4:2:0, which only video has.
    pub fn native_length(&self) -> Result<usize> {
        let pixels = self.pixels()?;
        if self.bits_allocated == 1 {
            let samples =
                pixels.saturating_mul(usize::try_from(self.samples_per_pixel).unwrap_or(usize::MAX));
            return Ok(samples.div_ceil(8));
        }
        if self.photometric.is_halved_when_native() {
            if self.bits_allocated != 8 || self.samples_per_pixel != 3 || !self.columns.is_multiple_of(2) {
                return Err(Error::unsupported("native 4:2:2 samples of other than 8 bits or an odd width"));
            }
            return Ok(pixels * 2);
        }
        if self.photometric == Photometric::YbrPartial420 {
            return Err(Error::unsupported("native 4:2:0 samples"));
        }
        self.decoded_length()
    }

    /// Whether the native frame begins with the second byte of a word, of which the frame before has the first: one of
    /// odd length does, behind another one. In big endian that decides where its bytes are (PS3.5 §7.3).
    ///
    /// # Errors
    /// As [`ImageInfo::native_length`].
    pub(crate) fn begins_within_word(&self) -> Result<bool> {
        let is_odd = self.bits_allocated <= 8 && !self.native_length()?.is_multiple_of(2);
        Ok(is_odd && self.number.index() % 2 == 1 && self.unfilled_bits()?.is_none())
    }

    /// The image with its samples by pixel, each in a byte at least.
    pub(crate) fn by_pixel(&self) -> Self {
        let photometric = self.photometric.with_whole_chrominance();
        let info = Self { is_planar: false, photometric, ..self.clone() };
        if info.bits_allocated == 1 {
            Self { bits_allocated: 8, bits_stored: 1, high_bit: 0, ..info }
        } else {
            info
        }
    }

    /// Bits of a native frame that does not fill its last byte, as one of single bits may: the next frame begins in
    /// the same byte (PS3.5 §8.1.1). None where each frame has bytes of its own.
    ///
    /// # Errors
    /// As [`ImageInfo::pixels`].
    pub fn unfilled_bits(&self) -> Result<Option<u64>> {
        if self.bits_allocated != 1 {
            return Ok(None);
        }
        let pixels = u64::try_from(self.pixels()?).unwrap_or(u64::MAX);
        let bits = pixels.saturating_mul(u64::from(self.samples_per_pixel));
        Ok((!bits.is_multiple_of(8)).then_some(bits))
    }

    /// The lowest and the highest value that the modality can give for the stored bits; none for floats.
    pub(crate) fn output_range(&self) -> Option<(f64, f64)> {
        if self.kind != SampleKind::Integer {
            return None;
        }
        let values = f64::from(self.bits_stored.min(64)).exp2();
        let lowest = if self.is_signed { -values / 2.0 } else { 0.0 };
        Some(self.modality.range(lowest, lowest + values - 1.0))
    }

    /// Whether the highest values are shown black.
    pub(crate) fn is_inverted(&self) -> bool {
        let is_monochrome1 = self.photometric == Photometric::Monochrome1;
        self.shape.map_or(is_monochrome1, |shape| shape == LutShape::Inverse)
    }

    /// Whether a stored value is shown in a colour, while others are shades of grey.
    pub(crate) fn is_colour(&self, stored: f64) -> bool {
        let palette = self.palette.as_ref().and_then(|palette| palette.as_ref().ok());
        self.is_grayscale() && palette.is_some_and(|palette| stored >= palette.first())
    }

    /// Whether the image is shown in shades of grey, but for colours of a supplemental palette.
    pub fn is_grayscale(&self) -> bool {
        self.samples_per_pixel == 1 && self.photometric != Photometric::PaletteColor
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{grey, rgb};
    use super::*;

    #[test]
    fn no_native_frame_has_samples_of_4_2_0() {
        let image = ImageInfo { photometric: Photometric::YbrPartial420, ..rgb(4, 4) };
        assert_eq!(image.native_length().unwrap_err().kind, ErrorKind::Unsupported);
    }

    #[test]
    fn frames_share_bytes_where_their_single_bits_do_not_fill_them() {
        assert_eq!(grey(2, 4, 1).unfilled_bits().unwrap(), None);
        assert_eq!(grey(2, 5, 1).unfilled_bits().unwrap(), Some(10));
        assert_eq!(grey(1, 1, 8).unfilled_bits().unwrap(), None);
    }
}
