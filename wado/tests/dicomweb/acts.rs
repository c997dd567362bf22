//! Deleting and correcting through the web: in force with the answer, everywhere.

use dicom::dictionary_std::tags;
use dicom_store::fixture::{Sample, ct};
use dicom_store::model::Tag;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::service::{AS_STORED, Answer, JSON, Service, multipart, parsed};

pub(crate) async fn act(service: &Service, act: Value, reason: &str) -> Answer {
    let body = json!({ "act": act, "reason": reason }).to_string();
    let request = Request::post("/api/v1/acts").header("host", "pacs.test");
    service.send(request.header(CONTENT_TYPE, "application/json").body(body.into()).unwrap()).await
}

pub(crate) async fn rows(service: &Service, path: &str) -> Value {
    let request = Request::get(format!("/api/v1{path}")).header("host", "pacs.test");
    let answer = service.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

async fn delete(service: &Service, path: &str) -> Answer {
    let request = Request::delete(format!("/dicom-web{path}")).header("host", "pacs.test");
    service.send(request.body(axum::body::Body::empty()).unwrap()).await
}

fn study(sample: &Sample) -> String {
    format!("/studies/{}", sample.study())
}

#[tokio::test]
async fn a_deleted_study_is_not_found_and_can_be_restored() {
    let service = Service::open().await;
    let sample = ct();
    service.store(&[sample.file()]).await;
    assert_eq!(
        delete(&service, &format!("{}?reason=twice", study(&sample))).await.status,
        StatusCode::NO_CONTENT
    );
    for path in ["", "/metadata", "/thumbnail"] {
        let answer = service.get(&format!("{}{path}", study(&sample)), "*/*").await;
        assert_eq!(answer.status, StatusCode::GONE, "{path}");
    }
    assert_eq!(delete(&service, &study(&sample)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/studies", JSON).await.status, StatusCode::NO_CONTENT);
    let trash = rows(&service, "/deleted").await;
    assert_eq!(trash[0]["instance"], sample.sop_instance().as_str());
    let done = rows(&service, "/acts").await;
    assert_eq!((&done[0]["reason"], &done[0]["act"]["kind"]), (&json!("twice"), &json!("delete")));
    let restore = json!({ "kind": "restore", "of": { "study": sample.study() } });
    assert_eq!(act(&service, restore, "").await.status, StatusCode::OK);
    assert_eq!(service.get("/studies", JSON).await.json().as_array().unwrap().len(), 1);
    assert_eq!(rows(&service, "/audit").await.as_array().unwrap().len(), 2);
}

fn series(sample: &Sample) -> String {
    format!("{}/series/{}", study(sample), sample.uid(tags::SERIES_INSTANCE_UID))
}

fn instance(sample: &Sample) -> String {
    format!("{}/instances/{}", series(sample), sample.sop_instance())
}

#[tokio::test]
async fn what_was_deleted_is_410_and_what_never_was_is_404() {
    let service = Service::open().await;
    let sample = ct();
    let (second, other) = (sample.next(2), sample.next_series(2));
    service.store(&[sample.file(), second.file(), other.file()]).await;
    let get = async |path: &str| service.get(path, "*/*").await;
    assert_eq!(delete(&service, &instance(&sample)).await.status, StatusCode::NO_CONTENT);
    for path in ["", "/metadata", "/rendered", "/thumbnail", "/frames/1", "/bulkdata/7FE00010"] {
        let answer = get(&format!("{}{path}", instance(&sample))).await;
        assert_eq!(answer.status, StatusCode::GONE, "{path}");
        assert_eq!(answer.field("content-type"), "application/problem+json");
        assert!(answer.text().contains(sample.sop_instance().as_str()), "{}", answer.text());
        // It may be restored at any time.
        assert_eq!(answer.field("cache-control"), "no-store");
    }
    let by_parameters = |series: &str| {
        let (study, instance) = (sample.study(), sample.sop_instance());
        format!("/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}")
    };
    let of_series = sample.uid(tags::SERIES_INSTANCE_UID);
    for contents in ["", "&contentType=application/dicom"] {
        let path = format!("{}{contents}", by_parameters(&of_series));
        assert_eq!(get(&path).await.status, StatusCode::GONE, "{path}");
    }
    // Under another path it never was, and what is shown lacks a frame as ever.
    assert_eq!(get(&by_parameters("2.25.404")).await.status, StatusCode::NOT_FOUND);
    for path in [
        format!("{}/instances/{}", series(&other), sample.sop_instance()),
        format!("{}/series/2.25.404", study(&sample)),
        format!("{}/frames/2", instance(&second)),
        format!("{}/nothing", instance(&sample)),
    ] {
        assert_eq!(get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get(&series(&sample)).await.status, StatusCode::OK);
    assert_eq!(delete(&service, &instance(&second)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(get(&series(&sample)).await.status, StatusCode::GONE);
    assert_eq!(get(&study(&sample)).await.status, StatusCode::OK);
    // What comes again is there again.
    service.store(&[sample.file()]).await;
    assert_eq!(get(&instance(&sample)).await.status, StatusCode::OK);
    // What was destroyed is as if it had never come, and so is what was rejected.
    let destroy = json!({ "kind": "destroy", "of": { "study": sample.study() } });
    assert_eq!(act(&service, destroy, "by order").await.status, StatusCode::OK);
    assert_eq!(get(&study(&sample)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_was_deleted_is_not_told_to_strangers() {
    let closed = Service::with(wado::Config::default()).await;
    let sample = ct();
    let session = dicom_store::fixture::system(&closed.archive);
    for sample in [&sample, &sample.next_series(2)] {
        dicom_store::fixture::store(&session, sample).await.unwrap();
    }
    let of = dicom_store::model::Resource::Study(sample.study());
    let (study_uid, series_uid) = (sample.study(), sample.uid(tags::SERIES_INSTANCE_UID));
    for part in [json!({ "study": study_uid, "series": series_uid }), json!({ "study": study_uid })] {
        assert!(!session.is_deleted(&of).await.unwrap(), "something of it is shown");
        let order = json!({ "kind": "delete", "of": part });
        session.act(&serde_json::from_value(order).unwrap(), "").await.unwrap();
    }
    for path in [study(&sample), "/studies/2.25.404".to_owned()] {
        assert_eq!(closed.get(&path, "*/*").await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(session.is_deleted(&of).await.unwrap());
    let stranger = dicom_store::Caller::Web { subject: dicom_store::Subject::Anonymous, address: None };
    assert!(closed.archive.acting_as(stranger).is_deleted(&of).await.is_err());
}

#[tokio::test]
async fn what_is_stored_is_not_coerced_and_what_is_corrected_says_what_it_was() {
    const ORIGINALS: Tag = Tag(0x0400, 0x0561);
    let service = Service::open().await;
    // Of one study that says two things of its patient.
    let sample = ct().patient_id("7").name("WRONG^NAME");
    let files = [sample.file(), sample.next(2).name("OTHER^NAME").patient_id("8").file()];
    let (content_type, body) = multipart(&files);
    let stored = service.post(&study(&sample), &content_type, body).await;
    // A warning says that the second names another patient.
    assert_eq!(stored.status, StatusCode::ACCEPTED, "{}", stored.text());
    assert!(!stored.text().contains("04000561"), "{}", stored.text());
    let parts = service.get(&study(&sample), AS_STORED).await.parts();
    let given: Vec<&[u8]> = parts.iter().map(|part| &part.body[..]).collect();
    assert_eq!(given, files.each_ref().map(Vec::as_slice));

    let values = json!({ "AccessionNumber": "A-1" });
    let order = json!({ "kind": "correct-study", "study": sample.study(), "values": values });
    assert_eq!(act(&service, order, "none came").await.status, StatusCode::OK);
    let answer = service.get(&instance(&sample), "application/dicom").await;
    let (_, told) = parsed(&answer.body);
    assert_eq!(told.text(tags::ACCESSION_NUMBER).as_deref(), Some("A-1"));
    let original = &told.items(ORIGINALS)[0];
    let modified = &original.items(Tag(0x0400, 0x0550))[0];
    assert!(modified.get(tags::ACCESSION_NUMBER).unwrap().value.is_empty(), "it had none");
    assert_eq!(original.text(Tag(0x0400, 0x0563)).as_deref(), Some("FILMLESS"));
    assert_eq!(original.text(Tag(0x0400, 0x0565)).as_deref(), Some("CORRECT"));
    assert!(original.text(Tag(0x0400, 0x0562)).unwrap().ends_with("+0000"));
    let metadata = service.get(&format!("{}/metadata", instance(&sample)), JSON).await.json();
    assert_eq!(metadata[0]["04000561"]["Value"][0]["04000565"]["Value"][0], "CORRECT");
}

#[tokio::test]
async fn what_is_rejected_is_gone_with_its_note_and_does_not_come_back() {
    let service = Service::open().await;
    let (sample, other) = (ct(), ct());
    let (bad, kept) = (sample.next(2), sample.next_series(2));
    service.store(&[sample.file(), bad.file(), kept.file(), other.file()]).await;
    let series = series(&sample);
    let wrong = delete(&service, &format!("{series}?rejection=113000")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let done = delete(&service, &format!("{series}?rejection=113037")).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.text());
    assert_eq!(service.get(&series, "*/*").await.status, StatusCode::NOT_FOUND);
    let left = service.get(&format!("{}/instances", study(&sample)), JSON).await.json();
    let left: Vec<_> =
        left.as_array().unwrap().iter().map(|row| row["00080018"]["Value"][0].clone()).collect();
    assert_eq!(left, [json!(kept.sop_instance().as_str())], "the note is hidden as well");
    let trash = rows(&service, "/deleted").await;
    let rejected = trash.as_array().unwrap().iter().filter(|row| row["state"] == "rejected").count();
    assert!(rejected >= 2, "{trash}");
    // It is taken again, and cannot be retrieved; what is shown of the same study can.
    let again = async |files: &[Vec<u8>]| {
        let (content_type, body) = multipart(files);
        let answer = service.post("/studies", &content_type, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer
    };
    let answer = again(&[sample.file()]).await;
    assert_eq!(answer.field("location"), "");
    let module = answer.json();
    let item = &module["00081199"]["Value"][0];
    assert_eq!(item["00081155"]["Value"][0], sample.sop_instance().as_str());
    assert_eq!((&item["00081190"], &module["00081190"]), (&json!({"vr": "UR"}), &json!({"vr": "UR"})));
    let module = again(&[sample.file(), kept.file()]).await.json();
    let urls: Vec<_> =
        (0..2).map(|at| module["00081199"]["Value"][at]["00081190"].get("Value").is_some()).collect();
    assert_eq!(urls, [false, true]);
    assert!(module["00081190"].get("Value").is_some());
    assert_eq!(service.get(&series, "*/*").await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&service, &format!("{series}?rejection=113037")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_corrected_name_is_in_search_metadata_and_file() {
    let service = Service::open().await;
    let sample = ct().patient_id("7").name("WRONG^NAME");
    service.store(&[sample.file()]).await;
    let before = service.get(&format!("{}/metadata", study(&sample)), JSON).await;
    let order = json!({
        "kind": "correct-patient", "patient": { "id": "7" }, "values": { "PatientName": "Trần^Thị Bình" },
    });
    let answer = act(&service, order, "typed wrongly").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let name = |value: &Value| value[0]["00100010"]["Value"][0]["Alphabetic"].clone();
    assert_eq!(name(&service.get("/studies?PatientName=tran*", JSON).await.json()), "Trần^Thị Bình");
    let metadata = service.get(&format!("{}/metadata", study(&sample)), JSON).await;
    assert_eq!(name(&metadata.json()), "Trần^Thị Bình");
    assert_ne!(metadata.field("etag"), before.field("etag"));
    let answer = service.get(&study(&sample), AS_STORED).await;
    let part = answer.parts().remove(0).body;
    let told = dicom_store::model::FileMeta::read(&part, true).unwrap().unwrap();
    let data_set = part.slice(usize::try_from(told.data_set).unwrap()..);
    let read =
        dicom_store::model::Attributes::read(data_set, dicom_store::model::Encoding::ExplicitLittle).unwrap();
    assert_eq!(read.text(tags::PATIENT_NAME).as_deref(), Some("Trần^Thị Bình"));
    let single = service.get(&format!("/wado?requestType=WADO&studyUID={}&seriesUID={}&objectUID={}&contentType=application/dicom&transferSyntax=1.2.840.10008.1.2.1",
        sample.study(), sample.uid(tags::SERIES_INSTANCE_UID), sample.sop_instance()), "application/dicom").await;
    assert_eq!(single.status, StatusCode::OK, "{}", single.text());
    assert!(single.text().contains("Trần^Thị Bình"));
    assert_eq!(single.field("content-length"), single.body.len().to_string());
}

#[tokio::test]
async fn what_cannot_be_done_is_answered_with_a_sentence() {
    let service = Service::open().await;
    let cases = [
        (json!({ "kind": "delete", "of": { "study": "1.2.3" } }), StatusCode::NOT_FOUND, "1.2.3"),
        (json!({ "kind": "undo", "number": 7 }), StatusCode::NOT_FOUND, "no act 7"),
        (json!({ "kind": "nonsense" }), StatusCode::BAD_REQUEST, "cannot be read"),
        (
            json!({ "kind": "correct-patient", "patient": { "id": "7" }, "values": { "Rows": "1" } }),
            StatusCode::BAD_REQUEST,
            "nothing that can be corrected of a patient",
        ),
    ];
    for (order, status, sentence) in cases {
        let answer = act(&service, order, "").await;
        assert_eq!(answer.status, status);
        assert!(answer.text().contains(sentence), "{}", answer.text());
    }
    let form = Request::post("/api/v1/acts").header("host", "pacs.test").body("{}".into()).unwrap();
    assert_eq!(service.send(form).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn nobody_deletes_without_signing_in() {
    let service = Service::with(wado::Config::default()).await;
    assert_eq!(delete(&service, "/studies/1.2.3").await.status, StatusCode::UNAUTHORIZED);
    let request = Request::get("/api/v1/audit").header("host", "pacs.test");
    let answer = service.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
