//! Conditional requests, ranges, and what is negotiated (RFC 9110 §8.8.3, §13, §14; PS3.18 §8.7).

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Tag, VR, transfer_syntax};
use http::StatusCode;
use rstest::rstest;
use wado::{Config, Negotiation};

use crate::service::{
    AS_STORED, Answer, INSTANCES, JSON, OCTETS, Service, explicit, image, parsed, pixels, rle,
};

const INSTANCE: &str = "/studies/1.2/series/1.3/instances/1.4";

async fn holding(files: &[Vec<u8>]) -> Service {
    let service = Service::open().await;
    service.store(files).await;
    service
}

#[rstest]
#[case::instance("", "application/dicom")]
#[case::instance_in_a_part("", AS_STORED)]
#[case::bulk_data_of_an_instance("", OCTETS)]
#[case::metadata("/metadata", JSON)]
#[case::frame("/frames/1", "application/octet-stream")]
#[case::frame_in_a_part("/frames/1", OCTETS)]
#[case::value("/bulkdata/7FE00010", "application/octet-stream")]
#[case::all_bulk_data("/bulkdata", OCTETS)]
#[case::pixel_data("/pixeldata", OCTETS)]
#[case::rendered("/rendered", "image/png")]
#[case::frame_rendered("/frames/1/rendered", "image/*")]
#[case::thumbnail("/thumbnail", "*/*")]
#[tokio::test]
async fn what_the_client_has_is_not_sent_again(#[case] path: &str, #[case] accept: &str) {
    let service = holding(&[rle(&image("1.2", "1.3", "1.4"))]).await;
    let path = format!("{INSTANCE}{path}");
    let first = service.get(&path, accept).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let tag = first.field("etag").to_owned();
    let again = service.get_with(&path, &[("accept", accept), ("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!((again.field("etag"), again.field("cache-control")), (&*tag, first.field("cache-control")));
    let other = service.get_with(&path, &[("accept", accept), ("if-none-match", "\"other\"")]).await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_another_answer_than_the_client_means_is_412() {
    let service = holding(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    let path = format!("{INSTANCE}/frames/1");
    let of = |accept, tag: String| {
        let (service, path) = (&service, &path);
        async move { service.get_with(path, &[("accept", accept), ("if-match", &tag)]).await.status }
    };
    let bare = "application/octet-stream";
    let tag = service.get(&path, bare).await.field("etag").to_owned();
    assert_eq!(of(bare, format!("\"x\", {tag}")).await, StatusCode::OK);
    assert_eq!(of(bare, "*".to_owned()).await, StatusCode::OK);
    assert_eq!(of(bare, "\"x\"".to_owned()).await, StatusCode::PRECONDITION_FAILED);
    let weak = service.get(&path, OCTETS).await.field("etag").to_owned();
    assert!(weak.starts_with("W/"));
    assert_eq!(of(OCTETS, weak).await, StatusCode::PRECONDITION_FAILED);
    let gone =
        service.get_with(&format!("{INSTANCE}/frames/9"), &[("accept", bare), ("if-match", "\"x\"")]).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[rstest]
#[case::instance("", &["application/dicom", INSTANCES, OCTETS, "application/zip"])]
#[case::metadata("/metadata", &[JSON, "application/json", "multipart/related; type=\"application/dicom+xml\""])]
#[case::frame("/frames/1", &["application/octet-stream", OCTETS])]
#[case::value("/bulkdata/7FE00010", &["application/octet-stream", OCTETS])]
#[case::rendered("/rendered", &["image/png", "image/jpeg", "multipart/related; type=\"image/png\""])]
#[tokio::test]
async fn no_two_forms_of_a_resource_have_the_same_tag(#[case] path: &str, #[case] forms: &[&str]) {
    let service = holding(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    let mut tags = std::collections::HashSet::new();
    for form in forms {
        let answer = service.get(&format!("{INSTANCE}{path}"), form).await;
        assert_eq!(answer.status, StatusCode::OK, "{form}: {}", answer.text());
        let tag = answer.field("etag").trim_start_matches("W/").to_owned();
        assert!(tags.insert(tag), "{form} has that of another form");
    }
}

#[rstest]
#[case::as_stored("", "application/dicom; transfer-syntax=*")]
#[case::converted("", "application/dicom")]
#[case::stored_frame("/frames/1", "application/octet-stream; transfer-syntax=*")]
#[case::decoded_frame("/frames/1", "application/octet-stream")]
#[case::value("/bulkdata/00091001", "application/octet-stream")]
#[case::rendered("/rendered", "image/png")]
#[tokio::test]
async fn a_range_of_a_single_item_can_be_had(#[case] path: &str, #[case] accept: &str) {
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_bytes(Tag(0x0009, 0x1001), VR::OB, (0..=255).cycle().take(5000).collect::<Vec<u8>>());
    let service = holding(&[rle(&attributes)]).await;
    let path = format!("{INSTANCE}{path}");
    let whole = service.get(&path, accept).await;
    assert_eq!((whole.status, whole.field("accept-ranges")), (StatusCode::OK, "bytes"));
    let (length, tag) = (whole.body.len(), whole.field("etag").to_owned());
    for (range, expected) in [
        ("bytes=0-3".to_owned(), 0..4),
        (format!("bytes={}-", length - 5), length - 5..length),
        ("bytes=-7".to_owned(), length - 7..length),
        ("bytes=9-999999".to_owned(), 9..length),
    ] {
        let fields = [("accept", accept), ("range", &range), ("if-range", &tag)];
        let part = service.get_with(&path, &fields).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(part.body, whole.body[expected.clone()], "{range}");
        let said = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
        assert_eq!(part.field("content-range"), said);
        assert_eq!(part.field("content-length"), expected.len().to_string());
        assert_eq!(part.field("content-type"), whole.field("content-type"));
    }
    let stale = [("accept", accept), ("range", "bytes=0-3"), ("if-range", "\"another\"")];
    assert_eq!(service.get_with(&path, &stale).await.body, whole.body);
    let beyond = service.get_with(&path, &[("accept", accept), ("range", "bytes=999999-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.field("content-range"), format!("bytes */{length}"));
}

#[tokio::test]
async fn text_is_compressed_as_the_client_likes_and_pixels_never() {
    let files: Vec<_> = (10..40).map(|n| explicit(&image("1.2", "1.3", &format!("1.4.{n}")))).collect();
    let service = holding(&files).await;
    let path = "/studies/1.2/series/1.3/metadata";
    let varies =
        |answer: &Answer| answer.headers.get_all("vary").iter().any(|field| field == "accept-encoding");
    for form in [JSON, "multipart/related; type=\"application/dicom+xml\""] {
        let plain = service.get(path, form).await;
        for encoding in ["gzip", "br", "zstd"] {
            let answer = service.get_with(path, &[("accept", form), ("accept-encoding", encoding)]).await;
            assert_eq!(answer.field("content-encoding"), encoding, "{form}");
            assert!(answer.body.len() * 5 < plain.body.len(), "{form} in {encoding}");
            assert!(varies(&answer), "{form}");
        }
        let again = service.get_with(path, &[("accept", form), ("if-none-match", plain.field("etag"))]).await;
        assert!(again.status == StatusCode::NOT_MODIFIED && varies(&again), "{form}");
    }
    let taken = [("accept", AS_STORED), ("accept-encoding", "gzip, br, zstd")];
    assert_eq!(service.get_with("/studies/1.2", &taken).await.field("content-encoding"), "");
}

/// The bulk data of an image in RLE, of one with an icon and a value of its own, and of a report.
#[tokio::test]
async fn bulk_data_of_all_levels_are_given_value_by_value() {
    let mut icon = Attributes::new();
    icon.put_bytes(tags::PIXEL_DATA, VR::OW, vec![3; 4000]);
    let mut second = image("1.2", "1.3", "1.5");
    second.put_bytes(Tag(0x0009, 0x1001), VR::OB, vec![5; 3000]);
    second.put_items(tags::ICON_IMAGE_SEQUENCE, vec![icon]);
    second.put_bytes(tags::PIXEL_DATA, VR::OW, vec![1; 48]);
    let mut report = image("1.2", "1.6", "1.7");
    report.remove(tags::PIXEL_DATA);
    let service = holding(&[rle(&image("1.2", "1.3", "1.4")), explicit(&second), explicit(&report)]).await;

    let bodies = async |path: &str| -> Vec<Vec<u8>> {
        let answer = service.get(path, OCTETS).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        for part in answer.parts() {
            let location = part.head.split("Content-Location: ").nth(1).unwrap().lines().next().unwrap();
            assert_eq!(service.get(location, OCTETS).await.parts()[0].body, part.body, "{location}");
        }
        answer.parts().into_iter().map(|part| part.body.to_vec()).collect()
    };
    let of_second = [vec![5; 3000], vec![3; 4000], vec![1; 48]];
    let all: Vec<_> = [vec![pixels()], of_second.to_vec()].concat();
    for path in ["/studies/1.2/bulkdata", "/studies/1.2", "/studies/1.2/series/1.3/bulkdata"] {
        let mut found = bodies(path).await;
        let mut expected = all.clone();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{path}");
    }
    assert_eq!(bodies("/studies/1.2/series/1.3/instances/1.5/bulkdata").await, of_second);
    assert_eq!(bodies(&format!("{INSTANCE}/pixeldata")).await, [pixels()]);
    let none = service.get("/studies/1.2/series/1.6/pixeldata", OCTETS).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let stored = service.get(&format!("{INSTANCE}/bulkdata"), &format!("{OCTETS}; transfer-syntax=*")).await;
    assert!(stored.parts()[0].head.contains(transfer_syntax::RLE));
}

#[tokio::test]
async fn a_bare_media_type_is_for_an_instance_and_not_for_a_series_of_one() {
    let service = holding(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    for (path, accept) in [
        ("/studies/1.2", "application/dicom"),
        ("/studies/1.2/series/1.3", "application/dicom"),
        ("/studies/1.2/rendered", "image/jpeg"),
        ("/studies/1.2/series/1.3/rendered", "image/png"),
    ] {
        assert_eq!(service.get(path, accept).await.status, StatusCode::NOT_ACCEPTABLE, "{path}");
    }
    let series = service.get("/studies/1.2/series/1.3", INSTANCES).await;
    assert_eq!(parsed(&series.parts()[0].body).0, transfer_syntax::EXPLICIT_LITTLE);
}

#[rstest]
#[case::metadata("/metadata", "application/dicom+json, image/png")]
#[case::rendered("/rendered", "image/jpeg, application/dicom")]
#[case::search("/../../../../../instances", "application/dicom+json, text/html")]
#[tokio::test]
async fn media_types_of_both_categories_are_400_where_the_settings_are_strict(
    #[case] path: &str,
    #[case] accept: &str,
) {
    let path = path.strip_prefix("/../../../../..").map_or(format!("{INSTANCE}{path}"), str::to_owned);
    let lenient = holding(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    assert_eq!(lenient.get(&path, accept).await.status, StatusCode::OK);
    let strict =
        Service::with(Config { open: true, negotiation: Negotiation::Strict, ..Config::default() }).await;
    strict.store(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    assert_eq!(strict.get(&path, accept).await.status, StatusCode::BAD_REQUEST);
}
