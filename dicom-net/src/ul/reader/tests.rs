use dicom_store::model::{SopClassUid, TransferSyntaxUid};
use proptest::prelude::*;
use rstest::rstest;

use super::super::negotiation::PresentationContext;
use super::*;

fn contexts() -> PresentationContexts {
    [1, 3]
        .map(|id| PresentationContext {
            id,
            abstract_syntax: SopClassUid::parse("1.2.840.10008.1.1").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap(),
            requestor_is_scp: false,
        })
        .into_iter()
        .collect()
}

fn established(bytes: &[u8]) -> PduReader<&[u8]> {
    let mut reader = PduReader::new(bytes, Machine::established());
    reader.establish(16384, contexts());
    reader
}

fn pdv(context: u8, control: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(u32::try_from(data.len()).unwrap() + 2);
    out.extend([context, control]);
    out.extend(data);
    out
}

fn p_data(pdvs: &[Vec<u8>]) -> Vec<u8> {
    let body = pdvs.concat();
    let mut out = vec![4, 0];
    out.put_u32(u32::try_from(body.len()).unwrap());
    out.extend(body);
    out
}

use bytes::BufMut;

fn reason(error: Error) -> AbortReason {
    match error {
        Error::Protocol { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

async fn data_set(reader: &mut PduReader<&[u8]>, context: u8) -> Vec<u8> {
    let mut joined = Vec::new();
    loop {
        let fragment = reader.data(context).await.unwrap();
        joined.extend_from_slice(&fragment.bytes);
        if fragment.is_last {
            return joined;
        }
    }
}

#[tokio::test]
async fn joins_a_message_from_tiny_fragments_and_several_pdvs_in_a_pdu() {
    let command: Vec<Vec<u8>> = vec![pdv(3, 1, b"co"), pdv(3, 1, b"mm"), pdv(3, 3, b"an"), pdv(3, 0, b"da")];
    let bytes = [p_data(&command), p_data(&[pdv(3, 0, b"")]), p_data(&[pdv(3, 2, b"ta")])].concat();
    let mut reader = established(&bytes);
    let expected = Received::Command { context: 3, command: Bytes::from_static(b"comman") };
    assert_eq!(reader.next().await.unwrap(), expected);
    assert_eq!(data_set(&mut reader, 3).await, b"data");
    assert!(matches!(reader.next().await, Err(Error::Closed)));
}

#[tokio::test]
async fn hands_on_what_is_here_of_a_pdv_before_its_end() {
    let (mut theirs, ours) = tokio::io::duplex(1 << 16);
    let mut reader = PduReader::new(ours, Machine::established());
    reader.establish(16384, contexts());
    let bytes = p_data(&[pdv(1, 2, b"abcdef")]);
    let (first, rest) = bytes.split_at(bytes.len() - 2);
    tokio::io::AsyncWriteExt::write_all(&mut theirs, first).await.unwrap();
    let fragment = reader.data(1).await.unwrap();
    assert_eq!((&fragment.bytes[..], fragment.is_last), (&b"abcd"[..], false));
    tokio::io::AsyncWriteExt::write_all(&mut theirs, rest).await.unwrap();
    let fragment = reader.data(1).await.unwrap();
    assert_eq!((&fragment.bytes[..], fragment.is_last), (&b"ef"[..], true));
}

#[tokio::test]
async fn loses_nothing_when_a_wait_is_given_up() {
    let (mut theirs, ours) = tokio::io::duplex(1 << 16);
    let mut reader = PduReader::new(ours, Machine::established());
    reader.establish(16384, contexts());
    for byte in p_data(&[pdv(1, 1, b"ab"), pdv(1, 3, b"cd")]) {
        let waited = tokio::time::timeout(std::time::Duration::ZERO, reader.next()).await;
        assert!(waited.is_err());
        tokio::io::AsyncWriteExt::write_all(&mut theirs, &[byte]).await.unwrap();
    }
    let expected = Received::Command { context: 1, command: Bytes::from_static(b"abcd") };
    assert_eq!(reader.next().await.unwrap(), expected);
}

#[rstest]
#[case::unknown_type(vec![0x4F, 0, 0, 0, 0, 4], AbortReason::UnrecognizedPdu)]
#[case::second_request(vec![1, 0, 0, 0, 0, 200], AbortReason::UnexpectedPdu)]
#[case::answer(vec![2, 0, 0, 0, 0, 200], AbortReason::UnexpectedPdu)]
#[case::too_long(vec![4, 0, 0x7F, 0xFF, 0xFF, 0xF0], AbortReason::InvalidParameter)]
#[case::one_too_long(vec![4, 0, 0, 0, 0x40, 0x01], AbortReason::InvalidParameter)]
#[case::no_room_for_a_pdv(vec![4, 0, 0, 0, 0, 3, 0, 0, 0], AbortReason::InvalidParameter)]
#[case::pdv_of_nothing(vec![4, 0, 0, 0, 0, 8, 0, 0, 0, 1, 1, 3, 0, 0], AbortReason::InvalidParameter)]
#[case::pdv_longer_than_pdu(vec![4, 0, 0, 0, 0, 8, 0, 0, 0, 5, 1, 3, 0, 0], AbortReason::InvalidParameter)]
#[case::pdv_of_4_gib(vec![4, 0, 0, 0, 0, 8, 255, 255, 255, 255, 1, 3, 0, 0], AbortReason::InvalidParameter)]
#[case::context_not_accepted(p_data(&[pdv(5, 3, b"ab")]), AbortReason::InvalidParameter)]
#[case::data_without_a_command(p_data(&[pdv(1, 2, b"ab")]), AbortReason::UnexpectedParameter)]
#[case::command_on_two_contexts(p_data(&[pdv(1, 1, b"ab"), pdv(3, 3, b"cd")]), AbortReason::InvalidParameter)]
#[tokio::test]
async fn tells_what_was_wrong(#[case] bytes: Vec<u8>, #[case] expected: AbortReason) {
    assert_eq!(reason(established(&bytes).next().await.unwrap_err()), expected);
}

#[rstest]
#[case::command(p_data(&[pdv(1, 3, b"ab")]), AbortReason::UnexpectedParameter)]
#[case::other_context(p_data(&[pdv(3, 2, b"ab")]), AbortReason::UnexpectedParameter)]
#[case::release(vec![5, 0, 0, 0, 0, 4, 0, 0, 0, 0], AbortReason::UnexpectedPdu)]
#[tokio::test]
async fn nothing_may_come_before_a_data_set_is_complete(
    #[case] bytes: Vec<u8>,
    #[case] expected: AbortReason,
) {
    assert_eq!(reason(established(&bytes).data(1).await.unwrap_err()), expected);
}

#[rstest]
#[case::data_set(&p_data(&[pdv(1, 0, b"")]), 0)]
#[case::command(&p_data(&[pdv(1, 1, b"")]), 1)]
#[case::pdu(&p_data(&[]), 0)]
#[tokio::test]
async fn a_message_has_not_more_than_a_thousand_empty_fragments(#[case] empty: &[u8], #[case] control: u8) {
    let empty = empty.repeat(1000);
    let last = p_data(&[pdv(1, control | IS_LAST, b"ab")]);
    let bytes = [&empty[..], &last, &empty, &last, &empty, &p_data(&[pdv(1, control, b"")])].concat();
    let mut reader = established(&bytes);
    let (mut messages, mut outcome) = (0, reader.came().await);
    while let Ok(Came::Fragment(fragment)) = outcome {
        messages += usize::from(fragment.is_last);
        outcome = reader.came().await;
    }
    assert_eq!(messages, 2);
    assert_eq!(outcome.err().map(reason), Some(AbortReason::InvalidParameter));
}

#[tokio::test]
async fn an_abort_is_told_with_its_source_and_reason() {
    let error = established(&[7, 0, 0, 0, 0, 4, 0, 0, 2, 5]).next().await.unwrap_err();
    assert!(matches!(error, Error::Aborted { source_code: 2, reason: 5 }), "{error}");
}

#[tokio::test]
async fn passes_over_data_until_the_release() {
    let bytes = [p_data(&[pdv(1, 2, b"ab")]), vec![6, 0, 0, 0, 0, 4, 0, 0, 0, 0]].concat();
    let mut reader = established(&bytes);
    reader.machine().on(Event::ReleaseRequest);
    assert_eq!(reader.release().await.unwrap(), Action::Ar3);
}

#[tokio::test]
async fn what_was_held_comes_before_anything_else() {
    let bytes = p_data(&[pdv(1, 3, b"second")]);
    let mut reader = established(&bytes);
    let first = Received::Command { context: 3, command: Bytes::from_static(b"first") };
    reader.hold(first.clone());
    assert!(reader.is_holding());
    assert_eq!(reader.next().await.unwrap(), first);
    assert!(!reader.is_holding());
    let second = Received::Command { context: 1, command: Bytes::from_static(b"second") };
    assert_eq!(reader.next().await.unwrap(), second);
}

#[rstest]
#[case::data(vec![4, 0, 0, 0, 0, 10], AbortReason::ServiceUser)]
#[case::release(vec![5, 0, 0, 0, 0, 4], AbortReason::ServiceUser)]
#[case::http(b"GET / HTTP/1.1\r\n\r\n".to_vec(), AbortReason::UnrecognizedPdu)]
#[case::too_long(vec![1, 0, 0x7F, 0, 0, 0], AbortReason::InvalidParameter)]
#[tokio::test]
async fn only_a_request_may_come_first(#[case] bytes: Vec<u8>, #[case] expected: AbortReason) {
    let machine = Machine::new(false, std::time::Duration::from_secs(1));
    machine.on(Event::TransportIndication);
    assert_eq!(reason(PduReader::new(&bytes[..], machine).associate().await.err().unwrap()), expected);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_go_on_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = [vec![4, 0, 0, 0, 0], bytes].concat();
        runtime.block_on(async {
            let mut reader = established(&bytes);
            // Each PDV has a header of 6 bytes: there cannot be more messages than that.
            for _ in 0..=bytes.len() {
                if reader.next().await.is_err() && reader.data(1).await.is_err() {
                    return;
                }
            }
            panic!("more messages than bytes");
        });
    }
}

#[tokio::test]
async fn what_comes_late_is_passed_over_until_an_abort() {
    let (mut theirs, ours) = tokio::io::duplex(1 << 10);
    let mut reader = PduReader::new(ours, Machine::established());
    reader.establish(16384, contexts());
    reader.machine().on(Event::AbortRequest);
    let bytes = [p_data(&[pdv(1, 2, b"late")]), vec![7, 0, 0, 0, 0, 4, 0, 0, 0, 0]].concat();
    tokio::io::AsyncWriteExt::write_all(&mut theirs, &bytes).await.unwrap();
    assert_eq!(reader.late().await, Some(Action::Aa6));
    assert_eq!(reader.late().await, Some(Action::Aa2));
}
