//! JPEG XL (ISO/IEC 18181-1).

use dicom_store::model::{TransferSyntaxUid, transfer_syntax};
use jxl::api::{
    Endianness, Event, JxlBitDepth, JxlColorType, JxlDataFormat, JxlDecoder, JxlDecoderOptions,
    JxlOutputBuffer, JxlPixelFormat, ProfileLevel,
};

use super::raster::{Raster, Samples, Shape};
use super::{Error, ErrorKind, ImageInfo, Photometric, Result, foreign};

/// Most samples that a bit of a stream can stand for: an image of one value takes a few bytes.
const SAMPLES_OF_A_BIT: usize = 1 << 16;

/// Most samples of a frame: the decoder may take 12 bytes for each while it works.
const MOST_SAMPLES: usize = 1 << 26;

/// Events before the first frame is there.
const MOST_EVENTS: usize = 8;

/// Decodes the first image of a frame, as it was stored: its orientation is the data set's.
///
/// # Errors
/// `Unsupported` for floats; `Corrupt` when the stream is broken or is not the image that the data set describes;
/// `TooLarge`.
pub(super) fn decode(frame: &[u8], info: &ImageInfo, syntax: &TransferSyntaxUid) -> Result<Raster> {
    let own = info.clone();
    let (samples, precision) = foreign::bounded("JPEG XL", frame, move |frame| decode_samples(frame, &own))?;
    Ok(Raster { samples, precision, photometric: photometric(info.photometric, syntax) })
}

/// XYB, and the colours of a recompressed JPEG stream, are converted by the decoder; all others are as they were given
/// to the encoder.
fn photometric(declared: Photometric, syntax: &TransferSyntaxUid) -> Photometric {
    match declared {
        Photometric::Xyb | Photometric::YbrFull422 => Photometric::Rgb,
        Photometric::YbrFull if syntax.is(transfer_syntax::JPEG_XL_JPEG) => Photometric::Rgb,
        other => other,
    }
}

fn decode_samples(frame: &[u8], info: &ImageInfo) -> Result<(Samples, u32)> {
    let mut options = JxlDecoderOptions::default();
    options.adjust_orientation = false;
    options.high_precision = true;
    // Sixteen bits are beyond the lower one; what a frame may take is bounded here.
    options.max_profile_level = ProfileLevel::Main10;
    // Alpha is not asked for, and may be there.
    options.sample_limit = Some(info.pixels()?.saturating_mul(4));
    let mut decoder = JxlDecoder::new(options);
    let mut rest = frame;
    next_event(&mut decoder, &mut rest, None, |event| event == Event::BasicInfo)?;
    let shape = shape(&decoder)?;
    let count = shape.check(info, "JPEG XL", frame, SAMPLES_OF_A_BIT)?;
    if count > MOST_SAMPLES {
        return Err(Error::new(ErrorKind::TooLarge, format!("JPEG XL frame of over {MOST_SAMPLES} samples")));
    }
    let bit_depth = u8::try_from(shape.precision).unwrap_or(u8::MAX);
    let (width, data_format) = match bit_depth {
        0..=8 => (1, JxlDataFormat::U8 { bit_depth }),
        _ => (2, JxlDataFormat::U16 { endianness: Endianness::LittleEndian, bit_depth }),
    };
    let extra_channels = decoder.basic_info().map_or(0, |basic| basic.extra_channels.len());
    let format = JxlPixelFormat {
        color_type: if shape.colours == 1 { JxlColorType::Grayscale } else { JxlColorType::Rgb },
        color_data_format: Some(data_format),
        extra_channel_format: vec![None; extra_channels],
    };
    decoder.set_pixel_format(format).map_err(broken)?;

    // The decoder writes words and wants them where words may lie.
    let length = count.saturating_mul(width);
    let mut bytes = vec![0; length + width];
    let start = bytes.as_ptr().align_offset(width);
    let place =
        bytes.get_mut(start..start.saturating_add(length)).ok_or_else(|| Error::corrupt("no place"))?;
    let rows = usize::try_from(info.rows).unwrap_or(usize::MAX);
    let mut buffers = [JxlOutputBuffer::new(place, rows, length / rows)];
    let is_complete = |event| matches!(event, Event::FrameComplete { .. });
    next_event(&mut decoder, &mut rest, Some(&mut buffers), is_complete)?;
    drop(decoder);
    let decoded = bytes.get(start..start.saturating_add(length)).unwrap_or_default();
    let samples = if width == 1 {
        Samples::Bytes(decoded.to_vec())
    } else {
        let (words, _) = decoded.as_chunks::<2>();
        Samples::Words(words.iter().map(|word| u16::from_le_bytes(*word)).collect())
    };
    Ok((samples, shape.precision))
}

fn shape(decoder: &JxlDecoder) -> Result<Shape> {
    let unknown = || Error::corrupt("JPEG XL stream does not say what it is");
    let basic = decoder.basic_info().ok_or_else(unknown)?;
    let colours = decoder.embedded_color_profile().ok_or_else(unknown)?.channels();
    let (columns, rows) = basic.size;
    let JxlBitDepth::Int { bits_per_sample: precision @ ..=16 } = basic.bit_depth else {
        return Err(Error::unsupported(format!("JPEG XL of {:?}", basic.bit_depth)));
    };
    let number = |size| u32::try_from(size).unwrap_or(u32::MAX);
    Ok(Shape { rows: number(rows), columns: number(columns), colours, precision })
}

/// Decodes up to an event.
fn next_event(
    decoder: &mut JxlDecoder,
    rest: &mut &[u8],
    mut buffers: Option<&mut [JxlOutputBuffer<'_>]>,
    is_wanted: impl Fn(Event) -> bool,
) -> Result<()> {
    for _ in 0..MOST_EVENTS {
        let event = decoder.process(rest, buffers.as_deref_mut(), None).map_err(broken)?;
        match event {
            Event::NeedMoreInput { .. } => return Err(Error::corrupt("JPEG XL stream breaks off")),
            event if is_wanted(event) => return Ok(()),
            Event::Complete => break,
            _ => {}
        }
    }
    Err(Error::corrupt("JPEG XL stream has no image"))
}

fn broken(error: jxl::error::Error) -> Error {
    Error::corrupt(format!("JPEG XL stream: {error}"))
}

#[cfg(test)]
mod tests;
