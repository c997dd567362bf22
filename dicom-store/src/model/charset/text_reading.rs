//! How the text of one data set is read, when not as it says.

use std::collections::BTreeSet;

use dicom::core::VR;
use serde::{Deserialize, Serialize};

use super::guess::{Guess, guess};
use super::{CharacterSet, Kind, TextEncoding};
use crate::model::element::is_charset_text;
use crate::model::{Attributes, Value};

/// Bytes of text that are looked at, at the most.
const ENOUGH: usize = 64 * 1024;

/// What is known beforehand of the text of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextRule {
    /// Nothing: UTF-8 is recognised, and Vietnamese encodings where it is clear.
    #[default]
    Auto,
    /// It is as it says.
    Declared,
    // It is in one of these where it says nothing, or says ISO_IR 6, 100 or 192 and is not.
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "windows-1258")]
    Windows1258,
    Tcvn3,
    Vni,
    Viscii,
    Latin1,
}

impl TextRule {
    fn encoding(self) -> Option<TextEncoding> {
        match self {
            Self::Auto | Self::Declared => None,
            Self::Utf8 => Some(TextEncoding::Utf8),
            Self::Windows1258 => Some(TextEncoding::Windows1258),
            Self::Tcvn3 => Some(TextEncoding::Tcvn3),
            Self::Vni => Some(TextEncoding::Vni),
            Self::Viscii => Some(TextEncoding::Viscii),
            Self::Latin1 => Some(TextEncoding::Latin1),
        }
    }
}

/// How the text of an instance is read: as it is declared, or repaired. Decided once, at the door or by
/// `reindex`, and kept with the header, so that every answer reads alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TextReading {
    repair: Option<TextEncoding>,
    is_unsure: bool,
}

/// A value that is not ASCII, and what is declared for it.
#[derive(Clone, Copy)]
struct Sample<'a> {
    bytes: &'a [u8],
    vr: VR,
    declared: &'a CharacterSet,
}

impl TextReading {
    /// What text is in that is not in what it is declared to be in.
    pub fn repair(self) -> Option<TextEncoding> {
        self.repair
    }

    /// It is not what it is declared to be, and what it is nobody can tell.
    pub fn is_unsure(self) -> bool {
        self.is_unsure
    }

    pub fn is_declared(self) -> bool {
        self == Self::default()
    }

    /// Looks at all text of a data set that is declared as nothing, as ISO_IR 6 or 100, or as ISO_IR 192.
    pub fn of(attributes: &Attributes, rule: TextRule) -> Self {
        let mut samples = Vec::new();
        if rule != TextRule::Declared {
            collect(attributes, &mut samples, &mut 0);
        }
        if samples.is_empty() {
            return Self::default();
        }
        let (repair, is_unsure) = match rule.encoding() {
            Some(encoding) => (Some(encoding), false),
            None => recognised(&samples),
        };
        let repair = repair.filter(|encoding| samples.iter().any(|sample| sample.is_changed_by(*encoding)));
        Self { repair, is_unsure }
    }

    /// Four bits.
    pub(in crate::model) fn to_bits(self) -> u8 {
        let repair =
            TextEncoding::ALL.iter().zip(1u8..).find(|(encoding, _)| Some(**encoding) == self.repair);
        repair.map_or(0, |(_, number)| number) | u8::from(self.is_unsure) << 3
    }

    /// `None` for bits that mean nothing.
    pub(in crate::model) fn from_bits(bits: u8) -> Option<Self> {
        let repair = match bits & 7 {
            0 => None,
            number => Some(*TextEncoding::ALL.get(usize::from(number) - 1)?),
        };
        (bits >> 4 == 0).then_some(Self { repair, is_unsure: bits & 8 != 0 })
    }
}

impl Sample<'_> {
    fn is_utf8(&self) -> bool {
        std::str::from_utf8(self.bytes).is_ok()
    }

    fn is_declared_utf8(&self) -> bool {
        *self.declared == CharacterSet::utf8()
    }

    fn is_changed_by(&self, encoding: TextEncoding) -> bool {
        // Undeclared text that is UTF-8 reads so without a repair; that it does is one all the same.
        let is_undeclared = self.declared.kind == Kind::Default && self.is_utf8();
        let repaired =
            self.declared.clone().read_as(TextReading { repair: Some(encoding), is_unsure: false });
        is_undeclared && encoding == TextEncoding::Utf8
            || repaired.decode(self.bytes, self.vr) != self.declared.decode(self.bytes, self.vr)
    }
}

fn collect<'a>(attributes: &'a Attributes, samples: &mut Vec<Sample<'a>>, seen: &mut usize) {
    let declared = attributes.charset();
    for element in attributes {
        match &element.value {
            Value::Items(items) => items.iter().for_each(|item| collect(item, samples, seen)),
            Value::Bytes(bytes) if is_charset_text(element.vr) && !bytes.is_ascii() => {
                *seen += bytes.len();
                if *seen <= ENOUGH && declared.is_doubted(bytes) {
                    samples.push(Sample { bytes, vr: element.vr, declared });
                }
            }
            _ => {}
        }
    }
}

/// Without a rule: what it is, and whether that is more than can be said.
fn recognised(samples: &[Sample<'_>]) -> (Option<TextEncoding>, bool) {
    let others: BTreeSet<&[u8]> = samples.iter().filter(|s| !s.is_utf8()).map(|s| s.bytes).collect();
    let is_utf8_undeclared = samples.iter().any(|sample| sample.is_utf8() && !sample.is_declared_utf8());
    let utf8 = is_utf8_undeclared.then_some(TextEncoding::Utf8);
    if others.is_empty() {
        return (utf8, false);
    }
    // Latin-1 holds every byte there is; what is declared as nothing or as UTF-8 and is neither is wrong for certain.
    let is_wrong =
        samples.iter().any(|s| !s.is_utf8() && (s.is_declared_utf8() || s.declared.kind == Kind::Default));
    match guess(others.iter().copied()) {
        Guess::Clear(encoding) => (Some(encoding), false),
        Guess::Unsure(best) => {
            (utf8, is_wrong || samples.iter().any(|s| !s.is_utf8() && s.is_changed_by(best)))
        }
        Guess::None => (utf8, is_wrong),
    }
}
