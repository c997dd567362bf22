use dicom::dictionary_std::tags;
use dicom_store::model::{Tag, VR};
use http::{Method, Request, StatusCode};
use rstest::rstest;
use serde_json::Value;
use wado::{Config, Negotiation, Origin};

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

#[tokio::test]
async fn what_is_found_depends_on_what_is_accepted() {
    let service = two_studies().await;
    for path in ["/studies", "/studies?limit=0"] {
        assert_eq!(service.get(path, JSON).await.field("vary"), "accept", "{path}");
    }
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
    assert_eq!(instance["00083002"]["Value"][0], "1.2.840.10008.1.2.1");
    let url = instance["00081190"]["Value"][0].as_str().unwrap();
    assert_eq!(service.get(url, INSTANCES).await.status, StatusCode::OK);
}

/// PS3.18 §8.8.1: what is given is UTF-8, and a character set that is not supported is ignored.
#[rstest]
#[case("/studies", JSON)]
#[case("/studies", "application/json")]
#[case("/studies/1.2/metadata", JSON)]
#[case("/studies", "multipart/related; type=\"application/dicom+xml\"")]
#[case("/studies/1.2/metadata", "multipart/related; type=\"application/dicom+xml\"")]
#[tokio::test]
async fn text_is_utf_8_whatever_character_set_is_asked_for(#[case] path: &str, #[case] accept: &str) {
    let service = two_studies().await;
    for charset in ["utf-8", "UTF-8", "iso-8859-1", "utf-16,*;q=0", "nonsense", ""] {
        let path = format!("{path}?charset={charset}");
        let fields = [("accept", accept), ("accept-charset", charset)];
        let fields = if charset.is_empty() { &fields[..1] } else { &fields };
        let answer = service.get_with(&path, fields).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(text.contains("Nguyễn"), "{path}: {text}");
        if accept.contains("xml") {
            assert!(text.contains("encoding=\"UTF-8\""), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_number_is_found_by_what_the_answer_tells_of_it() {
    let service = Service::open().await;
    let mut attributes = image("1.2", "1.3", "1.4");
    attributes.put_text(tags::SERIES_NUMBER, VR::IS, "01");
    service.store(&[explicit(&attributes), explicit(&image("2.2", "2.3", "2.4"))]).await;
    let told = found(&service, "/studies/1.2/series").await[0]["00200011"]["Value"][0].clone();
    assert_eq!(told, 1);
    for (number, expected) in [("1", 2), ("01", 2), ("10", 0)] {
        let rows = found(&service, &format!("/series?SeriesNumber={number}")).await;
        assert_eq!(rows.len(), expected, "{number}");
    }
}

/// Private blocks may have another number in every instance (PS3.5 §7.8.1).
#[tokio::test]
async fn private_attributes_are_found_and_told_with_their_creator() {
    let service = Service::open().await;
    let with = |instance: &str, blocks: &[(u16, &str, &str)]| {
        let mut attributes = image("1.2", "1.3", instance);
        for (block, creator, value) in blocks {
            attributes.put_text(Tag(0x0009, *block), VR::LO, creator);
            attributes.put_text(Tag(0x0009, block << 8 | 1), VR::LO, value);
        }
        explicit(&attributes)
    };
    service
        .store(&[
            with("1.4", &[(0x10, "ACME", "x")]),
            with("1.5", &[(0x10, "OTHER", "no"), (0x11, "ACME", "x")]),
            with("1.6", &[(0x10, "OTHER", "x")]),
            with("1.7", &[(0x10, "ACME", "y")]),
        ])
        .await;
    let told = |row: &Value| {
        let private = row.as_object().unwrap().iter().filter(|(tag, _)| tag.starts_with("0009"));
        private
            .map(|(tag, value)| format!("{tag}={}", value["Value"][0].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let rows = found(&service, "/instances?00090010=ACME&00091001=x").await;
    let rows: Vec<_> = rows.iter().map(told).collect();
    assert_eq!(rows, [["00090010=ACME", "00091001=x"], ["00090011=ACME", "00091101=x"]]);
    // Asked for and not matched: of whoever has it, with its creator.
    let rows = found(&service, "/instances?SOPInstanceUID=1.6&includefield=00091001").await;
    assert_eq!(told(&rows[0]), ["00090010=OTHER", "00091001=x"]);
    let rows = found(&service, "/instances?SOPInstanceUID=1.6").await;
    assert!(told(&rows[0]).is_empty());
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
    for (service, status) in [(&strict, StatusCode::NOT_ACCEPTABLE), (&Service::open().await, StatusCode::OK)]
    {
        let request = Request::post("/dicom-web/studies").header("content-type", "application/dicom");
        let file = explicit(&image("1.2", "1.3", "1.4"));
        assert_eq!(service.send(request.body(file.into()).unwrap()).await.status, status);
    }
    // What is accepted is said by contentType there.
    let uri = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4";
    assert_eq!(strict.get_with(uri, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_of_listed_origins_may_use_the_service() {
    let origin = "https://viewer.test";
    let cors_origins = vec![Origin::try_from(origin.to_owned()).unwrap()];
    let service = Service::with(Config { cors_origins: cors_origins.clone(), ..Config::default() }).await;
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
    // Pages that embed nothing but what says it may be embedded (Fetch standard, Cross-Origin-Embedder-Policy) may, too:
    // for an image the browser does not say whose page it is.
    let policy = "cross-origin-resource-policy";
    assert_eq!(answer.field(policy), "cross-origin");
    // Refusals are marked too; other origins are not.
    let refused = service.get_with("/studies", &[("accept", JSON), ("origin", origin)]).await;
    assert_eq!(
        (refused.status, refused.field("access-control-allow-origin"), refused.field(policy)),
        (StatusCode::UNAUTHORIZED, origin, "cross-origin")
    );
    let other = service.get_with("/studies", &[("accept", JSON), ("origin", "https://evil.test")]).await;
    assert_eq!(other.field("access-control-allow-origin"), "");
    let open = Service::with(Config { open: true, cors_origins, ..Config::default() }).await;
    open.store(&[explicit(&image("1.2", "1.3", "1.4"))]).await;
    for (path, accept, status) in [
        ("", JSON, 200),
        ("/metadata", JSON, 200),
        ("", INSTANCES, 200),
        ("/frames/1", "application/octet-stream", 200),
        ("/bulkdata/7FE00010", "application/octet-stream", 200),
        ("/rendered", "image/jpeg", 200),
        ("/frames/1/rendered", "image/png", 200),
        ("/thumbnail", "image/jpeg", 200),
        ("/frames/9", "application/octet-stream", 404),
        ("/rendered", "text/nonsense", 406),
    ] {
        let whole = "/studies/1.2/series/1.3/instances/1.4";
        let path =
            if accept == JSON && path.is_empty() { "/studies".into() } else { format!("{whole}{path}") };
        let answer = open.get_with(&path, &[("accept", accept), ("origin", origin)]).await;
        assert_eq!((answer.status.as_u16(), answer.field(policy)), (status, "cross-origin"), "{path}");
        assert_eq!(answer.field("access-control-allow-origin"), origin, "{path}");
        let embedded = open.get_with(&path, &[("accept", accept)]).await;
        assert_eq!((embedded.status.as_u16(), embedded.field(policy)), (status, "cross-origin"), "{path}");
        assert_eq!(embedded.field("access-control-allow-origin"), "", "{path}");
    }
    let alone = Service::open().await.get_with("/studies", &[("accept", JSON), ("origin", origin)]).await;
    assert_eq!((alone.field(policy), alone.field("access-control-allow-origin")), ("", ""));
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
