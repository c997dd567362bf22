//! What the OpenAPI document says and what is done; and requests that nobody should make.

mod everywhere;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::{
    Pacs,
    by_hand::connect,
    corpus::{MUELLER, NGUYEN, ct, report, us_multiframe},
    tools::{python, run, scripts},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

/// Requests of each operation, drawn at random; those for the edges of what is allowed come before them.
const EXAMPLES: &str = "10";
const LIMIT: Duration = Duration::from_secs(240);
/// What the server may have held at the most, of requests that are none of them large.
const MOST_MEMORY: u64 = 400 << 20;

async fn pacs() -> Result<Pacs> {
    let pacs = Pacs::start().await?;
    pacs.hold(&[ct(NGUYEN, 3), vec![us_multiframe(MUELLER, 3), report(MUELLER)]].concat()).await?;
    Ok(pacs)
}

async fn goes_on(pacs: &Pacs) -> Result<()> {
    assert_eq!(pacs.web().get("/health/ready", "*/*").await?.status.as_u16(), 200);
    assert_eq!(pacs.web().json("/dicom-web/studies").await?.len(), 2, "what was there is there");
    let memory = pacs.peak_memory()?;
    assert!(memory < MOST_MEMORY, "{} MiB", memory >> 20);
    Ok(())
}

/// schemathesis: every answer has a status, a media type and a body that the document tells; none is 500.
#[tokio::test]
async fn every_operation_keeps_to_the_document() -> Result<()> {
    let pacs = pacs().await?;
    let folder = pacs.scratch("schemathesis")?;
    let mut command = Command::new(python()?);
    command.current_dir(&folder).args(["-m", "schemathesis.cli", "--config-file"]);
    command.arg(scripts().join("peers/schemathesis.toml"));
    command.arg("run").arg(format!("http://{}/api/openapi.json", pacs.http()));
    command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]);
    command.args(["--checks", "response_schema_conformance", "--max-examples", EXAMPLES]);
    command.args(["--phases", "coverage,fuzzing", "--request-timeout", "20", "--generation-deterministic"]);
    // What it deletes could not be asked for any more.
    command.args(["--continue-on-failure", "--warnings", "off", "--exclude-method", "DELETE"]);
    let finished = run(&mut command, LIMIT).await?;
    ensure!(finished.success, "{}{}", finished.stdout, finished.stderr);
    goes_on(&pacs).await
}

/// A request, whole, with a body of its own length.
fn request(line: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What goes wrong in requests, by accident and on purpose, and the status that it is answered with: the one of what is
/// wrong, or that of all well where a server has to pass over it.
fn malformed() -> Vec<(u16, Vec<u8>)> {
    let json = "Accept: */*\r\nContent-Type: application/dicom+json\r\n";
    let xml = "Accept: */*\r\nContent-Type: application/dicom+xml\r\n";
    let act = "Accept: */*\r\nContent-Type: application/json\r\n";
    let any = "Accept: */*\r\n";
    let deep = |open: &str, close: &str| [open.repeat(50_000), close.repeat(50_000)].concat().into_bytes();
    let laughs = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"haha\"><!ENTITY c \"&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;\">]>\
                  <NativeDicomModel><DicomAttribute tag=\"00100010\" vr=\"LO\"><Value number=\"1\">&d;</Value></DicomAttribute></NativeDicomModel>";
    let outside =
        "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><NativeDicomModel>&b;</NativeDicomModel>";
    let parts = |boundary: &str, body: &str| {
        let fields = format!(
            "Accept: */*\r\nContent-Type: multipart/related; type=\"application/dicom\"; boundary={boundary}\r\n"
        );
        request("POST /dicom-web/studies", &fields, body.as_bytes())
    };
    let instance = "/dicom-web/studies/2.25.7001/series/2.25.7001.1/instances/2.25.7001.1.1";
    let get = |path: &str| request(&format!("GET {path}"), any, b"");
    let mut all = vec![
        (409, request("POST /dicom-web/studies", json, &deep("[", "]"))),
        (
            409,
            request(
                "POST /dicom-web/studies",
                json,
                &deep("{\"00081199\":{\"vr\":\"SQ\",\"Value\":[", "]}}"),
            ),
        ),
        (
            409,
            request(
                "POST /dicom-web/studies",
                json,
                b"[{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":1e999}]}}]",
            ),
        ),
        (
            409,
            request(
                "POST /dicom-web/studies",
                json,
                b"[{\"00280010\":{\"vr\":\"US\",\"Value\":[-1,99999999999,\"x\",null,{}]}}]",
            ),
        ),
        (409, request("POST /dicom-web/studies", json, b"\xff\xfe[{}]")),
        (
            409,
            request(
                "POST /dicom-web/studies",
                json,
                b"[{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"\\ud800\"]}}",
            ),
        ),
        (409, request("POST /dicom-web/studies", xml, laughs.as_bytes())),
        (409, request("POST /dicom-web/studies", xml, outside.as_bytes())),
        (409, request("POST /dicom-web/studies", xml, &deep("<NativeDicomModel>", "</NativeDicomModel>"))),
        (415, request("POST /dicom-web/studies", "Accept: */*\r\nContent-Type: \u{e9}\r\n", b"x")),
        (415, request("POST /dicom-web/studies", any, b"x")),
        (400, parts("b", "")),
        (400, parts("b", "--b--")),
        (409, parts("b", "--b\r\n\r\n--b--\r\n")),
        (400, parts("b", &"--b\r\nContent-Type: application/dicom\r\n\r\n".repeat(2000))),
        (400, parts("\"\"", "--\r\n\r\n----")),
        (400, parts(&"b".repeat(5000), "x")),
        (400, request("POST /api/v1/acts", act, &deep("{\"act\":", "}"))),
        (413, request("POST /api/v1/acts", act, &vec![b' '; 2 << 20])),
        (
            404,
            request(
                "POST /api/v1/acts",
                act,
                b"{\"act\":{\"kind\":\"undo\",\"number\":18446744073709551615}}",
            ),
        ),
        (400, request("POST /api/v1/acts", act, b"{\"act\":{\"kind\":\"undo\",\"number\":1e400}}")),
        (400, request("PUT /api/v1/peers/%00", act, b"{\"host\":\"x\",\"port\":1}")),
        (400, request("PUT /api/v1/peers/A", act, b"{\"host\":\"\",\"port\":70000}")),
        (400, get("/dicom-web/studies?StudyDate=99999999-00000000")),
        (400, get("/dicom-web/studies?StudyDate=99999999-")),
        (400, get("/dicom-web/studies?StudyDate=-20261301")),
        (400, get("/dicom-web/studies?StudyTime=2500")),
        (400, get("/dicom-web/series?SeriesNumber=1-5")),
        (400, get("/dicom-web/instances?InstanceNumber=*1")),
        (400, get("/dicom-web/studies?PatientName=%FF%FE%00")),
        (400, get("/dicom-web/studies?PatientID=a%00b")),
        (400, get("/dicom-web/workitems?ScheduledProcedureStepStartDateTime=99999999")),
        (204, get("/dicom-web/studies?StudyDate=20260201-20260231&PatientID=nobody")),
        (200, get(&format!("/dicom-web/studies?PatientName={}", "*".repeat(5000)))),
        (204, get(&format!("/dicom-web/studies?PatientName={}", "%2A%3F".repeat(2000)))),
        (200, get(&format!("/dicom-web/studies?includefield={}", "00100010,".repeat(5000)))),
        (200, get(&format!("/dicom-web/studies?{}", "a=b&".repeat(10_000)))),
        (204, get("/dicom-web/studies?limit=18446744073709551615&offset=18446744073709551615")),
        (400, get("/dicom-web/studies?limit=18446744073709551616")),
        (400, get(&format!("/dicom-web/studies?StudyInstanceUID={}", "1.2,".repeat(5000)))),
        (400, get(&format!("/dicom-web/instances?{}00100010=x", "00081199.".repeat(3000)))),
        (400, get("/dicom-web/studies/%00/series")),
        (404, get("/dicom-web/studies/../../etc/passwd")),
        (404, get("/dicom-web//studies")),
        (
            404,
            get(&format!(
                "{instance}/frames/{}",
                (1..3000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
            )),
        ),
        (400, get(&format!("{instance}/frames/4294967296"))),
        (400, get(&format!("{instance}/rendered?viewport=1e9,1e9"))),
        (400, get(&format!("{instance}/rendered?viewport=4294967295,4294967295"))),
        (400, get(&format!("{instance}/rendered?viewport=-1,-1,-1,-1,-1,-1"))),
        (400, get(&format!("{instance}/rendered?window=NaN,NaN,linear"))),
        (200, get(&format!("{instance}/rendered?window=1e308,1e-308,sigmoid"))),
        (400, get(&format!("{instance}/rendered?window=0,0,linear"))),
        (400, get(&format!("{instance}/rendered?quality=101"))),
        (404, get(&format!("{instance}/bulkdata/7FE00010/1/7FE00010/1/7FE00010"))),
        (404, get(&format!("{instance}/bulkdata/..%2F..%2F7FE00010"))),
        (
            400,
            get(
                "/wado?requestType=WADO&studyUID=2.25.7001&seriesUID=2.25.7001.1&objectUID=2.25.7001.1.1&rows=99999999999",
            ),
        ),
        (
            400,
            get(
                "/wado?requestType=WADO&studyUID=2.25.7001&seriesUID=2.25.7001.1&objectUID=2.25.7001.1.1&region=1,1,0,0",
            ),
        ),
        (200, get("/api/v1/audit?before=18446744073709551615&limit=18446744073709551615")),
        (400, get("/api/v1/text/studies?study=&study=x")),
        (400, get("/api/v1/studies/2.25.7001/display?instances=maybe")),
    ];
    // Metadata, others of DICOMweb, and what is stored: without anything acceptable they are 406.
    let (json, nothing, harmless) = ([200, 406, 415], [406, 406, 406], [200, 200, 415]);
    let fields: [(&str, [u16; 3]); 12] = [
        (&format!("Accept: {}\r\n", "application/dicom+json;q=0.1,".repeat(500)), json),
        ("Accept: multipart/related; type=\"application/octet-stream\"; transfer-syntax=\"\r\n", nothing),
        ("Accept: multipart/related; type=;;;=\"\\\"; q=q\r\n", nothing),
        ("Accept: application/dicom+json; q=NaN\r\n", nothing),
        ("Accept: */*\r\nRange: bytes=18446744073709551615-1,-0,a-b\r\n", harmless),
        ("Accept: */*\r\nIf-None-Match: \"\\\r\n", harmless),
        ("Accept: */*\r\nIf-None-Match: ,,,W/,\"\r\n", harmless),
        ("Accept: */*\r\nAccept-Encoding: gzip;q=1e9, *;q=-1, br;q=\r\n", harmless),
        ("Accept: */*\r\nAccept-Charset: x, *;q=0\r\n", harmless),
        (
            "Accept: */*\r\nOrigin: null\r\nForwarded: for=\"[::]\";host=\"a b\"\r\nX-Forwarded-Host: \"><script>\r\n",
            harmless,
        ),
        ("Accept: */*\r\nExpect: 100-continue\r\nUpgrade: websocket\r\n", harmless),
        ("Accept: */*\r\nContent-Encoding: gzip\r\n", harmless),
    ];
    for (fields, [metadata, others, stored]) in fields {
        let frame = format!("{instance}/frames/1");
        all.extend([
            (metadata, request("GET /dicom-web/studies", fields, b"")),
            (others, request(&format!("GET {instance}"), fields, b"")),
            (others, request(&format!("GET {frame}"), fields, b"")),
            (others, request("OPTIONS /dicom-web/", fields, b"")),
            (stored, request("POST /dicom-web/studies", fields, b"\x1f\x8b\x08\0")),
            (200, request("GET /api/v1/acts", fields, b"")),
            (405, request("BREW /dicom-web/studies", fields, b"")),
        ]);
    }
    all
}

#[tokio::test]
async fn what_is_malformed_is_refused_at_once_and_nothing_grows() -> Result<()> {
    let pacs = pacs().await?;
    let requests = malformed();
    assert!(requests.len() > 100, "{}", requests.len());
    for (expected, request) in requests {
        let told = told(&pacs, &request).await?;
        ensure!(told.status == expected, "{expected} was expected: {told:?}");
        ensure!(!told.text.contains("root:") && !told.text.contains("panicked"), "{told:?}");
    }
    goes_on(&pacs).await
}

/// What is answered to a request as it stands, and to which.
#[derive(Debug)]
struct Told {
    status: u16,
    text: String,
    #[expect(dead_code, reason = "a failure shows it")]
    request: String,
}

/// Sends bytes and reads to the end; the server has to answer soon.
async fn told(pacs: &Pacs, request: &[u8]) -> Result<Told> {
    let shown =
        String::from_utf8_lossy(request.get(..200.min(request.len())).unwrap_or_default()).into_owned();
    let begun = Instant::now();
    let mut stream = connect(pacs.http()).await?;
    // It may hang up before all is written.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    let _ = read.with_context(|| format!("no answer to {shown}"))?;
    let text = String::from_utf8_lossy(&answer);
    let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text).to_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no answer but {text:?} to {shown}"))?;
    ensure!(begun.elapsed() < Duration::from_secs(20), "{:?} for {shown}", begun.elapsed());
    Ok(Told { status, text, request: shown })
}
