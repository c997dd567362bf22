//! Deleting and correcting through the web: in force with the answer, everywhere.

use dicom::dictionary_std::tags;
use dicom_store::fixture::{Sample, ct};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::service::{AS_STORED, Answer, JSON, Service};

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
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
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

#[tokio::test]
async fn what_is_rejected_is_gone_with_its_note_and_does_not_come_back() {
    let service = Service::open().await;
    let (sample, other) = (ct(), ct());
    let (bad, kept) = (sample.next(2), sample.next_series(2));
    service.store(&[sample.file(), bad.file(), kept.file(), other.file()]).await;
    let series = format!("{}/series/{}", study(&sample), sample.uid(tags::SERIES_INSTANCE_UID));
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
    service.store(&[sample.file()]).await;
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
