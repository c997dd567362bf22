//! The durable job queue: work that has to happen once something has happened.

use std::time::Duration;

/// A job to be done. One job waits at most for each kind and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub kind: &'static str,
    pub key: String,
    /// What the job needs to know, in a form of its own.
    pub payload: String,
    /// Not due earlier than this from now. Asking again while it waits moves the time.
    pub delay: Duration,
    /// Asking again while it waits raises it and never lowers it.
    pub priority: Priority,
}

/// Which of the jobs that are due is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Nobody would notice if it were done tomorrow.
    Batch,
    #[default]
    Usual,
    /// A person waits for it.
    Awaited,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Batch, Self::Usual, Self::Awaited];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Usual => "usual",
            Self::Awaited => "awaited",
        }
    }

    /// Its place in the index, the lowest first.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Batch => 0,
            Self::Usual => 1,
            Self::Awaited => 2,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobId(pub i64);

/// A job that was handed out, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub id: JobId,
    pub kind: String,
    pub payload: String,
    /// Counted from 1.
    pub attempt: u32,
    /// Whoever ran it before did not see any more that it is not wanted.
    pub is_cancelled: bool,
}

/// Which jobs are handed out.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub kinds: &'a [&'a str],
    /// None of a lower priority.
    pub least: Priority,
    /// So many at the most.
    pub limit: u32,
}

/// How far a job is, in what it counts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub done: u64,
    /// 0 while it is not known.
    pub total: u64,
}

/// A job of the queue, to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    pub id: JobId,
    pub kind: String,
    /// What it is about: UIDs, titles of peers.
    pub key: String,
    pub state: JobState,
    pub priority: Priority,
    /// Runs that were begun.
    pub attempt: u32,
    /// In milliseconds since 1970: not to be taken before; the end of the lease while it runs.
    pub due: u64,
    /// In milliseconds since 1970: when it was asked for. 0 when an older version did not tell.
    pub made: u64,
    /// What was wrong with the last run that failed; empty before one has.
    pub error: String,
    pub progress: Progress,
    /// It runs, and is going to be stopped.
    pub is_cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    Waiting,
    Running,
    /// Not tried again until somebody says so.
    Parked,
}

impl JobState {
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Running, Self::Parked];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Parked => "parked",
        }
    }

    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Waiting => 0,
            Self::Running => 1,
            Self::Parked => 2,
        }
    }
}

/// Which jobs are looked at, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobQuery {
    pub kind: Option<String>,
    pub state: Option<JobState>,
    /// Those of one of these keys; of any where there are none.
    pub keys: Vec<String>,
    /// Those behind this one.
    pub after: Option<JobId>,
    /// That one alone.
    pub id: Option<JobId>,
    pub limit: u32,
}

/// What somebody wants of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// It leaves the queue; where it runs it is stopped.
    Cancel,
    /// A waiting or parked one is due now, and its runs are counted anew.
    RunNow,
    Prioritise(Priority),
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    pub waiting: u64,
    pub running: u64,
    pub parked: u64,
}
