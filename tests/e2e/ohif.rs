//! OHIF, the viewer that most others bring along, from another origin: list, CT, segmentation, report, cine loop, ECG.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::{
    Pacs,
    peers::ohif_study,
    program::free_address,
    tools::{chromium, ohif, run, scripts},
};
use tokio::process::Command;

/// A start of the browser, and seventeen megabytes of scripts that it reads, on a busy machine.
const LIMIT: Duration = Duration::from_secs(280);

async fn walk(pacs: &Pacs, port: u16, wishes: &Value) -> Result<Value> {
    let mut command = Command::new("node");
    command.arg(scripts().join("browser/ohif.mjs")).arg(chromium()?).arg(ohif()?);
    command.arg(format!("http://{}/dicom-web", pacs.http())).arg(port.to_string());
    command.arg(pacs.scratch("screenshots")?).arg(wishes.to_string()).stdin(Stdio::null());
    let finished = run(&mut command, LIMIT).await?.well().context("ohif.mjs")?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("ohif.mjs printed {:?}", finished.stdout))
}

#[tokio::test]
async fn reads_measures_and_reports() -> Result<()> {
    let port = free_address()?.port();
    let settings = tempfile::NamedTempFile::new()?;
    fs::write(&settings, format!("[web]\ncors-origins = [\"http://127.0.0.1:{port}\"]\n"))?;
    let path = settings.path().to_string_lossy().into_owned();
    let pacs = Pacs::with(&["--config", &path]).await?;
    let folder = pacs.scratch("sent")?;
    let studies = ohif_study(&folder).await?;
    pacs.store_folder(&folder).await?;
    let wishes = json!({ "words": "nguyen", "ct": studies["ct"], "other": studies["other"] });
    let seen = walk(&pacs, port, &wishes).await?;

    assert_eq!(seen["problems"], json!({ "failed": [], "elsewhere": [] }), "{seen}");
    assert_eq!(seen["list"]["all"].as_array().map(Vec::len), Some(2), "{seen}");
    let found = seen["list"]["found"].as_array().context("no list")?;
    assert!(found.len() == 1 && found[0].as_str().is_some_and(|row| row.contains("NGUYỄN")), "{found:?}");

    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let image = &seen["ct"]["image"];
    assert!(number(&image["greys"]) > 3 && number(&image["coloured"]) < 15_000, "a CT is grey: {image}");
    assert!(number(&seen["ct"]["overlay"]["coloured"]) > 30_000, "the segment lies over it: {seen}");
    assert_eq!(seen["ct"]["panel"], "Nốt phổi");

    assert_eq!(seen["report"]["status"], 200, "{seen}");
    assert!(seen["report"]["shown"].as_str().is_some_and(|text| text.contains(" mm")), "{seen}");
    let path = "/dicom-web/series?Modality=SR&includefield=SpecificCharacterSet";
    let reports = pacs.web().json(path).await?;
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0]["00100010"]["Value"][0]["Alphabetic"], "NGUYỄN^VĂN ĐỨC");

    let other = &seen["other"];
    assert!(number(&other["first"]["coloured"]) > 30_000, "the cine loop is in colour: {other}");
    assert_ne!(other["first"]["sum"], other["next"]["sum"], "the next frame is another picture");
    assert!(number(&other["ecg"]["bright"]) > 1000, "the leads are drawn: {other}");
    Ok(())
}
