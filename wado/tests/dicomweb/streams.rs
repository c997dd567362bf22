//! What the streams of pixel data say themselves, where metadata tell of an instance (PS3.18 §10.5.1.4).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, FileMeta, transfer_syntax};
use http::StatusCode;

use rstest::rstest;
use serde_json::{Value, json};

use crate::described::{FAILED, described, send, with_pixels};
use crate::service::{AS_STORED, Service};

/// Metadata that say nothing of the image.
fn bare() -> Value {
    let mut bare = with_pixels("1.4", "x");
    bare.as_object_mut().unwrap().retain(|tag, _| !tag.starts_with("0028"));
    bare
}

/// Transfer syntax of an instance, and its attributes before the pixel data.
async fn stored_as(service: &Service, instance: &str) -> (String, Attributes) {
    let path = format!("/studies/1.2/series/1.3/instances/{instance}");
    let file = service.get(&path, AS_STORED).await.parts()[0].body.clone();
    let meta = FileMeta::read(&file, true).unwrap().unwrap();
    let pixels = memchr::memmem::find(&file, b"\xE0\x7F\x10\0OB").unwrap();
    let before = file.slice(usize::try_from(meta.data_set).unwrap()..pixels);
    let attributes = Attributes::read(before, meta.transfer_syntax.facts().encoding).unwrap();
    (meta.transfer_syntax.to_string(), attributes)
}

/// Failure Reason and Error Comment of the one that failed.
fn failure(module: &Value) -> (u64, &str) {
    let failed = &module[FAILED]["Value"][0];
    let reason = failed["00081197"]["Value"][0].as_u64().unwrap();
    (reason, failed["00000902"]["Value"][0].as_str().unwrap())
}

/// SIZ and COD of a JPEG 2000 code stream of 4 rows and 6 columns.
fn jpeg_2000(wavelet: u8) -> Vec<u8> {
    let mut stream = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
    for number in [6_u32, 4, 0, 0, 6, 4, 0, 0] {
        stream.extend(number.to_be_bytes());
    }
    stream.extend([0, 1, 7, 1, 1]);
    stream.extend([0xFF, 0x52, 0, 12, 0, 0, 0, 1, 0, 5, 4, 4, 0, wavelet]);
    stream.extend(b"\xFF\xD9");
    stream
}

/// The two bytes behind the components of the scan are NEAR and the interleave mode.
fn jpeg_ls(near: u8) -> Vec<u8> {
    [&b"\xFF\xD8\xFF\xF7\0\x0B\x08\0\x04\0\x06\x01\x01\x11\0\xFF\xDA\0\x08\x01\x01\0"[..], &[near, 0, 0]]
        .concat()
}

#[rstest]
#[case::reversible("image/jp2", jpeg_2000(1), transfer_syntax::JPEG_2000_LOSSLESS, None)]
#[case::irreversible("image/jp2", jpeg_2000(0), transfer_syntax::JPEG_2000, Some("ISO_15444_1"))]
#[case::high_throughput("image/jphc", jpeg_2000(0), transfer_syntax::HTJ2K, Some("ISO_15444_1"))]
#[case::part_2("image/jpx", jpeg_2000(0), transfer_syntax::JPEG_2000_MC, Some("ISO_15444_1"))]
#[case::exact("image/jls", jpeg_ls(0), transfer_syntax::JPEG_LS, None)]
#[case::near("image/jls", jpeg_ls(2), transfer_syntax::JPEG_LS_NEAR, Some("ISO_14495_1"))]
#[tokio::test]
async fn a_stream_that_loses_something_is_never_called_lossless(
    #[case] media: &str,
    #[case] stream: Vec<u8>,
    #[case] expected: &str,
    #[case] method: Option<&str>,
) {
    let service = Service::open().await;
    let (status, module) = send(&service, &bare(), &[(media, Some("x"), stream)]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let (syntax, attributes) = stored_as(&service, "1.4").await;
    assert_eq!(syntax, expected);
    assert_eq!(attributes.text(tags::LOSSY_IMAGE_COMPRESSION_METHOD).as_deref(), method);
}

#[rstest]
#[case(jpeg_2000(0), transfer_syntax::JPEG_2000_LOSSLESS)]
#[case(jpeg_ls(2), transfer_syntax::JPEG_LS)]
// The header of a JPEG XL code stream in the colours XYB.
#[case(vec![0xFF, 0x0A, 0x50, 0xA0, 0x01, 0x00, 0x13, 0x88], transfer_syntax::JPEG_XL_LOSSLESS)]
#[tokio::test]
async fn a_lossy_stream_under_the_name_of_a_lossless_syntax_is_refused(
    #[case] stream: Vec<u8>,
    #[case] named: &str,
) {
    let service = Service::open().await;
    let media = format!("application/octet-stream; transfer-syntax={named}");
    let (status, module) = send(&service, &bare(), &[(media.as_str(), Some("x"), stream)]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (reason, comment) = failure(&module);
    assert_eq!(reason, 0xA900);
    assert!(comment.starts_with("the code stream is lossy"), "{comment}");
}

fn boxed(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(8 + body.len()).unwrap();
    [&size.to_be_bytes(), kind.as_bytes(), &body].concat()
}

#[tokio::test]
async fn of_a_jp2_file_the_code_stream_is_stored() {
    let service = Service::open().await;
    let (head, end) = (boxed("jP  ", &[b"\r\n\x87\n"]), boxed("xml ", &[b"<x/>"]));
    let stream = jpeg_2000(1);
    let file = [head.clone(), boxed("ftyp", &[b"jp2 "]), boxed("jp2c", &[&stream]), end].concat();
    let mut metadata = bare();
    metadata["00280008"] = json!({"vr": "IS", "Value": [2]});
    let frame = ("image/jp2", Some("x"), file);
    let (status, module) = send(&service, &metadata, &[frame.clone(), frame]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    for number in [1, 2] {
        let path = format!("/studies/1.2/series/1.3/instances/1.4/frames/{number}");
        let frame = service.get(&path, "image/jp2").await;
        assert_eq!(frame.body.strip_suffix(&[0]).unwrap_or(&frame.body), stream);
    }
    let service = Service::open().await;
    let (status, module) = send(&service, &bare(), &[("image/jp2", Some("x"), head)]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(failure(&module), (0xC000, "the pixel data hold no code stream"));
}

/// An MP4 file of 25 pictures of 640 × 480, as it is written for who plays it while it comes.
fn mp4() -> Vec<u8> {
    mp4_of("avc1")
}

/// The same with pictures that are coded so.
fn mp4_of(kind: &str) -> Vec<u8> {
    [boxed("ftyp", &[b"isom\0\0\0\0"]), movie(kind), boxed("mdat", &[b"pictures"])].concat()
}

/// The box that tells of the pictures.
fn movie(kind: &str) -> Vec<u8> {
    let entry = [&[0; 24][..], &640_u16.to_be_bytes(), &480_u16.to_be_bytes(), &[0; 50]].concat();
    let description = boxed("stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &boxed(kind, &[&entry])]);
    let sizes = boxed("stsz", &[&[0; 8], &25_u32.to_be_bytes()]);
    let media = [
        boxed("hdlr", &[&[0; 8], b"vide", &[0; 13]]),
        boxed("minf", &[&boxed("stbl", &[&description, &sizes])]),
    ];
    boxed("moov", &[&boxed("trak", &[&boxed("mdia", &[&media.concat()])])])
}

#[tokio::test]
async fn a_video_tells_what_the_metadata_do_not() {
    let service = Service::open().await;
    let (status, module) = send(&service, &bare(), &[("video/mp4", Some("x"), mp4())]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let (_, found) = stored_as(&service, "1.4").await;
    let numbers = [
        tags::ROWS,
        tags::COLUMNS,
        tags::NUMBER_OF_FRAMES,
        tags::SAMPLES_PER_PIXEL,
        tags::BITS_ALLOCATED,
        tags::BITS_STORED,
        tags::HIGH_BIT,
        tags::PIXEL_REPRESENTATION,
    ];
    assert_eq!(numbers.map(|tag| found.int(tag).unwrap()), [480, 640, 25, 3, 8, 8, 7, 0]);
    assert_eq!(found.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref(), Some("YBR_PARTIAL_420"));

    let sequence = b"\0\0\x01\xBA\0\0\x01\xB3\x2D\x02\x40\x33".to_vec();
    let mut metadata = bare();
    metadata["00080018"]["Value"] = json!(["1.5"]);
    let part = ("video/mpeg", Some("x"), sequence);
    let (status, module) = send(&service, &metadata, std::slice::from_ref(&part)).await;
    assert_eq!((status, failure(&module).0), (StatusCode::CONFLICT, 0xC000), "{module}");
    assert!(failure(&module).1.starts_with("metadata lack Number of Frames"), "{module}");
    metadata["00280008"] = json!({"vr": "IS", "Value": [100]});
    let (status, module) = send(&service, &metadata, &[part]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let (syntax, found) = stored_as(&service, "1.5").await;
    assert_eq!((syntax.as_str(), found.int(tags::ROWS)), ("1.2.840.10008.1.2.4.101", Some(576)));
}

#[tokio::test]
async fn a_video_tells_it_behind_its_pictures_too() {
    let service = Service::open().await;
    let pictures = vec![7; 3 << 20];
    let file = [boxed("ftyp", &[b"isom\0\0\0\0"]), boxed("mdat", &[&pictures]), movie("avc1")].concat();
    let (status, module) = send(&service, &bare(), &[("video/mp4", Some("x"), file.clone())]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let (_, found) = stored_as(&service, "1.4").await;
    let numbers = [tags::ROWS, tags::COLUMNS, tags::NUMBER_OF_FRAMES].map(|tag| found.int(tag));
    assert_eq!(numbers, [Some(480), Some(640), Some(25)]);
    let played = service.get("/studies/1.2/series/1.3/instances/1.4/rendered", "video/mp4").await;
    assert_eq!(played.body.strip_suffix(&[0]).unwrap_or(&played.body), file);
}

#[tokio::test]
async fn a_video_that_nobody_describes_is_refused() {
    let service = Service::open().await;
    let file = [boxed("ftyp", &[b"isom\0\0\0\0"]), boxed("mdat", &[b"pictures"])].concat();
    let (status, module) = send(&service, &bare(), &[("video/mp4", Some("x"), file)]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(failure(&module).0, 0xC000);
    assert!(failure(&module).1.starts_with("metadata lack Rows"), "{module}");
}

#[rstest]
#[case("video/mp4", "avc1", "1.2.840.10008.1.2.4.102", "ISO_14496_10")]
#[case("video/mp4", "hvc1", "1.2.840.10008.1.2.4.107", "ISO_23008_2")]
#[case("video/H265", "hev1", "1.2.840.10008.1.2.4.107", "ISO_23008_2")]
#[case("video/mpeg", "avc1", "1.2.840.10008.1.2.4.102", "ISO_14496_10")]
#[case(
    "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.105",
    "avc1",
    "1.2.840.10008.1.2.4.105",
    "ISO_14496_10"
)]
#[tokio::test]
async fn a_video_is_stored_in_the_transfer_syntax_of_its_coding(
    #[case] media: &str,
    #[case] kind: &str,
    #[case] expected: &str,
    #[case] method: &str,
) {
    let service = Service::open().await;
    let (status, module) = send(&service, &bare(), &[(media, Some("x"), mp4_of(kind))]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
    let (syntax, attributes) = stored_as(&service, "1.4").await;
    assert_eq!(syntax, expected);
    assert_eq!(attributes.text(tags::LOSSY_IMAGE_COMPRESSION_METHOD).as_deref(), Some(method));
}

#[rstest]
#[case::another("video/mp4; transfer-syntax=1.2.840.10008.1.2.4.107", mp4_of("avc1"), 0xA900)]
#[case::of_none("video/mp4", mp4_of("vp09"), 0xC122)]
#[case::no_video("video/mp4", b"xxxxxxxx".to_vec(), 0xC122)]
#[case::no_video_by_name("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.102", b"xxxxxxxx".to_vec(), 0xC122)]
#[tokio::test]
async fn what_is_no_such_video_is_refused(#[case] media: &str, #[case] stream: Vec<u8>, #[case] reason: u64) {
    let service = Service::open().await;
    let mut metadata = with_pixels("1.4", "x");
    metadata["00280008"] = json!({"vr": "IS", "Value": [25]});
    metadata["00280010"]["Value"] = json!([480]);
    metadata["00280011"]["Value"] = json!([640]);
    metadata["00280002"]["Value"] = json!([3]);
    let (status, module) = send(&service, &metadata, &[(media, Some("x"), stream)]).await;
    assert_eq!((status, failure(&module).0), (StatusCode::CONFLICT, reason), "{module}");
}

#[tokio::test]
async fn a_jpeg_of_four_colours_has_no_transfer_syntax() {
    let service = Service::open().await;
    let four = b"\xFF\xD8\xFF\xC0\0\x14\x08\0\x04\0\x06\x04\x01\x11\0\x02\x11\0\x03\x11\0\x04\x11\0\xFF\xD9";
    let (status, module) = send(&service, &bare(), &[("image/jpeg", Some("x"), four.to_vec())]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(failure(&module), (0xC122, "no image has 4 components, as this code stream has"));
}

#[tokio::test]
async fn pixel_data_within_the_metadata_have_the_length_of_the_image() {
    let service = Service::open().await;
    let with = |base64: String| {
        let mut metadata = described("1.4");
        metadata["7FE00010"] = json!({"vr": "OW", "InlineBinary": base64});
        metadata
    };
    // Three bytes are four characters.
    let (status, module) = send(&service, &with("AAAA".repeat(15)), &[]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(failure(&module), (0xC000, "pixel data have 45 bytes, the image has 48"));
    let (status, module) = send(&service, &with("AAAA".repeat(16)), &[]).await;
    assert_eq!(status, StatusCode::OK, "{module}");
}

#[tokio::test]
async fn a_transparent_png_is_refused_for_it_would_lose_something() {
    let service = Service::open().await;
    // Two pixels of red, green, blue and alpha, each half of what can be, in one block that is not compressed.
    let header = [&b"IHDR"[..], &[0, 0, 0, 2, 0, 0, 0, 1, 8, 6, 0, 0, 0]].concat();
    let row =
        [&b"IDAT"[..], &[0x78, 0x01, 1, 9, 0, !9, 0xFF, 0], &[128; 8], &[0x12, 0x09, 0x04, 0x01]].concat();
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    for chunk in [&header[..], &row, b"IEND"] {
        file.extend(u32::try_from(chunk.len() - 4).unwrap().to_be_bytes());
        file.extend(chunk);
        file.extend(crc32fast::hash(chunk).to_be_bytes());
    }
    let (status, module) = send(&service, &bare(), &[("image/png", Some("x"), file)]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (reason, comment) = failure(&module);
    assert_eq!(reason, 0xC000);
    assert!(comment.starts_with("PNG has transparent pixels"), "{comment}");
}
