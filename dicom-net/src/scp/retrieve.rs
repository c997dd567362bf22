//! What C-MOVE and C-GET have in common (PS3.4 §C.4.2, §C.4.3): what is asked for, and the count.

use std::collections::HashSet;
use std::hash::Hash;

use dicom_store::model::{ErrorKind, Instance, Resource, Result, SopInstanceUid, StudyInstanceUid};
use dicom_store::query::Options;
use dicom_store::{DamagedInstance, Session};

use super::identifier::{Wanted, What};
use crate::dimse::{Status, SubOperations};
use crate::scu::Outcome;

/// What a retrieve asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub instances: Vec<Instance>,
    /// Those that cannot be sent, as they are damaged.
    pub damaged: Vec<SopInstanceUid>,
}

/// The instances that a retrieve asks for; what is not there is nothing.
///
/// `unknown_matches`: a study without a Patient ID is of any patient.
pub(super) async fn instances(session: &Session, wanted: &Wanted, unknown_matches: bool) -> Result<Asked> {
    let resources: Vec<Resource> = match &wanted.what {
        What::Patient { id, issuer } => vec![Resource::Patient { id: id.clone(), issuer: issuer.clone() }],
        What::Studies(studies) => once_each(studies).map(|study| Resource::Study(study.clone())).collect(),
        What::Series(study, series) => {
            once_each(series).map(|series| Resource::Series(study.clone(), series.clone())).collect()
        }
        What::Instances(study, series, instances) => match instances.as_slice() {
            [one] => vec![Resource::Instance(study.clone(), series.clone(), one.clone())],
            _ => vec![Resource::Series(study.clone(), series.clone())],
        },
    };
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for resource in &resources {
        damaged.extend(damaged_of(session, resource).await?);
        match session.instances(resource).await {
            Ok(instances) => found.extend(instances),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if let What::Instances(_, _, wanted) = &wanted.what {
        let wanted: HashSet<&SopInstanceUid> = wanted.iter().collect();
        found.retain(|instance| wanted.contains(&instance.sop_instance));
        damaged.retain(|lost| wanted.contains(&lost.instance));
    }
    if let Some(patient) = &wanted.patient {
        let studies: HashSet<&StudyInstanceUid> = found.iter().map(|instance| &instance.study).collect();
        let options = Options { unknown_matches, ..Options::default() };
        let theirs = session.studies_of_patient(patient, studies, options).await?;
        found.retain(|instance| theirs.contains(&instance.study));
        if !damaged.is_empty() {
            // Of a study nothing may be shown that could be searched.
            let of = Resource::Patient { id: patient.clone(), issuer: None };
            let lost: HashSet<SopInstanceUid> =
                damaged_of(session, &of).await?.into_iter().map(|lost| lost.instance).collect();
            damaged.retain(|one| theirs.contains(&one.study) || lost.contains(&one.instance));
        }
    }
    Ok(Asked { instances: found, damaged: damaged.into_iter().map(|lost| lost.instance).collect() })
}

/// What is damaged of a resource. Where an identifier is more than one patient's nobody can tell of whom; what is there is
/// retrieved all the same.
async fn damaged_of(session: &Session, of: &Resource) -> Result<Vec<DamagedInstance>> {
    match session.damaged_of(of).await {
        Err(error) if error.kind == ErrorKind::Conflict => Ok(Vec::new()),
        damaged => damaged,
    }
}

fn once_each<T: Hash + Eq>(values: &[T]) -> impl Iterator<Item = &T> {
    let mut seen = HashSet::new();
    values.iter().filter(move |value| seen.insert(*value))
}

/// The count of sub-operations.
pub(super) struct Progress {
    pub counts: SubOperations,
    pub failed: Vec<SopInstanceUid>,
    /// Why the first of them failed.
    pub why: Option<String>,
}

impl Progress {
    /// What is damaged has failed before anything is sent.
    pub(super) fn new(instances: usize, damaged: &[SopInstanceUid]) -> Self {
        let mut progress = Self {
            counts: SubOperations { remaining: instances + damaged.len(), ..SubOperations::default() },
            failed: Vec::new(),
            why: None,
        };
        for instance in damaged {
            progress.settle(instance, Outcome::damaged());
        }
        progress
    }

    pub(super) fn settle(&mut self, instance: &SopInstanceUid, outcome: Outcome) {
        self.counts.remaining = self.counts.remaining.saturating_sub(1);
        match outcome {
            Outcome::Completed => self.counts.completed += 1,
            Outcome::Warning => self.counts.warning += 1,
            Outcome::Failed(why) | Outcome::Broken(why) | Outcome::Refused(why) => {
                self.counts.failed += 1;
                self.failed.push(instance.clone());
                self.why.get_or_insert(why);
            }
        }
    }

    /// The final status (PS3.4 Table C.4-2). When nothing matches there is nothing that could fail.
    pub(super) fn status(&self, is_cancelled: bool) -> Status {
        let SubOperations { remaining, completed, failed, warning } = self.counts;
        if is_cancelled && remaining > 0 {
            Status::CANCEL
        } else if failed == 0 && warning == 0 {
            Status::SUCCESS
        } else if completed == 0 && warning == 0 {
            Status::UNABLE_TO_PERFORM_SUB_OPERATIONS
        } else {
            Status::WARNING
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed("the peer answered C000H".to_owned())
    }

    #[test]
    fn what_is_damaged_has_failed() {
        let damaged = SopInstanceUid::parse("1.2.4").unwrap();
        let mut progress = Progress::new(1, std::slice::from_ref(&damaged));
        assert_eq!((progress.counts.remaining, progress.counts.failed), (1, 1));
        progress.settle(&SopInstanceUid::parse("1.2.3").unwrap(), Outcome::Completed);
        assert_eq!(
            (progress.status(false), progress.failed.as_slice()),
            (Status::WARNING, [damaged].as_slice())
        );
        assert_eq!(
            Progress::new(0, &progress.failed).status(false),
            Status::UNABLE_TO_PERFORM_SUB_OPERATIONS
        );
    }

    #[rstest]
    #[case::nothing_matches(&[], 0, false, 0x0000)]
    #[case::all_completed(&[Outcome::Completed, Outcome::Completed], 2, false, 0x0000)]
    #[case::some_failed(&[Outcome::Completed, failed()], 2, false, 0xB000)]
    #[case::only_a_warning(&[Outcome::Warning], 1, false, 0xB000)]
    #[case::all_failed(&[failed(), failed()], 2, false, 0xA702)]
    #[case::cancelled(&[Outcome::Completed], 3, true, 0xFE00)]
    #[case::cancelled_too_late(&[Outcome::Completed], 1, true, 0x0000)]
    fn the_final_status_follows_from_the_count(
        #[case] outcomes: &[Outcome],
        #[case] total: usize,
        #[case] is_cancelled: bool,
        #[case] status: u16,
    ) {
        let mut progress = Progress::new(total, &[]);
        let instance = SopInstanceUid::parse("1.2.3").unwrap();
        outcomes.iter().for_each(|outcome| progress.settle(&instance, outcome.clone()));
        assert_eq!(progress.status(is_cancelled), Status(status));
        let SubOperations { remaining, completed, failed, warning } = progress.counts;
        assert_eq!(remaining + completed + failed + warning, total);
        assert_eq!(progress.failed.len(), failed);
    }
}
