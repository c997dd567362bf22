//! Writing a rejection note: a Key Object Selection document (PS3.3 §A.35.4, PS3.16 TID 2010) that takes instances back.

use dicom::dictionary_std::{tags, uids};

use super::note::Title;
use crate::model::correction::date_time;
use crate::model::{Attributes, Error, Instance, Result, SopInstanceUid, Tag, VR};

/// What the document has of the study's patient and study.
const COPIED: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_DESCRIPTION,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
];

/// A note titled by a code of PS3.16 CID 7011 about these instances of one study; `one` is the data set of one of them,
/// `at` the time in milliseconds since 1970.
///
/// # Errors
/// `Invalid` for another code, and for no instances.
pub fn rejection_note(code: &str, one: &Attributes, instances: &[Instance], at: u64) -> Result<Attributes> {
    let title = Title::of(code).ok_or_else(|| {
        Error::invalid("rejection is none of 113001, 113037, 113038, 113039 (PS3.16 CID 7011)")
    })?;
    if instances.is_empty() {
        return Err(Error::invalid("a rejection note names at least one instance"));
    }
    let mut note = Attributes::new();
    for tag in COPIED {
        if let Some(element) = one.get(*tag) {
            note.put_from(one, element);
        }
    }
    let stamp = date_time(at);
    let (date, time) = stamp.split_at_checked(8).unwrap_or((&stamp, ""));
    for (tag, vr, text) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, SopInstanceUid::random().as_str()),
        (tags::SERIES_INSTANCE_UID, VR::UI, SopInstanceUid::random().as_str()),
        (tags::MODALITY, VR::CS, "KO"),
        (tags::SERIES_NUMBER, VR::IS, "1"),
        (tags::INSTANCE_NUMBER, VR::IS, "1"),
        (tags::MANUFACTURER, VR::LO, "filmless"),
        (tags::CONTENT_DATE, VR::DA, date),
        (tags::CONTENT_TIME, VR::TM, time.get(..6).unwrap_or_default()),
        (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0000"),
        (tags::VALUE_TYPE, VR::CS, "CONTAINER"),
        (tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE"),
    ] {
        note.put_text(tag, vr, text);
    }
    note.put_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new());
    note.put_items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![coded(title.code(), title.meaning())]);
    let mut template = Attributes::new();
    template.put_text(tags::MAPPING_RESOURCE, VR::CS, "DCMR");
    template.put_text(tags::TEMPLATE_IDENTIFIER, VR::CS, "2010");
    note.put_items(tags::CONTENT_TEMPLATE_SEQUENCE, vec![template]);
    note.put_items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, evidence(instances));
    note.put_items(tags::CONTENT_SEQUENCE, instances.iter().map(content).collect());
    Ok(note)
}

/// By study and series, in their order.
fn evidence(instances: &[Instance]) -> Vec<Attributes> {
    let mut studies = Vec::new();
    for of_study in instances.chunk_by(|a, b| a.study == b.study) {
        let Some(first) = of_study.first() else { continue };
        let mut all = Vec::new();
        for of_series in of_study.chunk_by(|a, b| a.series == b.series) {
            let Some(first) = of_series.first() else { continue };
            let mut series = Attributes::new();
            series.put_text(tags::SERIES_INSTANCE_UID, VR::UI, first.series.as_str());
            series.put_items(tags::REFERENCED_SOP_SEQUENCE, of_series.iter().map(reference).collect());
            all.push(series);
        }
        let mut study = Attributes::new();
        study.put_text(tags::STUDY_INSTANCE_UID, VR::UI, first.study.as_str());
        study.put_items(tags::REFERENCED_SERIES_SEQUENCE, all);
        studies.push(study);
    }
    studies
}

fn reference(instance: &Instance) -> Attributes {
    let mut item = Attributes::new();
    item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.sop_class.as_str());
    item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.sop_instance.as_str());
    item
}

fn content(instance: &Instance) -> Attributes {
    let mut item = Attributes::new();
    item.put_text(tags::RELATIONSHIP_TYPE, VR::CS, "CONTAINS");
    item.put_text(tags::VALUE_TYPE, VR::CS, if instance.frames > 0 { "IMAGE" } else { "COMPOSITE" });
    item.put_items(tags::REFERENCED_SOP_SEQUENCE, vec![reference(instance)]);
    item
}

fn coded(value: &str, meaning: &str) -> Attributes {
    let mut code = Attributes::new();
    code.put_text(tags::CODE_VALUE, VR::SH, value);
    code.put_text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM");
    code.put_text(tags::CODE_MEANING, VR::LO, meaning);
    code
}
