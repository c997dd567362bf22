//! Pictures, documents and video that metadata wrap (PS3.18 §10.5.1.4), and what people are shown of them (§8.7.4).

use dicom::dictionary_std::{tags, uids};
use dicom_store::model::{Attributes, Encoding, VR, transfer_syntax};
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};
use worker::pixel::{Bitmap, Channels, Format, GifAnimation, GifFrame, encode};

use crate::described::{FAILED, described, kept, send, stored, with_pixels};
use crate::service::{JSON, OCTETS, Service, encapsulated, explicit, file, image, rle_stream};

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

#[tokio::test]
async fn a_jpeg_of_an_odd_width_is_decoded_to_three_bytes_a_pixel() {
    let service = Service::open().await;
    let bitmap =
        Bitmap { width: 33, height: 21, channels: Channels::Rgb, bytes: [200, 100, 50].repeat(33 * 21) };
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL_422");
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 3),
        (tags::PLANAR_CONFIGURATION, 0),
        (tags::ROWS, 21),
        (tags::COLUMNS, 33),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
    ] {
        attributes.put_u16(tag, value);
    }
    let mut stream = encode(&bitmap, Format::Jpeg { quality: 95 }, None).unwrap();
    stream.resize(stream.len().next_multiple_of(2), 0);
    service.store(&[encapsulated(&attributes, transfer_syntax::JPEG_BASELINE, &[&stream])]).await;
    let frame = service.get(&format!("{INSTANCE}/frames/1"), "application/octet-stream").await;
    assert_eq!(frame.status, StatusCode::OK, "{}", frame.text());
    assert_eq!(frame.body.len(), 33 * 21 * 3);
    assert!(frame.body.chunks(3).all(|p| p[0].abs_diff(200) < 4 && p[2].abs_diff(50) < 4));
}

#[tokio::test]
async fn compressed_frames_are_one_value_by_the_uri_that_metadata_tell() {
    let service = Service::open().await;
    let mut metadata = bare("1.4");
    metadata["00280008"] = json!({"vr": "IS", "Value": [2]});
    let other = Bitmap { bytes: vec![77; 72], ..picture(Channels::Rgb) };
    let parts = [picture(Channels::Rgb), other].map(|bitmap| {
        ("image/jpeg", Some("x"), encode(&bitmap, Format::Jpeg { quality: 90 }, None).unwrap())
    });
    let (status, module) = send(&service, &metadata, &parts).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let metadata = service.get(&format!("{INSTANCE}/metadata"), JSON).await.json();
    let uri = metadata[0]["7FE00010"]["BulkDataURI"].as_str().unwrap();
    let frames = service.get(&format!("{INSTANCE}/frames/1,2"), OCTETS).await.parts();
    let expected = [&frames[0].body[..], &frames[1].body].concat();
    assert_eq!(expected.len(), 144);
    let value = service.get(uri, "application/octet-stream").await;
    assert_eq!((value.status, &value.body[..]), (StatusCode::OK, &expected[..]), "{}", value.text());
    assert_eq!((value.field("content-length"), value.field("content-location")), ("144", uri));
    assert_eq!(value.field("content-type"), "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1");
    let range = [("accept", "application/octet-stream"), ("range", "bytes=70-75")];
    assert_eq!(service.get_with(uri, &range).await.body, expected[70..76]);
    // In parts it is frame by frame; code streams that stand one behind the other are of no use.
    assert_eq!(service.get(uri, "*/*").await.parts().len(), 2);
    let streams = service.get(uri, "application/octet-stream; transfer-syntax=*").await;
    assert_eq!(streams.status, StatusCode::NOT_ACCEPTABLE);
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
#[case::in_the_middle([true, false, true], 200, 2)]
#[case::first([false, true, true], 200, 2)]
#[case::all([false, false, false], 500, 0)]
#[tokio::test]
async fn an_animation_goes_on_without_the_frames_that_cannot_be_decoded(
    #[case] are_whole: [bool; 3],
    #[case] status: u16,
    #[case] shown: usize,
) {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    let whole = rle_stream(attributes.bytes(tags::PIXEL_DATA).unwrap());
    let fragments = are_whole.map(|is_whole| if is_whole { &whole[..] } else { &[0; 64] });
    service.store(&[encapsulated(&attributes, transfer_syntax::RLE, &fragments)]).await;
    let answer = service.get(&format!("{INSTANCE}/rendered"), "image/gif").await;
    assert_eq!(answer.status.as_u16(), status);
    let images = answer.body.windows(3).filter(|bytes| *bytes == [0x21, 0xF9, 0x04]).count();
    assert_eq!(images, shown, "a graphic control for each picture");
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

#[rstest]
#[case::pdf(uids::ENCAPSULATED_PDF_STORAGE, "application/pdf", b"%PDF-1.4\n%%EOF\n\0", 15)]
#[case::cda(uids::ENCAPSULATED_CDA_STORAGE, "text/xml", b"<a></a>\0", 7)]
#[case::even(uids::ENCAPSULATED_CDA_STORAGE, "text/xml", b"<a></a>\n", 8)]
#[case::numbers(uids::ENCAPSULATED_STL_STORAGE, "model/stl", b"binary\0\0", 8)]
#[tokio::test]
async fn a_text_that_does_not_say_its_length_comes_without_the_byte_that_makes_it_even(
    #[case] class: &str,
    #[case] media: &str,
    #[case] value: &[u8],
    #[case] length: usize,
) {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.remove(tags::PIXEL_DATA);
    attributes.put_text(tags::SOP_CLASS_UID, VR::UI, class);
    attributes.put_text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, VR::LO, media);
    attributes.put_bytes(tags::ENCAPSULATED_DOCUMENT, VR::OB, value.to_vec());
    service.store(&[explicit(&attributes)]).await;
    for path in ["/rendered", "/bulkdata/00420011"] {
        let answer = service.get(&format!("{INSTANCE}{path}"), media).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &value[..length]), "{path}");
        assert_eq!(answer.field("content-length"), length.to_string(), "{path}");
    }
    let octets = service.get(&format!("{INSTANCE}/bulkdata/00420011"), "application/octet-stream").await;
    assert_eq!(octets.body, value);
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
    // A file whose only boxes are its type and its pictures, in 3 MiB.
    let head = [&b"\0\0\0\x10ftypisom\0\0\0\0"[..], &((3_u32 << 20) - 16).to_be_bytes(), b"mdat"].concat();
    let pictures = (0..=255).cycle().skip(head.len()).take((3 << 20) - head.len());
    let stream: Vec<u8> = head.iter().copied().chain(pictures).collect();
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
    let pixels = service.get(&format!("{INSTANCE}/pixeldata"), "*/*").await;
    assert_eq!(pixels.status, StatusCode::OK, "{}", pixels.text());
    assert!(pixels.field("content-type").contains("video/mp4") && pixels.parts()[0].body == stream);
    let decoded = service.get(&format!("{INSTANCE}/pixeldata"), OCTETS).await;
    assert_eq!(decoded.status, StatusCode::NOT_ACCEPTABLE);
    let player = service.get(&format!("{INSTANCE}/rendered"), "*/*").await;
    assert_eq!(player.field("content-type"), "video/mp4");
}

#[rstest]
#[case::small(57)]
#[case::large((3 << 20) + 1)]
#[tokio::test]
async fn an_mp4_file_of_an_odd_length_comes_back_to_the_byte(#[case] length: usize) {
    let service = Service::open().await;
    let size = u32::try_from(length - 16).unwrap().to_be_bytes();
    let mut stream = [&b"\0\0\0\x10ftypisom\0\0\0\0"[..], &size, b"mdat"].concat();
    stream.resize(length, 0);
    let mut metadata = with_pixels("1.4", "x");
    metadata["00280008"] = json!({"vr": "IS", "Value": [100]});
    let (status, module) = send(&service, &metadata, &[("video/mp4", Some("x"), stream.clone())]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let whole = length.to_string();
    for path in ["/rendered", "/frames/1"] {
        let path = format!("{INSTANCE}{path}");
        let answer = service.get(&path, "video/mp4").await;
        assert_eq!((answer.status, answer.field("content-length")), (StatusCode::OK, &*whole), "{path}");
        assert!(answer.body == stream, "{path}");
        let end = service.get_with(&path, &[("accept", "video/mp4"), ("range", "bytes=-3")]).await;
        let range = format!("bytes {}-{}/{length}", length - 3, length - 1);
        assert_eq!((end.field("content-range"), end.body.len()), (&*range, 3), "{path}");
    }
    // A zero of its own stays.
    stream.push(0);
    stream[16..20].copy_from_slice(&u32::try_from(length - 15).unwrap().to_be_bytes());
    metadata["00080018"]["Value"] = json!(["1.5"]);
    let (status, module) = send(&service, &metadata, &[("video/mp4", Some("x"), stream.clone())]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let other = service.get(&format!("{}/rendered", INSTANCE.replace("1.4", "1.5")), "video/mp4").await;
    assert!(other.body == stream);
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

#[tokio::test]
async fn the_documents_of_a_series_are_parts() {
    let service = Service::open().await;
    let mut document = image("1.2", "1.3", "1.6");
    document.remove(tags::PIXEL_DATA);
    document.put_text(tags::SOP_CLASS_UID, VR::UI, uids::ENCAPSULATED_PDF_STORAGE);
    document.put_text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, VR::LO, "application/pdf");
    document.put_bytes(tags::ENCAPSULATED_DOCUMENT, VR::OB, b"%PDF-1.4 %%EOF\n\0".to_vec());
    let mut second = report();
    second.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.5");
    service.store(&[explicit(&report()), explicit(&second), explicit(&document)]).await;
    let of = |path: &'static str, media: &'static str| {
        let (service, accept) = (&service, format!("multipart/related; type=\"{media}\""));
        async move { service.get(path, &accept).await }
    };
    for path in ["/studies/1.2/series/1.3/rendered", "/studies/1.2/rendered"] {
        let pages = of(path, "text/html").await;
        assert_eq!(pages.status, StatusCode::OK, "{}", pages.text());
        let pages = pages.parts();
        assert_eq!(pages.len(), 2);
        assert!(
            pages.iter().all(|page| page.head.contains("text/html") && page.body.starts_with(b"<!doctype"))
        );
        let documents = of(path, "application/pdf").await.parts();
        assert_eq!((documents.len(), &documents[0].body[..]), (1, &b"%PDF-1.4 %%EOF\n"[..]));
        assert_eq!(of(path, "image/jpeg").await.status, StatusCode::NOT_ACCEPTABLE);
        // A bare one is for an instance.
        assert_eq!(service.get(path, "text/html").await.status, StatusCode::NOT_ACCEPTABLE);
    }
    service
        .store(&[explicit(&{
            document.put_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.4.2");
            document.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.4.3");
            document
        })])
        .await;
    let any = service.get("/studies/1.4.2/rendered", "*/*").await.parts();
    assert!(any.len() == 1 && any[0].head.contains("application/pdf"));
    // Beside images they are given to who takes nothing else.
    service.store(&[explicit(&image("1.2", "1.9", "1.9.1"))]).await;
    assert_eq!(of("/studies/1.2/rendered", "text/html").await.parts().len(), 2);
    let any = service.get("/studies/1.2/rendered", "*/*").await.parts();
    assert!(any.len() == 1 && any[0].head.contains("image/jpeg"));
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
    let own = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.8&objectUID=1.9&contentType=image/png";
    assert_eq!(service.get(own, "*/*").await.body, shown.body);
    let region = service.get(&format!("{own}&region=0,0,0.5,1"), "*/*").await;
    assert_eq!(region.status, StatusCode::BAD_REQUEST);
    assert!(region.text().contains("has its own area"), "{}", region.text());
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
    assert_eq!((first.status, first.parts().len()), (StatusCode::PARTIAL_CONTENT, 1), "{}", first.text());
    let missing = "2 of the images that the presentation state refers to are not there";
    assert!(first.field("warning").ends_with(missing), "{}", first.field("warning"));
    let bare = service.get(path, "image/png").await;
    assert!(bare.status == StatusCode::OK && bare.field("warning").ends_with(missing), "{}", bare.text());
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

#[tokio::test]
async fn each_odd_frame_of_big_endian_is_given_by_itself() {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    for (tag, value) in [(tags::ROWS, 3), (tags::COLUMNS, 3), (tags::BITS_ALLOCATED, 8)] {
        attributes.put_u16(tag, value);
    }
    for (tag, value) in [(tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)] {
        attributes.put_u16(tag, value);
    }
    attributes.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    attributes.put_bytes(tags::PIXEL_DATA, VR::OW, (1..=27).chain([0]).collect::<Vec<u8>>());
    let data_set = attributes.write(Encoding::ExplicitBig);
    service.store(&[file(&attributes, transfer_syntax::EXPLICIT_BIG, data_set)]).await;
    for (number, first) in [(1, 1_u8), (2, 10), (3, 19)] {
        let answer = service.get(&format!("{INSTANCE}/frames/{number}"), OCTETS).await;
        assert_eq!(answer.status, StatusCode::OK, "frame {number}: {}", answer.text());
        assert_eq!(answer.parts()[0].body, (first..first + 9).collect::<Vec<u8>>(), "frame {number}");
    }
    let all = service.get(&format!("{INSTANCE}/frames/3,2"), OCTETS).await;
    let frames: Vec<_> = all.parts().iter().map(|part| part.body[0]).collect();
    assert_eq!(frames, [19, 10]);
}

#[tokio::test]
async fn a_lossy_jpeg_frame_of_an_odd_width_is_decoded_for_who_asks() {
    let service = Service::open().await;
    let picture = Bitmap { width: 5, height: 4, channels: Channels::Rgb, bytes: vec![200; 60] };
    let stream = encode(&picture, Format::Jpeg { quality: 90 }, None).unwrap();
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL_422");
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 3),
        (tags::PLANAR_CONFIGURATION, 0),
        (tags::COLUMNS, 5),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
    ] {
        attributes.put_u16(tag, value);
    }
    service.store(&[encapsulated(&attributes, transfer_syntax::JPEG_BASELINE, &[&stream])]).await;
    let answer = service.get(&format!("{INSTANCE}/frames/1"), OCTETS).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.parts()[0].body.len(), 60);
}

#[rstest]
#[case::video_s_samples("YBR_PARTIAL_420")]
#[case::retired("HSV")]
#[tokio::test]
async fn colours_that_are_not_shown_here_are_not_acceptable_as_a_picture(#[case] colours: &str) {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, colours);
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 3),
        (tags::PLANAR_CONFIGURATION, 0),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
    ] {
        attributes.put_u16(tag, value);
    }
    let bytes = if colours == "HSV" { 72 } else { 36 };
    attributes.put_bytes(tags::PIXEL_DATA, VR::OB, vec![9; bytes]);
    service.store(&[explicit(&attributes)]).await;
    let shown = service.get(&format!("{INSTANCE}/rendered"), "image/png").await;
    assert_eq!(shown.status, StatusCode::NOT_ACCEPTABLE, "{}", shown.text());
    let stored = service.get(&format!("{INSTANCE}/frames/1"), OCTETS).await;
    assert_eq!((stored.status, stored.parts()[0].body.len()), (StatusCode::OK, bytes));
}
