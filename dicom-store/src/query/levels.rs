//! Which attributes the index keeps at which level (PS3.4 Tables C.6-1 to C.6-5, PS3.18 Table 10.6.1-5).

use dicom::dictionary_std::tags as t;

use crate::model::{Level, Tag};

const PATIENT: &[Tag] = &[
    t::PATIENT_NAME,
    t::PATIENT_ID,
    t::ISSUER_OF_PATIENT_ID,
    t::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
    t::REFERENCED_PATIENT_SEQUENCE,
    t::PATIENT_BIRTH_DATE,
    t::PATIENT_BIRTH_TIME,
    t::PATIENT_SEX,
    // Other Patient IDs, retired and still sent.
    Tag(0x0010, 0x1000),
    t::OTHER_PATIENT_I_DS_SEQUENCE,
    t::OTHER_PATIENT_NAMES,
    // Ethnic Group, retired and still asked for.
    Tag(0x0010, 0x2160),
    t::PATIENT_SPECIES_DESCRIPTION,
    t::PATIENT_COMMENTS,
    t::NUMBER_OF_PATIENT_RELATED_STUDIES,
    t::NUMBER_OF_PATIENT_RELATED_SERIES,
    t::NUMBER_OF_PATIENT_RELATED_INSTANCES,
];

const REQUIRED: &[Tag] = &[
    t::PATIENT_NAME,
    t::PATIENT_ID,
    t::STUDY_DATE,
    t::STUDY_TIME,
    t::ACCESSION_NUMBER,
    t::STUDY_ID,
    t::MODALITY,
    t::SERIES_NUMBER,
    t::INSTANCE_NUMBER,
];

const STUDY: &[Tag] = &[
    t::STUDY_INSTANCE_UID,
    t::STUDY_DATE,
    t::STUDY_TIME,
    t::ACCESSION_NUMBER,
    t::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE,
    t::STUDY_ID,
    t::STUDY_DESCRIPTION,
    t::REFERRING_PHYSICIAN_NAME,
    t::CONSULTING_PHYSICIAN_NAME,
    t::NAME_OF_PHYSICIANS_READING_STUDY,
    t::PHYSICIANS_OF_RECORD,
    t::ADMITTING_DIAGNOSES_DESCRIPTION,
    t::ADMITTING_DIAGNOSES_CODE_SEQUENCE,
    t::REFERENCED_STUDY_SEQUENCE,
    t::PROCEDURE_CODE_SEQUENCE,
    t::REASON_FOR_PERFORMED_PROCEDURE_CODE_SEQUENCE,
    t::PATIENT_AGE,
    t::PATIENT_SIZE,
    t::PATIENT_WEIGHT,
    t::OCCUPATION,
    t::ADDITIONAL_PATIENT_HISTORY,
    t::ADMISSION_ID,
    t::TIMEZONE_OFFSET_FROM_UTC,
    t::MODALITIES_IN_STUDY,
    t::SOP_CLASSES_IN_STUDY,
    t::NUMBER_OF_STUDY_RELATED_SERIES,
    t::NUMBER_OF_STUDY_RELATED_INSTANCES,
];

const SERIES: &[Tag] = &[
    t::SERIES_INSTANCE_UID,
    t::MODALITY,
    t::SERIES_NUMBER,
    t::SERIES_DESCRIPTION,
    t::SERIES_DESCRIPTION_CODE_SEQUENCE,
    t::SERIES_DATE,
    t::SERIES_TIME,
    t::BODY_PART_EXAMINED,
    t::LATERALITY,
    t::PATIENT_POSITION,
    t::PROTOCOL_NAME,
    t::STATION_NAME,
    t::INSTITUTION_NAME,
    t::INSTITUTIONAL_DEPARTMENT_NAME,
    t::MANUFACTURER,
    t::MANUFACTURER_MODEL_NAME,
    t::PERFORMING_PHYSICIAN_NAME,
    t::OPERATORS_NAME,
    t::FRAME_OF_REFERENCE_UID,
    t::PERFORMED_PROCEDURE_STEP_START_DATE,
    t::PERFORMED_PROCEDURE_STEP_START_TIME,
    t::PERFORMED_PROCEDURE_STEP_ID,
    t::PERFORMED_PROCEDURE_STEP_DESCRIPTION,
    t::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE,
    t::REQUEST_ATTRIBUTES_SEQUENCE,
    t::NUMBER_OF_SERIES_RELATED_INSTANCES,
];

/// Attributes of each level that are counted instead of kept.
pub(crate) const COMPUTED: &[Tag] = &[
    t::NUMBER_OF_PATIENT_RELATED_STUDIES,
    t::NUMBER_OF_PATIENT_RELATED_SERIES,
    t::NUMBER_OF_PATIENT_RELATED_INSTANCES,
    t::MODALITIES_IN_STUDY,
    t::SOP_CLASSES_IN_STUDY,
    t::NUMBER_OF_STUDY_RELATED_SERIES,
    t::NUMBER_OF_STUDY_RELATED_INSTANCES,
    t::NUMBER_OF_SERIES_RELATED_INSTANCES,
];

/// Whether an attribute is a required key of the Patient or the Study Root (PS3.4 Tables C.6-1 to C.6-5), in which
/// Patient ID is one.
pub(super) fn is_required(tag: Tag) -> bool {
    REQUIRED.contains(&tag)
}

/// The level at which the index keeps an attribute. `None`: only with the instances, where it can be
/// matched and returned at the instance level.
pub fn level_of(tag: Tag) -> Option<Level> {
    [(PATIENT, Level::Patient), (STUDY, Level::Study), (SERIES, Level::Series)]
        .iter()
        .find(|(tags, _)| tags.contains(&tag))
        .map(|(_, level)| *level)
}

/// Every attribute of a level, for "all" of it.
pub fn attributes_of(level: Level) -> &'static [Tag] {
    match level {
        Level::Patient => PATIENT,
        Level::Study => STUDY,
        Level::Series => SERIES,
        Level::Instance => &[],
    }
}
