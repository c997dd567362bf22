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
    }
}
