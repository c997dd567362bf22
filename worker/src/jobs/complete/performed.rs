//! A modality says that a procedure step is completed, and names all that it has made (PS3.4 §F.7.2.2.2): what of a study
//! it has made is here, or comes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dicom_store::model::{AeTitle, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use dicom_store::performed_step::{AWAITED_SERIES, Reference};
use dicom_store::queue::NewJob;
use dicom_store::register::Entry;
use dicom_store::{PerformedStepRefusal, PerformedStepStatus, Work};
use serde::{Deserialize, Serialize};

use super::{Completion, Evidence, SOON, to_json};
use crate::Result;
use crate::job::{HowFar, Job, new_job};

/// Where the server stops between the end of a step and the job that looks at it, it is looked at so late.
const AT_THE_LATEST: Duration = Duration::from_secs(60);
/// As long as no more series are waited for than this, they are read together.
const FEW: u32 = 200;
/// Steps that name one series.
const OF_ONE: u32 = 10;

/// A step is completed.
pub struct StepPerformed(pub Completion);

/// Which, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Performed {
    calling: AeTitle,
    step: SopInstanceUid,
}

impl StepPerformed {
    /// The job of a step that is completed.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn of(calling: &AeTitle, step: &SopInstanceUid) -> Result<NewJob> {
        Performed { calling: calling.clone(), step: step.clone() }.due(Duration::ZERO)
    }

    /// The same of one that may be completed in a moment: of what is not, nothing comes.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn expected(calling: &AeTitle, step: &SopInstanceUid) -> Result<NewJob> {
        Performed { calling: calling.clone(), step: step.clone() }.due(AT_THE_LATEST)
    }

    /// The jobs of those steps that instances of these series are waited for by, each time moved on.
    pub(crate) async fn waiting_for(
        work: &Work,
        grown: &BTreeSet<&SeriesInstanceUid>,
    ) -> Result<Vec<NewJob>> {
        let mut lines = work.registered(AWAITED_SERIES, "", FEW).await?;
        if u32::try_from(lines.len()).is_ok_and(|found| found >= FEW) {
            lines.clear();
            for series in grown {
                lines.extend(work.registered(AWAITED_SERIES, &format!("{series} "), OF_ONE).await?);
            }
        }
        let is_grown = |name: &str| {
            let series = name.split(' ').next().unwrap_or_default();
            grown.iter().any(|grown| grown.as_str() == series)
        };
        let steps: BTreeMap<String, Performed> = lines
            .into_iter()
            .filter(|line| is_grown(&line.name))
            .filter_map(|line| Some((line.name, serde_json::from_str(&line.body).ok()?)))
            .map(|(_, performed): (String, Performed)| (performed.step.to_string(), performed))
            .collect();
        steps.values().map(|performed| performed.due(SOON)).collect()
    }
}

impl Performed {
    fn due(&self, after: Duration) -> Result<NewJob> {
        new_job::<StepPerformed>(self.step.to_string(), self, after)
    }

    fn line(&self, series: &SeriesInstanceUid) -> String {
        format!("{series} {}", self.step)
    }
}

impl Job for StepPerformed {
    const KIND: &'static str = "step-performed";
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    type Payload = Performed;

    async fn run(&self, performed: Performed, _: &HowFar) -> Result<()> {
        let Completion { session, work, .. } = &self.0;
        let step = match session.performed_step(&performed.step).await {
            Ok(step) if step.status == PerformedStepStatus::Completed => step,
            Ok(_) | Err(PerformedStepRefusal::Unknown) => return Ok(()),
            Err(PerformedStepRefusal::Archive(error)) => return Err(error.into()),
            Err(other) => return Err(dicom_store::Error::internal(other.to_string()).into()),
        };
        let made = step.references();
        let series: BTreeSet<&SeriesInstanceUid> = made.iter().map(|reference| &reference.series).collect();
        // Before it is looked what is here: of what comes behind it the feed tells.
        let body = to_json(&performed)?;
        let line =
            |series: &&SeriesInstanceUid| Entry::new(AWAITED_SERIES, performed.line(series), body.clone());
        work.register(&series.iter().map(line).collect::<Vec<_>>()).await?;
        let instances: Vec<_> = made.iter().map(|reference| reference.sop_instance.clone()).collect();
        let here = self.0.studies_of(&instances).await?;
        let Found { studies, missing } = Found::among(&made, &here);
        for study in studies {
            let Performed { calling, step } = performed.clone();
            self.0.settle(study, Evidence::PerformedProcedureStep { calling, step }).await?;
        }
        for series in series.difference(&missing) {
            work.unregister(AWAITED_SERIES, &performed.line(series)).await?;
        }
        Ok(())
    }
}

/// What of a step is here.
#[derive(Debug, PartialEq, Eq)]
struct Found<'a> {
    /// Those of which all is here that it has made.
    studies: BTreeSet<&'a StudyInstanceUid>,
    /// Those of which something is not.
    missing: BTreeSet<&'a SeriesInstanceUid>,
}

impl<'a> Found<'a> {
    /// What is missing belongs to the study that has the rest of its series; where nothing of its series is here, it may
    /// belong to any.
    fn among(
        made: &'a BTreeSet<Reference>,
        here: &'a BTreeMap<StudyInstanceUid, BTreeSet<SopInstanceUid>>,
    ) -> Self {
        let study_of = |instance: &SopInstanceUid| {
            here.iter().find(|(_, instances)| instances.contains(instance)).map(|(study, _)| study)
        };
        let mut of_series: BTreeMap<&SeriesInstanceUid, &StudyInstanceUid> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for reference in made {
            if let Some(study) = study_of(&reference.sop_instance) {
                of_series.insert(&reference.series, study);
            } else {
                missing.insert(&reference.series);
            }
        }
        let mut studies: BTreeSet<&StudyInstanceUid> = here.keys().collect();
        for series in &missing {
            let of = of_series.get(series);
            studies.retain(|study| of.is_some_and(|of| study != of));
        }
        Self { studies, missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(text: &str) -> StudyInstanceUid {
        StudyInstanceUid::parse(text).unwrap()
    }

    /// Instances by study, as (study, instances).
    fn here(studies: &[(&str, &[&str])]) -> BTreeMap<StudyInstanceUid, BTreeSet<SopInstanceUid>> {
        let instances = |uids: &[&str]| uids.iter().map(|uid| SopInstanceUid::parse(uid).unwrap()).collect();
        studies.iter().map(|(uid, uids)| (study(uid), instances(uids))).collect()
    }

    #[test]
    fn what_is_missing_holds_up_the_study_that_it_belongs_to() {
        let made: BTreeSet<Reference> = [("3.1", "4.1"), ("3.1", "4.2"), ("3.2", "4.3")]
            .into_iter()
            .map(|(series, instance)| Reference {
                series: SeriesInstanceUid::parse(series).unwrap(),
                sop_instance: SopInstanceUid::parse(instance).unwrap(),
            })
            .collect();
        let complete = |studies: &[(&str, &[&str])]| {
            let here = here(studies);
            let Found { studies, missing } = Found::among(&made, &here);
            let studies: Vec<_> = studies.into_iter().map(ToString::to_string).collect();
            (studies, missing.into_iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all: &[(&str, &[&str])] = &[("2.1", &["4.1", "4.2"]), ("2.2", &["4.3"])];
        assert_eq!(complete(all), (texts(&["2.1", "2.2"]), texts(&[])));
        let half: &[(&str, &[&str])] = &[("2.1", &["4.1"]), ("2.2", &["4.3"])];
        assert_eq!(complete(half), (texts(&["2.2"]), texts(&["3.1"])));
        assert_eq!(
            complete(&[("2.1", &["4.1", "4.2"])]),
            (texts(&[]), texts(&["3.2"])),
            "it may be of any study"
        );
        assert_eq!(complete(&[]), (texts(&[]), texts(&["3.1", "3.2"])));
    }
}
