//! A study of a peer is fetched: because somebody asked for it, or as a prior.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::Work;
use dicom_store::model::{AeTitle, SopInstanceUid, StudyInstanceUid};
use dicom_store::queue::NewJob;
use dicom_store::register::Entry;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::complete::to_json;
use super::turns::Turns;
use crate::job::{HowFar, Job, new_job};
use crate::remote::Remotes;
use crate::{Error, Result};

/// The kind of its lines in the register.
pub const RETRIEVAL: &str = "retrieval";
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
}

/// Fetches studies.
pub struct Retrieve {
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
    /// Notes how far it is by `work`.
    pub fn new(work: Work, remotes: Arc<dyn Remotes>) -> Self {
        Self { work, remotes, turns: Turns::default() }
    }

    /// The job of a study; `by`: the rule, or `order`.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn of(peer: &AeTitle, study: &StudyInstanceUid, by: &str) -> Result<NewJob> {
        Self::later(Errand { peer: peer.clone(), study: study.clone(), by: by.to_owned() }, Duration::ZERO)
    }

    fn later(errand: Errand, delay: Duration) -> Result<NewJob> {
        new_job::<Self>(format!("{} {}", errand.study, errand.peer), &errand, delay)
    }

    async fn keep(&self, retrieval: &Retrieval) -> Result<()> {
        let name = format!("{} {}", retrieval.study, retrieval.peer);
        Ok(self.work.register(&[Entry::new(RETRIEVAL, name, to_json(retrieval)?)]).await?)
    }
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
        let mut retrieval = Retrieval {
            peer,
            study,
            by,
            state: State::Running,
            expected: None,
            here: 0,
            missing: Vec::new(),
        };
        self.keep(&retrieval).await?;
        let fetched =
            self.remotes.fetch(&retrieval.peer, &retrieval.study, &CancellationToken::new()).await?;
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
