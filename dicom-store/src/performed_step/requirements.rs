//! What a performed procedure step has to say when (PS3.4 Table F.7.2-1).

use dicom::dictionary_std::tags as t;

use super::{PerformedStepRefusal, PerformedStepStatus, Result};
use crate::model::{Attributes, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, Tag, VR};
use crate::requirements::{Lack, Required, Requirements, lack_of};

pub(super) const REQUIREMENTS: Requirements = Requirements {
    creation: &[
        Required::any(t::MODALITY, "Modality"),
        Required::any(t::PERFORMED_STATION_AE_TITLE, "Performed Station AE Title"),
        Required::any(t::PERFORMED_PROCEDURE_STEP_START_DATE, "Step Start Date"),
        Required::any(t::PERFORMED_PROCEDURE_STEP_START_TIME, "Step Start Time"),
        STATUS,
        Required::any(t::PERFORMED_PROCEDURE_STEP_ID, "Performed Procedure Step ID"),
        Required::any(t::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, "Scheduled Step Attributes Sequence"),
    ],
    empty: EMPTY,
    fixed: FIXED,
};

const STATUS: Required = Required::any(t::PERFORMED_PROCEDURE_STEP_STATUS, "Performed Procedure Step Status");
const STUDY: Required = Required::any(t::STUDY_INSTANCE_UID, "Study Instance UID");
const SERIES: Required = Required::any(t::SERIES_INSTANCE_UID, "Series Instance UID");
const PROTOCOL: Required = Required::any(t::PROTOCOL_NAME, "Protocol Name");
const CLASS: Required = Required::any(t::REFERENCED_SOP_CLASS_UID, "Referenced SOP Class UID");
const INSTANCE: Required = Required::any(t::REFERENCED_SOP_INSTANCE_UID, "Referenced SOP Instance UID");

/// Type 1 of a final state.
const END: &[Required] = &[
    Required::any(t::PERFORMED_PROCEDURE_STEP_END_DATE, "Step End Date"),
    Required::any(t::PERFORMED_PROCEDURE_STEP_END_TIME, "Step End Time"),
    Required::any(t::PERFORMED_SERIES_SEQUENCE, "Performed Series Sequence"),
];

/// What a series names: the standard tells images from others for reasons of history alone.
pub(super) const REFERENCES: [Tag; 2] =
    [t::REFERENCED_IMAGE_SEQUENCE, t::REFERENCED_NON_IMAGE_COMPOSITE_SOP_INSTANCE_SEQUENCE];

/// Type 2 of a creation: there in any case, empty where nobody says more.
const EMPTY: &[(Tag, VR)] = &[
    (t::PROCEDURE_CODE_SEQUENCE, VR::SQ),
    (t::REFERENCED_PATIENT_SEQUENCE, VR::SQ),
    (t::PATIENT_NAME, VR::PN),
    (t::PATIENT_ID, VR::LO),
    (t::PATIENT_BIRTH_DATE, VR::DA),
    (t::PATIENT_SEX, VR::CS),
    (t::STUDY_ID, VR::SH),
    (t::PERFORMED_STATION_NAME, VR::SH),
    (t::PERFORMED_LOCATION, VR::SH),
    (t::PERFORMED_PROCEDURE_STEP_END_DATE, VR::DA),
    (t::PERFORMED_PROCEDURE_STEP_END_TIME, VR::TM),
    (t::PERFORMED_PROCEDURE_STEP_DESCRIPTION, VR::LO),
    (t::PERFORMED_PROCEDURE_TYPE_DESCRIPTION, VR::LO),
    (t::PERFORMED_PROTOCOL_CODE_SEQUENCE, VR::SQ),
    (t::PERFORMED_SERIES_SEQUENCE, VR::SQ),
];

/// What no N-SET changes, and what only this archive says.
const FIXED: &[Tag] = &[
    t::SOP_CLASS_UID,
    t::SOP_INSTANCE_UID,
    t::MODALITY,
    t::REFERENCED_PATIENT_SEQUENCE,
    t::PATIENT_NAME,
    t::PATIENT_ID,
    t::ISSUER_OF_PATIENT_ID,
    t::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
    t::PATIENT_BIRTH_DATE,
    t::PATIENT_SEX,
    t::OTHER_PATIENT_I_DS_SEQUENCE,
    t::STUDY_ID,
    t::ADMISSION_ID,
    t::ISSUER_OF_ADMISSION_ID_SEQUENCE,
    t::SERVICE_EPISODE_ID,
    t::SERVICE_EPISODE_DESCRIPTION,
    t::ISSUER_OF_SERVICE_EPISODE_ID_SEQUENCE,
    t::PERFORMED_STATION_AE_TITLE,
    t::PERFORMED_STATION_NAME,
    t::PERFORMED_LOCATION,
    t::PERFORMED_PROCEDURE_STEP_START_DATE,
    t::PERFORMED_PROCEDURE_STEP_START_TIME,
    t::PERFORMED_PROCEDURE_STEP_ID,
    t::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE,
];

pub(super) fn check_creation(attributes: &Attributes) -> Result<()> {
    REQUIREMENTS.lack_of_creation(attributes).map_or(Ok(()), refused)?;
    if PerformedStepStatus::told(attributes) != Some(PerformedStepStatus::InProgress) {
        return refused((STATUS, Lack::Value));
    }
    for item in attributes.items(t::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE) {
        is_uid(item, STUDY, |uid| StudyInstanceUid::parse(uid).is_ok())?;
    }
    check_series(attributes)
}

/// Of an N-SET nothing is missing but values (PS3.7 §10.1.3.1.9).
pub(super) fn check_changes(changes: &Attributes) -> Result<()> {
    if changes.contains(STATUS.tag) {
        has(changes, STATUS)?;
        PerformedStepStatus::told(changes).map_or_else(|| refused((STATUS, Lack::Value)), |_| Ok(()))?;
    }
    check_series(changes).map_err(|refusal| match refusal {
        PerformedStepRefusal::Missing { tag, name } => PerformedStepRefusal::Empty { tag, name },
        other => other,
    })
}

/// What is said by then has to be all that a final state says.
pub(super) fn check_end(attributes: &Attributes) -> Result<()> {
    lack_of(END, attributes).map_or(Ok(()), |(required, _)| refused((required, Lack::Empty)))
}

fn check_series(attributes: &Attributes) -> Result<()> {
    for item in attributes.items(t::PERFORMED_SERIES_SEQUENCE) {
        has(item, PROTOCOL)?;
        is_uid(item, SERIES, |uid| SeriesInstanceUid::parse(uid).is_ok())?;
        for reference in REFERENCES.iter().flat_map(|sequence| item.items(*sequence)) {
            is_uid(reference, CLASS, |uid| SopClassUid::parse(uid).is_ok())?;
            is_uid(reference, INSTANCE, |uid| SopInstanceUid::parse(uid).is_ok())?;
        }
    }
    Ok(())
}

fn has(attributes: &Attributes, required: Required) -> Result<()> {
    required.lack(attributes).map_or(Ok(()), |lack| refused((required, lack)))
}

fn is_uid(attributes: &Attributes, required: Required, is_one: impl Fn(&str) -> bool) -> Result<()> {
    has(attributes, required)?;
    let is_uid = attributes.uid(required.tag).is_some_and(is_one);
    if is_uid { Ok(()) } else { refused((required, Lack::Value)) }
}

fn refused((Required { tag, name, .. }, lack): (Required, Lack)) -> Result<()> {
    Err(match lack {
        Lack::Missing => PerformedStepRefusal::Missing { tag, name },
        Lack::Empty => PerformedStepRefusal::Empty { tag, name },
        Lack::Value => PerformedStepRefusal::Value { tag, name },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error_comment;

    #[test]
    fn every_refusal_is_said_whole_in_an_error_comment() {
        let named = REQUIREMENTS.creation.iter().chain(END).copied();
        let named = named.chain([STATUS, STUDY, SERIES, PROTOCOL, CLASS, INSTANCE]);
        let of_attributes = named.flat_map(|Required { tag, name, .. }| {
            [
                PerformedStepRefusal::Missing { tag, name },
                PerformedStepRefusal::Empty { tag, name },
                PerformedStepRefusal::Value { tag, name },
            ]
        });
        let others =
            [PerformedStepRefusal::Exists, PerformedStepRefusal::Unknown, PerformedStepRefusal::Final];
        for refusal in of_attributes.chain(others) {
            let said = refusal.to_string();
            assert_eq!(error_comment(&said), said);
        }
    }
}
