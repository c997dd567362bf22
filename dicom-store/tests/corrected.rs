//! What a corrected instance is on its way out: another data set around the same values.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use dicom::dictionary_std::tags;
use dicom_store::Session;
use dicom_store::fixture::{Sample, archive, ct, store, system};
use dicom_store::model::correction::Step;
use dicom_store::model::{
    Attributes, Correction, Encoding, FileMeta, FrameNumber, Instance, VR, scan, transfer_syntax,
};
use futures_util::TryStreamExt;
use rstest::rstest;

fn renamed() -> Option<Arc<Correction>> {
    let mut values = Attributes::new();
    values.put_text(tags::PATIENT_NAME, VR::PN, "Trần^Thị Bình");
    Correction::new(vec![Step { act: 1, at: 0, values, is_other_patient: false }]).map(Arc::new)
}

async fn file_of(session: &Session, instance: &Instance) -> Vec<u8> {
    let parts: Vec<_> = session.open(instance).try_collect().await.unwrap();
    parts.concat()
}

fn large() -> Sample {
    ct().name("Nguyễn^Văn An").size(1024, 1024)
}

#[rstest]
#[case::implicit(transfer_syntax::IMPLICIT_LITTLE)]
#[case::explicit(transfer_syntax::EXPLICIT_LITTLE)]
#[case::big_endian(transfer_syntax::EXPLICIT_BIG)]
#[tokio::test]
async fn the_bytes_say_what_is_corrected_and_hold_the_same_pixels(#[case] syntax: &str) {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let sample = large().transfer_syntax(syntax);
    let stored = store(&session, &sample).await.unwrap();
    let corrected = Instance { correction: renamed(), ..stored.instance().clone() };
    let file = file_of(&session, &corrected).await;
    assert_eq!(session.length(&corrected).await.unwrap(), Some(file.len() as u64));
    let meta = FileMeta::read(&file, true).unwrap().unwrap();
    let encoding = sample.syntax().facts().encoding;
    let data_set = file[usize::try_from(meta.data_set).unwrap()..].to_vec();
    let read = Attributes::read(data_set.into(), encoding).unwrap();
    assert_eq!(read.text(tags::PATIENT_NAME).as_deref(), Some("Trần^Thị Bình"));
    assert_eq!(read.bytes(tags::PIXEL_DATA), sample.attributes.bytes(tags::PIXEL_DATA));
    let frame = session.open_frame(&corrected, FrameNumber::FIRST).await.unwrap();
    assert_eq!(frame, session.open_frame(stored.instance(), FrameNumber::FIRST).await.unwrap());
}

#[tokio::test]
async fn a_deflated_data_set_is_deflated_again() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let sample = large().transfer_syntax(transfer_syntax::DEFLATED);
    let stored = store(&session, &sample).await.unwrap();
    let corrected = Instance { correction: renamed(), ..stored.instance().clone() };
    assert_eq!(session.length(&corrected).await.unwrap(), None);
    let parts: Vec<_> = session.open_data_set(&corrected).try_collect().await.unwrap();
    let deflated = parts.concat();
    assert_eq!(deflated.len() % 2, 0);
    let mut inflated = Vec::new();
    let mut reader = flate2::read::DeflateDecoder::new(deflated.as_slice());
    std::io::Read::read_to_end(&mut reader, &mut inflated).unwrap();
    let read = Attributes::read(inflated.into(), Encoding::ExplicitLittle).unwrap();
    assert_eq!(read.text(tags::PATIENT_NAME).as_deref(), Some("Trần^Thị Bình"));
    assert_eq!(read.bytes(tags::PIXEL_DATA), sample.attributes.bytes(tags::PIXEL_DATA));
}

#[tokio::test]
async fn long_texts_come_along_into_the_new_character_set() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let mut sample = ct().with(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
    sample.attributes.put_bytes(tags::TEXT_VALUE, VR::UT, b"\xfc".repeat(70_000));
    let stored = store(&session, &sample).await.unwrap();
    let corrected = Instance { correction: renamed(), ..stored.instance().clone() };
    let file = file_of(&session, &corrected).await;
    let data_set = file[usize::try_from(corrected.data_set).unwrap()..].to_vec();
    let read = Attributes::read(data_set.into(), Encoding::ExplicitLittle).unwrap();
    assert_eq!(read.text(tags::TEXT_VALUE), Some("ü".repeat(70_000)));
}

#[tokio::test]
async fn what_is_not_corrected_comes_byte_for_byte() {
    let (archive, _folder) = archive().await;
    let session = system(&archive);
    let sample = large();
    let stored = store(&session, &sample).await.unwrap();
    let file = file_of(&session, stored.instance()).await;
    let start = usize::try_from(stored.instance().data_set).unwrap();
    assert_eq!(file[start..], sample.data_set());
    assert_eq!(session.length(stored.instance()).await.unwrap(), Some(file.len() as u64));
    assert!(scan(&mut &file[start..], 0, 0, Encoding::ExplicitLittle).is_ok());
}
