//! Priors: what a peer has of the same patient from before is fetched, so that it is here when somebody reads.

use std::sync::Arc;
use std::time::Duration;

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, PersonName, StudyInstanceUid, VR};
use dicom_store::queue::{NewJob, Priority};
use dicom_store::{Session, Work};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::complete::study_row;
use super::retrieve::Retrieve;
use crate::job::{HowFar, Job, new_job};
use crate::remote::Remotes;
use crate::rules::{Prefetch, is_modality};
use crate::{Result, clock};

/// Studies of one patient that a peer is asked for.
const MOST: usize = 500;

/// Looks for priors and has them fetched.
pub struct Prefetching {
    session: Session,
    work: Work,
    remotes: Arc<dyn Remotes>,
}

/// The study that has come, and which priors are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    study: StudyInstanceUid,
    wanted: Prefetch,
    rule: String,
}

impl Prefetching {
    /// Reads through this session.
    pub fn new(session: Session, work: Work, remotes: Arc<dyn Remotes>) -> Self {
        Self { session, work, remotes }
    }

    /// The job of a study that has come.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn of(study: &StudyInstanceUid, wanted: &Prefetch, rule: &str) -> Result<NewJob> {
        let key = format!("{study} {}", wanted.from);
        let errand = Errand { study: study.clone(), wanted: wanted.clone(), rule: rule.to_owned() };
        new_job::<Self>(key, &errand, Duration::ZERO)
    }
}

impl Job for Prefetching {
    const KIND: &'static str = "prefetch";
    const TIME_LIMIT: Duration = Duration::from_secs(600);
    const ATTEMPTS: u32 = 20;
    const PRIORITY: Priority = Priority::Batch;
    type Payload = Errand;

    async fn run(&self, Errand { study, wanted, rule }: Errand, _: &HowFar) -> Result<()> {
        let Some(current) = study_row(&self.session, &study).await? else { return Ok(()) };
        let Some(keys) = keys(&current, wanted.years) else { return Ok(()) };
        let found = self.remotes.search(&wanted.from, &keys, MOST).await?;
        if !found.is_all {
            warn!(%study, peer = %wanted.from, "the peer has not told all studies of a patient, a prior may be missed");
        }
        let mut priors = Vec::new();
        for prior in candidates(&study, &current, &found.rows) {
            if priors.len() >= usize::from(wanted.most) {
                break;
            }
            if self.is_wanted(&prior, &wanted).await? {
                priors.push(prior);
            }
        }
        let mut jobs = Vec::new();
        for prior in &priors {
            if !self.is_here(prior).await? {
                jobs.push(Retrieve::of(&wanted.from, &prior.study, &format!("rule {rule}"))?);
            }
        }
        info!(%study, peer = %wanted.from, priors = priors.len(), fetched = jobs.len(), "priors looked for");
        Ok(self.work.enqueue_durably(&jobs).await?)
    }
}

/// A study from before.
#[derive(Debug, PartialEq, Eq)]
struct Prior {
    study: StudyInstanceUid,
    date: String,
    instances: Option<i64>,
    /// Empty when the peer does not say.
    modalities: Vec<String>,
}

impl Prefetching {
    /// Whether it has a modality that is wanted. Old archives do not know Modalities in Study: they are asked for its series.
    async fn is_wanted(&self, prior: &Prior, wanted: &Prefetch) -> Result<bool> {
        if wanted.modality.is_empty() {
            return Ok(true);
        }
        let mut modalities = prior.modalities.clone();
        if modalities.is_empty() {
            let mut keys = Attributes::new();
            keys.put_text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "SERIES");
            keys.put_empty(tags::MODALITY, VR::CS);
            keys.put_text(tags::STUDY_INSTANCE_UID, VR::UI, prior.study.as_str());
            keys.put_empty(tags::SERIES_INSTANCE_UID, VR::UI);
            let series = self.remotes.search(&wanted.from, &keys, MOST).await?;
            modalities = series.rows.iter().flat_map(|row| row.texts(tags::MODALITY)).collect();
        }
        let is_wanted = |one: &String| wanted.modality.iter().any(|wanted| is_modality(one, wanted));
        Ok(modalities.iter().any(is_wanted))
    }

    /// Whether as much of it is here as the peer has.
    async fn is_here(&self, prior: &Prior) -> Result<bool> {
        let here = study_row(&self.session, &prior.study).await?;
        let here = here.and_then(|row| row.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES));
        Ok(match (here, prior.instances) {
            (Some(here), Some(there)) => here >= there,
            (here, None) => here.is_some(),
            (None, Some(_)) => false,
        })
    }
}

/// What a peer is asked for: this patient, these years. `None` without a Patient ID: others have none, too.
fn keys(current: &Attributes, years: u16) -> Option<Attributes> {
    let patient = current.text(tags::PATIENT_ID).filter(|id| !id.trim().is_empty())?;
    let mut keys = Attributes::new();
    keys.put_text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "STUDY");
    keys.put_text(tags::PATIENT_ID, VR::LO, &patient);
    keys.put_text(tags::STUDY_DATE, VR::DA, &format!("{}-", clock::years_ago(years)));
    keys.put_empty(tags::PATIENT_NAME, VR::PN);
    keys.put_empty(tags::PATIENT_BIRTH_DATE, VR::DA);
    keys.put_empty(tags::MODALITIES_IN_STUDY, VR::CS);
    keys.put_empty(tags::STUDY_INSTANCE_UID, VR::UI);
    keys.put_empty(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS);
    Some(keys)
}

/// Those of the answers that are other studies of this very patient, the newest first.
///
/// A Patient ID may be somebody else's at another house: name and birth date have to go with it, as far as both sides
/// tell them.
fn candidates(study: &StudyInstanceUid, current: &Attributes, rows: &[Attributes]) -> Vec<Prior> {
    let born = |row: &Attributes| row.text(tags::PATIENT_BIRTH_DATE).filter(|date| !date.is_empty());
    let name = |row: &Attributes| row.person(tags::PATIENT_NAME).unwrap_or_default();
    let is_theirs = |row: &Attributes| {
        let same_birth = match (born(current), born(row)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        row.text(tags::PATIENT_ID) == current.text(tags::PATIENT_ID)
            && same_birth
            && PersonName::may_be_one(&name(current), &name(row))
    };
    let prior = |row: &Attributes| {
        let found = StudyInstanceUid::parse(row.uid(tags::STUDY_INSTANCE_UID)?).ok()?;
        let date = row.text(tags::STUDY_DATE).unwrap_or_default();
        let instances = row.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES);
        let modalities = row.texts(tags::MODALITIES_IN_STUDY);
        let modalities = modalities.into_iter().filter(|modality| !modality.is_empty()).collect();
        (found != *study).then_some(Prior { study: found, date, instances, modalities })
    };
    let mut priors: Vec<Prior> = rows.iter().filter(|row| is_theirs(row)).filter_map(prior).collect();
    priors.sort_by(|one, other| other.date.cmp(&one.date));
    priors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(study: &str, date: &str, id: &str, name: &str, born: &str, modality: &str) -> Attributes {
        let mut row = Attributes::new();
        row.put_text(tags::STUDY_DATE, VR::DA, date);
        row.put_text(tags::MODALITIES_IN_STUDY, VR::CS, modality);
        row.put_text(tags::PATIENT_NAME, VR::PN, name);
        row.put_text(tags::PATIENT_ID, VR::LO, id);
        row.put_text(tags::PATIENT_BIRTH_DATE, VR::DA, born);
        row.put_text(tags::STUDY_INSTANCE_UID, VR::UI, study);
        row
    }

    #[test]
    fn priors_are_of_the_same_patient_the_newest_first() {
        let study = StudyInstanceUid::parse("1.1").unwrap();
        let current = row("1.1", "20260301", "BN1", "NGUYỄN^ĐỨC", "19701231", "CT");
        let rows = [
            row("1.1", "20260301", "BN1", "NGUYỄN^ĐỨC", "19701231", "CT"),
            row("1.2", "20240101", "BN1", "Nguyen Duc", "19701231", "CT\\SR"),
            row("1.3", "20250101", "BN1", "NGUYEN^DUC", "", "CT"),
            row("1.4", "20250601", "BN1", "NGUYEN^DUC", "19701231", "US"),
            row("1.5", "20250601", "BN1", "TRAN^HOA", "19701231", "CT"),
            row("1.6", "20250601", "BN1", "NGUYEN^DUC", "19800101", "CT"),
            row("1.7", "20250601", "BN2", "NGUYEN^DUC", "19701231", "CT"),
            row("1.8", "20230101", "BN1", "NGUYEN^DUC", "19701231", "CT"),
        ];
        let found = candidates(&study, &current, &rows);
        let uids: Vec<_> = found.iter().map(|prior| prior.study.as_str()).collect();
        assert_eq!(uids, ["1.4", "1.3", "1.2", "1.8"]);
        assert_eq!(found[2].modalities, ["CT", "SR"]);
    }

    #[test]
    fn nobody_is_asked_for_a_patient_without_an_identifier() {
        assert!(keys(&row("1", "20260301", "", "A^B", "", "CT"), 5).is_none());
        let asked = keys(&row("1", "20260301", "BN1", "A^B", "", "CT"), 5).unwrap();
        assert_eq!(asked.text(tags::PATIENT_ID).as_deref(), Some("BN1"));
        assert!(asked.text(tags::STUDY_DATE).unwrap().ends_with('-'));
    }
}
