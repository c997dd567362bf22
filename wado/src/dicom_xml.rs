//! The Native DICOM Model in XML (PS3.19 §A.1), for clients that ask for `application/dicom+xml`.
//!
//! The same choices as in [`crate::dicom_json`], but that numbers stay text: a value that is no number is no problem
//! here. Characters that XML does not have become U+FFFD. A private element has the tag gggg00ee and its creator; one whose
//! block is nobody's has the tag as it stands.

mod private;
pub(crate) mod read;

use std::io::Write;

use dicom::core::dictionary::DataDictionary;
use dicom::dictionary_std::{StandardDataDictionary, tags};
use dicom_store::model::{Attributes, Element, PersonName, Tag, VR, Value};

use crate::dicom_json::{base64, is_shown};

const HEAD: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
    <NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">";

/// Appends a data set as one document. `bulk` is the URL below which bulk data are found.
pub(crate) fn write(attributes: &Attributes, bulk: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(HEAD);
    Writer { out, bulk, path: String::new() }.data_set(attributes);
    out.extend_from_slice(b"</NativeDicomModel>");
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    bulk: Option<&'a str>,
    path: String,
}

impl Writer<'_> {
    fn data_set(&mut self, attributes: &Attributes) {
        for element in attributes.iter().filter(|element| is_shown(element.tag)) {
            self.element(attributes, element);
        }
    }

    fn element(&mut self, attributes: &Attributes, element: &Element) {
        let Tag(group, number) = element.tag;
        let creator = private::creator(attributes, element.tag);
        let number = if creator.is_some() { number & 0xFF } else { number };
        self.raw(format_args!("<DicomAttribute tag=\"{group:04X}{number:04X}\" vr=\"{}\"", element.vr));
        if let Some(creator) = creator {
            self.raw(format_args!(" privateCreator=\""));
            self.text(&creator);
            self.out.push(b'"');
        } else if let Some(entry) = StandardDataDictionary.by_tag(element.tag) {
            self.raw(format_args!(" keyword=\"{}\"", entry.alias));
        }
        self.out.push(b'>');
        match &element.value {
            Value::Items(items) => self.items(element.tag, items),
            Value::Bulk(value) if value.length > 0 => self.bulk_data(element.tag),
            Value::Bytes(bytes) if !bytes.is_empty() => self.value(attributes, element, bytes),
            Value::Bulk(_) | Value::Bytes(_) => {}
        }
        self.out.extend_from_slice(b"</DicomAttribute>");
    }

    fn items(&mut self, tag: Tag, items: &[Attributes]) {
        let depth = self.path.len();
        for (number, item) in (1_usize..).zip(items) {
            self.path.truncate(depth);
            self.path.push_str(&format!("{:04X}{:04X}/{number}/", tag.0, tag.1));
            self.raw(format_args!("<Item number=\"{number}\">"));
            self.data_set(item);
            self.out.extend_from_slice(b"</Item>");
        }
        self.path.truncate(depth);
    }

    fn bulk_data(&mut self, tag: Tag) {
        if let Some(bulk) = self.bulk {
            let uri = format!("{bulk}/{}{:04X}{:04X}", self.path, tag.0, tag.1);
            self.out.extend_from_slice(b"<BulkData uri=\"");
            self.text(&uri);
            self.out.extend_from_slice(b"\"/>");
        }
    }

    fn value(&mut self, attributes: &Attributes, element: &Element, bytes: &[u8]) {
        match element.vr {
            _ if element.tag == tags::SPECIFIC_CHARACTER_SET => self.values(&["ISO_IR 192".to_owned()]),
            VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN | VR::SQ => {
                self.out.extend_from_slice(b"<InlineBinary>");
                base64::encode(bytes, self.out);
                self.out.extend_from_slice(b"</InlineBinary>");
            }
            VR::PN => self.names(&attributes.strings(element)),
            VR::FL => self.values(&each(bytes, |raw| f32::from_le_bytes(raw).to_string())),
            VR::FD => self.values(&each(bytes, |raw| f64::from_le_bytes(raw).to_string())),
            VR::US => self.values(&each(bytes, |raw| u16::from_le_bytes(raw).to_string())),
            VR::SS => self.values(&each(bytes, |raw| i16::from_le_bytes(raw).to_string())),
            VR::UL => self.values(&each(bytes, |raw| u32::from_le_bytes(raw).to_string())),
            VR::SL => self.values(&each(bytes, |raw| i32::from_le_bytes(raw).to_string())),
            VR::UV => self.values(&each(bytes, |raw| u64::from_le_bytes(raw).to_string())),
            VR::SV => self.values(&each(bytes, |raw| i64::from_le_bytes(raw).to_string())),
            VR::AT => self.values(&each(bytes, |[a, b, c, d]| {
                format!("{:04X}{:04X}", u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
            })),
            _ => self.values(&attributes.strings(element)),
        }
    }

    fn values(&mut self, values: &[String]) {
        for (number, value) in (1_usize..).zip(values) {
            self.raw(format_args!("<Value number=\"{number}\">"));
            self.text(value);
            self.out.extend_from_slice(b"</Value>");
        }
    }

    fn names(&mut self, names: &[String]) {
        for (number, name) in (1_usize..).zip(names) {
            self.raw(format_args!("<PersonName number=\"{number}\">"));
            let name = PersonName::parse(name);
            for (group, text) in ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(name.groups()) {
                if !text.is_empty() {
                    self.name_group(group, text);
                }
            }
            self.out.extend_from_slice(b"</PersonName>");
        }
    }

    fn name_group(&mut self, group: &str, text: &str) {
        self.raw(format_args!("<{group}>"));
        let parts = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
        for (part, text) in parts.into_iter().zip(text.split('^')).filter(|(_, text)| !text.is_empty()) {
            self.raw(format_args!("<{part}>"));
            self.text(text);
            self.raw(format_args!("</{part}>"));
        }
        self.raw(format_args!("</{group}>"));
    }

    fn raw(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("memory takes any bytes");
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.extend_from_slice(b"&amp;"),
                '<' => self.out.extend_from_slice(b"&lt;"),
                '>' => self.out.extend_from_slice(b"&gt;"),
                '"' => self.out.extend_from_slice(b"&quot;"),
                '\r' => self.out.extend_from_slice(b"&#13;"),
                '\n' | '\t' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'.. => {
                    self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => self.out.extend_from_slice("\u{FFFD}".as_bytes()),
            }
        }
    }
}

fn each<const N: usize>(bytes: &[u8], text: impl Fn([u8; N]) -> String) -> Vec<String> {
    bytes.as_chunks::<N>().0.iter().map(|raw| text(*raw)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_values_names_and_items_with_their_numbers() {
        let mut item = Attributes::new();
        item.put_text(tags::PATIENT_ID, VR::LO, "A&B");
        let mut attributes = Attributes::new();
        attributes.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^An");
        attributes.put_items(tags::OTHER_PATIENT_I_DS_SEQUENCE, vec![item]);
        attributes.put_text(Tag(0x0009, 0x0010), VR::LO, "CONF");
        attributes.put_bytes(Tag(0x0009, 0x1001), VR::UN, vec![1, 2, 3]);
        attributes.put_bytes(Tag(0x0009, 0x1101), VR::UN, vec![1, 2, 3]);
        let mut out = Vec::new();
        write(&attributes, None, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r#"<DicomAttribute tag="00080005" vr="CS" keyword="SpecificCharacterSet"><Value number="1">ISO_IR 192</Value></DicomAttribute>"#));
        assert!(text.contains(r#"<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1"><Alphabetic><FamilyName>Nguyễn</FamilyName><GivenName>An</GivenName></Alphabetic></PersonName></DicomAttribute>"#));
        assert!(text.contains(r#"vr="SQ" keyword="OtherPatientIDsSequence"><Item number="1"><DicomAttribute tag="00100020" vr="LO" keyword="PatientID"><Value number="1">A&amp;B</Value></DicomAttribute></Item></DicomAttribute>"#));
        assert!(text.contains(r#"<DicomAttribute tag="00090001" vr="UN" privateCreator="CONF"><InlineBinary>AQID</InlineBinary></DicomAttribute>"#));
        assert!(
            text.contains(r#"<DicomAttribute tag="00091101" vr="UN"><InlineBinary>"#),
            "nobody's block: {text}"
        );
    }
}
