//! UTF-8 that was taken for Latin-1 or windows-1252 somewhere on its way, and encoded once more: `á»…` for `ễ`.

use encoding_rs::WINDOWS_1252;

/// The text before it was encoded a second time; `None` for what was not. Bytes that windows-1252 has no character for
/// stand as the control characters that Latin-1 has in their place.
pub(super) fn undone(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let once: Option<Vec<u8>> = text.chars().map(byte).collect();
    String::from_utf8(once?).ok().filter(|once| !once.is_ascii())
}

/// The same of bytes.
pub(super) fn of(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().and_then(undone)
}

fn byte(character: char) -> Option<u8> {
    if let Ok(byte) = u8::try_from(character) {
        return Some(byte);
    }
    let mut utf8 = [0; 4];
    let (bytes, _, is_lost) = WINDOWS_1252.encode(character.encode_utf8(&mut utf8));
    match (bytes.as_ref(), is_lost) {
        ([byte], false) => Some(*byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Nguyá»…n Thá»‹ Ä\u{90}áº·ng HÃ²a", Some("Nguyễn Thị Đặng Hòa"))]
    #[case("JÃ¶rg", Some("Jörg"))]
    #[case("Nguyễn", None)]
    #[case("Jörg", None)]
    #[case("NGUYEN", None)]
    #[case("São Paulo ©", None)]
    fn what_was_encoded_twice_is_told_by_what_it_is_once(#[case] text: &str, #[case] once: Option<&str>) {
        assert_eq!(undone(text).as_deref(), once);
    }
}
