//! Which instances the identifier of a retrieve selects (PS3.4 §C.4.2.2).

use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::{Attributes, VR};
use rstest::rstest;
use tokio::net::TcpListener;

use super::peer::{EXPLICIT, PATIENT_ROOT_MOVE, Peer, Running, called, command, message, serve};
use super::services::identifier;
use crate::Config;
use crate::dimse::{Request, Response, Status};
use crate::ul::Received;

async fn server(config: Config, destination: &TcpListener) -> Running {
    let destination = format!("THERE={}", destination.local_addr().unwrap()).parse().unwrap();
    serve(Config { peers: vec!["WS1=127.0.0.1:1".parse().unwrap(), destination], ..config }).await
}

/// How many instances of a study come when it is asked for in the Patient Root with this Patient ID, and the status.
async fn brought(server: &Running, listener: &TcpListener, of: &Sample, id: Option<&str>) -> (usize, Status) {
    let (response, _) = moved(server, listener, of, id).await;
    (response.counts().map_or(0, |counts| counts.completed), response.status)
}

/// The final response to whoever has a study moved, with its data set.
async fn moved(
    server: &Running,
    listener: &TcpListener,
    of: &Sample,
    id: Option<&str>,
) -> (Response, Option<Attributes>) {
    let study = of.study();
    let mut keys = vec![(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str())];
    keys.extend(id.map(|id| (tags::PATIENT_ID, VR::LO, id)));
    let command = command(PATIENT_ROOT_MOVE, 0x21, true, &[(0x0600, "THERE")]);
    let asked = message(1, &command, Some(&identifier("STUDY", &keys)));
    let mut peer = Peer::associate(server, "WS1", &[(PATIENT_ROOT_MOVE, EXPLICIT)]).await;
    let taking = async {
        let mut association = called(listener).await;
        while let Ok(Received::Command { context, command }) = association.reader.next().await {
            let Some(Request::CStore(request)) = Request::read(command) else { panic!() };
            while !association.reader.data(context).await.unwrap().is_last {}
            association.writer.queue(
                context,
                &Response::new(&request.identity, Status::SUCCESS).write(),
                None,
            );
            association.writer.flush().await.unwrap();
        }
        association.answer_release().await.unwrap();
        std::future::pending::<()>().await
    };
    peer.send(&asked).await;
    let answered = async {
        loop {
            let (response, data_set) = peer.response().await;
            if !response.status.is_pending() {
                return (response, data_set);
            }
        }
    };
    tokio::select! {
        answered = answered => answered,
        () = taking => unreachable!(),
    }
}

#[rstest]
#[case::of_whoever_it_is("")]
#[case::of_the_patient("77")]
#[tokio::test]
async fn what_is_damaged_has_failed_and_is_named(#[case] id: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(Config::default(), &listener).await;
    let (whole, alone) = (ct().patient_id("77"), ct().patient_id("77"));
    let lost = whole.next(2);
    for sample in [&whole, &lost, &alone] {
        fixture::store(&server.session(), sample).await.unwrap();
    }
    for sample in [&lost, &alone] {
        fixture::damage(server.archive(), sample).await;
    }
    let of = |sample: &Sample| Some(sample.sop_instance().as_str().to_owned());
    let failed = |data_set: Option<Attributes>| {
        data_set.and_then(|list| list.uid(tags::FAILED_SOP_INSTANCE_UID_LIST).map(str::to_owned))
    };
    let (response, list) = moved(&server, &listener, &whole, Some(id)).await;
    let counts = response.counts().unwrap();
    assert_eq!((response.status, counts.completed, counts.failed), (Status::WARNING, 1, 1));
    assert_eq!(failed(list), of(&lost));
    // Nothing of the study is shown.
    let (response, list) = moved(&server, &listener, &alone, Some(id)).await;
    let counts = response.counts().unwrap();
    assert_eq!((response.status, counts.failed), (Status::UNABLE_TO_PERFORM_SUB_OPERATIONS, 1));
    assert_eq!(failed(list), of(&alone));
}

#[tokio::test]
async fn what_is_damaged_has_failed_where_one_patient_id_is_two_patients() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(Config::default(), &listener).await;
    let of_issuer = |issuer| ct().patient_id("77").with(tags::ISSUER_OF_PATIENT_ID, VR::LO, issuer);
    let (whole, other) = (of_issuer("HERE"), of_issuer("THERE"));
    let lost = whole.next(2);
    for sample in [&whole, &lost, &other] {
        fixture::store(&server.session(), sample).await.unwrap();
    }
    fixture::damage(server.archive(), &lost).await;
    let (response, list) = moved(&server, &listener, &whole, Some("77")).await;
    let counts = response.counts().unwrap();
    assert_eq!((response.status, counts.completed, counts.failed), (Status::WARNING, 1, 1));
    let failed = list.and_then(|list| list.uid(tags::FAILED_SOP_INSTANCE_UID_LIST).map(str::to_owned));
    assert_eq!(failed, Some(lost.sop_instance().to_string()));
}

#[rstest]
#[case::of_the_patient("77", false, Some("77"), (1, Status::SUCCESS))]
#[case::of_another_patient("77", false, Some("NOBODY"), (0, Status::SUCCESS))]
#[case::of_whoever_it_is("77", false, Some(""), (1, Status::SUCCESS))]
#[case::without_the_key("77", false, None, (0, Status::DOES_NOT_MATCH_SOP_CLASS))]
#[case::a_study_without_a_patient_id("", false, Some(""), (1, Status::SUCCESS))]
#[case::a_study_without_a_patient_id_is_of_nobody("", false, Some("77"), (0, Status::SUCCESS))]
#[case::unless_what_is_unknown_matches("", true, Some("77"), (1, Status::SUCCESS))]
#[tokio::test]
async fn the_patient_id_above_a_study_selects(
    #[case] stored: &str,
    #[case] unknown_matches: bool,
    #[case] asked: Option<&str>,
    #[case] expected: (usize, Status),
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(Config { unknown_matches, ..Config::default() }, &listener).await;
    let sample = ct().patient_id(stored);
    fixture::store(&server.session(), &sample).await.unwrap();
    assert_eq!(brought(&server, &listener, &sample, asked).await, expected);
}
