use std::os::unix::fs::FileExt;

use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::{Attributes, Encoding, SopClassUid, VR};
use rstest::rstest;

use super::*;

const EXPLICIT: &str = transfer_syntax::EXPLICIT_LITTLE;
const IMPLICIT: &str = transfer_syntax::IMPLICIT_LITTLE;

/// The data set that goes out, joined, after it was checked that pieces are even but for the last.
async fn sent(sample: &Sample, form: Form) -> Vec<u8> {
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let stored = fixture::store(&session, sample).await.unwrap();
    let pool = CpuPool::new(1).unwrap();
    let mut outgoing = Outgoing::new(session, pool, vec![(stored.instance().clone(), form)], false);
    let mut joined = Vec::new();
    loop {
        match outgoing.next().await {
            Piece::Data { bytes, is_last } => {
                assert!(is_last || bytes.len().is_multiple_of(2), "a piece of {} bytes", bytes.len());
                joined.extend_from_slice(&bytes);
                if is_last {
                    return joined;
                }
            }
            Piece::File(_) => panic!("nobody was to be given a file"),
            Piece::Failed(error) => panic!("{error}"),
        }
    }
}

/// An item with a value that is too large for the header, in a sequence and outside of one.
fn with_bulk(syntax: &str) -> Sample {
    let mut item = Attributes::new();
    item.put_bytes(tags::ENCAPSULATED_DOCUMENT, VR::OB, vec![7; 4096]);
    let mut sample = ct().size(64, 64).name("Nguyễn^An").transfer_syntax(syntax);
    sample.attributes.put_items(tags::ICON_IMAGE_SEQUENCE, vec![item]);
    sample
}

fn read(bytes: Vec<u8>, encoding: Encoding) -> Attributes {
    Attributes::read(bytes.into(), encoding).unwrap()
}

#[tokio::test]
async fn goes_out_byte_for_byte_where_the_peer_takes_what_is_stored() {
    let sample = with_bulk(EXPLICIT);
    assert!(sent(&sample, Form::AsStored).await == sample.data_set());
}

/// The pieces of these, of which files are read where they lie.
async fn pieces(session: &Session, instances: Vec<(Instance, Form)>) -> Vec<(bool, Vec<u8>)> {
    let (count, pool) = (instances.len(), CpuPool::new(1).unwrap());
    let mut outgoing = Outgoing::new(session.clone(), pool, instances, true);
    let (mut objects, mut joined) = (Vec::new(), Vec::new());
    while objects.len() < count {
        match outgoing.next().await {
            Piece::Data { bytes, is_last } => {
                joined.extend_from_slice(&bytes);
                if is_last {
                    objects.push((false, std::mem::take(&mut joined)));
                }
            }
            Piece::File(part) => {
                let mut bytes = vec![0; usize::try_from(part.range().end - part.range().start).unwrap()];
                part.file().read_exact_at(&mut bytes, part.range().start).unwrap();
                assert!(part.is_at_hand() && part.read().await.unwrap() == bytes);
                objects.push((true, bytes));
            }
            Piece::Failed(error) => panic!("{error}"),
        }
    }
    objects
}

#[tokio::test]
async fn what_goes_out_as_it_is_stored_is_given_where_it_lies_among_what_is_not() {
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let samples = [with_bulk(EXPLICIT), with_bulk(EXPLICIT).next(2), with_bulk(IMPLICIT).next(3)];
    let mut instances = Vec::new();
    for sample in &samples {
        let stored = fixture::store(&session, sample).await.unwrap();
        instances.push((stored.instance().clone(), Form::AsStored));
    }
    instances[1].1 = form_of(IMPLICIT);
    let objects = pieces(&session, instances).await;
    assert_eq!(objects.iter().map(|(by_file, _)| *by_file).collect::<Vec<_>>(), [true, false, true]);
    assert!(objects[0].1 == samples[0].data_set() && objects[2].1 == samples[2].data_set());
    let [out, expected] = [objects[1].1.clone(), samples[1].attributes.write(Encoding::ImplicitLittle)]
        .map(|bytes| read(bytes, Encoding::ImplicitLittle));
    assert!(out.iter().eq(&expected));
}

#[rstest]
#[tokio::test]
async fn says_the_same_in_any_uncompressed_form(
    #[values(EXPLICIT, IMPLICIT, transfer_syntax::EXPLICIT_BIG, transfer_syntax::DEFLATED)] stored: &str,
    #[values(Encoding::ExplicitLittle, Encoding::ImplicitLittle)] encoding: Encoding,
) {
    let sample = with_bulk(stored);
    let wanted = if encoding == Encoding::ExplicitLittle { EXPLICIT } else { IMPLICIT };
    let out = read(sent(&sample, form_of(wanted)).await, encoding);
    let expected = read(sample.attributes.write(encoding), encoding);
    assert_eq!(out.len(), expected.len());
    for (out, expected) in out.iter().zip(&expected) {
        assert_eq!(out, expected);
    }
}

fn form_of(uid: &str) -> Form {
    Form::In(TransferSyntaxUid::parse(uid).unwrap())
}

fn context(id: u8, uid: &str) -> PresentationContext {
    PresentationContext {
        id,
        abstract_syntax: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        transfer_syntax: TransferSyntaxUid::parse(uid).unwrap(),
        requestor_is_scp: true,
    }
}

#[rstest]
#[case::as_stored(IMPLICIT, &[EXPLICIT, IMPLICIT], Some((3, Form::AsStored)))]
#[case::explicit_first(transfer_syntax::RLE, &[IMPLICIT, EXPLICIT], Some((3, form_of(EXPLICIT))))]
#[case::implicit_at_least(EXPLICIT, &[IMPLICIT], Some((1, form_of(IMPLICIT))))]
#[case::no_codec("1.2.840.10008.1.2.4.102", &[EXPLICIT], None)]
#[case::compressed(EXPLICIT, &[transfer_syntax::RLE], Some((1, form_of(transfer_syntax::RLE))))]
#[case::without_compression_first(transfer_syntax::RLE, &[transfer_syntax::JPEG_LS, IMPLICIT], Some((3, form_of(IMPLICIT))))]
#[case::nothing_fits(EXPLICIT, &[transfer_syntax::JPEG_BASELINE], None)]
#[tokio::test]
async fn an_instance_goes_out_in_the_best_form_the_peer_takes(
    #[case] stored: &str,
    #[case] taken: &[&str],
    #[case] expected: Option<(u8, Form)>,
) {
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let sample = fixture::store(&session, &ct()).await.unwrap();
    let instance =
        Instance { transfer_syntax: TransferSyntaxUid::parse(stored).unwrap(), ..sample.instance().clone() };
    let contexts: Vec<_> = [1, 3].into_iter().zip(taken).map(|(id, uid)| context(id, uid)).collect();
    assert_eq!(way_out(contexts.iter(), &instance, &[]), expected);
}

#[rstest]
#[case::it_is_wanted(&[transfer_syntax::JPEG_BASELINE], &[transfer_syntax::JPEG_BASELINE, EXPLICIT], Some((3, Form::AsStored)))]
#[case::nothing_else_is_taken(&[transfer_syntax::JPEG_BASELINE], &[transfer_syntax::JPEG_BASELINE], None)]
#[tokio::test]
async fn nothing_is_lost_because_a_peer_wants_it_so(
    #[case] wanted: &[&str],
    #[case] taken: &[&str],
    #[case] expected: Option<(u8, Form)>,
) {
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let sample = fixture::store(&session, &ct()).await.unwrap();
    let instance = Instance {
        transfer_syntax: TransferSyntaxUid::parse(EXPLICIT).unwrap(),
        ..sample.instance().clone()
    };
    let contexts: Vec<_> = [1, 3].into_iter().zip(taken).map(|(id, uid)| context(id, uid)).collect();
    let wanted: Vec<_> = wanted.iter().map(|uid| TransferSyntaxUid::parse(uid).unwrap()).collect();
    assert_eq!(way_out(contexts.iter(), &instance, &wanted), expected);
}
