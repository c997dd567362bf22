//! STOW-RS (PS3.18 §10.5).

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::Value;
use tests::{
    Pacs,
    corpus::{NGUYEN, ct, report, us_multiframe, write_all},
    peers::dicomweb_client,
};

const REFERENCED_SOP: &str = "00081199";
/// Failures of what has no UIDs that could be told.
const OTHER_FAILURES: &str = "0008119A";

#[tokio::test]
async fn stores_for_dicomweb_client_and_says_where() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances = [ct(NGUYEN, 2), vec![us_multiframe(NGUYEN, 2), report(NGUYEN)]].concat();
    let files = write_all(&instances, &pacs.scratch("sent")?)?;
    let answer = dicomweb_client(pacs.http(), "store", &files).await?;
    let stored = answer[REFERENCED_SOP]["Value"].as_array().context("nothing was stored")?;
    assert_eq!(stored.len(), 4, "{answer}");
    for item in stored {
        let url = item["00081190"]["Value"][0].as_str().context("no Retrieve URL")?;
        let path =
            url.find("/dicom-web/").and_then(|at| url.get(at..)).context("a Retrieve URL elsewhere")?;
        let accept = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
        assert_eq!(pacs.web().get(path, accept).await?.parts()?.len(), 1, "{url}");
    }
    Ok(())
}

#[tokio::test]
async fn keeps_the_file_as_it_came_meta_information_too() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances = ct(NGUYEN, 2);
    pacs.hold(&instances).await?;
    for instance in &instances {
        assert!(pacs.file_of(instance).await? == instance.file(), "{} differs", instance.sop_instance);
    }
    Ok(())
}

#[tokio::test]
async fn stores_what_is_good_and_names_what_is_not() -> Result<()> {
    let pacs = Pacs::start().await?;
    let good = ct(NGUYEN, 1).remove(0);
    let answer = pacs
        .web()
        .store("/dicom-web/studies", &[good.file(), Bytes::from_static(b"no DICOM at all")])
        .await?;
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    let response: Value = serde_json::from_slice(&answer.body)?;
    assert_eq!(response[REFERENCED_SOP]["Value"][0]["00081155"]["Value"][0], good.sop_instance.as_str());
    // C000: cannot understand (PS3.18 Table I.2-2).
    assert_eq!(response[OTHER_FAILURES]["Value"][0]["00081197"]["Value"][0], 0xC000, "{response}");
    Ok(())
}

#[tokio::test]
async fn refuses_an_instance_of_another_study_than_the_address_says() -> Result<()> {
    let pacs = Pacs::start().await?;
    let stranger = ct(NGUYEN, 1).remove(0);
    let answer = pacs.web().store("/dicom-web/studies/2.25.9", &[stranger.file()]).await?;
    assert_eq!(answer.status.as_u16(), 409, "{answer:?}");
    let path = format!("/dicom-web/studies?StudyInstanceUID={}", stranger.study);
    assert_eq!(pacs.web().json(&path).await?.len(), 0, "what was refused is not there");
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_cut_off_stores_nothing_of_the_instance_that_it_cuts() -> Result<()> {
    use tokio::io::AsyncWriteExt;
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    let file = slice.file();
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/related; type=\"application/dicom\"; \
         boundary=b\r\nContent-Length: {}\r\n\r\n--b\r\nContent-Type: application/dicom\r\n\r\n",
        file.len() + 100
    );
    let mut stream = tests::by_hand::connect(pacs.http()).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(file.get(..file.len() / 2).context("half a file")?).await?;
    stream.shutdown().await?;
    drop(stream);
    // The server has looked at the request by the time that it has answered a later one for the same study.
    pacs.hold(&ct(tests::corpus::MUELLER, 1)).await?;
    let path = format!("/dicom-web/studies?StudyInstanceUID={}", slice.study);
    assert_eq!(pacs.web().json(&path).await?.len(), 0, "half an instance is there");
    Ok(())
}
