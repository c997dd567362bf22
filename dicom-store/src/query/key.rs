//! A matching key and the kind of matching that its value asks for (PS3.4 §C.2.2.2).

use std::fmt;

use super::date_time::{Kind, Range};
use super::name::NameKey;
use super::{Options, Pattern};
use crate::model::{Attributes, Element, Tag, VR, Value};
use crate::{Error, Result};

/// Sequences within each other: a key is walked with a call for each.
const DEEPEST: usize = 32;

/// An attribute, in a sequence where the path is longer than one, and what it has to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub path: Vec<Tag>,
    pub vr: VR,
    pub matching: Matching,
    /// Whose a private attribute is (PS3.5 §7.8.1); its block may then have any number.
    pub creator: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Matching {
    /// Everything, a missing value too.
    Universal,
    /// One of these values: one, or several of a list of UIDs or by multiple value matching.
    Values(Vec<String>),
    Wildcard(Pattern),
    /// A person's name.
    Name(Box<NameKey>),
    Range(Kind, Range),
    /// An item that satisfies all of these.
    Item(Vec<Key>),
    /// Nothing there (`""`, PS3.4 §C.2.2.2.7).
    Empty,
}

/// Which kind, not which value: that is patient data.
impl fmt::Debug for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Universal => f.write_str("Universal"),
            Self::Values(values) => write!(f, "Values({})", values.len()),
            Self::Wildcard(_) => f.write_str("Wildcard"),
            Self::Name(_) => f.write_str("Name"),
            Self::Range(kind, _) => write!(f, "Range({kind:?})"),
            Self::Item(keys) => f.debug_tuple("Item").field(keys).finish(),
            Self::Empty => f.write_str("Empty"),
        }
    }
}

impl Key {
    /// A key by its path, VR and value as text.
    ///
    /// # Errors
    /// `Invalid` when the value is none of the VR: a date that is no date, a UID that is none.
    pub fn parse(path: &[Tag], vr: VR, value: &str) -> Result<Self> {
        Self::parse_with(path, vr, value, Options::default())
    }

    /// The same, with what was agreed.
    ///
    /// # Errors
    /// As [`Key::parse`].
    pub fn parse_with(path: &[Tag], vr: VR, value: &str, options: Options) -> Result<Self> {
        if path.len() > DEEPEST {
            return Err(Error::invalid(format!("a key lies in more than {DEEPEST} sequences")));
        }
        let (first, rest) = path.split_first().ok_or_else(|| Error::invalid("a key names no attribute"))?;
        let matching = if rest.is_empty() {
            Matching::parse(*first, vr, value, options)?
        } else {
            Matching::Item(vec![Self::parse_with(rest, vr, value, options)?])
        };
        let vr = if rest.is_empty() { vr } else { VR::SQ };
        Ok(Self { path: vec![*first], vr, matching, creator: None })
    }

    /// A key of an identifier; a sequence with its first item.
    pub(super) fn from_element(identifier: &Attributes, element: &Element, options: Options) -> Result<Self> {
        let matching = match &element.value {
            Value::Items(items) => Matching::of_item(items.first(), options)?,
            Value::Bytes(_) => Matching::parse(element.tag, element.vr, &text(identifier, element), options)?,
            Value::Bulk(_) => Matching::Universal,
        };
        Ok(Self { path: vec![element.tag], vr: element.vr, matching, creator: None })
    }

    pub fn tag(&self) -> Tag {
        self.path.first().copied().unwrap_or(Tag(0, 0))
    }
}

/// The value as text, several with backslashes; a binary number in decimal.
fn text(identifier: &Attributes, element: &Element) -> String {
    let strings = identifier.strings(element);
    if !strings.is_empty() {
        return strings.join("\\");
    }
    identifier.ints(element.tag).iter().map(i64::to_string).collect::<Vec<_>>().join("\\")
}

impl Matching {
    /// By the keys of a sequence's one item; none, or none with a value, is universal.
    fn of_item(item: Option<&Attributes>, options: Options) -> Result<Self> {
        let Some(item) = item else { return Ok(Self::Universal) };
        let mut keys = Vec::new();
        for element in item {
            let key = Key::from_element(item, element, options)?;
            if key.matching != Self::Universal {
                keys.push(key);
            }
        }
        Ok(if keys.is_empty() { Self::Universal } else { Self::Item(keys) })
    }

    fn parse(tag: Tag, vr: VR, value: &str, options: Options) -> Result<Self> {
        let value = value.trim_matches([' ', '\0']);
        // A single asterisk asks for nothing in particular, where wildcards have no meaning too.
        if value.is_empty() || value == "*" {
            return Ok(Self::Universal);
        }
        if value == "\"\"" {
            return Ok(Self::Empty);
        }
        match vr {
            VR::DA => Range::parse(Kind::Date, value).map(|range| Self::Range(Kind::Date, range)),
            VR::TM => Range::parse(Kind::Time, value).map(|range| Self::Range(Kind::Time, range)),
            VR::DT => Range::parse(Kind::DateTime, value).map(|range| Self::Range(Kind::DateTime, range)),
            VR::UI => uids(tag, value),
            VR::PN => Ok(Self::Name(Box::new(NameKey::parse(value, options.fuzzy_names)))),
            _ if has_wildcards(vr) && value.contains(['*', '?']) && !value.contains('\\') => {
                Ok(Self::Wildcard(Pattern::new(value)))
            }
            // A list where one value is meant: any of them, as Modalities in Study is asked for.
            VR::CS | VR::SH | VR::LO | VR::AE => {
                Ok(Self::Values(value.split('\\').map(|v| v.trim().to_owned()).collect()))
            }
            VR::IS | VR::SS | VR::US | VR::SL | VR::UL | VR::SV | VR::UV => {
                numbers(tag, value, |number| number.parse::<i128>().is_ok())
            }
            // Words such as `inf` are numbers to the parser alone.
            VR::DS | VR::FL | VR::FD => numbers(tag, value, |number| {
                number.parse::<f64>().is_ok() && number.contains(|c: char| c.is_ascii_digit())
            }),
            _ => Ok(Self::Values(vec![value.to_owned()])),
        }
    }
}

fn numbers(tag: Tag, value: &str, is_number: impl Fn(&str) -> bool) -> Result<Matching> {
    let numbers: Vec<String> = value.split('\\').map(|number| number.trim().to_owned()).collect();
    if numbers.iter().all(|number| is_number(number)) {
        return Ok(Matching::Values(numbers));
    }
    Err(Error::invalid(format!("{tag} is matched by a number, without wildcards or ranges")))
}

fn uids(tag: Tag, value: &str) -> Result<Matching> {
    let uids: Vec<String> =
        value.split(['\\', ',']).map(|uid| uid.trim_matches([' ', '\0']).to_owned()).collect();
    let is_uid = |uid: &String| {
        !uid.is_empty() && uid.len() <= 64 && uid.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    if uids.iter().all(is_uid) {
        return Ok(Matching::Values(uids));
    }
    Err(Error::invalid(format!("{tag} is not a UID or a list of UIDs")))
}

/// PS3.4 §C.2.2.2.4. Private attributes whose VR nobody knows are taken for text.
pub(super) fn has_wildcards(vr: VR) -> bool {
    use VR::{AE, CS, LO, LT, PN, SH, ST, UC, UN, UR, UT};
    matches!(vr, AE | CS | LO | LT | PN | SH | ST | UC | UN | UR | UT)
}
