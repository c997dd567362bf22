//! Which transfer syntax an object is taken in, where a peer offers several in one presentation context.
//!
//! Where images come, compressed ones first, so that an object comes as it lies with its sender and is neither inflated
//! for the wire nor compressed anew later; those without loss before those that may have some. Explicit VR goes before
//! Implicit VR, because it says what private elements are. Where there are no pixels nothing can be compressed, and
//! where objects go out the one choice has to do for all of them: native ones first.

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

/// In which every object without pixels can be had, and every image that is not video: the better one first.
const PLAIN: &[&str] = &[transfer_syntax::EXPLICIT_LITTLE, transfer_syntax::IMPLICIT_LITTLE];

/// SOP classes of the Storage Service Class that DICOM registers lie below this (PS3.4 §B.5), but for those of RT
/// delivery instructions, which have no pixels.
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";
const RT_DELIVERY: &str = "1.2.840.10008.5.1.4.34.";

/// What objects of a class hold, as far as the choice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objects {
    /// Or anything: what is not known may have pixels.
    Images,
    /// Images that are hardly ever there but as video streams.
    Video,
    NoPixels,
}

impl Objects {
    fn of(class: &str) -> Self {
        let Some(numbers) = class.strip_prefix(STORAGE) else {
            return if class.starts_with(RT_DELIVERY) { Self::NoPixels } else { Self::Images };
        };
        let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
        match (numbers.next().unwrap_or_default(), numbers.next(), numbers.next(), numbers.next()) {
            // Endoscopy, microscopy, photography.
            (77, Some(1), Some(1 | 2 | 4), Some(1)) => Self::Video,
            // Spectroscopy, overlays, curves and waveforms, look-up tables and presentation states.
            (4, Some(2), None, _) | (8..=11, ..) => Self::NoPixels,
            // Raw data, registrations and fiducials, surfaces and tracts, value maps, scanned surfaces.
            (66, None | Some(1..=3 | 5 | 6), ..) | (67 | 68, ..) => Self::NoPixels,
            // Stereometric relationships, measurements, reports, assessments, annotations.
            (77, Some(1), Some(5), Some(3)) | (78..=80 | 88 | 90 | 91, ..) => Self::NoPixels,
            // Encapsulated documents, PET curves, displays, protocols and inventories.
            (104 | 129 | 131 | 200 | 201, ..) => Self::NoPixels,
            // Radiotherapy, but for its images (RT Image, RT Dose, both Enhanced RT Images); threat reports.
            (481, Some(3..=22 | 25..), ..) | (501, Some(3), ..) => Self::NoPixels,
            _ => Self::Images,
        }
    }
}

/// The place of a transfer syntax: the least is taken.
pub(super) type Rank<'a> = (usize, usize, (usize, usize, &'a str));

/// For objects of a class that come. `wanted` go before all others, as far as they do for such objects.
pub(super) fn rank_of_coming<'a>(class: &str, uid: &'a str, wanted: &[TransferSyntaxUid]) -> Rank<'a> {
    match Objects::of(class) {
        Objects::NoPixels => rank_without_pixels(uid, wanted),
        Objects::Images | Objects::Video => (0, place(uid, wanted), rank(uid)),
    }
}

/// For objects of a class that go out: each of them has to be had in the one that is taken, however it is stored.
/// `is_made`: images can be put into it without loss.
pub(super) fn rank_of_going<'a>(
    class: &str,
    uid: &'a str,
    wanted: &[TransferSyntaxUid],
    is_made: bool,
) -> Rank<'a> {
    let objects = Objects::of(class);
    if objects == Objects::NoPixels {
        return rank_without_pixels(uid, wanted);
    }
    let place = place(uid, wanted);
    let group = match rank(uid) {
        (VIDEO, ..) if objects == Objects::Video => 0,
        _ if is_made && place < wanted.len() => 1,
        _ if PLAIN.contains(&uid) => 2,
        _ if is_made => 3,
        _ => 4,
    };
    (group, place, rank(uid))
}

/// What is compressed by frames has no meaning there: many senders take it at its word, and give up.
fn rank_without_pixels<'a>(uid: &'a str, wanted: &[TransferSyntaxUid]) -> Rank<'a> {
    let group = [PLAIN, NATIVE].iter().position(|list| list.contains(&uid)).unwrap_or(2);
    (group, place(uid, wanted), rank(uid))
}

/// Where it stands among those that are wanted; behind all of them where it does not.
fn place(uid: &str, wanted: &[TransferSyntaxUid]) -> usize {
    wanted.iter().position(|wanted| wanted.is(uid)).unwrap_or(wanted.len())
}

/// The group of what is registered and in no list: video, and what later editions register.
const VIDEO: usize = 2;

/// By how it is to keep and to show.
fn rank(uid: &str) -> (usize, usize, &str) {
    let place = |list: &[&str]| list.iter().position(|other| *other == uid);
    let lists = [LOSSLESS, LOSSY, &[], NATIVE, REFERENCED];
    let listed = lists.into_iter().enumerate().find_map(|(group, list)| Some((group, place(list)?, uid)));
    // The last group is what is private.
    listed.unwrap_or((if uid.starts_with(REGISTERED) { VIDEO } else { lists.len() }, 0, uid))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const REPORT: &str = "1.2.840.10008.5.1.4.1.1.88.11";
    const VIDEO_ENDOSCOPY: &str = "1.2.840.10008.5.1.4.1.1.77.1.1.1";
    const EXPLICIT: &str = transfer_syntax::EXPLICIT_LITTLE;
    const IMPLICIT: &str = transfer_syntax::IMPLICIT_LITTLE;
    const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
    const JPEG: &str = "1.2.840.10008.1.2.4.70";
    const BASELINE: &str = "1.2.840.10008.1.2.4.50";
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
        let forth = offered.iter().min_by_key(|uid| rank_of_coming(CT, uid, &[]));
        let back = offered.iter().rev().min_by_key(|uid| rank_of_coming(CT, uid, &[]));
        assert_eq!((forth.copied(), back.copied()), (Some(best), Some(best)));
    }

    #[rstest]
    #[case::report(REPORT, &[JPEG, DEFLATED, IMPLICIT, EXPLICIT], &[], EXPLICIT)]
    #[case::report_wanted(REPORT, &[JPEG, EXPLICIT, IMPLICIT], &[JPEG, IMPLICIT], IMPLICIT)]
    #[case::report_deflated(REPORT, &[JPEG, DEFLATED], &[], DEFLATED)]
    #[case::report_without_choice(REPORT, &[JPEG], &[], JPEG)]
    #[case::delivery("1.2.840.10008.5.1.4.34.7", &[JPEG, IMPLICIT], &[], IMPLICIT)]
    fn what_has_no_pixels_is_native_whichever_way_it_goes(
        #[case] class: &str,
        #[case] offered: &[&str],
        #[case] wanted: &[&str],
        #[case] best: &str,
    ) {
        let wanted: Vec<_> = wanted.iter().map(|uid| TransferSyntaxUid::parse(uid).unwrap()).collect();
        let comes = offered.iter().min_by_key(|uid| rank_of_coming(class, uid, &wanted));
        let goes = offered.iter().min_by_key(|uid| rank_of_going(class, uid, &wanted, **uid == JPEG));
        assert_eq!((comes.copied(), goes.copied()), (Some(best), Some(best)));
    }

    #[rstest]
    #[case::explicit_first(CT, &[JPEG, BASELINE, IMPLICIT, EXPLICIT], &[], EXPLICIT)]
    #[case::implicit(CT, &[JPEG, BASELINE, IMPLICIT], &[], IMPLICIT)]
    #[case::made_without_loss(CT, &[BASELINE, DEFLATED, JPEG], &[], JPEG)]
    #[case::as_it_may_be_stored(CT, &[BASELINE], &[], BASELINE)]
    #[case::wanted(CT, &[EXPLICIT, JPEG], &[JPEG], JPEG)]
    #[case::wanted_and_not_made(CT, &[EXPLICIT, BASELINE], &[BASELINE], EXPLICIT)]
    #[case::video(VIDEO_ENDOSCOPY, &[EXPLICIT, VIDEO], &[], VIDEO)]
    #[case::image_of_an_endoscope("1.2.840.10008.5.1.4.1.1.77.1.1", &[EXPLICIT, VIDEO], &[], EXPLICIT)]
    #[case::private("1.3.12.2.1107.5.9.1", &[BASELINE, EXPLICIT], &[], EXPLICIT)]
    fn what_goes_out_is_taken_as_all_of_it_can_be_had(
        #[case] class: &str,
        #[case] offered: &[&str],
        #[case] wanted: &[&str],
        #[case] best: &str,
    ) {
        let wanted: Vec<_> = wanted.iter().map(|uid| TransferSyntaxUid::parse(uid).unwrap()).collect();
        let is_made = |uid: &str| [EXPLICIT, IMPLICIT, JPEG].contains(&uid);
        let taken = offered.iter().min_by_key(|uid| rank_of_going(class, uid, &wanted, is_made(uid)));
        assert_eq!(taken.copied(), Some(best));
    }

    #[rstest]
    #[case::images(
        &["1.2", "1.4.1", "1.66.4", "1.66.7", "1.77.1.6", "1.77.1.5.1", "1.481.1", "1.481.2", "1.481.23", "1.128", "1.999"],
        Objects::Images
    )]
    #[case::video(&["1.77.1.1.1", "1.77.1.2.1", "1.77.1.4.1"], Objects::Video)]
    #[case::no_pixels(
        &["1.4.2", "1.9.1.1", "1.11.1", "1.66", "1.66.1", "1.66.5", "1.67", "1.68.1", "1.77.1.5.3", "1.78.2", "1.80.1",
            "1.88.11", "1.88.59", "1.91.1", "1.104.1", "1.200.3", "1.481.3", "1.481.5", "1.481.12", "1.481.25"],
        Objects::NoPixels
    )]
    fn classes_hold_images_video_or_no_pixels(#[case] classes: &[&str], #[case] expected: Objects) {
        for class in classes {
            assert_eq!(Objects::of(&format!("1.2.840.10008.5.1.4.1.{class}")), expected, "{class}");
        }
    }

    #[test]
    fn no_transfer_syntax_is_in_two_lists() {
        let all = [LOSSLESS, LOSSY, NATIVE, REFERENCED].concat();
        let once: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(all.len(), once.len());
    }
}
