//! Programs that a rule tells of studies that are complete, and what spoke for it.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    Modality, Program, Web,
    corpus::{NGUYEN, ct, write_all},
    peers::pynetdicom,
    program::free_address,
    receivers::{Heard, Listener},
    tools::{python, run},
    wait::until,
};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(90);
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const STUDY: &str = "2.25.7001";

/// What of others computes.
const SIGNATURE: &str = "import base64, hashlib, hmac, sys
key, text = base64.b64decode(sys.argv[1].removeprefix('whsec_')), sys.argv[2].encode()
print('v1,' + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode())";

/// A server with a hook `RIS` at this address, and a rule that tells it.
pub(crate) async fn start(
    folder: &TempDir,
    listener: &Listener,
    when: &str,
    options: &[&str],
) -> Result<Program> {
    let (key, settings) = (folder.path().join("key"), folder.path().join("filmless.toml"));
    fs::write(&key, format!("{KEY}\n"))?;
    let text = format!(
        "[worker]\ncomplete-after-s = 3\n\n[[rules]]\nname = \"tell\"\nwhen = {when}\nthen = [{{ webhook = {{ to = \"RIS\" }} }}]\n\n\
         [[web.hooks]]\nname = \"RIS\"\nurl = \"http://{}/hook?token=s3cret\"\nsecret-file = \"{}\"\n",
        listener.address,
        key.display()
    );
    fs::write(&settings, text)?;
    let options = [&["--config", settings.to_str().context("a path in UTF-8")?], options].concat();
    Program::start(&folder.path().join("data"), &options).await
}

pub(crate) async fn send(folder: &TempDir, program: &Program, slices: u16) -> Result<()> {
    let files = folder.path().join("files");
    fs::create_dir_all(&files)?;
    let files = write_all(&ct(NGUYEN, slices), &files)?;
    Modality::new(program.dimse, "CT1").store(&["-R"], &files).await?.well()?;
    Ok(())
}

/// The kinds of evidence of the study, once there is this one.
pub(crate) async fn evidence(web: &Web, kind: &str) -> Result<Vec<Value>> {
    until("the evidence", LIMIT, async || {
        let rows = web.json(&format!("/api/v1/completions?study={STUDY}")).await.ok()?;
        let evidence = rows.first()?["evidence"].as_array()?.clone();
        evidence.iter().any(|piece| piece.get(kind).is_some()).then_some(evidence)
    })
    .await
}

fn field<'a>(heard: &'a Heard, name: &str) -> Result<&'a str> {
    heard.field(name).with_context(|| format!("no {name} in {}", heard.head))
}

#[tokio::test]
async fn a_program_hears_again_what_it_did_not_take_signed_and_without_a_patient() -> Result<()> {
    let folder = TempDir::new()?;
    let mut listener = Listener::start(&["503 Service Unavailable", "204 No Content"]).await?;
    let program = start(&folder, &listener, "{ modality = [\"CT\"] }", &[]).await?;
    send(&folder, &program, 3).await?;

    let (first, again) = (listener.next().await?, listener.next().await?);
    ensure!(first.head.starts_with("POST /hook?token=s3cret HTTP/1.1"), "{first:?}");
    assert_eq!(field(&first, "webhook-id")?, field(&again, "webhook-id")?);
    assert_eq!(first.body, again.body);
    for heard in [&first, &again] {
        let (id, time) = (field(heard, "webhook-id")?, field(heard, "webhook-timestamp")?);
        let text = format!("{id}.{time}.{}", String::from_utf8_lossy(&heard.body));
        let signed = run(Command::new(python()?).args(["-c", SIGNATURE, KEY, &text]), LIMIT).await?.well()?;
        assert_eq!(field(heard, "webhook-signature")?, signed.stdout.trim());
    }
    let told: Value = serde_json::from_slice(&first.body)?;
    assert_eq!(told["type"], "study.complete");
    assert_eq!((&told["data"]["study"], &told["data"]["instances"]), (&json!(STUDY), &json!(3)), "{told}");
    assert_eq!(told["data"]["evidence"], json!([{"association-ended": {"calling": "CT1"}}]), "{told}");
    ensure!(!String::from_utf8_lossy(&first.body).contains("NGUY"), "{told}");

    // Nothing came, so the study is as complete as it was: one more piece of evidence, and nobody is told.
    let web = Web::new(program.http);
    let evidence = evidence(&web, "quiet").await?;
    assert_eq!(
        evidence,
        [json!({"association-ended": {"calling": "CT1"}}), json!({"quiet": {"seconds": 3}})]
    );
    ensure!(listener.heard.try_recv().is_err(), "it is told a third time");
    for secret in ["s3cret", KEY, "NGUY"] {
        ensure!(!program.log().contains(secret), "the log has {secret}:\n{}", program.log());
    }
    let jobs = web.get("/api/v1/jobs", "application/json").await?;
    ensure!(!String::from_utf8_lossy(&jobs.body).contains("s3cret"), "{jobs:?}");
    Ok(())
}

#[tokio::test]
async fn where_a_program_sends_elsewhere_nobody_goes_and_the_job_is_parked_with_the_reason() -> Result<()> {
    let folder = TempDir::new()?;
    let mut elsewhere = Listener::start(&["204 No Content"]).await?;
    let answer = format!("302 Found\r\nLocation: http://{}/", elsewhere.address);
    let mut listener = Listener::start(&[&answer]).await?;
    let program = start(&folder, &listener, "{}", &[]).await?;
    send(&folder, &program, 1).await?;
    listener.next().await?;
    let web = Web::new(program.http);
    let parked = until("a parked job", LIMIT, async || {
        web.json("/api/v1/jobs?kind=webhook&state=parked").await.ok()?.pop()
    })
    .await?;
    let error = parked["error"].as_str().context("no reason")?;
    ensure!(error.contains("RIS answered 302") && !error.contains("s3cret"), "{parked}");
    assert_eq!(parked["about"], format!("{STUDY} RIS tell"), "{parked}");
    ensure!(elsewhere.heard.try_recv().is_err(), "it was followed");
    Ok(())
}

#[tokio::test]
async fn a_rule_may_wait_for_storage_commitment() -> Result<()> {
    let folder = TempDir::new()?;
    let mut listener = Listener::start(&["204 No Content"]).await?;
    let address = free_address()?;
    let peer = format!("PYNETDICOM={address}");
    let program = start(&folder, &listener, "{ evidence = [\"commitment\"] }", &["--peer", &peer]).await?;
    send(&folder, &program, 2).await?;
    let web = Web::new(program.http);
    evidence(&web, "association-ended").await?;

    let references: Vec<String> =
        ct(NGUYEN, 2).iter().map(|slice| format!("{}={}", slice.sop_class, slice.sop_instance)).collect();
    let port = address.port().to_string();
    for some in [&references[..1], references.as_slice()] {
        let arguments = [&["stay".to_owned(), port.clone(), "2.25.7301".to_owned()][..], some].concat();
        let answer = pynetdicom(program.dimse, "commit", &arguments).await?;
        assert_eq!(answer["report"]["event"], 1, "{answer}");
    }
    let heard: Value = serde_json::from_slice(&listener.next().await?.body)?;
    let told = &heard["data"]["evidence"];
    let last = told.as_array().and_then(|evidence| evidence.last()).context("no evidence")?;
    assert_eq!(last, &json!({"commitment": {"calling": "PYNETDICOM", "transaction": "2.25.7301"}}), "{told}");
    ensure!(listener.heard.try_recv().is_err(), "a part of the study was enough");
    Ok(())
}
