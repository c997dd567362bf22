//! Damaged streams: a codec answers each of them, with an image of the right size or an error of the frame; one that breaks
//! off with all that the whole one gives, or with an error.

use dicom_store::model::TransferSyntaxUid;

use super::{ErrorKind, ImageInfo, decode};

/// How often a stream is damaged.
const TIMES: usize = 1000;

/// Numbers without a pattern, the same in every run (xorshift).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// Bits turned, bytes replaced, a piece left out or doubled, or the end cut off.
pub(super) fn damaged(stream: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut damaged = stream.to_vec();
    for _ in 0..=numbers.below(3) {
        let place = numbers.below(damaged.len());
        match numbers.below(6) {
            0 | 1 => damaged[place] ^= 1 << numbers.below(8),
            2 | 3 => damaged[place] = numbers.byte(),
            4 => {
                let end = (place + numbers.below(8)).min(damaged.len());
                let piece: Vec<u8> = damaged.drain(place..end).collect();
                if numbers.below(2) == 0 {
                    (0..2).for_each(|_| drop(damaged.splice(place..place, piece.clone())));
                }
            }
            _ => damaged.truncate(place.max(1)),
        }
    }
    damaged
}

/// Decodes the stream as it is, cut off at every place, and damaged in many ways.
pub(super) fn survives(stream: &[u8], info: &ImageInfo, uid: &str) {
    let syntax = TransferSyntaxUid::parse(uid).unwrap();
    let whole = decode(stream, info, &syntax).expect("the whole stream");
    for length in 0..stream.len() {
        if let Ok(cut) = decode(&stream[..length], info, &syntax) {
            assert!(
                cut.samples == whole.samples,
                "{length} of {} bytes give a part of the image",
                stream.len()
            );
        }
    }
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for _ in 0..TIMES {
        match decode(&damaged(stream, &mut numbers), info, &syntax) {
            Ok(decoded) => assert_eq!(decoded.samples.len(), decoded.info.decoded_length().unwrap()),
            Err(error) => assert!(
                matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::TooLarge),
                "{error:?}"
            ),
        }
    }
}
