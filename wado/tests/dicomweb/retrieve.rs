use dicom::dictionary_std::{tags, uids};
use dicom_store::model::{Encoding, Tag, VR, transfer_syntax};
use dicom_store::{DerivedKey, fixture};
use http::StatusCode;
use rstest::rstest;

use crate::service::{
    AS_STORED, INSTANCES, JSON, OCTETS, Service, encapsulated, explicit, file, image, parsed, pixels, rle,
};

const INSTANCE: &str = "/studies/1.2/series/1.3/instances/1.4";

#[tokio::test]
async fn gives_back_the_stored_bytes() {
    let service = Service::open().await;
    let stored = explicit(&image("1.2", "1.3", "1.4"));
    service.store(std::slice::from_ref(&stored)).await;
    for accept in [AS_STORED, INSTANCES, "*/*"] {
        let answer = service.get(INSTANCE, accept).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.field("content-length"), answer.body.len().to_string());
        assert_eq!(answer.parts()[0].body, stored);
        assert!(answer.parts()[0].head.contains("transfer-syntax=1.2.840.10008.1.2.1"));
    }
    let bare = service.get(INSTANCE, "application/dicom").await;
    assert_eq!((bare.status, bare.body.to_vec()), (StatusCode::OK, stored));
}

#[rstest]
#[case::implicit(Encoding::ImplicitLittle, transfer_syntax::IMPLICIT_LITTLE)]
#[case::big_endian(Encoding::ExplicitBig, transfer_syntax::EXPLICIT_BIG)]
#[tokio::test]
async fn rewrites_other_native_encodings_as_explicit_little_endian(
    #[case] encoding: Encoding,
    #[case] syntax: &str,
) {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    // Bulk in a sequence, odd in length, and a text too long for a length of 16 bits.
    let mut item = dicom_store::model::Attributes::new();
    item.put_bytes(Tag(0x0042, 0x0011), VR::OB, vec![7; 5000]);
    attributes.put_items(tags::REFERENCED_IMAGE_SEQUENCE, vec![item]);
    attributes.put_text(tags::PATIENT_COMMENTS, VR::LT, &"x".repeat(70_000));
    service.store(&[file(&attributes, syntax, attributes.write(encoding))]).await;

    let answer = service.get(INSTANCE, INSTANCES).await;
    let (given, found) = parsed(&answer.parts()[0].body);
    assert_eq!(given, transfer_syntax::EXPLICIT_LITTLE);
    assert_eq!(found.bytes(tags::PIXEL_DATA).unwrap(), &pixels());
    assert_eq!(found.text(tags::PATIENT_NAME).unwrap(), "Nguyễn^An");
    assert_eq!(found.items(tags::OTHER_PATIENT_I_DS_SEQUENCE).len(), 2);
    assert_eq!(
        found.items(tags::REFERENCED_IMAGE_SEQUENCE)[0].bytes(Tag(0x0042, 0x0011)).unwrap(),
        &vec![7; 5000]
    );
    assert_eq!(found.bytes(tags::PATIENT_COMMENTS).unwrap().len(), 70_000);
    let stored = service.get(INSTANCE, AS_STORED).await;
    assert_eq!(parsed(&stored.parts()[0].body).0, syntax);
}

#[tokio::test]
async fn decodes_compressed_instances_and_frames_unless_told_otherwise() {
    let service = Service::open().await;
    let stored = rle(&image("1.2", "1.3", "1.4"));
    service.store(std::slice::from_ref(&stored)).await;

    let answer = service.get(INSTANCE, INSTANCES).await;
    let (syntax, found) = parsed(&answer.parts()[0].body);
    assert_eq!(syntax, transfer_syntax::EXPLICIT_LITTLE);
    assert_eq!(found.bytes(tags::PIXEL_DATA).unwrap(), &pixels());
    assert_eq!(service.get(INSTANCE, AS_STORED).await.parts()[0].body, stored);

    let frame = format!("{INSTANCE}/frames/1");
    let native = service.get(&frame, OCTETS).await;
    assert_eq!(native.parts()[0].body, pixels());
    assert!(native.parts()[0].head.contains("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"));
    let viewers =
        service.get(&frame, "multipart/related; type=application/octet-stream; transfer-syntax=*").await;
    assert!(
        viewers.parts()[0].head.contains("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5")
    );
    let own = service.get(&frame, "image/dicom-rle").await;
    assert_eq!((own.status, &own.body), (StatusCode::OK, &viewers.parts()[0].body));
    assert_eq!(service.get(&frame, "image/jxl").await.status, StatusCode::NOT_ACCEPTABLE);
}

fn parsed_syntax(part: &crate::service::Part) -> String {
    let meta = dicom_store::model::FileMeta::read(&part.body, true).unwrap().unwrap();
    meta.transfer_syntax.to_string()
}

/// An image in RLE whose stream has a tenth of its rows.
fn broken(instance: &str) -> Vec<u8> {
    let mut attributes = image("1.2", "1.3", instance);
    attributes.put_u16(tags::ROWS, 40);
    rle(&attributes)
}

#[tokio::test]
async fn what_cannot_be_decoded_comes_as_it_is_stored_and_cuts_no_study() {
    let service = Service::open().await;
    let broken = broken("1.5");
    service
        .store(&[rle(&image("1.2", "1.3", "1.4")), broken.clone(), explicit(&image("1.2", "1.3", "1.6"))])
        .await;
    let answer = service.get("/studies/1.2", INSTANCES).await;
    let parts = answer.parts();
    let as_stored = parts.iter().find(|part| part.head.contains(transfer_syntax::RLE)).unwrap();
    assert_eq!((answer.status, parts.len(), &as_stored.body[..]), (StatusCode::OK, 3, &broken[..]));
    let others = parts.iter().filter(|part| parsed_syntax(part) == transfer_syntax::EXPLICIT_LITTLE);
    assert_eq!(others.count(), 2);
    let alone = service.get("/studies/1.2/series/1.3/instances/1.5", "application/dicom").await;
    assert_eq!((alone.status, alone.body.to_vec()), (StatusCode::OK, broken));

    let zip = service.get("/studies/1.2", "application/zip").await;
    // Entries by the end of the central directory: the three, and their DICOMDIR.
    assert_eq!((zip.status, zip.body[zip.body.len() - 12]), (StatusCode::OK, 4));
    let named = INSTANCES.to_owned() + "; transfer-syntax=" + transfer_syntax::EXPLICIT_LITTLE;
    let named = service.get("/studies/1.2/series/1.3/instances/1.5", &named).await;
    assert_eq!(named.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn images_that_cannot_be_shown_are_left_out_of_a_study() {
    let images = "multipart/related; type=\"image/png\"";
    let service = Service::open().await;
    let video = encapsulated(&image("1.2", "1.3", "1.5"), "1.2.840.10008.1.2.4.102", &[b"stream"]);
    service.store(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    assert_eq!(service.get("/studies/1.2/rendered", images).await.status, StatusCode::OK);
    service.store(&[broken("1.6"), explicit(&image("1.2", "1.3", "1.7"))]).await;
    let answer = service.get("/studies/1.2/rendered", images).await;
    let of = |part: &crate::service::Part| {
        ["1.4", "1.7"].map(|uid| part.head.contains(&format!("instances/{uid}/")))
    };
    let shown: Vec<_> = answer.parts().iter().map(of).collect();
    assert_eq!(shown, [[true, false], [false, true]]);
    service.store(&[video]).await;
    let answer = service.get("/studies/1.2/series/1.3/rendered", images).await;
    assert_eq!((answer.status, answer.parts().len()), (StatusCode::PARTIAL_CONTENT, 2));

    let service = Service::open().await;
    service.store(&[broken("1.4"), explicit(&image("1.2", "1.3", "1.5"))]).await;
    let answer = service.get("/studies/1.2/rendered", images).await;
    assert_eq!((answer.status, answer.parts().len()), (StatusCode::PARTIAL_CONTENT, 1));
    let service = Service::open().await;
    service
        .store(&[encapsulated(&image("1.2", "1.3", "1.5"), "1.2.840.10008.1.2.4.102", &[b"stream"])])
        .await;
    assert_eq!(service.get("/studies/1.2/rendered", images).await.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn compresses_instances_and_frames_for_who_asks_by_name() {
    let service = Service::open().await;
    service.store(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    let frame = format!("{INSTANCE}/frames/1");
    let jls = service.get(&frame, "image/jls").await;
    assert_eq!((jls.status, &jls.body[..4]), (StatusCode::OK, &[0xFF, 0xD8, 0xFF, 0xF7][..]));
    let named = |media: &str| {
        format!("multipart/related; type=\"{media}\"; transfer-syntax={}", transfer_syntax::HTJ2K_RPCL)
    };
    let answer = service.get(&frame, &named("application/octet-stream")).await;
    let part = &answer.parts()[0];
    assert!(part.head.contains(transfer_syntax::HTJ2K_RPCL), "{}", part.head);
    assert_eq!(part.body[..4], [0xFF, 0x4F, 0xFF, 0x51]);
    let answer = service.get(INSTANCE, &named("application/dicom")).await;
    let file = &answer.parts()[0].body;
    let meta = dicom_store::model::FileMeta::read(file, true).unwrap().unwrap();
    assert_eq!(meta.transfer_syntax.as_str(), transfer_syntax::HTJ2K_RPCL);
    assert!(file.windows(part.body.len()).any(|window| window == part.body));
    let lossy = named("application/dicom").replace("4.202", "4.50");
    assert_eq!(service.get(INSTANCE, &lossy).await.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn gives_a_study_one_part_for_each_instance() {
    let service = Service::open().await;
    let files: Vec<_> = ["1.4", "1.5", "1.6"].map(|uid| explicit(&image("1.2", "1.3", uid))).to_vec();
    service.store(&files).await;
    let answer = service.get("/studies/1.2", AS_STORED).await;
    assert_eq!(answer.field("content-length"), answer.body.len().to_string());
    let mut found: Vec<_> = answer.parts().into_iter().map(|part| part.body.to_vec()).collect();
    found.sort();
    assert_eq!(found, files);
    assert_eq!(service.get("/studies/1.2", "application/dicom").await.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn writes_metadata_with_bulk_data_that_can_be_fetched() {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_bytes(Tag(0x0009, 0x1001), VR::OB, vec![5; 3000]);
    service.store(&[explicit(&attributes)]).await;

    let answer = service.get("/studies/1.2/metadata", JSON).await;
    let metadata = &answer.json()[0];
    assert_eq!(metadata["00100010"]["Value"][0]["Alphabetic"], "Nguyễn^An");
    assert_eq!(metadata["00101002"]["Value"][1], serde_json::json!({}));
    assert_eq!(metadata["00280010"]["Value"][0], 4);
    for (tag, expected) in [("7FE00010", pixels()), ("00091001", vec![5; 3000])] {
        let uri = metadata[tag]["BulkDataURI"].as_str().unwrap();
        assert_eq!(service.get(uri, OCTETS).await.parts()[0].body, expected);
        let part =
            service.get_with(uri, &[("accept", "application/octet-stream"), ("range", "bytes=4-9")]).await;
        assert_eq!(
            (part.status, part.body.to_vec()),
            (StatusCode::PARTIAL_CONTENT, expected[4..10].to_vec())
        );
    }

    let tag = answer.field("etag").to_owned();
    let again = service.get_with("/studies/1.2/metadata", &[("accept", JSON), ("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    service.store(&[explicit(&image("1.2", "1.3", "1.5"))]).await;
    let grown = service.get_with("/studies/1.2/metadata", &[("accept", JSON), ("if-none-match", &tag)]).await;
    assert_eq!(grown.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn compresses_metadata_for_those_who_take_it() {
    let service = Service::open().await;
    let files: Vec<_> = (10..40).map(|n| explicit(&image("1.2", "1.3", &format!("1.4.{n}")))).collect();
    service.store(&files).await;
    let fields = [("accept", JSON), ("accept-encoding", "gzip")];
    let answer = service.get_with("/studies/1.2/series/1.3/metadata", &fields).await;
    assert_eq!(answer.field("content-encoding"), "gzip");
    let plain = service.get("/studies/1.2/series/1.3/metadata", JSON).await;
    assert_eq!((plain.field("content-encoding"), plain.json().as_array().unwrap().len()), ("", 30));
    assert!(answer.body.len() * 5 < plain.body.len());
}

#[tokio::test]
async fn gives_frames_in_the_order_asked_for() {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    attributes.put_u16(tags::ROWS, 2);
    attributes.put_u16(tags::COLUMNS, 4);
    service.store(&[explicit(&attributes)]).await;

    let pixels = pixels();
    let answer = service.get(&format!("{INSTANCE}/frames/3,1"), OCTETS).await;
    let parts = answer.parts();
    assert_eq!(
        parts.iter().map(|part| part.body.to_vec()).collect::<Vec<_>>(),
        [&pixels[32..48], &pixels[..16]]
    );
    assert!(parts[0].head.contains(
        "Content-Location: http://pacs.test/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/3"
    ));
    let bare = service.get(&format!("{INSTANCE}/frames/2"), "application/octet-stream").await;
    assert_eq!(bare.body, &pixels[16..32]);
    for (list, status) in [("4", 404), ("1,9", 404), ("0", 400), ("x", 400), ("1,,2", 400), ("2,1,2", 400)] {
        let answer = service.get(&format!("{INSTANCE}/frames/{list}"), OCTETS).await;
        assert_eq!(answer.status.as_u16(), status, "frames/{list}");
    }
}

#[rstest]
#[case::browser(
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "image/jpeg",
    b"\xFF\xD8"
)]
#[case::png("image/png", "image/png", b"\x89PNG")]
#[case::gif("image/gif", "image/gif", b"GIF8")]
#[tokio::test]
async fn renders_images(#[case] accept: &str, #[case] media: &str, #[case] begins: &[u8]) {
    let service = Service::open().await;
    service.store(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    for path in ["/rendered", "/frames/1/rendered", "/rendered?window=100,50,linear&viewport=3,3"] {
        let answer = service.get(&format!("{INSTANCE}{path}"), accept).await;
        assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, media), "{path}");
        assert!(answer.body.starts_with(begins));
    }
    for path in ["/studies/1.2/thumbnail", "/studies/1.2/series/1.3/thumbnail"] {
        let answer = service.get(path, "*/*").await;
        assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, "image/jpeg"));
        assert_eq!(service.get(path, "*/*").await.body, answer.body);
    }
    let parts = service.get("/studies/1.2/rendered", &format!("multipart/related; type=\"{media}\"")).await;
    assert!(parts.parts()[0].body.starts_with(begins));
    assert_eq!(
        service.get(&format!("{INSTANCE}/rendered?quality=0"), accept).await.status,
        StatusCode::BAD_REQUEST
    );
    let huge = service.get(&format!("{INSTANCE}/rendered?viewport=9000,9000"), accept).await;
    assert_eq!(huge.status, StatusCode::BAD_REQUEST);
    assert!(huge.text().contains("9000 × 6000 pixels, limit is 16777216 (4096 × 4096)"), "{}", huge.text());
}

#[tokio::test]
async fn gives_the_thumbnail_of_a_series_that_was_made_before() {
    let service = Service::open().await;
    service.store(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    let (study, series) = ("1.2".parse().unwrap(), "1.3".parse().unwrap());
    let key = DerivedKey::thumbnail(&study, &series);
    let session = fixture::system(&service.archive);
    session.put_derived(&key, "made before".into()).await.unwrap();
    for path in ["/studies/1.2/thumbnail", "/studies/1.2/series/1.3/thumbnail"] {
        assert_eq!(service.get(path, "*/*").await.body, "made before");
    }
}

#[tokio::test]
async fn a_thumbnail_is_no_larger_than_its_viewport() {
    let service = Service::open().await;
    service.store(&[explicit(&image("1.2", "1.3", "1.4")), waveform_of("1.5", "1.6")]).await;
    let series = "/studies/1.2/series/1.3/thumbnail";
    let whole = service.get(series, "*/*").await.body;
    for path in [series.to_owned(), format!("{INSTANCE}/thumbnail")] {
        let small = service.get(&format!("{path}?viewport=3,3"), "*/*").await;
        assert_eq!((small.status, size(&small.body)), (StatusCode::OK, (3, 2)), "{path}");
        let large = service.get(&format!("{path}?viewport=900,900"), "*/*").await;
        assert_eq!(size(&large.body), (6, 4));
        for wrong in ["viewport=x", "viewport=9", "viewport=9,9,0,0,1,1"] {
            let answer = service.get(&format!("{path}?{wrong}"), "*/*").await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}?{wrong}");
        }
    }
    assert_eq!(service.get(series, "*/*").await.body, whole, "the small one is not kept for it");
    let drawn = service.get("/studies/1.2/series/1.5/thumbnail?viewport=64,64", "*/*").await;
    assert_eq!(size(&drawn.body), (64, 48));
}

#[tokio::test]
async fn the_thumbnail_of_an_image_that_cannot_be_shown_is_the_card_of_its_series() {
    let service = Service::open().await;
    let mut wide = image("1.2", "1.7", "1.8");
    for tag in [tags::ROWS, tags::COLUMNS] {
        wide.put_u16(tag, u16::MAX);
    }
    let stream = encapsulated(&wide, transfer_syntax::JPEG_BASELINE, &[&[0xFF, 0xD8, 0xFF, 0xD9]]);
    service.store(&[broken("1.4"), stream]).await;
    for (series, instance, status) in
        [("1.3", "1.4", StatusCode::INTERNAL_SERVER_ERROR), ("1.7", "1.8", StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let series = format!("/studies/1.2/series/{series}");
        let card = service.get(&format!("{series}/thumbnail"), "*/*").await;
        assert_eq!((card.status, size(&card.body)), (StatusCode::OK, (256, 192)));
        let instance = format!("{series}/instances/{instance}");
        for path in ["/thumbnail", "/frames/1/thumbnail"] {
            let answer = service.get(&format!("{instance}{path}"), "*/*").await;
            assert_eq!((answer.status, &answer.body), (StatusCode::OK, &card.body), "{path}");
        }
        let small = service.get(&format!("{instance}/thumbnail?viewport=64,64"), "*/*").await;
        assert_eq!(size(&small.body), (64, 48));
        // Who asks for the image itself is told what is wrong with it.
        assert_eq!(service.get(&format!("{instance}/rendered"), "image/png").await.status, status);
    }
}

/// Columns and rows of a baseline JPEG.
fn size(jpeg: &[u8]) -> (u16, u16) {
    let frame = memchr::memmem::find(jpeg, b"\xFF\xC0").unwrap();
    let number = |at: usize| u16::from_be_bytes([jpeg[frame + at], jpeg[frame + at + 1]]);
    (number(7), number(5))
}

fn waveform() -> Vec<u8> {
    waveform_of("1.3", "1.4")
}

fn waveform_of(series: &str, instance: &str) -> Vec<u8> {
    let mut waveform = image("1.2", series, instance);
    waveform.remove(tags::PIXEL_DATA);
    waveform.put_text(tags::SOP_CLASS_UID, VR::UI, uids::TWELVE_LEAD_ECG_WAVEFORM_STORAGE);
    explicit(&waveform)
}

#[tokio::test]
async fn a_drawing_is_kept_as_the_thumbnail_of_its_series_and_given_as_it_is() {
    let service = Service::open().await;
    service.store(&[waveform()]).await;
    let drawn = service.get("/studies/1.2/series/1.3/thumbnail", "*/*").await;
    assert_eq!(drawn.status, StatusCode::OK, "{}", drawn.text());
    let (study, series) = ("1.2".parse().unwrap(), "1.3".parse().unwrap());
    let key = DerivedKey::thumbnail(&study, &series);
    let session = fixture::system(&service.archive);
    assert_eq!(session.derived(&key).await.unwrap().as_ref(), Some(&drawn.body));
    session.put_derived(&key, "made before".into()).await.unwrap();
    assert_eq!(service.get("/studies/1.2/thumbnail", "*/*").await.body, "made before");
    let of_instance = service.get(&format!("{INSTANCE}/thumbnail"), "*/*").await;
    assert_eq!(of_instance.body, drawn.body);
}

#[rstest]
#[case::image(explicit(&image("1.2", "1.3", "1.4")))]
#[case::drawing(waveform())]
#[tokio::test]
async fn a_thumbnail_that_cannot_be_kept_is_given_all_the_same(#[case] file: Vec<u8>) {
    let service = Service::open().await;
    service.store(&[file]).await;
    let place = service.folder.path().join("objects/derived/1.2/1.3/thumbnail.jpg");
    std::fs::create_dir_all(place.join("in the way")).unwrap();
    let key = DerivedKey::thumbnail(&"1.2".parse().unwrap(), &"1.3".parse().unwrap());
    assert!(fixture::system(&service.archive).put_derived(&key, "x".into()).await.is_err());
    let answer = service.get("/studies/1.2/series/1.3/thumbnail", "*/*").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[rstest]
#[case("/studies/9", INSTANCES)]
#[case("/studies/9/metadata", JSON)]
#[case("/studies/1.2/series/9", INSTANCES)]
#[case("/studies/9/series/1.3/instances/1.4", INSTANCES)]
#[case("/studies/1.2/series/1.3/instances/9/frames/1", OCTETS)]
#[case("/studies/1.2/series/1.3/instances/1.4/bulkdata/00091001", OCTETS)]
#[case("/studies/1.2/nothing", "*/*")]
#[tokio::test]
async fn what_is_not_there_is_404(#[case] path: &str, #[case] accept: &str) {
    let service = Service::open().await;
    service.store(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    let answer = service.get(path, accept).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["status"], 404);
}
