//! The values of Specific Character Set (0008,0005), as the standard writes them and as devices do.

use encoding_rs::{
    EUC_JP, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7,
    ISO_8859_8, ISO_8859_15, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

use super::Kind;
use super::extensions::Code;

/// One value, whatever its spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    /// Empty, or ISO-IR 6.
    Default,
    /// Replaces ASCII, without code extensions (PS3.3 Table C.12-5), or is no term of DICOM at all.
    Whole(&'static Encoding),
    /// Is in G1 from the start (PS3.3 Tables C.12-2 and C.12-3).
    G1(Code),
    /// Two bytes in G0, entered by an escape only: ISO-IR 87 and 159.
    Escaped,
    Unknown,
}

/// What a data set with these values is read as. Terms that nobody knows count as not there; a set without code
/// extensions that stands among others (PS3.3 §C.12.1.1.2 forbids it) holds only as the first, or behind the default.
pub(super) fn kind<T: AsRef<str>>(values: &[T]) -> Kind {
    let terms: Vec<Term> = values.iter().map(|value| term(value.as_ref())).collect();
    let whole = terms.iter().find_map(|term| match term {
        Term::Whole(encoding) => Some(*encoding),
        _ => None,
    });
    match (terms.first().copied(), whole) {
        (Some(Term::Whole(encoding)), _) | (Some(Term::Default), Some(encoding)) => Kind::Whole(encoding),
        (Some(Term::G1(code)), _) => Kind::Extended(code),
        (None | Some(Term::Default | Term::Escaped | Term::Unknown), _) => undesignated(&terms),
    }
}

/// The first value leaves G1 empty. Some devices put the other set there without its escape.
fn undesignated(terms: &[Term]) -> Kind {
    let next = terms.iter().find_map(|term| match term {
        Term::G1(code) => Some(*code),
        _ => None,
    });
    match next {
        Some(code) => Kind::Extended(code),
        None => Kind::Default,
    }
}

fn term(value: &str) -> Term {
    let value = value.trim_matches([' ', '\0']);
    let compact: String =
        value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    let number = ["ISO2022IR", "ISO2022", "ISOIR", "IR"].iter().find_map(|head| compact.strip_prefix(head));
    match number.unwrap_or(&compact) {
        "" | "6" => Term::Default,
        "192" => Term::Whole(UTF_8),
        "GB18030" => Term::Whole(GB18030),
        "GBK" => Term::Whole(GBK),
        "100" => Term::G1(Code::Upper(WINDOWS_1252)),
        "101" => Term::G1(Code::Upper(ISO_8859_2)),
        "109" => Term::G1(Code::Upper(ISO_8859_3)),
        "110" => Term::G1(Code::Upper(ISO_8859_4)),
        "144" => Term::G1(Code::Upper(ISO_8859_5)),
        "127" => Term::G1(Code::Upper(ISO_8859_6)),
        "126" => Term::G1(Code::Upper(ISO_8859_7)),
        "138" => Term::G1(Code::Upper(ISO_8859_8)),
        "148" => Term::G1(Code::Upper(WINDOWS_1254)),
        "203" => Term::G1(Code::Upper(ISO_8859_15)),
        "166" => Term::G1(Code::Upper(WINDOWS_874)),
        "13" => Term::G1(Code::Katakana),
        "149" => Term::G1(Code::Hangul),
        "58" => Term::G1(Code::Hanzi),
        "87" | "159" => Term::Escaped,
        _ => named(value, &compact),
    }
}

/// Names of other registries: `UTF-8`, `iso8859-1`, `windows-1251`, `EUC-KR`.
fn named(value: &str, compact: &str) -> Term {
    let by_part = compact.strip_prefix("ISO8859").map(|part| format!("ISO-8859-{part}"));
    let encoding = by_part
        .and_then(|name| Encoding::for_label(name.as_bytes()))
        .or_else(|| Encoding::for_label(value.as_bytes()))
        .or_else(|| Encoding::for_label(compact.as_bytes()));
    match encoding {
        // UTF-16 is no superset of ASCII, and `replacement` is no encoding.
        Some(encoding) if !encoding.is_ascii_compatible() => Term::Unknown,
        Some(encoding) if encoding == SHIFT_JIS => Term::G1(Code::Katakana),
        Some(encoding) if [UTF_8, GB18030, GBK, EUC_JP].contains(&encoding) => Term::Whole(encoding),
        Some(encoding) if encoding == encoding_rs::EUC_KR => Term::G1(Code::Hangul),
        Some(encoding) if encoding == encoding_rs::BIG5 => Term::Whole(encoding),
        Some(encoding) => Term::G1(Code::Upper(encoding)),
        None => Term::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["ISO_IR 100"], &["iso-ir 100", " ISO_IR 100 ", "ISO_IR_100", "ISO IR 100", "ISOIR100", "ISO 2022 IR 100", "ISO_2022_IR_100", "ISO 2022-IR 100", "ISO8859-1", "iso_8859-1", "ISO 8859-1", "LATIN1", "latin-1", "CP1252"])]
    #[case(&["ISO_IR 192"], &["UTF8", "utf-8", "ISO-IR 192", "ISO 2022 IR 192", "ISO_IR192\0"])]
    #[case(&["ISO_IR 166"], &["ISO 2022 IR 166", "TIS-620", "ISO8859-11"])]
    #[case(&["ISO_IR 13"], &["ISO 2022 IR 13", "SHIFT_JIS"])]
    #[case(&["ISO 2022 IR 149"], &["ISO_IR 149", "EUC-KR", "ks_c_5601-1987"])]
    #[case(&["GBK"], &["gbk", "ISO 2022 GBK", "GB2312"])]
    #[case(&["ISO_IR 6"], &["", "ISO 2022 IR 6", "ISO_IR 6 ", "KLINGON", "UTF-16"])]
    fn spellings_of_devices_mean_the_defined_term(#[case] defined: &[&str], #[case] spellings: &[&str]) {
        for spelling in spellings {
            assert_eq!(kind(&[spelling]), kind(defined), "{spelling:?}");
        }
    }

    #[test]
    fn a_set_behind_the_default_is_in_use_where_its_escape_is_missing() {
        assert_eq!(kind(&["", "ISO 2022 IR 149"]), Kind::Extended(Code::Hangul));
        assert_eq!(kind(&["ISO 2022 IR 6", "ISO_IR 192"]), Kind::Whole(UTF_8));
        assert_eq!(kind(&["", "ISO 2022 IR 87"]), Kind::Default);
        assert_eq!(kind(&["ISO_IR 192", "ISO 2022 IR 87"]), Kind::Whole(UTF_8));
    }
}
