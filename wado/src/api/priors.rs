//! The other studies of a patient, the most useful for comparing first.
//!
//! Of more use are those of the same part of the body and by the same modality, then those of one of these; of equal
//! use, newer ones. Studies that are later than the one that is read are among them.

use std::collections::{BTreeSet, HashMap};

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Level, Tag, VR};
use dicom_store::{Key, Matching, Query, Session};
use futures_util::StreamExt;

use crate::error::Problem;

/// Series of a patient that are looked at, and studies that are told.
const MOST_SERIES: u64 = 5000;
const MOST_PRIORS: usize = 100;

/// Modalities that show no anatomy: having them in common says nothing.
const WITHOUT_IMAGES: &[&str] = &["SR", "PR", "KO", "DOC", "AU", "REG", "SEG", "PLAN", "FID", "OT"];

/// What a study shows, as far as it can be compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Subject {
    modalities: BTreeSet<String>,
    /// Body Part Examined of its series, and the description, in capitals.
    parts: BTreeSet<String>,
}

impl Subject {
    fn add(&mut self, row: &Attributes) {
        let modalities = row.texts(tags::MODALITY).into_iter().chain(row.texts(tags::MODALITIES_IN_STUDY));
        self.modalities.extend(modalities.filter(|modality| !WITHOUT_IMAGES.contains(&modality.as_str())));
        let parts = [tags::BODY_PART_EXAMINED, tags::STUDY_DESCRIPTION].map(|tag| row.text(tag));
        let parts = parts.into_iter().flatten().map(|part| part.trim().to_uppercase());
        self.parts.extend(parts.filter(|part| !part.is_empty()));
    }

    fn has_modality_of(&self, other: &Self) -> bool {
        !self.modalities.is_disjoint(&other.modalities)
    }

    fn has_part_of(&self, other: &Self) -> bool {
        !self.parts.is_disjoint(&other.parts)
    }
}

/// Another study of the patient.
pub(super) struct Prior {
    /// Attributes of the study and its patient.
    pub(super) row: Attributes,
    pub(super) has_same_modality: bool,
    pub(super) has_same_part: bool,
}

impl Prior {
    /// Greater is of more use.
    fn order(&self) -> (u8, String, String) {
        let text = |tag: Tag| self.row.text(tag).unwrap_or_default();
        let use_of = 2 * u8::from(self.has_same_part) + u8::from(self.has_same_modality);
        (use_of, text(tags::STUDY_DATE), text(tags::STUDY_TIME))
    }
}

/// The other studies of the patient of `study`, a row of it.
pub(super) async fn priors(session: &Session, study: &Attributes) -> Result<Vec<Prior>, Problem> {
    let Some(query) = of_patient(study) else { return Ok(Vec::new()) };
    let own = study.uid(tags::STUDY_INSTANCE_UID).unwrap_or_default().to_owned();
    let mut found: HashMap<String, (Subject, Option<Attributes>)> = HashMap::new();
    let mut rows = session.search(&query).await?;
    while let Some(row) = rows.next().await {
        let row = row?.attributes;
        let Some(uid) = row.uid(tags::STUDY_INSTANCE_UID).map(str::to_owned) else { continue };
        let (subject, kept) = found.entry(uid).or_default();
        subject.add(&row);
        kept.get_or_insert(row);
    }
    let (subject, _) = found.remove(&own).unwrap_or_default();
    let mut priors: Vec<Prior> = found
        .into_values()
        .filter_map(|(other, row)| {
            let row = row?;
            let (has_same_modality, has_same_part) =
                (other.has_modality_of(&subject), other.has_part_of(&subject));
            Some(Prior { row, has_same_modality, has_same_part })
        })
        .collect();
    priors.sort_by_cached_key(|prior| std::cmp::Reverse(prior.order()));
    priors.truncate(MOST_PRIORS);
    Ok(priors)
}

/// The series of a patient; `None` without Patient ID, when each study has a patient of its own.
fn of_patient(study: &Attributes) -> Option<Query> {
    let id = study.text(tags::PATIENT_ID).filter(|id| !id.is_empty())?;
    let issuer = study.text(tags::ISSUER_OF_PATIENT_ID).filter(|issuer| !issuer.is_empty());
    let key = |tag: Tag, matching| Key { path: vec![tag], vr: VR::LO, matching, creator: None };
    let issuer = issuer.map_or(Matching::Empty, |issuer| Matching::Values(vec![issuer]));
    let mut query = Query::new(Level::Series);
    query.keys.push(key(tags::PATIENT_ID, Matching::Values(vec![id])));
    query.keys.push(key(tags::ISSUER_OF_PATIENT_ID, issuer));
    query.page.limit = Some(MOST_SERIES);
    Some(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prior(has_same_part: bool, has_same_modality: bool, date: &str) -> Prior {
        let mut row = Attributes::new();
        row.put_text(tags::STUDY_DATE, VR::DA, date);
        Prior { row, has_same_modality, has_same_part }
    }

    #[test]
    fn the_same_part_by_the_same_modality_comes_first_then_what_is_newer() {
        let mut priors = [
            prior(false, false, "20260201"),
            prior(false, true, "20250101"),
            prior(true, false, "20240101"),
            prior(true, true, "20200101"),
            prior(true, true, "20210101"),
        ];
        priors.sort_by_cached_key(|prior| std::cmp::Reverse(prior.order()));
        let dates = priors.map(|prior| prior.row.text(tags::STUDY_DATE).unwrap());
        assert_eq!(dates, ["20210101", "20200101", "20240101", "20250101", "20260201"]);
    }

    #[test]
    fn reports_have_nothing_in_common_with_reports() {
        let mut one = Subject::default();
        let mut row = Attributes::new();
        row.put_text(tags::MODALITY, VR::CS, "SR");
        one.add(&row);
        assert!(!one.has_modality_of(&one));
    }
}
