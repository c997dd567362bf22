//! Where the code stream lies: alone, or in the boxes of a JP2 file, which some devices store (ISO/IEC 15444-1 Annex I).

use super::super::{Error, Result};

/// How a code stream begins: SOC and SIZ.
const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];

/// The code stream of a frame. What else the boxes say is not looked at: the data set says it (PS3.5 §8.2.4).
///
/// # Errors
/// `Corrupt` when there is none.
pub(super) fn within(frame: &[u8]) -> Result<&[u8]> {
    if frame.starts_with(&START) {
        return Ok(frame);
    }
    let mut boxes = frame;
    while let Some((kind, contents, behind)) = next_box(boxes) {
        if kind == *b"jp2c" && contents.starts_with(&START) {
            return Ok(contents);
        }
        boxes = behind;
    }
    Err(Error::corrupt("not a JPEG 2000 stream"))
}

/// Kind, contents and what follows. A length of 1 stands for one of 64 bits, of 0 for all that is left (§I.4).
fn next_box(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, contents) = rest.split_first_chunk::<4>()?;
    let (contents, head, length) = match u32::from_be_bytes(*length) {
        0 => return Some((*kind, contents, &[])),
        1 => {
            let (length, contents) = contents.split_first_chunk::<8>()?;
            (contents, 16, u64::from_be_bytes(*length))
        }
        length => (contents, 8, u64::from(length)),
    };
    let (contents, behind) = contents.split_at_checked(usize::try_from(length.checked_sub(head)?).ok()?)?;
    Some((*kind, contents, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: [u8; 5] = [0xFF, 0x4F, 0xFF, 0x51, 7];

    fn boxed(length: &[u8], kind: &[u8; 4], long: &[u8]) -> Vec<u8> {
        let first = [&[0, 0, 0, 10][..], b"jP  ", &[1, 2]].concat();
        [&first, length, kind, long, &STREAM].concat()
    }

    #[test]
    fn a_stream_is_found_alone_and_in_boxes_of_all_lengths() {
        assert_eq!(within(&STREAM).unwrap(), STREAM);
        assert_eq!(within(&boxed(&[0, 0, 0, 13], b"jp2c", &[])).unwrap(), STREAM);
        assert_eq!(within(&boxed(&[0, 0, 0, 0], b"jp2c", &[])).unwrap(), STREAM);
        assert_eq!(within(&boxed(&[0, 0, 0, 1], b"jp2c", &[0, 0, 0, 0, 0, 0, 0, 21])).unwrap(), STREAM);
    }

    #[test]
    fn boxes_without_a_stream_or_with_impossible_lengths_are_corrupt() {
        for length in [[0, 0, 0, 2], [0, 0, 0, 14], [0xFF; 4]] {
            assert!(within(&boxed(&length, b"jp2c", &[])).is_err());
        }
        assert!(within(&boxed(&[0, 0, 0, 13], b"free", &[])).is_err());
        assert!(within(&[]).is_err());
    }
}
