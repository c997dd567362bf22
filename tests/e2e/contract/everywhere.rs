//! What is malformed, at every route that there is: names in paths, values of parameters, bodies.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{goes_on, pacs, request, told};

/// In place of a name in a path.
const NAMES: [&str; 12] = [
    "%00",
    "%FF%FE",
    "..%2F..%2Fetc%2Fpasswd",
    "%20",
    "*",
    "0",
    "-1",
    "2.25.",
    "1..2",
    "18446744073709551616",
    "%F0%9F%A6%B4",
    "a,b;c=d",
];

/// In place of the value of a parameter.
const VALUES: [&str; 16] = [
    "",
    "%00",
    "%FF%FE",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "NaN,NaN,NaN",
    "true,false",
    "%5C%5C%5C",
    "%27%22%3B--",
    ",,,,",
    "a%3Db",
    "*%3F*%3F*",
    "%F0%9F%A6%B4",
    "99999999-00000000",
];

/// In place of a body.
const BODIES: [&[u8]; 14] = [
    b"",
    b"{",
    b"[",
    b"null",
    b"[]",
    b"\"x\"",
    b"[{}]",
    b"\xFF\xFE\x00",
    b"<",
    b"<NativeDicomModel>",
    b"{\"act\":5,\"studies\":7,\"host\":[]}",
    b"[{\"00080018\":{\"vr\":\"UI\",\"Value\":[{\"a\":[]}]},\"7FE00010\":{\"vr\":\"OW\",\"InlineBinary\":\"?\"}}]",
    b"--b\r\nContent-Type: application/dicom\r\n\r\nDICM",
    b"--b\r\nContent-Type: application/dicom+json\r\n\r\n[\r\n--b--",
];

/// With what is there, where nothing is changed by asking; else with names that nothing has.
fn path(template: &str, is_read: bool) -> String {
    let of = |there: &'static str| if is_read { there } else { "2.25.404" };
    let names = [
        ("{study}", of("2.25.7001")),
        ("{series}", of("2.25.7001.1")),
        ("{instance}", of("2.25.7001.1.1")),
        ("{frames}", "1"),
        ("{attribute}", "7FE00010"),
        ("{workitem}", "2.25.404"),
        ("{aet}", "NOBODY"),
    ];
    names.into_iter().fold(template.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// The malformed requests of one operation.
fn of_operation(method: &str, template: &str, operation: &Value) -> Vec<Vec<u8>> {
    let method = method.to_uppercase();
    let whole = path(template, method == "GET");
    let long = "a".repeat(4000);
    let mut all = Vec::new();
    let mut send = |path: &str, fields: &str, body: &[u8]| {
        all.push(request(&format!("{method} {path}"), &format!("Accept: */*\r\n{fields}"), body));
    };
    for variable in template.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        for name in NAMES.into_iter().chain([long.as_str()]) {
            send(&path(&template.replace(&format!("{{{variable}}}"), name), false), "", b"");
        }
    }
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let names = |place: &'static str| {
        let of_place = parameters.iter().filter(move |parameter| parameter["in"] == place);
        of_place.filter_map(|parameter| parameter["name"].as_str())
    };
    for name in names("query") {
        for value in VALUES.into_iter().chain([long.as_str()]) {
            send(&format!("{whole}?{name}={value}"), "", b"");
        }
        send(&format!("{whole}?{name}=1&{name}=2&{name}"), "", b"");
    }
    for name in names("header") {
        for value in ["\"", "\\", ",,W/,", "bytes=5-1", &long] {
            send(&whole, &format!("{name}: {value}\r\n"), b"");
        }
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        for media in content.keys().map(String::as_str).chain(["text/plain", ";;="]) {
            for body in BODIES {
                send(&whole, &format!("Content-Type: {media}; boundary=b\r\n"), body);
            }
        }
    }
    all
}

/// Each is refused, or what is wrong with it is passed over: never a fault of the server, never a wait.
#[tokio::test]
async fn no_route_fails_by_what_it_is_asked_for() -> Result<()> {
    let pacs = pacs().await?;
    let document = pacs.web().get("/api/openapi.json", "application/json").await?;
    let document: Value = serde_json::from_slice(&document.body)?;
    let paths = document["paths"].as_object().context("no paths")?;
    let mut count = 0;
    for (template, item) in paths {
        let operations = item.as_object().into_iter().flatten().filter(|(method, _)| *method != "parameters");
        for (method, operation) in operations {
            for request in of_operation(method, template, operation) {
                let told = told(&pacs, &request).await?;
                ensure!(told.status < 500 && !told.text.contains("panicked"), "{told:?}");
                // What cannot be read as HTTP has no words of ours.
                let is_of_http = told.status == 431 || told.status == 414;
                let is_problem = told.text.contains("application/problem+json");
                let is_module = told.text.contains("00081198") || told.text.contains("0008119A");
                ensure!(told.status < 400 || is_problem || is_of_http || is_module, "{told:?}");
                count += 1;
            }
        }
    }
    assert!(count > 3000, "{count}");
    let log = pacs.log();
    assert!(!log.contains("panicked") && !log.contains("request failed"), "{log}");
    goes_on(&pacs).await
}
