//! A study of a peer is fetched: because somebody asked for it, or as a prior.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::model::{AeTitle, SopInstanceUid, StudyInstanceUid};
use dicom_store::queue::{NewJob, Priority};
use dicom_store::register::Entry;
use dicom_store::{Session, Work};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::came::Came;
use super::complete::{instances_of, study_row, to_json};
use super::turns::Turns;
use crate::job::{HowFar, Job, new_job};
use crate::remote::Remotes;
use crate::{Error, Result};

/// The kind of its lines in the register.
pub const RETRIEVAL: &str = "retrieval";
/// Who it is for that a person has ordered.
pub(crate) const ORDER: &str = "order";
/// When as many as may are fetching from the peer, it is looked again after so long.
const AGAIN: Duration = Duration::from_secs(5);
/// Instances that are named as missing.
const MOST_NAMED: usize = 1000;

/// Where a retrieve is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Running,
    /// Everything is here that the peer says it has.
    Done,
    /// Some of it did not come; it is tried again.
    Incomplete,
    /// The peer has no such study.
    Absent,
    /// The peer was not reached, or did not answer, or an association broke; it is tried again.
    Failed,
}

/// A study that is fetched, as the register has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Retrieval {
    pub peer: AeTitle,
    pub study: StudyInstanceUid,
    pub by: String,
    pub state: State,
    /// Instances that the peer says it has.
    pub expected: Option<u64>,
    pub here: u64,
    pub missing: Vec<SopInstanceUid>,
    /// Why it failed last.
    #[serde(default)]
    pub error: Option<String>,
    /// When it brought something last.
    #[serde(default)]
    pub came: Option<Came>,
}

/// Fetches studies.
pub struct Retrieve {
    session: Session,
    work: Work,
    remotes: Arc<dyn Remotes>,
    turns: Turns,
}

/// Which study from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    peer: AeTitle,
    study: StudyInstanceUid,
    by: String,
}

impl Retrieve {
    /// Reads what is here through this session, and notes how far it is by `work`.
    pub fn new(session: Session, work: Work, remotes: Arc<dyn Remotes>) -> Self {
        Self { session, work, remotes, turns: Turns::default() }
    }

    /// The job of a study; `by`: the rule, or `order`.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn of(peer: &AeTitle, study: &StudyInstanceUid, by: &str) -> Result<NewJob> {
        Self::later(Errand { peer: peer.clone(), study: study.clone(), by: by.to_owned() }, Duration::ZERO)
    }

    fn later(errand: Errand, delay: Duration) -> Result<NewJob> {
        let job = new_job::<Self>(name(&errand.study, &errand.peer), &errand, delay)?;
        // A person waits for what a person has ordered, also when it had to wait for its turn.
        let priority = if errand.by == ORDER { Priority::Awaited } else { job.priority };
        Ok(NewJob { priority, ..job })
    }

    async fn here(&self, study: &StudyInstanceUid) -> Result<u64> {
        Ok(study_row(&self.session, study).await?.as_ref().map_or(0, instances_of))
    }

    async fn keep(&self, retrieval: &Retrieval) -> Result<()> {
        let name = name(&retrieval.study, &retrieval.peer);
        Ok(self.work.register(&[Entry::new(RETRIEVAL, name, to_json(retrieval)?)]).await?)
    }
}

fn name(study: &StudyInstanceUid, peer: &AeTitle) -> String {
    format!("{study} {peer}")
}

impl Job for Retrieve {
    const KIND: &'static str = "retrieve";
    const TIME_LIMIT: Duration = Duration::from_secs(6 * 3600);
    const ATTEMPTS: u32 = 30;
    type Payload = Errand;

    async fn run(&self, errand: Errand, _: &HowFar) -> Result<()> {
        let Some(_turn) = self.turns.take(&errand.peer, errand.study.as_str()) else {
            return Ok(self.work.enqueue(&[Self::later(errand, AGAIN)?]).await?);
        };
        let Errand { peer, study, by } = errand;
        let before = self.work.registered_as(RETRIEVAL, &name(&study, &peer)).await?;
        let came = before.as_ref().and_then(Came::of_line);
        let state =
            before.and_then(|row| serde_json::from_str::<Retrieval>(&row.body).ok()).map(|row| row.state);
        let goes_on = matches!(state, Some(State::Running | State::Incomplete | State::Failed));
        let here = self.here(&study).await?;
        let begun = Came::begin(came, goes_on);
        let mut retrieval = Retrieval {
            peer,
            study,
            by,
            state: State::Running,
            expected: None,
            here,
            missing: Vec::new(),
            error: None,
            came: Some(begun),
        };
        self.keep(&retrieval).await?;
        let fetched = self.remotes.fetch(&retrieval.peer, &retrieval.study, &CancellationToken::new()).await;
        let now_here = self.here(&retrieval.study).await?;
        retrieval.came = begun.end(came, now_here > here);
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                retrieval.state = State::Failed;
                retrieval.here = now_here;
                retrieval.error = Some(error.to_string());
                self.keep(&retrieval).await?;
                return Err(error);
            }
        };
        retrieval.state = match fetched.expected {
            Some(0) => State::Absent,
            _ if fetched.is_complete() => State::Done,
            _ => State::Incomplete,
        };
        let lacks = fetched.lacks();
        retrieval.expected = fetched.expected;
        retrieval.here = fetched.here;
        retrieval.missing = fetched.missing.into_iter().take(MOST_NAMED).collect();
        self.keep(&retrieval).await?;
        if retrieval.state == State::Incomplete {
            return Err(Error::Remote(format!("{lacks} instances of {} did not come", retrieval.study)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
