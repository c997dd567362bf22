//! The DICOM JSON model (PS3.18 Annex F), written by hand into one buffer.
//!
//! Rules where the standard leaves a choice or devices break it:
//! - Names are ascending; group lengths and group 0002 are left out; Specific Character Set, where there is one, is
//!   `ISO_IR 192`, since the text here is UTF-8.
//! - DS and IS are numbers where their text is one and a reader's double holds it, else strings. SV and UV are
//!   numbers up to 2^53, else strings.
//! - FL and FD with a value that is no number (NaN, infinity) come by BulkDataURI, for JSON has no such numbers; in
//!   search results, which have no bulk data, they come without a value.
//! - Binary values that the archive keeps in its header are inline; those it leaves in the object come by BulkDataURI.

pub(crate) mod base64;
mod number;
pub(crate) mod read;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Element, Tag, VR, Value};

/// What values are filled up with (PS3.5 §6.2).
const PADDING: [char; 2] = [' ', '\0'];

/// Whether a value is told by its URI: what the archive leaves in the object, and numbers that JSON does not have.
pub(crate) fn is_by_uri(element: &Element) -> bool {
    match (&element.value, element.vr) {
        (Value::Bulk(bulk), _) => bulk.length > 0,
        (Value::Bytes(bytes), VR::FL) => {
            !bytes.as_chunks::<4>().0.iter().all(|raw| f32::from_le_bytes(*raw).is_finite())
        }
        (Value::Bytes(bytes), VR::FD) => {
            !bytes.as_chunks::<8>().0.iter().all(|raw| f64::from_le_bytes(*raw).is_finite())
        }
        _ => false,
    }
}

/// Appends a data set as one JSON object. `bulk` is the URL below which bulk data are found (see [`crate::bulk`]).
pub(crate) fn write(attributes: &Attributes, bulk: Option<&str>, out: &mut Vec<u8>) {
    Writer { out, bulk, path: String::new() }.data_set(attributes);
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    bulk: Option<&'a str>,
    /// Sequences and items around the element being written: `00081140/1/`.
    path: String,
}

impl Writer<'_> {
    fn data_set(&mut self, attributes: &Attributes) {
        self.out.push(b'{');
        let mut is_first = true;
        for element in attributes.iter().filter(|element| is_shown(element.tag)) {
            if !is_first {
                self.out.push(b',');
            }
            is_first = false;
            self.element(attributes, element);
        }
        self.out.push(b'}');
    }

    fn element(&mut self, attributes: &Attributes, element: &Element) {
        self.out.push(b'"');
        self.out.extend_from_slice(&hexadecimal(element.tag));
        self.out.extend_from_slice(b"\":{\"vr\":\"");
        self.out.extend_from_slice(&element.vr.to_bytes());
        self.out.push(b'"');
        match &element.value {
            Value::Items(items) => self.items(element.tag, items),
            Value::Bulk(bulk) if bulk.length > 0 => self.bulk_data_uri(element.tag),
            Value::Bytes(bytes) if !bytes.is_empty() => self.value(attributes, element, bytes),
            Value::Bulk(_) | Value::Bytes(_) => {}
        }
        self.out.push(b'}');
    }

    fn items(&mut self, tag: Tag, items: &[Attributes]) {
        if items.is_empty() {
            return;
        }
        let depth = self.path.len();
        self.out.extend_from_slice(b",\"Value\":[");
        for (number, item) in (1_usize..).zip(items) {
            if number > 1 {
                self.out.push(b',');
            }
            if self.bulk.is_some() {
                self.path.truncate(depth);
                self.path.push_str(&format!("{:04X}{:04X}/{number}/", tag.0, tag.1));
            }
            self.data_set(item);
        }
        self.path.truncate(depth);
        self.out.push(b']');
    }

    fn bulk_data_uri(&mut self, tag: Tag) {
        let Some(bulk) = self.bulk else { return };
        self.out.extend_from_slice(b",\"BulkDataURI\":\"");
        self.out.extend_from_slice(bulk.as_bytes());
        self.out.push(b'/');
        self.out.extend_from_slice(self.path.as_bytes());
        self.out.extend_from_slice(&hexadecimal(tag));
        self.out.push(b'"');
    }

    fn value(&mut self, attributes: &Attributes, element: &Element, bytes: &Bytes) {
        let tag = element.tag;
        match element.vr {
            _ if tag == tags::SPECIFIC_CHARACTER_SET => {
                self.out.extend_from_slice(b",\"Value\":[\"ISO_IR 192\"]")
            }
            VR::US => self.numbers(tag, bytes, |raw, out| number::whole(u16::from_le_bytes(raw).into(), out)),
            VR::SS => self.numbers(tag, bytes, |raw, out| number::whole(i16::from_le_bytes(raw).into(), out)),
            VR::UL => self.numbers(tag, bytes, |raw, out| number::whole(u32::from_le_bytes(raw).into(), out)),
            VR::SL => self.numbers(tag, bytes, |raw, out| number::whole(i32::from_le_bytes(raw).into(), out)),
            VR::UV => self.numbers(tag, bytes, |raw, out| number::whole(u64::from_le_bytes(raw).into(), out)),
            VR::SV => self.numbers(tag, bytes, |raw, out| number::whole(i64::from_le_bytes(raw).into(), out)),
            VR::FL => self.numbers(tag, bytes, |raw, out| number::single(f32::from_le_bytes(raw), out)),
            VR::FD => self.numbers(tag, bytes, |raw, out| number::double(f64::from_le_bytes(raw), out)),
            VR::AT => self.numbers(tag, bytes, |[a, b, c, d], out| {
                let tag = Tag(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
                string(&String::from_utf8_lossy(&hexadecimal(tag)), out);
                true
            }),
            VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN | VR::SQ => {
                self.inline_binary(bytes)
            }
            VR::DS | VR::IS => self.texts(attributes, element, |text, out| match number::decimal(text) {
                Some(number) => out.extend_from_slice(number.as_bytes()),
                None => string(text, out),
            }),
            VR::PN => self.texts(attributes, element, person_name),
            _ => self.texts(attributes, element, string),
        }
    }

    /// Numbers of N bytes each. Where `write` refuses one, the element comes by BulkDataURI instead.
    fn numbers<const N: usize>(
        &mut self,
        tag: Tag,
        bytes: &Bytes,
        write: impl Fn([u8; N], &mut Vec<u8>) -> bool,
    ) {
        let start = self.out.len();
        self.out.extend_from_slice(b",\"Value\":[");
        for (place, raw) in bytes.as_chunks::<N>().0.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            if !write(*raw, self.out) {
                self.out.truncate(start);
                return self.bulk_data_uri(tag);
            }
        }
        self.out.push(b']');
        if bytes.len() < N {
            self.out.truncate(start);
        }
    }

    /// Values of a text VR, `null` for an empty one among others.
    fn texts(&mut self, attributes: &Attributes, element: &Element, write: impl Fn(&str, &mut Vec<u8>)) {
        let Some(text) = attributes.decoded(element) else { return };
        if is_single(element.vr) {
            self.each(std::iter::once(text.trim_end_matches(PADDING)), write);
        } else {
            self.each(text.split('\\').map(|value| value.trim_matches(PADDING)), write);
        }
    }

    fn each<'a>(&mut self, values: impl Iterator<Item = &'a str>, write: impl Fn(&str, &mut Vec<u8>)) {
        let start = self.out.len();
        self.out.extend_from_slice(b",\"Value\":[");
        let (mut count, mut is_empty) = (0, true);
        for value in values {
            if count > 0 {
                self.out.push(b',');
            }
            count += 1;
            is_empty &= value.is_empty();
            if value.is_empty() { self.out.extend_from_slice(b"null") } else { write(value, self.out) }
        }
        self.out.push(b']');
        // Nothing but padding is no value.
        if count <= 1 && is_empty {
            self.out.truncate(start);
        }
    }

    fn inline_binary(&mut self, bytes: &Bytes) {
        self.out.extend_from_slice(b",\"InlineBinary\":\"");
        base64::encode(bytes, self.out);
        self.out.push(b'"');
    }
}

/// Whether a backslash belongs to the text (PS3.5 §6.4).
fn is_single(vr: VR) -> bool {
    matches!(vr, VR::ST | VR::LT | VR::UT | VR::UR)
}

/// Whether an element belongs into the model: no group length, no file meta information.
pub(crate) fn is_shown(tag: Tag) -> bool {
    tag.1 != 0 && tag.0 != 2
}

/// An object of the component groups that are not empty; `null` when all are.
fn person_name(text: &str, out: &mut Vec<u8>) {
    let mut opening = b'{';
    for (name, group) in ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(text.split('=')) {
        if !group.is_empty() {
            out.push(opening);
            opening = b',';
            string(name, out);
            out.push(b':');
            string(group, out);
        }
    }
    if opening == b'{' { out.extend_from_slice(b"null") } else { out.push(b'}') }
}

/// A JSON string, control characters escaped.
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7F)) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some((byte, behind)) = from.split_first() {
            escape(*byte, out);
            rest = behind;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0..0x20 | 0x7F => {
            let digit = |nibble: u8| HEXADECIMAL.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        _ => out.extend_from_slice(&[b'\\', byte]),
    }
}

/// Eight upper-case digits.
fn hexadecimal(tag: Tag) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let number = (u32::from(tag.0) << 16) | u32::from(tag.1);
    let mut shift = 32_u32;
    [(); 8].map(|()| {
        shift -= 4;
        let nibble = usize::try_from((number >> shift) & 15).unwrap_or_default();
        DIGITS.get(nibble).copied().unwrap_or(b'0')
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn json(attributes: &Attributes) -> String {
        let mut out = Vec::new();
        write(attributes, Some("http://pacs/bulk"), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn one(vr: VR, bytes: impl Into<Bytes>) -> String {
        let mut attributes = Attributes::new();
        attributes.put_bytes(Tag(0x0018, 0x0050), vr, bytes);
        let text = json(&attributes);
        text.strip_prefix("{\"00180050\":").unwrap().strip_suffix('}').unwrap().to_owned()
    }

    #[rstest]
    #[case(VR::LO, "a\\\\c", r#"{"vr":"LO","Value":["a",null,"c"]}"#)]
    #[case(VR::LO, "", r#"{"vr":"LO"}"#)]
    #[case(VR::LO, "  ", r#"{"vr":"LO"}"#)]
    #[case(VR::LT, "  two\r\nback\\slash\t\x1f ", r#"{"vr":"LT","Value":["  two\r\nback\\slash\t\u001f"]}"#)]
    #[case(VR::UI, "1.2.3\0", r#"{"vr":"UI","Value":["1.2.3"]}"#)]
    #[case(VR::PN, "A^B=山^太=", r#"{"vr":"PN","Value":[{"Alphabetic":"A^B","Ideographic":"山^太"}]}"#)]
    #[case(VR::PN, "==やま\\=", r#"{"vr":"PN","Value":[{"Phonetic":"やま"},null]}"#)]
    #[case(VR::DS, "1.20\\.5\\-158.135803000000", r#"{"vr":"DS","Value":[1.20,0.5,-158.135803000000]}"#)]
    #[case(VR::DS, "1,5\\NaN\\1e400\\@", r#"{"vr":"DS","Value":["1,5","NaN","1e400","@"]}"#)]
    #[case(VR::IS, " 012 ", r#"{"vr":"IS","Value":[12]}"#)]
    #[case(VR::SH, "\"q\"", r#"{"vr":"SH","Value":["\"q\""]}"#)]
    fn writes_text(#[case] vr: VR, #[case] value: &'static str, #[case] expected: &str) {
        assert_eq!(one(vr, value.as_bytes()), expected);
    }

    #[rstest]
    #[case(VR::US, &[232, 253, 1, 0], r#"{"vr":"US","Value":[65000,1]}"#)]
    #[case(VR::SS, &[232, 253], r#"{"vr":"SS","Value":[-536]}"#)]
    #[case(VR::US, &[1], r#"{"vr":"US"}"#)]
    #[case(VR::AT, &[0x18, 0, 0x6A, 0x10], r#"{"vr":"AT","Value":["0018106A"]}"#)]
    #[case(VR::OB, &[0, 1, 2, 3], r#"{"vr":"OB","InlineBinary":"AAECAw=="}"#)]
    #[case(VR::UN, &[255], r#"{"vr":"UN","InlineBinary":"/w=="}"#)]
    #[case(VR::FL, &0.1_f32.to_le_bytes(), r#"{"vr":"FL","Value":[0.1]}"#)]
    #[case(VR::FD, &1e308_f64.to_le_bytes(), r#"{"vr":"FD","Value":[1e308]}"#)]
    #[case(VR::FD, &(-2.5e-10_f64).to_le_bytes(), r#"{"vr":"FD","Value":[-2.5e-10]}"#)]
    #[case(VR::FD, &f64::NAN.to_le_bytes(), r#"{"vr":"FD","BulkDataURI":"http://pacs/bulk/00180050"}"#)]
    #[case(VR::SV, &(-(1_i64 << 60)).to_le_bytes(), r#"{"vr":"SV","Value":["-1152921504606846976"]}"#)]
    #[case(VR::UV, &7_u64.to_le_bytes(), r#"{"vr":"UV","Value":[7]}"#)]
    fn writes_numbers_and_bytes(#[case] vr: VR, #[case] value: &[u8], #[case] expected: &str) {
        assert_eq!(one(vr, value.to_vec()), expected);
    }

    #[test]
    fn writes_sequences_with_the_path_to_bulk_data_inside() {
        let bulk = dicom_store::model::Bulk { offset: 400, length: 4096, encapsulated: false };
        let mut item = Attributes::new();
        item.put(Element { tag: tags::PIXEL_DATA, vr: VR::OW, value: Value::Bulk(bulk) });
        let mut attributes = Attributes::new();
        attributes.put_items(Tag(0x0088, 0x0200), vec![Attributes::new(), item]);
        attributes.put_items(Tag(0x0008, 0x1140), Vec::new());
        attributes.put(Element { tag: tags::PIXEL_DATA, vr: VR::OB, value: Value::Bulk(bulk) });
        assert_eq!(
            json(&attributes),
            r#"{"00081140":{"vr":"SQ"},"00880200":{"vr":"SQ","Value":[{},{"7FE00010":{"vr":"OW","BulkDataURI":"http://pacs/bulk/00880200/2/7FE00010"}}]},"7FE00010":{"vr":"OB","BulkDataURI":"http://pacs/bulk/7FE00010"}}"#
        );
    }

    #[test]
    fn names_utf_8_and_leaves_group_lengths_out() {
        let mut attributes = Attributes::new();
        attributes.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
        attributes.put_u32(Tag(0x0008, 0), 12);
        attributes.put_text(Tag(0x0002, 0x0010), VR::UI, "1.2");
        assert_eq!(json(&attributes), r#"{"00080005":{"vr":"CS","Value":["ISO_IR 192"]}}"#);
    }
}
