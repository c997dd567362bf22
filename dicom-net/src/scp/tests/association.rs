use rstest::rstest;

use super::peer::{CT, EXPLICIT, IMPLICIT, Peer, VERIFICATION, command, message, p_data, request, serve};
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
