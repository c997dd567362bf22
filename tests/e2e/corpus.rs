//! Real files that nobody here made: what is taken comes back byte for byte, and its frames are what others find.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::StatusCode;
use sha2::{Digest, Sha256};
use tests::{
    Pacs,
    corpus::{Real, real_files},
    pacs::stored_file,
};

/// Files that do not share a SOP Instance UID, so that one archive can hold them all.
type Round = Vec<Real>;

fn rounds(files: Vec<Real>) -> Vec<Round> {
    let mut of_a_uid: BTreeMap<String, VecDeque<Real>> = BTreeMap::new();
    for file in files {
        // A file that has no UID is in nobody's way.
        let key =
            if file.instance.is_empty() { file.file.display().to_string() } else { file.instance.clone() };
        of_a_uid.entry(key).or_default().push_back(file);
    }
    let mut rounds = Vec::new();
    while !of_a_uid.is_empty() {
        rounds.push(of_a_uid.values_mut().filter_map(VecDeque::pop_front).collect());
        of_a_uid.retain(|_, files| !files.is_empty());
    }
    rounds
}

/// What is wrong with how the archive treats the file; `None` when all is well.
async fn fault(pacs: &Pacs, real: &Real) -> Result<Option<String>> {
    let file = Bytes::from(fs::read(&real.file)?);
    let answer = pacs.web().store("/dicom-web/studies", std::slice::from_ref(&file)).await?;
    if answer.status != StatusCode::OK {
        let is_refusal = [StatusCode::BAD_REQUEST, StatusCode::CONFLICT].contains(&answer.status);
        return Ok((real.whole || !is_refusal).then(|| format!("stored with {}: {answer:?}", answer.status)));
    }
    if real.instance.is_empty() {
        return Ok(None);
    }
    if stored_file(&pacs.web(), &real.study, &real.series, &real.instance).await? != file {
        return Ok(Some("does not come back byte for byte".to_owned()));
    }
    if !real.whole {
        return Ok(None);
    }
    if let Some(expected) = &real.stored
        && let Some(fault) = fault_of_frames(pacs, real, expected, "*").await?
    {
        return Ok(Some(fault));
    }
    match &real.decoded {
        Some(expected) => fault_of_frames(pacs, real, expected, "1.2.840.10008.1.2.1").await,
        None => Ok(None),
    }
}

/// Start of the transfer syntaxes behind 1.2.840.10008.1.2 whose frames are not decoded: video.
const VIDEO: &str = "4.10";

/// Whether 406 is an honest answer to a wish for native samples.
fn may_stay_encoded(real: &Real) -> bool {
    let syntax = real.transfer_syntax.strip_prefix("1.2.840.10008.1.2.").unwrap_or_default();
    syntax.starts_with(VIDEO)
}

/// Compares every frame with what others found.
async fn fault_of_frames(
    pacs: &Pacs,
    real: &Real,
    expected: &[String],
    syntax: &str,
) -> Result<Option<String>> {
    let numbers: Vec<String> = (1..=expected.len()).map(|number| number.to_string()).collect();
    let Real { study, series, instance, .. } = real;
    let path = format!(
        "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{}",
        numbers.join(",")
    );
    let accept = format!("multipart/related; type=\"application/octet-stream\"; transfer-syntax={syntax}");
    let answer = pacs.web().get(&path, &accept).await?;
    if syntax != "*" && answer.status == StatusCode::NOT_ACCEPTABLE && may_stay_encoded(real) {
        return Ok(None);
    }
    if !answer.status.is_success() {
        return Ok(Some(format!("frames as {syntax}: {answer:?}")));
    }
    let parts = answer.parts()?;
    if parts.len() != expected.len() {
        return Ok(Some(format!("{} frames as {syntax} instead of {}", parts.len(), expected.len())));
    }
    // A fragment may end with a byte that only makes its length even; it belongs to no image (PS3.5 §A.4).
    let differs = |(part, expected): (&Bytes, &String)| {
        sha256(part) != *expected && (syntax != "*" || sha256(&[part, [0].as_slice()].concat()) != *expected)
    };
    let wrong = parts.iter().zip(expected).position(differs);
    Ok(wrong.map(|at| format!("frame {} as {syntax} has other bytes ({})", at + 1, real.transfer_syntax)))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn keeps_real_files_and_finds_the_frames_that_others_find() -> Result<()> {
    let files = real_files().await?;
    assert!(files.iter().filter(|file| file.whole).count() > 60, "pydicom's own files are missing");
    let mut faults = Vec::new();
    for round in rounds(files) {
        let pacs = Pacs::start().await?;
        for real in &round {
            match fault(&pacs, real).await.with_context(|| real.file.display().to_string()) {
                Ok(None) => {}
                Ok(Some(fault)) => faults.push(format!("{}: {fault}", real.file.display())),
                Err(error) => faults.push(format!("{error:#}")),
            }
        }
    }
    assert!(faults.is_empty(), "{} files:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}
