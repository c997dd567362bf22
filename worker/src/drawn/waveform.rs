//! The first channels of a waveform as curves (PS3.3 §C.10.9).

use dicom::dictionary_std::tags;
use dicom_store::model::Attributes;

use super::canvas::{Canvas, GREEN, GREY};
use super::{SIZE, Source};
use crate::Result;

/// Channels that are drawn, one below the other.
const CHANNELS: usize = 3;

/// Seconds that are drawn.
const SECONDS: f64 = 3.0;

/// What the samples are (Waveform Sample Interpretation, PS3.3 §C.10.9.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    SignedBytes,
    UnsignedBytes,
    MuLaw,
    ALaw,
    SignedWords,
    UnsignedWords,
}

impl Samples {
    /// None for other than 8 or 16 bits. Without a word of it they are what most devices write.
    fn of(bits: usize, interpretation: Option<&str>) -> Option<Self> {
        Some(match (bits, interpretation) {
            (8, Some("SB")) => Self::SignedBytes,
            (8, Some("MB")) => Self::MuLaw,
            (8, Some("AB")) => Self::ALaw,
            (8, _) => Self::UnsignedBytes,
            (16, Some("US")) => Self::UnsignedWords,
            (16, _) => Self::SignedWords,
            _ => return None,
        })
    }

    /// Around 0.
    fn values(self, data: &[u8]) -> Vec<i32> {
        let bytes = |value: fn(u8) -> i32| data.iter().map(|byte| value(*byte)).collect();
        let words =
            |value: fn([u8; 2]) -> i32| data.as_chunks::<2>().0.iter().map(|word| value(*word)).collect();
        match self {
            Self::SignedBytes => bytes(|byte| i32::from(i8::from_le_bytes([byte]))),
            Self::UnsignedBytes => bytes(|byte| i32::from(byte) - 0x80),
            Self::MuLaw => bytes(mu_law),
            Self::ALaw => bytes(a_law),
            Self::SignedWords => words(|word| i32::from(i16::from_le_bytes(word))),
            Self::UnsignedWords => words(|word| i32::from(u16::from_le_bytes(word)) - 0x8000),
        }
    }
}

/// ITU-T G.711: the bits are inverted; a sign, three bits of a segment, four of a step in it. 14 bits.
fn mu_law(byte: u8) -> i32 {
    let (segment, step) = (u32::from(!byte >> 4 & 7), i32::from(!byte & 15));
    let size = ((2 * step + 33) << segment) - 33;
    if !byte & 0x80 == 0 { size } else { -size }
}

/// ITU-T G.711: every other bit is inverted. 13 bits.
fn a_law(byte: u8) -> i32 {
    let byte = byte ^ 0x55;
    let (segment, step) = (u32::from(byte >> 4 & 7), i32::from(byte & 15));
    let size = if segment == 0 { 2 * step + 1 } else { (2 * step + 33) << (segment - 1) };
    if byte & 0x80 == 0 { -size } else { size }
}

/// The first group of channels.
pub(super) struct Waves {
    channels: usize,
    /// 8 or 16 bits each, channel by channel.
    data: Vec<u8>,
    samples: Samples,
    /// Samples a second.
    frequency: f64,
}

impl Waves {
    /// None for what has no waveform of 8 or 16 bits.
    pub(super) async fn read(attributes: &Attributes, source: &mut Source<'_>) -> Result<Option<Self>> {
        let Some(group) = attributes.items(tags::WAVEFORM_SEQUENCE).first() else { return Ok(None) };
        let number =
            |tag| group.int(tag).and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
        let interpretation = group.text(tags::WAVEFORM_SAMPLE_INTERPRETATION);
        let samples = number(tags::WAVEFORM_BITS_ALLOCATED);
        let samples = samples.and_then(|bits| Samples::of(bits, interpretation.as_deref()));
        let (Some(channels), Some(samples)) = (number(tags::NUMBER_OF_WAVEFORM_CHANNELS), samples) else {
            return Ok(None);
        };
        let data = source.value(group.get(tags::WAVEFORM_DATA)).await?;
        let frequency = group.float(tags::SAMPLING_FREQUENCY).filter(|rate| (1.0..1e6).contains(rate));
        Ok(Some(Self { channels, data, samples, frequency: frequency.unwrap_or(500.0) }))
    }

    pub(super) fn draw(&self) -> Canvas {
        let (channels, values) = (self.channels, self.samples.values(&self.data));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 3 and 3 million"
        )]
        let samples = (self.frequency * SECONDS) as usize;
        let mut canvas = Canvas::new();
        let shown = channels.min(CHANNELS);
        let height = SIZE.1 / i32::try_from(shown).unwrap_or(1).max(1);
        for channel in 0..shown {
            let curve: Vec<i32> =
                values.iter().skip(channel).step_by(channels).take(samples).copied().collect();
            let top = height * i32::try_from(channel).unwrap_or(0);
            canvas.line((0, top + height / 2), (SIZE.0, top + height / 2), GREY);
            put_curve(&mut canvas, &curve, top, height);
        }
        canvas
    }
}

/// A column holds the lowest and the highest of its samples, so that no spike is lost.
fn put_curve(canvas: &mut Canvas, curve: &[i32], top: i32, height: i32) {
    let (Some(low), Some(high)) = (curve.iter().min(), curve.iter().max()) else { return };
    let range = i64::from(*high) - i64::from(*low);
    let room = i64::from(height - 16).max(1);
    let row = |value: i32| {
        let share = if range == 0 { room / 2 } else { (i64::from(*high) - i64::from(value)) * room / range };
        top + 8 + i32::try_from(share).unwrap_or(0)
    };
    let columns = usize::try_from(SIZE.0).unwrap_or(1);
    let mut last = None;
    for column in 0..columns {
        let part = curve
            .get(curve.len() * column / columns..curve.len() * (column + 1) / columns)
            .unwrap_or_default();
        let (Some(low), Some(high)) = (part.iter().min(), part.iter().max()) else { continue };
        let x = i32::try_from(column).unwrap_or(0);
        let (low, high) = (row(*low), row(*high));
        canvas.line((x, low), (x, high), GREEN);
        if let Some((x_before, before)) = last {
            canvas.line((x_before, before), (x, high), GREEN);
        }
        last = Some((x, low));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::signed_bytes(8, Some("SB"), &[0x7F, 0x80], &[127, -128])]
    #[case::unsigned_bytes(8, Some("UB"), &[0xFF, 0x80], &[127, 0])]
    #[case::bytes(8, None, &[0xFF, 0], &[127, -128])]
    #[case::mu_law(8, Some("MB"), &[0x80, 0x00, 0xFF, 0x7F, 0xEF], &[8031, -8031, 0, 0, 33])]
    #[case::a_law(8, Some("AB"), &[0xAA, 0x2A, 0xD5, 0x55, 0xC5], &[4032, -4032, 1, -1, 33])]
    #[case::signed_words(16, Some("SS"), &[0xFF, 0xFF, 0, 0x80], &[-1, -32768])]
    #[case::unsigned_words(16, Some("US"), &[0xFF, 0xFF, 0, 0x80], &[32767, 0])]
    fn samples_are_what_their_interpretation_says(
        #[case] bits: usize,
        #[case] interpretation: Option<&str>,
        #[case] data: &[u8],
        #[case] values: &[i32],
    ) {
        assert_eq!(Samples::of(bits, interpretation).unwrap().values(data), values);
    }

    #[test]
    fn samples_of_other_sizes_are_not_drawn() {
        assert_eq!(Samples::of(32, Some("SL")), None);
    }
}
