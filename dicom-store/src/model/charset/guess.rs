//! Which encoding of Vietnamese text is in, told by the words that it makes.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

use super::TextEncoding;
use super::syllable::is_syllable;

const CANDIDATES: [TextEncoding; 5] = [
    TextEncoding::Latin1,
    TextEncoding::Windows1258,
    TextEncoding::Tcvn3,
    TextEncoding::Vni,
    TextEncoding::Viscii,
];

/// Family names that no other reading gives by accident, and the two middle names that half of all people have.
const FREQUENT_NAMES: &str = "nguyễn trần phạm hoàng huỳnh đặng dương văn thị";
/// Words that names are made of, short family names among them.
const NAMES: &str = "lê vũ võ bùi đỗ hồ ngô lý đào đoàn đinh trịnh trương lâm mỹ đức hữu ngọc công đình quốc bích hồng \
    hương hà hải hùng dũng tuấn cường đăng thái thảo thúy thuý thùy thuỳ tiến tú quý quỳnh phúc phước \
    phượng phương lộc lợi nhật như sơn sáng tấn thành thắng thế thiện thịnh thọ thuận thư toàn trí trọng \
    trường trúc tùng tuyết uyên việt vĩnh vượng xuân yến ánh ân bảo bình cẩm châu chí đạt điệp đông \
    duyên hạnh hiền hiếu hòa hoà huệ khánh khải kiên kiều lệ luân lượng mạnh nghĩa nguyệt nhân nhàn quân \
    tâm tân";

/// One of the frequent names, or two other words.
const ENOUGH: i32 = 4;
/// As much better than the next best reading.
const MARGIN: i32 = 3;

/// What is thought of some text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    Clear(TextEncoding),
    /// It reads as Vietnamese, best in this encoding, and not so well that one could be sure.
    Unsure(TextEncoding),
    /// It does not read as Vietnamese at all.
    None,
}

/// Looks at the values of one data set that are not ASCII, each once.
pub(super) fn guess<'a>(values: impl Iterator<Item = &'a [u8]> + Clone) -> Guess {
    let mut readings: Vec<(i32, TextEncoding, String)> = CANDIDATES
        .into_iter()
        .map(|encoding| {
            let text: Vec<String> = values.clone().map(|value| encoding.decode(value)).collect();
            let text = text.join("\n").nfc().collect::<String>();
            (score(&text), encoding, text)
        })
        .collect();
    readings.sort_by_key(|(score, ..)| -score);
    let Some((best, encoding, text)) = readings.first() else { return Guess::None };
    let next = readings.iter().find(|(_, _, other)| other != text).map_or(i32::MIN, |(score, ..)| *score);
    if *best >= ENOUGH && best.saturating_sub(next) >= MARGIN {
        Guess::Clear(*encoding)
    } else if *best > 1 {
        Guess::Unsure(*encoding)
    } else {
        Guess::None
    }
}

/// How Vietnamese a text is: words with marks count by how well they are known, what is no word counts against it.
fn score(text: &str) -> i32 {
    let small = text.to_lowercase();
    let words: HashSet<&str> = small.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_ascii()).collect();
    let symbols: HashSet<char> = small.chars().filter(|c| !c.is_ascii() && !c.is_alphabetic()).collect();
    let known = words.into_iter().map(|word| match word {
        _ if FREQUENT_NAMES.split(' ').any(|name| name == word) => 4,
        _ if NAMES.split(' ').any(|name| name == word) => 3,
        _ if is_syllable(word) => 1,
        _ => -4,
    });
    known.sum::<i32>() - 2 * i32::try_from(symbols.len()).unwrap_or(i32::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn of(values: &[&[u8]]) -> Guess {
        guess(values.iter().copied())
    }

    #[rstest]
    #[case(&[&b"Nguy\xea\xden^H\xf2\xcca^Thi\xf2 \xd0\xe3\xf2ng"[..]], TextEncoding::Windows1258)]
    #[case(&[&b"L\xea^T\xe1m^V\xe3n"[..]], TextEncoding::Windows1258)]
    #[case(&[&b"Nguy\xd4n Th\xde \xa7\xc6ng"[..]], TextEncoding::Tcvn3)]
    #[case(&[&b"NGUY\xd4N^H\xb5^V\xa8N"[..]], TextEncoding::Tcvn3)]
    #[case(&[&b"Nguye\xe3n Th\xf2 \xd1a\xebng"[..]], TextEncoding::Vni)]
    #[case(&[&b"TRA\xc0N V\xd4 \xd1\xd6\xd9C"[..], &b"X quang ng\xf6\xefc"[..]], TextEncoding::Vni)]
    #[case(&[&b"Nguy\xadn V\xe5n \xd0\xd1c"[..]], TextEncoding::Viscii)]
    fn tells_the_encodings_of_vietnamese_names_apart(
        #[case] values: &[&[u8]],
        #[case] encoding: TextEncoding,
    ) {
        assert_eq!(of(values), Guess::Clear(encoding));
    }

    #[rstest]
    #[case(&[&b"M\xfcller^J\xf6rg"[..], &b"Sch\xe4del"[..]])]
    #[case(&[&b"Jos\xe9 Nu\xf1ez"[..], &b"t\xf3rax"[..]])]
    #[case(&[&b"Jo\xe3o S\xe3o"[..], &b"cr\xe2nio"[..]])]
    #[case(&[&b"S\xf8ren \xd8rsted"[..], &b"Bj\xf6rk"[..]])]
    #[case(&[&b"Fran\xe7ois Lef\xe8vre"[..], &b"t\xeate"[..]])]
    #[case(&[&b"\xc8\xe2\xe0\xed\xee\xe2 \xc8\xe2\xe0\xed"[..]])]
    #[case(&[&b"\xb8\xd2\xd0\xdd\xde\xd2"[..]])]
    fn leaves_other_languages_alone(#[case] values: &[&[u8]]) {
        assert!(!matches!(of(values), Guess::Clear(_)), "{:?}", of(values));
    }

    #[test]
    fn one_short_word_is_not_enough_to_be_sure() {
        assert!(matches!(of(&[&b"L\xea"[..]]), Guess::Unsure(_)));
    }
}
