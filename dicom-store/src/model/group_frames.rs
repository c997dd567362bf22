//! Which bytes of the pixel data are which frame (PS3.5 §8.1.1, §A.4; PS3.3 §C.7.6.3.1.8).

use dicom::dictionary_std::tags;

use super::numbers::array;
use super::read::offsets;
use super::{Attributes, Bulk, Error, FrameMap, Result, Source, Tag, Value};

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

/// Whether native pixel data that are declared as YBR_FULL_422 have three bytes a pixel all the same, as some devices
/// write them: they are YBR_FULL. The length of all frames tells.
pub fn has_whole_chrominance(attributes: &Attributes, length: u64) -> bool {
    let number = |tag| attributes.int(tag).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let is_halved = attributes.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("YBR_FULL_422");
    let is_of_bytes = number(tags::SAMPLES_PER_PIXEL) == 3 && number(tags::BITS_ALLOCATED) == 8;
    let pixels = number(tags::ROWS).saturating_mul(number(tags::COLUMNS));
    let whole = pixels.saturating_mul(3).saturating_mul(declared_frames(attributes));
    is_halved
        && is_of_bytes
        && whole > 0
        && length.checked_next_multiple_of(2) == whole.checked_next_multiple_of(2)
}

/// Why an instance with pixel data has no frame, for people; `None` when it has some, or no pixel data.
pub fn why_no_frame(attributes: &Attributes, map: &FrameMap) -> Option<String> {
    match map {
        FrameMap::Fragments { fragments, starts } if starts.is_empty() => {
            let (fragments, frames) = (fragments.len(), declared_frames(attributes));
            Some(format!(
                "nothing tells which of its {fragments} fragments belong to which of its {frames} frames"
            ))
        }
        FrameMap::None => [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA]
            .into_iter()
            .find_map(|tag| Some((tag, attributes.get(tag)?)))
            .and_then(|(tag, element)| match &element.value {
                Value::Bulk(Bulk { encapsulated: true, .. }) => {
                    Some("its pixel data have no fragment".to_owned())
                }
                Value::Bulk(Bulk { length, .. }) => {
                    let needed = bits_per_frame(tag, *length, attributes).div_ceil(8);
                    Some(format!("its pixel data have {length} bytes, {needed} are needed for a frame"))
                }
                _ => None,
            }),
        FrameMap::Native { .. } | FrameMap::Fragments { .. } => None,
    }
}

fn declared_frames(attributes: &Attributes) -> u64 {
    attributes.int(tags::NUMBER_OF_FRAMES).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(1)
}

/// Number of Frames may claim more than there is: only frames that are whole count.
fn native(tag: Tag, offset: u64, length: u64, attributes: &Attributes) -> FrameMap {
    let bits_per_frame = bits_per_frame(tag, length, attributes);
    if bits_per_frame == 0 || length == 0 {
        return FrameMap::None;
    }
    let whole = length.saturating_mul(8) / bits_per_frame;
    let count = u32::try_from(whole.min(declared_frames(attributes))).unwrap_or(u32::MAX);
    if count == 0 { FrameMap::None } else { FrameMap::Native { offset, bits_per_frame, count } }
}

/// Of native pixel data in that element, so many bytes long.
fn bits_per_frame(tag: Tag, length: u64, attributes: &Attributes) -> u64 {
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
    match photometric.as_str() {
        "YBR_FULL_422" if has_whole_chrominance(attributes, length) => pixels.saturating_mul(24),
        "YBR_FULL_422" | "YBR_PARTIAL_422" if samples == 3 => pixels.saturating_mul(2 * allocated),
        "YBR_PARTIAL_420" if samples == 3 => pixels.saturating_mul(3 * allocated) / 2,
        _ => pixels.saturating_mul(samples).saturating_mul(allocated),
    }
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
    let starts = if frames == 1 {
        vec![0]
    } else if fragments.len() as u64 == frames {
        (0..).take(fragments.len()).collect()
    } else {
        told_apart(table, &mut fragments, attributes, (source, shift))?
    };
    fragments.iter_mut().for_each(|(offset, _)| *offset += shift);
    Ok(FrameMap::Fragments { fragments, starts })
}

/// The first fragment of each frame where there are more fragments than frames, or fewer: by the offset tables, one each
/// but for empty ones, or by where code streams begin. None where nothing of it tells: a frame of another number is worse.
///
/// Where frames are missing at the end, those before them are there.
fn told_apart(
    table: (u64, u64),
    fragments: &mut [(u64, u64)],
    attributes: &Attributes,
    (source, shift): (&mut dyn Source, u64),
) -> Result<Vec<u32>> {
    let frames = declared_frames(attributes);
    if let Some(starts) = extended_table(attributes, fragments, frames, (&mut *source, shift))? {
        return Ok(starts);
    }
    if let Some(starts) = basic_table(table, fragments, frames, source)? {
        return Ok(starts);
    }
    let filled = one_each(fragments);
    if filled.len() as u64 == frames {
        return Ok(filled);
    }
    if let Some(starts) = code_stream_starts(fragments, frames, source)? {
        return Ok(starts);
    }
    Ok(if (fragments.len() as u64) < frames { filled } else { Vec::new() })
}

/// Fragments that hold something.
fn one_each(fragments: &[(u64, u64)]) -> Vec<u32> {
    (0..).zip(fragments).filter(|(_, (_, length))| *length > 0).map(|(index, _)| index).collect()
}

/// The index of the fragment that begins at each offset, in ascending order. Where the last fragment ends at an offset, the
/// frames from there on are not there; none for any other offset at which no fragment begins.
fn starts_at(offsets: &[u64], first: u64, fragments: &[(u64, u64)], frames: u64) -> Option<Vec<u32>> {
    if offsets.len() as u64 != frames || offsets.first() != Some(&0) || !offsets.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let (last, length) = fragments.last()?;
    let end = last.checked_add(*length)?.checked_add(8)?;
    let places = offsets.iter().map(|offset| first.checked_add(*offset)?.checked_add(8));
    let within = places.take_while(|place| *place != Some(end));
    let index = |place: Option<u64>| {
        let index = fragments.binary_search_by_key(&place?, |(at, _)| *at).ok()?;
        u32::try_from(index).ok()
    };
    within.map(index).collect()
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

/// Frames by where a code stream begins: JPEG, JPEG-LS (FFD8), JPEG 2000 (FF4F), JPEG XL (FF0A or its box), RLE (its
/// segments, the first of them behind its header). They may be more than there should be where each fragment begins one.
fn code_stream_starts(
    fragments: &[(u64, u64)],
    frames: u64,
    source: &mut dyn Source,
) -> Result<Option<Vec<u32>>> {
    let mut starts = Vec::new();
    for (index, (offset, length)) in (0..).zip(fragments) {
        let head = source.at(*offset, 8)?;
        let begins = match head {
            [0xFF, 0xD8 | 0x4F | 0x0A, ..] | [0, 0, 0, 0x0C, ..] => *length >= 4,
            [1..=15, 0, 0, 0, 64, 0, 0, 0] => *length >= 64,
            _ => false,
        };
        if begins {
            starts.push(index);
        }
    }
    let filled = one_each(fragments);
    let is_first = !starts.is_empty() && starts.first() == filled.first();
    let are_all =
        starts.len() as u64 == frames || (fragments.len() as u64) < frames || starts.len() == filled.len();
    Ok((is_first && are_all).then_some(starts))
}
