use std::sync::Arc;
use std::time::Duration;

use dicom_store::fixture::step::{ended, of_series, started};
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::ledger::{Order, Part};
use dicom_store::model::{SeriesInstanceUid, StudyInstanceUid};
use dicom_store::performed_step::AWAITED_SERIES;
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
        Self::when(json!({})).await
    }

    async fn when(when: serde_json::Value) -> Self {
        let (archive, folder) = fixture::archive().await;
        let then = json!([{"route": {"to": "WS"}}, {"webhook": {"to": "RIS"}}]);
        let rules = serde_json::from_value(json!([{"name": "on", "when": when, "then": then}])).unwrap();
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

#[tokio::test]
async fn a_rule_may_be_about_studies_of_an_age() {
    for (when, date, is_about_it) in [
        (json!({"studied-within-days": 365}), "20150601", false),
        (json!({"studied-before-days": 365}), "20150601", true),
        (json!({"studied-within-days": 365}), "99990601", true),
        (json!({"studied-before-days": 365}), "99990601", false),
        (json!({"studied-before-days": 0}), "", false),
    ] {
        let scene = Scene::when(when.clone()).await;
        let sample = ct().with(tags::STUDY_DATE, VR::DA, date);
        fixture::store(&scene.session, &sample).await.unwrap();
        scene.quiet(&sample.study()).await;
        assert_eq!(!scene.jobs().await.is_empty(), is_about_it, "{when} {date}");
    }
}

/// Tells of a step with these images, up to this status, and looks at it.
async fn performed(scene: &Scene, step: &str, images: &[&Sample], status: &str) {
    let uid = SopInstanceUid::parse(step).unwrap();
    let first = images[0];
    scene.session.create_performed_step(&uid, &started(first.study().as_str())).await.unwrap();
    let instances: Vec<_> = images.iter().map(|image| image.sop_instance().to_string()).collect();
    let instances: Vec<_> = instances.iter().map(String::as_str).collect();
    let series = of_series(&first.uid(tags::SERIES_INSTANCE_UID), &instances);
    scene.session.set_performed_step(&uid, &ended(status, vec![series])).await.unwrap();
    look_at(scene, StepPerformed::of(&"CT1".parse().unwrap(), &uid).unwrap()).await;
}

async fn look_at(scene: &Scene, job: NewJob) {
    let payload = serde_json::from_str(&job.payload).unwrap();
    StepPerformed(scene.completion.clone()).run(payload, &HowFar::default()).await.unwrap();
}

/// The jobs of steps that wait for this series.
async fn waiting(scene: &Scene, series: &str) -> Vec<NewJob> {
    let series = SeriesInstanceUid::parse(series).unwrap();
    StepPerformed::waiting_for(&scene.work, &BTreeSet::from([&series])).await.unwrap()
}

fn said_by(step: &str) -> Vec<Evidence> {
    let step = SopInstanceUid::parse(step).unwrap();
    vec![Evidence::PerformedProcedureStep { calling: "CT1".parse().unwrap(), step }]
}

#[tokio::test]
async fn a_step_that_is_completed_behind_its_images_speaks_for_their_study() {
    let (scene, first) = (Scene::new().await, ct());
    let second = first.next(2);
    for image in [&first, &second] {
        fixture::store(&scene.session, image).await.unwrap();
    }
    performed(&scene, "2.25.1", &[&first, &second], "COMPLETED").await;
    assert_eq!(scene.jobs().await, ["forward", "webhook"]);
    let evidence: Vec<_> = scene.completed(&first.study()).await.all().cloned().collect();
    assert_eq!(evidence, said_by("2.25.1"));
    assert!(waiting(&scene, &first.uid(tags::SERIES_INSTANCE_UID)).await.is_empty());
}

#[tokio::test]
async fn the_last_image_of_a_completed_step_completes_its_study() {
    let (scene, first) = (Scene::new().await, ct());
    let second = first.next(2);
    fixture::store(&scene.session, &first).await.unwrap();
    performed(&scene, "2.25.1", &[&first, &second], "COMPLETED").await;
    let study = first.study();
    assert!(scene.work.registered_as(COMPLETE, study.as_str()).await.unwrap().is_none());
    fixture::store(&scene.session, &second).await.unwrap();
    assert!(waiting(&scene, "1.2.3").await.is_empty(), "of another series nothing is waited for");
    let series = first.uid(tags::SERIES_INSTANCE_UID);
    for job in waiting(&scene, &series).await {
        look_at(&scene, job).await;
    }
    let evidence: Vec<_> = scene.completed(&study).await.all().cloned().collect();
    assert_eq!(evidence, said_by("2.25.1"));
    assert!(waiting(&scene, &series).await.is_empty(), "it has come");
}

#[tokio::test]
async fn a_step_that_is_discontinued_or_goes_on_speaks_for_nothing() {
    for status in ["DISCONTINUED", "IN PROGRESS"] {
        let (scene, first) = (Scene::new().await, ct());
        fixture::store(&scene.session, &first).await.unwrap();
        performed(&scene, "2.25.1", &[&first], status).await;
        assert!(scene.jobs().await.is_empty());
        assert!(waiting(&scene, &first.uid(tags::SERIES_INSTANCE_UID)).await.is_empty());
    }
}

#[tokio::test]
async fn among_many_that_are_waited_for_those_that_come_are_found() {
    let (scene, first) = (Scene::new().await, ct());
    let line = json!({"calling": "CT1", "step": "2.25.9"}).to_string();
    let others =
        (0..300).map(|number| Entry::new(AWAITED_SERIES, format!("1.{number} 2.25.9"), line.clone()));
    scene.work.register(&others.collect::<Vec<_>>()).await.unwrap();
    performed(&scene, "2.25.1", &[&first], "COMPLETED").await;
    let found = waiting(&scene, &first.uid(tags::SERIES_INSTANCE_UID)).await;
    assert_eq!(found.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["2.25.1"]);
}
