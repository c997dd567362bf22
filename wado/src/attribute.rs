//! Attributes as query parameters name them (PS3.18 §8.3.4.1): by keyword, by eight hexadecimal digits, or by a path
//! of these through sequences, with points between.

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::dictionary_std::StandardDataDictionary;
use dicom_store::model::{Tag, VR};

/// An attribute, perhaps inside of sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributePath {
    /// From the outermost sequence to the attribute itself; never empty.
    pub(crate) tags: Vec<Tag>,
    /// VR of the attribute by the dictionary; UN where it is unknown.
    pub(crate) vr: VR,
}

impl AttributePath {
    /// `None` when a part is neither a keyword of the dictionary nor a tag.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tags: Vec<Tag> = text.split('.').map(tag).collect::<Option<_>>()?;
        let vr = vr(*tags.last()?);
        Some(Self { tags, vr })
    }

    /// The outermost attribute, which is the one that an answer holds.
    pub(crate) fn outermost(&self) -> Option<Tag> {
        self.tags.first().copied()
    }
}

/// The VR of an attribute by the dictionary; UN where it is unknown.
pub(crate) fn vr(tag: Tag) -> VR {
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

fn tag(text: &str) -> Option<Tag> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let number = u32::from_str_radix(text, 16).ok()?;
        return Some(Tag(u16::try_from(number >> 16).ok()?, u16::try_from(number & 0xFFFF).ok()?));
    }
    StandardDataDictionary.by_name(text).map(|entry| entry.tag())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("PatientName", &[Tag(0x0010, 0x0010)], VR::PN)]
    #[case("00100010", &[Tag(0x0010, 0x0010)], VR::PN)]
    #[case("0020000d", &[Tag(0x0020, 0x000D)], VR::UI)]
    #[case("OtherPatientIDsSequence.00100020", &[Tag(0x0010, 0x1002), Tag(0x0010, 0x0020)], VR::LO)]
    #[case("00091001", &[Tag(0x0009, 0x1001)], VR::UN)]
    fn reads_keywords_tags_and_paths(#[case] text: &str, #[case] tags: &[Tag], #[case] vr: VR) {
        assert_eq!(AttributePath::parse(text), Some(AttributePath { tags: tags.to_vec(), vr }));
    }

    #[rstest]
    #[case("nosuchparameter")]
    #[case("patientname")]
    #[case("0010001")]
    #[case("PatientName.")]
    #[case("")]
    fn anything_else_is_no_attribute(#[case] text: &str) {
        assert_eq!(AttributePath::parse(text), None);
    }
}
