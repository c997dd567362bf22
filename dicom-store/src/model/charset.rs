//! Specific Character Set (PS3.3 §C.12.1.1.2): bytes to Unicode, code extensions included.

use dicom::core::VR;
use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

/// What a code element in use stands for (ISO 2022, G0 or G1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Ascii,
    /// One byte a character, in the upper half of this encoding.
    Upper(&'static Encoding),
    /// JIS X 0201 katakana.
    Katakana,
    /// JIS X 0208, two bytes.
    Kanji,
    /// JIS X 0212, two bytes.
    KanjiSupplement,
    /// KS X 1001, two bytes in the upper half.
    Hangul,
    /// GB 2312, two bytes in the upper half.
    Hanzi,
}

/// The character sets of a data set, ready to decode with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharacterSet {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A whole encoding, without escapes.
    Whole(&'static Encoding),
    /// Nothing declared: the default repertoire, and UTF-8 where devices forgot to say so.
    Default,
    /// ISO 2022 with this set in G1 at the start.
    Extended(Code),
}

impl Default for CharacterSet {
    fn default() -> Self {
        Self { kind: Kind::Default }
    }
}

impl CharacterSet {
    pub fn utf8() -> Self {
        Self { kind: Kind::Whole(UTF_8) }
    }

    /// By the values of (0008,0005), with the spellings that devices use. A term that is not known
    /// counts as not declared.
    pub fn from_terms<T: AsRef<str>>(terms: &[T]) -> Self {
        let terms: Vec<String> = terms.iter().map(|term| normal(term.as_ref())).collect();
        let first = terms.first().map(String::as_str).unwrap_or_default();
        let kind = match (first, terms.len()) {
            ("192" | "UTF8", _) => Kind::Whole(UTF_8),
            ("GB18030", _) => Kind::Whole(GB18030),
            ("GBK" | "GB2312", _) => Kind::Whole(GBK),
            // A code that is two bytes wide is only entered by an escape, or used all through by mistake.
            ("58", 1) => Kind::Whole(GBK),
            ("149", 1) => Kind::Whole(EUC_KR),
            ("" | "6", 0 | 1) => Kind::Default,
            (first, _) => match upper(first) {
                Some(code) => Kind::Extended(code),
                None if terms.len() > 1 || matches!(first, "87" | "159") => {
                    Kind::Extended(Code::Upper(WINDOWS_1252))
                }
                None => Kind::Default,
            },
        };
        Self { kind }
    }

    /// Whether text is UTF-8 as it stands.
    pub fn is_utf8(&self) -> bool {
        self.kind == Kind::Whole(UTF_8)
    }

    /// The text of a value field; bytes that mean nothing become U+FFFD. Decoding comes before
    /// values are split at the backslash, which may be the second byte of a character.
    pub fn decode(&self, bytes: &[u8], vr: VR) -> String {
        if bytes.is_ascii() && !bytes.contains(&0x1B) {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        match &self.kind {
            Kind::Whole(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Kind::Default if bytes.contains(&0x1B) => decode_extended(bytes, Code::Upper(WINDOWS_1252), vr),
            Kind::Default => Self::ascii_or_lossy(bytes),
            Kind::Extended(start) => decode_extended(bytes, *start, vr),
        }
    }

    /// Text of the default repertoire; UTF-8 where it happens to be that, Latin-1 otherwise.
    pub(super) fn ascii_or_lossy(bytes: &[u8]) -> String {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }
}

/// `ISO 2022 IR 100`, `ISO_IR 100`, `iso-ir 100`: all `100`.
fn normal(term: &str) -> String {
    let compact: String = term.to_ascii_uppercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let number = compact.strip_prefix("ISO2022IR").or_else(|| compact.strip_prefix("ISOIR"));
    if let Some(number) = number {
        return number.to_owned();
    }
    match compact.as_str() {
        "ISO88591" | "LATIN1" => "100".to_owned(),
        _ => compact,
    }
}

/// The set that a term puts into G1; for the two-byte sets that are entered by escape, what stands before it.
fn upper(number: &str) -> Option<Code> {
    Some(match number {
        "" | "6" | "100" => Code::Upper(WINDOWS_1252),
        "101" => Code::Upper(ISO_8859_2),
        "109" => Code::Upper(ISO_8859_3),
        "110" => Code::Upper(ISO_8859_4),
        "144" => Code::Upper(ISO_8859_5),
        "127" => Code::Upper(ISO_8859_6),
        "126" => Code::Upper(ISO_8859_7),
        "138" => Code::Upper(ISO_8859_8),
        "148" => Code::Upper(WINDOWS_1254),
        "203" => Code::Upper(ISO_8859_15),
        "166" => Code::Upper(WINDOWS_874),
        "13" => Code::Katakana,
        "149" => Code::Hangul,
        "58" => Code::Hanzi,
        _ => return None,
    })
}

/// Escape sequences of PS3.3 Tables C.12-3 and C.12-4, without the ESC; whether they go to G1.
const ESCAPES: &[(&[u8], Code, bool)] = &[
    (b"(B", Code::Ascii, false),
    (b"(J", Code::Ascii, false),
    (b"-A", Code::Upper(WINDOWS_1252), true),
    (b"-B", Code::Upper(ISO_8859_2), true),
    (b"-C", Code::Upper(ISO_8859_3), true),
    (b"-D", Code::Upper(ISO_8859_4), true),
    (b"-L", Code::Upper(ISO_8859_5), true),
    (b"-G", Code::Upper(ISO_8859_6), true),
    (b"-F", Code::Upper(ISO_8859_7), true),
    (b"-H", Code::Upper(ISO_8859_8), true),
    (b"-M", Code::Upper(WINDOWS_1254), true),
    (b"-b", Code::Upper(ISO_8859_15), true),
    (b"-T", Code::Upper(WINDOWS_874), true),
    (b")I", Code::Katakana, true),
    (b"$B", Code::Kanji, false),
    (b"$@", Code::Kanji, false),
    (b"$(D", Code::KanjiSupplement, false),
    (b"$)C", Code::Hangul, true),
    (b"$)A", Code::Hanzi, true),
];

fn decode_extended(bytes: &[u8], start: Code, vr: VR) -> String {
    let mut text = String::with_capacity(bytes.len());
    let (mut g0, mut g1) = (Code::Ascii, start);
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        if *first == 0x1B {
            if let Some((sequence, code, is_g1)) =
                ESCAPES.iter().find(|(sequence, ..)| tail.starts_with(sequence))
            {
                *(if *is_g1 { &mut g1 } else { &mut g0 }) = *code;
                rest = tail.get(sequence.len()..).unwrap_or_default();
            } else {
                text.push('\u{FFFD}');
                rest = tail;
            }
            continue;
        }
        if is_reset(*first, g0, vr) {
            (g0, g1) = (Code::Ascii, start);
        }
        let code = if *first < 0x80 { g0 } else { g1 };
        let (character, width) = one(rest, code);
        text.push_str(&character);
        rest = rest.get(width..).unwrap_or_default();
    }
    text
}

/// The sets of the first value hold again after these (PS3.5 §6.1.2.5.3).
fn is_reset(byte: u8, g0: Code, vr: VR) -> bool {
    if byte < 0x20 {
        return true;
    }
    let is_single_byte = !matches!(g0, Code::Kanji | Code::KanjiSupplement);
    is_single_byte && (byte == b'\\' || (vr == VR::PN && matches!(byte, b'^' | b'=')))
}

/// Decodes the character at the start; gives it and the bytes it took, at least one.
fn one(bytes: &[u8], code: Code) -> (String, usize) {
    let decode = |encoding: &'static Encoding, bytes: &[u8]| {
        encoding.decode_without_bom_handling(bytes).0.into_owned()
    };
    let pair = (bytes.first().copied().unwrap_or_default(), bytes.get(1).copied().unwrap_or_default());
    match code {
        Code::Ascii => (char::from(pair.0).to_string(), 1),
        _ if pair.0 < 0x20 => (char::from(pair.0).to_string(), 1),
        Code::Upper(encoding) => (decode(encoding, &[pair.0]), 1),
        Code::Katakana => (decode(SHIFT_JIS, &[pair.0]), 1),
        Code::Kanji => (decode(EUC_JP, &[pair.0 | 0x80, pair.1 | 0x80]), 2),
        Code::KanjiSupplement => (decode(EUC_JP, &[0x8F, pair.0 | 0x80, pair.1 | 0x80]), 2),
        Code::Hangul => (decode(EUC_KR, &[pair.0, pair.1]), 2),
        Code::Hanzi => (decode(GBK, &[pair.0, pair.1]), 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// The examples of PS3.5 Annexes H, I, J and K.
    #[rstest]
    #[case(&["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B", "Yamada^Tarou=山田^太郎=やまだ^たろう")]
    #[case(&["ISO 2022 IR 13", "ISO 2022 IR 87"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎")]
    #[case(&["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf", "Hong^Gildong=洪^吉洞=홍^길동")]
    #[case(&["ISO_IR 192"], "Wang^XiaoDong=王^小東".as_bytes(), "Wang^XiaoDong=王^小東")]
    #[case(&["GB18030"], b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东")]
    #[case(&["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东")]
    #[case(&["ISO_IR 100"], b"M\xfcller", "Müller")]
    #[case(&["ISO_IR 144"], b"\xb8\xd2\xd0\xdd\xde\xd2", "Иванов")]
    #[case(&["ISO 2022 IR 6", "ISO 2022 IR 126"], b"\x1b-F\xc4\xe9\xef\xed", "Διον")]
    fn decodes_what_the_standard_gives_as_examples(
        #[case] terms: &[&str],
        #[case] bytes: &[u8],
        #[case] text: &str,
    ) {
        assert_eq!(CharacterSet::from_terms(terms).decode(bytes, VR::PN), text);
    }

    #[test]
    fn without_a_declaration_utf8_is_recognised_and_the_rest_is_latin_1() {
        let undeclared = CharacterSet::default();
        assert_eq!(undeclared.decode("Nguyễn".as_bytes(), VR::PN), "Nguyễn");
        assert_eq!(undeclared.decode(b"M\xfcller", VR::PN), "Müller");
    }

    #[test]
    fn a_broken_escape_never_takes_the_rest_with_it() {
        let text = CharacterSet::from_terms(&["", "ISO 2022 IR 87"]).decode(b"A\x1b%ZB", VR::LO);
        assert!(text.starts_with('A') && text.ends_with('B'));
    }
}
