use std::sync::Mutex;

use dicom_store::Archive;
use dicom_store::fixture::{self, ct};
use dicom_store::queue::Wanted;
use futures_util::FutureExt;

use super::*;
use crate::remote::Fetched;
use crate::remote::fake::FakeRemotes;

fn peer() -> AeTitle {
    "OLDPACS".parse().unwrap()
}

async fn line(work: &Work, study: &StudyInstanceUid) -> Retrieval {
    let row = work.registered_as(RETRIEVAL, &name(study, &peer())).await.unwrap().unwrap();
    serde_json::from_str(&row.body).unwrap()
}

fn errand(study: &StudyInstanceUid) -> Errand {
    Errand { peer: peer(), study: study.clone(), by: ORDER.to_owned() }
}

/// A peer that sends this, before it says what it has.
fn sends(archive: &Archive, samples: Vec<fixture::Sample>, says: Fetched) -> FakeRemotes {
    let (session, samples) = (fixture::system(archive), Arc::new(Mutex::new(samples)));
    let fetch = move |_: &StudyInstanceUid| {
        let (session, says) = (session.clone(), says.clone());
        let samples: Vec<_> = samples.lock().unwrap().drain(..).collect();
        async move {
            for sample in &samples {
                fixture::store(&session, sample).await.unwrap();
            }
            Ok(says)
        }
        .boxed()
    };
    FakeRemotes { fetch: Box::new(fetch), ..FakeRemotes::default() }
}

#[tokio::test]
async fn one_that_failed_says_why() {
    let (archive, _folder) = fixture::archive().await;
    let (study, work) = (ct().study(), archive.work());
    let retrieve = Retrieve::new(fixture::system(&archive), work.clone(), Arc::new(FakeRemotes::default()));
    retrieve.run(errand(&study), &HowFar::default()).await.unwrap_err();
    let line = line(&work, &study).await;
    assert_eq!((line.state, line.error.as_deref()), (State::Failed, Some("no answer")));
    assert_eq!(line.came, None);
}

#[tokio::test]
async fn it_tells_when_it_brought_something_and_keeps_that_when_it_brings_nothing_more() {
    let (archive, _folder) = fixture::archive().await;
    let (sample, work) = (ct(), archive.work());
    let study = sample.study();
    let says = Fetched { expected: Some(1), here: 1, missing: Vec::new() };
    let remotes = sends(&archive, vec![sample], says);
    let retrieve = Retrieve::new(fixture::system(&archive), work.clone(), Arc::new(remotes));
    retrieve.run(errand(&study), &HowFar::default()).await.unwrap();
    let first = line(&work, &study).await;
    assert_eq!(first.state, State::Done);
    assert!(first.came.is_some_and(|came| came.until.is_some()), "{first:?}");
    retrieve.run(errand(&study), &HowFar::default()).await.unwrap();
    assert_eq!(line(&work, &study).await.came, first.came);
}

#[tokio::test]
async fn what_a_person_has_ordered_stays_before_others_when_it_waits_for_its_turn() {
    let (archive, _folder) = fixture::archive().await;
    let (study, work) = (ct().study(), archive.work());
    let retrieve = Retrieve::new(fixture::system(&archive), work.clone(), Arc::new(FakeRemotes::default()));
    let _turn = retrieve.turns.take(&peer(), study.as_str()).unwrap();
    retrieve.run(errand(&study), &HowFar::default()).await.unwrap();
    let job = Retrieve::later(errand(&study), Duration::ZERO).unwrap();
    assert_eq!(job.priority, Priority::Awaited);
    work.enqueue(&[job]).await.unwrap();
    let wanted = Wanted { kinds: &[Retrieve::KIND], least: Priority::Awaited, limit: 1 };
    assert_eq!(work.lease(wanted, Duration::from_secs(60)).await.unwrap().len(), 1);
}
