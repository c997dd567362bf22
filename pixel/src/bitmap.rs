//! A picture of 8 bits, ready to be shown.

/// Rows of pixels from the top, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes of a pixel and what they are.
    pub channels: Channels,
    /// `width × height` pixels.
    pub bytes: Vec<u8>,
}

/// What a pixel of a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One byte: 0 black, 255 white.
    Grey,
    /// Three bytes: red, green, blue.
    Rgb,
}

impl Channels {
    /// Bytes of a pixel.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

impl Bitmap {
    /// Bytes of a row.
    pub(super) fn row_bytes(&self) -> usize {
        usize::try_from(self.width).unwrap_or(usize::MAX).saturating_mul(self.channels.count())
    }
}
