//! One pass over a data set as it arrives at the archive: header, bulk values, fragments.
//!
//! Walks with a stack of its own, so that depth costs nothing; large values are stepped over and
//! never read. What is accepted here can be read back by `Header::attributes`.

use bytes::Bytes;
use dicom::dictionary_std::tags;

use super::group_frames::{self, PixelData};
use super::read::{Head, ITEM, ITEM_DELIMITER, MAX_DEPTH, SEQUENCE_DELIMITER, UNDEFINED};
use super::{
    Attributes, Encoding, Error, ErrorKind, FrameMap, Header, Hole, Result, Source, Tag, TextReading, VR,
};

/// Binary values above this stay in the object.
const MAX_INLINE_BINARY: u64 = 1024;
/// Text above this stays in the object.
const MAX_INLINE_TEXT: u64 = 64 * 1024;
/// A header larger than this is refused: no object comes near it.
const MAX_HEADER: usize = 64 * 1024 * 1024;

/// Fragments of one object: ten times those of the largest slides.
const MAX_FRAGMENTS: usize = 1 << 20;
/// Zeros that are looked at together.
const PADDING_STEP: usize = 64 * 1024;

/// What one pass over a data set tells.
#[derive(Debug, Clone)]
pub struct Scanned {
    pub header: Header,
    pub attributes: Attributes,
    pub frames: FrameMap,
}

/// Reads the data set that begins at `start` of the source and ends with it.
///
/// `shift` is added to every offset that is recorded: the place of the source's first byte in the
/// Part 10 file.
///
/// # Errors
/// `Invalid` when the data set is truncated, contradicts itself or nests deeper than 100
/// sequences; `TooLarge` when its header is over 64 MiB; what the source says when it cannot be read.
pub fn scan(source: &mut dyn Source, start: u64, shift: u64, encoding: Encoding) -> Result<Scanned> {
    let end = source.length();
    let mut walk = Walk {
        source,
        at: start,
        end,
        shift,
        bytes: Vec::with_capacity(4096),
        holes: Vec::new(),
        pixels: None,
        within: Vec::new(),
        last: Tag(0, 0),
        not_padding: 0,
    };
    walk.run(encoding)?;
    let Walk { bytes, holes, pixels, .. } = walk;
    let (start, bytes) = (start + shift, Bytes::from(bytes));
    let text = TextReading::default();
    let header = Header { encoding, start, bytes, holes, text, correction: None };
    let attributes = header.attributes().map_err(|error| Error::invalid(error.chain()))?;
    let frames = match pixels {
        Some(pixels) => group_frames::map(pixels, &attributes, source, shift)?,
        None => FrameMap::None,
    };
    Ok(Scanned { header, attributes, frames })
}

/// A sequence or item that is open.
#[derive(Clone, Copy)]
struct Open {
    is_sequence: bool,
    encoding: Encoding,
    /// Where it ends, unless by a delimiter.
    end: Option<u64>,
}

struct Walk<'a> {
    source: &'a mut dyn Source,
    at: u64,
    end: u64,
    shift: u64,
    bytes: Vec<u8>,
    holes: Vec<Hole>,
    pixels: Option<PixelData>,
    within: Vec<Open>,
    last: Tag,
    /// A byte that is not zero.
    not_padding: u64,
}

impl Walk<'_> {
    fn run(&mut self, encoding: Encoding) -> Result<()> {
        loop {
            self.close_what_ends_here()?;
            if self.within.is_empty() && (self.at == self.end || self.is_padding()?) {
                return Ok(());
            }
            let inner = self.within.last().copied();
            let current = inner.map_or(encoding, |open| open.encoding);
            let head = self.head(current)?;
            match inner {
                Some(open) if open.is_sequence => self.in_sequence(&head, open)?,
                _ => self.element(&head, current)?,
            }
        }
    }

    /// Some devices pad the file with zeros behind the data set. Where zeros are followed by something else,
    /// they are elements (0000,0000), as other programs send on what they took padding for; what follows
    /// is remembered, so that no byte is looked at twice.
    fn is_padding(&mut self) -> Result<bool> {
        if self.at < self.not_padding || self.source.at(self.at, 4)?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let mut at = self.at;
        while at < self.end {
            let part = self.source.at(at, PADDING_STEP)?;
            if let Some(other) = part.iter().position(|byte| *byte != 0) {
                self.not_padding = at + other as u64;
                return Ok(false);
            }
            if part.is_empty() {
                return Ok(false);
            }
            at += part.len() as u64;
        }
        Ok(true)
    }

    fn close_what_ends_here(&mut self) -> Result<()> {
        while let Some(Open { end: Some(end), .. }) = self.within.last() {
            if self.at < *end {
                break;
            }
            if self.at > *end {
                return Err(Error::invalid(format!(
                    "element {} reaches past the end of its sequence",
                    self.last
                )));
            }
            self.within.pop();
        }
        Ok(())
    }

    fn head(&mut self, encoding: Encoding) -> Result<Head> {
        let bytes = self.source.at(self.at, 12)?;
        let head = Head::read(bytes, encoding, false)?;
        let bytes = bytes.get(..head.size).unwrap_or_default();
        self.bytes.extend_from_slice(bytes);
        self.at += head.size as u64;
        self.last = head.tag;
        if self.bytes.len() > MAX_HEADER {
            let what = format!("header is over {} MiB", MAX_HEADER >> 20);
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(head)
    }

    fn in_sequence(&mut self, head: &Head, sequence: Open) -> Result<()> {
        match head.tag {
            ITEM => {
                let end = self.end_of(head)?;
                self.within.push(Open { is_sequence: false, encoding: sequence.encoding, end });
            }
            SEQUENCE_DELIMITER if sequence.end.is_none() => {
                self.within.pop();
            }
            other => {
                return Err(Error::invalid(format!("{other} stands in a sequence where an item belongs")));
            }
        }
        Ok(())
    }

    fn element(&mut self, head: &Head, encoding: Encoding) -> Result<()> {
        match head.tag {
            ITEM_DELIMITER if self.within.last().is_some_and(|open| open.end.is_none()) => {
                self.within.pop();
                return Ok(());
            }
            ITEM | ITEM_DELIMITER | SEQUENCE_DELIMITER => {
                return Err(Error::invalid(format!("{} stands where an element belongs", head.tag)));
            }
            _ => {}
        }
        let is_fragmented = head.length == UNDEFINED
            && matches!(head.vr, VR::OB | VR::OW | VR::UN)
            && head.tag == tags::PIXEL_DATA;
        if is_fragmented {
            return self.fragments();
        }
        if let Some(inside) = head.sequence_of(encoding) {
            let end = self.end_of(head)?;
            self.within.push(Open { is_sequence: true, encoding: inside, end });
            if self.within.len() > 2 * MAX_DEPTH {
                return Err(Error::invalid(format!("sequences are nested deeper than {MAX_DEPTH}")));
            }
            return Ok(());
        }
        if head.length == UNDEFINED {
            return Err(Error::invalid(format!("element {} has no length", head.tag)));
        }
        self.value(head)
    }

    /// Where the value that begins here ends.
    fn end_of(&self, head: &Head) -> Result<Option<u64>> {
        if head.length == UNDEFINED {
            return Ok(None);
        }
        let left =
            self.within.iter().rev().find_map(|open| open.end).unwrap_or(self.end).saturating_sub(self.at);
        if u64::from(head.length) > left {
            let Head { tag, length, .. } = head;
            return Err(Error::invalid(format!("element {tag} claims {length} bytes, {left} are left")));
        }
        Ok(Some(self.at + u64::from(head.length)))
    }

    fn value(&mut self, head: &Head) -> Result<()> {
        let Some(end) = self.end_of(head)? else { return Ok(()) };
        let length = end - self.at;
        let is_pixels =
            matches!(head.tag, tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA);
        if is_pixels && self.within.is_empty() {
            self.pixels = Some(PixelData::Native { tag: head.tag, offset: self.at, length });
        }
        if is_pixels || length > inline_limit(head.vr) {
            self.holes.push(Hole { offset: self.at + self.shift, length });
        } else {
            let want = usize::try_from(length).unwrap_or(usize::MAX);
            self.bytes.extend_from_slice(self.source.at(self.at, want)?);
        }
        self.at = end;
        Ok(())
    }

    /// The items of encapsulated pixel data (PS3.5 §A.4), at the top or in an icon.
    fn fragments(&mut self) -> Result<()> {
        let start = self.at;
        let mut table = None;
        let mut fragments = Vec::new();
        loop {
            let head = Head::read(self.source.at(self.at, 8)?, Encoding::ExplicitLittle, false)?;
            self.at += head.size as u64;
            match head.tag {
                SEQUENCE_DELIMITER => break,
                ITEM if head.length != UNDEFINED && u64::from(head.length) <= self.end - self.at => {
                    match table {
                        None => table = Some((self.at, u64::from(head.length))),
                        Some(_) if fragments.len() >= MAX_FRAGMENTS => {
                            let what = format!("pixel data is in more than {MAX_FRAGMENTS} fragments");
                            return Err(Error::new(ErrorKind::TooLarge, what));
                        }
                        Some(_) => fragments.push((self.at, u64::from(head.length))),
                    }
                    self.at += u64::from(head.length);
                }
                ITEM => {
                    let left = self.end - self.at;
                    return Err(Error::invalid(format!(
                        "fragment claims {} bytes, {left} are left",
                        head.length
                    )));
                }
                other => {
                    return Err(Error::invalid(format!("{other} stands between fragments of pixel data")));
                }
            }
        }
        self.holes.push(Hole { offset: start + self.shift, length: self.at - start });
        if self.within.is_empty() {
            self.pixels = Some(PixelData::Encapsulated { table: table.unwrap_or_default(), fragments });
        }
        Ok(())
    }
}

fn inline_limit(vr: VR) -> u64 {
    match vr {
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN => MAX_INLINE_BINARY,
        _ => MAX_INLINE_TEXT,
    }
}

#[cfg(test)]
mod tests;
