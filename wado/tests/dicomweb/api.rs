//! The own API: what its document says is what there is.

use axum::body::Body;
use dicom::dictionary_std::tags;
use dicom_store::fixture::ct;
use dicom_store::model::VR;
use http::{Method, Request, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use wado::Config;

use super::acts::rows;
use super::service::{JSON, Service, explicit, image};

async fn ask(service: &Service, method: &str, path: &str) -> super::service::Answer {
    let request =
        Request::builder().method(method).uri(path).header("host", "pacs.test").header("accept", "*/*");
    service.send(request.body(Body::empty()).unwrap()).await
}

async fn document(service: &Service) -> Value {
    let answer = ask(service, "GET", "/api/openapi.json").await;
    assert_eq!((answer.status, answer.field("content-type")), (StatusCode::OK, "application/json"));
    answer.json()
}

/// With values that nothing has.
fn filled(template: &str) -> String {
    let path =
        template.replace("{frames}", "1").replace("{attribute}", "7FE00010").replace("{aet}", "NOBODY");
    ["study", "series", "instance", "workitem"]
        .into_iter()
        .fold(path, |path, name| path.replace(&format!("{{{name}}}"), "2.25.404"))
}

/// Every method of every path of the document is answered, and no other method is.
#[tokio::test]
async fn the_document_and_the_routes_are_one() {
    let service = Service::open().await;
    let document = document(&service).await;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 30, "{}", paths.len());
    for (template, item) in paths {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = ask(&service, method.as_str(), &filled(template)).await;
            let is_described = item.get(method.as_str().to_ascii_lowercase()).is_some();
            let what = format!("{method} {template}: {} {}", answer.status, answer.text());
            if !is_described {
                // The path of another resource may have this form.
                let is_nothing =
                    answer.status == StatusCode::NOT_FOUND && answer.text().contains("has no resource");
                assert!(answer.status == StatusCode::METHOD_NOT_ALLOWED || is_nothing, "{what}");
                continue;
            }
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{what}");
            assert!(!answer.text().contains("has no resource"), "{what}");
            // No peer is there to be asked.
            let is_of_a_peer = answer.status == StatusCode::BAD_GATEWAY && template.contains("/peers/");
            assert!(!answer.status.is_server_error() || is_of_a_peer, "{what}");
            let is_problem = answer.field("content-type") == "application/problem+json";
            assert_eq!(answer.status.as_u16() >= 400, is_problem, "{what}");
        }
    }
}

#[tokio::test]
async fn the_document_says_where_the_client_sees_it() {
    let service = Service::open().await;
    assert_eq!(document(&service).await["servers"][0]["url"], "http://pacs.test");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_in_the_same_form() {
    let service = Service::open().await;
    for (method, path, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/status", 404),
        ("PUT", "/api/v1/acts", 405),
        ("GET", "/api/v1/acts?limit=x", 400),
        ("GET", "/api/v1/studies/abc/display", 400),
        ("PUT", "/dicom-web/studies", 405),
        ("POST", "/wado", 405),
        ("GET", "/dicom-web/nothing", 404),
    ] {
        let answer = ask(&service, method, path).await;
        assert_eq!(answer.field("content-type"), "application/problem+json", "{method} {path}");
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), &problem["status"]), (status, &json!(status)), "{method} {path}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.len() > 10), "{problem}");
        assert_eq!(status == 405, !answer.field("allow").is_empty(), "{method} {path}");
    }
}

#[rstest]
#[case("PUT", "/studies", "GET,HEAD,POST,OPTIONS")]
#[case("PUT", "/studies/1.2", "GET,HEAD,POST,DELETE,OPTIONS")]
#[case("POST", "/studies/1.2/series", "GET,HEAD,OPTIONS")]
#[case("POST", "/studies/1.2/series/1.3/instances/1.4/bulkdata/00880200/1/7FE00010", "GET,HEAD,OPTIONS")]
#[case("GET", "/workitems/1.2/state", "PUT,OPTIONS")]
#[tokio::test]
async fn what_a_resource_takes_is_told_with_what_all_take(
    #[case] method: &str,
    #[case] path: &str,
    #[case] allowed: &str,
) {
    let answer = ask(&Service::open().await, method, &format!("/dicom-web{path}")).await;
    assert_eq!((answer.status, answer.field("allow")), (StatusCode::METHOD_NOT_ALLOWED, allowed));
}

#[tokio::test]
async fn without_a_sign_in_nothing_is_told() {
    let service = Service::with(Config::default()).await;
    for (method, path) in [
        ("GET", "/api/openapi.json"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/server"),
        ("GET", "/api/v1/window-presets"),
        ("GET", "/api/v1/acts"),
        ("GET", "/api/v1/studies/2.25.1/display"),
        ("GET", "/api/v1/nothing"),
        ("PATCH", "/api/v1/acts"),
        ("OPTIONS", "/dicom-web/studies"),
        ("GET", "/dicom-web/nothing"),
        ("POST", "/dicom-web/studies"),
        ("GET", "/wado"),
    ] {
        let answer = ask(&service, method, path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}: {}", answer.text());
        assert!(answer.field("www-authenticate").starts_with("Bearer"), "{method} {path}");
    }
    let open = Service::open().await;
    assert_eq!(ask(&open, "GET", "/api/v1/status").await.json(), json!({ "open": true, "version": "0" }));
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let service = Service::open().await;
    let server = rows(&service, "/server").await;
    assert_eq!((&server["ready"], &server["ae-title"]), (&json!(true), &json!("FILMLESS")), "{server}");
    assert_eq!(server["limits"]["results"], 5000);
    assert_eq!(server["dicomweb"]["path"], "/dicom-web");
}

#[tokio::test]
async fn window_presets_are_those_of_the_settings() {
    let preset = wado::WindowPreset { modality: "MR".into(), name: "own".into(), center: 1.5, width: 3.0 };
    let config = Config { open: true, window_presets: vec![preset], ..Config::default() };
    let service = Service::with(config).await;
    let own = json!([{ "modality": "MR", "name": "own", "center": 1.5, "width": 3.0 }]);
    assert_eq!(rows(&service, "/window-presets").await, own);
    assert_eq!(rows(&service, "/window-presets?modality=CT").await, json!([]));
}

/// Two series, the second with its instances in another order than they came.
#[tokio::test]
async fn a_study_opens_with_one_answer() {
    let service = Service::open().await;
    let instance = |series: &str, series_number: &str, uid: &str, number: &str| {
        let mut attributes = image("1.2.1", series, uid);
        attributes.put_text(tags::SERIES_NUMBER, VR::IS, series_number);
        attributes.put_text(tags::INSTANCE_NUMBER, VR::IS, number);
        attributes.put_text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.25");
        explicit(&attributes)
    };
    let files = [
        instance("1.2.1.2", "2", "1.2.1.2.9", "3"),
        instance("1.2.1.2", "2", "1.2.1.2.8", "1"),
        instance("1.2.1.1", "1", "1.2.1.1.1", "1"),
    ];
    service.store(&files).await;
    let display = rows(&service, "/studies/1.2.1/display").await;
    assert_eq!(display["study"]["StudyInstanceUID"], "1.2.1");
    assert_eq!(display["study"]["PatientName"], json!({ "Alphabetic": "Nguyễn^An" }));
    assert_eq!(display["study"]["ModalitiesInStudy"], json!(["CT"]));
    assert_eq!(display["priors"], json!([]));
    assert_eq!(display["window-presets"].as_array().unwrap().len(), 5);
    let uids = |series: &Value| -> Vec<String> {
        let instances = series["instances"].as_array().unwrap();
        instances.iter().map(|instance| instance["SOPInstanceUID"].as_str().unwrap().to_owned()).collect()
    };
    let series = display["series"].as_array().unwrap();
    assert_eq!(series.len(), 2, "{display}");
    assert_eq!((&series[0]["SeriesNumber"], uids(&series[0])), (&json!(1), vec!["1.2.1.1.1".to_owned()]));
    assert_eq!(uids(&series[1]), ["1.2.1.2.8", "1.2.1.2.9"]);
    let first = &series[1]["instances"][0];
    assert_eq!((&first["frames"], &first["Rows"]), (&json!(1), &json!(4)));
    assert_eq!(first["PixelSpacing"], json!([0.5, 0.25]));
    let url = first["url"].as_str().unwrap();
    let frame = service.get(&format!("{url}/frames/1"), "application/octet-stream").await;
    assert_eq!(frame.body.len(), 48, "{url}");
    let thumbnail = series[0]["thumbnail"].as_str().unwrap();
    assert_eq!(service.get(thumbnail, "image/jpeg").await.status, StatusCode::OK);

    let short = rows(&service, "/studies/1.2.1/display?instances=false").await;
    assert_eq!(short["series"].as_array().unwrap().len(), 2);
    assert_eq!((&short["series"][0]["SeriesNumber"], short["series"][0].get("instances")), (&json!(1), None));
    assert_eq!(short["study"], display["study"]);
}

#[tokio::test]
async fn priors_are_of_the_same_patient_and_the_most_useful_come_first() {
    let service = Service::open().await;
    let study = |uid: &str, patient: &str, date: &str, modality: &str, part: &str| {
        let mut attributes = image(uid, &format!("{uid}.1"), &format!("{uid}.1.1"));
        attributes.put_text(tags::PATIENT_ID, VR::LO, patient);
        attributes.put_text(tags::STUDY_DATE, VR::DA, date);
        attributes.put_text(tags::MODALITY, VR::CS, modality);
        attributes.put_text(tags::BODY_PART_EXAMINED, VR::CS, part);
        explicit(&attributes)
    };
    service
        .store(&[
            study("1.3.1", "A*", "20260101", "CT", "CHEST"),
            study("1.3.2", "A*", "20250101", "MR", "HEAD"),
            study("1.3.3", "A*", "20200101", "CT", "CHEST"),
            study("1.3.4", "A*", "20210101", "CR", "CHEST"),
            study("1.3.5", "A*", "20240101", "CT", "ABDOMEN"),
            study("1.3.6", "AB", "20250101", "CT", "CHEST"),
        ])
        .await;
    let display = rows(&service, "/studies/1.3.1/display").await;
    let priors = display["priors"].as_array().unwrap();
    let uids: Vec<&str> = priors.iter().map(|prior| prior["StudyInstanceUID"].as_str().unwrap()).collect();
    assert_eq!(uids, ["1.3.3", "1.3.4", "1.3.5", "1.3.2"], "an asterisk in an identifier is no wild card");
    assert_eq!((&priors[0]["same-modality"], &priors[0]["same-part"]), (&json!(true), &json!(true)));
    assert_eq!(priors[1]["same-modality"], json!(false));
}

#[tokio::test]
async fn a_study_without_patient_id_has_no_priors() {
    let service = Service::open().await;
    let nobody = |uid: &str| {
        let mut attributes = image(uid, &format!("{uid}.1"), &format!("{uid}.1.1"));
        attributes.put_text(tags::PATIENT_ID, VR::LO, "");
        explicit(&attributes)
    };
    service.store(&[nobody("1.4.1"), nobody("1.4.2")]).await;
    assert_eq!(rows(&service, "/studies/1.4.1/display").await["priors"], json!([]));
}

#[tokio::test]
async fn a_study_that_is_not_there_does_not_open() {
    let service = Service::open().await;
    service.store(&[ct().file()]).await;
    let answer = ask(&service, "GET", "/api/v1/studies/2.25.404/display").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
}

fn strings<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, into)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, into)),
        _ => {}
    }
}

/// PS3.18 §8.9: both forms say the same.
#[tokio::test]
async fn capabilities_are_told_as_xml_and_json() {
    let service = Service::open().await;
    let ask = async |accept: &str| {
        let request =
            Request::options("/dicom-web/studies").header("host", "pacs.test").header("accept", accept);
        service.send(request.body(Body::empty()).unwrap()).await
    };
    let (xml, json) = (ask("application/vnd.sun.wadl+xml").await, ask("application/json").await);
    let document = json.json();
    let resources = &document["application"]["resources"];
    assert_eq!(resources["@base"], "http://pacs.test/dicom-web/");
    for resource in resources["resource"].as_array().unwrap() {
        let path = resource["@path"].as_str().unwrap();
        assert!(xml.text().contains(&format!("<resource path=\"{path}\">")), "{path}");
    }
    let is_told = |name: &str| xml.text().contains(&format!("name=\"{name}\""));
    for name in ["annotation", "iccprofile", "emptyvaluematching", "If-None-Match", "SeriesNumber"] {
        assert!(is_told(name) && json.text().contains(&format!("\"@name\":\"{name}\"")), "{name}");
    }
    // Every value of the one is in the other.
    let mut values = Vec::new();
    strings(&document, &mut values);
    for value in values {
        assert!(xml.text().contains(&value.replace('"', "&quot;")), "{value}");
    }
    assert_eq!(ask(JSON).await.status, StatusCode::NOT_ACCEPTABLE);
}
