//! Data sets for those who cannot read UTF-8: text in ISO_IR 100 or in ASCII, letters without the marks that are not
//! in it (PS3.3 §C.12.1.1.2).

use std::sync::Arc;

use dicom::dictionary_std::tags;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::element::is_charset_text;
use super::{Attributes, CharacterSet, Element, VR, Value};

const LATIN_1: &[u8] = b"ISO_IR 100";
/// Text of seven bits may stand for something else (PS3.5 §6.1.2.4).
const ESCAPE: u8 = 0x1B;

/// A character set that is narrower than Unicode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrow {
    Latin1,
    Ascii,
}

impl Attributes {
    /// The same in ISO_IR 100: `Nguyên` for `Nguyễn`. Of a name that has an alphabetic group, groups that cannot be said
    /// are left out. `None` when anything else cannot be said.
    pub fn in_latin1(&self) -> Option<Attributes> {
        narrowed(self, Narrow::Latin1)
    }

    /// The same in ASCII: `Nguyen` for `Nguyễn`. As [`Attributes::in_latin1`].
    pub fn in_ascii(&self) -> Option<Attributes> {
        narrowed(self, Narrow::Ascii)
    }
}

fn narrowed(from: &Attributes, set: Narrow) -> Option<Attributes> {
    let mut narrow = match set {
        Narrow::Latin1 => Attributes::with_charset(Arc::new(CharacterSet::from_terms(&["ISO_IR 100"]))),
        Narrow::Ascii => Attributes::new(),
    };
    let mut is_beyond_ascii = false;
    for element in from.iter().filter(|element| element.tag != tags::SPECIFIC_CHARACTER_SET) {
        let value = match &element.value {
            Value::Items(items) => {
                let items: Option<Vec<_>> = items.iter().map(|item| narrowed(item, set)).collect();
                Value::Items(items?)
            }
            Value::Bytes(bytes)
                if is_charset_text(element.vr) && (!bytes.is_ascii() || bytes.contains(&ESCAPE)) =>
            {
                let text = from.decoded(element)?;
                let said = if element.vr == VR::PN { set.name(&text)? } else { set.say(&text)? };
                is_beyond_ascii |= !said.is_ascii();
                Value::Bytes(said.into())
            }
            value => value.clone(),
        };
        narrow.put(Element { value, ..element.clone() });
    }
    if is_beyond_ascii {
        narrow.put_bytes(tags::SPECIFIC_CHARACTER_SET, VR::CS, LATIN_1);
    }
    Some(narrow)
}

impl Narrow {
    /// The text, as far as it goes without marks; `None` where a character has nothing to be said by.
    fn say(self, text: &str) -> Option<Vec<u8>> {
        let mut said = Vec::with_capacity(text.len());
        for c in text.nfc() {
            self.say_character(c, &mut said)?;
        }
        Some(said)
    }

    fn say_character(self, c: char, said: &mut Vec<u8>) -> Option<()> {
        match (self, u8::try_from(u32::from(c))) {
            (Self::Latin1, Ok(byte)) if !(0x7F..0xA0).contains(&byte) => said.push(byte),
            (Self::Ascii, Ok(byte)) if byte < 0x7F => said.push(byte),
            _ => {
                // One mark less at a time: ễ is ê in ISO_IR 100 and e in ASCII.
                let plain = match c {
                    'đ' | 'ð' => 'd'.to_string(),
                    'Đ' | 'Ð' => 'D'.to_string(),
                    'ß' => "ss".to_owned(),
                    'ø' => 'o'.to_string(),
                    'Ø' => 'O'.to_string(),
                    'æ' => "ae".to_owned(),
                    'Æ' => "AE".to_owned(),
                    'ł' => 'l'.to_string(),
                    'Ł' => 'L'.to_string(),
                    '’' | 'ʼ' => '\''.to_string(),
                    '–' | '—' => '-'.to_string(),
                    c => {
                        let mut parts: Vec<char> = c.to_string().nfd().collect();
                        let last = parts.iter().rposition(|part| is_tone(*part));
                        let last =
                            last.or_else(|| parts.iter().rposition(|part| is_combining_mark(*part)))?;
                        parts.remove(last);
                        parts.into_iter().nfc().collect()
                    }
                };
                for c in plain.chars() {
                    self.say_character(c, said)?;
                }
            }
        }
        Some(())
    }

    fn name(self, text: &str) -> Option<Vec<u8>> {
        let values = text.split('\\').map(|name| self.groups(name));
        let values: Option<Vec<_>> = values.collect();
        Some(values?.join(&b'\\'))
    }

    fn groups(self, name: &str) -> Option<Vec<u8>> {
        let mut said: Vec<Vec<u8>> = Vec::new();
        for (n, group) in name.split('=').enumerate() {
            match self.say(group) {
                Some(bytes) => said.push(bytes),
                // The others say the same in another script.
                None if n > 0 && said.first().is_some_and(|first| !first.is_empty()) => said.push(Vec::new()),
                None => return None,
            }
        }
        while said.len() > 1 && said.last().is_some_and(Vec::is_empty) {
            said.pop();
        }
        Some(said.join(&b'='))
    }
}

/// Marks of tones are the first to go: what is left is still a letter of the alphabet.
fn is_tone(c: char) -> bool {
    matches!(c, '\u{300}' | '\u{301}' | '\u{303}' | '\u{309}' | '\u{323}')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn named(name: &str) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.put_text(tags::PATIENT_NAME, VR::PN, name);
        attributes
    }

    #[rstest]
    #[case::vietnamese("NGUYỄN^VĂN ĐỨC", "NGUYEN^VAN DUC", "NGUYÊN^VAN DUC".as_bytes())]
    #[case::tone_on_a_latin_letter("Trần^Hòa", "Tran^Hoa", "Trân^Hòa".as_bytes())]
    #[case::german("Müller^Jörg", "Muller^Jorg", "Müller^Jörg".as_bytes())]
    #[case::other_groups("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou", "Yamada^Tarou".as_bytes())]
    #[case::two_values("An\\Đỗ", "An\\Do", "An\\Dô".as_bytes())]
    fn names_lose_the_marks_that_are_not_in_the_set(
        #[case] name: &str,
        #[case] ascii: &str,
        #[case] latin: &[u8],
    ) {
        let said = named(name).in_ascii().unwrap();
        assert_eq!(said.bytes(tags::PATIENT_NAME).unwrap(), ascii.as_bytes());
        assert!(!said.contains(tags::SPECIFIC_CHARACTER_SET));
        let said = named(name).in_latin1().unwrap();
        let expected = std::str::from_utf8(latin).unwrap();
        assert_eq!(said.text(tags::PATIENT_NAME).unwrap(), expected.split('\\').next().unwrap());
        assert_eq!(said.contains(tags::SPECIFIC_CHARACTER_SET), !expected.is_ascii());
    }

    #[test]
    fn what_cannot_be_said_is_not_said_otherwise() {
        assert_eq!(named("山田^太郎").in_ascii(), None);
        assert_eq!(named("山田^太郎").in_latin1(), None);
        let mut items = Attributes::new();
        items.put_items(tags::OTHER_PATIENT_I_DS_SEQUENCE, vec![named("Đỗ^山")]);
        assert_eq!(items.in_ascii(), None);
    }

    #[test]
    fn sequences_are_narrowed_as_well() {
        let mut outer = Attributes::new();
        outer.put_items(tags::OTHER_PATIENT_I_DS_SEQUENCE, vec![named("Đỗ^An")]);
        let said = outer.in_ascii().unwrap();
        let item = &said.items(tags::OTHER_PATIENT_I_DS_SEQUENCE)[0];
        assert_eq!(item.text(tags::PATIENT_NAME).as_deref(), Some("Do^An"));
    }
}
