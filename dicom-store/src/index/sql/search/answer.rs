//! A row of the index as the attributes that it stands for.

use std::sync::Arc;

use dicom::dictionary_std::tags;

use super::super::SqlRow;
use crate::Result;
use crate::index::person;
use crate::model::{Attributes, Correction, Encoding, Tag, VR};
use crate::query::PATIENT_COUNTS;

const COUNTS: &str = "(SELECT count(*) FROM studies c WHERE c.patient = p.id AND c.instance_count > 0), \
    (SELECT CAST(coalesce(sum(c.series_count), 0) AS BIGINT) FROM studies c WHERE c.patient = p.id), \
    (SELECT CAST(coalesce(sum(c.instance_count), 0) AS BIGINT) FROM studies c WHERE c.patient = p.id)";

/// The columns that [`study`] reads, its moment and row first: of `s` and `p`.
pub(super) fn select_study(with_patient_counts: bool) -> String {
    let counts = if with_patient_counts { format!(", {COUNTS}") } else { String::new() };
    format!(
        "SELECT s.at, s.id, p.attributes, s.attributes, s.modalities, s.sop_classes, s.series_count, s.instance_count, s.person, s.overlay{counts}"
    )
}

/// Whether a study of the patient tells them otherwise than their row.
const HAS_PERSONS: &str = "EXISTS (SELECT 1 FROM studies c WHERE c.patient = p.id AND c.instance_count > 0 \
    AND c.person IS NOT NULL)";

/// The columns that [`patient`] reads, its name and row first: of `p`.
pub(super) fn select_patient() -> String {
    format!("SELECT p.name, p.id, p.attributes, {COUNTS}, {HAS_PERSONS}")
}

/// Whether there is more than one way in which the studies tell the patient of a row of [`select_patient`].
pub(super) fn has_persons(row: &SqlRow) -> Result<bool> {
    Ok(row.int(6)? != 0)
}

pub(super) fn study(row: &SqlRow, with_patient_counts: bool) -> Result<Attributes> {
    let mut all = stored(row, 2)?;
    if let Some(person) = row.optional_blob(8)? {
        all = person::told(&all, &read(person)?);
    }
    add(&mut all, &stored(row, 3)?);
    all.put_text(tags::MODALITIES_IN_STUDY, VR::CS, row.text(4)?);
    all.put_text(tags::SOP_CLASSES_IN_STUDY, VR::UI, row.text(5)?);
    count_into(&mut all, row, tags::NUMBER_OF_STUDY_RELATED_SERIES, 6)?;
    count_into(&mut all, row, tags::NUMBER_OF_STUDY_RELATED_INSTANCES, 7)?;
    if with_patient_counts {
        patient_counts(&mut all, row, 10)?;
    }
    Ok(all)
}

/// What is corrected of the data sets of a study.
pub(super) fn correction(row: &SqlRow) -> Result<Option<Arc<Correction>>> {
    row.optional_blob(9)?.map(|bytes| Correction::from_bytes(bytes).map(Arc::new)).transpose()
}

pub(super) fn patient(row: &SqlRow) -> Result<Attributes> {
    let mut all = stored(row, 2)?;
    patient_counts(&mut all, row, 3)?;
    Ok(all)
}

/// Adds a series' own to those of its study: the data set and the count of instances in two columns.
pub(super) fn add_series(all: &mut Attributes, row: &SqlRow, at: usize) -> Result<()> {
    add(all, &stored(row, at)?);
    count_into(all, row, tags::NUMBER_OF_SERIES_RELATED_INSTANCES, at + 1)
}

/// Adds in which transfer syntax an instance is stored, which no data set says of itself.
pub(super) fn add_transfer_syntax(all: &mut Attributes, row: &SqlRow, at: usize) -> Result<()> {
    all.put_text(tags::AVAILABLE_TRANSFER_SYNTAX_UID, VR::UI, row.text(at)?);
    Ok(())
}

/// Adds all of a data set; what both have is as the added one has it.
pub(super) fn add(all: &mut Attributes, more: &Attributes) {
    for element in more.iter().filter(|e| e.tag != tags::SPECIFIC_CHARACTER_SET) {
        all.put_from(more, element);
    }
}

fn stored(row: &SqlRow, column: usize) -> Result<Attributes> {
    read(row.blob(column)?)
}

pub(super) fn read(bytes: &[u8]) -> Result<Attributes> {
    Attributes::read(bytes::Bytes::copy_from_slice(bytes), Encoding::ExplicitLittle)
}

fn patient_counts(all: &mut Attributes, row: &SqlRow, at: usize) -> Result<()> {
    PATIENT_COUNTS.into_iter().zip(at..).try_for_each(|(tag, column)| count_into(all, row, tag, column))
}

fn count_into(all: &mut Attributes, row: &SqlRow, tag: Tag, column: usize) -> Result<()> {
    all.put_text(tag, VR::IS, &row.int(column)?.to_string());
    Ok(())
}
