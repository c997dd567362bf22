//! What a workitem has to say when (PS3.4 Table CC.2.5-3).

use dicom::dictionary_std::tags as t;

use super::{Result, StepRefusal};
use crate::model::{Attributes, Tag, VR, correction};
use crate::requirements::{Lack, Required, Requirements, has_value, lack_of};

const REQUIREMENTS: Requirements = Requirements {
    creation: &[
        Required::one_of(t::PROCEDURE_STEP_STATE, "Procedure Step State", &["SCHEDULED"]),
        Required::one_of(
            t::SCHEDULED_PROCEDURE_STEP_PRIORITY,
            "Scheduled Procedure Step Priority",
            &["HIGH", "MEDIUM", "LOW"],
        ),
        Required::any(t::PROCEDURE_STEP_LABEL, "Procedure Step Label"),
        Required::any(t::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME, "Scheduled Procedure Step Start DateTime"),
        Required::one_of(
            t::INPUT_READINESS_STATE,
            "Input Readiness State",
            &["INCOMPLETE", "UNAVAILABLE", "READY"],
        ),
    ],
    empty: EMPTY,
    fixed: FIXED,
};

/// Type 2 of a creation: there in any case, empty where nobody says more.
const EMPTY: &[(Tag, VR)] = &[
    (t::PATIENT_NAME, VR::PN),
    (t::PATIENT_ID, VR::LO),
    (t::ISSUER_OF_PATIENT_ID, VR::LO),
    (t::PATIENT_BIRTH_DATE, VR::DA),
    (t::PATIENT_SEX, VR::CS),
    (t::ADMISSION_ID, VR::LO),
    (t::ADMITTING_DIAGNOSES_DESCRIPTION, VR::LO),
    (t::SCHEDULED_WORKITEM_CODE_SEQUENCE, VR::SQ),
    (t::SCHEDULED_STATION_NAME_CODE_SEQUENCE, VR::SQ),
    (t::SCHEDULED_STATION_CLASS_CODE_SEQUENCE, VR::SQ),
    (t::SCHEDULED_STATION_GEOGRAPHIC_LOCATION_CODE_SEQUENCE, VR::SQ),
    (t::INPUT_INFORMATION_SEQUENCE, VR::SQ),
    (t::REFERENCED_REQUEST_SEQUENCE, VR::SQ),
    (t::SCHEDULED_PROCESSING_PARAMETERS_SEQUENCE, VR::SQ),
];

/// What only this archive says, or nobody changes later.
const FIXED: &[Tag] = &[
    t::SOP_CLASS_UID,
    t::SOP_INSTANCE_UID,
    t::AFFECTED_SOP_INSTANCE_UID,
    t::PROCEDURE_STEP_STATE,
    t::SCHEDULED_PROCEDURE_STEP_MODIFICATION_DATE_TIME,
    t::PATIENT_NAME,
    t::PATIENT_ID,
    t::ISSUER_OF_PATIENT_ID,
    t::PATIENT_BIRTH_DATE,
    t::PATIENT_SEX,
    t::ADMISSION_ID,
    t::REFERENCED_REQUEST_SEQUENCE,
    t::REPLACED_PROCEDURE_STEP_SEQUENCE,
];

/// What an item of Unified Procedure Step Performed Procedure Sequence has when the step is completed. Output there may be
/// none of.
const PERFORMED: &[Required] = &[
    Required::any(t::PERFORMED_STATION_NAME_CODE_SEQUENCE, "Performed Station Name Code Sequence"),
    Required::any(t::PERFORMED_WORKITEM_CODE_SEQUENCE, "Performed Workitem Code Sequence"),
    Required::any(t::PERFORMED_PROCEDURE_STEP_START_DATE_TIME, "Performed Procedure Step Start DateTime"),
    Required::any(t::PERFORMED_PROCEDURE_STEP_END_DATE_TIME, "Performed Procedure Step End DateTime"),
];

const WORKLIST: &str = "FILMLESS";

fn invalid<T>(what: impl Into<String>) -> Result<T> {
    Err(StepRefusal::Invalid(what.into()))
}

pub(super) fn check_creation(attributes: &Attributes) -> Result<()> {
    if let Some((Required { tag, name, terms }, lack)) = REQUIREMENTS.lack_of_creation(attributes) {
        return invalid(match lack {
            Lack::Missing | Lack::Empty => format!("{name} {tag} has no value"),
            Lack::Value => format!("{name} {tag} is none of {}", terms.join(", ")),
        });
    }
    if has_value(attributes, t::TRANSACTION_UID) {
        return invalid("a new workitem has no Transaction UID; who claims it sets one");
    }
    for tag in [
        t::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE,
        t::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE,
    ] {
        if has_value(attributes, tag) {
            return invalid(format!("{tag} has items before anybody has done anything"));
        }
    }
    Ok(())
}

/// Puts in what a workitem always has; gives whether something was missing.
pub(super) fn complete(attributes: &mut Attributes) -> bool {
    let mut was_missing = REQUIREMENTS.complete(attributes);
    if !has_value(attributes, t::WORKLIST_LABEL) {
        attributes.put_text(t::WORKLIST_LABEL, VR::LO, WORKLIST);
        was_missing = true;
    }
    for tag in [
        t::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE,
        t::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE,
    ] {
        attributes.put_empty(tag, VR::SQ);
    }
    was_missing
}

pub(super) fn check_update(changes: &Attributes) -> Result<()> {
    if let Some(element) = changes.iter().find(|element| REQUIREMENTS.is_fixed(element.tag)) {
        return invalid(format!("{} of a workitem is not changed by an update", element.tag));
    }
    match REQUIREMENTS.lack_of_change(changes) {
        Some((Required { tag, name, .. }, _)) => {
            invalid(format!("{name} {tag} has no value, or none that it may have"))
        }
        None => Ok(()),
    }
}

pub(super) fn check_completion(attributes: &Attributes) -> Result<()> {
    let unfinished = |what: String| Err(StepRefusal::Unfinished(what));
    let items = attributes.items(t::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE);
    if items.is_empty() {
        return unfinished("the workitem does not say what was performed (0074,1216)".to_owned());
    }
    for item in items {
        if let Some((Required { tag, name, .. }, _)) = lack_of(PERFORMED, item) {
            return unfinished(format!("what was performed has no {name} {tag}"));
        }
        if !item.contains(t::OUTPUT_INFORMATION_SEQUENCE) {
            return unfinished(
                "what was performed has no Output Information Sequence (0040,4033)".to_owned(),
            );
        }
    }
    Ok(())
}

/// Keeps what a request for cancellation says.
pub(super) fn say_that_it_was_asked(attributes: &mut Attributes, asked: &Attributes, reason: Option<&str>) {
    let mut progress = progress(attributes);
    if let Some(reason) = reason {
        progress.put_text(t::REASON_FOR_CANCELLATION, VR::LT, reason);
    }
    if let Some(code) = asked.get(t::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE) {
        progress.put_from(asked, code);
    }
    attributes.put_items(t::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE, vec![progress]);
}

/// When, and for what reason: unspecified where nobody has said one (PS3.16 DCM 110513).
pub(super) fn say_why_canceled(attributes: &mut Attributes, now: u64) {
    let mut progress = progress(attributes);
    if !has_value(&progress, t::PROCEDURE_STEP_CANCELLATION_DATE_TIME) {
        progress.put_text(t::PROCEDURE_STEP_CANCELLATION_DATE_TIME, VR::DT, &correction::date_time(now));
    }
    if !has_value(&progress, t::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE) {
        let mut code = Attributes::new();
        code.put_text(t::CODE_VALUE, VR::SH, "110513");
        code.put_text(t::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM");
        code.put_text(t::CODE_MEANING, VR::LO, "Discontinued for unspecified reason");
        progress.put_items(t::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE, vec![code]);
    }
    attributes.put_items(t::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE, vec![progress]);
}

fn progress(attributes: &Attributes) -> Attributes {
    attributes.items(t::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE).first().cloned().unwrap_or_default()
}
