use dicom::dictionary_std::tags;
use dicom_store::model::{VR, transfer_syntax};
use http::StatusCode;
use rstest::rstest;
use wado::Config;

use crate::service::{Service, explicit, image, parsed, pixels, rle};

const OBJECT: &str = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4";

#[tokio::test]
async fn gives_the_instance_in_explicit_little_endian_or_as_asked() {
    let service = Service::open().await;
    let stored = rle(&image("1.2", "1.3", "1.4"));
    service.store(std::slice::from_ref(&stored)).await;
    let answer = service.get_with(&format!("{OBJECT}&contentType=application/dicom"), &[]).await;
    let (syntax, found) = parsed(&answer.body);
    assert_eq!(syntax, transfer_syntax::EXPLICIT_LITTLE);
    assert_eq!(found.bytes(tags::PIXEL_DATA).unwrap(), &pixels());
    let as_stored = format!("{OBJECT}&contentType=application/dicom&transferSyntax={}", transfer_syntax::RLE);
    assert_eq!(service.get(&as_stored, "*/*").await.body, stored);
    let other = format!("{OBJECT}&contentType=application/dicom&transferSyntax={}", transfer_syntax::JPEG_XL);
    assert_eq!(service.get(&other, "*/*").await.status, StatusCode::NOT_ACCEPTABLE);
    let made = format!("{OBJECT}&contentType=application/dicom&transferSyntax={}", transfer_syntax::JPEG_LS);
    assert_eq!(service.get(&made, "*/*").await.status, StatusCode::OK);
    let two = format!("{made}&transferSyntax={}", transfer_syntax::RLE);
    assert_eq!(service.get(&two, "*/*").await.status, StatusCode::BAD_REQUEST);
}

#[rstest]
#[case::plain("", 200, b"\xFF\xD8")]
#[case::png("&contentType=image/png&rows=2&columns=2&windowCenter=100&windowWidth=50", 200, b"\x89PNG")]
#[case::region("&contentType=image/gif&region=0,0,0.5,1&columns=3", 200, b"GIF8")]
#[case::frame("&frameNumber=2", 200, b"\xFF\xD8")]
#[case::no_such_frame("&frameNumber=4", 400, b"{")]
#[case::not_made("&contentType=video/mp4", 406, b"{")]
#[tokio::test]
async fn renders(#[case] query: &str, #[case] status: u16, #[case] begins: &[u8]) {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    attributes.put_u16(tags::ROWS, 2);
    attributes.put_u16(tags::COLUMNS, 4);
    service.store(&[explicit(&attributes)]).await;
    let answer = service.get(&format!("{OBJECT}{query}"), "").await;
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert!(answer.body.starts_with(begins));
}

#[tokio::test]
async fn an_unknown_object_is_404_and_a_stranger_is_401() {
    assert_eq!(Service::open().await.get(OBJECT, "*/*").await.status, StatusCode::NOT_FOUND);
    let closed = Service::with(Config::default()).await;
    assert_eq!(closed.get(OBJECT, "*/*").await.status, StatusCode::UNAUTHORIZED);
}
