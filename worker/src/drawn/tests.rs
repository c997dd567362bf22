use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::{Attributes, VR};

use super::*;
use crate::render::THUMBNAIL;

/// The drawing of an instance without pixels that has these attributes; its pixels by RGB.
async fn drawn(sop_class: &str, fill: impl FnOnce(&mut Attributes)) -> Option<Bitmap> {
    let (archive, _folder) = fixture::archive().await;
    let session = fixture::system(&archive);
    let mut sample: Sample = ct().without(tags::PIXEL_DATA).with(tags::SOP_CLASS_UID, VR::UI, sop_class);
    fill(&mut sample.attributes);
    let instance = fixture::store(&session, &sample).await.unwrap().instance().clone();
    let drawing = Subject::read(&session, &instance).await.unwrap().draw();
    let file = thumbnail(&session, &CpuPool::new(1).unwrap(), &instance, THUMBNAIL).await.unwrap();
    assert_eq!(file.is_some_and(|file| file.starts_with(&[0xFF, 0xD8])), drawing.is_some());
    drawing
}

fn count(picture: &Bitmap, colour: [u8; 3]) -> usize {
    picture.bytes.chunks(3).filter(|pixel| *pixel == colour).count()
}

#[tokio::test]
async fn a_waveform_is_a_curve_from_edge_to_edge() {
    let picture = drawn("1.2.840.10008.5.1.4.1.1.9.1.1", |attributes| {
        let mut group = Attributes::new();
        group.put_u16(tags::NUMBER_OF_WAVEFORM_CHANNELS, 2);
        group.put_u16(tags::WAVEFORM_BITS_ALLOCATED, 16);
        group.put_text(tags::SAMPLING_FREQUENCY, VR::DS, "100");
        let samples = (0..2000_i16).flat_map(|n| [n % 50, -(n % 70)]).flat_map(i16::to_le_bytes);
        group.put_bytes(tags::WAVEFORM_DATA, VR::OW, samples.collect::<Vec<u8>>());
        attributes.put_items(tags::WAVEFORM_SEQUENCE, vec![group]);
    });
    let picture = picture.await.unwrap();
    let has_curve =
        |x: usize| picture.bytes.chunks(256 * 3).any(|row| row[x * 3..x * 3 + 3] == canvas::GREEN);
    assert!((0..256).all(has_curve));
}

#[tokio::test]
async fn structures_are_outlined_in_their_colours() {
    let contour = |z: u32, size: u32| {
        let mut item = Attributes::new();
        item.put_text(
            tags::CONTOUR_DATA,
            VR::DS,
            &format!("0\\0\\{z}\\{size}\\0\\{z}\\{size}\\{size}\\{z}\\0\\{size}\\{z}"),
        );
        item
    };
    let structure = |colour: &str, contours| {
        let mut item = Attributes::new();
        item.put_text(tags::ROI_DISPLAY_COLOR, VR::IS, colour);
        item.put_items(tags::CONTOUR_SEQUENCE, contours);
        item
    };
    let picture = drawn("1.2.840.10008.5.1.4.1.1.481.3", |attributes| {
        let all = vec![
            structure("255\\0\\0", vec![contour(5, 100)]),
            structure("0\\0\\255", vec![contour(5, 50), contour(9, 7)]),
            structure("0\\255\\0", vec![contour(7, 50)]),
        ];
        attributes.put_items(tags::ROI_CONTOUR_SEQUENCE, all);
    });
    let picture = picture.await.unwrap();
    assert!(count(&picture, [255, 0, 0]) > 300 && count(&picture, [0, 0, 255]) > 150);
    assert_eq!(count(&picture, [0, 255, 0]), 0, "it lies in another plane");
}

#[tokio::test]
async fn a_report_is_a_card_and_what_is_not_known_is_nothing() {
    let report = drawn("1.2.840.10008.5.1.4.1.1.88.11", |_| {}).await.unwrap();
    let document = drawn("1.2.840.10008.5.1.4.1.1.104.1", |_| {}).await.unwrap();
    assert!(count(&report, canvas::WHITE) > 200);
    assert_ne!(report, document);
    assert!(drawn("1.2.840.10008.5.1.4.1.1.2", |_| {}).await.is_none());
}
