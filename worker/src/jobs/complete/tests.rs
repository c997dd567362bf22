use std::sync::Arc;
use std::time::Duration;

use dicom_store::fixture::{self, ct};
use dicom_store::ledger::{Order, Part};
use dicom_store::model::StudyInstanceUid;
use dicom_store::queue::{Priority, Wanted};
use dicom_store::{Archive, Session, Work};
use serde_json::json;

use super::*;
use crate::clock::now;
use crate::remote::fake::FakeRemotes;

/// What one rule makes of an archive: everything is sent to WS, and told to RIS.
struct Scene {
    archive: Archive,
    session: Session,
    work: Work,
    completion: Completion,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (archive, folder) = fixture::archive().await;
        let then = json!([{"route": {"to": "WS"}}, {"webhook": {"to": "RIS"}}]);
        let rules = serde_json::from_value(json!([{"name": "on", "when": {}, "then": then}])).unwrap();
        let (session, work) = (fixture::system(&archive), archive.work());
        let completion =
            Completion::new(session.clone(), work.clone(), rules, Arc::new(FakeRemotes::default()));
        Self { session, work, completion, archive, _folder: folder }
    }

    async fn quiet(&self, study: &StudyInstanceUid) {
        self.completion.settle(study, Evidence::Quiet { seconds: 60 }).await.unwrap();
    }

    /// The kinds of what is to be done now; it counts as done then.
    async fn jobs(&self) -> Vec<String> {
        let wanted = Wanted { kinds: &["forward", "webhook"], least: Priority::Batch, limit: 10 };
        let leases = self.work.lease(wanted, Duration::from_secs(60)).await.unwrap();
        for lease in &leases {
            self.work.complete(lease.id).await.unwrap();
        }
        let mut kinds: Vec<_> = leases.into_iter().map(|lease| lease.kind).collect();
        kinds.sort();
        kinds
    }

    async fn completed(&self, study: &StudyInstanceUid) -> Completed {
        let line = self.work.registered_as(COMPLETE, study.as_str()).await.unwrap().unwrap();
        serde_json::from_str(&line.body).unwrap()
    }
}

#[tokio::test]
async fn an_image_in_the_place_of_one_that_was_deleted_makes_the_study_complete_again() {
    let (scene, first) = (Scene::new().await, ct());
    let study = first.study();
    fixture::store(&scene.session, &first).await.unwrap();
    let wrong = fixture::store(&scene.session, &first.next(2)).await.unwrap();
    scene.quiet(&study).await;
    assert_eq!(scene.jobs().await, ["forward", "webhook"]);
    scene.quiet(&study).await;
    assert!(scene.jobs().await.is_empty(), "the same again is nothing new");

    let wrong = wrong.instance();
    let (series, instance) = (Some(wrong.series.clone()), Some(wrong.sop_instance.clone()));
    let of = Part { study: study.clone(), series, instance };
    scene.session.act(&Order::Delete { of }, "").await.unwrap();
    fixture::store(&scene.session, &first.next(3)).await.unwrap();
    scene.quiet(&study).await;
    assert_eq!(scene.jobs().await, ["forward", "webhook"]);
    assert_eq!(scene.completed(&study).await.instances, 2);
}

#[tokio::test]
async fn a_line_of_an_older_version_knows_instances_by_their_number() {
    let (scene, first) = (Scene::new().await, ct());
    let study = first.study();
    fixture::store(&scene.session, &first).await.unwrap();
    let line = json!({"study": study, "instances": 1, "evidence": {"quiet": {"seconds": 60}}});
    scene.work.register(&[Entry::new(COMPLETE, study.as_str(), line.to_string())]).await.unwrap();
    scene.quiet(&study).await;
    assert!(scene.jobs().await.is_empty());
    fixture::store(&scene.session, &first.next(2)).await.unwrap();
    scene.quiet(&study).await;
    assert_eq!(scene.jobs().await, ["forward", "webhook"]);
}

#[tokio::test]
async fn of_two_pieces_that_come_at_the_same_moment_both_are_kept() {
    let (scene, first) = (Scene::new().await, ct());
    let study = first.study();
    fixture::store(&scene.session, &first).await.unwrap();
    let ended = Evidence::AssociationEnded { calling: "CT1".parse().unwrap() };
    let (one, other) = tokio::join!(
        scene.completion.settle(&study, ended),
        scene.completion.settle(&study, Evidence::Quiet { seconds: 60 })
    );
    one.unwrap();
    other.unwrap();
    assert_eq!(scene.completed(&study).await.all().count(), 2);
    scene.archive.close().await;
}

/// A line of the register that says when a peer was asked for the study.
async fn asked_for(work: &Work, study: &StudyInstanceUid, state: &str, came: serde_json::Value) {
    let line = json!({
        "peer": "OLDPACS", "study": study, "by": "order", "state": state, "expected": null, "here": 1,
        "missing": [], "came": came,
    });
    let entry = Entry::new("retrieval", format!("{study} OLDPACS"), line.to_string());
    work.register(&[entry]).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_for_in_vain_was_not_fetched() {
    for state in ["absent", "failed", "done"] {
        let (scene, image) = (Scene::new().await, ct());
        asked_for(&scene.work, &image.study(), state, json!(null)).await;
        fixture::store(&scene.session, &image).await.unwrap();
        scene.quiet(&image.study()).await;
        assert_eq!(scene.jobs().await, ["forward", "webhook"], "{state}");
    }
}

#[tokio::test]
async fn what_was_fetched_is_not_sent_on_and_a_further_image_of_a_modality_is() {
    let (scene, image) = (Scene::new().await, ct());
    let study = image.study();
    fixture::store(&scene.session, &image).await.unwrap();
    let at = scene.completion.texts(&study).await.unwrap()[0].newest;
    // As nodes whose clocks differ a little may tell it.
    asked_for(&scene.work, &study, "done", json!({"from": at - 9000, "until": at - 1000})).await;
    scene.quiet(&study).await;
    assert!(scene.jobs().await.is_empty());
    assert_eq!(scene.completed(&study).await.fetched, Some(true));
    let ended = Evidence::AssociationEnded { calling: "OLDPACS".parse().unwrap() };
    scene.completion.settle(&study, ended).await.unwrap();
    assert!(scene.jobs().await.is_empty(), "another piece changes nothing");

    // When something came is told in whole seconds.
    while now() / 1000 <= at / 1000 {
        tokio::task::yield_now().await;
    }
    fixture::store(&scene.session, &image.next(2)).await.unwrap();
    scene.quiet(&study).await;
    assert_eq!(scene.jobs().await, ["forward", "webhook"]);
}
