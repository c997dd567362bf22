//! Pictures, documents and video that metadata wrap (PS3.18 §10.5.1.4), and what people are shown of them (§8.7.4).

use dicom::dictionary_std::{tags, uids};
use dicom_store::model::{Attributes, VR, transfer_syntax};
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use worker::pixel::{Bitmap, Channels, Format, GifAnimation, GifFrame, encode};

use crate::described::{FAILED, described, kept, send, stored, with_pixels};
use crate::service::{JSON, OCTETS, Service, explicit, image};

const INSTANCE: &str = "/studies/1.2/series/1.3/instances/1.4";

/// Metadata that say nothing of the image.
fn bare(instance: &str) -> Value {
    let mut bare = with_pixels(instance, "x");
    bare.as_object_mut().unwrap().retain(|tag, _| !tag.starts_with("0028"));
    bare
}

fn picture(channels: Channels) -> Bitmap {
    let bytes = (0..6 * 4 * u8::try_from(channels.count()).unwrap()).map(|n| n * 3).collect();
    Bitmap { width: 6, height: 4, channels, bytes }
}

#[tokio::test]
async fn a_jpeg_tells_what_the_metadata_do_not() {
    let service = Service::open().await;
    let file = encode(&picture(Channels::Rgb), Format::Jpeg { quality: 90 }, None).unwrap();
    let (status, module) = send(&service, &bare("1.4"), &[("image/jpeg", Some("x"), file.clone())]).await;
    assert_eq!((status, stored(&module)), (StatusCode::OK, vec!["1.4"]), "{module}");
    let metadata = service.get(&format!("{INSTANCE}/metadata"), JSON).await.json();
    let numbers = ["00280010", "00280011", "00280002", "00280100", "00280102"];
    assert_eq!(numbers.map(|tag| metadata[0][tag]["Value"][0].as_i64().unwrap()), [4, 6, 3, 8, 7]);
    assert_eq!(metadata[0]["00282114"]["Value"][0], "ISO_10918_1");
    let frame = service.get(&format!("{INSTANCE}/frames/1"), "image/jpeg; transfer-syntax=*").await;
    assert_eq!(frame.body.strip_suffix(&[0]).unwrap_or(&frame.body), file);
    assert_eq!(service.get(&format!("{INSTANCE}/rendered"), "image/png").await.status, StatusCode::OK);
}

#[rstest]
#[case::grey(Channels::Grey, Format::Png, "image/png", "MONOCHROME2")]
#[case::rgb(Channels::Rgb, Format::Png, "image/png", "RGB")]
#[case::gif(Channels::Rgb, Format::Gif, "image/gif", "RGB")]
#[tokio::test]
async fn pictures_of_the_web_become_native_pixels(
    #[case] channels: Channels,
    #[case] format: Format,
    #[case] media: &str,
    #[case] photometric: &str,
) {
    let service = Service::open().await;
    let part = (media, Some("x"), encode(&picture(channels), format, None).unwrap());
    let (status, module) = send(&service, &bare("1.4"), &[part]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let (syntax, found) = kept(&service, "1.4").await;
    assert_eq!(syntax, transfer_syntax::EXPLICIT_LITTLE);
    assert_eq!(found.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref(), Some(photometric));
    assert_eq!(found.bytes(tags::PIXEL_DATA).unwrap(), &picture(channels).bytes);
    assert_eq!(found.text(tags::LOSSY_IMAGE_COMPRESSION), None);
}

#[tokio::test]
async fn each_picture_of_an_animation_is_a_frame() {
    let service = Service::open().await;
    let frames = [9, 200].map(|value| {
        let bytes = vec![value; 24];
        GifFrame::new(&Bitmap { width: 6, height: 4, channels: Channels::Grey, bytes }, 5).unwrap()
    });
    let mut animation = GifAnimation::new(&frames[0]).unwrap();
    let mut file: Vec<u8> = frames.iter().flat_map(|frame| animation.push(frame).unwrap()).collect();
    file.extend(animation.finish().unwrap());
    let (status, module) = send(&service, &bare("1.4"), &[("image/gif", Some("x"), file)]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let second = service.get(&format!("{INSTANCE}/frames/2"), OCTETS).await;
    assert_eq!(second.parts()[0].body, vec![200; 72]);

    // And it goes out as an animation again.
    let shown = service.get(&format!("{INSTANCE}/rendered"), "image/gif").await;
    assert_eq!((shown.status, shown.field("content-type")), (StatusCode::OK, "image/gif"));
    let images = shown.body.windows(3).filter(|bytes| *bytes == [0x21, 0xF9, 0x04]).count();
    assert_eq!(images, 2, "a graphic control for each picture");
    let first = service.get(&format!("{INSTANCE}/rendered"), "image/png").await;
    assert!(first.body.starts_with(b"\x89PNG"));
}

#[rstest]
#[case::no_picture("image/png", b"no picture".to_vec(), 0xC000)]
#[case::other_size("image/png", encode(&picture(Channels::Rgb), Format::Png, None).unwrap(), 0xA900)]
#[case::no_pixels("text/plain", b"text".to_vec(), 0xC122)]
#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_reason(
    #[case] media: &str,
    #[case] bytes: Vec<u8>,
    #[case] reason: u16,
) {
    let service = Service::open().await;
    let mut metadata = bare("1.4");
    metadata["00280010"] = json!({"vr": "US", "Value": [5]});
    let (status, module) = send(&service, &metadata, &[(media, Some("x"), bytes)]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(module[FAILED]["Value"][0]["00081197"]["Value"][0], reason, "{module}");
}

#[rstest]
#[case::pdf(uids::ENCAPSULATED_PDF_STORAGE, "application/pdf", b"%PDF-1.4 an odd one".as_slice())]
#[case::cda(uids::ENCAPSULATED_CDA_STORAGE, "text/xml", b"<ClinicalDocument/> ".as_slice())]
#[case::stl(uids::ENCAPSULATED_STL_STORAGE, "model/stl", b"solid".as_slice())]
#[tokio::test]
async fn documents_come_back_as_what_they_were(
    #[case] class: &str,
    #[case] media: &str,
    #[case] document: &[u8],
) {
    let service = Service::open().await;
    let mut metadata = described("1.4");
    metadata.as_object_mut().unwrap().retain(|tag, _| !tag.starts_with("0028"));
    metadata["00080016"]["Value"] = json!([class]);
    metadata["00420011"] = json!({"vr": "OB", "BulkDataURI": "d"});
    let (status, module) = send(&service, &metadata, &[(media, Some("d"), document.to_vec())]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    for path in ["/rendered", "/bulkdata/00420011"] {
        let answer = service.get(&format!("{INSTANCE}{path}"), media).await;
        assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, media), "{path}");
        assert_eq!(answer.body, document, "{path}");
    }
    let octets = service.get(&format!("{INSTANCE}/bulkdata/00420011"), "application/octet-stream").await;
    assert!(octets.body.starts_with(document) && octets.body.len() % 2 == 0);
}

#[tokio::test]
async fn a_document_is_of_the_type_of_its_own_part_and_no_other() {
    let service = Service::open().await;
    let mut metadata = described("1.4");
    metadata.as_object_mut().unwrap().retain(|tag, _| !tag.starts_with("0028"));
    metadata["00080016"]["Value"] = json!([uids::ENCAPSULATED_PDF_STORAGE]);
    metadata["00420011"] = json!({"vr": "OB", "BulkDataURI": "d"});
    metadata["00091001"] = json!({"vr": "OB", "BulkDataURI": "x"});
    let parts = [
        ("application/pdf", Some("d"), b"%PDF-1.4".to_vec()),
        ("text/xml", Some("x"), b"<private/>".to_vec()),
    ];
    let (status, module) = send(&service, &metadata, &parts).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let media = kept(&service, "1.4").await.1.text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT);
    assert_eq!(media.as_deref(), Some("application/pdf"));
}

#[tokio::test]
async fn video_is_played_from_anywhere() {
    let service = Service::open().await;
    let stream: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let mut metadata = with_pixels("1.4", "x");
    metadata["00280008"] = json!({"vr": "IS", "Value": [100]});
    let (status, module) = send(&service, &metadata, &[("video/mp4", Some("x"), stream.clone())]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    for path in ["/rendered", "/frames/1"] {
        let path = format!("{INSTANCE}{path}");
        let whole = service.get(&path, "video/mp4").await;
        assert_eq!(whole.status, StatusCode::OK, "{path}: {}", whole.text());
        assert!(whole.body == stream, "{path}");
        let part =
            service.get_with(&path, &[("accept", "video/mp4"), ("range", "bytes=2097150-2097159")]).await;
        assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &stream[2097150..2097160]));
    }
    let player = service.get(&format!("{INSTANCE}/rendered"), "*/*").await;
    assert_eq!(player.field("content-type"), "video/mp4");
}

fn report() -> Attributes {
    let mut item = Attributes::new();
    item.put_text(tags::VALUE_TYPE, VR::CS, "TEXT");
    item.put_text(tags::TEXT_VALUE, VR::UT, "Không thấy <b>bất thường</b>.");
    let mut report = image("1.2", "1.3", "1.4");
    report.remove(tags::PIXEL_DATA);
    report.put_text(tags::SOP_CLASS_UID, VR::UI, uids::BASIC_TEXT_SR_STORAGE);
    report.put_text(tags::VALUE_TYPE, VR::CS, "CONTAINER");
    report.put_items(tags::CONTENT_SEQUENCE, vec![item]);
    report
}

#[rstest]
#[case::any("*/*", "text/html; charset=utf-8", "Không thấy &lt;b&gt;bất thường")]
#[case::navigation(
    "text/html,application/xml;q=0.9,*/*;q=0.8",
    "text/html; charset=utf-8",
    "<!doctype html>"
)]
#[case::plain("text/plain", "text/plain; charset=utf-8", "Không thấy <b>bất thường</b>.")]
#[case::xml("text/xml", "text/xml; charset=utf-8", "NativeDicomModel")]
#[tokio::test]
async fn a_report_is_a_page(#[case] accept: &str, #[case] media: &str, #[case] said: &str) {
    let service = Service::open().await;
    service.store(&[explicit(&report())]).await;
    let answer = service.get(&format!("{INSTANCE}/rendered"), accept).await;
    assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, media), "{}", answer.text());
    assert!(answer.text().contains(said), "{}", answer.text());
    assert!(answer.field("content-security-policy").contains("default-src 'none'"));
    let uri = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4";
    assert!(service.get(uri, accept).await.text().contains(said));
    assert_eq!(
        service.get(&format!("{INSTANCE}/rendered"), "image/jpeg").await.status,
        StatusCode::NOT_ACCEPTABLE
    );
}

/// A ramp of four rows, and a presentation state that shows its right half upside down in negative.
pub(crate) fn state(instance: &str) -> Attributes {
    let mut reference = Attributes::new();
    reference.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
    reference.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, "1.4");
    let mut series = Attributes::new();
    series.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "1.3");
    series.put_items(tags::REFERENCED_IMAGE_SEQUENCE, vec![reference]);
    let mut window = Attributes::new();
    window.put_text(tags::WINDOW_CENTER, VR::DS, "3600");
    window.put_text(tags::WINDOW_WIDTH, VR::DS, "7200");
    let corner = |x: i32, y: i32| [x.to_le_bytes(), y.to_le_bytes()].concat();
    let mut area = Attributes::new();
    area.put_bytes(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, VR::SL, corner(4, 1));
    area.put_bytes(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, VR::SL, corner(6, 4));
    let mut state = Attributes::new();
    for (tag, vr, text) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, instance),
        (tags::MODALITY, VR::CS, "PR"),
        (tags::PATIENT_ID, VR::LO, "P1"),
        (tags::STUDY_INSTANCE_UID, VR::UI, "1.2"),
        (tags::SERIES_INSTANCE_UID, VR::UI, "1.8"),
        (tags::PRESENTATION_LUT_SHAPE, VR::CS, "INVERSE"),
        (tags::IMAGE_HORIZONTAL_FLIP, VR::CS, "N"),
    ] {
        state.put_text(tag, vr, text);
    }
    state.put_u16(tags::IMAGE_ROTATION, 180);
    state.put_items(tags::REFERENCED_SERIES_SEQUENCE, vec![series]);
    state.put_items(tags::SOFTCOPY_VOILUT_SEQUENCE, vec![window]);
    state.put_items(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![area]);
    state
}

#[tokio::test]
async fn a_presentation_state_shows_its_images_as_it_says() {
    let service = Service::open().await;
    let images = ["1.4", "1.5"].map(|instance| explicit(&image("1.2", "1.3", instance)));
    service.store(&[&images[..], &[explicit(&state("1.9"))]].concat()).await;
    let path = "/studies/1.2/series/1.8/instances/1.9/rendered";
    let shown = service.get(path, "image/png").await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text());
    let read = worker::pixel::Picture::read(&shown.body, worker::pixel::PictureKind::Png).unwrap();
    assert_eq!((read.columns, read.rows, read.samples), (3, 4, 1));
    // Half a turn puts the last pixel first; it is the brightest, and this is the negative.
    assert!(read.bytes.is_sorted() && read.bytes[0] < 20 && read.bytes[11] > 100, "{:?}", read.bytes);
    let parts = service.get(path, "multipart/related; type=\"image/png\"").await;
    assert_eq!(parts.parts()[0].body, shown.body);

    let uri = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4&contentType=image/png\
               &presentationSeriesUID=1.8&presentationUID=1.9";
    assert_eq!(service.get(uri, "*/*").await.body, shown.body);
    for wrong in ["?window=1,2,linear", "?viewport=2,2,0,0,1,1"] {
        let answer = service.get(&format!("{path}{wrong}"), "image/png").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let other = service.get(&uri.replace("objectUID=1.4", "objectUID=1.5"), "*/*").await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert!(other.text().contains("does not refer"), "{}", other.text());
}

#[tokio::test]
async fn what_a_presentation_state_shows_may_change_and_what_cannot_be_there_is_left_out() {
    let service = Service::open().await;
    let mut state = state("1.9");
    let mut series = state.items(tags::REFERENCED_SERIES_SEQUENCE).to_vec();
    let mut odd = series[0].clone();
    odd.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "no UID");
    let mut gone = series[0].clone();
    gone.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "1.7");
    series.extend([odd, gone]);
    state.put_items(tags::REFERENCED_SERIES_SEQUENCE, series);
    service.store(&[explicit(&image("1.2", "1.3", "1.4")), explicit(&state)]).await;
    let path = "/studies/1.2/series/1.8/instances/1.9/rendered";
    let parts = "multipart/related; type=\"image/png\"";
    let first = service.get(path, parts).await;
    assert_eq!((first.status, first.parts().len()), (StatusCode::OK, 1), "{}", first.text());
    assert_eq!(first.field("cache-control"), "private, no-cache");
    service.store(&[explicit(&image("1.2", "1.7", "1.4.2"))]).await;
    let again = [("accept", parts), ("if-none-match", first.field("etag"))];
    assert_eq!(service.get_with(path, &again).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_presentation_state_with_more_images_than_anybody_looks_at_is_413() {
    let service = Service::open().await;
    let mut state = state("1.9");
    let mut series = state.items(tags::REFERENCED_SERIES_SEQUENCE)[0].clone();
    let reference = series.items(tags::REFERENCED_IMAGE_SEQUENCE)[0].clone();
    series.put_items(tags::REFERENCED_IMAGE_SEQUENCE, vec![reference; 10_001]);
    state.put_items(tags::REFERENCED_SERIES_SEQUENCE, vec![series]);
    service.store(&[explicit(&image("1.2", "1.3", "1.4")), explicit(&state)]).await;
    let answer = service.get("/studies/1.2/series/1.8/instances/1.9/rendered", "image/png").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text());
}

#[tokio::test]
async fn a_presentation_state_without_its_images_is_404() {
    let service = Service::open().await;
    service.store(&[explicit(&state("1.9"))]).await;
    let answer = service.get("/studies/1.2/series/1.8/instances/1.9/rendered", "image/png").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
}
