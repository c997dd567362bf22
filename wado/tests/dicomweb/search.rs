use http::{Method, Request, StatusCode};
use rstest::rstest;
use serde_json::Value;
use wado::{Config, Negotiation};

use crate::service::{INSTANCES, JSON, Service, explicit, image};

/// Two studies: 1.2 with two series of three instances in all, 2.2 with one instance.
async fn two_studies() -> Service {
    let service = Service::open().await;
    let instances =
        [("1.2", "1.3", "1.4"), ("1.2", "1.3", "1.5"), ("1.2", "1.6", "1.7"), ("2.2", "2.3", "2.4")];
    service
        .store(&instances.map(|(study, series, instance)| explicit(&image(study, series, instance))))
        .await;
    service
}

async fn found(service: &Service, path: &str) -> Vec<Value> {
    let answer = service.get(path, JSON).await;
    if answer.status == StatusCode::NO_CONTENT {
        assert!(answer.body.is_empty());
        return Vec::new();
    }
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    answer.json().as_array().unwrap().clone()
}

#[rstest]
#[case("/studies", 2)]
#[case("/series", 3)]
#[case("/instances", 4)]
#[case("/studies/1.2/series", 2)]
#[case("/studies/1.2/instances", 3)]
#[case("/studies/1.2/series/1.3/instances", 2)]
#[case("/studies?PatientName=*nguyen*", 2)]
#[case("/studies?PatientName=an%20nguy%E1%BB%85n&fuzzymatching=true", 2)]
#[case("/studies?00100010=NGUY%E1%BB%84N*", 2)]
#[case("/studies?StudyInstanceUID=1.2,9.9", 1)]
#[case("/studies?StudyDate=20260101-20260201&nosuchparameter=1", 2)]
#[case("/studies?StudyDate=20270101-", 0)]
#[case("/studies?offset=2", 0)]
#[case("/studies?limit=0", 0)]
#[case("/studies/9/series", 0)]
#[case("/instances?SOPInstanceUID=1.7", 1)]
#[tokio::test]
async fn finds(#[case] path: &str, #[case] expected: usize) {
    assert_eq!(found(&two_studies().await, path).await.len(), expected);
}

#[tokio::test]
async fn results_hold_what_the_standard_requires_even_when_empty() {
    let service = two_studies().await;
    let study = &found(&service, "/studies?StudyInstanceUID=1.2").await[0];
    assert_eq!(study["00080050"], serde_json::json!({ "vr": "SH" }));
    assert_eq!(study["00080061"]["Value"], serde_json::json!(["CT"]));
    assert_eq!((&study["00201206"]["Value"][0], &study["00201208"]["Value"][0]), (&2.into(), &3.into()));
    assert_eq!(study["00081190"]["Value"][0], "http://pacs.test/dicom-web/studies/1.2");
    assert!(study.get("00080060").is_none());

    let instance = &found(&service, "/instances?SOPInstanceUID=1.7").await[0];
    assert_eq!(instance["00280010"]["Value"][0], 4);
    assert_eq!(instance["0020000E"]["Value"][0], "1.6");
    let url = instance["00081190"]["Value"][0].as_str().unwrap();
    assert_eq!(service.get(url, INSTANCES).await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_and_says_how_many_results_are_left() {
    let service = two_studies().await;
    let answer = service.get("/instances?limit=3", JSON).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 3);
    let warning = answer.field("warning");
    assert!(warning.starts_with("299 ") && warning.contains("There are 1 additional results"), "{warning}");
    let rest = service.get("/instances?limit=3&offset=3", JSON).await;
    assert_eq!((rest.json().as_array().unwrap().len(), rest.field("warning")), (1, ""));
}

#[rstest]
#[case("/studies?limit=-1", JSON, 400)]
#[case("/studies?StudyDate=yesterday", JSON, 400)]
#[case("/studies", "image/jpeg", 406)]
#[case("/studies/abc/series", JSON, 400)]
#[tokio::test]
async fn refuses(#[case] path: &str, #[case] accept: &str, #[case] status: u16) {
    assert_eq!(Service::open().await.get(path, accept).await.status.as_u16(), status);
}

#[tokio::test]
async fn answers_in_xml_with_one_part_for_each_result() {
    let answer =
        two_studies().await.get("/studies", "multipart/related; type=\"application/dicom+xml\"").await;
    let parts = answer.parts();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|part| part.body.starts_with(b"<?xml")));
}

#[tokio::test]
async fn nobody_is_let_in_unless_the_service_is_open() {
    let service = Service::with(Config::default()).await;
    for path in ["/studies", "/studies/1.2", "/studies/1.2/metadata", "/studies/1.2/series/1.3/thumbnail"] {
        let answer = service.get(path, "*/*").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.field("www-authenticate").starts_with("Bearer"));
    }
    let file = explicit(&image("1.2", "1.3", "1.4"));
    assert_eq!(service.post("/studies", "application/dicom", file).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_accept_header_field_is_required_where_the_settings_are_strict() {
    assert_eq!(Service::open().await.get_with("/studies", &[]).await.status, StatusCode::NO_CONTENT);
    let strict =
        Service::with(Config { open: true, negotiation: Negotiation::Strict, ..Config::default() }).await;
    assert_eq!(strict.get_with("/studies", &[]).await.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn pages_of_listed_origins_may_use_the_service() {
    let origin = "https://viewer.test";
    let service = Service::with(Config { cors_origins: vec![origin.into()], ..Config::default() }).await;
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/dicom-web/studies")
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = service.send(preflight).await;
    assert_eq!(
        (answer.status, answer.field("access-control-allow-origin")),
        (StatusCode::NO_CONTENT, origin)
    );
    assert!(answer.field("access-control-allow-headers").contains("accept, authorization"));
    // Refusals are marked too; other origins are not.
    let refused = service.get_with("/studies", &[("accept", JSON), ("origin", origin)]).await;
    assert_eq!(
        (refused.status, refused.field("access-control-allow-origin")),
        (StatusCode::UNAUTHORIZED, origin)
    );
    let other = service.get_with("/studies", &[("accept", JSON), ("origin", "https://evil.test")]).await;
    assert_eq!(other.field("access-control-allow-origin"), "");
}

#[tokio::test]
async fn tells_its_capabilities_at_the_root() {
    let service = Service::open().await;
    for path in ["", "/"] {
        let request = Request::builder().method(Method::OPTIONS).uri(format!("/dicom-web{path}"));
        let answer = service.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.text().contains("<application"));
    }
}
