//! What the server does by itself: the dispatcher, the schedule and the runners, together.

use std::sync::Arc;
use std::time::Duration;

use dicom_store::{Archive, Caller};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::destination::Destinations;
use crate::dispatch::Dispatcher;
use crate::job::Registry;
use crate::jobs::{
    AssociationEnded, BringOver, Committed, Completion, CompressPack, Forward, Prefetching, Quiet, Retrieve,
    StepPerformed, Thumbnail, TidyPacks, VerifyPack, WebRendition, Webhook,
};
use crate::orders::{Exchange, Orders};
use crate::runner::Runner;
use crate::{CpuPool, Destination, Hooks, Remotes, Rule, schedule};

/// The jobs of this crate.
pub fn registry(archive: &Archive, pool: &CpuPool) -> Registry {
    let session = |name| archive.acting_as(Caller::System(name));
    Registry::new()
        .with(Thumbnail::new(session("thumbnail"), pool.clone()))
        .with(WebRendition::new(session("web rendition"), pool.clone(), archive.changes()))
        .with(TidyPacks::new(archive.upkeep()))
        .with(CompressPack::new(archive.upkeep()))
        .with(VerifyPack::new(archive.upkeep()))
}

/// Jobs that have a runner of their own, which gives way to nothing.
pub struct Awaited {
    pub registry: Registry,
    /// Told when there are new ones.
    pub came: Arc<Notify>,
    pub at_a_time: usize,
}

impl Awaited {
    /// Jobs that somebody waits for.
    pub fn new(registry: Registry, came: Arc<Notify>) -> Self {
        Self { registry, came, at_a_time: AT_A_TIME }
    }
}

/// Jobs that somebody waits for, under way at once.
const AT_A_TIME: usize = 8;
/// Jobs that deal with peers, under way at once: they wait for the network, a few of them for each peer.
const WITH_PEERS: usize = 64;

/// The work with peers: its jobs, and what orders it. `rules`: what is done with studies that have come; `places`: where
/// they can be sent beside peers; `hooks`: who can be told.
pub fn exchange(
    archive: &Archive,
    remotes: Arc<dyn Remotes>,
    (places, hooks): (Vec<Arc<dyn Destination>>, Arc<dyn Hooks>),
    rules: Vec<Rule>,
) -> (Awaited, Exchange) {
    let (work, came) = (archive.work(), Arc::new(Notify::new()));
    let destinations = Destinations::new(Arc::clone(&remotes), places);
    let session = |name| archive.acting_as(Caller::System(name));
    let completion = Completion::new(session("rules"), work.clone(), rules, Arc::clone(&remotes));
    let registry = Registry::new()
        .with(Quiet(completion.clone()))
        .with(AssociationEnded(completion.clone()))
        .with(Committed(completion.clone()))
        .with(StepPerformed(completion))
        .with(Webhook(hooks))
        .with(Forward::new(session("forward"), work.clone(), destinations.clone()))
        .with(Retrieve::new(session("retrieve"), work.clone(), Arc::clone(&remotes)))
        .with(BringOver::new(session("import"), work.clone(), Arc::clone(&remotes)))
        .with(Prefetching::new(session("prefetch"), work.clone(), Arc::clone(&remotes)))
        .with(crate::jobs::Notify::new(session("notify"), Arc::clone(&remotes)));
    let orders = Orders::new(work, Arc::clone(&came));
    (Awaited { registry, came, at_a_time: WITH_PEERS }, Exchange { remotes, destinations, orders })
}

/// Follows the change feed, looks what time has made due, and runs jobs until told to stop; returns when those under way
/// have ended. Those that are awaited do not give way to what arrives, nor wait behind the others. A study of which nothing
/// has come for `complete_after` counts as complete.
pub async fn run(
    archive: Archive,
    registry: Registry,
    awaited: Vec<Awaited>,
    complete_after: Duration,
    stop: CancellationToken,
) {
    let jobs_came = Arc::new(Notify::new());
    let all_came = std::iter::once(&jobs_came).chain(awaited.iter().map(|awaited| &awaited.came));
    let all_came = all_came.map(Arc::clone).collect();
    let dispatcher = Dispatcher::new(archive.work(), archive.changes(), all_came, complete_after);
    let scheduling = schedule::run(archive.upkeep(), archive.work(), Arc::clone(&jobs_came), stop.clone());
    let runner = Runner::new(archive.work(), registry, jobs_came, archive.changes());
    let at_once = awaited.into_iter().map(|Awaited { registry, came, at_a_time }| {
        let runner = Runner::new(archive.work(), registry, came, archive.changes());
        runner.without_rest().at_a_time(at_a_time).run(stop.clone())
    });
    tokio::join!(dispatcher.run(stop.clone()), scheduling, runner.run(stop.clone()), join_all(at_once));
}

#[cfg(test)]
mod tests {
    use dicom_store::fixture::{self, ct};
    use dicom_store::{Cursor, DerivedKey, Stored};

    use super::*;

    #[tokio::test]
    async fn a_series_gets_its_thumbnail_without_anybody_asking() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let pool = CpuPool::new(1).unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(
            archive.clone(),
            registry(&archive, &pool),
            Vec::new(),
            Duration::from_secs(60),
            stop.clone(),
        ));

        let Stored::New(instance) = fixture::store(&session, &ct()).await.unwrap() else { panic!("not new") };
        let key = DerivedKey::thumbnail(&instance.study, &instance.series);
        let thumbnail = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(thumbnail) = session.derived(&key).await.unwrap() {
                    return thumbnail;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(thumbnail.await.unwrap().starts_with(&[0xFF, 0xD8]));

        stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), running).await.unwrap().unwrap();
        assert_ne!(archive.work().cursor_of("dispatch").await.unwrap(), Cursor::default());
    }
}
