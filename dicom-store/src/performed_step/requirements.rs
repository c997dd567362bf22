//! What a performed procedure step has to say when (PS3.4 Table F.7.2-1).

use dicom::dictionary_std::tags as t;

use super::{PerformedStepRefusal, PerformedStepStatus, Result};
use crate::model::{Attributes, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, Tag, VR};

/// Type 1 of a creation.
const CREATION: &[(Tag, &str)] = &[
    (t::MODALITY, "Modality"),
    (t::PERFORMED_STATION_AE_TITLE, "Performed Station AE Title"),
    (t::PERFORMED_PROCEDURE_STEP_START_DATE, "Step Start Date"),
    (t::PERFORMED_PROCEDURE_STEP_START_TIME, "Step Start Time"),
    (STATUS.0, STATUS.1),
    (t::PERFORMED_PROCEDURE_STEP_ID, "Performed Procedure Step ID"),
    (t::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, "Scheduled Step Attributes Sequence"),
];

const STATUS: (Tag, &str) = (t::PERFORMED_PROCEDURE_STEP_STATUS, "Performed Procedure Step Status");
const STUDY: (Tag, &str) = (t::STUDY_INSTANCE_UID, "Study Instance UID");
const SERIES: (Tag, &str) = (t::SERIES_INSTANCE_UID, "Series Instance UID");
const PROTOCOL: (Tag, &str) = (t::PROTOCOL_NAME, "Protocol Name");
const CLASS: (Tag, &str) = (t::REFERENCED_SOP_CLASS_UID, "Referenced SOP Class UID");
const INSTANCE: (Tag, &str) = (t::REFERENCED_SOP_INSTANCE_UID, "Referenced SOP Instance UID");

/// Type 1 of a final state.
const END: &[(Tag, &str)] = &[
    (t::PERFORMED_PROCEDURE_STEP_END_DATE, "Step End Date"),
    (t::PERFORMED_PROCEDURE_STEP_END_TIME, "Step End Time"),
    (t::PERFORMED_SERIES_SEQUENCE, "Performed Series Sequence"),
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

pub(super) fn is_fixed(tag: Tag) -> bool {
    FIXED.contains(&tag)
}

pub(super) fn check_creation(attributes: &Attributes) -> Result<()> {
    CREATION.iter().try_for_each(|required| has(attributes, *required))?;
    if PerformedStepStatus::told(attributes) != Some(PerformedStepStatus::InProgress) {
        return Err(value(STATUS));
    }
    for item in attributes.items(t::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE) {
        is_uid(item, STUDY, |uid| StudyInstanceUid::parse(uid).is_ok())?;
    }
    check_series(attributes)
}

/// Puts in what a step always has.
pub(super) fn complete(attributes: &mut Attributes) {
    for (tag, vr) in EMPTY {
        if !attributes.contains(*tag) {
            attributes.put_empty(*tag, *vr);
        }
    }
}

/// Of an N-SET nothing is missing but values (PS3.7 §10.1.3.1.9).
pub(super) fn check_changes(changes: &Attributes) -> Result<()> {
    if changes.contains(STATUS.0) {
        has(changes, STATUS)?;
        PerformedStepStatus::told(changes).ok_or_else(|| value(STATUS))?;
    }
    check_series(changes).map_err(|refusal| match refusal {
        PerformedStepRefusal::Missing { tag, name } => PerformedStepRefusal::Empty { tag, name },
        other => other,
    })
}

/// What is said by then has to be all that a final state says.
pub(super) fn check_end(attributes: &Attributes) -> Result<()> {
    let lacks = END.iter().find(|(tag, _)| !has_value(attributes, *tag));
    lacks.map_or(Ok(()), |(tag, name)| Err(PerformedStepRefusal::Empty { tag: *tag, name }))
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

fn has(attributes: &Attributes, (tag, name): (Tag, &'static str)) -> Result<()> {
    if has_value(attributes, tag) {
        Ok(())
    } else if attributes.contains(tag) {
        Err(PerformedStepRefusal::Empty { tag, name })
    } else {
        Err(PerformedStepRefusal::Missing { tag, name })
    }
}

fn is_uid(attributes: &Attributes, of: (Tag, &'static str), is_one: impl Fn(&str) -> bool) -> Result<()> {
    has(attributes, of)?;
    attributes.uid(of.0).filter(|uid| is_one(uid)).map(|_| ()).ok_or_else(|| value(of))
}

fn value((tag, name): (Tag, &'static str)) -> PerformedStepRefusal {
    PerformedStepRefusal::Value { tag, name }
}

fn has_value(attributes: &Attributes, tag: Tag) -> bool {
    !attributes.items(tag).is_empty() || attributes.text(tag).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error_comment;

    #[test]
    fn every_refusal_is_said_whole_in_an_error_comment() {
        let named = CREATION.iter().chain(END).copied();
        let named = named.chain([STATUS, STUDY, SERIES, PROTOCOL, CLASS, INSTANCE]);
        let of_attributes = named.flat_map(|(tag, name)| {
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
