use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, ct};
use dicom_store::model::{Attributes, Encoding, SopInstanceUid};
use rstest::rstest;

use super::peer::{CT, EXPLICIT, Peer, command, message, p_data, serve};
use crate::Config;
use crate::commitment::{STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, asked_for};
use crate::dimse::{Request, Status};

const N_ACTION: u16 = 0x0130;
/// Action Type ID 1, as the two bytes of its value.
const REQUEST: &str = "\u{1}\0";

fn known() -> Config {
    Config { peers: vec!["WS1=127.0.0.1:1".parse().unwrap()], ..Config::default() }
}

fn action(instance: &str, action_type: &str, information: Option<&[u8]>) -> Vec<u8> {
    let more = [(0x1001, instance), (0x1008, action_type)];
    message(1, &command(STORAGE_COMMITMENT, N_ACTION, information.is_some(), &more), information)
}

fn asked(references: &[(&str, &str)]) -> Vec<u8> {
    asked_for("2.25.9", references).write(Encoding::ExplicitLittle)
}

/// The report that comes next.
async fn report(peer: &mut Peer) -> Attributes {
    let (_, body) = peer.pdu().await.unwrap();
    let Some(Request::NEventReport(request)) = Request::read(Bytes::from(body).slice(6..)) else {
        panic!("no N-EVENT-REPORT");
    };
    assert_eq!(request.identity.sop_instance, WELL_KNOWN_INSTANCE);
    let (_, body) = peer.pdu().await.unwrap();
    let information = Attributes::read(Bytes::from(body).slice(6..), Encoding::ExplicitLittle).unwrap();
    let mut answer = command(STORAGE_COMMITMENT, 0x8100, false, &[(0x0900, "\0\0")]);
    // It answers message 1, the first that we have sent.
    let at = answer.windows(4).position(|tag| tag == [0, 0, 0x20, 0x01]).unwrap();
    answer[at + 8] = 1;
    peer.send(&p_data(1, 3, &answer)).await;
    information
}

fn named(information: &Attributes, tag: dicom_store::model::Tag) -> Vec<(SopInstanceUid, Option<i64>)> {
    let items = information.items(tag).iter();
    let uid = |item: &Attributes| item.uid(tags::REFERENCED_SOP_INSTANCE_UID).unwrap().parse().unwrap();
    items.map(|item| (uid(item), item.int(tags::FAILURE_REASON))).collect()
}

#[tokio::test]
async fn what_is_kept_is_committed_to_on_the_association_of_the_request() {
    let server = serve(known()).await;
    let (first, other) = (ct(), ct());
    for sample in [&first, &other] {
        fixture::store(&server.session(), sample).await.unwrap();
    }
    // The UID is taken: what comes now is kept aside.
    fixture::store(&server.session(), &other.clone().name("OTHER")).await.unwrap();
    let mut peer = Peer::associate(&server, "WS1", &[(STORAGE_COMMITMENT, EXPLICIT)]).await;
    let (kept, contested) = (first.sop_instance(), other.sop_instance());
    let list = asked(&[(CT, kept.as_str()), (CT, contested.as_str()), (CT, "2.25.404")]);
    let (response, _) = peer.ask(&action(WELL_KNOWN_INSTANCE, REQUEST, Some(&list))).await;
    assert_eq!(response.status, Status::SUCCESS);
    let information = report(&mut peer).await;
    assert_eq!(information.uid(tags::TRANSACTION_UID), Some("2.25.9"));
    assert_eq!(named(&information, tags::REFERENCED_SOP_SEQUENCE), [(kept, None)]);
    let failed = [(contested, Some(0x0110)), ("2.25.404".parse().unwrap(), Some(0x0112))];
    assert_eq!(named(&information, tags::FAILED_SOP_SEQUENCE), failed);
    peer.release().await;
}

#[rstest]
#[case::stranger("CT1", WELL_KNOWN_INSTANCE, REQUEST, Some(asked(&[(CT, "1.2")])), Status::NOT_AUTHORIZED)]
#[case::instance("WS1", "1.2.3", REQUEST, Some(asked(&[(CT, "1.2")])), Status::NO_SUCH_SOP_INSTANCE)]
#[case::action("WS1", WELL_KNOWN_INSTANCE, "\u{2}\0", Some(asked(&[(CT, "1.2")])), Status::NO_SUCH_ACTION_TYPE)]
#[case::nothing("WS1", WELL_KNOWN_INSTANCE, REQUEST, None, Status::INVALID_ARGUMENT_VALUE)]
#[case::empty("WS1", WELL_KNOWN_INSTANCE, REQUEST, Some(asked(&[])), Status::INVALID_ARGUMENT_VALUE)]
#[case::garbage("WS1", WELL_KNOWN_INSTANCE, REQUEST, Some(vec![0xFF; 100]), Status::PROCESSING_FAILURE)]
#[case::too_long("WS1", WELL_KNOWN_INSTANCE, REQUEST, Some(vec![0; 3 << 20]), Status::RESOURCE_LIMITATION)]
#[tokio::test]
async fn a_request_that_cannot_be_is_refused_and_the_association_stands(
    #[case] calling: &str,
    #[case] instance: &str,
    #[case] action_type: &str,
    #[case] information: Option<Vec<u8>>,
    #[case] expected: Status,
) {
    let server = serve(known()).await;
    let mut peer = Peer::associate(&server, calling, &[(STORAGE_COMMITMENT, EXPLICIT)]).await;
    let (response, _) = peer.ask(&action(instance, action_type, information.as_deref())).await;
    assert_eq!(response.status, expected);
    peer.release().await;
}

#[rstest]
#[case::stranger("CT1", Some(asked(&[(CT, "1.2")])), Status::NOT_AUTHORIZED)]
#[case::nobody_has_asked("WS1", Some(asked(&[(CT, "1.2")])), Status::INVALID_ARGUMENT_VALUE)]
#[case::nothing("WS1", None, Status::INVALID_ARGUMENT_VALUE)]
#[case::too_long("WS1", Some(vec![0; 3 << 20]), Status::RESOURCE_LIMITATION)]
#[tokio::test]
async fn a_report_that_cannot_be_is_refused_and_the_association_stands(
    #[case] calling: &str,
    #[case] event: Option<Vec<u8>>,
    #[case] expected: Status,
) {
    let server = serve(known()).await;
    let mut peer = Peer::associate(&server, calling, &[(STORAGE_COMMITMENT, EXPLICIT)]).await;
    let more = [(0x1000, WELL_KNOWN_INSTANCE), (0x1002, "\u{1}\0")];
    let report = command(STORAGE_COMMITMENT, 0x0100, event.is_some(), &more);
    let (response, _) = peer.ask(&message(1, &report, event.as_deref())).await;
    assert_eq!(response.status, expected);
    peer.release().await;
}
