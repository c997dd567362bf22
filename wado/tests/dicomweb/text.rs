//! What an operator and the viewer learn of text that is not in the character set that it names.

use dicom::dictionary_std::tags;
use dicom_store::fixture::{Sample, ct};
use dicom_store::model::VR;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::acts::{act, rows};
use super::service::{JSON, Service};

/// Says ISO_IR 100 and is not.
fn named(sample: &Sample, name: &'static [u8]) -> Sample {
    let mut sample = sample.clone().with(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
    sample.attributes.put_bytes(tags::PATIENT_NAME, VR::PN, name);
    sample
}

/// Without the times.
fn untimed(mut value: Value) -> Value {
    for row in value.as_array_mut().unwrap() {
        assert!(row.as_object_mut().unwrap().remove("newest").unwrap().as_u64() > Some(0));
    }
    value
}

#[tokio::test]
async fn an_operator_sees_whose_text_was_repaired_and_in_which_studies() {
    let service = Service::open().await;
    let (plain, old, unclear) = (ct().patient_id("1"), ct().patient_id("2"), ct().patient_id("3"));
    let old = named(&old, b"Nguy\xea\xden^Thi\xf2");
    let unclear = named(&unclear, b"H\xb5");
    service.store(&[plain.file(), old.file(), old.next(2).file(), unclear.file()]).await;
    let expected = json!([
        { "sender": "web", "reading": "declared", "unclear": false, "studies": 1, "instances": 1 },
        { "sender": "web", "reading": "windows-1258", "by": "guess", "unclear": false, "studies": 1, "instances": 2 },
        { "sender": "web", "reading": "declared", "unclear": true, "studies": 1, "instances": 1 },
    ]);
    let found = untimed(rows(&service, "/text").await);
    assert_eq!(found.as_array().unwrap().len(), 3);
    for row in expected.as_array().unwrap() {
        assert!(found.as_array().unwrap().contains(row), "{row} is not in {found}");
    }

    let studies = async |query: &str| {
        let found = rows(&service, &format!("/text/studies{query}")).await;
        let found: Vec<String> =
            found.as_array().unwrap().iter().map(|row| row["study"].as_str().unwrap().to_owned()).collect();
        found
    };
    let uid = |sample: &Sample| sample.study().to_string();
    assert_eq!(studies("").await, [uid(&unclear), uid(&old)]);
    assert_eq!(studies("?reading=windows-1258&by=guess&sender=web").await, [uid(&old)]);
    assert_eq!(studies("?unclear=true").await, [uid(&unclear)]);
    assert_eq!(studies("?reading=declared&unclear=false").await, [uid(&plain)]);
    assert!(studies("?by=rule").await.is_empty() && studies("?sender=CT").await.is_empty());
    let named = format!("?study={}&study={}", uid(&plain), uid(&old));
    assert_eq!(studies(&named).await, [uid(&old)]);
    let last = rows(&service, "/text/studies?limit=1").await;
    let text = json!([{ "sender": "web", "reading": "declared", "unclear": true, "instances": 1 }]);
    assert_eq!(untimed(last[0]["text"].clone()), text);
    assert_eq!(studies(&format!("?before={}", last[0]["place"])).await, [uid(&old)]);

    // What is asked by other programs stays as it is.
    let search = service.get("/studies", JSON).await.text();
    assert!(!search.contains("windows-1258"), "{search}");
    let delete = json!({ "kind": "delete", "of": { "study": old.study() } });
    assert_eq!(act(&service, delete, "").await.status, StatusCode::OK);
    assert_eq!(studies("").await, [uid(&unclear)]);
    assert_eq!(rows(&service, "/text").await.as_array().unwrap().len(), 2);
}

async fn status(service: &Service, path: &str) -> StatusCode {
    let request = Request::get(format!("/api/v1{path}")).header("host", "pacs.test");
    service.send(request.body(axum::body::Body::empty()).unwrap()).await.status
}

#[tokio::test]
async fn what_cannot_be_asked_of_text_is_refused() {
    let service = Service::open().await;
    for path in ["/text/studies?reading=klingon", "/text/studies?by=chance", "/text/studies?study=one"] {
        assert_eq!(status(&service, path).await, StatusCode::BAD_REQUEST, "{path}");
    }
    let too_many: String = (0..101).map(|n| format!("&study=1.{n}")).collect();
    assert_eq!(status(&service, &format!("/text/studies?{too_many}")).await, StatusCode::BAD_REQUEST);
    let closed = Service::with(wado::Config::default()).await;
    for path in ["/text", "/text/studies", "/text/studies?study=1.2"] {
        assert_eq!(status(&closed, path).await, StatusCode::UNAUTHORIZED, "{path}");
    }
}
