use std::time::Duration;

use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::time::timeout;

use super::*;

const LIMITS: Limits = Limits { artim: Duration::from_secs(20), patience: Duration::from_secs(5) };

const RELEASE_RQ: [u8; 10] = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];
const RELEASE_RP: [u8; 10] = [6, 0, 0, 0, 0, 4, 0, 0, 0, 0];
const ABORT: [u8; 10] = [7, 0, 0, 0, 0, 4, 0, 0, 0, 0];
const REJECTION: [u8; 10] = [3, 0, 0, 0, 0, 4, 0, 1, 1, 1];
const UNKNOWN: [u8; 10] = [0x4F, 0, 0, 0, 0, 4, 0, 0, 0, 0];
/// Data on context 1.
const DATA: [u8; 14] = [4, 0, 0, 0, 0, 8, 0, 0, 0, 4, 1, 2, b'a', b'b'];

type Ours = Association<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

fn title() -> AeTitle {
    AeTitle::parse("FILMLESS").unwrap()
}

/// A-ASSOCIATE-RQ, and with the other type the A-ASSOCIATE-AC to it.
fn associate_pdu(kind: u8) -> Vec<u8> {
    let (calling, contexts) = (title(), contexts());
    let proposal = Proposal {
        calling: &calling,
        called: &calling,
        contexts: &contexts,
        role: Role::Scu,
        max_length: 16384,
        limits: LIMITS,
    };
    let mut bytes = associate(&Pdu::AssociationRQ(associate_rq(&proposal))).unwrap().to_vec();
    bytes[0] = kind;
    bytes
}

fn contexts() -> Vec<(SopClassUid, Vec<TransferSyntaxUid>)> {
    let syntax = TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap();
    vec![(SopClassUid::parse("1.2.840.10008.1.1").unwrap(), vec![syntax])]
}

/// An established association, ours as its requestor or its acceptor, and the peer's end of the connection.
fn established(is_requestor: bool) -> (Ours, DuplexStream) {
    let (peer, stream) = duplex(1 << 12);
    let (reader, writer) = split(stream);
    let machine = Machine::new(is_requestor, LIMITS.artim);
    let events = if is_requestor {
        [Event::AssociateRequest, Event::TransportConfirmation, Event::AssociateAcPdu]
    } else {
        [Event::TransportIndication, Event::AssociateRqPdu, Event::AssociateAccept]
    };
    for event in events {
        machine.on(event).unwrap();
    }
    let context = PresentationContext {
        id: 1,
        abstract_syntax: SopClassUid::parse("1.2.840.10008.1.1").unwrap(),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap(),
        requestor_is_scp: false,
    };
    let contexts: PresentationContexts = [context].into_iter().collect();
    let mut association = Association {
        calling: title(),
        called: title(),
        contexts: contexts.clone(),
        extended: Vec::new(),
        operations: 1,
        reader: PduReader::new(reader, machine.clone()),
        writer: PduWriter::new(writer, LIMITS.patience, machine),
    };
    association.reader.establish(16384, contexts);
    (association, peer)
}

/// What we have sent, when all is over.
async fn sent(mut peer: DuplexStream) -> Vec<u8> {
    let mut sent = Vec::new();
    timeout(LIMITS.artim, peer.read_to_end(&mut sent)).await.expect("the connection is not closed").unwrap();
    sent
}

#[rstest]
#[case::answered(true, &[&RELEASE_RP[..]], &[RELEASE_RQ])]
#[case::after_data(true, &[&DATA[..], &RELEASE_RP], &[RELEASE_RQ])]
#[case::collision_as_requestor(true, &[&RELEASE_RQ[..], &RELEASE_RP], &[RELEASE_RQ, RELEASE_RP])]
#[case::collision_as_acceptor(false, &[&RELEASE_RQ[..], &RELEASE_RP], &[RELEASE_RQ, RELEASE_RP])]
#[tokio::test]
async fn a_release_ends_also_when_both_sides_ask_for_it(
    #[case] is_requestor: bool,
    #[case] theirs: &[&[u8]],
    #[case] ours: &[[u8; 10]],
) {
    let (association, mut peer) = established(is_requestor);
    peer.write_all(&theirs.concat()).await.unwrap();
    let (released, sent) = tokio::join!(association.release(), async {
        // The acceptor of a collision says the last word and waits for the peer to close.
        let mut got = vec![0; ours.concat().len()];
        peer.read_exact(&mut got).await.unwrap();
        drop(peer);
        got
    });
    released.unwrap();
    assert_eq!(sent, ours.concat());
}

/// A state of the table that waits for PDUs, and what brought us there.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    Sta2,
    Sta5,
    Sta6,
    Sta7,
    Sta10,
    Sta11,
    Sta12,
    Sta13,
}

/// Everything that we send from that state on, when `pdu` comes and then the connection ends.
async fn answer(waiting: Waiting, pdu: &[u8]) -> Vec<u8> {
    let run = async {
        match waiting {
            Waiting::Sta2 | Waiting::Sta5 => {
                let (mut peer, stream) = duplex(1 << 12);
                peer.write_all(pdu).await.unwrap();
                let (reader, writer) = split(stream);
                let (calling, contexts) = (title(), contexts());
                let (called, role, max_length) = (&calling, Role::Scu, 16384);
                let (calling, contexts) = (&calling, contexts.as_slice());
                let proposal = Proposal { calling, called, contexts, role, max_length, limits: LIMITS };
                let linger = if matches!(waiting, Waiting::Sta2) {
                    accept(reader, writer, LIMITS).await.err().and_then(|refused| refused.linger)
                } else {
                    request(reader, writer, &proposal).await.err().and_then(|refused| refused.linger)
                };
                peer.shutdown().await.unwrap();
                if let Some(linger) = linger {
                    linger.wait().await;
                }
                let sent = sent(peer).await;
                let skip = if matches!(waiting, Waiting::Sta5) { associate_pdu(1).len() } else { 0 };
                sent[skip..].to_vec()
            }
            Waiting::Sta6 => {
                let (mut association, mut peer) = established(false);
                peer.write_all(pdu).await.unwrap();
                peer.shutdown().await.unwrap();
                let came = association.reader.next().await.err();
                end(association, came).await;
                sent(peer).await
            }
            Waiting::Sta7 | Waiting::Sta10 | Waiting::Sta11 | Waiting::Sta12 => {
                let (mut association, mut peer) =
                    established(matches!(waiting, Waiting::Sta7 | Waiting::Sta11));
                let machine = association.reader.machine().clone();
                let events: &[Event] = match waiting {
                    Waiting::Sta7 => &[Event::ReleaseRequest],
                    Waiting::Sta11 => &[Event::ReleaseRequest, Event::ReleaseRqPdu, Event::ReleaseResponse],
                    Waiting::Sta10 => &[Event::ReleaseRequest, Event::ReleaseRqPdu],
                    _ => &[Event::ReleaseRequest, Event::ReleaseRqPdu, Event::ReleaseRpPdu],
                };
                for event in events {
                    machine.on(*event).unwrap();
                }
                peer.write_all(pdu).await.unwrap();
                peer.shutdown().await.unwrap();
                let came = association.reader.release().await.err();
                end(association, came).await;
                sent(peer).await
            }
            Waiting::Sta13 => {
                let (association, mut peer) = established(false);
                let gone = association.abort(Error::GivenUp("enough".to_owned())).await;
                peer.write_all(pdu).await.unwrap();
                peer.shutdown().await.unwrap();
                gone.linger.unwrap().wait().await;
                sent(peer).await[10..].to_vec()
            }
        }
    };
    timeout(LIMITS.artim, run).await.expect("it goes on for ever")
}

/// Ends an association: as the error wants it, or at once.
async fn end(association: Ours, error: Option<Error>) {
    if let Some(error) = error
        && let Some(linger) = association.abort(error).await.linger
    {
        linger.wait().await;
    }
}

/// What the table says of PDUs, seen on the wire: nothing, or an A-ABORT with its source.
#[rstest]
fn pdus_are_answered_as_the_table_says(
    #[values(
        Waiting::Sta2,
        Waiting::Sta5,
        Waiting::Sta6,
        Waiting::Sta7,
        Waiting::Sta10,
        Waiting::Sta11,
        Waiting::Sta12,
        Waiting::Sta13
    )]
    waiting: Waiting,
) {
    use Waiting::{Sta2, Sta5, Sta6, Sta7, Sta10, Sta11, Sta13};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for (pdu, event) in [
        (associate_pdu(2), "accepted"),
        (REJECTION.to_vec(), "rejected"),
        (associate_pdu(1), "request"),
        (DATA.to_vec(), "data"),
        (RELEASE_RQ.to_vec(), "release"),
        (RELEASE_RP.to_vec(), "released"),
        (ABORT.to_vec(), "abort"),
        (UNKNOWN.to_vec(), "unknown"),
    ] {
        let expected = match (event, waiting) {
            // What belongs there, and an abort, are no reason to say anything.
            ("abort", _)
            | ("accepted" | "rejected", Sta5)
            | ("request", Sta2)
            | ("data", Sta7)
            | ("release", Sta6 | Sta7)
            | ("released", Sta7 | Sta10 | Sta11)
            | ("accepted" | "rejected" | "data" | "release" | "released", Sta13) => None,
            (_, Sta2) => Some(0),
            // A data set without its command breaks PS3.7.
            _ => Some(2),
        };
        let sent = runtime.block_on(answer(waiting, &pdu));
        let source = sent.starts_with(&[7]).then(|| sent[8]);
        assert_eq!(
            (source, sent.is_empty()),
            (expected, expected.is_none()),
            "{event} in {waiting:?}: {sent:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_neither_asks_nor_closes_is_closed_by_artim() {
    let limits = Limits { artim: Duration::from_millis(30), ..LIMITS };
    let (_peer, stream) = duplex(1 << 10);
    let (reader, writer) = split(stream);
    let refused = accept(reader, writer, limits).await.err().unwrap();
    assert!(matches!(refused.error, Error::Silent(_)) && refused.linger.is_none());

    let (mut peer, stream) = duplex(1 << 10);
    let (reader, writer) = split(stream);
    peer.write_all(&associate_pdu(1)).await.unwrap();
    let requested = accept(reader, writer, limits).await.ok().unwrap();
    let linger = requested.reject(Rejection::LOCAL_LIMIT_EXCEEDED).await.unwrap();
    timeout(LIMITS.artim, linger.wait()).await.expect("ARTIM does not run");
    let mut sent = Vec::new();
    peer.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, [3, 0, 0, 0, 0, 4, 0, 2, 3, 2]);
}

#[tokio::test]
async fn data_may_still_be_sent_after_the_peer_has_asked_for_release_and_not_after_ours() {
    let (mut association, mut peer) = established(false);
    peer.write_all(&RELEASE_RQ).await.unwrap();
    association.reader.next().await.unwrap();
    association.writer.queue(1, b"ab", None);
    association.writer.flush().await.unwrap();
    association.answer_release().await.unwrap();
    let sent = sent(peer).await;
    assert_eq!((sent[0], &sent[14..]), (4, &RELEASE_RP[..]));

    let (mut association, _peer) = established(true);
    association.reader.machine().on(Event::ReleaseRequest);
    association.writer.queue(1, b"ab", None);
    assert!(association.writer.flush().await.is_err());
}
