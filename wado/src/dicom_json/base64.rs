//! Base64 with padding (RFC 4648 §4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the bytes in base64.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    let (triples, rest) = bytes.as_chunks::<3>();
    for triple in triples {
        out.extend_from_slice(&four(*triple));
    }
    match *rest {
        [a] => {
            let [first, second, ..] = four([a, 0, 0]);
            out.extend_from_slice(&[first, second, b'=', b'=']);
        }
        [a, b] => {
            let [first, second, third, _] = four([a, b, 0]);
            out.extend_from_slice(&[first, second, third, b'=']);
        }
        _ => {}
    }
}

fn four([a, b, c]: [u8; 3]) -> [u8; 4] {
    let sextets = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63];
    sextets.map(|sextet| ALPHABET.get(usize::from(sextet)).copied().unwrap_or(b'='))
}

/// The bytes behind base64; line ends and blanks are passed over, padding may be missing. `None` for anything else.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut is_over) = (0_u32, 0, false);
    for digit in digits {
        if digit == b'=' {
            is_over = true;
            continue;
        }
        let sextet = match digit {
            _ if is_over => return None,
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        count += 1;
        if count == 4 {
            let [_, bytes @ ..] = bits.to_be_bytes();
            out.extend_from_slice(&bytes);
            (bits, count) = (0, 0);
        }
    }
    match count {
        0 => {}
        2 => out.extend((bits << 20).to_be_bytes().first()),
        3 => out.extend((bits << 14).to_be_bytes().iter().take(2)),
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "")]
    #[case("f", "Zg==")]
    #[case("fo", "Zm8=")]
    #[case("foo", "Zm9v")]
    #[case("foob", "Zm9vYg==")]
    #[case("fooba", "Zm9vYmE=")]
    #[case("foobar", "Zm9vYmFy")]
    fn gives_the_vectors_of_the_rfc(#[case] text: &str, #[case] expected: &str) {
        let mut out = Vec::new();
        encode(text.as_bytes(), &mut out);
        assert_eq!(out, expected.as_bytes());
        assert_eq!(decode(expected).as_deref(), Some(text.as_bytes()));
        assert_eq!(decode(expected.trim_end_matches('=')).as_deref(), Some(text.as_bytes()));
    }

    #[rstest]
    #[case("Z")]
    #[case("Zm9vY")]
    #[case("Zm=9")]
    #[case("Zm9-")]
    fn refuses_what_is_none(#[case] text: &str) {
        assert_eq!(decode(text), None);
    }

    #[test]
    fn passes_over_line_ends() {
        assert_eq!(decode("Zm9v\r\nYmFy\n").as_deref(), Some(&b"foobar"[..]));
    }
}
