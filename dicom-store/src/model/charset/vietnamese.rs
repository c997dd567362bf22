//! Encodings of Vietnamese that DICOM has no term for, and that devices sent and send all the same.
//!
//! TCVN3 ("ABC") and VNI were made for fonts: what the bytes are is what they look like in Latin-1. Windows-1258
//! has its tones as combining marks, which become one letter when text is normalised.

use encoding_rs::{WINDOWS_1252, WINDOWS_1258};

use super::twice;

/// What text may be in without saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextEncoding {
    Utf8,
    Windows1258,
    /// TCVN 5712 as fonts have it, "ABC".
    Tcvn3,
    /// VNI-Windows: a letter, and behind it a byte with its marks.
    Vni,
    /// RFC 1456.
    Viscii,
    Latin1,
    /// UTF-8 that was taken for Latin-1 and encoded once more.
    Utf8Twice,
}

impl TextEncoding {
    /// In the order of the numbers that headers keep.
    pub const ALL: [Self; 7] =
        [Self::Utf8, Self::Windows1258, Self::Tcvn3, Self::Vni, Self::Viscii, Self::Latin1, Self::Utf8Twice];

    /// The name that settings use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Windows1258 => "windows-1258",
            Self::Tcvn3 => "tcvn3",
            Self::Vni => "vni",
            Self::Viscii => "viscii",
            Self::Latin1 => "latin1",
            Self::Utf8Twice => "utf-8-twice",
        }
    }

    /// Letters may come out as base and combining marks.
    pub(super) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Utf8Twice => {
                twice::of(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
            }
            Self::Windows1258 => WINDOWS_1258.decode_without_bom_handling(bytes).0.into_owned(),
            Self::Tcvn3 => as_capitals_font(from_table(bytes, TCVN3, &[])),
            Self::Vni => vni(bytes),
            Self::Viscii => from_table(bytes, VISCII, VISCII_LOW),
            Self::Latin1 => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }
}

/// 80 to FF of TCVN 5712. Fonts of TCVN3 have letters from A1 on only; those of 80 to 9F are TCVN 5712's own.
const TCVN3: &str = "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ\
    \u{A0}ĂÂÊÔƠƯĐăâêôơưđẰ\u{300}\u{309}\u{303}\u{301}\u{323}àảãáạẲằẳẵắẴ\
    ẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịò\
    ỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ";

/// 80 to FF.
const VISCII: &str = "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲ\
    ÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ\
    ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡư\
    àáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ";
/// Letters that took the places of control characters.
const VISCII_LOW: &[(u8, char)] =
    &[(0x02, 'Ẳ'), (0x05, 'Ẵ'), (0x06, 'Ẫ'), (0x14, 'Ỷ'), (0x19, 'Ỹ'), (0x1E, 'Ỵ')];

fn from_table(bytes: &[u8], upper: &str, low: &[(u8, char)]) -> String {
    let character = |byte: u8| match byte.checked_sub(0x80) {
        Some(place) => upper.chars().nth(usize::from(place)).unwrap_or('\u{FFFD}'),
        None => low.iter().find(|(at, _)| *at == byte).map_or(char::from(byte), |(_, letter)| *letter),
    };
    bytes.iter().map(|byte| character(*byte)).collect()
}

/// Capitals with marks have no bytes of their own in TCVN3: a font of capitals shows the small ones so. Text whose
/// plain letters are all capitals was written with that font.
fn as_capitals_font(text: String) -> String {
    let capitals = text.bytes().filter(u8::is_ascii_uppercase).count();
    let is_capitals = capitals >= 2 && !text.bytes().any(|byte| byte.is_ascii_lowercase());
    if is_capitals { text.to_uppercase() } else { text }
}

/// A byte of VNI: a letter by itself, or the marks of the letter before it. Capitals have their own bytes, 20H below.
fn vni(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let is_capital = (0xC0..0xE0).contains(byte);
        let small = if is_capital { byte + 0x20 } else { *byte };
        if let Some((_, letter)) = VNI_LETTERS.iter().find(|(at, _)| *at == small) {
            if is_capital { text.extend(letter.to_uppercase()) } else { text.push(*letter) }
        } else if let Some((_, marks)) = vni_marks(small).filter(|(on, _)| {
            text.chars()
                .next_back()
                .is_some_and(|last| on.chars().chain(on.to_uppercase().chars()).any(|c| c == last))
        }) {
            text.push_str(marks);
        } else {
            text.push_str(&WINDOWS_1252.decode_without_bom_handling(&[*byte]).0);
        }
    }
    text
}

const VNI_LETTERS: &[(u8, char)] = &[
    (0xE6, 'ỉ'),
    (0xEC, 'ì'),
    (0xED, 'í'),
    (0xEE, 'ỵ'),
    (0xF1, 'đ'),
    (0xF2, 'ị'),
    (0xF3, 'ĩ'),
    (0xF4, 'ơ'),
    (0xF6, 'ư'),
];

/// The marks that a byte stands for, and the letters that they go on.
fn vni_marks(byte: u8) -> Option<(&'static str, &'static str)> {
    const TONE: &str = "aeouyơư";
    const CIRCUMFLEX: &str = "aeo";
    const BREVE: &str = "a";
    Some(match byte {
        0xF9 => (TONE, "\u{301}"),
        0xF8 => (TONE, "\u{300}"),
        0xFB => (TONE, "\u{309}"),
        0xF5 => (TONE, "\u{303}"),
        0xEF => (TONE, "\u{323}"),
        0xE2 => (CIRCUMFLEX, "\u{302}"),
        0xE1 => (CIRCUMFLEX, "\u{302}\u{301}"),
        0xE0 => (CIRCUMFLEX, "\u{302}\u{300}"),
        0xE5 => (CIRCUMFLEX, "\u{302}\u{309}"),
        0xE3 => (CIRCUMFLEX, "\u{302}\u{303}"),
        0xE4 => (CIRCUMFLEX, "\u{302}\u{323}"),
        0xEA => (BREVE, "\u{306}"),
        0xE9 => (BREVE, "\u{306}\u{301}"),
        0xE8 => (BREVE, "\u{306}\u{300}"),
        0xFA => (BREVE, "\u{306}\u{309}"),
        0xFC => (BREVE, "\u{306}\u{303}"),
        0xEB => (BREVE, "\u{306}\u{323}"),
        _ => return None,
    })
}
