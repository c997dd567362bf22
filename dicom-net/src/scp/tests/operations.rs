use std::collections::BTreeSet;

use dicom_store::fixture::{Sample, ct};
use dicom_store::model::Resource;
use dicom_ul::pdu::UserVariableItem;
use rstest::rstest;

use super::peer::{CT, EXPLICIT, FIND, Peer, VERIFICATION, command, message, serve};
use crate::Config;
use crate::config::{User, UserIdentityPolicy};
use crate::dimse::Status;

/// The same command as message `id`.
fn numbered(mut command: Vec<u8>, id: u8) -> Vec<u8> {
    let at = command.windows(4).position(|tag| tag == [0, 0, 0x10, 0x01]).unwrap();
    command[at + 8] = id;
    command
}

fn store(sample: &Sample, id: u8) -> Vec<u8> {
    let command = command(CT, 1, true, &[(0x1000, sample.sop_instance().as_str())]);
    message(1, &numbered(command, id), Some(&sample.data_set()))
}

fn series(count: u32) -> Vec<Sample> {
    let first = ct().size(64, 64);
    (0..count).map(|number| if number == 0 { first.clone() } else { first.next(number + 1) }).collect()
}

fn window(invoked: u8) -> UserVariableItem {
    UserVariableItem::Unknown(0x53, vec![0, invoked, 0, 1])
}

#[rstest]
#[case::of_four(Some(4))]
#[case::larger_than_ours(Some(200))]
#[case::not_negotiated(None)]
#[tokio::test]
async fn stores_that_do_not_wait_for_answers_are_all_answered(#[case] invoked: Option<u8>) {
    let server = serve(Config { max_operations: 8, ..Config::default() }).await;
    let variables = invoked.map(window).into_iter().collect();
    let mut peer = Peer::associate_with(&server, "CT1", &[(CT, EXPLICIT)], variables).await;
    let samples = series(30);
    let ids: Vec<u8> = (1..=30).collect();
    let all: Vec<u8> = samples.iter().zip(&ids).flat_map(|(sample, id)| store(sample, *id)).collect();
    // The release comes behind them, and is answered last.
    peer.send(&[all, vec![5, 0, 0, 0, 0, 4, 0, 0, 0, 0]].concat()).await;
    let mut answered = Vec::new();
    for _ in &ids {
        let (response, _) = peer.response().await;
        assert_eq!(response.status, Status::SUCCESS);
        answered.push(response.responds_to());
    }
    assert_eq!(peer.pdu().await, Some((6, vec![0; 4])));
    let expected: Vec<u16> = ids.into_iter().map(u16::from).collect();
    if invoked.is_none() {
        assert_eq!(answered, expected, "one after the other");
    }
    let answered: BTreeSet<u16> = answered.into_iter().collect();
    assert!(answered.into_iter().eq(expected));
    let stored = server.session().instances(&Resource::Study(samples[0].study())).await.unwrap();
    assert_eq!(stored.len(), 30);
}

#[tokio::test]
async fn an_answer_comes_while_the_next_data_set_is_still_under_way() {
    let server = serve(Config::default()).await;
    let mut peer = Peer::associate_with(&server, "CT1", &[(CT, EXPLICIT)], vec![window(2)]).await;
    let samples = series(2);
    let second = store(&samples[1], 2);
    let (begun, rest) = second.split_at(second.len() - 100);
    peer.send(&[&store(&samples[0], 1)[..], begun].concat()).await;
    assert_eq!(peer.response().await.0.responds_to(), 1);
    peer.send(rest).await;
    assert_eq!(peer.response().await.0.responds_to(), 2);
    peer.release().await;
}

/// How many of them get in before the first is durable is for the machine to say; that none is taken for another is not.
#[tokio::test]
async fn a_message_id_that_is_under_way_is_not_taken_again() {
    let server = serve(Config::default()).await;
    let mut peer = Peer::associate_with(&server, "CT1", &[(CT, EXPLICIT)], vec![window(16)]).await;
    let samples = series(16);
    let all: Vec<u8> = samples.iter().flat_map(|sample| store(sample, 7)).collect();
    peer.send(&all).await;
    let (mut stored, mut refused) = (0, 0);
    for _ in &samples {
        let (response, _) = peer.response().await;
        assert_eq!(response.responds_to(), 7);
        match response.status {
            Status::SUCCESS => stored += 1,
            Status::DUPLICATE_INVOCATION => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(stored > 0 && refused > 0, "{stored} stored, {refused} refused");
    let there = server.session().instances(&Resource::Study(samples[0].study())).await.unwrap();
    assert_eq!(there.len(), stored);
    // It is free again.
    peer.send(&store(&samples[15].next(99), 7)).await;
    assert_eq!(peer.response().await.0.status, Status::SUCCESS);
    peer.release().await;
}

#[tokio::test]
async fn what_comes_during_a_query_is_answered_behind_it() {
    let server = serve(Config { open: true, ..Config::default() }).await;
    let contexts = [(FIND, EXPLICIT), (VERIFICATION, EXPLICIT), (CT, EXPLICIT)];
    let mut peer = Peer::associate(&server, "WS1", &contexts).await;
    let sample = ct();
    let level = [&[8, 0, 0x52, 0, b'C', b'S', 6, 0][..], b"STUDY "].concat();
    let find = message(1, &numbered(command(FIND, 0x20, true, &[]), 1), Some(&level));
    let echo = message(3, &numbered(command(VERIFICATION, 0x30, false, &[]), 2), None);
    let mut kept = store(&sample, 3);
    // On the third context.
    let mut at = 0;
    while at < kept.len() {
        kept[at + 10] = 5;
        at += 6 + usize::try_from(u32::from_be_bytes(kept[at + 2..at + 6].try_into().unwrap())).unwrap();
    }
    peer.send(&[find.clone(), echo.clone(), find, kept, echo].concat()).await;
    let mut answered = Vec::new();
    while answered.len() < 5 {
        let (response, _) = peer.response().await;
        if !response.status.is_pending() {
            assert_eq!(response.status, Status::SUCCESS);
            answered.push(response.responds_to());
        }
    }
    assert_eq!(answered, [1, 2, 1, 3, 2]);
    peer.release().await;
}

/// Type, whether it is to be confirmed, name and passcode.
fn identity(kind: u8, is_asked: bool, name: &str, passcode: &str) -> UserVariableItem {
    let counted = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let value = [&[kind, u8::from(is_asked)][..], &counted(name), &counted(passcode)].concat();
    UserVariableItem::Unknown(0x58, value)
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Confirmed,
    Accepted,
    Rejected,
}
use Outcome::{Accepted, Confirmed, Rejected};

#[rstest]
#[case::ignored(UserIdentityPolicy::Ignored, Some(identity(1, false, "any", "")), Accepted)]
#[case::ignored_and_confirmed(
    UserIdentityPolicy::Ignored,
    Some(identity(2, true, "any", "thing")),
    Confirmed
)]
#[case::ignored_token(UserIdentityPolicy::Ignored, Some(identity(5, true, "token", "")), Accepted)]
#[case::ignored_type(UserIdentityPolicy::Ignored, Some(identity(99, true, "what", "")), Accepted)]
#[case::none_to_check(UserIdentityPolicy::Checked, None, Accepted)]
#[case::none_where_it_is_required(UserIdentityPolicy::Required, None, Rejected)]
#[case::name(UserIdentityPolicy::Checked, Some(identity(1, true, "ct", "")), Confirmed)]
#[case::unknown_name(UserIdentityPolicy::Checked, Some(identity(1, true, "mr", "")), Rejected)]
#[case::passcode(UserIdentityPolicy::Required, Some(identity(2, true, "ws", "open sesame")), Confirmed)]
#[case::passcode_unasked(
    UserIdentityPolicy::Required,
    Some(identity(2, false, "ws", "open sesame")),
    Accepted
)]
#[case::wrong_passcode(UserIdentityPolicy::Required, Some(identity(2, true, "ws", "open")), Rejected)]
#[case::no_passcode(UserIdentityPolicy::Required, Some(identity(1, true, "ws", "")), Rejected)]
#[case::file_is_gone(UserIdentityPolicy::Required, Some(identity(2, true, "gone", "")), Rejected)]
#[case::token(UserIdentityPolicy::Checked, Some(identity(5, true, "ct", "")), Rejected)]
#[tokio::test]
async fn a_user_is_let_in_as_the_settings_say(
    #[case] policy: UserIdentityPolicy,
    #[case] identity: Option<UserVariableItem>,
    #[case] expected: Outcome,
) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passcode");
    std::fs::write(&file, "open sesame\n").unwrap();
    let user = |name: &str, passcode_file| User { name: name.to_owned(), passcode_file };
    let users = vec![user("ct", None), user("ws", Some(file.clone())), user("gone", Some("/nowhere".into()))];
    let server = serve(Config { user_identity: policy, users, ..Config::default() }).await;
    let mut peer = Peer::connect(&server).await;
    let variables = identity.into_iter().collect();
    peer.send(&super::peer::request_with("CT1", &[(VERIFICATION, EXPLICIT)], variables)).await;
    let outcome = match peer.pdu().await.unwrap() {
        (2, body) if body.windows(6).any(|bytes| bytes == [0x59, 0, 0, 2, 0, 0]) => Confirmed,
        (2, _) => Accepted,
        (3, body) => {
            assert_eq!(body, [0, 1, 1, 1]);
            Rejected
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome, expected);
}

/// The file of the passcode is a pipe into which nobody writes: reading it does not end.
#[tokio::test]
async fn a_request_that_cannot_be_judged_in_time_is_rejected_for_the_moment() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("passcode");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let users = vec![User { name: "ws".to_owned(), passcode_file: Some(pipe.clone()) }];
    let config =
        Config { artim_s: 1, user_identity: UserIdentityPolicy::Checked, users, ..Config::default() };
    let server = serve(config).await;
    let mut peer = Peer::connect(&server).await;
    let variables = vec![identity(2, false, "ws", "open sesame")];
    peer.send(&super::peer::request_with("CT1", &[(VERIFICATION, EXPLICIT)], variables)).await;
    assert_eq!(peer.pdu().await, Some((3, vec![0, 2, 3, 1])));
    let mut other = Peer::associate(&server, "CT2", &[(VERIFICATION, EXPLICIT)]).await;
    other.release().await;
    // The thread that reads it ends with this.
    std::fs::write(&pipe, "open sesame").unwrap();
}
