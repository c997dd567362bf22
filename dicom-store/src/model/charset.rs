//! Specific Character Set (PS3.3 §C.12.1.1.2): bytes to Unicode, code extensions included, and text that is in
//! another encoding than it says.

mod extensions;
mod guess;
mod syllable;
mod terms;
mod text_reading;
mod twice;
mod vietnamese;

use std::borrow::Cow;

use dicom::core::VR;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use extensions::{Code, ESCAPE};
pub use text_reading::{TextReading, TextRule};
pub use vietnamese::TextEncoding;

/// The character sets of a data set, ready to decode with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CharacterSet {
    kind: Kind,
    /// What text is in that is not in what it is declared to be in.
    repair: Option<TextEncoding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Kind {
    /// Nothing declared: the default repertoire, and UTF-8 where devices forgot to say so.
    #[default]
    Default,
    /// A whole encoding, without escapes.
    Whole(&'static Encoding),
    /// ISO 2022 with this set in G1 at the start.
    Extended(Code),
}

impl CharacterSet {
    pub fn utf8() -> Self {
        Self { kind: Kind::Whole(UTF_8), repair: None }
    }

    /// By the values of (0008,0005), with the spellings that devices use. A term that is not known
    /// counts as not declared.
    pub fn from_terms<T: AsRef<str>>(terms: &[T]) -> Self {
        Self { kind: terms::kind(terms), repair: None }
    }

    /// The same for a data set whose text was found to be in something else.
    #[must_use]
    pub fn read_as(self, reading: TextReading) -> Self {
        Self { repair: reading.repair(), ..self }
    }

    /// The text of a value field, in normal form C; bytes that mean nothing become U+FFFD. Decoding comes
    /// before values are split at the backslash, which may be the second byte of a character.
    pub fn decode<'a>(&self, bytes: &'a [u8], vr: VR) -> Cow<'a, str> {
        if is_plain(bytes) {
            return String::from_utf8_lossy(bytes);
        }
        let text = match self.repair {
            Some(encoding) if self.is_doubted(bytes) => self.repaired(encoding, bytes, vr),
            _ => self.declared(bytes, vr),
        };
        if is_composed(&text) { text } else { Cow::Owned(text.nfc().collect()) }
    }

    fn declared<'a>(&self, bytes: &'a [u8], vr: VR) -> Cow<'a, str> {
        match &self.kind {
            Kind::Whole(encoding) => encoding.decode_with_bom_removal(bytes).0,
            Kind::Default if bytes.contains(&ESCAPE) => {
                Cow::Owned(extensions::decode(bytes, Code::Upper(WINDOWS_1252), vr))
            }
            Kind::Default => Self::ascii_or_lossy(bytes),
            Kind::Extended(start) => Cow::Owned(extensions::decode(bytes, *start, vr)),
        }
    }

    /// What is UTF-8 is read so, whatever the rest of the data set is in: one name came from a worklist, and
    /// another was typed at the device.
    fn repaired<'a>(&self, encoding: TextEncoding, bytes: &'a [u8], vr: VR) -> Cow<'a, str> {
        if encoding == TextEncoding::Utf8Twice
            && let Some(once) = twice::of(bytes)
        {
            return Cow::Owned(once);
        }
        let may_be_utf8 = encoding != TextEncoding::Latin1 || self.kind == Kind::Whole(UTF_8);
        match std::str::from_utf8(bytes) {
            Ok(text) if may_be_utf8 && !text.is_ascii() => Cow::Borrowed(text),
            _ if matches!(encoding, TextEncoding::Utf8 | TextEncoding::Utf8Twice) => self.declared(bytes, vr),
            _ => Cow::Owned(encoding.decode(bytes)),
        }
    }

    /// Whether what is declared for these bytes is what devices declare without knowing: nothing, Latin-1 or UTF-8.
    /// Other sets are believed, and so are escape sequences.
    fn is_doubted(&self, bytes: &[u8]) -> bool {
        let is_common = match &self.kind {
            Kind::Default => true,
            Kind::Whole(encoding) => *encoding == UTF_8,
            Kind::Extended(code) => *code == Code::Upper(WINDOWS_1252),
        };
        is_common && !bytes.contains(&ESCAPE)
    }

    /// Text of the default repertoire; UTF-8 where it happens to be that, Latin-1 otherwise.
    pub(super) fn ascii_or_lossy(bytes: &[u8]) -> Cow<'_, str> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        }
    }
}

/// Whether text is in normal form C already. The letters of Latin alphabets, the Vietnamese ones among them, are.
fn is_composed(text: &str) -> bool {
    let is_letter = |c: char| c < '\u{300}' || ('\u{1EA0}'..='\u{1EFF}').contains(&c);
    text.chars().all(is_letter) || is_nfc_quick(text.chars()) == IsNormalized::Yes
}

/// Whether text reads the same in every character set: ASCII without escapes, and without the controls that
/// some encodings have letters in the place of.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | 0x0C | b'\r' | 0))
}

#[cfg(test)]
mod tests;
