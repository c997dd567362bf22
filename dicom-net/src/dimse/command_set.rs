//! A command set as elements: group 0000, Implicit VR Little Endian, Command Group Length first
//! (PS3.7 §6.3.1, §E.1).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dicom_store::model::Tag;

/// Element numbers of group 0000 (PS3.7 Table E.1-1).
pub(super) mod element {
    pub(in super::super) const GROUP_LENGTH: u16 = 0x0000;
    pub(in super::super) const AFFECTED_SOP_CLASS_UID: u16 = 0x0002;
    pub(in super::super) const REQUESTED_SOP_CLASS_UID: u16 = 0x0003;
    pub(in super::super) const COMMAND_FIELD: u16 = 0x0100;
    pub(in super::super) const MESSAGE_ID: u16 = 0x0110;
    pub(in super::super) const MESSAGE_ID_BEING_RESPONDED_TO: u16 = 0x0120;
    pub(in super::super) const MOVE_DESTINATION: u16 = 0x0600;
    pub(in super::super) const PRIORITY: u16 = 0x0700;
    pub(in super::super) const COMMAND_DATA_SET_TYPE: u16 = 0x0800;
    pub(in super::super) const STATUS: u16 = 0x0900;
    pub(in super::super) const ERROR_COMMENT: u16 = 0x0902;
    pub(in super::super) const ERROR_ID: u16 = 0x0903;
    pub(in super::super) const AFFECTED_SOP_INSTANCE_UID: u16 = 0x1000;
    pub(in super::super) const REQUESTED_SOP_INSTANCE_UID: u16 = 0x1001;
    pub(in super::super) const EVENT_TYPE_ID: u16 = 0x1002;
    pub(in super::super) const ATTRIBUTE_IDENTIFIER_LIST: u16 = 0x1005;
    pub(in super::super) const ACTION_TYPE_ID: u16 = 0x1008;
    pub(in super::super) const REMAINING: u16 = 0x1020;
    pub(in super::super) const COMPLETED: u16 = 0x1021;
    pub(in super::super) const FAILED: u16 = 0x1022;
    pub(in super::super) const WARNING: u16 = 0x1023;
    pub(in super::super) const MOVE_ORIGINATOR_AE_TITLE: u16 = 0x1030;
    pub(in super::super) const MOVE_ORIGINATOR_MESSAGE_ID: u16 = 0x1031;
}

/// The elements of a command, by their numbers within group 0000.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandSet {
    /// In ascending order.
    elements: Vec<(u16, Bytes)>,
}

impl CommandSet {
    /// Reads a command set; `None` when its lengths do not add up.
    ///
    /// Elements of other groups are passed over.
    pub fn read(mut bytes: Bytes) -> Option<Self> {
        let mut elements = Vec::with_capacity(12);
        while bytes.has_remaining() {
            let group = bytes.try_get_u16_le().ok()?;
            let number = bytes.try_get_u16_le().ok()?;
            let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
            if length > bytes.len() {
                return None;
            }
            let value = bytes.split_to(length);
            if group == 0 {
                elements.push((number, value));
            }
        }
        elements.sort_by_key(|(number, _)| *number);
        Some(Self { elements })
    }

    fn value(&self, number: u16) -> Option<&Bytes> {
        let at = self.elements.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.elements.get(at).map(|(_, value)| value)
    }

    pub(super) fn u16(&self, number: u16) -> Option<u16> {
        self.value(number)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// Text without its padding; empty where the element is absent.
    pub(super) fn text(&self, number: u16) -> String {
        let bytes = self.value(number).map_or(&[][..], |value| value);
        bytes.iter().map(|&byte| char::from(byte)).collect::<String>().trim_matches([' ', '\0']).to_owned()
    }

    /// Tags, each as two numbers; none where the element is absent (PS3.5 §6.2, AT).
    pub(super) fn tags(&self, number: u16) -> Vec<Tag> {
        let mut bytes = self.value(number).cloned().unwrap_or_default();
        let mut tags = Vec::with_capacity(bytes.len() / 4);
        while let (Ok(group), Ok(element)) = (bytes.try_get_u16_le(), bytes.try_get_u16_le()) {
            tags.push(Tag(group, element));
        }
        tags
    }

    pub(super) fn put_tags(&mut self, number: u16, tags: &[Tag]) {
        let mut value = BytesMut::with_capacity(4 * tags.len());
        for tag in tags {
            value.put_u16_le(tag.0);
            value.put_u16_le(tag.1);
        }
        self.put(number, value.freeze());
    }

    /// Adds a number; elements are put in ascending order.
    pub(super) fn put_u16(&mut self, number: u16, value: u16) {
        self.put(number, Bytes::copy_from_slice(&value.to_le_bytes()));
    }

    /// Adds a UID, padded with NUL (PS3.5 §9.4).
    pub(super) fn put_uid(&mut self, number: u16, uid: &str) {
        self.put(number, padded(uid, 0));
    }

    /// Adds text, padded with a space (PS3.5 §6.2).
    pub(super) fn put_text(&mut self, number: u16, text: &str) {
        self.put(number, padded(text, b' '));
    }

    fn put(&mut self, number: u16, value: Bytes) {
        debug_assert!(
            self.elements.last().is_none_or(|(last, _)| *last < number),
            "{number:04X} is out of order"
        );
        self.elements.push((number, value));
    }

    /// As it goes on the wire, with its group length.
    pub(super) fn write(&self) -> Bytes {
        const LENGTH_ELEMENT: usize = 12;
        let length: usize = self.elements.iter().map(|(_, value)| 8 + value.len()).sum();
        let mut out = BytesMut::with_capacity(LENGTH_ELEMENT + length);
        put_header(&mut out, element::GROUP_LENGTH, 4);
        out.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        for (number, value) in &self.elements {
            put_header(&mut out, *number, value.len());
            out.put_slice(value);
        }
        out.freeze()
    }
}

fn put_header(out: &mut BytesMut, number: u16, length: usize) {
    out.put_u16_le(0);
    out.put_u16_le(number);
    out.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
}

fn padded(text: &str, padding: u8) -> Bytes {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(padding);
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_the_group_length_and_even_values() {
        let mut set = CommandSet::default();
        set.put_uid(element::AFFECTED_SOP_CLASS_UID, "1.2.3");
        set.put_u16(element::COMMAND_FIELD, 0x8030);
        let expected = [
            &[0, 0, 0, 0, 4, 0, 0, 0, 24, 0, 0, 0][..],
            &[0, 0, 2, 0, 6, 0, 0, 0][..],
            b"1.2.3\0",
            &[0, 0, 0, 1, 2, 0, 0, 0, 0x30, 0x80],
        ];
        assert_eq!(set.write()[..], expected.concat());
    }

    #[test]
    fn reads_elements_in_any_order_and_passes_over_other_groups() {
        let bytes = [
            &[0, 0, 0, 1, 2, 0, 0, 0, 1, 0][..],
            &[8, 0, 5, 0, 2, 0, 0, 0, b'x', b'y'],
            &[0, 0, 2, 0, 4, 0, 0, 0, b'1', b'.', b'2', b' '],
        ];
        let set = CommandSet::read(bytes.concat().into()).unwrap();
        assert_eq!(set.u16(element::COMMAND_FIELD), Some(1));
        assert_eq!(set.text(element::AFFECTED_SOP_CLASS_UID), "1.2");
        assert_eq!(set.text(5), "");
    }

    #[test]
    fn refuses_an_element_longer_than_the_set() {
        assert_eq!(CommandSet::read(Bytes::from_static(&[0, 0, 0, 1, 3, 0, 0, 0, 1, 0])), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CommandSet::read(bytes.into());
        }
    }
}
