//! A data set written anew around the values that were left in the object (PS3.5 §7.1, §7.5).

use std::ops::Range;

use bytes::Bytes;

use super::read::{ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER, UNDEFINED};
use super::write::{self, element_head, long_head};
use super::{Attributes, Bulk, Element, Encoding, Tag, VR, Value};

/// A part of a data set on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Bytes),
    /// A range of the stored object, as it is.
    Stored(Range<u64>),
}

impl Piece {
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stored(range) => range.end.saturating_sub(range.start),
        }
    }
}

/// The data set in the encoding that the object is stored in. Group lengths, which would be wrong, are left
/// out; sequences that hold a value of the object get undefined lengths.
pub fn pieces(attributes: &Attributes, encoding: Encoding) -> Vec<Piece> {
    let mut pieces = Pieces { encoding, bytes: Vec::new(), done: Vec::new() };
    pieces.data_set(attributes);
    pieces.flush();
    pieces.done
}

struct Pieces {
    encoding: Encoding,
    bytes: Vec<u8>,
    done: Vec<Piece>,
}

impl Pieces {
    fn data_set(&mut self, attributes: &Attributes) {
        for element in attributes.iter().filter(|element| element.tag.1 != 0) {
            match &element.value {
                Value::Bulk(bulk) => self.bulk(element, *bulk),
                Value::Items(items) if items.iter().any(holds_bulk) => self.items(element.tag, items),
                _ => write::write_element(element, self.encoding, &mut self.bytes),
            }
        }
    }

    fn bulk(&mut self, element: &Element, bulk: Bulk) {
        match usize::try_from(bulk.length) {
            Ok(length) if !bulk.encapsulated => {
                element_head(element.tag, element.vr, length + length % 2, self.encoding, &mut self.bytes);
            }
            _ => long_head(element.tag, element.vr, UNDEFINED, self.encoding, &mut self.bytes),
        }
        self.flush();
        self.done.push(Piece::Stored(bulk.offset..bulk.offset.saturating_add(bulk.length)));
        if bulk.length % 2 == 1 {
            self.bytes.push(0);
        }
    }

    fn items(&mut self, tag: Tag, items: &[Attributes]) {
        long_head(tag, VR::SQ, UNDEFINED, self.encoding, &mut self.bytes);
        for item in items {
            self.mark(ITEM, UNDEFINED);
            self.data_set(item);
            self.mark(ITEM_DELIMITER, 0);
        }
        self.mark(SEQUENCE_DELIMITER, 0);
    }

    fn mark(&mut self, tag: Tag, length: u32) {
        write::tag(tag, self.encoding, &mut self.bytes);
        write::word(length, self.encoding, &mut self.bytes);
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            self.done.push(Piece::Bytes(std::mem::take(&mut self.bytes).into()));
        }
    }
}

fn holds_bulk(attributes: &Attributes) -> bool {
    attributes.iter().any(|element| match &element.value {
        Value::Bulk(_) => true,
        Value::Items(items) => items.iter().any(holds_bulk),
        Value::Bytes(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;
    use rstest::rstest;

    use super::super::{TransferSyntaxUid, scan, transfer_syntax};
    use super::*;

    fn joined(pieces: &[Piece], object: &[u8]) -> Vec<u8> {
        let bytes = pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.to_vec(),
            Piece::Stored(range) => {
                object[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec()
            }
        });
        bytes.flatten().collect()
    }

    fn sample(pixels: Vec<u8>) -> Attributes {
        let mut icon = Attributes::new();
        icon.put_u16(tags::ROWS, 64);
        icon.put_bytes(tags::PIXEL_DATA, VR::OW, vec![3; 8192]);
        let mut attributes = Attributes::new();
        attributes.put_text(tags::PATIENT_NAME, VR::PN, "DOE^JOHN");
        attributes.put_items(tags::ICON_IMAGE_SEQUENCE, vec![icon]);
        attributes.put_u16(tags::ROWS, 128);
        attributes.put_bytes(tags::PIXEL_DATA, VR::OW, pixels);
        attributes
    }

    #[rstest]
    #[case(transfer_syntax::IMPLICIT_LITTLE)]
    #[case(transfer_syntax::EXPLICIT_LITTLE)]
    #[case(transfer_syntax::EXPLICIT_BIG)]
    fn a_data_set_reads_back_whatever_it_is_stored_in(#[case] syntax: &str) {
        let encoding = TransferSyntaxUid::parse(syntax).unwrap().facts().encoding;
        let sent = sample((0..=255).cycle().take(32_768).collect());
        let object = sent.write(encoding);
        let header = scan(&mut object.as_slice(), 0, 0, encoding).unwrap().attributes;
        assert!(matches!(header.get(tags::PIXEL_DATA).unwrap().value, Value::Bulk(_)));
        let written = joined(&pieces(&header, encoding), &object);
        assert_eq!(
            Attributes::read(written.into(), encoding).unwrap(),
            Attributes::read(object.into(), encoding).unwrap()
        );
    }

    #[test]
    fn fragments_keep_their_items_and_their_end() {
        let mut attributes = sample(Vec::new());
        attributes.remove(tags::PIXEL_DATA);
        let mut object = attributes.write(Encoding::ExplicitLittle);
        object.extend_from_slice(b"\xE0\x7F\x10\x00OB\x00\x00\xFF\xFF\xFF\xFF");
        object.extend_from_slice(
            b"\xFE\xFF\x00\xE0\x00\x00\x00\x00\xFE\xFF\x00\xE0\x04\x00\x00\x00\xFF\xD8\xFF\xD9",
        );
        object.extend_from_slice(b"\xFE\xFF\xDD\xE0\x00\x00\x00\x00");
        let header = scan(&mut object.as_slice(), 0, 0, Encoding::ExplicitLittle).unwrap().attributes;
        let written = joined(&pieces(&header, Encoding::ExplicitLittle), &object);
        let end = object.len() - 40;
        assert_eq!(written[written.len() - 40..], object[end..]);
        let again = scan(&mut written.as_slice(), 0, 0, Encoding::ExplicitLittle).unwrap();
        assert_eq!(again.frames.count(), 1);
    }
}
