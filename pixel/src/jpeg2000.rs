//! JPEG 2000 and High-Throughput JPEG 2000 (ISO/IEC 15444-1, 15444-15).
//!
//! Two decoders: one in safe code for the block coder of Part 1; for that of Part 15 the port of OpenJPEG, which alone
//! is right for all of it. Which of them is asked, the stream says; what it would cost is known before.

mod codestream;
mod encode;
mod geometry;
mod header;
mod ht;
mod mq;
mod packet_bits;
mod plain;
mod tag_tree;
mod wavelet;

pub(super) use encode::{BlockCoder, encode};

use self::header::Header;
use self::plain::Plain;
use super::patience::Patience;
use super::raster::{Raster, Samples};
use super::{Error, ImageInfo, Photometric, Result, foreign};

/// Most samples that a bit of a stream can stand for: an image of one value takes a few bytes.
const SAMPLES_OF_A_BIT: usize = 1 << 16;

/// Most samples of a frame: the decoders take 8 bytes for each while they work.
const MOST_SAMPLES: usize = 1 << 26;

/// Most samples that other decoders than ours are asked for whatever the length of the stream; they take up to half a
/// microsecond for each, blank or not.
const FREE_SAMPLES: usize = 1 << 22;

/// Beyond them a byte of the stream has to stand for no more than so many. Real frames have under 40.
const SAMPLES_OF_A_BYTE: usize = 64;

/// Decodes a frame; what was transformed to YBR_RCT or YBR_ICT is RGB again.
///
/// # Errors
/// `Unsupported` for samples of more than 16 bits and colours that differ in them; `Corrupt` when the stream is broken
/// or is not the image that the data set describes; `TooLarge`.
pub(super) fn decode(frame: &[u8], info: &ImageInfo) -> Result<Raster> {
    let stream = codestream::within(frame)?;
    let header = Header::read(stream)?;
    let precision = header.shape.precision;
    let count = header.shape.check(info, "JPEG 2000", stream, SAMPLES_OF_A_BIT)?;
    if count > MOST_SAMPLES {
        let what = format!("JPEG 2000 frame of over {MOST_SAMPLES} samples");
        return Err(Error::new(super::ErrorKind::TooLarge, what));
    }
    header.check_cost(stream)?;
    let plain = match Plain::read(stream, &header) {
        Some(plain) => plain.decode(&header, Patience::of(stream))?,
        None => None,
    };
    if plain.is_none() && count > FREE_SAMPLES && count / SAMPLES_OF_A_BYTE > stream.len() {
        let what = format!("JPEG 2000 stream of {} bytes claims {count} samples", stream.len());
        return Err(Error::new(super::ErrorKind::TooLarge, what));
    }
    let samples = if let Some(samples) = plain {
        samples
    } else if header.is_high_throughput {
        let own = header.clone();
        foreign::bounded("HTJ2K", stream, move |stream| high_throughput(stream, &own))?
    } else {
        let own = header.clone();
        foreign::bounded("JPEG 2000", stream, move |stream| part_1(stream, &own))?
    };
    let samples = if precision <= 8 { bytes(&samples) } else { Samples::Words(samples) };
    Ok(Raster { samples, precision, photometric: photometric(&header, info.photometric) })
}

/// Halved chrominance comes converted from the decoder.
fn photometric(header: &Header, declared: Photometric) -> Photometric {
    match declared {
        _ if header.is_subsampled => Photometric::Rgb,
        Photometric::YbrIct | Photometric::YbrRct => Photometric::Rgb,
        other => other.with_whole_chrominance(),
    }
}

fn bytes(samples: &[u16]) -> Samples {
    Samples::Bytes(samples.iter().map(|sample| sample.to_le_bytes()[0]).collect())
}

/// By pixel, from colours that each give all their samples.
fn interleaved(
    colours: usize,
    pixels: usize,
    mut values: impl FnMut(usize, &mut dyn Iterator<Item = &mut u16>) -> Option<()>,
) -> Result<Vec<u16>> {
    let mut samples = vec![0; pixels.saturating_mul(colours)];
    for colour in 0..colours {
        let mut places = samples.iter_mut().skip(colour).step_by(colours);
        values(colour, &mut places).ok_or_else(|| {
            Error::corrupt(format!("JPEG 2000 stream does not give all of colour {colour}"))
        })?;
    }
    Ok(samples)
}

fn part_1(stream: &[u8], header: &Header) -> Result<Vec<u16>> {
    use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

    let broken = |error| Error::corrupt(format!("JPEG 2000 stream: {error}"));
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(stream, &settings).map_err(broken)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(broken)?;
    let components = decoded.components();
    // Samples come shifted to start at 0, signed ones too: there the highest bit is the sign turned round.
    let sign = if header.is_signed { 1 << (header.shape.precision - 1) } else { 0 };
    let highest = f32::from(u16::MAX >> (16 - header.shape.precision));
    interleaved(header.shape.colours, header.pixels(), |colour, places| {
        let values = components.get(colour)?.samples();
        (values.len() == header.pixels()).then_some(())?;
        places.zip(values).for_each(|(place, value)| *place = rounded(*value, highest) ^ sign);
        Some(())
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn rounded(value: f32, highest: f32) -> u16 {
    (value + 0.5).clamp(0.0, highest) as u16
}

fn high_throughput(stream: &[u8], header: &Header) -> Result<Vec<u16>> {
    use jpeg2k::{DecodeParameters, Image};

    if header.is_subsampled {
        return Err(Error::unsupported("HTJ2K with colours of fewer samples"));
    }
    let parameters = DecodeParameters::new().strict(true);
    let image = Image::from_bytes_with(stream, parameters)
        .map_err(|error| Error::corrupt(format!("HTJ2K stream: {error}")))?;
    let components = image.components();
    let used = u16::MAX >> (16 - header.shape.precision);
    interleaved(header.shape.colours, header.pixels(), |colour, places| {
        let component = components.get(colour)?;
        let (width, height) = (u64::from(component.width()), u64::from(component.height()));
        (width * height == u64::try_from(header.pixels()).ok()?).then_some(())?;
        places.zip(component.data()).for_each(|(place, value)| {
            let [low, high, ..] = value.to_le_bytes();
            *place = u16::from_le_bytes([low, high]) & used;
        });
        Some(())
    })
}

#[cfg(test)]
mod tests;
