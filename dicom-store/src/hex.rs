//! Bytes as hexadecimal digits, and back.

/// Two small digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    // By `write!` it was a hundredth of the server's time while small instances arrive.
    let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' + (half - 10) });
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

/// What [`hex`] wrote, capital digits too; `None` of anything else.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(b"", "")]
    #[case(&[0, 1, 15, 16, 255], "00010f10ff")]
    fn bytes_come_back(#[case] bytes: &[u8], #[case] text: &str) {
        assert_eq!(hex(bytes), text);
        assert_eq!(from_hex(text).as_deref(), Some(bytes));
    }

    #[rstest]
    #[case("0")]
    #[case("0g")]
    #[case("+1")]
    #[case("é0")]
    fn what_is_no_byte_is_refused(#[case] text: &str) {
        assert_eq!(from_hex(text), None);
    }
}
