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

/// The first group of channels.
pub(super) struct Waves {
    channels: usize,
    /// 8 or 16 bits each, channel by channel.
    data: Vec<u8>,
    is_wide: bool,
    /// Samples a second.
    frequency: f64,
}

impl Waves {
    /// None for what has no waveform of 8 or 16 bits.
    pub(super) async fn read(attributes: &Attributes, source: &mut Source<'_>) -> Result<Option<Self>> {
        let Some(group) = attributes.items(tags::WAVEFORM_SEQUENCE).first() else { return Ok(None) };
        let number =
            |tag| group.int(tag).and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
        let (Some(channels), Some(bits @ (8 | 16))) =
            (number(tags::NUMBER_OF_WAVEFORM_CHANNELS), number(tags::WAVEFORM_BITS_ALLOCATED))
        else {
            return Ok(None);
        };
        let data = source.value(group.get(tags::WAVEFORM_DATA)).await?;
        let frequency = group.float(tags::SAMPLING_FREQUENCY).filter(|rate| (1.0..1e6).contains(rate));
        Ok(Some(Self { channels, data, is_wide: bits == 16, frequency: frequency.unwrap_or(500.0) }))
    }

    fn values(&self) -> Vec<i32> {
        if self.is_wide {
            self.data.as_chunks::<2>().0.iter().map(|word| i32::from(i16::from_le_bytes(*word))).collect()
        } else {
            self.data.iter().map(|byte| i32::from(*byte) - 128).collect()
        }
    }

    pub(super) fn draw(&self) -> Canvas {
        let (channels, values) = (self.channels, self.values());
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
