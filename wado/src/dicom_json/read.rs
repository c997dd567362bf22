//! Data sets out of the DICOM JSON model (PS3.18 Annex F).
//!
//! Taken beyond the text: a missing `vr` is that of the dictionary, numbers may be strings and strings numbers, and
//! a name of a person may be a plain string. What cannot be a value of its VR is an error that names the attribute.
//! Text becomes UTF-8, and Specific Character Set says so.

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Element, Tag, VR, Value as ElementValue};
use dicom_store::{Error, Result};
use serde_json::{Map, Value};

use super::base64;
use crate::attribute;

/// Sequences within each other, at the most.
const MAX_DEPTH: usize = 32;
/// The group of items and delimiters (PS3.5 §7.5), which are no attributes.
const DELIMITERS: u16 = 0xFFFE;
/// Characters of a DS (PS3.5 §6.2).
const LONGEST_DECIMAL: usize = 16;

/// A data set as it came: an object of the model.
pub(crate) type Object = Map<String, Value>;

/// The data sets of a text, each as its part of the text: one object, or an array of them. What is in them is not
/// looked at yet, which takes many times the memory of the text.
///
/// # Errors
/// `Invalid` when it is neither.
pub(crate) fn split(text: &Bytes) -> Result<Vec<Bytes>> {
    let no_json = || Error::invalid("metadata are no JSON object, and no array of objects");
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).ok_or_else(no_json)?;
    match text.get(start) {
        Some(b'{') => return Ok(vec![text.slice(start..)]),
        Some(b'[') => {}
        _ => return Err(no_json()),
    }
    let mut objects = Vec::new();
    let (mut begun, mut depth, mut is_text, mut is_escaped) = (0, 0_usize, false, false);
    for (at, byte) in text.iter().enumerate().skip(start + 1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' if depth > 0 => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => {
                if depth == 0 {
                    begun = at;
                }
                depth += 1;
            }
            b']' if depth == 0 => {
                let is_end = text.iter().skip(at + 1).all(u8::is_ascii_whitespace);
                return if is_end { Ok(objects) } else { Err(no_json()) };
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1).ok_or_else(no_json)?;
                if depth == 0 {
                    objects.push(text.slice(begun..=at));
                }
            }
            _ if depth > 0 || *byte == b',' || byte.is_ascii_whitespace() => {}
            _ => return Err(no_json()),
        }
    }
    Err(no_json())
}

/// One data set.
///
/// # Errors
/// `Invalid` when it is no JSON object.
pub(crate) fn object(text: &[u8]) -> Result<Object> {
    serde_json::from_slice(text)
        .map_err(|cause| Error::invalid("metadata are no JSON object").with_source(cause))
}

/// The first value of an attribute, where it is text.
pub(crate) fn text(object: &Object, tag: Tag) -> Option<&str> {
    let key = format!("{:04X}{:04X}", tag.0, tag.1);
    let attribute = object.get(&key).or_else(|| object.get(&key.to_ascii_lowercase()))?;
    attribute.get("Value")?.get(0)?.as_str()
}

/// Makes the data set, without group 0002 and group lengths. `bulk` gives the value behind each URL, or `None` for
/// an attribute that is left out.
///
/// # Errors
/// `Invalid` when an attribute cannot be read, and what `bulk` says.
pub(crate) fn data_set(
    object: &Object,
    bulk: &mut dyn FnMut(&Reference<'_>) -> Result<Option<Bytes>>,
) -> Result<Attributes> {
    let mut attributes = Reader { bulk, depth: 0 }.data_set(object)?;
    // Says what the bytes are, whatever the text was before it came here.
    attributes.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    Ok(attributes)
}

/// A value that is told by a URL.
pub(crate) struct Reference<'a> {
    pub(crate) tag: Tag,
    /// Whether it is an attribute of the data set itself and not of an item.
    pub(crate) is_outermost: bool,
    pub(crate) url: &'a str,
}

struct Reader<'a> {
    bulk: &'a mut dyn FnMut(&Reference<'_>) -> Result<Option<Bytes>>,
    depth: usize,
}

impl Reader<'_> {
    fn data_set(&mut self, object: &Object) -> Result<Attributes> {
        if self.depth > MAX_DEPTH {
            return Err(Error::invalid(format!("sequences are nested deeper than {MAX_DEPTH}")));
        }
        let mut attributes = Attributes::new();
        for (name, attribute) in object {
            let tag = tag(name)?;
            if tag.0 == DELIMITERS {
                return Err(Error::invalid(format!("({:04X},{:04X}) is no attribute", tag.0, tag.1)));
            }
            if tag.0 > 2
                && tag.1 != 0
                && let Some(value) = self.element(tag, attribute)?
            {
                attributes.put(Element { tag, vr: vr(tag, attribute)?, value });
            }
        }
        Ok(attributes)
    }

    fn element(&mut self, tag: Tag, attribute: &Value) -> Result<Option<ElementValue>> {
        let vr = vr(tag, attribute)?;
        if vr == VR::SQ {
            let items = values(tag, attribute)?.iter();
            self.depth += 1;
            let items = items.filter(|item| !item.is_null()).map(|item| match item {
                Value::Object(item) => self.data_set(item),
                _ => Err(no_value(tag, vr)),
            });
            let items = items.collect::<Result<_>>();
            self.depth -= 1;
            return items.map(ElementValue::Items).map(Some);
        }
        if let Some(url) = attribute.get("BulkDataURI") {
            let url = url.as_str().ok_or_else(|| no_value(tag, vr))?;
            let reference = Reference { tag, is_outermost: self.depth == 0, url };
            return Ok((self.bulk)(&reference)?.map(ElementValue::Bytes));
        }
        let bytes = match attribute.get("InlineBinary") {
            Some(text) => text.as_str().and_then(base64::decode).ok_or_else(|| no_value(tag, vr))?,
            None => value(tag, vr, values(tag, attribute)?)?,
        };
        Ok(Some(ElementValue::Bytes(bytes.into())))
    }
}

fn tag(name: &str) -> Result<Tag> {
    let number = u32::from_str_radix(name, 16).ok().filter(|_| name.len() == 8);
    let number =
        number.ok_or_else(|| Error::invalid("an attribute's name is not eight hexadecimal digits"))?;
    let [a, b, c, d] = number.to_be_bytes();
    Ok(Tag(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

fn vr(tag: Tag, attribute: &Value) -> Result<VR> {
    match attribute.get("vr") {
        None => Ok(attribute::vr(tag)),
        Some(text) => text.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Error::invalid(format!(
                "attribute ({:04X},{:04X}) has a vr that DICOM does not know",
                tag.0, tag.1
            ))
        }),
    }
}

fn values(tag: Tag, attribute: &Value) -> Result<&[Value]> {
    match attribute.get("Value") {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(Error::invalid(format!("Value of ({:04X},{:04X}) is no array", tag.0, tag.1))),
    }
}

/// Says what, and not which value: that may be who a patient is.
fn no_value(tag: Tag, vr: VR) -> Error {
    Error::invalid(format!("({:04X},{:04X}) has what is no value of {vr}", tag.0, tag.1))
}

/// The value field, in little endian.
fn value(tag: Tag, vr: VR, values: &[Value]) -> Result<Vec<u8>> {
    let wrong = || no_value(tag, vr);
    let binary = |one: fn(&Value) -> Option<Vec<u8>>| {
        let bytes: Option<Vec<Vec<u8>>> = values.iter().filter(|value| !value.is_null()).map(one).collect();
        bytes.map(|bytes| bytes.concat()).ok_or_else(wrong)
    };
    match vr {
        VR::US => binary(|value| u16::try_from(whole(value)?).ok().map(|n| n.to_le_bytes().to_vec())),
        VR::SS => binary(|value| i16::try_from(whole(value)?).ok().map(|n| n.to_le_bytes().to_vec())),
        VR::UL => binary(|value| u32::try_from(whole(value)?).ok().map(|n| n.to_le_bytes().to_vec())),
        VR::SL => binary(|value| i32::try_from(whole(value)?).ok().map(|n| n.to_le_bytes().to_vec())),
        VR::UV => binary(|value| u64::try_from(whole(value)?).ok().map(|n| n.to_le_bytes().to_vec())),
        VR::SV => binary(|value| i64::try_from(whole(value)?).ok().map(|n| n.to_le_bytes().to_vec())),
        VR::FL => binary(|value| plain(value)?.trim().parse::<f32>().ok().map(|n| n.to_le_bytes().to_vec())),
        VR::FD => binary(|value| plain(value)?.trim().parse::<f64>().ok().map(|n| n.to_le_bytes().to_vec())),
        VR::AT => binary(|value| {
            let Tag(group, element) = self::tag(value.as_str()?).ok()?;
            Some([group.to_le_bytes(), element.to_le_bytes()].concat())
        }),
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN if values.is_empty() => Ok(Vec::new()),
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN => Err(wrong()),
        VR::PN => texts(values, |value| person(value).filter(|text| is_text(vr, text))).ok_or_else(wrong),
        VR::DS => texts(values, decimal).ok_or_else(wrong),
        VR::IS => texts(values, |value| whole(value).map(|number| number.to_string())).ok_or_else(wrong),
        _ => texts(values, |value| plain(value).filter(|text| is_text(vr, text))).ok_or_else(wrong),
    }
}

/// Whether a value has only characters that its VR has (PS3.5 §6.1.3, §6.2): no controls but those that break lines of
/// long texts, and no backslash where it stands between values.
fn is_text(vr: VR, text: &str) -> bool {
    let is_long = matches!(vr, VR::LT | VR::ST | VR::UT);
    let is_allowed = |c: char| match c {
        '\t' | '\n' | '\u{C}' | '\r' => is_long,
        '\\' => is_long || vr == VR::UR,
        c => !c.is_ascii_control(),
    };
    text.chars().all(is_allowed)
}

fn texts(values: &[Value], one: impl Fn(&Value) -> Option<String>) -> Option<Vec<u8>> {
    let one = |value: &Value| if value.is_null() { Some(String::new()) } else { one(value) };
    let texts: Option<Vec<String>> = values.iter().map(one).collect();
    texts.map(|texts| texts.join("\\").into_bytes())
}

/// Text, or a number as it is written.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim_end_matches(['\0', ' ']).to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number; `17.0` is one too.
fn whole(value: &Value) -> Option<i128> {
    let text = plain(value)?;
    let digits = text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|b| b == b'0'));
    digits.map_or(text.as_str(), |(whole, _)| whole).trim().parse().ok()
}

/// A DS of sixteen characters at the most: of a longer number the same, written shorter, or the nearest one.
fn decimal(value: &Value) -> Option<String> {
    let text = plain(value)?.trim().to_owned();
    if text.is_empty() {
        return Some(text);
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if text.len() <= LONGEST_DECIMAL {
        return Some(text);
    }
    let off = |text: &String| text.parse().map_or(f64::INFINITY, |near: f64| (near - number).abs());
    (0..LONGEST_DECIMAL)
        .flat_map(|digits| [format!("{number:.digits$}"), format!("{number:.digits$e}")])
        .chain(brief(number).into_iter().filter(|text| off(text) == 0.0))
        .filter(|text| text.len() <= LONGEST_DECIMAL)
        .min_by(|one, other| off(one).total_cmp(&off(other)))
}

/// A number as DICOM can write it and JSON cannot, or does not: without the zero before the point, and without a point
/// before the exponent.
fn brief(number: f64) -> [String; 2] {
    let (sign, plain) = (if number.is_sign_negative() { "-" } else { "" }, number.abs().to_string());
    let without_zero = format!("{sign}{}", plain.strip_prefix('0').unwrap_or(&plain));
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = i64::try_from(fraction.len()).unwrap_or_default();
    let exponent = exponent.parse::<i64>().unwrap_or_default() - places;
    [without_zero, format!("{whole}{fraction}e{exponent}")]
}

/// The component groups of a name, joined (PS3.18 §F.2.2).
fn person(value: &Value) -> Option<String> {
    let Value::Object(groups) = value else { return plain(value) };
    let group = |name| groups.get(name).and_then(Value::as_str).unwrap_or_default();
    let joined = ["Alphabetic", "Ideographic", "Phonetic"].map(group).join("=");
    Some(joined.trim_end_matches('=').to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<Attributes> {
        let objects = split(&json.to_string().into())?;
        data_set(&object(&objects[0])?, &mut |_| Ok(None))
    }

    #[test]
    fn gives_back_what_was_written() {
        let mut inner = Attributes::new();
        inner.put_text(tags::CODE_MEANING, VR::LO, "Đo");
        let mut attributes = Attributes::new();
        attributes.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        attributes.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^Hòa=阮^和");
        attributes.put_text(tags::SERIES_NUMBER, VR::IS, "12");
        attributes.put_text(tags::SLICE_THICKNESS, VR::DS, "1.25");
        attributes.put_texts(tags::IMAGE_TYPE, VR::CS, &["ORIGINAL", "PRIMARY"]);
        attributes.put_u16(tags::ROWS, 512);
        attributes.put_bytes(tags::FRAME_INCREMENT_POINTER, VR::AT, vec![0x18, 0, 0x63, 0x10]);
        attributes.put_bytes(Tag(0x0009, 0x1001), VR::UN, vec![1, 2, 3, 4]);
        attributes.put_items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![inner, Attributes::new()]);
        attributes.put_empty(tags::ACCESSION_NUMBER, VR::SH);
        let mut json = Vec::new();
        super::super::write(&attributes, None, &mut json);
        let back = data_set(&object(&json).unwrap(), &mut |_| Ok(None)).unwrap();
        assert_eq!(back.len(), attributes.len());
        for element in &attributes {
            assert_eq!(back.get(element.tag), Some(element), "{:?}", element.tag);
        }
    }

    #[rstest]
    #[case("IS", json!(["17"]), "17")]
    #[case("IS", json!([17.0]), "17")]
    #[case("DS", json!([2.5, "3", null]), "2.5\\3\\")]
    #[case("DS", json!([0.123_456_789_012_345_68]), "0.12345678901235")]
    #[case("DS", json!([-1.234_567_890_123_456_7e-100]), "-1.23456789e-100")]
    #[case("PN", json!(["Nguyen^Hoa"]), "Nguyen^Hoa")]
    #[case("PN", json!([{"Ideographic": "阮^和"}]), "=阮^和")]
    #[case("LO", json!([5]), "5")]
    #[case("LO", json!(["one", "other"]), "one\\other")]
    #[case("LT", json!(["a\tb\r\n\\c\u{C}"]), "a\tb\r\n\\c\u{C}")]
    #[case("UR", json!(["file:\\\\x"]), "file:\\\\x")]
    fn takes_what_clients_write(#[case] vr: &str, #[case] value: Value, #[case] expected: &str) {
        let attributes = read(json!({"00091001": {"vr": vr, "Value": value}})).unwrap();
        assert_eq!(attributes.bytes(Tag(0x0009, 0x1001)).unwrap(), expected.as_bytes());
    }

    #[test]
    fn doubles_are_what_their_digits_say() {
        let numbers = [14.399999999999999, 221.36400640010834, 0.015453157015144825, 123456789.12345679];
        let text = r#"{"00189087": {"vr": "FD", "Value":
            [14.399999999999999, 221.36400640010834, 0.015453157015144825, 123456789.12345679]}}"#;
        let attributes = data_set(&object(text.as_bytes()).unwrap(), &mut |_| Ok(None)).unwrap();
        let found = attributes.bytes(tags::DIFFUSION_B_VALUE).unwrap();
        assert_eq!(**found, *numbers.map(f64::to_le_bytes).concat());
    }

    #[rstest]
    #[case("14.3999999999999")]
    #[case("-158.13580300000")]
    #[case("9007199254740993")]
    #[case("0.01545315701514")]
    #[case(".123456789012345")]
    #[case("-.12345678901234")]
    #[case("1234567890123e15")]
    #[case("-123456789012e-9")]
    fn a_decimal_of_any_form_comes_back_as_the_same_number(#[case] text: &str) {
        let mut attributes = Attributes::new();
        attributes.put_text(tags::SLICE_THICKNESS, VR::DS, text);
        let mut json = Vec::new();
        super::super::write(&attributes, None, &mut json);
        let back = data_set(&object(&json).unwrap(), &mut |_| Ok(None)).unwrap();
        let back = back.text(tags::SLICE_THICKNESS).unwrap();
        let number = |text: &str| (text.parse::<f64>().unwrap(), text.parse::<i64>().ok());
        assert_eq!(number(&back), number(text), "{back}");
        assert!(back.len() <= LONGEST_DECIMAL, "{back}");
    }

    #[test]
    fn numbers_may_be_strings() {
        let attributes =
            read(json!({"00280010": {"Value": ["512"]}, "00189461": {"vr": "FL", "Value": ["0.5"]}}));
        let attributes = attributes.unwrap();
        assert_eq!(attributes.int(tags::ROWS), Some(512));
        assert_eq!(attributes.float(Tag(0x0018, 0x9461)), Some(0.5));
    }

    #[rstest]
    #[case(json!({"00280010": {"vr": "US", "Value": [65_536]}}))]
    #[case(json!({"00280010": {"vr": "US", "Value": ["many"]}}))]
    #[case(json!({"00280010": {"vr": "US", "Value": 5}}))]
    #[case(json!({"00280010": {"vr": "XX", "Value": [5]}}))]
    #[case(json!({"00080018": {"vr": "UI", "Value": [{"a": 1}]}}))]
    #[case(json!({"00081140": {"vr": "SQ", "Value": ["text"]}}))]
    #[case(json!({"7FE00010": {"vr": "OW", "InlineBinary": "=not base64="}}))]
    #[case(json!({"7FE00010": {"vr": "OW", "Value": [1]}}))]
    #[case(json!({"Rows": {"vr": "US", "Value": [1]}}))]
    #[case(json!({"FFFEE000": {"vr": "UN"}}))]
    #[case(json!({"00081030": {"vr": "LO", "Value": ["a\u{0}b"]}}))]
    #[case(json!({"00081030": {"vr": "LO", "Value": ["a\u{1B}$Bb"]}}))]
    #[case(json!({"00081030": {"vr": "LO", "Value": ["a\nb"]}}))]
    #[case(json!({"00081030": {"vr": "LO", "Value": ["two\\values"]}}))]
    #[case(json!({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "a\\b"}]}}))]
    #[case(json!({"00204000": {"vr": "LT", "Value": ["a\u{7}b"]}}))]
    #[case(json!("text"))]
    #[case(json!([1]))]
    fn refuses_what_is_no_data_set(#[case] json: Value) {
        assert_eq!(read(json).unwrap_err().kind, dicom_store::ErrorKind::Invalid);
    }

    #[rstest]
    #[case(r#" {"a": "]}"} "#, &[r#"{"a": "]}"} "#])]
    #[case(r#"[{"a": "\"}]"}, {"b": [{}]}]"#, &[r#"{"a": "\"}]"}"#, r#"{"b": [{}]}"#])]
    #[case(" [ ] ", &[])]
    fn an_array_comes_apart(#[case] text: &'static str, #[case] expected: &[&str]) {
        assert_eq!(split(&text.into()).unwrap(), expected);
    }

    #[rstest]
    #[case("")]
    #[case("[{}")]
    #[case("[{}] x")]
    #[case("[1, {}]")]
    #[case(r#"["{}"]"#)]
    #[case("[{]}")]
    fn what_is_no_array_of_objects_is_refused(#[case] text: &'static str) {
        assert!(split(&text.into()).is_err() || object(&split(&text.into()).unwrap()[0]).is_err());
    }

    #[test]
    fn refuses_sequences_without_end() {
        let mut json = json!({});
        for _ in 0..40 {
            json = json!({"00081140": {"vr": "SQ", "Value": [json]}});
        }
        assert!(read(json).unwrap_err().what.contains("nested"));
    }

    #[test]
    fn leaves_out_what_the_server_writes_itself() {
        let attributes = read(json!({
            "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2"]},
            "00080000": {"vr": "UL", "Value": [12]},
            "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        }));
        let attributes = attributes.unwrap();
        assert_eq!(attributes.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
        assert_eq!(attributes.len(), 1);
    }
}
