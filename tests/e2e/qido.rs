//! QIDO-RS (PS3.18 §10.6).

use anyhow::Result;
use serde_json::Value;
use tests::{
    Pacs,
    corpus::{MUELLER, NGUYEN, ct, us_multiframe},
    peers::dicomweb_client,
};

async fn pacs_with_two_patients() -> Result<Pacs> {
    let pacs = Pacs::start().await?;
    pacs.hold(&[ct(NGUYEN, 3), ct(MUELLER, 2), vec![us_multiframe(MUELLER, 2)]].concat()).await?;
    Ok(pacs)
}

/// The first value of an attribute in each row.
fn values<'a>(rows: &'a Value, tag: &str) -> Vec<&'a Value> {
    rows.as_array().into_iter().flatten().map(|row| &row[tag]["Value"][0]).collect()
}

#[tokio::test]
async fn finds_studies_for_dicomweb_client() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let rows = dicomweb_client(pacs.http(), "studies", &["PatientID=DE-7"]).await?;
    assert_eq!(values(&rows, "0020000D"), ["2.25.7002"]);
    assert_eq!(values(&rows, "00100010")[0]["Alphabetic"], "Müller^Jörg");
    let rows = dicomweb_client(pacs.http(), "studies", &["PatientName=nguyen*"]).await?;
    assert_eq!(values(&rows, "0020000D"), ["2.25.7001"]);
    let rows = dicomweb_client(pacs.http(), "studies", &["PatientID=nobody"]).await?;
    assert_eq!(rows, serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn finds_series_and_instances_for_dicomweb_client() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let rows = dicomweb_client(pacs.http(), "series", &["StudyInstanceUID=2.25.7002", "Modality=US"]).await?;
    assert_eq!(values(&rows, "0020000E"), ["2.25.7002.2"]);
    let rows = dicomweb_client(pacs.http(), "instances", &["SeriesInstanceUID=2.25.7001.1"]).await?;
    assert_eq!(values(&rows, "00080018").len(), 3);
    Ok(())
}

#[tokio::test]
async fn gives_pages_that_together_are_everything() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&ct(NGUYEN, 7)).await?;
    let mut seen = Vec::new();
    for offset in ["0", "3", "6"] {
        let page = dicomweb_client(
            pacs.http(),
            "instances",
            &["SeriesInstanceUID=2.25.7001.1", "limit=3", &format!("offset={offset}")],
        )
        .await?;
        seen.extend(values(&page, "00080018").iter().map(ToString::to_string));
    }
    assert_eq!(seen.len(), 7);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7, "pages overlap");
    Ok(())
}

#[tokio::test]
async fn refuses_a_date_that_is_none_with_a_sentence() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let answer = pacs.web().get("/dicom-web/studies?StudyDate=yesterday", "application/dicom+json").await?;
    assert_eq!(answer.status.as_u16(), 400);
    assert!(!answer.body.is_empty(), "the sentence that names the thing");
    Ok(())
}
