//! The queue: who is first, how far a job is, and what somebody wants of it.

use std::time::Duration;

use crate::index::{AuditRow, Index};
use crate::queue::{
    JobId, JobQuery, JobState, Lease, NewJob, Priority, Progress, QueuedJob, Steering, Wanted,
};
use crate::{Cursor, Result};

const LEASE: Duration = Duration::from_secs(60);

async fn ask(index: &dyn Index, jobs: &[(&str, Priority)]) {
    let job = |(key, priority): &(&str, Priority)| NewJob {
        kind: "test",
        key: (*key).to_owned(),
        payload: (*key).to_owned(),
        delay: Duration::ZERO,
        priority: *priority,
    };
    let jobs: Vec<NewJob> = jobs.iter().map(job).collect();
    assert!(index.advance("follower", Cursor::default(), Cursor::default(), &jobs).await.unwrap());
}

async fn lease(index: &dyn Index, least: Priority, limit: u32) -> Vec<Lease> {
    index.lease(Wanted { kinds: &["test"], least, limit }, LEASE).await.unwrap()
}

async fn all(index: &dyn Index) -> Vec<QueuedJob> {
    index.jobs(&JobQuery { limit: 100, ..JobQuery::default() }).await.unwrap()
}

async fn number(index: &dyn Index, key: &str) -> JobId {
    all(index).await.into_iter().find(|job| job.key == key).map(|job| job.id).unwrap()
}

async fn steer(index: &dyn Index, job: JobId, steering: Steering) -> Result<bool> {
    index.steer(job, steering, &AuditRow::new("somebody", "steer", "test", "done")).await
}

fn keys(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| lease.payload.as_str()).collect()
}

pub async fn hands_out_first_what_somebody_waits_for(index: &dyn Index) {
    ask(index, &[("batch", Priority::Batch), ("usual", Priority::Usual), ("awaited", Priority::Awaited)])
        .await;
    assert_eq!(keys(&lease(index, Priority::Awaited, 10).await), ["awaited"]);
    // Asked for again, it is raised and never lowered.
    ask(index, &[("batch", Priority::Awaited), ("usual", Priority::Batch)]).await;
    assert_eq!(keys(&lease(index, Priority::Batch, 1).await), ["batch"]);
    let usual = number(index, "usual").await;
    assert_eq!(all(index).await.iter().find(|job| job.id == usual).unwrap().priority, Priority::Usual);
    assert!(steer(index, usual, Steering::Prioritise(Priority::Batch)).await.unwrap());
    assert!(lease(index, Priority::Usual, 1).await.is_empty());
    assert_eq!(keys(&lease(index, Priority::Batch, 1).await), ["usual"]);
}

pub async fn tells_how_far_a_job_is(index: &dyn Index) {
    ask(index, &[("a", Priority::Usual), ("b", Priority::Batch)]).await;
    let running = lease(index, Priority::Batch, 1).await[0].id;
    let progress = Progress { done: 3, total: 7 };
    assert!(index.still_wanted(running, Some(progress)).await.unwrap());
    assert!(index.still_wanted(running, None).await.unwrap());
    let jobs = all(index).await;
    let (a, b) = (&jobs[0], &jobs[1]);
    assert_eq!((a.id, a.state, a.progress, a.attempt), (running, JobState::Running, progress, 1));
    assert_eq!((b.state, b.priority, b.progress), (JobState::Waiting, Priority::Batch, Progress::default()));
    assert!(a.made > 0 && a.due > a.made && b.due == b.made);
    index.fail(running, "the disk is full", None).await.unwrap();
    let parked = JobQuery { state: Some(JobState::Parked), limit: 10, ..JobQuery::default() };
    let parked = index.jobs(&parked).await.unwrap();
    assert_eq!((parked.len(), parked[0].error.as_str()), (1, "the disk is full"));
    for query in [
        JobQuery { kind: Some("other".into()), limit: 10, ..JobQuery::default() },
        JobQuery { keys: vec!["c".into()], limit: 10, ..JobQuery::default() },
        JobQuery { after: Some(b.id), limit: 10, ..JobQuery::default() },
        JobQuery { id: Some(JobId(b.id.0 + 1)), limit: 10, ..JobQuery::default() },
    ] {
        assert_eq!(index.jobs(&query).await.unwrap(), []);
    }
    let keys = JobQuery { keys: vec!["c".into(), "b".into()], limit: 10, ..JobQuery::default() };
    assert_eq!(index.jobs(&keys).await.unwrap(), std::slice::from_ref(b));
    assert_eq!(index.jobs(&JobQuery { limit: 1, ..JobQuery::default() }).await.unwrap().len(), 1);
}

pub async fn cancels_jobs_and_runs_parked_ones_again(index: &dyn Index) {
    ask(index, &[("waits", Priority::Usual)]).await;
    let waits = number(index, "waits").await;
    assert!(steer(index, waits, Steering::Cancel).await.unwrap());
    assert!(!steer(index, waits, Steering::Cancel).await.unwrap(), "it is gone");

    // One that runs is told to stop; if whoever runs it does not hear it, the next one does.
    ask(index, &[("runs", Priority::Usual)]).await;
    let runs = lease(index, Priority::Batch, 1).await[0].id;
    assert!(!steer(index, runs, Steering::RunNow).await.unwrap());
    assert!(steer(index, runs, Steering::Cancel).await.unwrap());
    assert!(!index.still_wanted(runs, Some(Progress::default())).await.unwrap());
    assert!(all(index).await[0].is_cancelled);
    index.renew(runs, Duration::ZERO).await.unwrap();
    let again = lease(index, Priority::Batch, 1).await;
    assert!(again[0].id == runs && again[0].is_cancelled);
    index.complete(runs).await.unwrap();
    assert!(!index.still_wanted(runs, None).await.unwrap());

    // A parked one runs again, or the like of it that waits already.
    ask(index, &[("parked", Priority::Batch)]).await;
    let parked = lease(index, Priority::Batch, 1).await[0].id;
    index.fail(parked, "never", None).await.unwrap();
    assert!(steer(index, parked, Steering::RunNow).await.unwrap());
    let again = lease(index, Priority::Awaited, 1).await;
    assert_eq!((again[0].id, again[0].attempt), (parked, 1));
    index.fail(parked, "never", None).await.unwrap();
    ask(index, &[("parked", Priority::Batch)]).await;
    assert!(steer(index, parked, Steering::RunNow).await.unwrap());
    let other = lease(index, Priority::Awaited, 2).await;
    assert!(other.len() == 1 && other[0].id != parked && all(index).await.len() == 1);
    let audit = index.audit(None, 100).await.unwrap();
    assert_eq!(audit.len(), 4, "what was not done is not audited");
}
