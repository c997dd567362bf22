//! Which transfer syntax an object is taken in, where a peer offers several in one presentation context.
//!
//! Compressed ones first, so that an object comes as it lies with its sender and is neither inflated for the wire nor
//! compressed anew later; those without loss before those that may have some. Explicit VR goes before Implicit VR,
//! because it says what private elements are.

use dicom_store::model::{TransferSyntaxUid, transfer_syntax};

/// Without loss, the best to keep and to show first.
pub const LOSSLESS: &[&str] = &[
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.8.1",
    "1.2.840.10008.1.2.4.92",
];

/// With loss, as their sender has them. Video and what later editions register comes behind them, by its UID.
pub const LOSSY: &[&str] = &[
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.111",
    "1.2.840.10008.1.2.4.112",
    "1.2.840.10008.1.2.4.93",
];

/// Not compressed, or only as a whole.
pub const NATIVE: &[&str] = &[
    transfer_syntax::EXPLICIT_LITTLE,
    "1.2.840.10008.1.2.1.98",
    "1.2.840.10008.1.2.1.99",
    transfer_syntax::IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.2",
];

/// Pixels that are only referred to (JPIP): nothing that an archive wants where it can have the object itself.
pub const REFERENCED: &[&str] = &[
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
];

/// What is registered by DICOM begins with this.
const REGISTERED: &str = "1.2.840.10008.1.2.";

/// The place of a transfer syntax; the least is taken. `wanted` go before all others.
pub(super) fn rank<'a>(uid: &'a str, wanted: &[TransferSyntaxUid]) -> (usize, usize, &'a str) {
    let place = |list: &[&str]| list.iter().position(|other| *other == uid);
    if let Some(place) = wanted.iter().position(|wanted| wanted.is(uid)) {
        return (0, place, uid);
    }
    let lists = [LOSSLESS, LOSSY, &[], NATIVE, REFERENCED];
    let listed = lists.into_iter().enumerate().find_map(|(group, list)| Some((group + 1, place(list)?, uid)));
    // The third group is what is registered and in no list, the last one what is private.
    listed.unwrap_or((if uid.starts_with(REGISTERED) { 3 } else { lists.len() + 1 }, 0, uid))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const VIDEO: &str = "1.2.840.10008.1.2.4.102";
    const PRIVATE: &str = "1.2.826.0.1.3680043.9.1";

    #[rstest]
    #[case(&["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"], "1.2.840.10008.1.2.1")]
    #[case(&["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"], "1.2.840.10008.1.2.4.50")]
    #[case(&["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.1"], "1.2.840.10008.1.2.4.70")]
    #[case(&["1.2.840.10008.1.2.1", VIDEO], VIDEO)]
    #[case(&[VIDEO, "1.2.840.10008.1.2.4.91"], "1.2.840.10008.1.2.4.91")]
    #[case(&["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2"], "1.2.840.10008.1.2")]
    #[case(&[PRIVATE, "1.2.840.10008.1.2.2"], "1.2.840.10008.1.2.2")]
    #[case(&[PRIVATE], PRIVATE)]
    fn the_best_is_taken_whatever_the_order(#[case] offered: &[&str], #[case] best: &str) {
        let forth = offered.iter().min_by_key(|uid| rank(uid, &[]));
        let back = offered.iter().rev().min_by_key(|uid| rank(uid, &[]));
        assert_eq!((forth.copied(), back.copied()), (Some(best), Some(best)));
    }

    #[test]
    fn no_transfer_syntax_is_in_two_lists() {
        let all = [LOSSLESS, LOSSY, NATIVE, REFERENCED].concat();
        let once: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(all.len(), once.len());
    }
}
