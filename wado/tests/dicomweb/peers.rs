//! The table of peers, as an operator changes it.

use std::collections::BTreeSet;

use axum::body::Body;
use dicom_store::register::Entry;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use wado::Config;
use worker::jobs::Forward;
use worker::jobs::forward::DELIVERY;

use crate::service::{Answer, Service};

const PATH: &str = "/api/v1/peers/CT1";

async fn send(service: &Service, method: Method, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    service.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn json_of(service: &Service, path: &str) -> Value {
    let answer = service.get(path, "application/json").await;
    assert_eq!(answer.status, StatusCode::OK);
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_peer_is_told_changed_and_removed_while_the_server_runs() {
    let service = Service::open().await;
    let body = r#"{"host": "ct1.example", "port": 104, "may": ["store", "query"], "text": "ascii-fold"}"#;
    assert_eq!(send(&service, Method::PUT, PATH, body).await.status, StatusCode::CREATED);
    let told = json_of(&service, PATH).await;
    let expected = json!({
        "ae-title": "CT1", "host": "ct1.example", "port": 104, "any-address": false, "tls": false,
        "may": ["store", "query"], "transfer-syntaxes": [], "text": "ascii-fold", "max-associations": 4,
        "max-kib-s": 0, "send-between": "", "notify-availability": false, "commitment-s": 0, "description": "", "fixed": false,
    });
    assert_eq!(told, expected);
    let document = json_of(&service, "/api/openapi.json").await;
    let fields = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let schemas = &document["components"]["schemas"];
    assert_eq!(fields(&schemas["Peer"]["properties"]), fields(&told));
    assert_eq!(fields(&schemas["NewPeer"]["properties"]), fields(&told));
    // What was read can be written back.
    assert_eq!(send(&service, Method::PUT, PATH, &told.to_string()).await.status, StatusCode::OK);
    let all = json_of(&service, "/api/v1/peers").await;
    let titles: Vec<_> =
        all.as_array().unwrap().iter().map(|peer| (&peer["ae-title"], &peer["fixed"])).collect();
    assert_eq!(titles, [(&json!("WS_1"), &json!(true)), (&json!("CT1"), &json!(false))]);
    assert_eq!(send(&service, Method::DELETE, PATH, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(send(&service, Method::DELETE, PATH, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get(PATH, "application/json").await.status, StatusCode::NOT_FOUND);
    let audit = json_of(&service, "/api/v1/audit").await;
    let actions: Vec<_> = audit.as_array().unwrap().iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["remove peer", "put peer", "put peer"]);
}

#[rstest]
#[case::fixed("/api/v1/peers/WS_1", r#"{"host": "a", "port": 104}"#, StatusCode::CONFLICT)]
#[case::no_title(
    "/api/v1/peers/A_TITLE_THAT_IS_TOO_LONG",
    r#"{"host": "a", "port": 104}"#,
    StatusCode::BAD_REQUEST
)]
#[case::other_title(PATH, r#"{"ae-title": "CT2", "host": "a", "port": 104}"#, StatusCode::BAD_REQUEST)]
#[case::no_port(PATH, r#"{"host": "a", "port": 0}"#, StatusCode::BAD_REQUEST)]
#[case::unknown_field(PATH, r#"{"host": "a", "port": 104, "colour": "red"}"#, StatusCode::BAD_REQUEST)]
#[case::no_json(PATH, "host=a", StatusCode::BAD_REQUEST)]
#[tokio::test]
async fn what_cannot_be_a_peer_is_refused(
    #[case] path: &str,
    #[case] body: &str,
    #[case] status: StatusCode,
) {
    let service = Service::open().await;
    assert_eq!(send(&service, Method::PUT, path, body).await.status, status);
}

#[tokio::test]
async fn a_form_of_a_page_elsewhere_changes_no_peer() {
    let service = Service::open().await;
    let request = Request::builder().method(Method::PUT).uri(PATH).header(CONTENT_TYPE, "text/plain");
    let answer = service.send(request.body(Body::from(r#"{"host": "a", "port": 1}"#)).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn nobody_who_has_not_signed_in_sees_or_changes_peers() {
    let service = Service::with(Config::default()).await;
    let body = r#"{"host": "a", "port": 104}"#;
    for (method, path) in [
        (Method::GET, "/api/v1/peers"),
        (Method::GET, "/api/v1/peers/WS_1"),
        (Method::PUT, "/api/v1/peers/WS_1"),
        (Method::DELETE, PATH),
        (Method::POST, "/api/v1/peers/WS_1/echo"),
        (Method::GET, "/api/v1/senders"),
    ] {
        assert_eq!(
            send(&service, method.clone(), path, body).await.status,
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_told_as_such() {
    let service = Service::open().await;
    let answer = send(&service, Method::POST, "/api/v1/peers/WS_1/echo", "").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(String::from_utf8_lossy(&answer.body).contains("WS_1 does not answer"));
}

#[tokio::test]
async fn a_delivery_whose_job_was_cancelled_is_told_as_such() {
    let service = Service::open().await;
    let work = service.archive.work();
    for study in ["1.2", "1.3", "1.4"] {
        let job = Forward::by_order(&"CLOUD".parse().unwrap(), &study.parse().unwrap(), false).unwrap();
        work.enqueue(&[job]).await.unwrap();
        let delivered = if study == "1.3" { json!({"1.9": "delivered"}) } else { json!({}) };
        let line = json!({
            "destination": "CLOUD", "study": study, "by": "order", "total": 1, "instances": delivered,
        });
        work.register(&[Entry::new(DELIVERY, format!("{study} CLOUD"), line.to_string())]).await.unwrap();
    }
    let states = async || {
        let told = json_of(&service, "/api/v1/deliveries").await;
        told.as_array().unwrap().iter().map(|one| one["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(states().await, ["sending", "done", "sending"]);
    let jobs = json_of(&service, "/api/v1/jobs").await;
    let path = format!("/api/v1/jobs/{}", jobs[0]["job"]);
    assert_eq!(send(&service, Method::DELETE, &path, "").await.status, StatusCode::ACCEPTED);
    assert_eq!(states().await, ["cancelled", "done", "sending"]);
}
