//! The Native DICOM Model (PS3.19 §A.1) as the DICOM JSON model has it, which is read from there.

use dicom_store::{Error, Result};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

use super::private::{self, Private};
use crate::dicom_json::read::Object;

/// Elements within each other, at the most; each sequence takes two.
const MAX_DEPTH: usize = 80;
/// Values that an attribute may leave out between others.
const MAX_LEFT_OUT: usize = 100;

/// The data set of a document.
///
/// # Errors
/// `Invalid` when it is no XML, nested too deep, or no Native DICOM Model, as where two values have one number. Entities
/// other than those of XML itself are not resolved.
pub(crate) fn object(text: &[u8]) -> Result<Object> {
    let document = document(text)?;
    if document.name != "NativeDicomModel" {
        return Err(Error::invalid("metadata are no NativeDicomModel"));
    }
    document.data_set()
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

    fn data_set(&self) -> Result<Object> {
        let (mut object, mut elements) = (Object::new(), Vec::new());
        for node in self.named("DicomAttribute") {
            let tag = node.attribute("tag").unwrap_or_default();
            let attribute = Value::Object(node.dicom_attribute()?);
            match Private::named(tag, node.attribute("privateCreator")) {
                Some((group, element, creator)) => {
                    elements.push(Private { group, element, creator, attribute });
                }
                None => {
                    object.insert(tag.to_owned(), attribute);
                }
            }
        }
        private::place(&mut object, elements)?;
        Ok(object)
    }

    fn dicom_attribute(&self) -> Result<Object> {
        let mut object = Map::new();
        if let Some(vr) = self.attribute("vr") {
            object.insert("vr".into(), vr.into());
        }
        if let Some(bulk) = self.named("BulkData").next() {
            object.insert("BulkDataURI".into(), bulk.attribute("uri").or(bulk.attribute("uuid")).into());
        } else if let Some(inline) = self.named("InlineBinary").next() {
            object.insert("InlineBinary".into(), inline.text.as_str().into());
        } else {
            let mut values = self.numbered("Item", |item| item.data_set().map(Value::Object))?;
            values.extend(self.numbered("PersonName", |name| Ok(name.person()))?);
            values.extend(self.numbered("Value", |value| Ok(value.text.as_str().into()))?);
            if !values.is_empty() {
                object.insert("Value".into(), values.into());
            }
        }
        Ok(object)
    }

    /// The children of one kind by their numbers, and nothing for those that are left out. One without a number stands
    /// behind the one before it.
    fn numbered(&self, name: &str, read: impl Fn(&Self) -> Result<Value>) -> Result<Vec<Value>> {
        let (mut children, mut number) = (Vec::new(), 0_usize);
        for child in self.named(name) {
            number = match child.attribute("number") {
                Some(text) => text.trim().parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                    Error::invalid(format!("the number of a {name} is no number from 1 up"))
                })?,
                None => number.saturating_add(1),
            };
            children.push((number, child));
        }
        children.sort_by_key(|(number, _)| *number);
        let most = children.len() + MAX_LEFT_OUT;
        let mut values = Vec::with_capacity(children.len());
        for (number, child) in children {
            if number > most {
                return Err(Error::invalid(format!("more than {MAX_LEFT_OUT} {name} elements are left out")));
            }
            if number <= values.len() {
                return Err(Error::invalid(format!("two {name} elements have the number {number}")));
            }
            values.resize(number - 1, Value::Null);
            values.push(read(child)?);
        }
        Ok(values)
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
        attributes.put_text(Tag(0x0011, 0x0012), VR::LO, "ACME 1");
        attributes.put_text(Tag(0x0011, 0x1201), VR::LO, "one");
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

    fn attribute(children: &str) -> Result<Attributes> {
        let text = format!(
            "<NativeDicomModel><DicomAttribute tag='00080008' vr='CS'>{children}</DicomAttribute></NativeDicomModel>"
        );
        read::data_set(&object(text.as_bytes())?, &mut |_| Ok(None))
    }

    #[rstest]
    #[case::any_order("<Value number='2'>B</Value><Value number='1'>A</Value>", "A\\B")]
    #[case::left_out("<Value number='3'>C</Value><Value number='1'>A</Value>", "A\\\\C")]
    #[case::first_left_out("<Value number='2'>B</Value>", "\\B")]
    #[case::without("<Value>A</Value><Value>B</Value>", "A\\B")]
    #[case::some_without("<Value number='2'>B</Value><Value>C</Value>", "\\B\\C")]
    fn a_value_stands_where_its_number_says(#[case] children: &str, #[case] expected: &str) {
        let found = attribute(children).unwrap();
        assert_eq!(found.bytes(tags::IMAGE_TYPE).unwrap(), expected.as_bytes());
    }

    #[rstest]
    #[case::twice("<Value number='1'>A</Value><Value number='1'>B</Value>")]
    #[case::none("<Value number='0'>A</Value>")]
    #[case::no_number("<Value number='x'>A</Value>")]
    #[case::far("<Value number='4000000000'>A</Value>")]
    #[case::farther("<Value number='18446744073709551615'>A</Value><Value>B</Value>")]
    fn a_number_that_says_no_place_is_refused(#[case] children: &str) {
        assert_eq!(attribute(children).unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn items_and_names_have_numbers_too() {
        let item = |number, name| {
            format!(
                "<Item number='{number}'><DicomAttribute tag='00081050' vr='PN'><PersonName number='2'><Alphabetic>\
                 <FamilyName>{name}</FamilyName></Alphabetic></PersonName></DicomAttribute></Item>"
            )
        };
        let text = format!(
            "<NativeDicomModel><DicomAttribute tag='00081140' vr='SQ'>{}{}</DicomAttribute></NativeDicomModel>",
            item(2, "B"),
            item(1, "A"),
        );
        let found = read::data_set(&object(text.as_bytes()).unwrap(), &mut |_| Ok(None)).unwrap();
        let items = found.items(tags::REFERENCED_IMAGE_SEQUENCE);
        let names: Vec<_> =
            items.iter().map(|item| item.bytes(tags::PERFORMING_PHYSICIAN_NAME).unwrap()).collect();
        assert_eq!(names, [&b"\\A"[..], b"\\B"]);
    }

    #[test]
    fn private_elements_of_items_have_blocks_there() {
        let private = "<DicomAttribute tag='00090001' vr='LO' privateCreator='ACME 1'><Value number='1'>x</Value></DicomAttribute>";
        let text = format!(
            "<NativeDicomModel>{private}<DicomAttribute tag='00081140' vr='SQ'><Item number='1'>{private}</Item>\
             </DicomAttribute></NativeDicomModel>"
        );
        let found = read::data_set(&object(text.as_bytes()).unwrap(), &mut |_| Ok(None)).unwrap();
        let item = &found.items(tags::REFERENCED_IMAGE_SEQUENCE)[0];
        for data_set in [&found, item] {
            assert_eq!(data_set.text(Tag(9, 0x10)).as_deref(), Some("ACME 1"));
            assert_eq!(data_set.text(Tag(9, 0x1001)).as_deref(), Some("x"));
            assert!(data_set.get(Tag(9, 1)).is_none());
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
