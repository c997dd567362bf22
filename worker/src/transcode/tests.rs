use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::AeTitle;
use dicom_store::{Arrival, Declared, Origin};
use futures_util::TryStreamExt;
use rstest::rstest;

use super::*;

const EXPLICIT: &str = transfer_syntax::EXPLICIT_LITTLE;

fn syntax(uid: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(uid).unwrap()
}

async fn bytes(data_set: DataSet) -> Vec<u8> {
    let joined: Vec<u8> = data_set
        .chunks
        .try_fold(Vec::new(), |all, chunk| async move { Ok([&all[..], &chunk[..]].concat()) })
        .await
        .unwrap();
    assert!(data_set.length.is_none_or(|length| usize::try_from(length).unwrap() == joined.len()));
    joined
}

/// Three frames that differ, seen by nobody before.
fn three_frames() -> Sample {
    let samples: Vec<u8> =
        (0..3 * 16 * 16_u32).flat_map(|n| u16::try_from(n * 37 % 4096).unwrap().to_le_bytes()).collect();
    let mut sample = ct().pixels(VR::OW, samples);
    sample.attributes.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    sample
}

/// Stores a data set that was written.
async fn take(session: &Session, like: &Instance, uid: &str, data_set: Vec<u8>) -> Instance {
    let title = AeTitle::parse("FIXTURE").unwrap();
    let origin = Origin::Dimse { calling: title.clone(), called: title, address: [127, 0, 0, 1].into() };
    let declared = Declared::DataSet {
        sop_class: like.sop_class.clone(),
        sop_instance: like.sop_instance.clone(),
        transfer_syntax: syntax(uid),
    };
    let mut incoming = session.receive(Arrival { origin, declared }).await.unwrap();
    incoming.write(data_set.into()).await.unwrap();
    incoming.commit().await.unwrap().instance().clone()
}

#[rstest]
#[case(transfer_syntax::HTJ2K_RPCL)]
#[case(transfer_syntax::JPEG_2000_LOSSLESS)]
#[case(transfer_syntax::JPEG_LS)]
#[case(transfer_syntax::JPEG_LOSSLESS_SV1)]
#[case(transfer_syntax::RLE)]
#[case(transfer_syntax::DEFLATED_FRAMES)]
#[tokio::test]
async fn what_was_compressed_on_the_way_is_stored_and_comes_back_as_it_was(#[case] uid: &str) {
    let (archive, _folder) = fixture::archive().await;
    let (session, pool) = (fixture::system(&archive), CpuPool::new(1).unwrap());
    let sample = three_frames();
    let stored = fixture::store(&session, &sample).await.unwrap().instance().clone();
    assert!(is_possible(&stored, &syntax(uid)));
    let coded = bytes(data_set(&session, &pool, &stored, &syntax(uid)).await.unwrap()).await;

    // Another archive takes it, and gives it back without compression.
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let taken = take(&session, &stored, uid, coded).await;
    assert_eq!((taken.frames, &taken.transfer_syntax), (3, &syntax(uid)));
    let back = bytes(data_set(&session, &pool, &taken, &syntax(EXPLICIT)).await.unwrap()).await;
    let expected =
        Attributes::read(sample.attributes.write(Encoding::ExplicitLittle).into(), Encoding::ExplicitLittle);
    assert_eq!(Attributes::read(back.into(), Encoding::ExplicitLittle).unwrap(), expected.unwrap());
}

#[rstest]
#[case(transfer_syntax::RLE)]
#[case(transfer_syntax::DEFLATED_FRAMES)]
#[tokio::test]
async fn frames_of_single_bits_that_share_bytes_come_back_as_they_were(#[case] uid: &str) {
    let (archive, _folder) = fixture::archive().await;
    let (session, pool) = (fixture::system(&archive), CpuPool::new(1).unwrap());
    // Three times 25 bits.
    let bits = vec![0xA5, 0x3C, 0x96, 0xFF, 0x01, 0x80, 0x7E, 0x55, 0xC3, 0x05];
    let mut sample = ct().size(5, 5).pixels(VR::OB, bits.clone());
    sample.attributes.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    for (tag, value) in [(tags::BITS_ALLOCATED, 1), (tags::BITS_STORED, 1), (tags::HIGH_BIT, 0)] {
        sample.attributes.put_u16(tag, value);
    }
    let stored = fixture::store(&session, &sample).await.unwrap().instance().clone();
    let coded = bytes(data_set(&session, &pool, &stored, &syntax(uid)).await.unwrap()).await;
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let taken = take(&session, &stored, uid, coded).await;
    let back = bytes(data_set(&session, &pool, &taken, &syntax(EXPLICIT)).await.unwrap()).await;
    let back = Attributes::read(back.into(), Encoding::ExplicitLittle).unwrap();
    assert_eq!(back.bytes(tags::PIXEL_DATA).unwrap(), &bits);
    assert_eq!(bytes(pixel_data(&session, &pool, &taken).await.unwrap()).await, bits);
}

#[tokio::test]
async fn odd_frames_that_share_words_of_big_endian_come_out_each_by_itself() {
    let (archive, _folder) = fixture::archive().await;
    let (session, pool) = (fixture::system(&archive), CpuPool::new(1).unwrap());
    let samples: Vec<u8> = (1..=27).chain([0]).collect();
    let mut sample = ct().size(3, 3).transfer_syntax(transfer_syntax::EXPLICIT_BIG);
    sample = sample.pixels(VR::OW, samples.clone()).with(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    for (tag, value) in [(tags::BITS_ALLOCATED, 8), (tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)] {
        sample.attributes.put_u16(tag, value);
    }
    let stored = fixture::store(&session, &sample).await.unwrap().instance().clone();
    let coded = bytes(data_set(&session, &pool, &stored, &syntax(transfer_syntax::RLE)).await.unwrap()).await;
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let taken = take(&session, &stored, transfer_syntax::RLE, coded).await;
    let back = bytes(data_set(&session, &pool, &taken, &syntax(EXPLICIT)).await.unwrap()).await;
    let back = Attributes::read(back.into(), Encoding::ExplicitLittle).unwrap();
    assert_eq!(back.bytes(tags::PIXEL_DATA).unwrap(), &samples);
}

#[tokio::test]
async fn who_asks_for_the_same_frame_gets_the_same_memory() {
    let (archive, _folder) = fixture::archive().await;
    let (session, pool) = (fixture::system(&archive), CpuPool::new(1).unwrap());
    let instance = fixture::store(&session, &three_frames()).await.unwrap().instance().clone();
    let (header, map) = session.header_and_frames(&instance).await.unwrap();
    let info = ImageInfo::read(&header.attributes().unwrap(), FrameNumber::FIRST).unwrap();
    let wanted = syntax(transfer_syntax::HTJ2K_RPCL);
    let ask = |number| {
        frame(&session, &pool, &instance, &map, (info.clone(), FrameNumber::new(number).unwrap()), &wanted)
    };
    let (first, again, other) = futures_util::join!(ask(1), ask(1), ask(2));
    let (first, again, other) = (first.unwrap(), again.unwrap(), other.unwrap());
    assert_eq!(first.bytes.as_ptr(), again.bytes.as_ptr());
    assert_ne!(first.bytes, other.bytes);
}

#[tokio::test]
async fn what_would_lose_something_or_cannot_be_is_not_offered() {
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let image = fixture::store(&session, &ct()).await.unwrap().instance().clone();
    for uid in [
        transfer_syntax::JPEG_BASELINE,
        transfer_syntax::DEFLATED,
        transfer_syntax::JPEG_XL,
        "1.2.840.10008.1.2.4.102",
    ] {
        assert!(!is_possible(&image, &syntax(uid)), "{uid}");
    }
    let other = Instance { frames: 0, ..image.clone() };
    assert!(is_possible(&other, &syntax(transfer_syntax::IMPLICIT_LITTLE)));
    assert!(!is_possible(&other, &syntax(transfer_syntax::RLE)));
    let video = Instance { transfer_syntax: syntax("1.2.840.10008.1.2.4.102"), ..image };
    assert!(!is_possible(&video, &syntax(EXPLICIT)));
}

#[tokio::test]
async fn what_a_length_of_16_bits_cannot_hold_becomes_unknown_and_stays_as_it_was() {
    let (archive, _folder) = fixture::archive().await;
    let (session, pool) = (fixture::system(&archive), CpuPool::new(1).unwrap());
    let (short, long) = (vec![b'a'; 65_534], vec![b'b'; 65_536]);
    let mut sample = ct().transfer_syntax(transfer_syntax::IMPLICIT_LITTLE);
    // Implicit VR has room for any length (PS3.5 §6.2.2).
    sample.attributes.put_bytes(tags::PATIENT_COMMENTS, VR::LT, short.clone());
    sample.attributes.put_bytes(tags::IMAGE_COMMENTS, VR::LT, long.clone());
    let stored = fixture::store(&session, &sample).await.unwrap().instance().clone();
    let written = bytes(data_set(&session, &pool, &stored, &syntax(EXPLICIT)).await.unwrap()).await;
    let holds = |element: &[u8]| written.windows(element.len()).any(|part| part == element);
    assert!(holds(&[&[0x10, 0, 0, 0x40, b'L', b'T', 0xFE, 0xFF], &short[..]].concat()));
    assert!(holds(&[&[0x20, 0, 0, 0x40, b'U', b'N', 0, 0, 0, 0, 1, 0], &long[..]].concat()));
}
