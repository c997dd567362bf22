//! Which bytes of the pixel data are which frame (PS3.5 §8.1.1, §A.4; PS3.3 §C.7.6.3.1.8).

use dicom::dictionary_std::tags;

use super::numbers::array;
use super::read::offsets;
use super::{Attributes, Error, FrameMap, Result, Source, Tag, Value};

/// What a scan saw of the pixel data; offsets are places in the source.
#[derive(Debug)]
pub(super) enum PixelData {
    Native { tag: Tag, offset: u64, length: u64 },
    Encapsulated { table: (u64, u64), fragments: Vec<(u64, u64)> },
}

/// Frames and offset tables that are read, at the most.
const MAX_FRAMES: u64 = 16 * 1024 * 1024;

pub(super) fn map(
    pixels: PixelData,
    attributes: &Attributes,
    source: &mut dyn Source,
    shift: u64,
) -> Result<FrameMap> {
    match pixels {
        PixelData::Native { tag, offset, length } => Ok(native(tag, offset + shift, length, attributes)),
        PixelData::Encapsulated { table, fragments } => {
            encapsulated(table, fragments, attributes, source, shift)
        }
    }
}

fn declared_frames(attributes: &Attributes) -> u64 {
    attributes.int(tags::NUMBER_OF_FRAMES).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(1)
}

/// Number of Frames may claim more than there is: only frames that are whole count.
fn native(tag: Tag, offset: u64, length: u64, attributes: &Attributes) -> FrameMap {
    let number = |tag, default| attributes.int(tag).and_then(|n| u64::try_from(n).ok()).unwrap_or(default);
    let allocated = match tag {
        tags::FLOAT_PIXEL_DATA => 32,
        tags::DOUBLE_FLOAT_PIXEL_DATA => 64,
        _ => number(tags::BITS_ALLOCATED, 0).min(64),
    };
    let samples = number(tags::SAMPLES_PER_PIXEL, 1).clamp(1, 16);
    let pixels = number(tags::ROWS, 0).saturating_mul(number(tags::COLUMNS, 0));
    let photometric = attributes.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    // Chroma that is shared by two or four pixels is stored once (PS3.3 §C.7.6.3.1.2).
    let bits_per_frame = match photometric.as_str() {
        "YBR_FULL_422" | "YBR_PARTIAL_422" if samples == 3 => pixels.saturating_mul(2 * allocated),
        "YBR_PARTIAL_420" if samples == 3 => pixels.saturating_mul(3 * allocated) / 2,
        _ => pixels.saturating_mul(samples).saturating_mul(allocated),
    };
    if bits_per_frame == 0 || length == 0 {
        return FrameMap::None;
    }
    let whole = length.saturating_mul(8) / bits_per_frame;
    let count = u32::try_from(whole.min(declared_frames(attributes))).unwrap_or(u32::MAX);
    if count == 0 { FrameMap::None } else { FrameMap::Native { offset, bits_per_frame, count } }
}

fn encapsulated(
    table: (u64, u64),
    mut fragments: Vec<(u64, u64)>,
    attributes: &Attributes,
    source: &mut dyn Source,
    shift: u64,
) -> Result<FrameMap> {
    let frames = declared_frames(attributes);
    // Some devices end with an empty fragment.
    while fragments.len() as u64 > frames && fragments.last().is_some_and(|(_, length)| *length == 0) {
        fragments.pop();
    }
    if fragments.is_empty() {
        return Ok(FrameMap::None);
    }
    u32::try_from(fragments.len()).map_err(|_| Error::invalid("more than 2^32 fragments"))?;
    let starts = if fragments.len() as u64 == frames {
        one_each(&fragments)
    } else if frames == 1 || is_video(&fragments, frames) {
        vec![0]
    } else if let Some(starts) = extended_table(attributes, &mut fragments, frames, (source, shift))? {
        starts
    } else if let Some(starts) = basic_table(table, &fragments, frames, source)? {
        starts
    } else {
        code_stream_starts(&fragments, frames, source)?.unwrap_or_else(|| one_each(&fragments))
    };
    fragments.iter_mut().for_each(|(offset, _)| *offset += shift);
    Ok(FrameMap::Fragments { fragments, starts })
}

#[expect(clippy::cast_possible_truncation, reason = "the number of fragments was checked to fit u32")]
fn one_each(fragments: &[(u64, u64)]) -> Vec<u32> {
    (0..fragments.len() as u32).collect()
}

/// Fewer fragments than frames: a stream of which no frame can be taken by itself (PS3.5 §A.4.5).
fn is_video(fragments: &[(u64, u64)], frames: u64) -> bool {
    (fragments.len() as u64) < frames
}

/// The index of the fragment that begins at each offset; none unless all do, in ascending order.
fn starts_at(offsets: &[u64], first: u64, fragments: &[(u64, u64)], frames: u64) -> Option<Vec<u32>> {
    if offsets.len() as u64 != frames || offsets.first() != Some(&0) {
        return None;
    }
    let starts: Vec<u32> = offsets
        .iter()
        .map(|offset| {
            let place = first.checked_add(*offset)?.checked_add(8)?;
            fragments.binary_search_by_key(&place, |(at, _)| *at).ok().and_then(|n| u32::try_from(n).ok())
        })
        .collect::<Option<_>>()?;
    starts.is_sorted_by(|a, b| a < b).then_some(starts)
}

fn basic_table(
    (offset, length): (u64, u64),
    fragments: &[(u64, u64)],
    frames: u64,
    source: &mut dyn Source,
) -> Result<Option<Vec<u32>>> {
    if length != frames.saturating_mul(4) || frames > MAX_FRAMES {
        return Ok(None);
    }
    let bytes = source.at(offset, usize::try_from(length).unwrap_or(usize::MAX))?;
    Ok(starts_at(&offsets(bytes), offset + length, fragments, frames))
}

/// Extended Offset Table (7FE0,0001) with the true lengths of (7FE0,0002), one fragment a frame.
fn extended_table(
    attributes: &Attributes,
    fragments: &mut [(u64, u64)],
    frames: u64,
    (source, shift): (&mut dyn Source, u64),
) -> Result<Option<Vec<u32>>> {
    let Some(offsets) = long_words(attributes, tags::EXTENDED_OFFSET_TABLE, frames, (source, shift))? else {
        return Ok(None);
    };
    let first = fragments.first().map_or(0, |(at, _)| at.saturating_sub(8));
    let Some(starts) = starts_at(&offsets, first, fragments, frames) else { return Ok(None) };
    if let Some(lengths) =
        long_words(attributes, tags::EXTENDED_OFFSET_TABLE_LENGTHS, frames, (source, shift))?
    {
        for (start, length) in starts.iter().zip(lengths) {
            if let Some((_, stored)) = fragments.get_mut(*start as usize) {
                *stored = (*stored).min(length);
            }
        }
    }
    Ok(Some(starts))
}

fn long_words(
    attributes: &Attributes,
    tag: Tag,
    count: u64,
    (source, shift): (&mut dyn Source, u64),
) -> Result<Option<Vec<u64>>> {
    if count > MAX_FRAMES {
        return Ok(None);
    }
    let words = |bytes: &[u8]| {
        bytes
            .chunks_exact(8)
            .filter_map(|chunk| array::<8>(chunk, 0))
            .map(u64::from_le_bytes)
            .collect::<Vec<_>>()
    };
    Ok(match attributes.get(tag).map(|element| &element.value) {
        Some(Value::Bytes(bytes)) => Some(words(bytes)),
        Some(Value::Bulk(bulk)) if bulk.length == count * 8 => {
            let want = usize::try_from(bulk.length).unwrap_or(usize::MAX);
            Some(words(source.at(bulk.offset.saturating_sub(shift), want)?))
        }
        _ => None,
    })
}

/// Frames by where a code stream begins: JPEG, JPEG-LS (FFD8), JPEG 2000 (FF4F), JPEG XL (FF0A or its box).
fn code_stream_starts(
    fragments: &[(u64, u64)],
    frames: u64,
    source: &mut dyn Source,
) -> Result<Option<Vec<u32>>> {
    let mut starts = Vec::new();
    for (index, (offset, length)) in fragments.iter().enumerate() {
        let head = source.at(*offset, 4)?;
        let begins = *length >= 4 && matches!(head, [0xFF, 0xD8 | 0x4F | 0x0A, ..] | [0, 0, 0, 0x0C]);
        if begins {
            starts.push(u32::try_from(index).unwrap_or(u32::MAX));
        }
    }
    Ok((starts.len() as u64 == frames && starts.first() == Some(&0)).then_some(starts))
}
