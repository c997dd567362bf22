use std::sync::Arc;
use std::time::Duration;

use dicom_store::fixture::{self, ct};
use dicom_store::ledger::{Order, Part};
use dicom_store::model::StudyInstanceUid;
use dicom_store::queue::{Priority, Wanted};
use dicom_store::{Archive, Session, Work};
use serde_json::json;

use super::*;
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
