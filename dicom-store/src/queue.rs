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
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    pub waiting: u64,
    pub running: u64,
    pub parked: u64,
}
