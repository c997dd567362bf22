//! How names are compared: without case and without marks, word by word.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// NFC, then đ as d, then NFD without its marks, then lower case, with ß as ss and every sigma as σ.
///
/// `Nguyễn Thị Đào`, `NGUYEN THI DAO` and its decomposed spelling are one. The stroke of đ is no
/// combining mark, which is why it is named by hand.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfc()
        .map(|c| match c {
            'đ' | 'ð' => 'd',
            'Đ' | 'Ð' => 'D',
            other => other,
        })
        .nfd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .flat_map(as_capitals_are)
        .collect()
}

/// Small letters that have no capital of their own are what their capitals become: names come in capitals.
fn as_capitals_are(small: char) -> impl Iterator<Item = char> {
    let letters = match small {
        'ß' => ['s', 's'],
        'ς' => ['σ', '\0'],
        other => [other, '\0'],
    };
    let count = if small == 'ß' { 2 } else { 1 };
    letters.into_iter().take(count)
}

/// Lower case with its marks, in NFC; the marks of a word stand where older spelling puts them.
///
/// `hoà` and `hòa` are one word: the tone of a final oa, oe or uy is written on either letter.
pub fn marked(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut letters: Vec<char> = word.nfd().flat_map(char::to_lowercase).flat_map(as_capitals_are).collect();
    if let [.., first @ ('o' | 'u'), second, tone] = letters.as_mut_slice()
        && matches!((*first, *second), ('o', 'a' | 'e') | ('u', 'y'))
        && is_tone(*tone)
    {
        std::mem::swap(second, tone);
    }
    letters.into_iter().nfc().collect()
}

/// Grave, acute, tilde, hook above, dot below: the tones of Vietnamese.
fn is_tone(c: char) -> bool {
    matches!(c, '\u{300}' | '\u{301}' | '\u{303}' | '\u{309}' | '\u{323}')
}

/// Whether a character stands between words. Apostrophes belong to the word, and marks to their letter.
pub fn parts_words(c: char) -> bool {
    !(c.is_alphanumeric() || is_apostrophe(c) || is_combining_mark(c))
}

/// Apostrophes are left out of words: `O'Neil` is found as `oneil` too.
pub fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ' | '`' | '´')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("Nguyễn^Thị Đào", "nguyen^thi dao")]
    #[case("NGUYÊ\u{0303}N", "nguyen")]
    #[case("PHẠM^ĐỨC", "pham^duc")]
    #[case("Müller", "muller")]
    #[case("Strauß^Jörg", "strauss^jorg")]
    #[case("STRAUẞ^JÖRG", "strauss^jorg")]
    #[case("STRAUSS^JÖRG", "strauss^jorg")]
    #[case("Παπαδόπουλος^Γιώργος", "παπαδοπουλοσ^γιωργοσ")]
    #[case("ΠΑΠΑΔΟΠΟΥΛΟΣ^ΓΙΩΡΓΟΣ", "παπαδοπουλοσ^γιωργοσ")]
    #[case("山田^太郎", "山田^太郎")]
    fn is_the_same_however_it_was_typed(#[case] typed: &str, #[case] folded: &str) {
        assert_eq!(fold(typed), folded);
    }

    #[rstest]
    #[case("Hoà", "HÒA")]
    #[case("THUÝ", "thúy")]
    #[case("NGUYE\u{0302}\u{0303}N", "nguyễn")]
    #[case("ĐẶNG", "đa\u{0323}\u{0306}ng")]
    #[case("Strauß", "STRAUSS")]
    #[case("Γιώργος", "ΓΙΏΡΓΟΣ")]
    fn marks_are_one_wherever_they_are_put(#[case] one: &str, #[case] other: &str) {
        assert_eq!(marked(one), marked(other));
    }

    #[rstest]
    #[case("hoàng", "hòang")]
    #[case("hoa", "hòa")]
    #[case("đang", "dang")]
    fn other_marks_are_another_word(#[case] one: &str, #[case] other: &str) {
        assert_ne!(marked(one), marked(other));
    }
}
