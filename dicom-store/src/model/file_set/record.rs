//! Directory records: the type of an instance's, and the keys that each type has (PS3.3 §F.5).

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::dictionary_std::{StandardDataDictionary, tags};

use super::super::{Attributes, Encoding, Instance, Tag, TransferSyntaxUid, VR};

/// Storage classes of PS3.4 §B.5 lie below this.
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";
/// A record of no registered type.
const PRIVATE: &str = "PRIVATE";

const DATED: &[Tag] = &[tags::CONTENT_DATE, tags::CONTENT_TIME];
const LABELLED: &[Tag] = &[
    tags::CONTENT_DATE,
    tags::CONTENT_TIME,
    tags::CONTENT_LABEL,
    tags::CONTENT_DESCRIPTION,
    tags::CONTENT_CREATOR_NAME,
];

/// The type of the record of an instance.
pub(super) fn of_class(class: &str, is_image: bool) -> &'static str {
    let Some(class) = class.strip_prefix(STORAGE) else { return if is_image { "IMAGE" } else { PRIVATE } };
    let mut numbers = class.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    match (numbers.next().unwrap_or_default(), numbers.next(), numbers.next()) {
        (4, Some(2), None) => "SPECTROSCOPY",
        (9, ..) => "WAVEFORM",
        (11, ..) => "PRESENTATION",
        (66, None, _) => "RAW DATA",
        (66, Some(1 | 3), _) => "REGISTRATION",
        (66, Some(2), _) => "FIDUCIAL",
        (66, Some(5), _) => "SURFACE",
        (66, Some(6), _) => "TRACT",
        (67, ..) => "VALUE MAP",
        (68, ..) => "SURFACE SCAN",
        (77, Some(1), Some(5)) if class.ends_with("5.3") => "STEREOMETRIC",
        (78 | 80, ..) => "MEASUREMENT",
        (88, Some(59), _) => "KEY OBJECT DOC",
        (79 | 88, ..) => "SR DOCUMENT",
        (90, ..) => "ASSESSMENT",
        (91, ..) => "ANNOTATION",
        (104, ..) => "ENCAP DOC",
        (481, Some(2), _) => "RT DOSE",
        (481, Some(3), _) => "RT STRUCTURE SET",
        (481, Some(5 | 8), _) => "RT PLAN",
        (481, Some(4 | 6 | 7 | 9), _) => "RT TREAT RECORD",
        (481, Some(10..=22 | 25..), _) => "RADIOTHERAPY",
        _ => "IMAGE",
    }
}

/// Keys beside Instance Number.
fn keys(kind: &str) -> &'static [Tag] {
    match kind {
        "RT DOSE" => &[tags::DOSE_SUMMATION_TYPE, tags::DOSE_COMMENT],
        "RT STRUCTURE SET" => {
            &[tags::STRUCTURE_SET_LABEL, tags::STRUCTURE_SET_DATE, tags::STRUCTURE_SET_TIME]
        }
        "RT PLAN" => &[tags::RT_PLAN_LABEL, tags::RT_PLAN_DATE, tags::RT_PLAN_TIME],
        "RT TREAT RECORD" => &[tags::TREATMENT_DATE, tags::TREATMENT_TIME],
        "PRESENTATION" => &[
            tags::PRESENTATION_CREATION_DATE,
            tags::PRESENTATION_CREATION_TIME,
            tags::CONTENT_LABEL,
            tags::CONTENT_DESCRIPTION,
            tags::CONTENT_CREATOR_NAME,
            tags::REFERENCED_SERIES_SEQUENCE,
            tags::BLENDING_SEQUENCE,
        ],
        "WAVEFORM" | "RAW DATA" | "MEASUREMENT" => DATED,
        "SR DOCUMENT" => &[
            tags::COMPLETION_FLAG,
            tags::VERIFICATION_FLAG,
            tags::CONTENT_DATE,
            tags::CONTENT_TIME,
            tags::VERIFICATION_DATE_TIME,
            tags::CONCEPT_NAME_CODE_SEQUENCE,
        ],
        "KEY OBJECT DOC" => &[tags::CONTENT_DATE, tags::CONTENT_TIME, tags::CONCEPT_NAME_CODE_SEQUENCE],
        "SPECTROSCOPY" => &[
            tags::IMAGE_TYPE,
            tags::CONTENT_DATE,
            tags::CONTENT_TIME,
            tags::REFERENCED_IMAGE_EVIDENCE_SEQUENCE,
            tags::NUMBER_OF_FRAMES,
            tags::ROWS,
            tags::COLUMNS,
            tags::DATA_POINT_ROWS,
            tags::DATA_POINT_COLUMNS,
        ],
        "ENCAP DOC" => &[
            tags::CONTENT_DATE,
            tags::CONTENT_TIME,
            tags::DOCUMENT_TITLE,
            tags::HL7_INSTANCE_IDENTIFIER,
            tags::CONCEPT_NAME_CODE_SEQUENCE,
            tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT,
        ],
        "ASSESSMENT" => &[tags::INSTANCE_CREATION_DATE, tags::INSTANCE_CREATION_TIME],
        "REGISTRATION" | "FIDUCIAL" | "VALUE MAP" | "SURFACE" | "SURFACE SCAN" | "TRACT" | "STEREOMETRIC" => {
            LABELLED
        }
        "ANNOTATION" | "RADIOTHERAPY" => LABELLED,
        _ => &[tags::NUMBER_OF_FRAMES],
    }
}

/// Keys that are left out where the instance does not have them; others stand without a value.
const CONDITIONAL: &[Tag] = &[
    tags::SPECIFIC_CHARACTER_SET,
    tags::NUMBER_OF_FRAMES,
    tags::REFERENCED_SERIES_SEQUENCE,
    tags::BLENDING_SEQUENCE,
    tags::VERIFICATION_DATE_TIME,
    tags::REFERENCED_IMAGE_EVIDENCE_SEQUENCE,
    tags::HL7_INSTANCE_IDENTIFIER,
    tags::DOSE_COMMENT,
    tags::ISSUER_OF_PATIENT_ID,
    tags::SERIES_DESCRIPTION,
    tags::BODY_PART_EXAMINED,
];

/// A directory record in the making.
pub(super) struct Keys(Attributes);

impl Keys {
    pub(super) fn of(kind: &str) -> Self {
        let mut keys = Attributes::new();
        keys.put_text(tags::DIRECTORY_RECORD_TYPE, VR::CS, kind);
        Self(keys)
    }

    /// What the record says of its file.
    pub(super) fn file(&mut self, id: &[String; 3], instance: &Instance, syntax: &TransferSyntaxUid) {
        self.0.put_texts(tags::REFERENCED_FILE_ID, VR::CS, id);
        let class = instance.sop_class.as_str();
        self.0.put_text(tags::REFERENCED_SOP_CLASS_UID_IN_FILE, VR::UI, class);
        self.0.put_text(tags::REFERENCED_SOP_INSTANCE_UID_IN_FILE, VR::UI, instance.sop_instance.as_str());
        self.0.put_text(tags::REFERENCED_TRANSFER_SYNTAX_UID_IN_FILE, VR::UI, syntax.as_str());
        if self.0.text(tags::DIRECTORY_RECORD_TYPE).as_deref() == Some(PRIVATE) {
            self.0.put_text(Tag(0x0004, 0x1432), VR::UI, class);
        }
    }

    fn copy(&mut self, from: &Attributes, tags: &[Tag]) {
        for tag in tags {
            match from.get(*tag).filter(|element| !element.value.is_empty()) {
                Some(element) => self.0.put_from(from, element),
                None if CONDITIONAL.contains(tag) => {}
                None => {
                    let vr = StandardDataDictionary.by_tag(*tag).map_or(VR::UN, |entry| entry.vr().relaxed());
                    self.0.put_empty(*tag, vr);
                }
            }
        }
    }

    /// The value, or else a number in its place.
    fn numbered(&mut self, from: &Attributes, tag: Tag, vr: VR, number: usize) {
        match from.get(tag).filter(|_| from.text(tag).is_some_and(|text| !text.is_empty())) {
            Some(element) => self.0.put_from(from, element),
            None => self.0.put_text(tag, vr, &number.to_string()),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.write(Encoding::ExplicitLittle)
    }
}

pub(super) fn of_patient(attributes: &Attributes, number: usize) -> Vec<u8> {
    let mut keys = Keys::of("PATIENT");
    keys.copy(attributes, &[tags::PATIENT_NAME, tags::ISSUER_OF_PATIENT_ID]);
    keys.copy(attributes, &[tags::PATIENT_BIRTH_DATE, tags::PATIENT_SEX]);
    keys.numbered(attributes, tags::PATIENT_ID, VR::LO, number);
    keys.into_bytes()
}

pub(super) fn of_study(attributes: &Attributes, number: usize) -> Vec<u8> {
    let mut keys = Keys::of("STUDY");
    keys.copy(attributes, &[tags::STUDY_DATE, tags::STUDY_TIME, tags::ACCESSION_NUMBER]);
    keys.copy(attributes, &[tags::STUDY_DESCRIPTION, tags::STUDY_INSTANCE_UID]);
    keys.numbered(attributes, tags::STUDY_ID, VR::SH, number);
    keys.into_bytes()
}

pub(super) fn of_series(attributes: &Attributes, number: usize) -> Vec<u8> {
    let mut keys = Keys::of("SERIES");
    keys.copy(attributes, &[tags::MODALITY, tags::SERIES_INSTANCE_UID]);
    keys.copy(attributes, &[tags::SERIES_DESCRIPTION, tags::BODY_PART_EXAMINED]);
    keys.numbered(attributes, tags::SERIES_NUMBER, VR::IS, number);
    keys.into_bytes()
}

pub(super) fn of_instance(record: &mut Keys, instance: &Instance, attributes: &Attributes, number: usize) {
    let is_image = instance.frames > 0 || attributes.contains(tags::ROWS);
    record.copy(attributes, keys(of_class(instance.sop_class.as_str(), is_image)));
    record.numbered(attributes, tags::INSTANCE_NUMBER, VR::IS, number);
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::uids;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(uids::CT_IMAGE_STORAGE, "IMAGE")]
    #[case(uids::SEGMENTATION_STORAGE, "IMAGE")]
    #[case(uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE, "PRESENTATION")]
    #[case(uids::TWELVE_LEAD_ECG_WAVEFORM_STORAGE, "WAVEFORM")]
    #[case(uids::ENHANCED_SR_STORAGE, "SR DOCUMENT")]
    #[case(uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE, "KEY OBJECT DOC")]
    #[case(uids::ENCAPSULATED_PDF_STORAGE, "ENCAP DOC")]
    #[case(uids::RT_DOSE_STORAGE, "RT DOSE")]
    #[case(uids::RT_STRUCTURE_SET_STORAGE, "RT STRUCTURE SET")]
    #[case(uids::RT_PLAN_STORAGE, "RT PLAN")]
    #[case(uids::RT_BEAMS_TREATMENT_RECORD_STORAGE, "RT TREAT RECORD")]
    #[case(uids::RT_IMAGE_STORAGE, "IMAGE")]
    #[case(uids::RAW_DATA_STORAGE, "RAW DATA")]
    #[case(uids::SPATIAL_REGISTRATION_STORAGE, "REGISTRATION")]
    #[case(uids::MR_SPECTROSCOPY_STORAGE, "SPECTROSCOPY")]
    #[case(uids::STEREOMETRIC_RELATIONSHIP_STORAGE, "STEREOMETRIC")]
    #[case("1.2.3.4", "PRIVATE")]
    fn the_class_tells_the_type_of_the_record(#[case] class: &str, #[case] expected: &str) {
        assert_eq!(of_class(class, false), expected);
    }
}
