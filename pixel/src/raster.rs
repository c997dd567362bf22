//! What codecs give: the shape that a code stream claims, and the samples that came out of it.

use std::borrow::Cow;

use super::{Decoded, Error, ImageInfo, Photometric, Result, SampleKind};

/// What a code stream says of itself in its first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rows: u32,
    pub(super) columns: u32,
    /// Samples of a pixel.
    pub(super) colours: usize,
    /// Bits of a sample.
    pub(super) precision: u32,
}

impl Shape {
    /// Checks the claim against the data set, before any memory is taken for it; gives the number of samples.
    ///
    /// `most` is the number of samples that a bit of the stream can stand for at the most.
    ///
    /// # Errors
    /// `Corrupt` when stream and data set differ, or the stream is far too short; `Unsupported` for other than one or
    /// three colours, and for floats; `TooLarge`.
    pub(super) fn check(self, info: &ImageInfo, codec: &str, stream: &[u8], most: usize) -> Result<usize> {
        let Self { rows, columns, colours, precision } = self;
        if (rows, columns) != (info.rows, info.columns) {
            return Err(Error::corrupt(format!(
                "{codec} stream has {rows} × {columns} pixels, the data set {} × {}",
                info.rows, info.columns
            )));
        }
        if u32::try_from(colours) != Ok(info.samples_per_pixel) {
            return Err(Error::corrupt(format!(
                "{codec} stream has {colours} colours, the data set {}",
                info.samples_per_pixel
            )));
        }
        if !matches!(colours, 1 | 3) {
            return Err(Error::unsupported(format!("{codec} of {colours} colours")));
        }
        if info.kind != SampleKind::Integer {
            return Err(Error::unsupported(format!("{codec} of {:?} samples", info.kind)));
        }
        if precision == 0 || precision > info.bits_allocated {
            return Err(Error::corrupt(format!(
                "{codec} stream has samples of {precision} bits, the data set allocates {}",
                info.bits_allocated
            )));
        }
        let samples = info.pixels()?.saturating_mul(colours);
        if stream.len().saturating_mul(8).saturating_mul(most) < samples {
            return Err(Error::corrupt(format!(
                "{codec} stream of {} bytes cannot hold {samples} samples",
                stream.len()
            )));
        }
        Ok(samples)
    }
}

/// Decoded samples by pixel, before they are fitted into the bits that the data set allocates.
pub(super) struct Raster {
    pub(super) samples: Samples,
    /// Bits of a sample that count; a negative one is in two's complement of so many.
    pub(super) precision: u32,
    pub(super) photometric: Photometric,
}

/// Samples of up to 8 or up to 16 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Raster {
    /// The samples as the data set allocates them, little endian.
    ///
    /// A stream need not know that its samples are signed; the data set does (PS3.5 §8.2). So the sign of a signed
    /// one is the highest bit of its precision.
    ///
    /// # Errors
    /// `Corrupt` when there are more or fewer samples than the image has.
    pub(super) fn fit(self, info: &ImageInfo) -> Result<Decoded<'static>> {
        let image = ImageInfo { photometric: self.photometric, ..info.by_pixel() };
        let bytes = image.sample_bytes();
        let samples = match self.samples {
            Samples::Bytes(samples) if bytes == 1 && (self.precision == 8 || !info.is_signed) => samples,
            Samples::Bytes(samples) => {
                spread(samples.into_iter().map(u16::from), bytes, self.precision, info.is_signed)
            }
            Samples::Words(samples) => spread(samples.into_iter(), bytes, self.precision, info.is_signed),
        };
        let length = image.decoded_length()?;
        if samples.len() != length {
            return Err(Error::corrupt(format!("stream gives {} bytes, {length} are needed", samples.len())));
        }
        Ok(Decoded { samples: Cow::Owned(samples), info: image })
    }
}

fn spread(samples: impl Iterator<Item = u16>, bytes: usize, precision: u32, is_signed: bool) -> Vec<u8> {
    let unused = 16_u32.saturating_sub(precision);
    let value = move |sample: u16| {
        let [low, high] = sample.to_le_bytes();
        if is_signed {
            i64::from(i16::from_le_bytes([low, high]) << unused >> unused)
        } else {
            i64::from(sample << unused >> unused)
        }
    };
    match bytes {
        1 => samples.map(|sample| value(sample).to_le_bytes()[0]).collect(),
        2 => samples
            .flat_map(|sample| {
                let [low, high, ..] = value(sample).to_le_bytes();
                [low, high]
            })
            .collect(),
        4 => samples
            .flat_map(|sample| {
                let [a, b, c, d, ..] = value(sample).to_le_bytes();
                [a, b, c, d]
            })
            .collect(),
        _ => samples.flat_map(|sample| value(sample).to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::ErrorKind;
    use super::super::fixture::{grey, rgb};
    use super::*;

    fn fit(samples: Samples, precision: u32, info: &ImageInfo) -> Vec<u8> {
        let raster = Raster { samples, precision, photometric: info.photometric };
        raster.fit(info).unwrap().samples.into_owned()
    }

    #[rstest]
    #[case::unsigned(false, [0xFF, 0x0F])]
    #[case::signed(true, [0xFF, 0xFF])]
    fn a_sign_is_the_highest_bit_of_the_precision(#[case] is_signed: bool, #[case] stored: [u8; 2]) {
        let info = ImageInfo { is_signed, bits_stored: 12, high_bit: 11, ..grey(1, 1, 16) };
        assert_eq!(fit(Samples::Words(vec![0x0FFF]), 12, &info), stored);
    }

    #[test]
    fn samples_are_as_wide_as_the_data_set_allocates() {
        assert_eq!(fit(Samples::Bytes(vec![7, 8]), 8, &grey(1, 2, 16)), [7, 0, 8, 0]);
        assert_eq!(fit(Samples::Words(vec![7, 8]), 8, &grey(1, 2, 8)), [7, 8]);
        assert_eq!(fit(Samples::Words(vec![0x1234]), 16, &grey(1, 1, 32)), [0x34, 0x12, 0, 0]);
        assert_eq!(fit(Samples::Bytes(vec![1, 0]), 1, &grey(1, 2, 1)), [1, 0]);
        let signed = ImageInfo { is_signed: true, ..grey(1, 1, 8) };
        assert_eq!(fit(Samples::Bytes(vec![0x7F]), 7, &signed), [0xFF]);
    }

    #[test]
    fn other_than_all_samples_are_corrupt() {
        let raster =
            Raster { samples: Samples::Bytes(vec![0; 5]), precision: 8, photometric: Photometric::Rgb };
        assert_eq!(raster.fit(&rgb(1, 2)).err().map(|error| error.kind), Some(ErrorKind::Corrupt));
    }

    #[rstest]
    #[case::rows(Shape { rows: 9, columns: 8, colours: 1, precision: 8 }, ErrorKind::Corrupt)]
    #[case::colours(Shape { rows: 8, columns: 8, colours: 3, precision: 8 }, ErrorKind::Corrupt)]
    #[case::precision(Shape { rows: 8, columns: 8, colours: 1, precision: 9 }, ErrorKind::Corrupt)]
    #[case::no_bits(Shape { rows: 8, columns: 8, colours: 1, precision: 0 }, ErrorKind::Corrupt)]
    fn a_stream_of_another_image_is_refused(#[case] shape: Shape, #[case] kind: ErrorKind) {
        let checked = shape.check(&grey(8, 8, 8), "JPEG", &[0; 64], 1);
        assert_eq!(checked.err().map(|error| error.kind), Some(kind));
    }

    #[test]
    fn a_stream_that_is_far_too_short_is_refused_before_memory_is_taken() {
        let shape = Shape { rows: 8, columns: 8, colours: 1, precision: 8 };
        assert_eq!(shape.check(&grey(8, 8, 8), "JPEG", &[0; 8], 1), Ok(64));
        assert!(shape.check(&grey(8, 8, 8), "JPEG", &[0; 7], 1).is_err());
    }
}
