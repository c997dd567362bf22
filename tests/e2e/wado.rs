//! WADO-RS (PS3.18 §10.4) and WADO-URI (PS3.18 §9).

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::{
    Pacs,
    corpus::{NGUYEN, ct, report, us_multiframe},
    pacs::data_set_of,
    peers::dicomweb_client,
};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn gives_dicomweb_client_the_metadata_of_a_study() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&[ct(NGUYEN, 3), vec![report(NGUYEN)]].concat()).await?;
    let rows = dicomweb_client(pacs.http(), "metadata", &["2.25.7001"]).await?;
    let rows = rows.as_array().context("an array")?;
    assert_eq!(rows.len(), 4);
    let slice =
        rows.iter().find(|row| row["00080018"]["Value"][0] == "2.25.7001.1.2").context("the second slice")?;
    assert_eq!(slice["00280010"], serde_json::json!({"vr": "US", "Value": [64]}));
    assert_eq!(slice["00100010"]["Value"][0]["Alphabetic"], "NGUYỄN^VĂN ĐỨC");
    let pixels = &slice["7FE00010"];
    assert!(pixels["BulkDataURI"].is_string() || pixels.is_null(), "pixels belong elsewhere: {pixels}");
    let report = rows.iter().find(|row| row["00080060"]["Value"][0] == "SR").context("the report")?;
    assert_eq!(report["0040A043"]["Value"][0]["00080104"]["Value"][0], "Findings");
    Ok(())
}

#[tokio::test]
async fn gives_dicomweb_client_bulk_data_where_the_metadata_say() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slices = ct(NGUYEN, 1);
    pacs.hold(&slices).await?;
    let rows = dicomweb_client(pacs.http(), "metadata", &["2.25.7001"]).await?;
    let uri = rows[0]["7FE00010"]["BulkDataURI"].as_str().context("a BulkDataURI")?;
    let hashes = dicomweb_client(pacs.http(), "bulkdata", &[uri]).await?;
    // Pixel Data are the last element: 64 rows and columns of 16 bits.
    let data_set = &slices[0].data_set;
    let pixels = data_set.get(data_set.len() - 64 * 64 * 2..).context("pixels")?;
    assert_eq!(hashes, serde_json::json!([sha256(pixels)]));
    Ok(())
}

#[tokio::test]
async fn gives_dicomweb_client_an_instance_as_it_is_stored() -> Result<()> {
    let pacs = Pacs::start().await?;
    let cine = us_multiframe(NGUYEN, 3);
    pacs.hold(std::slice::from_ref(&cine)).await?;
    let file = pacs.scratch("got")?.join("cine.dcm");
    let path = file.to_string_lossy();
    dicomweb_client(pacs.http(), "retrieve", &[&cine.study, &cine.series, &cine.sop_instance, &*path])
        .await?;
    assert!(data_set_of(&fs::read(&file)?.into())? == cine.data_set);
    Ok(())
}

#[tokio::test]
async fn gives_dicomweb_client_single_frames() -> Result<()> {
    let pacs = Pacs::start().await?;
    let cine = us_multiframe(NGUYEN, 5);
    pacs.hold(std::slice::from_ref(&cine)).await?;
    let of = [&cine.study, &cine.series, &cine.sop_instance].map(String::as_str);
    let hashes = dicomweb_client(pacs.http(), "frames", &[&of[..], &["4", "2"]].concat()).await?;
    let expected = [4_u8, 2].map(|number| sha256(&[number; 32 * 48 * 3]));
    assert_eq!(hashes, serde_json::json!(expected));
    Ok(())
}

#[tokio::test]
async fn knows_no_frame_behind_the_last() -> Result<()> {
    let pacs = Pacs::start().await?;
    let cine = us_multiframe(NGUYEN, 2);
    pacs.hold(std::slice::from_ref(&cine)).await?;
    let path =
        format!("/dicom-web/studies/{}/series/{}/instances/{}", cine.study, cine.series, cine.sop_instance);
    for (frame, status) in [("1", 200), ("2", 200), ("3", 404), ("0", 400), ("x", 400)] {
        let answer = pacs.web().get(&format!("{path}/frames/{frame}"), "*/*").await?;
        assert_eq!(answer.status.as_u16(), status, "frame {frame}: {answer:?}");
    }
    let answer = pacs.web().get("/dicom-web/studies/2.25.404", "*/*").await?;
    assert_eq!(answer.status.as_u16(), 404);
    Ok(())
}

#[tokio::test]
async fn renders_for_dicomweb_client() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    pacs.hold(std::slice::from_ref(&slice)).await?;
    let file = pacs.scratch("got")?.join("slice.png");
    let path = file.to_string_lossy();
    let of = [&slice.study, &slice.series, &slice.sop_instance].map(String::as_str);
    let kind = dicomweb_client(pacs.http(), "rendered", &[&of[..], &[&path]].concat()).await?;
    assert_eq!(kind, "image/png");
    // Width and height stand in the first chunk of a PNG.
    let image = fs::read(&file)?;
    assert_eq!(image.get(16..24), Some([0, 0, 0, 64, 0, 0, 0, 64].as_slice()));
    Ok(())
}

#[tokio::test]
async fn shows_a_thumbnail_of_every_level() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&ct(NGUYEN, 3)).await?;
    let study = "/dicom-web/studies/2.25.7001";
    for of in ["", "/series/2.25.7001.1", "/series/2.25.7001.1/instances/2.25.7001.1.1"] {
        let answer = pacs.web().get(&format!("{study}{of}/thumbnail"), "image/jpeg").await?;
        assert_eq!(answer.status.as_u16(), 200, "{of}: {answer:?}");
        assert_eq!(answer.body.get(..2), Some([0xFF, 0xD8].as_slice()), "{of}: no JPEG");
    }
    Ok(())
}

#[tokio::test]
async fn answers_wado_uri() -> Result<()> {
    let pacs = Pacs::start().await?;
    let slice = ct(NGUYEN, 1).remove(0);
    pacs.hold(std::slice::from_ref(&slice)).await?;
    let query = format!(
        "/wado?requestType=WADO&studyUID={}&seriesUID={}&objectUID={}",
        slice.study, slice.series, slice.sop_instance
    );
    let image = pacs.web().get(&query, "").await?;
    assert_eq!((image.status.as_u16(), image.content_type.as_str()), (200, "image/jpeg"), "{image:?}");
    let file = pacs.web().get(&format!("{query}&contentType=application/dicom"), "").await?;
    assert!(data_set_of(&file.body)? == slice.data_set);
    Ok(())
}

#[tokio::test]
async fn refuses_a_media_type_that_it_does_not_make() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&ct(NGUYEN, 1)).await?;
    let answer = pacs.web().get("/dicom-web/studies/2.25.7001/metadata", "application/pdf").await?;
    assert_eq!(answer.status.as_u16(), 406, "{answer:?}");
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    assert!(said.is_some() || !answer.body.is_empty(), "the sentence that names the thing");
    Ok(())
}
