use std::collections::HashMap;

use dicom::dictionary_std::tags;
use dicom_store::Peer as RemoteAe;
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::{Attributes, Encoding, Resource, VR};
use dicom_ul::pdu::{RequestorRoles, UserVariableItem};
use rstest::rstest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::destination::Sent;
use worker::{CpuPool, Destination};

use super::peer::{
    CT, EXPLICIT, FIND, GET, MOVE, PATIENT_ROOT_MOVE, Peer, Running, VERIFICATION, command, message, p_data,
    serve,
};
use crate::Config;
use crate::destination::DimseDestination;
use crate::dimse::Status;

pub(super) fn known() -> Config {
    let peers = ["WS1=127.0.0.1:1", "WS2=192.0.2.1:1"].map(|peer| peer.parse().unwrap()).to_vec();
    Config { peers, ..Config::default() }
}

pub(super) fn store_message(sample: &Sample) -> Vec<u8> {
    store_on(1, sample)
}

fn store_on(context: u8, sample: &Sample) -> Vec<u8> {
    let command = command(CT, 1, true, &[(0x1000, sample.sop_instance().as_str())]);
    message(context, &command, Some(&sample.data_set()))
}

pub(super) fn identifier(level: &str, keys: &[(dicom_store::model::Tag, VR, &str)]) -> Vec<u8> {
    let mut identifier = Attributes::new();
    identifier.put_text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, level);
    keys.iter().for_each(|(tag, vr, value)| identifier.put_text(*tag, *vr, value));
    identifier.write(Encoding::ExplicitLittle)
}

pub(super) fn find_message(identifier: &[u8]) -> Vec<u8> {
    message(1, &command(FIND, 0x20, true, &[]), Some(identifier))
}

async fn status(server: &Running, calling: &str, class: &str, message: &[u8]) -> Status {
    let mut peer = Peer::associate(server, calling, &[(class, EXPLICIT)]).await;
    peer.ask(message).await.0.status
}

#[tokio::test]
async fn an_unknown_peer_stores_and_the_object_is_there() {
    let server = serve(Config::default()).await;
    let sample = ct().size(512, 512);
    assert_eq!(status(&server, "NEWCT", CT, &store_message(&sample)).await, Status::SUCCESS);
    let stored = server.session().instances(&Resource::Study(sample.study())).await.unwrap();
    assert_eq!(stored[0].data_set_length(), sample.data_set().len() as u64);
    assert_eq!(status(&server, "NEWCT", CT, &store_message(&sample)).await, Status::SUCCESS);
}

#[tokio::test]
async fn a_refused_data_set_leaves_the_association_standing() {
    let server = serve(Config::default()).await;
    let mut peer = Peer::associate(&server, "CT1", &[(CT, EXPLICIT)]).await;
    let sample = ct();
    let other_uid = command(CT, 1, true, &[(0x1000, "1.2.840.99")]);
    let (response, _) = peer.ask(&message(1, &other_uid, Some(&sample.data_set()))).await;
    assert_eq!(response.status, Status::DOES_NOT_MATCH_SOP_CLASS);
    let (response, _) = peer.ask(&message(1, &other_uid, Some(&[0xFF; 3000]))).await;
    assert_eq!(response.status, Status::CANNOT_UNDERSTAND);
    let no_uid = command(CT, 1, true, &[(0x1000, "no uid")]);
    let (response, _) = peer.ask(&message(1, &no_uid, Some(&sample.data_set()))).await;
    assert_eq!(response.status, Status::INVALID_SOP_INSTANCE);
    let other_class = command("1.2.840.10008.5.1.4.1.1.4", 1, true, &[(0x1000, "1.2.840.99")]);
    let (response, _) = peer.ask(&message(1, &other_class, Some(&sample.data_set()))).await;
    assert_eq!(response.status, Status::SOP_CLASS_NOT_SUPPORTED);
    assert_eq!(peer.ask(&store_message(&sample)).await.0.status, Status::SUCCESS);
}

#[tokio::test]
async fn a_store_that_breaks_off_leaves_nothing() {
    let server = serve(Config::default()).await;
    let sample = ct();
    let mut peer = Peer::associate(&server, "CT1", &[(CT, EXPLICIT)]).await;
    let all = store_message(&sample);
    peer.send(&all[..all.len() - 10]).await;
    peer.send(&[]).await;
    drop(peer);
    // The same object is new to the archive afterwards: nothing of it was kept.
    let stored = fixture::store(&server.session(), &sample).await.unwrap();
    assert!(matches!(stored, dicom_store::Stored::New(_)));
}

#[rstest]
#[case::no_operation_of_the_class(VERIFICATION, 0x20, Status::UNRECOGNIZED_OPERATION)]
#[case::unknown_command(VERIFICATION, 0x0140, Status::UNRECOGNIZED_OPERATION)]
#[case::echo(VERIFICATION, 0x30, Status::SUCCESS)]
#[tokio::test]
async fn each_command_is_answered(#[case] class: &str, #[case] field: u16, #[case] expected: Status) {
    let server = serve(Config::default()).await;
    assert_eq!(
        status(&server, "CT1", class, &message(1, &command(class, field, false, &[]), None)).await,
        expected
    );
}

#[tokio::test]
async fn a_query_gives_what_was_asked_for_in_utf_8() {
    let server = serve(known()).await;
    let sample = ct().name("Nguyễn^An");
    fixture::store(&server.session(), &sample).await.unwrap();
    let mut peer = Peer::associate(&server, "WS1", &[(FIND, EXPLICIT)]).await;
    let keys = [(tags::PATIENT_NAME, VR::PN, "nguyen*"), (tags::ACCESSION_NUMBER, VR::SH, "")];
    peer.send(&find_message(&identifier("STUDY", &keys))).await;
    let (pending, row) = peer.response().await;
    let row = row.unwrap();
    assert_eq!(pending.status, Status::PENDING);
    assert_eq!(row.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
    assert_eq!(row.text(tags::PATIENT_NAME).as_deref(), Some("Nguyễn^An"));
    assert_eq!(row.text(tags::RETRIEVE_AE_TITLE).as_deref(), Some("FILMLESS"));
    assert!(row.get(tags::ACCESSION_NUMBER).unwrap().value.is_empty());
    assert_eq!(row.len(), 5, "{row:?}");
    assert_eq!(peer.response().await.0.status, Status::SUCCESS);
}

#[rstest]
#[case::stranger("CT1", "STUDY", &[], Status::NOT_AUTHORIZED)]
#[case::no_level("WS1", "", &[], Status::DOES_NOT_MATCH_SOP_CLASS)]
#[case::level_of_another_model("WS1", "PATIENT", &[], Status::DOES_NOT_MATCH_SOP_CLASS)]
#[case::no_unique_key_above("WS1", "SERIES", &[], Status::DOES_NOT_MATCH_SOP_CLASS)]
#[case::list_above("WS1", "SERIES", &[(tags::STUDY_INSTANCE_UID, VR::UI, "1.2\\1.3")], Status::DOES_NOT_MATCH_SOP_CLASS)]
#[case::no_date("WS1", "STUDY", &[(tags::STUDY_DATE, VR::DA, "yesterday")], Status::DOES_NOT_MATCH_SOP_CLASS)]
#[case::nothing_there("WS1", "STUDY", &[(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.840")], Status::SUCCESS)]
#[tokio::test]
async fn a_query_that_cannot_be_is_refused(
    #[case] calling: &str,
    #[case] level: &str,
    #[case] keys: &[(dicom_store::model::Tag, VR, &str)],
    #[case] expected: Status,
) {
    let server = serve(known()).await;
    assert_eq!(status(&server, calling, FIND, &find_message(&identifier(level, keys))).await, expected);
}

#[tokio::test]
async fn an_unsupported_key_is_left_out_and_said_so() {
    let server = serve(known()).await;
    fixture::store(&server.session(), &ct()).await.unwrap();
    let mut peer = Peer::associate(&server, "WS1", &[(FIND, EXPLICIT)]).await;
    let keys = [(tags::ROWS, VR::US, ""), (dicom_store::model::Tag(0x0009, 0x1001), VR::LO, "x")];
    peer.send(&find_message(&identifier("STUDY", &keys))).await;
    let (pending, row) = peer.response().await;
    assert_eq!(pending.status, Status::PENDING_WITH_WARNING);
    assert_eq!(row.unwrap().len(), 2);
}

#[tokio::test]
async fn a_cancel_ends_a_query() {
    let server = serve(known()).await;
    fixture::store(&server.session(), &ct()).await.unwrap();
    let mut peer = Peer::associate(&server, "WS1", &[(FIND, EXPLICIT)]).await;
    let cancel = p_data(1, 3, &command(FIND, 0x0FFF, false, &[]));
    let both = [find_message(&identifier("STUDY", &[])), cancel].concat();
    assert_eq!(peer.ask(&both).await.0.status, Status::CANCEL);
    assert_eq!(peer.ask(&find_message(&identifier("STUDY", &[]))).await.0.status, Status::SUCCESS);
}

pub(super) fn move_message(destination: &str, sample: &Sample) -> Vec<u8> {
    let study = sample.study();
    let identifier = identifier("STUDY", &[(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str())]);
    message(1, &command(MOVE, 0x21, true, &[(0x0600, destination)]), Some(&identifier))
}

#[tokio::test]
async fn a_move_brings_instances_to_the_destination() {
    let theirs = serve(Config { ae_title: "THEIRS".parse().unwrap(), ..Config::default() }).await;
    let peers =
        vec!["WS1=127.0.0.1:1".parse().unwrap(), format!("THEIRS={}", theirs.address).parse().unwrap()];
    let ours = serve(Config { peers, ..Config::default() }).await;
    let first = ct().size(300, 300);
    let samples = [first.clone(), first.next(2), first.next(3)];
    for sample in &samples {
        fixture::store(&ours.session(), sample).await.unwrap();
    }
    assert_eq!(status(&ours, "WS1", MOVE, &move_message("THEIRS", &first)).await, Status::SUCCESS);
    let arrived = theirs.session().instances(&Resource::Study(first.study())).await.unwrap();
    assert_eq!(arrived.len(), 3);
    let bytes = theirs.session().read(&arrived[0], arrived[0].data_set..arrived[0].location.length).await;
    assert!(bytes.unwrap() == first.data_set(), "the data set changed on its way");
}

#[tokio::test]
async fn a_patient_is_brought_by_identifier_and_issuer() {
    let theirs = serve(Config { ae_title: "THEIRS".parse().unwrap(), ..Config::default() }).await;
    let peers =
        vec!["WS1=127.0.0.1:1".parse().unwrap(), format!("THEIRS={}", theirs.address).parse().unwrap()];
    let ours = serve(Config { peers, ..Config::default() }).await;
    let of = |issuer| ct().patient_id("77").with(tags::ISSUER_OF_PATIENT_ID, VR::LO, issuer);
    let (wanted, other) = (of("H1"), of("H2"));
    for sample in [&wanted, &other] {
        fixture::store(&ours.session(), sample).await.unwrap();
    }
    let asked = |issuer| {
        let keys = [(tags::PATIENT_ID, VR::LO, "77"), (tags::ISSUER_OF_PATIENT_ID, VR::LO, issuer)];
        let command = command(PATIENT_ROOT_MOVE, 0x21, true, &[(0x0600, "THEIRS")]);
        message(1, &command, Some(&identifier("PATIENT", &keys)))
    };
    let refused = status(&ours, "WS1", PATIENT_ROOT_MOVE, &asked("")).await;
    assert_eq!(refused, Status::DOES_NOT_MATCH_SOP_CLASS);
    assert_eq!(status(&ours, "WS1", PATIENT_ROOT_MOVE, &asked("H1")).await, Status::SUCCESS);
    assert!(theirs.session().instances(&Resource::Study(wanted.study())).await.is_ok());
    assert!(theirs.session().instances(&Resource::Study(other.study())).await.is_err());
}

#[tokio::test]
async fn a_move_that_cannot_be_says_why() {
    let unreachable = "DEAF=127.0.0.1:1".parse().unwrap();
    let peers = vec!["WS1=127.0.0.1:1".parse().unwrap(), unreachable];
    let server = serve(Config { peers, ..Config::default() }).await;
    let sample = ct();
    fixture::store(&server.session(), &sample).await.unwrap();
    let unknown = status(&server, "WS1", MOVE, &move_message("NOBODY", &sample)).await;
    assert_eq!(unknown, Status::MOVE_DESTINATION_UNKNOWN);
    let stranger = status(&server, "CT1", MOVE, &move_message("WS1", &sample)).await;
    assert_eq!(stranger, Status::NOT_AUTHORIZED);

    let mut peer = Peer::associate(&server, "WS1", &[(MOVE, EXPLICIT)]).await;
    peer.send(&move_message("DEAF", &sample)).await;
    let (mut response, mut data) = peer.response().await;
    while response.status.is_pending() {
        (response, data) = peer.response().await;
    }
    assert_eq!(response.status, Status::UNABLE_TO_PERFORM_SUB_OPERATIONS);
    let failed = data.unwrap().texts(tags::FAILED_SOP_INSTANCE_UID_LIST);
    assert_eq!(failed, [sample.sop_instance().to_string()]);
}

/// Without a role of SCP the requestor of a C-GET takes no C-STORE; storing with us is what the context is for all the same
/// (PS3.7 §D.3.3.4).
#[rstest]
#[case::nothing_is_said(None)]
#[case::scu_alone(Some(RequestorRoles { scu: true, scp: false }))]
#[tokio::test]
async fn a_get_without_the_role_of_an_scp_fails_for_each_instance(#[case] roles: Option<RequestorRoles>) {
    let server = serve(known()).await;
    let sample = ct();
    for sample in [&sample, &sample.next(2)] {
        fixture::store(&server.session(), sample).await.unwrap();
    }
    let role = |roles| UserVariableItem::ScuScpRoleSelectionSubItem(CT.to_owned(), roles);
    let variables = roles.map(role).into_iter().collect();
    let mut peer = Peer::associate_with(&server, "WS1", &[(GET, EXPLICIT), (CT, EXPLICIT)], variables).await;
    let study = identifier("STUDY", &[(tags::STUDY_INSTANCE_UID, VR::UI, sample.study().as_str())]);
    peer.send(&message(1, &command(GET, 0x10, true, &[]), Some(&study))).await;
    let (response, data) = peer.response().await;
    assert_eq!(response.status, Status::UNABLE_TO_PERFORM_SUB_OPERATIONS);
    let failed = data.unwrap().texts(tags::FAILED_SOP_INSTANCE_UID_LIST);
    assert_eq!(failed.len(), 2);
    assert!(failed.contains(&sample.sop_instance().to_string()));
    assert_eq!(peer.ask(&store_on(3, &sample.next(3))).await.0.status, Status::SUCCESS);
    peer.release().await;
}

#[tokio::test]
async fn an_echo_asks_a_peer_and_tells_when_nobody_is_there() {
    let server = serve(Config::default()).await;
    let peer = format!("FILMLESS={}", server.address).parse().unwrap();
    assert!(crate::echo(&Config::default(), &peer).await.is_ok());
    let wrong_title = format!("OTHER={}", server.address).parse().unwrap();
    let error = crate::echo(&Config::default(), &wrong_title).await.unwrap_err();
    assert!(error.to_string().contains("called AE title not recognized"), "{error}");
    let nobody = "FILMLESS=127.0.0.1:1".parse().unwrap();
    assert!(crate::echo(&Config::default(), &nobody).await.is_err());
}

#[tokio::test]
async fn a_destination_tells_what_became_of_each_instance() {
    let theirs = serve(Config { ae_title: "THEIRS".parse().unwrap(), ..Config::default() }).await;
    let ours = serve(Config::default()).await;
    let sample = ct();
    let stored = fixture::store(&ours.session(), &sample).await.unwrap();
    let film = ct().with(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.1.9");
    let refused = fixture::store(&ours.session(), &film).await.unwrap();
    let instances = [stored.instance().clone(), refused.instance().clone()];
    let destination = |address: &str| {
        let peer: RemoteAe = format!("THEIRS={address}").parse().unwrap();
        let config = Config { peers: vec![peer.clone()], ..Config::default() };
        let (work, pool) = (ours.archive().work(), CpuPool::new(1).unwrap());
        let peers = crate::Peers::new(&config, work.clone());
        DimseDestination::new(&peer, peers, pool, config.into(), work)
    };
    let (session, stop) = (ours.session(), CancellationToken::new());
    let (told, mut heard) = mpsc::channel(8);
    let theirs = destination(&theirs.address.to_string());
    theirs.send(&session, &instances, told, &stop).await.unwrap();
    let mut sent = HashMap::new();
    while let Some((instance, outcome)) = heard.recv().await {
        sent.insert(instance, outcome);
    }
    assert_eq!(sent[&sample.sop_instance()], Sent::Delivered);
    assert!(matches!(sent[&film.sop_instance()], Sent::Refused(_)));
    let (told, _heard) = mpsc::channel(8);
    assert!(destination("127.0.0.1:1").send(&session, &instances, told, &stop).await.is_err());
}
