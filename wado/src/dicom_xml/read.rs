//! The Native DICOM Model (PS3.19 §A.1) as the DICOM JSON model has it, which is read from there.

use dicom_store::{Error, Result};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

use crate::dicom_json::read::Object;

/// Elements within each other, at the most; each sequence takes two.
const MAX_DEPTH: usize = 80;

/// The data set of a document.
///
/// # Errors
/// `Invalid` when it is no XML, nested too deep, or no Native DICOM Model. Entities other than those of XML itself are
/// not resolved.
pub(crate) fn object(text: &[u8]) -> Result<Object> {
    let document = document(text)?;
    if document.name != "NativeDicomModel" {
        return Err(Error::invalid("metadata are no NativeDicomModel"));
    }
    Ok(document.data_set())
}

/// An element of XML.
#[derive(Debug, Default)]
struct Node {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Node>,
}

fn document(text: &[u8]) -> Result<Node> {
    let mut reader = Reader::from_reader(text);
    let mut open = vec![Node::default()];
    loop {
        let event = reader.read_event().map_err(no_xml)?;
        match event {
            Event::Start(start) if open.len() > MAX_DEPTH => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                return Err(Error::invalid(format!("{name} is nested deeper than {MAX_DEPTH} elements")));
            }
            Event::Start(start) => open.push(Node::of(&start)?),
            Event::Empty(start) => inner(&mut open)?.children.push(Node::of(&start)?),
            Event::End(_) => {
                let node = open.pop().ok_or_else(unbalanced)?;
                inner(&mut open)?.children.push(node);
            }
            Event::Text(text) => {
                let text = text.xml_content(XmlVersion::Implicit1_0).map_err(no_xml)?;
                inner(&mut open)?.text.push_str(&text);
            }
            Event::CData(text) => inner(&mut open)?.text.push_str(&text.decode().map_err(no_xml)?),
            Event::GeneralRef(entity) => {
                let character = entity.resolve_char_ref().map_err(no_xml)?;
                let name = entity.decode().map_err(no_xml)?;
                let text = &mut inner(&mut open)?.text;
                match character {
                    Some(character) => text.push(character),
                    None => text.push_str(quick_xml::escape::resolve_predefined_entity(&name).ok_or_else(
                        || Error::invalid("metadata name an entity that XML itself does not have"),
                    )?),
                }
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let mut outermost = open.pop().filter(|_| open.is_empty()).ok_or_else(unbalanced)?;
    outermost.children.pop().ok_or_else(|| Error::invalid("metadata are no XML"))
}

fn inner(open: &mut [Node]) -> Result<&mut Node> {
    open.last_mut().ok_or_else(unbalanced)
}

fn unbalanced() -> Error {
    Error::invalid("metadata are no XML: an element is not closed")
}

fn no_xml(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid("metadata are no XML").with_source(cause)
}

impl Node {
    fn of(start: &BytesStart<'_>) -> Result<Self> {
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(no_xml)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(no_xml)?;
            let key = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
            attributes.push((key, value.into_owned()));
        }
        Ok(Self { name, attributes, ..Self::default() })
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn data_set(&self) -> Object {
        let attribute = |node: &Self| {
            let tag = node.attribute("tag").unwrap_or_default().to_owned();
            (tag, Value::Object(node.dicom_attribute()))
        };
        self.named("DicomAttribute").map(attribute).collect()
    }

    fn dicom_attribute(&self) -> Object {
        let mut object = Map::new();
        if let Some(vr) = self.attribute("vr") {
            object.insert("vr".into(), vr.into());
        }
        if let Some(bulk) = self.named("BulkData").next() {
            object.insert("BulkDataURI".into(), bulk.attribute("uri").or(bulk.attribute("uuid")).into());
        } else if let Some(inline) = self.named("InlineBinary").next() {
            object.insert("InlineBinary".into(), inline.text.as_str().into());
        } else {
            let items = self.named("Item").map(|item| Value::Object(item.data_set()));
            let names = self.named("PersonName").map(Self::person);
            let values = self.named("Value").map(|value| Value::from(value.text.as_str()));
            let values: Vec<Value> = items.chain(names).chain(values).collect();
            if !values.is_empty() {
                object.insert("Value".into(), values.into());
            }
        }
        object
    }

    fn person(&self) -> Value {
        let mut groups = Map::new();
        for group in &self.children {
            let parts = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
            let part = |name| group.named(name).next().map_or("", |part| part.text.as_str());
            let joined = parts.map(part).join("^");
            groups.insert(group.name.clone(), joined.trim_end_matches('^').into());
        }
        Value::Object(groups)
    }
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;
    use dicom_store::ErrorKind;
    use dicom_store::model::{Attributes, Tag, VR};
    use rstest::rstest;

    use super::*;
    use crate::dicom_json::read;

    #[test]
    fn gives_back_what_was_written() {
        let mut inner = Attributes::new();
        inner.put_text(tags::CODE_MEANING, VR::LO, "a < b & \"c\"");
        let mut attributes = Attributes::new();
        attributes.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        attributes.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^Hòa^^BS=阮^和");
        attributes.put_text(tags::SLICE_THICKNESS, VR::DS, "1.25");
        attributes.put_texts(tags::IMAGE_TYPE, VR::CS, &["ORIGINAL", "PRIMARY"]);
        attributes.put_u16(tags::ROWS, 512);
        attributes.put_bytes(Tag(0x0009, 0x1001), VR::UN, vec![1, 2, 3, 4]);
        attributes.put_items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![inner, Attributes::new()]);
        attributes.put_empty(tags::ACCESSION_NUMBER, VR::SH);
        let mut xml = Vec::new();
        super::super::write(&attributes, None, &mut xml);
        let back = read::data_set(&object(&xml).unwrap(), &mut |_| Ok(None)).unwrap();
        assert_eq!(back.len(), attributes.len());
        for element in &attributes {
            assert_eq!(back.get(element.tag), Some(element), "{:?}", element.tag);
        }
    }

    #[rstest]
    #[case::text("hello")]
    #[case::other("<a/>")]
    #[case::open("<NativeDicomModel><DicomAttribute tag='00100010' vr='PN'>")]
    #[case::entity("<!DOCTYPE a [<!ENTITY e 'x'>]><NativeDicomModel>&e;</NativeDicomModel>")]
    fn refuses(#[case] text: &str) {
        assert_eq!(object(text.as_bytes()).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn refuses_elements_without_end() {
        let text = "<NativeDicomModel>".repeat(100_000);
        assert!(object(text.as_bytes()).unwrap_err().what.contains("nested"));
    }
}
