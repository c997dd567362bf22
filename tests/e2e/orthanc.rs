//! Orthanc in DICOMweb: as a client it stores, searches and retrieves here; as a service it is sent to.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs,
    archives::Orthanc,
    corpus::{NGUYEN, ct, uids, us_multiframe, write_all},
    program::free_address,
    wait::until,
};

/// Retries come after 2, 4, 8 and 16 seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// The server that Orthanc knows.
const SERVER: &str = "/dicom-web/servers/filmless";

async fn ask(orthanc: &Orthanc, what: &str, body: &Value) -> Result<Value> {
    let path = format!("{SERVER}/{what}");
    let answer = orthanc.web().post(&path, "application/json", body.to_string().into()).await?;
    ensure!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).with_context(|| format!("{path} gave no JSON"))
}

/// A delivery of the study that is as it should be.
async fn delivery(pacs: &Pacs, to: &str, is_right: fn(&Value) -> bool) -> Result<Value> {
    until("a delivery", LIMIT, async || {
        let rows = pacs.web().json("/api/v1/deliveries?study=2.25.7001").await.ok()?;
        rows.into_iter().find(|row| row["destination"] == to && is_right(row))
    })
    .await
}

/// Of an instance that Orthanc tells of.
fn uid(one: &Value) -> Option<String> {
    Some(one.pointer("/MainDicomTags/SOPInstanceUID")?.as_str()?.to_owned())
}

#[tokio::test]
async fn stores_finds_and_fetches_here() -> Result<()> {
    let pacs = Pacs::start().await?;
    let known = json!({ "DicomWeb": { "Servers": { "filmless": {
        "Url": format!("http://{}/dicom-web/", pacs.http()), "ChunkedTransfers": true,
        "HasWadoRsUniversalTransferSyntax": true,
    } } } });
    let orthanc = Orthanc::start_web(free_address()?, known).await?;
    orthanc.hold(&[ct(NGUYEN, 4), vec![us_multiframe(NGUYEN, 3)]].concat()).await?;
    let studies = orthanc.list("/studies").await?;
    assert_eq!(studies.len(), 1);

    ask(&orthanc, "stow", &json!({ "Resources": studies, "Synchronous": true })).await?;
    let found = pacs.web().json("/dicom-web/instances?StudyInstanceUID=2.25.7001").await?;
    assert_eq!(found.len(), 5, "what Orthanc has stored");

    let query = json!({ "Uri": "/studies", "Arguments": { "PatientName": "nguyen*" } });
    let answer = ask(&orthanc, "qido", &query).await?;
    assert_eq!(answer[0]["0020000D"]["Value"], "2.25.7001", "{answer}");
    assert_eq!(answer[0]["00100010"]["Value"], "NGUYỄN^VĂN ĐỨC", "{answer}");

    let gone = orthanc.web().delete(&format!("/studies/{}", studies[0])).await?;
    assert!(gone.status.is_success() && orthanc.list("/instances").await?.is_empty());
    let wanted = json!({ "Resources": [{ "Study": "2.25.7001" }], "Synchronous": true });
    ask(&orthanc, "retrieve", &wanted).await?;
    assert_eq!(orthanc.list("/instances").await?.len(), 5, "what Orthanc has fetched");
    let tags = format!("/instances/{}/simplified-tags", orthanc.list("/instances").await?[0]);
    let tags: Value = serde_json::from_slice(&orthanc.web().get(&tags, "*/*").await?.body)?;
    assert_eq!(tags["PatientName"], "NGUYỄN^VĂN ĐỨC", "{tags}");
    Ok(())
}

#[tokio::test]
async fn a_rule_sends_to_a_service_of_stow_rs_until_all_of_it_is_there() -> Result<()> {
    const SLICES: u16 = 60;
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let settings = folder.path().join("filmless.toml");
    let text = format!(
        "[[rules]]\nname = \"on\"\nthen = [{{ route = {{ to = \"CLOUD\" }} }}]\n\
         [[web.destinations]]\nname = \"CLOUD\"\nurl = \"http://{address}/dicom-web\"\n"
    );
    fs::write(&settings, text)?;
    let pacs = Pacs::with(&["--config", &settings.to_string_lossy()]).await?;
    let study = [ct(NGUYEN, SLICES), vec![us_multiframe(NGUYEN, 3)]].concat();
    let files = write_all(&study, &pacs.scratch("from")?)?;
    pacs.modality("CT1").store(&["-R"], &files).await?.well()?;
    // Nobody is there yet.
    let failing = delivery(&pacs, "CLOUD", |row| row["failed"] == 61).await?;
    assert!(failing["why"].as_str().is_some_and(|why| why.contains("cannot be reached")), "{failing}");
    assert_eq!(failing["state"], "sending", "{failing}");

    let orthanc = Orthanc::start_web(address, json!({})).await?;
    let done = delivery(&pacs, "CLOUD", |row| row["state"] == "done").await?;
    assert_eq!((&done["destination"], &done["delivered"]), (&json!("CLOUD"), &json!(61)), "{done}");
    let proof = done["instances"].as_object().context("no instances")?;
    assert!(proof.values().all(|state| state == "delivered"), "{proof:?}");
    let there = orthanc.web().json("/instances?expand").await?;
    assert_eq!(there.iter().filter_map(uid).collect::<BTreeSet<_>>(), uids(&study));
    Ok(())
}
