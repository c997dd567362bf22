//! A data set → what it says about the pixels of one frame.

use std::sync::Arc;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Bulk, Element, FrameNumber, Tag, VR, Value, has_whole_chrominance};

use super::overlay;
use super::palette::{Width, expand_segments};
use super::{Error, ErrorKind, ImageInfo, Lut, LutShape, Modality, Padding, Palette, Photometric, Result};
use super::{SampleKind, Voi, Window, WindowFunction};

/// Bytes of the longest table there can be: 65536 entries of 16 bits.
const MAX_TABLE_BYTES: u64 = 2 << 16;

/// Descriptor, entries and segments of the palette tables: red, green, blue.
const PALETTE: [[Tag; 3]; 3] = [
    [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
];

/// Functional groups that say how a frame is to be shown (PS3.3 §C.8.16.2).
const FRAME_TYPES: [Tag; 6] = [
    tags::MR_IMAGE_FRAME_TYPE_SEQUENCE,
    tags::CT_IMAGE_FRAME_TYPE_SEQUENCE,
    tags::PET_FRAME_TYPE_SEQUENCE,
    tags::X_RAY3_D_FRAME_TYPE_SEQUENCE,
    tags::PHOTOACOUSTIC_IMAGE_FRAME_TYPE_SEQUENCE,
    tags::INTRAVASCULAR_OCT_FRAME_TYPE_SEQUENCE,
];

impl ImageInfo {
    /// Reads the image of one frame, its functional groups included (PS3.3 §C.7.6.16).
    ///
    /// Tables that were left in the object as bulk count as absent: see [`ImageInfo::tables_in_bulk`].
    ///
    /// # Errors
    /// `NotAnImage` when there is no pixel data; `Invalid` when its description is missing or
    /// impossible; `Unsupported` for sample sizes that are none of 1, 8, 16, 32 and 64 bits.
    pub fn read(attributes: &Attributes, frame: FrameNumber) -> Result<Self> {
        let (kind, element) = pixel_element(attributes)
            .ok_or_else(|| Error::new(ErrorKind::NotAnImage, "instance has no pixel data"))?;
        let number = |tag| attributes.int(tag).and_then(|value| u32::try_from(value).ok());
        let needed = |tag, name| number(tag).ok_or_else(|| Error::invalid(format!("image has no {name}")));

        let bits_allocated = needed(tags::BITS_ALLOCATED, "Bits Allocated")?;
        if !matches!(bits_allocated, 1 | 8 | 16 | 32 | 64) {
            return Err(Error::unsupported(format!("samples in {bits_allocated} bits")));
        }
        let bits_stored = number(tags::BITS_STORED).filter(|bits| (1..=bits_allocated).contains(bits));
        let bits_stored = bits_stored.unwrap_or(bits_allocated);
        let high_bit = number(tags::HIGH_BIT).filter(|bit| (bits_stored - 1..bits_allocated).contains(bit));
        let is_signed = number(tags::PIXEL_REPRESENTATION) == Some(1);
        let groups = Groups { attributes, frame };
        let photometric = photometric(attributes, element);
        let mut info = Self {
            rows: needed(tags::ROWS, "Rows")?,
            columns: needed(tags::COLUMNS, "Columns")?,
            samples_per_pixel: number(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            photometric,
            is_planar: number(tags::PLANAR_CONFIGURATION) == Some(1),
            kind,
            bits_allocated,
            bits_stored,
            high_bit: high_bit.unwrap_or(bits_stored - 1),
            is_signed,
            is_words: element.vr == VR::OW,
            frames: number(tags::NUMBER_OF_FRAMES).filter(|frames| *frames > 0).unwrap_or(1),
            number: frame,
            modality: modality(&groups, is_signed),
            voi: None,
            shape: shape(attributes),
            padding: padding(attributes, kind, bits_allocated, is_signed),
            palette: None,
            overlays: overlay::read(attributes, frame),
            pixel_aspect: pixel_aspect(&groups),
        };
        let may_have_colours = kind == SampleKind::Integer && info.is_grayscale();
        if photometric == Photometric::PaletteColor || (may_have_colours && groups.is_in_colour()) {
            info.palette = palette(attributes, is_signed).transpose().map(|palette| palette.map(Arc::new));
        }
        let is_below_zero = info.output_range().is_some_and(|(lowest, _)| lowest < 0.0);
        info.voi = voi(&groups, is_below_zero);
        info.pixels()?;
        Ok(info)
    }

    /// The look-up tables and overlays that were left in the object, to be fetched for [`ImageInfo::with_tables`].
    pub fn tables_in_bulk(attributes: &Attributes) -> Vec<Bulk> {
        let mut found = Vec::new();
        collect_tables(attributes, &mut found);
        found
    }

    /// The data set with such tables put in; `fetch` gives the value of each, little endian.
    pub fn with_tables(attributes: &Attributes, fetch: &impl Fn(&Bulk) -> Option<Bytes>) -> Attributes {
        let mut filled = attributes.clone();
        for element in attributes {
            let value = match &element.value {
                Value::Bulk(bulk) if is_table(element, bulk) => fetch(bulk).map(Value::Bytes),
                Value::Items(items) if may_hold_tables(element) => {
                    Some(Value::Items(items.iter().map(|item| Self::with_tables(item, fetch)).collect()))
                }
                _ => None,
            };
            if let Some(value) = value {
                filled.put(Element { value, ..element.clone() });
            }
        }
        filled
    }
}

fn collect_tables(attributes: &Attributes, found: &mut Vec<Bulk>) {
    for element in attributes {
        match &element.value {
            Value::Bulk(bulk) if is_table(element, bulk) => found.push(*bulk),
            Value::Items(items) if may_hold_tables(element) => {
                items.iter().for_each(|item| collect_tables(item, found));
            }
            _ => {}
        }
    }
}

fn is_table(element: &Element, bulk: &Bulk) -> bool {
    let is_of_palette = PALETTE.iter().flatten().any(|tag| *tag == element.tag);
    let most = if overlay::is_data(element.tag) {
        overlay::MOST_BYTES
    } else if is_of_palette || element.tag == tags::LUT_DATA {
        MAX_TABLE_BYTES
    } else {
        return false;
    };
    bulk.length <= most && !bulk.encapsulated
}

fn may_hold_tables(element: &Element) -> bool {
    [
        tags::MODALITY_LUT_SEQUENCE,
        tags::VOILUT_SEQUENCE,
        tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
        tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
        tags::FRAME_VOILUT_SEQUENCE,
    ]
    .contains(&element.tag)
}

fn pixel_element(attributes: &Attributes) -> Option<(SampleKind, &Element)> {
    [
        (SampleKind::Integer, tags::PIXEL_DATA),
        (SampleKind::Float, tags::FLOAT_PIXEL_DATA),
        (SampleKind::Double, tags::DOUBLE_FLOAT_PIXEL_DATA),
    ]
    .into_iter()
    .find_map(|(kind, tag)| attributes.get(tag).map(|element| (kind, element)))
}

fn photometric(attributes: &Attributes, pixels: &Element) -> Photometric {
    if matches!(&pixels.value, Value::Bulk(bulk) if !bulk.encapsulated && has_whole_chrominance(attributes, bulk.length))
    {
        return Photometric::YbrFull;
    }
    let term = attributes.text(tags::PHOTOMETRIC_INTERPRETATION);
    term.map_or(Photometric::Monochrome2, |term| Photometric::parse(&term))
}

/// Where attributes of a frame are found: its own functional groups, those of all frames, the data set.
struct Groups<'a> {
    attributes: &'a Attributes,
    frame: FrameNumber,
}

impl<'a> Groups<'a> {
    /// The item of a functional group that holds this attribute, or the data set itself.
    fn holding(&self, group: Tag, attribute: Tag) -> &'a Attributes {
        let own = self.attributes.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        let own = usize::try_from(self.frame.index()).ok().and_then(|index| own.get(index));
        let shared = self.attributes.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        let of_group = |item: &'a Attributes| item.items(group).first();
        [own, shared]
            .into_iter()
            .flatten()
            .filter_map(of_group)
            .find(|item| item.contains(attribute))
            .unwrap_or(self.attributes)
    }

    /// Whether Pixel Presentation of the frame, or else of the image, is COLOR: a supplemental palette is to be used.
    fn is_in_colour(&self) -> bool {
        let frame_type = FRAME_TYPES.iter().map(|group| self.holding(*group, tags::PIXEL_PRESENTATION));
        let of_frame = frame_type.into_iter().find(|item| !std::ptr::eq(*item, self.attributes));
        let term = of_frame.unwrap_or(self.attributes).text(tags::PIXEL_PRESENTATION);
        term.is_some_and(|term| term.trim() == "COLOR")
    }
}

fn modality(groups: &Groups<'_>, is_signed: bool) -> Modality {
    let table = groups.attributes.items(tags::MODALITY_LUT_SEQUENCE).first();
    if let Some(lut) = table.and_then(|item| table_of(item, is_signed)) {
        return Modality::Lut(Arc::new(lut));
    }
    let holder = groups.holding(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_SLOPE);
    let number = |tag| holder.float(tag).filter(|value| value.is_finite());
    Modality::Rescale {
        // A slope of 0, which some devices write, would show nothing.
        slope: number(tags::RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0),
        intercept: number(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
    }
}

/// The first window, or else the first table: both are views that the standard ranks alike.
///
/// `is_below_zero`: whether the modality gives negative values, so that the first input of a table is signed (PS3.3
/// §C.11.2.1.1).
fn voi(groups: &Groups<'_>, is_below_zero: bool) -> Option<Voi> {
    let holder = groups.holding(tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_CENTER);
    if let Some(window) = window(holder) {
        return Some(Voi::Window(window));
    }
    let holder = groups.holding(tags::FRAME_VOILUT_SEQUENCE, tags::VOILUT_SEQUENCE);
    let table = holder.items(tags::VOILUT_SEQUENCE).first().and_then(|item| table_of(item, is_below_zero));
    table.map(|lut| Voi::Lut(Arc::new(Lut { bits: used_bits(&lut), ..lut })))
}

/// Some devices declare 16 bits whatever they write: the greatest entry tells, as nobody wants to see a sixteenth of the
/// shades.
fn used_bits(lut: &Lut) -> u32 {
    let greatest = lut.entries.iter().max().copied().unwrap_or(0);
    match (lut.bits, greatest) {
        (16, 1..=0xFF) => 8,
        (16, 0x100..=0x3FF) => 10,
        (16, 0x400..=0xFFF) => 12,
        (bits, _) => bits,
    }
}

fn shape(attributes: &Attributes) -> Option<LutShape> {
    match attributes.text(tags::PRESENTATION_LUT_SHAPE)?.trim() {
        "IDENTITY" => Some(LutShape::Identity),
        "INVERSE" => Some(LutShape::Inverse),
        _ => None,
    }
}

fn window(holder: &Attributes) -> Option<Window> {
    let (center, width) = (holder.float(tags::WINDOW_CENTER)?, holder.float(tags::WINDOW_WIDTH)?);
    let function = match holder.text(tags::VOILUT_FUNCTION).as_deref() {
        Some("SIGMOID") => WindowFunction::Sigmoid,
        Some("LINEAR_EXACT") => WindowFunction::LinearExact,
        _ => WindowFunction::Linear,
    };
    // Devices that rescale to fractions write widths below 1, which LINEAR does not have.
    Window::new(center, width, function)
        .or_else(|_| Window::new(center, width, WindowFunction::LinearExact))
        .ok()
}

fn table_of(item: &Attributes, is_signed: bool) -> Option<Lut> {
    lut(
        item.get(tags::LUT_DESCRIPTOR)?,
        &item.ints(tags::LUT_DESCRIPTOR),
        item.bytes(tags::LUT_DATA)?,
        is_signed,
    )
}

/// A table by its descriptor: number of entries (0 for 65536), first input, bits (PS3.3 §C.11.1.1).
fn lut(descriptor: &Element, numbers: &[i64], data: &[u8], is_signed: bool) -> Option<Lut> {
    let [count, first, bits] = numbers.first_chunk::<3>()?;
    let count = entry_count(*count);
    let is_negative = descriptor.vr != VR::SS && is_signed && *first > i64::from(i16::MAX);
    let first = if is_negative { first - (1 << 16) } else { *first };
    let entries = entries(data, count);
    let bits = u32::try_from(*bits).ok().filter(|bits| (1..=16).contains(bits)).unwrap_or(16);
    (!entries.is_empty()).then_some(Lut { first, entries, bits })
}

/// 0 stands for 65536.
fn entry_count(declared: i64) -> usize {
    usize::try_from(declared & 0xFFFF).ok().filter(|count| *count > 0).unwrap_or(1 << 16)
}

/// Up to `count` entries: words, or bytes where there are too few bytes for words.
fn entries(data: &[u8], count: usize) -> Vec<u16> {
    if data.len() < count.saturating_mul(2) && data.len() >= count {
        return data.iter().take(count).map(|byte| u16::from(*byte)).collect();
    }
    words(data).into_iter().take(count).collect()
}

fn words(data: &[u8]) -> Vec<u16> {
    let (words, _) = data.as_chunks::<2>();
    words.iter().map(|word| u16::from_le_bytes(*word)).collect()
}

fn palette(attributes: &Attributes, is_signed: bool) -> Result<Option<Palette>> {
    let table = |[descriptor, data, segments]: [Tag; 3]| -> Result<Option<Lut>> {
        let Some(element) = attributes.get(descriptor) else { return Ok(None) };
        let numbers = attributes.ints(descriptor);
        let expanded = match attributes.bytes(segments) {
            Some(segments) => {
                expanded(segments, &numbers)?.iter().flat_map(|word| word.to_le_bytes()).collect()
            }
            None => attributes.bytes(data).cloned().unwrap_or_default(),
        };
        Ok(lut(element, &numbers, &expanded, is_signed))
    };
    let [red, green, blue] = PALETTE;
    match (table(red)?, table(green)?, table(blue)?) {
        (Some(red), Some(green), Some(blue)) => Palette::new(&red, &green, &blue).map(Some),
        _ => Ok(None),
    }
}

/// Segments are bytes where entries have up to 8 bits; some devices write words all the same.
fn expanded(segments: &[u8], descriptor: &[i64]) -> Result<Vec<u16>> {
    let count = descriptor.first().map_or(0, |count| entry_count(*count));
    if descriptor.get(2).is_some_and(|bits| *bits <= 8)
        && let Ok(entries) = expand_segments(segments, Width::Bytes, count)
        && entries.len() == count
    {
        return Ok(entries);
    }
    expand_segments(segments, Width::Words, count)
}

/// Some devices give it as US under signed samples, or as SS under unsigned ones: the bits count. Floats have attributes
/// of their own (PS3.3 §C.7.6.24, §C.7.6.25).
fn padding(
    attributes: &Attributes,
    kind: SampleKind,
    bits_allocated: u32,
    is_signed: bool,
) -> Option<Padding> {
    let values = f64::from(bits_allocated.min(32)).exp2();
    let lowest = if is_signed { -values / 2.0 } else { 0.0 };
    let stored = |value: f64| (value - lowest).rem_euclid(values) + lowest;
    let (value, limit) = match kind {
        SampleKind::Integer => (tags::PIXEL_PADDING_VALUE, tags::PIXEL_PADDING_RANGE_LIMIT),
        SampleKind::Float => (tags::FLOAT_PIXEL_PADDING_VALUE, tags::FLOAT_PIXEL_PADDING_RANGE_LIMIT),
        SampleKind::Double => {
            (tags::DOUBLE_FLOAT_PIXEL_PADDING_VALUE, tags::DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT)
        }
    };
    let number = |tag| {
        let value = attributes.float(tag)?;
        Some(if kind == SampleKind::Integer { stored(value) } else { value })
    };
    let value = number(value)?;
    let limit = number(limit).unwrap_or(value);
    Some(Padding { first: value.min(limit), last: value.max(limit) })
}

/// Height by width of a pixel: from the distances between pixels, or else Pixel Aspect Ratio, which
/// is there when they are not (PS3.3 §C.7.6.3.1.7).
fn pixel_aspect(groups: &Groups<'_>) -> f64 {
    let measures = groups.holding(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
    let pairs = [
        measures.floats(tags::PIXEL_SPACING),
        groups.attributes.floats(tags::IMAGER_PIXEL_SPACING),
        groups.attributes.floats(tags::NOMINAL_SCANNED_PIXEL_SPACING),
        groups.attributes.floats(tags::PIXEL_ASPECT_RATIO),
    ];
    let aspect = pairs.iter().find_map(|pair| match pair.as_slice() {
        [vertical, horizontal, ..] if *vertical > 0.0 && *horizontal > 0.0 => Some(vertical / horizontal),
        _ => None,
    });
    // Beyond a hundred it is an error of the device rather than a pixel.
    aspect.filter(|aspect| (0.01..=100.0).contains(aspect)).unwrap_or(1.0)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
