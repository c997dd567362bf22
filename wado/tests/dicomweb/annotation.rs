//! Words that are burnt into rendered images (PS3.18 §8.3.5.1.2).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, VR};
use http::StatusCode;
use rstest::rstest;
use worker::pixel::{Picture, PictureKind};

use crate::service::{Service, explicit, image};

const INSTANCE: &str = "/studies/1.2/series/1.3/instances/1.4";
const SIDE: u16 = 512;

/// A black image of a patient whose name has marks above and below its letters, with these many frames.
pub(crate) fn black(frames: usize) -> Attributes {
    let mut image = image("1.2", "1.3", "1.4");
    image.put_text(tags::PATIENT_NAME, VR::PN, "NGUYỄN^THỊ ĐỖ QUYÊN");
    image.put_text(tags::PATIENT_BIRTH_DATE, VR::DA, "19701231");
    image.put_text(tags::WINDOW_CENTER, VR::DS, "2048");
    image.put_text(tags::WINDOW_WIDTH, VR::DS, "4096");
    image.put_text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string());
    image.put_text(tags::SERIES_DESCRIPTION, VR::LO, "Lồng ngực, cửa sổ phổi");
    image.put_text(tags::KVP, VR::DS, "120");
    image.put_u16(tags::ROWS, SIDE);
    image.put_u16(tags::COLUMNS, SIDE);
    let pixels = usize::from(SIDE) * usize::from(SIDE);
    image.put_bytes(tags::PIXEL_DATA, VR::OW, vec![0; 2 * pixels * frames]);
    image
}

/// Whether there is something light in the upper and in the lower third of a picture, and in between.
fn written(file: &[u8], kind: PictureKind) -> [bool; 3] {
    let bytes = Picture::read(file, kind).unwrap().bytes;
    let third = bytes.len() / 3;
    let is_light = |part: &[u8]| part.iter().any(|byte| *byte > 200);
    [is_light(&bytes[..third]), is_light(&bytes[bytes.len() - third..]), is_light(&bytes[third..2 * third])]
}

#[rstest]
#[case::none("", [false, false, false])]
#[case::patient("?annotation=patient", [true, false, false])]
#[case::technique("?annotation=technique", [false, true, false])]
#[case::both("?annotation=patient,technique", [true, true, false])]
#[case::fitted("?annotation=technique,patient&viewport=256,256", [true, true, false])]
#[tokio::test]
async fn what_is_asked_for_is_burnt_in_and_nothing_else(#[case] query: &str, #[case] expected: [bool; 3]) {
    let service = Service::open().await;
    service.store(&[explicit(&black(1))]).await;
    for path in ["/rendered", "/frames/1/rendered"] {
        let answer = service.get(&format!("{INSTANCE}{path}{query}"), "image/png").await;
        assert_eq!((answer.status, answer.field("warning")), (StatusCode::OK, ""), "{}", answer.text());
        assert_eq!(written(&answer.body, PictureKind::Png), expected, "{path}");
    }
    let animation = service.get(&format!("{INSTANCE}/rendered{query}"), "image/gif").await;
    assert_eq!(written(&animation.body, PictureKind::Gif), expected);
}

#[tokio::test]
async fn wado_uri_has_two_names_for_it() {
    let service = Service::open().await;
    service.store(&[explicit(&black(2))]).await;
    let same = service.get(&format!("{INSTANCE}/frames/2/rendered?annotation=patient"), "image/png").await;
    for name in ["annotation", "imageAnnotation"] {
        let uri = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4&contentType=image/png&frameNumber=2";
        assert_eq!(service.get(&format!("{uri}&{name}=patient"), "*/*").await.body, same.body, "{name}");
    }
    let plain = service.get(&format!("{INSTANCE}/frames/2/rendered"), "image/png").await;
    assert_ne!(plain.body, same.body);
    // Each frame of an animation has its own number.
    let animation = service.get(&format!("{INSTANCE}/rendered?annotation=technique"), "image/gif").await;
    let frames = Picture::read(&animation.body, PictureKind::Gif).unwrap().bytes;
    let (first, second) = frames.split_at(frames.len() / 2);
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_thumbnail_names_nobody_and_what_is_not_supported_is_told() {
    let service = Service::open().await;
    service.store(&[explicit(&black(1))]).await;
    let path = format!("{INSTANCE}/thumbnail");
    let plain = service.get(&path, "*/*").await;
    assert_eq!(service.get(&format!("{path}?annotation=patient"), "*/*").await.body, plain.body);
    let other = service.get(&format!("{INSTANCE}/rendered?annotation=patient,ruler"), "image/png").await;
    let told = "299 http://pacs.test/dicom-web: The following annotation values are not supported: ruler";
    assert_eq!((other.status, other.field("warning")), (StatusCode::OK, told));
    let wrong = service.get(&format!("{INSTANCE}/rendered?annotation="), "image/png").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}
