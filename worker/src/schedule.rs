//! What is due because time has passed, and follows from no change.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::{Upkeep, Work};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Result;
use crate::jobs::packs;

/// How often it is looked what the packs need.
const LOOK: Duration = Duration::from_secs(60);

/// Puts the jobs of the packs in the queue as they become due, until told to stop. With several nodes each looks; of
/// one kind one job waits at most.
pub(crate) async fn run(upkeep: Upkeep, work: Work, jobs_came: Arc<Notify>, stop: CancellationToken) {
    let look = async {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = enqueue(&upkeep, &work, &jobs_came).await {
                warn!(%error, "what the packs need cannot be told, looking again");
            }
        }
    };
    stop.run_until_cancelled(look).await;
}

async fn enqueue(upkeep: &Upkeep, work: &Work, jobs_came: &Notify) -> Result<()> {
    let jobs = packs::jobs(upkeep.due().await?)?;
    if !jobs.is_empty() {
        work.enqueue(&jobs).await?;
        jobs_came.notify_one();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dicom_store::fixture::{self, Bucket, ct};
    use dicom_store::queue::{Priority, Wanted};
    use dicom_store::{Archive, Config};

    use super::*;
    use crate::job::{HowFar, Job, Registry};
    use crate::jobs::TidyPacks;

    #[tokio::test]
    async fn small_packs_make_a_job_that_gathers_them() {
        let (bucket, folder) = (Bucket::new(Duration::ZERO).await, tempfile::tempdir().unwrap());
        let config: Config = bucket.config(&folder);
        let archive = Archive::open(&config).await.unwrap();
        let (session, first) = (fixture::system(&archive), ct());
        for number in 1..=20 {
            fixture::store(&session, &first.next(number)).await.unwrap();
        }
        let (work, jobs_came) = (archive.work(), Notify::new());
        enqueue(&archive.upkeep(), &work, &jobs_came).await.unwrap();
        let leased = work
            .lease(
                Wanted { kinds: &[TidyPacks::KIND], least: Priority::Batch, limit: 8 },
                Duration::from_secs(60),
            )
            .await
            .unwrap();
        assert_eq!(leased.len(), 1);
        let registry = Registry::new().with(TidyPacks::new(archive.upkeep()));
        registry.run(&leased[0].kind, &leased[0].payload, &HowFar::default()).await.unwrap();
        let packs = bucket.packs().await.len();
        assert!(packs < 16, "{packs} packs");
        work.complete(leased[0].id).await.unwrap();
        enqueue(&archive.upkeep(), &work, &jobs_came).await.unwrap();
        assert_eq!(work.queue_depth().await.unwrap().waiting, 0, "nothing is left to do");
    }
}
