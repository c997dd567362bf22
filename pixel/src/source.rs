//! Samples on their way into an encoder that loses nothing.

use super::raster::Shape;
use super::{Decoded, Error, Result, SampleKind};

/// Samples by pixel, each in the lowest `precision` bits; negative ones in two's complement of so many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) shape: Shape,
    pub(super) is_signed: bool,
    pub(super) samples: Vec<u16>,
}

impl Source {
    /// The samples of a frame, in Bits Stored where they fit in, and in Bits Allocated where a device has left
    /// something above them.
    ///
    /// # Errors
    /// `Unsupported` for samples of more than 16 bits or of one, for floats, and for other than one or three colours;
    /// as [`super::ImageInfo::pixels`].
    pub(super) fn of(decoded: &Decoded<'_>) -> Result<Self> {
        let info = &decoded.info;
        let bytes = info.sample_bytes();
        if info.kind != SampleKind::Integer || bytes > 2 || info.bits_stored < 2 {
            let what = format!("{:?} samples of {} bits are not compressed", info.kind, info.bits_stored);
            return Err(Error::unsupported(what));
        }
        let colours = match info.samples_per_pixel {
            1 => 1,
            3 => 3,
            count => return Err(Error::unsupported(format!("{count} colours are not compressed"))),
        };
        if decoded.samples.len() != info.decoded_length()? {
            return Err(Error::corrupt(format!("{} bytes of samples", decoded.samples.len())));
        }
        let mut samples: Vec<u16> = if bytes == 1 {
            decoded.samples.iter().map(|byte| u16::from(*byte)).collect()
        } else {
            let (words, _) = decoded.samples.as_chunks::<2>();
            words.iter().map(|word| u16::from_le_bytes(*word)).collect()
        };
        let allocated = if bytes == 1 { 8 } else { 16 };
        let stored = info.bits_stored.min(allocated);
        let is_usual = info.high_bit + 1 == info.bits_stored;
        let precision =
            if is_usual && fit(&samples, stored, allocated, info.is_signed) { stored } else { allocated };
        let mask = u16::MAX >> (16 - precision);
        samples.iter_mut().for_each(|sample| *sample &= mask);
        let shape = Shape { rows: info.rows, columns: info.columns, colours, precision };
        Ok(Self { shape, is_signed: info.is_signed, samples })
    }
}

/// Whether what lies above the stored bits is the sign, or nothing.
fn fit(samples: &[u16], stored: u32, allocated: u32, is_signed: bool) -> bool {
    if stored == allocated {
        return true;
    }
    if !is_signed {
        return samples.iter().fold(0, |any, sample| any | sample) >> stored == 0;
    }
    let (unused, above) = (16 - allocated, 16 - stored);
    samples.iter().all(|sample| {
        let [low, high] = (sample << unused).to_le_bytes();
        let whole = i16::from_le_bytes([low, high]) >> unused;
        let [low, high] = (sample << above).to_le_bytes();
        whole == i16::from_le_bytes([low, high]) >> above
    })
}

#[cfg(test)]
mod tests {
    use super::super::ImageInfo;
    use super::super::fixture::grey;
    use super::*;

    fn source(info: ImageInfo, samples: &[u16]) -> Source {
        let samples: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        Source::of(&Decoded { samples: samples.into(), info }).unwrap()
    }

    #[test]
    fn samples_are_as_wide_as_they_are_stored_unless_something_stands_above_them() {
        let stored = |is_signed| ImageInfo { bits_stored: 12, high_bit: 11, is_signed, ..grey(1, 2, 16) };
        assert_eq!(source(stored(false), &[0, 4095]).shape.precision, 12);
        assert_eq!(source(stored(false), &[0, 4096]).shape.precision, 16);
        let negative = source(stored(true), &[0xFFFF, 0xF800]);
        assert_eq!((negative.shape.precision, negative.samples), (12, vec![0xFFF, 0x800]));
        assert_eq!(source(stored(true), &[0x0FFF, 0]).shape.precision, 16);
        let high = ImageInfo { bits_stored: 12, high_bit: 15, ..grey(1, 2, 16) };
        assert_eq!(source(high, &[0xFFF0, 0]).shape.precision, 16);
    }

    #[test]
    fn what_no_codec_takes_is_refused() {
        for info in [
            grey(1, 1, 32),
            grey(1, 1, 1).by_pixel(),
            ImageInfo { kind: SampleKind::Float, ..grey(1, 1, 32) },
        ] {
            let samples = vec![0; info.decoded_length().unwrap()];
            assert!(Source::of(&Decoded { samples: samples.into(), info }).is_err());
        }
    }
}
