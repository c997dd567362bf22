//! Instances whose metadata and bulk data come in parts of their own (PS3.18 §10.5.1.4).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, VR, transfer_syntax};
use http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::service::{AS_STORED, JSON, OCTETS, Service, image, parsed, pixels};

const REFERENCED: &str = "00081199";
pub(crate) const FAILED: &str = "00081198";
const OTHER: &str = "0008119A";
const PIXELS: &str = "7FE00010";
/// A private value among the attributes of the image.
const PRIVATE: &str = "00091001";
const OCTET_STREAM: &str = "application/octet-stream";

/// The image without its pixels, as JSON.
pub(crate) fn described(instance: &str) -> Value {
    let mut attributes = image("1.2", "1.3", instance);
    attributes.remove(tags::PIXEL_DATA);
    json!({
        "00080016": {"vr": "UI", "Value": [attributes.uid(tags::SOP_CLASS_UID)]},
        "00080018": {"vr": "UI", "Value": [instance]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^An"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
        "0020000E": {"vr": "UI", "Value": ["1.3"]},
        "00280002": {"vr": "US", "Value": [1]},
        "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
        "00280010": {"vr": "US", "Value": [4]},
        "00280011": {"vr": "US", "Value": [6]},
        "00280100": {"vr": "US", "Value": ["16"]},
        "00280101": {"vr": "US", "Value": [16]},
        "00280102": {"vr": "US", "Value": [15]},
        "00280103": {"vr": "US", "Value": [0]},
    })
}

pub(crate) fn with_pixels(instance: &str, url: &str) -> Value {
    let mut described = described(instance);
    described[PIXELS] = json!({"vr": "OW", "BulkDataURI": url});
    described
}

/// A part: its media type, its location, its bytes.
pub(crate) type Part<'a> = (&'a str, Option<&'a str>, Vec<u8>);

pub(crate) async fn send(service: &Service, metadata: &Value, bulk: &[Part<'_>]) -> (StatusCode, Value) {
    let mut body = Vec::new();
    let metadata = (JSON, None, metadata.to_string().into_bytes());
    for (media, location, bytes) in std::iter::once(&metadata).chain(bulk) {
        body.extend_from_slice(format!("--b\r\nContent-Type: {media}\r\n").as_bytes());
        if let Some(location) = location {
            body.extend_from_slice(format!("Content-Location: {location}\r\n").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    let content_type = "multipart/related; type=\"application/dicom+json\"; boundary=b";
    let answer = service.post("/studies", content_type, body).await;
    let json = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status, json)
}

pub(crate) fn stored(module: &Value) -> Vec<&str> {
    let items = module[REFERENCED]["Value"].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().map(|item| item["00081155"]["Value"][0].as_str().unwrap()).collect()
}

pub(crate) async fn kept(service: &Service, instance: &str) -> (String, Attributes) {
    let answer = service.get(&format!("/studies/1.2/series/1.3/instances/{instance}"), AS_STORED).await;
    parsed(&answer.parts()[0].body)
}

#[tokio::test]
async fn pixels_that_a_url_tells_are_stored_in_their_place() {
    let service = Service::open().await;
    let part = (OCTET_STREAM, Some("bulk/1"), pixels());
    let (status, module) = send(&service, &json!([with_pixels("1.4", "bulk/1")]), &[part]).await;
    assert_eq!((status, stored(&module)), (StatusCode::OK, vec!["1.4"]), "{module}");
    let (syntax, attributes) = kept(&service, "1.4").await;
    assert_eq!(syntax, transfer_syntax::EXPLICIT_LITTLE);
    assert_eq!(attributes.bytes(tags::PIXEL_DATA).unwrap(), &pixels());
    assert_eq!(attributes.text(tags::PATIENT_NAME).as_deref(), Some("Nguyễn^An"));
    assert_eq!((attributes.int(tags::ROWS), attributes.int(tags::BITS_ALLOCATED)), (Some(4), Some(16)));
}

#[tokio::test]
async fn instances_without_bulk_data_are_stored_as_they_come_and_one_that_is_wrong_harms_no_other() {
    let service = Service::open().await;
    let mut wrong = described("1.5");
    wrong["00280010"]["Value"] = json!(["many"]);
    let all = json!([described("1.4"), wrong, described("1.6")]);
    let (status, module) = send(&service, &all, &[]).await;
    assert_eq!((status, stored(&module)), (StatusCode::ACCEPTED, vec!["1.4", "1.6"]));
    let failed = &module[FAILED]["Value"][0];
    assert_eq!(
        (&failed["00081155"]["Value"][0], &failed["00081197"]["Value"][0]),
        (&json!("1.5"), &json!(0xC000))
    );
    let comment = failed["00000902"]["Value"][0].as_str().unwrap();
    assert_eq!(comment, "(0028,0010) has what is no value of US");
}

#[tokio::test]
async fn bulk_data_may_come_in_any_order() {
    let service = Service::open().await;
    let mut first = with_pixels("1.4", "p/1");
    first[PRIVATE] = json!({"vr": "UN", "BulkDataURI": "v/1"});
    let all = json!([first, with_pixels("1.5", "p/2")]);
    let parts = [
        (OCTET_STREAM, Some("p/2"), pixels()),
        (OCTET_STREAM, Some("p/1"), pixels()),
        (OCTET_STREAM, Some("v/1"), b"ABCD".to_vec()),
    ];
    let (status, module) = send(&service, &all, &parts).await;
    assert_eq!((status, stored(&module).len()), (StatusCode::OK, 2), "{module}");
    let (_, attributes) = kept(&service, "1.4").await;
    assert_eq!(attributes.bytes(dicom::core::Tag(0x0009, 0x1001)).unwrap(), &b"ABCD"[..]);
    assert_eq!(attributes.bytes(tags::PIXEL_DATA).unwrap(), &pixels());
}

#[tokio::test]
async fn a_part_without_a_location_is_what_is_waited_for() {
    let service = Service::open().await;
    let (status, _) = send(&service, &with_pixels("1.4", "x"), &[(OCTET_STREAM, None, pixels())]).await;
    assert_eq!(status, StatusCode::OK);
}

#[rstest]
#[case::baseline(
    "image/jpeg",
    b"\xFF\xD8\xFF\xE0\0\x04ab\xFF\xC0\0\x0B\x08\0\x04\0\x06\x01\x01\x11\0\xFF\xD9",
    transfer_syntax::JPEG_BASELINE
)]
#[case::lossless(
    "image/jpeg",
    b"\xFF\xD8\xFF\xC3\0\x0B\x10\0\x04\0\x06\x01\x01\x11\0\xFF\xDA\0\x08\x01\x01\0\x01\0\0\x7F\xFF\xD9",
    transfer_syntax::JPEG_LOSSLESS_SV1
)]
#[case::by_uid(
    "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.57",
    b"\xFF\xD8\xFF\xD9",
    transfer_syntax::JPEG_LOSSLESS
)]
#[case::jpeg_2000("image/jp2", b"\xFF\x4F\xFF\x51odd", transfer_syntax::JPEG_2000_LOSSLESS)]
#[case::octets(
    "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.80",
    b"\xFF\xD8\xFF\xF7",
    transfer_syntax::JPEG_LS
)]
#[tokio::test]
async fn compressed_pixels_are_stored_unchanged(
    #[case] media: &str,
    #[case] stream: &[u8],
    #[case] syntax: &str,
) {
    let service = Service::open().await;
    let part = (media, Some("x"), stream.to_vec());
    let (status, module) = send(&service, &with_pixels("1.4", "x"), &[part]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let accept = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
    let frame = service.get("/studies/1.2/series/1.3/instances/1.4/frames/1", accept).await;
    let part = &frame.parts()[0];
    assert!(part.head.contains(syntax), "{}", part.head);
    // A fragment has an even length (PS3.5 §A.4).
    assert_eq!(part.body.strip_suffix(&[0]).unwrap_or(&part.body), stream);
}

#[tokio::test]
async fn each_part_is_a_frame_of_several() {
    let service = Service::open().await;
    let mut described = with_pixels("1.4", "x");
    described["00280008"] = json!({"vr": "IS", "Value": [3]});
    let frames: Vec<Part<'_>> = (1..=3).map(|n| ("image/jls", Some("x"), vec![0xFF, 0xD8, n, n])).collect();
    let (status, module) = send(&service, &described, &frames).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let accept = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
    let second = service.get("/studies/1.2/series/1.3/instances/1.4/frames/2", accept).await;
    assert_eq!(second.parts()[0].body, &[0xFF, 0xD8, 2, 2][..]);
    let (status, module) = send(&service, &json!([with_frames("1.5", 3)]), &frames[..2]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(module[FAILED]["Value"][0]["00000902"]["Value"][0], "2 frames came, the image has 3");
}

fn with_frames(instance: &str, frames: u32) -> Value {
    let mut described = with_pixels(instance, "x");
    described["00280008"] = json!({"vr": "IS", "Value": [frames]});
    described
}

#[tokio::test]
async fn instances_whose_frames_come_in_turns_are_few() {
    let service = Service::open().await;
    let uids = ["1.4", "1.5", "1.6", "1.7", "1.8", "1.9"];
    let mut all = uids.map(|uid| with_frames(uid, 2));
    for (described, uid) in all.iter_mut().zip(uids) {
        described[PIXELS]["BulkDataURI"] = json!(uid);
    }
    let parts: Vec<Part<'_>> =
        uids.iter().chain(&uids).map(|uid| (OCTET_STREAM, Some(*uid), pixels())).collect();
    let (status, module) = send(&service, &json!(all), &parts).await;
    assert_eq!((status, stored(&module)), (StatusCode::ACCEPTED, uids[..4].to_vec()));
    let comment = module[FAILED]["Value"][1]["00000902"]["Value"][0].as_str().unwrap();
    assert!(comment.starts_with("parts of more than 4 instances come in turns"), "{comment}");
}

#[tokio::test]
async fn native_frames_may_come_one_by_one() {
    let service = Service::open().await;
    let parts = [(OCTET_STREAM, Some("x"), pixels()), (OCTET_STREAM, Some("x"), pixels())];
    let (status, module) = send(&service, &with_frames("1.4", 2), &parts).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let frame = service.get("/studies/1.2/series/1.3/instances/1.4/frames/2", OCTETS).await;
    assert_eq!(frame.parts()[0].body, pixels());
}

#[rstest]
#[case::none(vec![], "1 of its bulk data did not come")]
#[case::too_short(vec![(OCTET_STREAM, Some("x"), vec![0; 46])], "pixel data have 46 bytes, the image has 48")]
#[case::too_long(vec![(OCTET_STREAM, Some("x"), vec![0; 50])], "more pixel data come than the image has")]
#[case::no_pixels(vec![("text/plain", Some("x"), vec![0; 48])], "pixel data cannot be of the media type text/plain")]
#[tokio::test]
async fn what_is_wrong_with_the_pixels_is_told(#[case] parts: Vec<Part<'static>>, #[case] told: &str) {
    let service = Service::open().await;
    let (status, module) = send(&service, &with_pixels("1.4", "x"), &parts).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(module[FAILED]["Value"][0]["00000902"]["Value"][0], told);
    assert_eq!(service.get("/studies/1.2", AS_STORED).await.status, StatusCode::NOT_FOUND);
}

/// An image of 3 rows and 3 columns of 8 bits.
fn odd(instance: &str) -> Value {
    let mut odd = with_pixels(instance, "x");
    for (tag, value) in [("00280010", 3), ("00280011", 3), ("00280100", 8), ("00280101", 8), ("00280102", 7)]
    {
        odd[tag]["Value"] = json!([value]);
    }
    odd
}

#[tokio::test]
async fn pixels_of_an_odd_length_may_come_as_they_are_given() {
    let service = Service::open().await;
    let first = (OCTET_STREAM, Some("x"), (1..=9).collect::<Vec<u8>>());
    let (status, module) = send(&service, &odd("1.4"), &[first]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let given = service
        .get("/studies/1.2/series/1.3/instances/1.4/bulkdata/7FE00010", OCTETS)
        .await
        .parts()
        .remove(0);
    assert_eq!(*given.body, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    let again = (OCTET_STREAM, Some("x"), given.body.to_vec());
    let (status, module) = send(&service, &odd("1.5"), &[again]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let [(_, first), (_, second)] = [kept(&service, "1.4").await, kept(&service, "1.5").await];
    assert_eq!(first.bytes(tags::PIXEL_DATA), second.bytes(tags::PIXEL_DATA));
    assert_eq!(second.bytes(tags::PIXEL_DATA).unwrap(), &given.body);
    for more in [vec![1; 10], vec![0; 11]] {
        let (status, module) = send(&service, &odd("1.6"), &[(OCTET_STREAM, Some("x"), more)]).await;
        assert_eq!(status, StatusCode::CONFLICT, "{module}");
    }
}

#[tokio::test]
async fn frames_beyond_their_number_are_accounted_for() {
    let service = Service::open().await;
    let frame = |number: u8| ("image/jls", Some("x"), vec![0xFF, 0xD8, number, number]);
    let frames = [1, 2, 3, 4, 5].map(frame);
    let (status, module) = send(&service, &with_frames("1.4", 3), &frames).await;
    assert_eq!((status, stored(&module)), (StatusCode::ACCEPTED, vec!["1.4"]), "{module}");
    let others = module[OTHER]["Value"].as_array().unwrap();
    assert_eq!(others.len(), 2, "{module}");
    assert_eq!(others[0]["00081197"]["Value"][0], 0xC000);
    let told = "the instance that tells of this part has that value already";
    assert_eq!(others[0]["00000902"]["Value"][0], told);

    // Those of an instance that fails are accounted for with it.
    let parts = [(OCTET_STREAM, Some("x"), vec![0; 50]), (OCTET_STREAM, Some("x"), pixels())];
    let (status, module) = send(&service, &with_frames("1.5", 1), &parts).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(module[FAILED]["Value"].as_array().unwrap().len(), 1);
    assert!(module.get(OTHER).is_none(), "{module}");
}

#[tokio::test]
async fn a_value_that_comes_twice_is_accounted_for_while_others_are_missing() {
    let service = Service::open().await;
    let mut described = with_pixels("1.4", "x");
    described[PRIVATE] = json!({"vr": "UN", "BulkDataURI": "v"});
    let parts = [
        (OCTET_STREAM, Some("v"), b"ABCD".to_vec()),
        (OCTET_STREAM, Some("v"), b"EFGH".to_vec()),
        (OCTET_STREAM, Some("x"), pixels()),
    ];
    let (status, module) = send(&service, &described, &parts).await;
    assert_eq!((status, stored(&module)), (StatusCode::ACCEPTED, vec!["1.4"]), "{module}");
    assert_eq!(module[OTHER]["Value"].as_array().unwrap().len(), 1, "{module}");
    let (_, attributes) = kept(&service, "1.4").await;
    assert_eq!(attributes.bytes(dicom::core::Tag(0x0009, 0x1001)).unwrap(), &b"ABCD"[..]);
}

#[tokio::test]
async fn a_part_that_no_metadata_tell_of_is_accounted_for() {
    let service = Service::open().await;
    let parts = [(OCTET_STREAM, Some("y"), pixels()), (OCTET_STREAM, Some("x"), pixels())];
    let (status, module) = send(&service, &with_pixels("1.4", "x"), &parts).await;
    assert_eq!((status, stored(&module)), (StatusCode::ACCEPTED, vec!["1.4"]));
    assert_eq!(module[OTHER]["Value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_contours_of_an_instance_may_be_long() {
    let service = Service::open().await;
    let mut metadata = described("1.4");
    // A structure of 500 contours of 400 points, in 4 MiB and more.
    let contour = json!({
        "30060046": {"vr": "IS", "Value": [400]},
        "30060050": {"vr": "DS", "Value": vec![-123.25; 1200]},
    });
    metadata["30060039"] =
        json!({"vr": "SQ", "Value": [{"30060040": {"vr": "SQ", "Value": vec![contour; 500]}}]});
    assert!(metadata.to_string().len() > 4 << 20);
    let answer = service.post("/studies", JSON, metadata.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let (_, found) = kept(&service, "1.4").await;
    let contours = found.items(dicom::core::Tag(0x3006, 0x0039))[0].items(dicom::core::Tag(0x3006, 0x0040));
    assert_eq!(contours.len(), 500);
    assert_eq!(contours[499].texts(dicom::core::Tag(0x3006, 0x0050)).len(), 1200);

    // Almost nothing, so often that it would need gigabytes.
    let mut metadata = described("1.5");
    metadata["30060039"] = json!({"vr": "SQ", "Value": vec![json!({"00080000": {}}); 400_000]});
    let answer = service.post("/studies", JSON, metadata.to_string()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text());
}

#[tokio::test]
async fn metadata_of_another_study_than_the_path_are_not_stored() {
    let service = Service::open().await;
    let answer = service.post("/studies/9.9", JSON, described("1.4").to_string()).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.json()[FAILED]["Value"][0]["00081197"]["Value"][0], 0xA900);
}

#[tokio::test]
async fn xml_is_taken_as_well() {
    let service = Service::open().await;
    service.store(&[crate::service::explicit(&image("1.2", "1.3", "1.4"))]).await;
    let xml = service.get("/studies/1.2/metadata", "multipart/related; type=\"application/dicom+xml\"").await;
    let document = String::from_utf8(xml.parts()[0].body.to_vec()).unwrap().replace(">1.4<", ">1.5<");
    let url = document.split("uri=\"").nth(1).unwrap().split('"').next().unwrap();
    let mut body = format!("--b\r\nContent-Type: application/dicom+xml\r\n\r\n{document}\r\n").into_bytes();
    body.extend_from_slice(
        format!("--b\r\nContent-Type: {OCTET_STREAM}\r\nContent-Location: {url}\r\n\r\n").as_bytes(),
    );
    body.extend_from_slice(&pixels());
    body.extend_from_slice(b"\r\n--b--");
    let content_type = "multipart/related; type=\"application/dicom+xml\"; boundary=b";
    let answer = service.post("/studies", content_type, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let ((_, first), (_, second)) = (kept(&service, "1.4").await, kept(&service, "1.5").await);
    for element in &first {
        if element.tag != tags::SOP_INSTANCE_UID {
            assert_eq!(second.get(element.tag), Some(element), "{:?}", element.tag);
        }
    }
    assert_eq!(second.bytes(tags::PIXEL_DATA).unwrap(), &pixels());
    assert!(second.get(tags::PIXEL_DATA).is_some_and(|element| element.vr == VR::OW));
}
