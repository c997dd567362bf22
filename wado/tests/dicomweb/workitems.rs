//! UPS-RS (PS3.18 §11): status and `Warning` of each transaction in each state, by the tables of the standard.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use wado::Config;

use super::service::{Answer, JSON, Service};

const UID: &str = "2.25.501";
const LOCK: &str = "2.25.601";
const OTHER: &str = "2.25.602";

fn attribute(vr: &str, value: &str) -> Value {
    if value.is_empty() { json!({ "vr": vr }) } else { json!({ "vr": vr, "Value": [value] }) }
}

pub(crate) fn scheduled(label: &str) -> Value {
    json!({
        "00100010": { "vr": "PN", "Value": [{ "Alphabetic": "NGUYỄN^AN" }] },
        "00404005": attribute("DT", "20260301101500"),
        "00404041": attribute("CS", "READY"),
        "00741000": attribute("CS", "SCHEDULED"),
        "00741200": attribute("CS", "MEDIUM"),
        "00741204": attribute("LO", label),
    })
}

fn state(to: &str, lock: &str) -> Value {
    json!({ "00081195": attribute("UI", lock), "00741000": attribute("CS", to) })
}

fn performed() -> Value {
    let code = |value| json!({ "vr": "SQ", "Value": [{ "00080100": attribute("SH", value) }] });
    json!({ "00741216": { "vr": "SQ", "Value": [{
        "00404019": code("110005"), "00404028": code("WS1"), "00404033": { "vr": "SQ" },
        "00404050": attribute("DT", "20260301102000"), "00404051": attribute("DT", "20260301103000"),
    }] } })
}

async fn send(service: &Service, method: Method, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(format!("/dicom-web/workitems{path}"));
    let request = request.header("host", "pacs.test").header("accept", JSON).header("content-type", JSON);
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    service.send(request.body(body).unwrap()).await
}

fn told(answer: &Answer) -> (u16, String) {
    let warning = answer.field("warning");
    let text = warning.strip_prefix("299 http://pacs.test/dicom-web: ").unwrap_or(warning);
    (answer.status.as_u16(), text.to_owned())
}

/// A service with one workitem in a state.
async fn with(reached: &str) -> Service {
    let service = Service::open().await;
    let made = send(&service, Method::POST, &format!("?{UID}"), &scheduled("Read")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let go = async |to: &str| {
        let answer = send(&service, Method::PUT, &format!("/{UID}/state"), &state(to, LOCK)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    };
    if reached != "SCHEDULED" {
        go("IN PROGRESS").await;
        let path = format!("/{UID}?{LOCK}");
        assert_eq!(send(&service, Method::POST, &path, &performed()).await.status, StatusCode::OK);
    }
    if !["SCHEDULED", "IN PROGRESS"].contains(&reached) {
        go(reached).await;
    }
    service
}

#[tokio::test]
async fn a_workitem_is_made_once_and_told_without_its_lock() {
    let service = Service::open().await;
    let path = format!("?{UID}");
    let made = send(&service, Method::POST, &path, &scheduled("Read")).await;
    let url = format!("http://pacs.test/dicom-web/workitems/{UID}");
    assert_eq!((made.status, made.field("location"), made.text().as_str()), (StatusCode::CREATED, &*url, ""));
    assert_eq!(told(&made).1, "The Workitem was created with modifications.");
    assert_eq!(send(&service, Method::POST, &path, &scheduled("Read")).await.status, StatusCode::CONFLICT);

    send(&service, Method::PUT, &format!("/{UID}/state"), &state("IN PROGRESS", LOCK)).await;
    let found = send(&service, Method::GET, &format!("/{UID}"), &Value::Null).await;
    assert_eq!((found.status, found.field("content-type")), (StatusCode::OK, JSON));
    let workitem = &found.json()[0];
    assert_eq!(workitem["00741000"]["Value"][0], "IN PROGRESS");
    assert_eq!(workitem["00080018"]["Value"][0], UID);
    assert_eq!(workitem["00100010"]["Value"][0]["Alphabetic"], "NGUYỄN^AN");
    assert!(workitem.get("00081195").is_none(), "the Transaction UID is its owner's");
    let nobody = send(&service, Method::GET, "/2.25.404", &Value::Null).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

/// One that says another UID itself.
fn named(tag: &str) -> Value {
    let mut workitem = scheduled("Read");
    workitem[tag] = attribute("UI", "2.25.2");
    workitem
}

#[tokio::test]
async fn where_a_subscriber_listens_is_a_url_whatever_its_title() {
    let service = Service::open().await;
    let path = "/1.2.840.10008.5.1.4.34.5/subscribers/WS%201%2F%3F";
    let answer = send(&service, Method::POST, path, &Value::Null).await;
    let url = "ws://pacs.test/dicom-web/subscribers/WS%201%2F%3F";
    assert_eq!((answer.status, answer.field("content-location")), (StatusCode::CREATED, url));
}

#[rstest]
#[case("?2.25.1", json!({}), 400)]
#[case("?2.25.1", json!([{}, {}]), 400)]
#[case("?2.25.1", json!("x"), 400)]
#[case("?x", scheduled("Read"), 400)]
#[case("", scheduled("Read"), 400)]
#[case("?2.25.1", named("00080018"), 400)]
#[case("?2.25.1", named("00001000"), 400)]
#[tokio::test]
async fn what_is_no_workitem_is_not_made(#[case] path: &str, #[case] body: Value, #[case] status: u16) {
    let service = Service::open().await;
    let answer = send(&service, Method::POST, path, &body).await;
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    let none = send(&service, Method::GET, "", &Value::Null).await;
    assert_eq!(none.status, StatusCode::NO_CONTENT);
}

const OF_WORKITEM: &str = "The submitted request is inconsistent with the current state of the Workitem.";
const OF_UPS: &str = "The submitted request is inconsistent with the state of the UPS Instance.";
const MISSING: &str = "The Transaction UID is missing.";
const INCORRECT: &str = "The Transaction UID is incorrect.";

/// PS3.18 Tables 11.7.3-1 and 11.7.3-2, PS3.4 Table CC.1.1-2.
#[rstest]
#[case("SCHEDULED", "IN PROGRESS", LOCK, 200, "")]
#[case("SCHEDULED", "IN PROGRESS", "", 400, MISSING)]
#[case("SCHEDULED", "COMPLETED", LOCK, 409, OF_UPS)]
#[case("SCHEDULED", "CANCELED", LOCK, 409, OF_UPS)]
#[case("IN PROGRESS", "IN PROGRESS", LOCK, 409, OF_UPS)]
#[case("IN PROGRESS", "IN PROGRESS", OTHER, 400, INCORRECT)]
#[case("IN PROGRESS", "COMPLETED", LOCK, 200, "")]
#[case("IN PROGRESS", "COMPLETED", OTHER, 400, INCORRECT)]
#[case("IN PROGRESS", "COMPLETED", "", 400, MISSING)]
#[case("IN PROGRESS", "CANCELED", LOCK, 200, "")]
#[case("COMPLETED", "COMPLETED", LOCK, 200, "The UPS is already in the requested state of COMPLETED.")]
#[case("COMPLETED", "CANCELED", LOCK, 409, OF_UPS)]
#[case("CANCELED", "CANCELED", LOCK, 200, "The UPS is already in the requested state of CANCELED.")]
#[case("CANCELED", "IN PROGRESS", LOCK, 409, OF_UPS)]
#[tokio::test]
async fn states_change_as_the_tables_say(
    #[case] from: &str,
    #[case] to: &str,
    #[case] lock: &str,
    #[case] status: u16,
    #[case] warning: &str,
) {
    let service = with(from).await;
    let answer = send(&service, Method::PUT, &format!("/{UID}/state"), &state(to, lock)).await;
    assert_eq!(told(&answer), (status, warning.to_owned()), "{}", answer.text());
    let now = send(&service, Method::GET, &format!("/{UID}"), &Value::Null).await.json();
    let expected = if status == 200 { to } else { from };
    assert_eq!(now[0]["00741000"]["Value"][0], expected);
}

#[rstest]
#[case("abc")]
#[case("1..2")]
#[tokio::test]
async fn a_workitem_is_claimed_by_a_uid_alone(#[case] no_uid: &str) {
    let service = with("SCHEDULED").await;
    let claim = send(&service, Method::PUT, &format!("/{UID}/state"), &state("IN PROGRESS", no_uid)).await;
    assert_eq!(claim.status, StatusCode::BAD_REQUEST, "{}", claim.text());
    assert!(claim.text().contains("Transaction UID is not a UID"), "{}", claim.text());
    let path = format!("/{UID}?transaction-uid={no_uid}");
    let update = send(&service, Method::POST, &path, &json!({ "00741204": attribute("LO", "Other") })).await;
    assert_eq!(update.status, StatusCode::BAD_REQUEST, "{}", update.text());
    let now = send(&service, Method::GET, &format!("/{UID}"), &Value::Null).await.json();
    assert_eq!(
        (&now[0]["00741000"]["Value"][0], &now[0]["00741204"]["Value"][0]),
        (&json!("SCHEDULED"), &json!("Read"))
    );
}

/// PS3.18 Tables 11.6.3-1 and 11.6.3-2.
#[rstest]
#[case("SCHEDULED", "", 200, "")]
#[case("SCHEDULED", LOCK, 409, "The target URI did not reference a claimed Workitem.")]
#[case("IN PROGRESS", LOCK, 200, "")]
#[case("IN PROGRESS", "", 400, OF_WORKITEM)]
#[case("IN PROGRESS", OTHER, 400, OF_WORKITEM)]
#[case("COMPLETED", LOCK, 400, OF_WORKITEM)]
#[case("CANCELED", LOCK, 400, OF_WORKITEM)]
#[tokio::test]
async fn updates_are_taken_as_the_tables_say(
    #[case] from: &str,
    #[case] lock: &str,
    #[case] status: u16,
    #[case] warning: &str,
) {
    let service = with(from).await;
    let changes = json!({ "00741204": attribute("LO", "Other") });
    let query = if lock.is_empty() { String::new() } else { format!("?transaction-uid={lock}") };
    let answer = send(&service, Method::POST, &format!("/{UID}{query}"), &changes).await;
    assert_eq!(told(&answer), (status, warning.to_owned()), "{}", answer.text());
    let now = send(&service, Method::GET, &format!("/{UID}"), &Value::Null).await.json();
    let expected = if status == 200 { "Other" } else { "Read" };
    assert_eq!(now[0]["00741204"]["Value"][0], expected);
}

/// PS3.18 Table 11.8.3-1, with what is declared of those that nobody has claimed.
#[rstest]
#[case("SCHEDULED", 202, "", "CANCELED")]
#[case("IN PROGRESS", 202, "", "IN PROGRESS")]
#[case("COMPLETED", 409, OF_WORKITEM, "COMPLETED")]
#[case("CANCELED", 202, "The UPS is already in the requested state of CANCELED.", "CANCELED")]
#[tokio::test]
async fn a_cancellation_is_asked_for_as_the_table_says(
    #[case] from: &str,
    #[case] status: u16,
    #[case] warning: &str,
    #[case] after: &str,
) {
    let service = with(from).await;
    let asked = json!({ "00741238": attribute("LT", "not needed") });
    let answer = send(&service, Method::POST, &format!("/{UID}/cancelrequest"), &asked).await;
    assert_eq!(told(&answer), (status, warning.to_owned()), "{}", answer.text());
    let now = send(&service, Method::GET, &format!("/{UID}"), &Value::Null).await.json();
    assert_eq!(now[0]["00741000"]["Value"][0], after);
    let empty = send(&service, Method::POST, "/2.25.404/cancelrequest", &Value::Null).await;
    assert_eq!(empty.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn workitems_are_found_by_their_attributes() {
    let service = Service::open().await;
    for (uid, label) in [("2.25.1", "Read chest"), ("2.25.2", "Read head"), ("2.25.3", "Print")] {
        send(&service, Method::POST, &format!("?{uid}"), &scheduled(label)).await;
    }
    send(&service, Method::PUT, "/2.25.2/state", &state("IN PROGRESS", LOCK)).await;
    let find = async |query: &str| {
        let answer = send(&service, Method::GET, query, &Value::Null).await;
        let is_list = answer.status == StatusCode::OK;
        let rows = if is_list { answer.json().as_array().unwrap().clone() } else { Vec::new() };
        let uids = rows.iter().map(|row| row["00080018"]["Value"][0].as_str().unwrap().to_owned());
        (answer.status.as_u16(), uids.collect::<Vec<_>>(), told(&answer).1)
    };
    let found = async |query: &str| find(query).await.1;
    assert_eq!(found("").await, ["2.25.1", "2.25.2", "2.25.3"]);
    assert_eq!(found("?ProcedureStepState=SCHEDULED").await, ["2.25.1", "2.25.3"]);
    assert_eq!(found("?ProcedureStepLabel=Read*").await, ["2.25.1", "2.25.2"]);
    assert_eq!(found("?PatientName=nguyen&ProcedureStepState=IN%20PROGRESS").await, ["2.25.2"]);
    assert_eq!(found("?ScheduledProcedureStepStartDateTime=20260301-20260302").await.len(), 3);
    assert_eq!(find("?ProcedureStepLabel=Nothing").await.0, 204);
    let (status, page, warning) = find("?limit=1&offset=1").await;
    assert_eq!((status, page), (200, vec!["2.25.2".to_owned()]));
    assert_eq!(warning, "There are 1 additional results that can be requested");
    assert_eq!(find("?limit=x").await.0, 400);
}

/// PS3.18 Tables 11.10.3-1 to 11.12.3-1.
#[tokio::test]
async fn subscriptions_are_made_suspended_and_ended() {
    let service = with("SCHEDULED").await;
    let ask = async |method: Method, path: &str| {
        let answer = send(&service, method, path, &Value::Null).await;
        (answer.status.as_u16(), answer.field("content-location").to_owned())
    };
    let url = "ws://pacs.test/dicom-web/subscribers/WATCH".to_owned();
    let all = "/1.2.840.10008.5.1.4.34.5/subscribers/WATCH";
    let some = "/1.2.840.10008.5.1.4.34.5.1/subscribers/WATCH";
    let one = format!("/{UID}/subscribers/WATCH");
    assert_eq!(ask(Method::DELETE, &one).await.0, 404);
    assert_eq!(ask(Method::POST, &one).await, (201, url.clone()));
    assert_eq!(ask(Method::DELETE, &one).await.0, 200);
    assert_eq!(ask(Method::POST, "/2.25.404/subscribers/WATCH").await.0, 404);
    assert_eq!(ask(Method::POST, &format!("{all}?deletionlock=true")).await, (201, url.clone()));
    assert_eq!(ask(Method::POST, &format!("{all}?deletionlock=perhaps")).await.0, 400);
    assert_eq!(ask(Method::POST, &format!("{all}/suspend")).await.0, 200);
    assert_eq!(ask(Method::POST, &format!("{all}/suspend")).await.0, 404);
    assert_eq!(ask(Method::DELETE, all).await.0, 200, "the workitem that was there");
    assert_eq!(ask(Method::DELETE, all).await.0, 404);
    assert_eq!(ask(Method::POST, some).await.0, 400);
    assert_eq!(ask(Method::POST, &format!("{some}?filter=NoSuchThing%3D1")).await.0, 400);
    assert_eq!(ask(Method::POST, &format!("{some}?filter=ProcedureStepLabel%3DRead")).await, (201, url));
    assert_eq!(ask(Method::POST, &format!("{some}/suspend")).await.0, 200);
    assert_eq!(ask(Method::POST, &format!("{one}/suspend")).await.0, 400);
    assert_eq!(ask(Method::POST, "/1.2.840.10008.5.1.4.34.5/subscribers/LONGER_THAN_SIXTEEN").await.0, 400);
}

#[tokio::test]
async fn nobody_works_without_signing_in() {
    let service = Service::with(Config::default()).await;
    for (method, path, body) in [
        (Method::GET, "", Value::Null),
        (Method::GET, "/2.25.1", Value::Null),
        (Method::POST, "?2.25.1", scheduled("Read")),
        (Method::PUT, "/2.25.1/state", state("IN PROGRESS", LOCK)),
        (Method::POST, "/1.2.840.10008.5.1.4.34.5/subscribers/WATCH", Value::Null),
    ] {
        let answer = send(&service, method, path, &body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {}", answer.text());
    }
}
