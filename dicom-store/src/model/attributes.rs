//! A data set in memory, and how its values are read and set.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use dicom::dictionary_std::tags;

use super::charset::is_plain;
use super::element::{is_charset_text, is_single_text, is_text};
use super::numbers::{binary_floats, binary_ints};
use super::{
    CharacterSet, Element, Encoding, PersonName, Result, Tag, TextReading, TextRule, VR, Value, read, write,
};

/// Elements in ascending order of their tags, each at most once (PS3.5 §7.1).
///
/// Text is kept as the bytes that came and decoded when it is asked for, by the character set of
/// this data set or of the nearest one around it (PS3.3 §C.12.1.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    elements: Vec<Element>,
    charset: Arc<CharacterSet>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self::new()
    }
}

impl Attributes {
    /// An empty data set whose text is UTF-8.
    pub fn new() -> Self {
        Self::with_charset(Arc::new(CharacterSet::utf8()))
    }

    pub(super) fn with_charset(charset: Arc<CharacterSet>) -> Self {
        Self { elements: Vec::new(), charset }
    }

    /// Makes room for so many more elements.
    pub fn reserve(&mut self, count: usize) {
        self.elements.reserve(count);
    }

    /// Reads a data set that stands alone: an identifier, a command set.
    ///
    /// # Errors
    /// `Invalid` when it is truncated, contradicts itself, or nests deeper than 100 sequences.
    pub fn read(bytes: Bytes, encoding: Encoding) -> Result<Self> {
        read::data_set(&bytes, encoding)
    }

    /// The data set as bytes; what was left in the object is written empty.
    pub fn write(&self, encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::new();
        write::data_set(self, encoding, &mut out);
        out
    }

    pub fn charset(&self) -> &CharacterSet {
        &self.charset
    }

    pub(super) fn charset_shared(&self) -> &Arc<CharacterSet> {
        &self.charset
    }

    pub(super) fn set_charset(&mut self, charset: Arc<CharacterSet>) {
        self.charset = charset;
    }

    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Element> {
        self.elements.iter()
    }

    pub fn get(&self, tag: Tag) -> Option<&Element> {
        self.elements.binary_search_by_key(&tag, |e| e.tag).ok().and_then(|at| self.elements.get(at))
    }

    pub fn contains(&self, tag: Tag) -> bool {
        self.get(tag).is_some()
    }

    /// Puts an element in its place; one with the same tag is replaced.
    pub fn put(&mut self, element: Element) {
        if self.elements.last().is_none_or(|last| last.tag < element.tag) {
            return self.elements.push(element);
        }
        match self.elements.binary_search_by_key(&element.tag, |e| e.tag) {
            Ok(at) => {
                if let Some(place) = self.elements.get_mut(at) {
                    *place = element;
                }
            }
            Err(at) => self.elements.insert(at, element),
        }
    }

    pub fn remove(&mut self, tag: Tag) -> Option<Element> {
        self.elements.binary_search_by_key(&tag, |e| e.tag).ok().map(|at| self.elements.remove(at))
    }

    /// The value field of an element of a text VR, decoded: all values, and the padding. None for an empty one, for
    /// an element without a value, or whose value is no text.
    pub fn decoded<'a>(&self, element: &'a Element) -> Option<Cow<'a, str>> {
        let Value::Bytes(bytes) = &element.value else { return None };
        if bytes.is_empty() || !(is_text(element.vr) || element.vr == VR::UN) {
            return None;
        }
        Some(if is_charset_text(element.vr) {
            self.charset.decode(bytes, element.vr)
        } else {
            CharacterSet::ascii_or_lossy(bytes)
        })
    }

    /// All values of an element of a text VR, decoded and without padding; `""` for an empty one.
    /// None for an element without a value, or whose value is no text.
    pub fn strings(&self, element: &Element) -> Vec<String> {
        let Some(text) = self.decoded(element) else { return Vec::new() };
        if is_single_text(element.vr) {
            return vec![text.trim_end_matches([' ', '\0']).to_owned()];
        }
        let values: Vec<String> =
            text.split('\\').map(|value| value.trim_matches([' ', '\0']).to_owned()).collect();
        if values.iter().all(String::is_empty) && values.len() == 1 { Vec::new() } else { values }
    }

    pub fn texts(&self, tag: Tag) -> Vec<String> {
        self.get(tag).map(|element| self.strings(element)).unwrap_or_default()
    }

    /// The first value, where there is one that is not empty.
    pub fn text(&self, tag: Tag) -> Option<String> {
        self.texts(tag).into_iter().next().filter(|value| !value.is_empty())
    }

    /// The block of a group that a private creator has here (PS3.5 §7.8.1).
    pub fn private_block(&self, group: u16, creator: &str) -> Option<u16> {
        let mut blocks = self.iter().filter(|e| e.tag.0 == group && (0x10..=0xFF).contains(&e.tag.1));
        blocks.find(|e| self.strings(e).first().is_some_and(|name| name == creator)).map(|e| e.tag.1)
    }

    /// The value of a UI element as it stands, without padding.
    pub fn uid(&self, tag: Tag) -> Option<&str> {
        let Value::Bytes(bytes) = &self.get(tag)?.value else { return None };
        std::str::from_utf8(bytes)
            .ok()
            .map(|text| text.trim_matches(['\0', ' ']))
            .filter(|uid| !uid.is_empty())
    }

    pub fn person(&self, tag: Tag) -> Option<PersonName> {
        self.text(tag).map(|text| PersonName::parse(&text))
    }

    /// The values as whole numbers, from binary VRs and from IS and DS alike; what is none is left out.
    pub fn ints(&self, tag: Tag) -> Vec<i64> {
        let Some(element) = self.get(tag) else { return Vec::new() };
        match &element.value {
            Value::Bytes(_) if is_text(element.vr) => {
                self.strings(element).iter().filter_map(|v| whole(v)).collect()
            }
            Value::Bytes(bytes) => binary_ints(element.vr, bytes),
            _ => Vec::new(),
        }
    }

    pub fn int(&self, tag: Tag) -> Option<i64> {
        self.ints(tag).into_iter().next()
    }

    /// The values as numbers, from binary VRs and from IS and DS alike; what is none is left out.
    pub fn floats(&self, tag: Tag) -> Vec<f64> {
        let Some(element) = self.get(tag) else { return Vec::new() };
        match &element.value {
            Value::Bytes(_) if is_text(element.vr) => {
                self.strings(element).iter().filter_map(|v| v.trim().parse().ok()).collect()
            }
            Value::Bytes(bytes) => {
                let floats = binary_floats(element.vr, bytes);
                if !floats.is_empty() {
                    return floats;
                }
                // Whole numbers below 2^53 are exact as f64.
                #[expect(clippy::cast_precision_loss, reason = "attribute values lie far below 2^53")]
                binary_ints(element.vr, bytes).into_iter().map(|n| n as f64).collect()
            }
            _ => Vec::new(),
        }
    }

    pub fn float(&self, tag: Tag) -> Option<f64> {
        self.floats(tag).into_iter().next()
    }

    /// The items of a sequence; none where it is absent or empty.
    pub fn items(&self, tag: Tag) -> &[Attributes] {
        match self.get(tag).map(|element| &element.value) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    /// The value field of an element that is in memory.
    pub fn bytes(&self, tag: Tag) -> Option<&Bytes> {
        match &self.get(tag)?.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn put_bytes(&mut self, tag: Tag, vr: VR, bytes: impl Into<Bytes>) {
        self.put(Element { tag, vr, value: Value::Bytes(bytes.into()) });
    }

    /// Sets text, in UTF-8; the data set then says so by its Specific Character Set where it has to.
    pub fn put_text(&mut self, tag: Tag, vr: VR, text: &str) {
        if !text.is_ascii() && is_charset_text(vr) {
            self.become_utf8();
        }
        self.put_bytes(tag, vr, text.as_bytes().to_vec());
    }

    pub fn put_texts<T: AsRef<str>>(&mut self, tag: Tag, vr: VR, texts: &[T]) {
        let joined = texts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("\\");
        self.put_text(tag, vr, &joined);
    }

    pub fn put_u16(&mut self, tag: Tag, number: u16) {
        self.put_bytes(tag, VR::US, number.to_le_bytes().to_vec());
    }

    pub fn put_u32(&mut self, tag: Tag, number: u32) {
        self.put_bytes(tag, VR::UL, number.to_le_bytes().to_vec());
    }

    pub fn put_items(&mut self, tag: Tag, items: Vec<Attributes>) {
        self.put(Element { tag, vr: VR::SQ, value: Value::Items(items) });
    }

    pub fn put_empty(&mut self, tag: Tag, vr: VR) {
        let value = if vr == VR::SQ { Value::Items(Vec::new()) } else { Value::Bytes(Bytes::new()) };
        self.put(Element { tag, vr, value });
    }

    /// An element of another data set, its text carried over into UTF-8, in sequences too.
    pub fn put_from(&mut self, other: &Attributes, element: &Element) {
        let value = match &element.value {
            Value::Items(items) => Value::Items(items.iter().map(Attributes::in_utf8).collect()),
            Value::Bytes(bytes) if is_charset_text(element.vr) && !is_plain(bytes) => {
                let text = other.charset.decode(bytes, element.vr);
                if !text.is_ascii() {
                    self.become_utf8();
                }
                match text {
                    Cow::Borrowed(text) if text.len() == bytes.len() => element.value.clone(),
                    text => Value::Bytes(text.into_owned().into_bytes().into()),
                }
            }
            value => value.clone(),
        };
        self.put(Element { tag: element.tag, vr: element.vr, value });
    }

    /// The same data set, its text read as what it clearly is where it does not say so, or says something else.
    #[must_use]
    pub fn recognised(self) -> Attributes {
        let reading = TextReading::of(&self, TextRule::Auto);
        let charset = Arc::new(CharacterSet::clone(&self.charset).read_as(reading));
        Self { charset, ..self }
    }

    /// The same data set with all text in UTF-8 and Specific Character Set ISO_IR 192 where it needs one.
    pub fn in_utf8(&self) -> Attributes {
        let mut copy = Attributes::new();
        for element in self.iter().filter(|e| e.tag != tags::SPECIFIC_CHARACTER_SET) {
            copy.put_from(self, element);
        }
        copy
    }

    /// Says that text is UTF-8, which it has to be.
    pub(super) fn become_utf8(&mut self) {
        if self.contains(tags::SPECIFIC_CHARACTER_SET) && *self.charset == CharacterSet::utf8() {
            return;
        }
        self.charset = Arc::new(CharacterSet::utf8());
        self.put_bytes(tags::SPECIFIC_CHARACTER_SET, VR::CS, &b"ISO_IR 192"[..]);
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Element;
    type IntoIter = std::slice::Iter<'a, Element>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A whole number in decimal text; `"12.0"` is one too, as devices write it in IS.
fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let (integer, fraction) = text.split_once('.')?;
        fraction.bytes().all(|b| b == b'0').then(|| integer.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_escaped_into_seven_bits_becomes_utf8_as_well() {
        let mut japanese = Attributes::new();
        japanese.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "\\ISO 2022 IR 87");
        japanese.put_bytes(
            tags::PATIENT_NAME,
            VR::PN,
            &b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"[..],
        );
        let read =
            Attributes::read(japanese.write(Encoding::ExplicitLittle).into(), Encoding::ExplicitLittle)
                .unwrap();
        let utf8 = read.in_utf8();
        assert_eq!(utf8.bytes(tags::PATIENT_NAME).unwrap(), "Yamada^Tarou=山田^太郎".as_bytes());
        assert_eq!(utf8.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
    }

    #[test]
    fn text_that_does_not_say_that_it_is_utf8_is_recognised() {
        let mut bare = Attributes::new();
        bare.put_bytes(tags::PATIENT_NAME, VR::PN, "NGUYỄN^ĐỨC".as_bytes().to_vec());
        let bytes = bare.write(Encoding::ExplicitLittle);
        let read = Attributes::read(bytes.into(), Encoding::ExplicitLittle).unwrap().recognised();
        assert_eq!(read.text(tags::PATIENT_NAME).as_deref(), Some("NGUYỄN^ĐỨC"));
    }

    #[test]
    fn whole_numbers_are_read_from_every_vr_that_holds_them() {
        let mut numbers = Attributes::new();
        numbers.put_u16(tags::ROWS, 512);
        numbers.put_text(tags::NUMBER_OF_FRAMES, VR::IS, " 12 ");
        numbers.put_text(tags::EXPOSURE, VR::IS, "12.0");
        numbers.put_text(tags::KVP, VR::DS, "1.5\\abc\\-2e3");
        assert_eq!(numbers.int(tags::ROWS), Some(512));
        assert_eq!((numbers.int(tags::NUMBER_OF_FRAMES), numbers.int(tags::EXPOSURE)), (Some(12), Some(12)));
        assert_eq!(numbers.floats(tags::KVP), [1.5, -2000.0]);
    }
}
