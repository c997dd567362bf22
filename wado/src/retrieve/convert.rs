//! An instance as a Part 10 file in another transfer syntax than the stored one (PS3.18 §8.7.3.4).

use dicom_store::model::{Instance, TransferSyntaxUid, transfer_syntax};
use dicom_store::{ErrorKind, Session};
use futures_util::StreamExt;
use worker::CpuPool;
use worker::transcode::{self, DataSet};

use super::parts::Chunks;

/// Transfer syntaxes that instances and frames are put into for who asks for them by name.
const MADE: [&str; 14] = [
    transfer_syntax::EXPLICIT_LITTLE,
    transfer_syntax::ENCAPSULATED_UNCOMPRESSED,
    transfer_syntax::JPEG_BASELINE,
    transfer_syntax::JPEG_LOSSLESS,
    transfer_syntax::JPEG_LOSSLESS_SV1,
    transfer_syntax::JPEG_LS,
    transfer_syntax::JPEG_LS_NEAR,
    transfer_syntax::JPEG_2000_LOSSLESS,
    transfer_syntax::JPEG_2000,
    transfer_syntax::HTJ2K_LOSSLESS,
    transfer_syntax::HTJ2K_RPCL,
    transfer_syntax::HTJ2K,
    transfer_syntax::RLE,
    transfer_syntax::DEFLATED_FRAMES,
];

/// The name of a transfer syntax that is made here, as it stands in the list.
pub(super) fn made(uid: &str) -> Option<&'static str> {
    MADE.into_iter().find(|made| *made == uid)
}

/// Whether the instance can be given in that one.
pub(super) fn is_possible(instance: &Instance, wanted: &str) -> bool {
    TransferSyntaxUid::parse(wanted).is_ok_and(|wanted| transcode::is_possible(instance, &wanted))
}

/// Whether the instance cannot be given so because of what it holds.
pub(super) fn is_about_the_object(error: &worker::Error) -> bool {
    match error {
        worker::Error::Pixel(_) | worker::Error::Panicked(_) => true,
        worker::Error::Store(error) => error.kind == ErrorKind::TooLarge,
        _ => false,
    }
}

/// The file, made while it is sent, and how long it is, where that is known.
///
/// # Errors
/// As recoding its first frame; `TooLarge` when a value is too large for the transfer syntax.
pub(super) async fn file(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    wanted: &str,
) -> worker::Result<(Option<u64>, Chunks)> {
    let wanted = TransferSyntaxUid::parse(wanted)?;
    let DataSet { length, chunks } = transcode::file(session, pool, instance, &wanted).await?;
    Ok((length, chunks.map(|chunk| Ok(chunk?)).boxed()))
}

#[cfg(test)]
mod tests {
    use worker::pixel::can_encode;

    use super::*;

    #[test]
    fn all_that_is_encoded_can_be_asked_for_by_its_name() {
        // Implicit VR is never named (PS3.18 §8.7.3).
        let mut encoded: Vec<&str> = transfer_syntax::known()
            .iter()
            .map(|(uid, _, _)| *uid)
            .filter(|uid| TransferSyntaxUid::parse(uid).is_ok_and(|uid| can_encode(&uid)))
            .filter(|uid| *uid != transfer_syntax::IMPLICIT_LITTLE)
            .collect();
        let mut named = MADE.to_vec();
        encoded.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, encoded);
    }
}
