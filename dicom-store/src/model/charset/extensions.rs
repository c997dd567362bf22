//! Code extension techniques (ISO/IEC 2022, PS3.5 §6.1.2.5): text in which escape sequences change the set.

use dicom::core::VR;
use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7,
    ISO_8859_8, ISO_8859_15, SHIFT_JIS, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

use crate::model::element::is_single_text;

pub(super) const ESCAPE: u8 = 0x1B;

/// What a code element in use stands for (ISO 2022, G0 or G1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
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
    // The edition of 1978, which old devices still name.
    (b"$@", Code::Kanji, false),
    (b"$(D", Code::KanjiSupplement, false),
    (b"$)C", Code::Hangul, true),
    (b"$)A", Code::Hanzi, true),
];

/// Text with `start` in G1 until an escape says otherwise; bytes that mean nothing become U+FFFD.
pub(super) fn decode(bytes: &[u8], start: Code, vr: VR) -> String {
    let mut text = String::with_capacity(bytes.len());
    let (mut g0, mut g1) = (Code::Ascii, start);
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        if *first == ESCAPE {
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
        let width = one(rest, code, &mut text);
        rest = rest.get(width..).unwrap_or_default();
    }
    text
}

/// The sets of the first value hold again after these (PS3.5 §6.1.2.5.3).
fn is_reset(byte: u8, g0: Code, vr: VR) -> bool {
    if byte < 0x20 {
        return true;
    }
    // In a set of two bytes in G0 these are halves of characters.
    if matches!(g0, Code::Kanji | Code::KanjiSupplement) {
        return false;
    }
    match byte {
        b'\\' => !is_single_text(vr),
        b'^' | b'=' => vr == VR::PN,
        _ => false,
    }
}

/// Decodes the character at the start; gives the bytes it took, at least one.
fn one(bytes: &[u8], code: Code, text: &mut String) -> usize {
    let (first, second) = match bytes {
        // A control ends what is only half a character.
        [first, second, ..] if *second >= 0x20 => (*first, Some(*second)),
        [first, ..] => (*first, None),
        [] => return 1,
    };
    // The blank and DEL are outside of sets of 94 characters.
    if code == Code::Ascii || first <= b' ' || first == 0x7F {
        text.push(char::from(first));
        return 1;
    }
    let (encoding, character): (_, &[u8]) = match (code, second) {
        (Code::Upper(encoding), _) => (encoding, &[first]),
        // Some devices write Shift JIS, of which JIS X 0201 is a part.
        (Code::Katakana, Some(second)) if matches!(first, 0x81..=0x9F | 0xE0..=0xFC) => {
            (SHIFT_JIS, &[first, second])
        }
        (Code::Katakana, _) => (SHIFT_JIS, &[first]),
        (Code::Kanji, Some(second)) => (EUC_JP, &[first | 0x80, second | 0x80]),
        (Code::KanjiSupplement, Some(second)) => (EUC_JP, &[0x8F, first | 0x80, second | 0x80]),
        (Code::Hangul, Some(second)) => (EUC_KR, &[first, second]),
        (Code::Hanzi, Some(second)) => (GBK, &[first, second]),
        (_, None) | (Code::Ascii, _) => {
            text.push('\u{FFFD}');
            return 1;
        }
    };
    text.push_str(&encoding.decode_without_bom_handling(character).0);
    if code == Code::KanjiSupplement { 2 } else { character.len() }
}
