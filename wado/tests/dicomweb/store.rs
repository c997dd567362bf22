use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use dicom::core::VR;
use dicom::dictionary_std::tags;
use futures_util::stream::{self, StreamExt};
use http::{Request, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::util::SubscriberInitExt;
use wado::Config;

use crate::service::{AS_STORED, Service, explicit, image, multipart};

const REFERENCED: &str = "00081199";
const FAILED: &str = "00081198";
const OTHER: &str = "0008119A";

fn items<'a>(module: &'a Value, sequence: &str) -> &'a [Value] {
    module[sequence]["Value"].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test]
async fn names_every_instance_that_is_stored() {
    let service = Service::open().await;
    let (content_type, body) = multipart(&["1.4", "1.5"].map(|uid| explicit(&image("1.2", "1.3", uid))));
    let answer = service.post("/studies/1.2", &content_type, body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let module = answer.json();
    assert_eq!(module["00081190"]["Value"][0], "http://pacs.test/dicom-web/studies/1.2");
    let stored: Vec<_> =
        items(&module, REFERENCED).iter().map(|item| &item["00081155"]["Value"][0]).collect();
    assert_eq!(stored, ["1.4", "1.5"]);
    let url = items(&module, REFERENCED)[0]["00081190"]["Value"][0].as_str().unwrap();
    assert_eq!(service.get(url, AS_STORED).await.status, StatusCode::OK);
    assert!(module.get(FAILED).is_none() && module.get(OTHER).is_none());
}

#[tokio::test]
async fn warns_of_an_instance_in_the_study_of_another_patient() {
    let service = Service::open().await;
    let mut stranger = image("1.2", "1.3", "1.5");
    stranger.put_text(tags::PATIENT_ID, VR::LO, "P2");
    let (content_type, body) = multipart(&[explicit(&image("1.2", "1.3", "1.4"))]);
    assert_eq!(service.post("/studies/1.2", &content_type, body).await.status, StatusCode::OK);
    let (content_type, body) = multipart(&[explicit(&stranger)]);
    let answer = service.post("/studies/1.2", &content_type, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let module = answer.json();
    let item = &items(&module, REFERENCED)[0];
    assert_eq!(
        (&item["00081155"]["Value"][0], &item["00081196"]["Value"][0]),
        (&json!("1.5"), &json!(0xB000))
    );
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_what_is_taken() {
    let service = Service::open().await;
    let (content_type, body) = multipart(&[explicit(&image("1.2", "1.3", "1.4"))]);
    let of = |coding: &str| {
        let request = Request::post("/dicom-web/studies").header("host", "pacs.test");
        let request = request.header("content-type", &content_type).header("content-encoding", coding);
        service.send(request.body(Body::from(body.clone())).unwrap())
    };
    let answer = of("gzip").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.field("accept-encoding"), "identity");
    assert_eq!(of("identity").await.status, StatusCode::OK);
}

#[tokio::test]
async fn accounts_for_garbage_among_good_parts() {
    let service = Service::open().await;
    let good = explicit(&image("1.2", "1.3", "1.4"));
    let torn = explicit(&image("1.2", "1.3", "1.5"))[..400].to_vec();
    let (content_type, body) = multipart(&[good, b"garbage".repeat(40), torn, Vec::new()]);
    let answer = service.post("/studies", &content_type, body).await;
    let module = answer.json();
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let counts = [REFERENCED, FAILED, OTHER].map(|sequence| items(&module, sequence).len());
    assert_eq!(counts, [1, 1, 2]);
    let failed = &items(&module, FAILED)[0];
    assert_eq!(failed["00081155"]["Value"][0], "1.5");
    assert_eq!(failed["00000902"]["vr"], "LO");
    assert!(failed["00000902"]["Value"][0].as_str().unwrap().len() > 10, "{failed}");
    assert_eq!(items(&module, OTHER)[1]["00000902"]["Value"][0], "part is empty");
    assert_eq!(items(&module, OTHER)[0]["00081197"]["Value"][0], 0xC000);
}

#[tokio::test]
async fn an_instance_of_another_study_than_the_path_is_not_stored() {
    let service = Service::open().await;
    let (content_type, body) = multipart(&[explicit(&image("1.2", "1.3", "1.4"))]);
    let answer = service.post("/studies/9.9", &content_type, body).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(items(&answer.json(), FAILED)[0]["00081197"]["Value"][0], 0xA900);
    assert_eq!(service.get("/studies/1.2", AS_STORED).await.status, StatusCode::NOT_FOUND);
}

#[rstest]
#[case::text("text/plain", 415)]
#[case::metadata("multipart/related; type=\"application/dicom+json\"; boundary=b", 400)]
#[case::no_json("application/dicom+json", 409)]
#[case::no_xml("application/dicom+xml", 409)]
#[case::no_boundary("multipart/related; type=\"application/dicom\"", 400)]
#[case::garbage("application/dicom", 409)]
#[case::no_parts("multipart/related; type=\"application/dicom\"; boundary=b", 400)]
#[tokio::test]
async fn refuses(#[case] content_type: &str, #[case] status: u16) {
    let answer = Service::open().await.post("/studies", content_type, "hello".repeat(100)).await;
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing_half() {
    let service = Service::open().await;
    let (content_type, body) = multipart(&[explicit(&image("1.2", "1.3", "1.4"))]);
    let end = body.len() - b"\r\n--b0undary--\r\n".len();
    for cut in [end, end - 10, 200] {
        let answer = service.post("/studies", &content_type, body[..cut].to_vec()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(service.get("/studies/1.2", AS_STORED).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn takes_one_instance_without_multipart() {
    let service = Service::open().await;
    let file = explicit(&image("1.2", "1.3", "1.4"));
    assert_eq!(service.post("/studies", "application/dicom", file.clone()).await.status, StatusCode::OK);
    assert_eq!(service.get("/studies/1.2", AS_STORED).await.parts()[0].body, file);
}

#[tokio::test]
async fn the_same_instance_again_is_no_failure_and_another_one_of_its_uid_a_warning() {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    let first = explicit(&attributes);
    service.store(std::slice::from_ref(&first)).await;
    service.store(std::slice::from_ref(&first)).await;
    attributes.put_text(tags::INSTANCE_NUMBER, VR::IS, "8");
    let (content_type, body) = multipart(&[explicit(&attributes)]);
    let answer = service.post("/studies", &content_type, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(items(&answer.json(), REFERENCED)[0]["00081196"]["Value"][0], 0xB000);
    assert_eq!(service.get("/studies/1.2", AS_STORED).await.parts()[0].body, first);
}

#[rstest]
#[case::silent(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()))]
#[case::endless(Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 1 << 16])))))]
#[tokio::test]
async fn a_stranger_is_told_to_sign_in_whatever_the_body_does(#[case] body: Body) {
    let service = Service::with(Config::default()).await;
    let content_type = "multipart/related; type=\"application/dicom\"; boundary=b";
    let answer = service.post("/studies", content_type, body);
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.field("connection"), "close");
}

#[tokio::test]
async fn a_stranger_is_told_to_sign_in_and_nothing_of_the_parts() {
    let service = Service::with(Config::default()).await;
    let content_type = "multipart/related; type=\"application/dicom\"; boundary=b";
    let text = "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--";
    let answer = service.post("/studies", content_type, text).await;
    assert_eq!((answer.status, answer.field("connection")), (StatusCode::UNAUTHORIZED, ""));
}

#[tokio::test]
async fn more_parts_than_the_limit_are_refused_and_those_before_are_kept() {
    let service = Service::open().await;
    let file = explicit(&image("1.2", "1.3", "1.4"));
    let (content_type, mut body) = multipart(&[file]);
    body.truncate(body.len() - b"--b0undary--\r\n".len());
    body.extend_from_slice(&b"--b0undary\r\nContent-Type: a/b\r\n\r\n\r\n".repeat(100_000));
    body.extend_from_slice(b"--b0undary--");
    let answer = service.post("/studies", &content_type, body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let told = "the body has more parts than the limit of 100000; 1 instances that came before are stored";
    assert_eq!(answer.json()["detail"], told);
    assert_eq!(service.get("/studies/1.2", AS_STORED).await.status, StatusCode::OK);
}

/// Where the log of a test goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The log of this thread, until the guard is dropped.
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        (log, subscriber.set_default())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn the_log_names_a_refused_instance_and_why_but_not_the_patient() {
    let (log, _guard) = Log::listen();
    let service = Service::open().await;
    let (content_type, body) = multipart(&[explicit(&image("1.2", "1.3", "1.4"))]);
    service.post("/studies/9.9", &content_type, body).await;
    let text = log.text();
    let line = text.lines().find(|line| line.contains("part not stored")).unwrap();
    assert!(
        line.contains("WARN") && line.contains("instance=1.4") && line.contains("kind=Conflict"),
        "{line}"
    );
    assert!(line.contains("error=") && line.contains("9.9"), "{line}");
    assert!(!text.contains("Nguy") && !text.contains("P1"), "{text}");
}

#[tokio::test]
async fn the_log_of_a_request_with_many_refused_parts_is_short() {
    let (log, _guard) = Log::listen();
    let (content_type, body) = multipart(&vec![Vec::new(); 500]);
    Service::open().await.post("/studies", &content_type, body).await;
    let text = log.text();
    assert_eq!(text.lines().filter(|line| line.contains(" part not stored")).count(), 100);
    assert!(text.contains("parts=500"), "{text}");
}

#[rstest]
#[case::no_such_resource("POST", "/dicom-web/nothing", 404)]
#[case::no_such_method("POST", "/dicom-web/instances", 405)]
#[case::no_such_media_type("POST", "/dicom-web/workitems", 415)]
#[case::no_such_resource_of_the_api("POST", "/api/v1/nothing", 404)]
#[case::no_such_method_of_the_api("PUT", "/api/v1/server", 405)]
#[case::no_such_media_type_of_the_api("POST", "/api/v1/acts", 415)]
#[case::wado("POST", "/wado", 405)]
#[tokio::test]
async fn a_body_that_nobody_wants_is_read_or_the_answer_says_that_the_connection_is_closed(
    #[case] method: &str,
    #[case] path: &str,
    #[case] status: u16,
) {
    let service = Service::open().await;
    let request = |body| {
        let request = Request::builder().method(method).uri(path).header("content-type", "text/plain");
        service.send(request.body(body).unwrap())
    };
    let is_read = Arc::new(AtomicBool::new(false));
    let end = {
        let is_read = is_read.clone();
        stream::poll_fn(move |_| {
            is_read.store(true, Ordering::Relaxed);
            Poll::Ready(None)
        })
    };
    let short = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"twenty bytes of text"))]).chain(end);
    let answer = request(Body::from_stream(short)).await;
    assert_eq!((answer.status.as_u16(), answer.field("connection")), (status, ""));
    assert!(is_read.load(Ordering::Relaxed));

    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 1 << 16])));
    let answer = request(Body::from_stream(endless)).await;
    assert_eq!((answer.status.as_u16(), answer.field("connection")), (status, "close"));
}
