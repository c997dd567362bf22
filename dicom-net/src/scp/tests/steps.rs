use std::time::Duration;

use dicom::dictionary_std::{tags, uids};
use dicom_store::fixture::step::{ended, of_series, started};
use dicom_store::model::{Attributes, Encoding, Tag, VR};
use dicom_store::queue::{Priority, Wanted};
use dicom_store::{PeerRight, PerformedStepStatus};
use rstest::rstest;

use super::peer::{EXPLICIT, Peer, Running, command, message, serve};
use crate::Config;
use crate::dimse::Status;

const STEP: &str = uids::MODALITY_PERFORMED_PROCEDURE_STEP;
const RETRIEVE: &str = uids::MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE;
const UID: &str = "2.25.1";

fn known() -> Config {
    Config { peers: vec!["WS1=127.0.0.1:1".parse().unwrap()], ..Config::default() }
}

fn written(attributes: &Attributes) -> Vec<u8> {
    attributes.write(Encoding::ExplicitLittle)
}

fn create(uid: &str, data: Option<&[u8]>) -> Vec<u8> {
    message(1, &command(STEP, 0x0140, data.is_some(), &[(0x1000, uid)]), data)
}

fn set(uid: &str, changes: &Attributes) -> Vec<u8> {
    message(1, &command(STEP, 0x0120, true, &[(0x1001, uid)]), Some(&written(changes)))
}

fn get(asked: &[Tag]) -> Vec<u8> {
    let halves = asked.iter().flat_map(|tag| [tag.0, tag.1]).flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let list = String::from_utf8(halves).unwrap();
    message(3, &command(RETRIEVE, 0x0110, false, &[(0x1001, UID), (0x1005, &list)]), None)
}

/// A peer that may be strange, which may make steps, and read them where it is known.
async fn peer(server: &Running, calling: &str) -> Peer {
    Peer::associate(server, calling, &[(STEP, EXPLICIT), (RETRIEVE, EXPLICIT)]).await
}

fn with(tag: Tag, vr: VR, value: &str) -> Vec<u8> {
    let mut asked = started("1.2");
    asked.put_text(tag, vr, value);
    written(&asked)
}

fn without(tag: Tag) -> Vec<u8> {
    let mut asked = started("1.2");
    asked.remove(tag);
    written(&asked)
}

#[rstest]
#[case::as_it_should_be(Some(written(&started("1.2"))), Status::SUCCESS)]
#[case::completed(
    Some(with(tags::PERFORMED_PROCEDURE_STEP_STATUS, VR::CS, "COMPLETED")),
    Status::INVALID_ATTRIBUTE_VALUE
)]
#[case::without_modality(Some(without(tags::MODALITY)), Status::MISSING_ATTRIBUTE)]
#[case::with_an_empty_one(Some(with(tags::MODALITY, VR::CS, "")), Status::MISSING_ATTRIBUTE_VALUE)]
#[case::without_anything(None, Status::MISSING_ATTRIBUTE)]
#[case::garbage(Some(vec![0xFF; 100]), Status::PROCESSING_FAILURE)]
#[case::too_long(Some(vec![0; 3 << 20]), Status::RESOURCE_LIMITATION)]
#[tokio::test]
async fn a_creation_is_answered_with_its_status(#[case] data: Option<Vec<u8>>, #[case] expected: Status) {
    let server = serve(Config::default()).await;
    let mut peer = peer(&server, "NEWCT").await;
    assert_eq!(peer.ask(&create(UID, data.as_deref())).await.0.status, expected);
    let is_there = server.session().performed_step(&UID.parse().unwrap()).await.is_ok();
    assert_eq!(is_there, expected == Status::SUCCESS);
    peer.release().await;
}

#[rstest]
#[case::taken(UID, Status::DUPLICATE_SOP_INSTANCE)]
#[case::none("NGUYEN^AN", Status::INVALID_SOP_INSTANCE)]
#[case::left_to_us("", Status::SUCCESS)]
#[tokio::test]
async fn a_step_has_a_uid_of_its_own(#[case] uid: &str, #[case] expected: Status) {
    let server = serve(Config::default()).await;
    let mut peer = peer(&server, "CT1").await;
    let data = written(&started("1.2"));
    assert_eq!(peer.ask(&create(UID, Some(&data))).await.0.status, Status::SUCCESS);
    assert_eq!(peer.ask(&create(uid, Some(&data))).await.0.status, expected);
    let steps = server.session().performed_steps_of(&"1.2".parse().unwrap()).await.unwrap();
    assert_eq!(steps.len(), if expected == Status::SUCCESS { 2 } else { 1 });
}

#[tokio::test]
async fn a_peer_that_may_not_store_makes_no_step() {
    let mut viewer: crate::Peer = "WS1=127.0.0.1:1".parse().unwrap();
    viewer.may = vec![PeerRight::Query];
    let server = serve(Config { peers: vec![viewer], ..Config::default() }).await;
    let mut peer = peer(&server, "WS1").await;
    let refused = peer.ask(&create(UID, Some(&written(&started("1.2"))))).await.0;
    assert_eq!(refused.status, Status::NOT_AUTHORIZED);
    let audit = server.session().audit(None, 1).await.unwrap();
    assert!(audit[0].1.outcome.contains("may not store"), "{audit:?}");
}

fn changes(tag: Tag, vr: VR, value: &str) -> Attributes {
    let mut changes = Attributes::new();
    changes.put_text(tag, vr, value);
    changes
}

#[rstest]
#[case::series(UID, ended("IN PROGRESS", vec![of_series("1.3", &["1.4"])]), Status::SUCCESS)]
#[case::no_series(UID, ended("COMPLETED", Vec::new()), Status::MISSING_ATTRIBUTE_VALUE)]
#[case::no_state(
    UID,
    changes(tags::PERFORMED_PROCEDURE_STEP_STATUS, VR::CS, "DONE"),
    Status::INVALID_ATTRIBUTE_VALUE
)]
#[case::other_patient(UID, changes(tags::PATIENT_ID, VR::LO, "78"), Status::ATTRIBUTE_LIST_ERROR)]
#[case::unknown("2.25.404", ended("COMPLETED", vec![of_series("1.3", &[])]), Status::NO_SUCH_SOP_INSTANCE)]
#[case::none("", ended("COMPLETED", vec![of_series("1.3", &[])]), Status::INVALID_SOP_INSTANCE)]
#[tokio::test]
async fn a_change_is_answered_with_its_status(
    #[case] uid: &str,
    #[case] changes: Attributes,
    #[case] expected: Status,
) {
    let server = serve(Config::default()).await;
    let mut peer = peer(&server, "CT1").await;
    let created = peer.ask(&create(UID, Some(&written(&started("1.2"))))).await.0;
    assert_eq!(created.status, Status::SUCCESS);
    assert_eq!(peer.ask(&set(uid, &changes)).await.0.status, expected);
    let step = server.session().performed_step(&UID.parse().unwrap()).await.unwrap();
    assert_eq!(step.status, PerformedStepStatus::InProgress);
    peer.release().await;
}

#[rstest]
#[case("COMPLETED", PerformedStepStatus::Completed, 1)]
#[case("DISCONTINUED", PerformedStepStatus::Discontinued, 0)]
#[tokio::test]
async fn a_step_that_is_completed_is_looked_at_and_ends_once(
    #[case] term: &str,
    #[case] status: PerformedStepStatus,
    #[case] jobs: usize,
) {
    let server = serve(Config::default()).await;
    let mut peer = peer(&server, "CT1").await;
    peer.ask(&create(UID, Some(&written(&started("1.2"))))).await;
    let end = set(UID, &ended(term, vec![of_series("1.3", &["1.4"])]));
    assert_eq!(peer.ask(&end).await.0.status, Status::SUCCESS);
    assert_eq!(peer.ask(&end).await.0.status, Status::PROCESSING_FAILURE);
    let step = server.session().performed_step(&UID.parse().unwrap()).await.unwrap();
    assert_eq!(step.status, status);
    let wanted = Wanted { kinds: &["step-performed"], least: Priority::Batch, limit: 10 };
    let due = server.archive().work().lease(wanted, Duration::from_secs(60)).await.unwrap();
    assert_eq!(due.len(), jobs);
}

#[tokio::test]
async fn what_is_known_of_a_step_is_told_to_whoever_may_ask() {
    let server = serve(known()).await;
    let mut modality = peer(&server, "CT1").await;
    let name = with(tags::PATIENT_NAME, VR::PN, "NGUYỄN^ĐỨC");
    modality.ask(&create(UID, Some(&name))).await;
    assert_eq!(modality.ask(&get(&[])).await.0.status, Status::NOT_AUTHORIZED);
    let mut reader = peer(&server, "WS1").await;
    let mut ask = async |asked: &[Tag]| {
        reader.send(&get(asked)).await;
        let (response, data) = reader.response().await;
        (response.status, data.unwrap())
    };
    let (status, all) = ask(&[]).await;
    assert_eq!(status, Status::SUCCESS);
    assert_eq!(all.uid(tags::SOP_INSTANCE_UID), Some(UID));
    assert_eq!(
        all.items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE)[0].uid(tags::STUDY_INSTANCE_UID),
        Some("1.2")
    );
    let (status, one) = ask(&[tags::SPECIFIC_CHARACTER_SET, tags::PATIENT_NAME]).await;
    assert_eq!((status, one.len()), (Status::SUCCESS, 2));
    assert_eq!(one.text(tags::PATIENT_NAME).as_deref(), Some("NGUYỄN^ĐỨC"));
    let (status, some) = ask(&[tags::MODALITY, tags::ADMISSION_ID]).await;
    assert_eq!((status, some.len()), (Status::ATTRIBUTES_NOT_SUPPORTED, 1));
}

#[rstest]
#[case::read(1, STEP, 0x0110)]
#[case::deleted(1, STEP, 0x0150)]
#[case::acted_on(1, STEP, 0x0130)]
#[case::made(3, RETRIEVE, 0x0140)]
#[case::changed(3, RETRIEVE, 0x0120)]
#[tokio::test]
async fn operations_of_another_class_are_refused(
    #[case] context: u8,
    #[case] class: &str,
    #[case] field: u16,
) {
    let server = serve(known()).await;
    let mut peer = peer(&server, "WS1").await;
    let message = message(context, &command(class, field, false, &[(0x1001, UID)]), None);
    assert_eq!(peer.ask(&message).await.0.status, Status::UNRECOGNIZED_OPERATION);
    peer.release().await;
}
