//! A card that says what an instance is.

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Codec, Instance};

use super::SIZE;
use super::canvas::{Canvas, GREY, WHITE};

/// Beginnings of SOP Class UIDs (behind 1.2.840.10008.5.1.4.1.1.), and what such an instance is; the first that fits.
const KINDS: [(&str, &str); 31] = [
    ("4.2", "SPECTRUM"),
    ("67", "REAL WORLD VALUES"),
    ("78.", "EYE MEASUREMENTS"),
    ("79.", "EYE MEASUREMENTS"),
    ("80.", "EYE MEASUREMENTS"),
    ("91.", "ANNOTATIONS"),
    ("200.", "PROTOCOL"),
    ("88.59", "KEY IMAGES"),
    ("88.67", "DOSE REPORT"),
    ("88.68", "DOSE REPORT"),
    ("88.73", "DOSE REPORT"),
    ("88.", "REPORT"),
    ("104.1", "PDF"),
    ("104.2", "DOCUMENT"),
    ("104.", "3D MODEL"),
    ("11.", "VIEW"),
    ("9.", "WAVEFORM"),
    ("481.3", "RT STRUCTURES"),
    ("481.4", "RT TREATMENT"),
    ("481.6", "RT TREATMENT"),
    ("481.7", "RT TREATMENT"),
    ("481.9", "RT TREATMENT"),
    ("481.16", "RT TREATMENT"),
    ("481.17", "RT TREATMENT"),
    ("481.18", "RT TREATMENT"),
    ("481.19", "RT TREATMENT"),
    ("481.20", "RT TREATMENT"),
    ("481.", "RT PLAN"),
    ("66.5", "3D MODEL"),
    ("66.", "REGISTRATION"),
    ("66", "RAW DATA"),
];

const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";

/// None for what is of no kind that is known here.
pub(super) fn card(instance: &Instance, attributes: &Attributes) -> Option<Canvas> {
    let (kind, detail) = if instance.transfer_syntax.facts().codec == Codec::Video {
        ("VIDEO", length(attributes))
    } else {
        (name(instance.sop_class.as_str())?, None)
    };
    Some(with_words(kind, detail.as_deref()))
}

/// The card of images that cannot be shown.
pub(super) fn not_shown() -> Canvas {
    with_words("IMAGE", Some("CANNOT BE SHOWN"))
}

fn with_words(kind: &str, detail: Option<&str>) -> Canvas {
    let mut canvas = Canvas::new();
    canvas.frame(8, 8, SIZE.0 - 9, SIZE.1 - 9, GREY);
    canvas.words(kind, if detail.is_some() { 60 } else { 82 }, 4, WHITE);
    if let Some(detail) = detail {
        canvas.words(detail, 108, 3, GREY);
    }
    canvas
}

fn name(sop_class: &str) -> Option<&'static str> {
    let number = sop_class.strip_prefix(STORAGE)?;
    KINDS.iter().find(|(beginning, _)| number.starts_with(beginning)).map(|(_, name)| *name)
}

/// Minutes and seconds of a video.
fn length(attributes: &Attributes) -> Option<String> {
    let frames = attributes.float(tags::NUMBER_OF_FRAMES)?;
    let rate = [tags::CINE_RATE, tags::RECOMMENDED_DISPLAY_FRAME_RATE].into_iter();
    let of_rate =
        rate.filter_map(|tag| attributes.float(tag)).find(|rate| *rate > 0.0).map(|rate| frames / rate);
    let of_time =
        attributes.float(tags::FRAME_TIME).filter(|time| *time > 0.0).map(|time| frames * time / 1000.0);
    let seconds = of_time.or(of_rate).filter(|seconds| (0.0..360_000.0).contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 360000")]
    let seconds = seconds.round() as u32;
    Some(format!("{}:{:02}", seconds / 60, seconds % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_class() {
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.88.59"), Some("KEY IMAGES"));
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.88.11"), Some("REPORT"));
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.104.1"), Some("PDF"));
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.11.1"), Some("VIEW"));
        for (number, kind) in [
            ("4.2", "SPECTRUM"),
            ("67", "REAL WORLD VALUES"),
            ("78.8", "EYE MEASUREMENTS"),
            ("91.1", "ANNOTATIONS"),
            ("200.3", "PROTOCOL"),
            ("481.5", "RT PLAN"),
            ("481.7", "RT TREATMENT"),
            ("481.13", "RT PLAN"),
            ("481.19", "RT TREATMENT"),
        ] {
            assert_eq!(name(&format!("{STORAGE}{number}")), Some(kind));
        }
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.4"), None);
        assert_eq!(name("1.2.840.10008.5.1.4.1.1.2"), None);
        assert_eq!(name("1.2.3"), None);
    }
}
