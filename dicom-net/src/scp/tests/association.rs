use std::time::Duration;

use dicom_store::fixture::ct;
use dicom_ul::pdu::UserVariableItem;
use rstest::rstest;

use super::peer::{
    CT, EXPLICIT, FIND, IMPLICIT, Peer, Running, VERIFICATION, command, message, p_data, request,
    request_with, serve,
};
use crate::Config;
use crate::dimse::Status;

fn abort(source: u8, reason: u8) -> Option<(u8, Vec<u8>)> {
    Some((7, vec![0, 0, source, reason]))
}

#[tokio::test]
async fn a_silent_connection_is_closed_by_artim() {
    let server = serve(Config { artim_s: 1, ..Config::default() }).await;
    let mut silent = Peer::connect(&server).await;
    let mut halting = Peer::connect(&server).await;
    halting.send(&request("CT1", &[(VERIFICATION, IMPLICIT)])[..50]).await;
    assert_eq!(silent.pdu().await, None);
    assert_eq!(halting.pdu().await, None);
}

#[tokio::test]
async fn silent_connections_give_way_to_those_that_speak() {
    let server = serve(Config { max_waiting: 2, ..Config::default() }).await;
    let mut oldest = Peer::connect(&server).await;
    let _silent = (Peer::connect(&server).await, Peer::connect(&server).await);
    let mut speaking = Peer::associate(&server, "CT1", &[(VERIFICATION, IMPLICIT)]).await;
    assert_eq!(oldest.pdu().await, None);
    let echo = message(1, &command(VERIFICATION, 0x30, false, &[]), None);
    assert_eq!(speaking.ask(&echo).await.0.status, Status::SUCCESS);
}

#[tokio::test]
async fn one_association_too_many_is_rejected_until_another_ends() {
    let server = serve(Config { max_associations: 1, ..Config::default() }).await;
    let contexts = [(VERIFICATION, IMPLICIT)];
    let mut first = Peer::associate(&server, "CT1", &contexts).await;
    let mut second = Peer::connect(&server).await;
    second.send(&request("CT2", &contexts)).await;
    assert_eq!(second.pdu().await, Some((3, vec![0, 2, 3, 2])));
    first.release().await;
    // The first peer has not closed its connection yet.
    let mut third = Peer::associate(&server, "CT3", &contexts).await;
    third.release().await;
}

#[rstest]
#[case::unknown_type(vec![0x4F, 0, 0, 0, 0, 4, 1, 2, 3, 4], 2, 1)]
#[case::second_request(request("CT1", &[(VERIFICATION, IMPLICIT)]), 2, 2)]
#[case::release_reply(vec![6, 0, 0, 0, 0, 4, 0, 0, 0, 0], 2, 2)]
#[case::two_gib(vec![4, 0, 0x7F, 0xFF, 0xFF, 0xF0, 0, 0, 0, 8, 1, 3], 2, 6)]
#[case::context_not_accepted(p_data(9, 3, b"ab"), 2, 6)]
#[case::data_first(p_data(1, 2, b"ab"), 2, 5)]
#[case::no_command(p_data(1, 3, b"ab"), 2, 6)]
#[tokio::test]
async fn what_breaks_the_protocol_is_aborted(#[case] bytes: Vec<u8>, #[case] source: u8, #[case] reason: u8) {
    let server = serve(Config::default()).await;
    let mut peer = Peer::associate(&server, "CT1", &[(VERIFICATION, IMPLICIT)]).await;
    peer.send(&bytes).await;
    assert_eq!(peer.pdu().await, abort(source, reason));
}

#[tokio::test]
async fn an_abort_is_not_answered() {
    let server = serve(Config::default()).await;
    let mut peer = Peer::associate(&server, "CT1", &[(VERIFICATION, IMPLICIT)]).await;
    peer.send(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
    assert_eq!(peer.pdu().await, None);
}

#[tokio::test]
async fn an_idle_association_is_aborted() {
    let server = serve(Config { idle_s: 1, ..Config::default() }).await;
    let mut peer = Peer::associate(&server, "CT1", &[(VERIFICATION, IMPLICIT)]).await;
    assert_eq!(peer.pdu().await, abort(0, 0));
}

#[tokio::test]
async fn a_peer_that_stops_within_a_data_set_is_aborted() {
    let server = serve(Config { stall_s: 1, ..Config::default() }).await;
    let mut peer = Peer::associate(&server, "CT1", &[(CT, EXPLICIT)]).await;
    peer.send(&message(1, &command(CT, 1, true, &[(0x1000, "1.2.840.1")]), None)).await;
    peer.send(&p_data(1, 0, b"half")).await;
    assert_eq!(peer.pdu().await, abort(0, 0));
}

#[tokio::test]
async fn a_data_set_of_nothing_but_empty_fragments_is_aborted() {
    let server = serve(Config::default()).await;
    let mut peer = Peer::associate(&server, "CT1", &[(CT, EXPLICIT)]).await;
    peer.send(&message(1, &command(CT, 1, true, &[(0x1000, "1.2.840.1")]), None)).await;
    peer.send(&p_data(1, 0, b"").repeat(1001)).await;
    assert_eq!(peer.pdu().await, abort(2, 6));
}

#[tokio::test]
async fn when_the_server_stops_associations_end_after_the_grace() {
    let server = serve(Config { grace_s: 0, ..Config::default() }).await;
    let mut peer = Peer::associate(&server, "CT1", &[(VERIFICATION, IMPLICIT)]).await;
    server.stop.cancel();
    assert_eq!(peer.pdu().await, abort(0, 0));
    server.serving.await.unwrap();
}

#[tokio::test]
async fn a_request_of_another_protocol_version_is_rejected() {
    let server = serve(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    let mut old = request("CT1", &[(VERIFICATION, IMPLICIT)]);
    // Behind the head of six bytes: bit 0 is the only version that there is (PS3.8 Table 9-11).
    old[6..8].copy_from_slice(&[0, 2]);
    peer.send(&old).await;
    assert_eq!(peer.pdu().await, Some((3, vec![0, 1, 2, 2])));
}

#[tokio::test]
async fn a_long_transfer_is_not_idle() {
    let server = serve(Config { idle_s: 2, ..Config::default() }).await;
    let mut peer = Peer::associate(&server, "CT1", &[(CT, EXPLICIT)]).await;
    let sample = ct();
    let store = command(CT, 1, true, &[(0x1000, sample.sop_instance().as_str())]);
    peer.send(&message(1, &store, None)).await;
    let data = sample.data_set();
    let parts: Vec<&[u8]> = data.chunks(data.len().div_ceil(6)).collect();
    let mut pace = tokio::time::interval(Duration::from_millis(500));
    for (index, part) in parts.iter().enumerate() {
        pace.tick().await;
        peer.send(&p_data(1, if index + 1 == parts.len() { 2 } else { 0 }, part)).await;
    }
    assert_eq!(peer.response().await.0.status, Status::SUCCESS);
}

/// The value of the sub-item of extended negotiation in an A-ASSOCIATE-AC.
async fn negotiated(server: &Running, class: &str, offered: &[u8]) -> (Peer, Option<Vec<u8>>) {
    let mut peer = Peer::connect(server).await;
    let item = UserVariableItem::SopClassExtendedNegotiationSubItem(class.to_owned(), offered.to_vec());
    let variables = if offered.is_empty() { Vec::new() } else { vec![item] };
    peer.send(&request_with("WS1", &[(class, EXPLICIT)], variables)).await;
    let (kind, body) = peer.pdu().await.unwrap();
    assert_eq!(kind, 2);
    let head = [&u16::try_from(class.len()).unwrap().to_be_bytes(), class.as_bytes()].concat();
    let item = body
        .windows(head.len())
        .enumerate()
        .find(|(at, window)| *at > 4 && *window == head && body[at - 4] == 0x56);
    let value = item.map(|(at, _)| {
        let length = usize::from(u16::from_be_bytes([body[at - 2], body[at - 1]]));
        body[at + head.len()..at + length].to_vec()
    });
    (peer, value)
}

#[rstest]
#[case::full_storage(CT, &[2, 1, 1, 1, 1, 1], Some(vec![2, 0, 0, 0, 0, 0]))]
#[case::shorter(CT, &[0, 0, 0, 0], Some(vec![2, 0, 0, 0]))]
#[case::all_of_a_query(FIND, &[1, 1, 1, 1, 1, 1, 1], Some(vec![1, 1, 1, 0, 0, 1, 0]))]
#[case::none(FIND, &[], None)]
// Not served, so that nothing is said of it: the defaults hold (PS3.4 §K.5).
#[case::of_a_worklist("1.2.840.10008.5.1.4.31", &[1, 1, 1, 1], None)]
#[tokio::test]
async fn extended_negotiation_is_answered(
    #[case] class: &str,
    #[case] offered: &[u8],
    #[case] expected: Option<Vec<u8>>,
) {
    let server = serve(Config::default()).await;
    let (mut peer, answer) = negotiated(&server, class, offered).await;
    assert_eq!(answer, expected);
    peer.release().await;
}

#[rstest]
#[case::relational(&[1], Status::SUCCESS)]
#[case::hierarchical(&[0], Status::DOES_NOT_MATCH_SOP_CLASS)]
#[case::not_negotiated(&[], Status::DOES_NOT_MATCH_SOP_CLASS)]
#[tokio::test]
async fn series_are_found_without_their_study_where_that_was_negotiated(
    #[case] offered: &[u8],
    #[case] expected: Status,
) {
    let server = serve(Config { open: true, ..Config::default() }).await;
    let (mut peer, _) = negotiated(&server, FIND, offered).await;
    let identifier = [&[8, 0, 0x52, 0, b'C', b'S', 6, 0][..], b"SERIES"].concat();
    let (response, _) = peer.ask(&message(1, &command(FIND, 0x20, true, &[]), Some(&identifier))).await;
    assert_eq!(response.status, expected);
}

#[rstest]
#[case::peer("WS1", "127.0.0.1", true)]
#[case::peer_of_another_address("WS1", "192.0.2.1", false)]
#[case::stranger("CT1", "127.0.0.1", false)]
#[tokio::test]
async fn strangers_may_be_rejected(#[case] calling: &str, #[case] host: &str, #[case] is_accepted: bool) {
    let peers = vec![format!("WS1={host}:1").parse().unwrap()];
    let server = serve(Config { peers, accept_unknown_calling: false, ..Config::default() }).await;
    let mut peer = Peer::connect(&server).await;
    peer.send(&request(calling, &[(VERIFICATION, IMPLICIT)])).await;
    let (kind, body) = peer.pdu().await.unwrap();
    assert_eq!(kind == 2, is_accepted);
    assert!(is_accepted || body == [0, 1, 1, 3], "{body:?}");
}

/// One title on a port, or any: what a caller may does not depend on it.
#[rstest]
#[case::ours("FILMLESS", false, None)]
#[case::another("OTHER", false, Some([0, 1, 1, 7]))]
#[case::another_where_any_is_welcome("OTHER", true, None)]
#[tokio::test]
async fn one_title_is_called_unless_any_is_welcome(
    #[case] called: &str,
    #[case] accept_any_called: bool,
    #[case] rejected: Option<[u8; 4]>,
) {
    let server = serve(Config { accept_any_called, ..Config::default() }).await;
    let mut peer = Peer::connect(&server).await;
    let mut asked = request("CT1", &[(FIND, EXPLICIT)]);
    // Behind the header of the PDU, its version and two bytes that are reserved.
    asked[10..26].copy_from_slice(format!("{called:<16}").as_bytes());
    peer.send(&asked).await;
    let (kind, body) = peer.pdu().await.unwrap();
    if let Some(rejected) = rejected {
        assert_eq!((kind, body.as_slice()), (3, &rejected[..]));
        return;
    }
    assert_eq!(kind, 2);
    let identifier = [&[8, 0, 0x52, 0, b'C', b'S', 6, 0][..], b"STUDY "].concat();
    let (response, _) = peer.ask(&message(1, &command(FIND, 0x20, true, &[]), Some(&identifier))).await;
    assert_eq!(response.status, Status::NOT_AUTHORIZED);
}
