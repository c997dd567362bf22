//! What somebody asks for, and the acts that it becomes: checked here, against what the archive has.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;

use super::{Act, Values};
use crate::access::Action;
use crate::index::{Index, KeptAside};
use crate::model::{PatientKey, Resource, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::{Error, Result};

/// A study, a series or an instance, as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub study: StudyInstanceUid,
    pub series: Option<SeriesInstanceUid>,
    pub instance: Option<SopInstanceUid>,
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Everything of it that is shown.
    Delete {
        of: Part,
    },
    /// Everything of it that is deleted or rejected.
    Restore {
        of: Part,
    },
    /// Everything of it, deleted or not, for good.
    Destroy {
        of: Part,
    },
    CorrectPatient {
        patient: PatientKey,
        values: Values,
    },
    CorrectStudy {
        study: StudyInstanceUid,
        values: Values,
    },
    /// What is the first patient's is the second's from now on. The second may be new: it gets these values, or
    /// those of the first.
    MergePatients {
        from: PatientKey,
        into: PatientKey,
        #[serde(default)]
        values: Values,
    },
    /// The patient may be new, with these values.
    MoveStudy {
        study: StudyInstanceUid,
        to: PatientKey,
        #[serde(default)]
        values: Values,
    },
    Promote {
        instance: SopInstanceUid,
        digest: String,
    },
    Discard {
        instance: SopInstanceUid,
        digest: String,
    },
    Undo {
        number: u64,
    },
}

impl Part {
    pub fn resource(&self) -> Result<Resource> {
        match (self.study.clone(), self.series.clone(), self.instance.clone()) {
            (study, None, None) => Ok(Resource::Study(study)),
            (study, Some(series), None) => Ok(Resource::Series(study, series)),
            (study, Some(series), Some(instance)) => Ok(Resource::Instance(study, series, instance)),
            (_, None, Some(_)) => Err(Error::invalid("an instance is named without its series")),
        }
    }
}

/// All that one order may name or show at a time.
const MOST: u32 = 1_000_000;

impl Order {
    /// What the caller has to be allowed.
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Delete { .. } | Self::Restore { .. } | Self::Destroy { .. } => Action::Delete,
            _ => Action::Correct,
        }
    }

    /// The acts, one after the other; none of them is done yet.
    ///
    /// # Errors
    /// `NotFound` for what is not in the archive, `Invalid` for what cannot be asked, `Conflict` for what was
    /// done before; all with a sentence that names no patient.
    pub(crate) async fn acts(&self, index: &dyn Index) -> Result<Vec<Act>> {
        Ok(match self {
            Self::Delete { of } => vec![Act::Delete { instances: shown(index, of).await? }],
            Self::Restore { of } => vec![Act::Restore { instances: hidden(index, of).await? }],
            Self::Destroy { of } => destroy(index, of).await?,
            Self::CorrectPatient { patient, values } => {
                values.of_patient()?;
                values.are_possible()?;
                let (patient, _) = index.patient(patient).await?.ok_or_else(unknown_patient)?;
                vec![Act::CorrectPatient { patient, values: values.clone() }]
            }
            Self::CorrectStudy { study, values } => {
                values.of_study()?;
                values.are_possible()?;
                is_there(index, study).await?;
                vec![Act::CorrectStudy { study: study.clone(), values: values.clone() }]
            }
            Self::MergePatients { from, into, values } => merge(index, from, into, values).await?,
            Self::MoveStudy { study, to, values } => move_study(index, study, to, values).await?,
            Self::Promote { instance, digest } => {
                let aside = kept_aside(index, instance, digest).await?;
                if !aside.can_be_shown {
                    let what = "the data set belongs to another study or series than the one that is shown";
                    return Err(Error::conflict(what));
                }
                vec![Act::Promote { instance: instance.clone(), digest: digest.clone() }]
            }
            Self::Discard { instance, digest } => {
                kept_aside(index, instance, digest).await?;
                vec![Act::Discard { instance: instance.clone(), digest: digest.clone() }]
            }
            Self::Undo { number } => vec![undo(index, *number).await?],
        })
    }
}

fn unknown_patient() -> Error {
    Error::not_found("the patient is not in the archive")
}

async fn shown(index: &dyn Index, of: &Part) -> Result<Vec<SopInstanceUid>> {
    let of = of.resource()?;
    let found: Vec<_> =
        index.instances(&of).await?.into_iter().map(|instance| instance.sop_instance).collect();
    if found.is_empty() { Err(Error::not_found(format!("{of} is not in the archive"))) } else { Ok(found) }
}

async fn hidden(index: &dyn Index, of: &Part) -> Result<Vec<SopInstanceUid>> {
    let of = of.resource()?;
    let hidden = index.hidden(Some(&of), MOST).await?;
    if hidden.is_empty() {
        return Err(Error::not_found(format!("nothing of {of} is deleted or rejected")));
    }
    let acts: BTreeSet<u64> = hidden.iter().map(|hidden| hidden.act).collect();
    for number in acts {
        if index.act_of(number).await?.is_some_and(|act| matches!(act.entry.act, Act::Destroy { .. })) {
            return Err(Error::conflict(format!("act {number} destroys some of {of}; that is for good")));
        }
    }
    Ok(hidden.into_iter().map(|hidden| hidden.instance).collect())
}

/// All that is shown or hidden, with whatever came under its UIDs; and what was never more than kept aside, because its
/// UIDs were taken by others.
async fn destroy(index: &dyn Index, of: &Part) -> Result<Vec<Act>> {
    let resource = of.resource()?;
    let shown = index.instances(&resource).await?.into_iter().map(|instance| instance.sop_instance);
    let hidden = index.hidden(Some(&resource), MOST).await?.into_iter().map(|hidden| hidden.instance);
    let instances: Vec<_> = shown.chain(hidden).collect();
    let mut aside = index.aside_in(&resource).await?;
    let taken: HashSet<&SopInstanceUid> = instances.iter().collect();
    aside.retain(|(instance, _)| !taken.contains(instance));
    if instances.is_empty() && aside.is_empty() {
        return Err(Error::not_found(format!("{resource} is not in the archive")));
    }
    let first = (!instances.is_empty()).then_some(Act::Destroy { instances });
    let aside = aside.into_iter().map(|(instance, digest)| Act::DestroyAside { instance, digest });
    Ok(first.into_iter().chain(aside).collect())
}

async fn is_there(index: &dyn Index, study: &StudyInstanceUid) -> Result<()> {
    let of = Part { study: study.clone(), series: None, instance: None };
    shown(index, &of).await.map(|_| ())
}

async fn kept_aside(index: &dyn Index, instance: &SopInstanceUid, digest: &str) -> Result<KeptAside> {
    let found = index.kept_aside(Some(instance), MOST).await?;
    let found = found.into_iter().find(|aside| aside.digest == digest);
    found.ok_or_else(|| {
        Error::not_found(format!("no data set with that digest is kept aside under instance {instance}"))
    })
}

/// An identifier that somebody gives to a patient.
fn check_key(key: &PatientKey) -> Result<()> {
    let is_text = |text: &str| {
        text.chars().count() <= 64 && !text.contains('\\') && !text.chars().any(char::is_control)
    };
    if key.id.trim().is_empty() || !is_text(&key.id) || !is_text(&key.issuer) {
        return Err(Error::invalid("an identifier has 1 to 64 characters, its issuer up to 64"));
    }
    Ok(())
}

async fn merge(index: &dyn Index, from: &PatientKey, into: &PatientKey, values: &Values) -> Result<Vec<Act>> {
    check_key(into)?;
    let (first, attributes) = index.patient(from).await?.ok_or_else(unknown_patient)?;
    if first != *from {
        return Err(Error::conflict(
            "the patient was merged into another before; merge that one, or undo it",
        ));
    }
    let known = index.patient(into).await?;
    let target = known.as_ref().map_or(into, |(key, _)| key);
    if target == from {
        return Err(Error::conflict("both are the same patient"));
    }
    let values =
        if known.is_none() && values.is_empty() { Values::from(&attributes) } else { values.clone() };
    let merge = Act::MergePatients { from: from.clone(), into: target.clone() };
    Ok(with_patient(target, values)?.into_iter().chain([merge]).collect())
}

async fn move_study(
    index: &dyn Index,
    study: &StudyInstanceUid,
    to: &PatientKey,
    values: &Values,
) -> Result<Vec<Act>> {
    check_key(to)?;
    is_there(index, study).await?;
    let known = index.patient(to).await?;
    if known.is_none() && values.is_empty() {
        return Err(Error::not_found("the patient is not in the archive; give values to make one"));
    }
    let target = known.map_or_else(|| to.clone(), |(key, _)| key);
    let moved = Act::MoveStudy { study: study.clone(), to: target.clone() };
    Ok(with_patient(&target, values.clone())?.into_iter().chain([moved]).collect())
}

fn with_patient(patient: &PatientKey, values: Values) -> Result<Option<Act>> {
    if values.is_empty() {
        return Ok(None);
    }
    values.of_patient()?;
    values.are_possible()?;
    Ok(Some(Act::CorrectPatient { patient: patient.clone(), values }))
}

async fn undo(index: &dyn Index, number: u64) -> Result<Act> {
    // Acts are counted, and come to no such number.
    let found = if i64::try_from(number).is_ok() { index.act_of(number).await? } else { None };
    let found = found.ok_or_else(|| Error::not_found(format!("there is no act {number}")))?;
    if let Some(by) = found.undone_by {
        return Err(Error::conflict(format!("act {number} is undone by act {by}")));
    }
    match found.entry.act {
        Act::Undo { .. } => Err(Error::invalid(format!("act {number} is an undo; do again what it undid"))),
        Act::Destroy { .. } | Act::DestroyAside { .. } => {
            Err(Error::invalid(format!("act {number} destroyed what it names; that is for good")))
        }
        _ => Ok(Act::Undo { number }),
    }
}
