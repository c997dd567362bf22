//! How a name is compared: without case and without marks.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// NFC, then đ as d, then NFD without its marks, then lower case.
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
        .collect()
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
    #[case("山田^太郎", "山田^太郎")]
    fn is_the_same_however_it_was_typed(#[case] typed: &str, #[case] folded: &str) {
        assert_eq!(fold(typed), folded);
    }
}
