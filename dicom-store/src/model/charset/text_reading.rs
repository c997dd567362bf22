//! How the text of one data set is read, when not as it says.

use std::collections::BTreeSet;

use dicom::core::VR;
use serde::{Deserialize, Serialize};

use super::guess::{Guess, guess};
use super::{CharacterSet, Kind, TextEncoding, is_plain, twice};
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
    /// UTF-8 that a gateway has encoded once more.
    #[serde(rename = "utf-8-twice")]
    Utf8Twice,
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
            Self::Utf8Twice => Some(TextEncoding::Utf8Twice),
        }
    }
}

/// How the text of an instance is read: as it is declared, or repaired. Decided once, at the door or by
/// `reindex`, and kept with the header, so that every answer reads alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TextReading {
    repair: Option<TextEncoding>,
    is_unsure: bool,
    is_by_rule: bool,
}

/// The bit of a rule, behind those that a header keeps.
const BY_RULE: u8 = 1 << 4;

/// A value that some character sets read otherwise, and what is declared for it.
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

    /// Some is not what it is declared to be, and what it is nobody can tell; or it holds what means nothing as
    /// it is read.
    pub fn is_unsure(self) -> bool {
        self.is_unsure
    }

    /// The repair is what the settings say of the sender. Of a header that was kept nobody knows.
    pub fn is_by_rule(self) -> bool {
        self.is_by_rule
    }

    pub fn is_declared(self) -> bool {
        self == Self::default()
    }

    /// Decides for text that is declared as nothing, as ISO_IR 6 or 100, or as ISO_IR 192; of any other it is only
    /// told when it means nothing.
    pub fn of(attributes: &Attributes, rule: TextRule) -> Self {
        let mut all = Vec::new();
        collect(attributes, &mut all, &mut 0);
        let doubted: Vec<Sample> = match rule {
            TextRule::Declared => Vec::new(),
            _ => all.iter().copied().filter(Sample::is_doubted).collect(),
        };
        let reading = match rule.encoding() {
            _ if doubted.is_empty() => Self::default(),
            Some(encoding) => ruled(&doubted, encoding),
            None => recognised(&doubted),
        };
        let repair = reading.repair.filter(|encoding| doubted.iter().any(|s| s.is_changed_by(*encoding)));
        let reading = Self { repair, is_by_rule: repair.is_some() && repair == rule.encoding(), ..reading };
        Self { is_unsure: reading.is_unsure || all.iter().any(|s| s.means_nothing(reading)), ..reading }
    }

    /// Every reading that there may be.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..BY_RULE << 1).filter_map(Self::from_number)
    }

    /// Four bits: all that text is read by.
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
        (bits >> 4 == 0).then_some(Self { repair, is_unsure: bits & 8 != 0, is_by_rule: false })
    }

    /// All of it as a number, 0 for text that is read as it is declared.
    pub(crate) fn number(self) -> u8 {
        self.to_bits() | if self.is_by_rule { BY_RULE } else { 0 }
    }

    /// `None` for a number that is none of these.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        let reading = Self::from_bits(number & !BY_RULE)?;
        let is_by_rule = number & BY_RULE != 0;
        (!is_by_rule || reading.repair.is_some()).then_some(Self { is_by_rule, ..reading })
    }
}

impl Sample<'_> {
    fn is_doubted(&self) -> bool {
        !self.bytes.is_ascii() && self.declared.is_doubted(self.bytes)
    }

    /// Neither UTF-8 nor anything else that it may be by what is declared: Latin-1 holds every byte there is.
    fn is_wrong(&self) -> bool {
        !self.is_utf8() && (self.is_declared_utf8() || self.declared.kind == Kind::Default)
    }

    /// Whether there are bytes in it that are no character as it is read.
    fn means_nothing(&self, reading: TextReading) -> bool {
        let text = self.declared.clone().read_as(reading).decode(self.bytes, self.vr);
        text.contains('\u{FFFD}')
            && !std::str::from_utf8(self.bytes).is_ok_and(|own| own.contains('\u{FFFD}'))
    }

    fn is_utf8(&self) -> bool {
        std::str::from_utf8(self.bytes).is_ok()
    }

    /// It is UTF-8, and what it says is UTF-8 once more.
    fn is_twice(&self) -> bool {
        twice::of(self.bytes).is_some()
    }

    fn is_declared_utf8(&self) -> bool {
        *self.declared == CharacterSet::utf8()
    }

    fn is_changed_by(&self, encoding: TextEncoding) -> bool {
        // Undeclared text that is UTF-8 reads so without a repair; that it does is one all the same.
        let is_undeclared = self.declared.kind == Kind::Default && self.is_utf8();
        let repaired =
            self.declared.clone().read_as(TextReading { repair: Some(encoding), ..TextReading::default() });
        is_undeclared && encoding == TextEncoding::Utf8
            || repaired.decode(self.bytes, self.vr) != self.declared.decode(self.bytes, self.vr)
    }
}

fn collect<'a>(attributes: &'a Attributes, samples: &mut Vec<Sample<'a>>, seen: &mut usize) {
    let declared = attributes.charset();
    for element in attributes {
        match &element.value {
            Value::Items(items) => items.iter().for_each(|item| collect(item, samples, seen)),
            Value::Bytes(bytes) if is_charset_text(element.vr) && !is_plain(bytes) => {
                *seen += bytes.len();
                if *seen <= ENOUGH {
                    samples.push(Sample { bytes, vr: element.vr, declared });
                }
            }
            _ => {}
        }
    }
}

/// With a rule. UTF-8 proves itself, whatever is said of the sender; what is to be UTF-8 and is not may be anything.
fn ruled(samples: &[Sample<'_>], encoding: TextEncoding) -> TextReading {
    let is_once = match encoding {
        TextEncoding::Latin1 => false,
        TextEncoding::Utf8Twice => !samples.iter().any(Sample::is_twice),
        _ => samples.iter().all(Sample::is_utf8),
    };
    let repair = Some(if is_once { TextEncoding::Utf8 } else { encoding });
    let is_utf8 = matches!(encoding, TextEncoding::Utf8 | TextEncoding::Utf8Twice);
    let is_unsure = is_utf8 && samples.iter().any(Sample::is_wrong);
    TextReading { repair, is_unsure, ..TextReading::default() }
}

/// Without a rule: what it is, and whether that is more than can be said. What may have been encoded twice is left as it
/// is, and told: a rule says that a sender does so.
fn recognised(samples: &[Sample<'_>]) -> TextReading {
    let others: BTreeSet<&[u8]> = samples.iter().filter(|s| !s.is_utf8()).map(|s| s.bytes).collect();
    let is_utf8_undeclared = samples.iter().any(|sample| sample.is_utf8() && !sample.is_declared_utf8());
    let utf8 = is_utf8_undeclared.then_some(TextEncoding::Utf8);
    let is_wrong = samples.iter().any(Sample::is_wrong);
    let (repair, is_unsure) = match guess(others.iter().copied()) {
        _ if others.is_empty() => (utf8, false),
        Guess::Clear(encoding) => (Some(encoding), false),
        Guess::Unsure(best) => {
            (utf8, is_wrong || samples.iter().any(|s| !s.is_utf8() && s.is_changed_by(best)))
        }
        Guess::None => (utf8, is_wrong),
    };
    let is_unsure = is_unsure || samples.iter().any(Sample::is_twice);
    TextReading { repair, is_unsure, ..TextReading::default() }
}
