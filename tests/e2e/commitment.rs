//! Storage commitment (PS3.4 Annex J): asked for by N-ACTION, reported by N-EVENT-REPORT.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs, Program, Web,
    corpus::{NGUYEN, Synthetic, ct, report},
    peers::pynetdicom,
    program::free_address,
    wait::until,
};

const TRANSACTION: &str = "2.25.7300";
/// Refused: not authorized (PS3.7 §C.5.19).
const NOT_AUTHORIZED: u64 = 0x0124;
/// Failure Reason (PS3.3 §C.14.1.1).
const PROCESSING_FAILURE: u64 = 0x0110;
const NO_SUCH_INSTANCE: u64 = 0x0112;
const CLASS_CONFLICT: u64 = 0x0119;
/// Nothing on loopback takes this long.
const LIMIT: Duration = Duration::from_secs(60);

fn references(instances: &[Synthetic]) -> Vec<String> {
    instances.iter().map(|instance| format!("{}={}", instance.sop_class, instance.sop_instance)).collect()
}

fn uids(instances: &[Synthetic]) -> Value {
    instances.iter().map(|instance| instance.sop_instance.as_str()).collect()
}

/// Asks for these; `mode` says where the report is waited for.
async fn commit(pacs: &Pacs, mode: &str, port: u16, references: &[String]) -> Result<Value> {
    let mut arguments = vec![mode.to_owned(), port.to_string(), TRANSACTION.to_owned()];
    arguments.extend_from_slice(references);
    pynetdicom(pacs.dimse(), "commit", &arguments).await
}

async fn with_peer() -> Result<(Pacs, u16)> {
    let address = free_address()?;
    Ok((Pacs::with(&["--peer", &format!("PYNETDICOM={address}")]).await?, address.port()))
}

#[tokio::test]
async fn reports_on_the_association_of_the_request_while_that_is_open() -> Result<()> {
    let (pacs, port) = with_peer().await?;
    let mut instances = ct(NGUYEN, 4);
    instances.push(report(NGUYEN));
    pacs.hold(&instances).await?;
    let answer = commit(&pacs, "stay", port, &references(&instances)).await?;
    let expected = json!({
        "event": 1, "transaction": TRANSACTION, "retrieve": "FILMLESS", "kept": uids(&instances), "failed": {},
        "on_own_association": true,
    });
    assert_eq!(answer, json!({"status": 0, "report": expected}));
    Ok(())
}

#[tokio::test]
async fn reports_on_a_new_association_to_whoever_has_released() -> Result<()> {
    let (pacs, port) = with_peer().await?;
    let instances = ct(NGUYEN, 3);
    pacs.hold(&instances).await?;
    let answer = commit(&pacs, "leave", port, &references(&instances)).await?;
    assert_eq!(answer["status"], 0, "{answer}");
    assert_eq!(answer["report"]["event"], 1, "{answer}");
    assert_eq!(answer["report"]["kept"], uids(&instances), "{answer}");
    Ok(())
}

#[tokio::test]
async fn reports_again_to_whoever_refuses_the_report() -> Result<()> {
    let (pacs, port) = with_peer().await?;
    let instances = ct(NGUYEN, 2);
    pacs.hold(&instances).await?;
    let answer = commit(&pacs, "refuse", port, &references(&instances)).await?;
    assert_eq!(answer["report"]["kept"], uids(&instances), "{answer}");
    let log = pacs.log();
    for status in ["0110H", "0211H"] {
        assert!(
            log.contains(&format!("answered a report with {status}")),
            "{status} is not in the log:\n{log}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn says_of_each_instance_why_it_is_not_kept() -> Result<()> {
    let (pacs, port) = with_peer().await?;
    let instances = ct(NGUYEN, 3);
    pacs.hold(&instances).await?;
    let mut asked = references(&instances[..2]);
    asked.push(format!("{}=2.25.404", instances[0].sop_class));
    asked.push(format!("1.2.840.10008.5.1.4.1.1.4={}", instances[2].sop_instance));
    let answer = commit(&pacs, "stay", port, &asked).await?;
    assert_eq!(answer["report"]["event"], 2, "{answer}");
    assert_eq!(answer["report"]["kept"], uids(&instances[..2]), "{answer}");
    let failed = json!({
        "2.25.404": NO_SUCH_INSTANCE, instances[2].sop_instance.as_str(): CLASS_CONFLICT,
    });
    assert_eq!(answer["report"]["failed"], failed, "{answer}");
    Ok(())
}

#[tokio::test]
async fn refuses_an_unknown_peer() -> Result<()> {
    let pacs = Pacs::closed(&[]).await?;
    let asked = references(&ct(NGUYEN, 1));
    let arguments = [&[TRANSACTION.to_owned()], asked.as_slice()].concat();
    assert_eq!(pynetdicom(pacs.dimse(), "ask", &arguments).await?, json!(NOT_AUTHORIZED));
    Ok(())
}

/// A server over a folder that outlives it, which holds these and was asked to commit to them by a peer that is gone.
async fn asked_by_one_that_is_gone(data: &Path, peer: &str, instances: &[Synthetic]) -> Result<Program> {
    let program = Program::start(data, &["--peer", peer]).await?;
    let files: Vec<_> = instances.iter().map(Synthetic::file).collect();
    let answer = Web::new(program.http).store("/dicom-web/studies", &files).await?;
    ensure!(answer.status.as_u16() == 200, "store: {answer:?}");
    let arguments = [&[TRANSACTION.to_owned()], references(instances).as_slice()].concat();
    assert_eq!(pynetdicom(program.dimse, "ask", &arguments).await?, json!(0));
    until("a report that nobody takes", LIMIT, async || {
        program.log().contains("cannot be told of its transaction").then_some(())
    })
    .await?;
    Ok(program)
}

#[tokio::test]
async fn reports_again_to_a_peer_that_was_down() -> Result<()> {
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let instances = ct(NGUYEN, 2);
    let data = folder.path().join("data");
    let peer = format!("PYNETDICOM={address}");
    let program = asked_by_one_that_is_gone(&data, &peer, &instances).await?;
    let came = pynetdicom(program.dimse, "report", &[address.port().to_string()]).await?;
    assert_eq!((&came["event"], &came["kept"]), (&json!(1), &uids(&instances)), "{came}");
    Ok(())
}

#[tokio::test]
async fn reports_after_a_restart_what_was_asked_for_before() -> Result<()> {
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let instances = ct(NGUYEN, 2);
    let data = folder.path().join("data");
    let peer = format!("PYNETDICOM={address}");
    let program = asked_by_one_that_is_gone(&data, &peer, &instances).await?;
    program.terminate()?;
    program.exit().await?;
    let program = Program::start(&data, &["--peer", &peer]).await?;
    let came = pynetdicom(program.dimse, "report", &[address.port().to_string()]).await?;
    assert_eq!((&came["event"], &came["transaction"]), (&json!(1), &json!(TRANSACTION)), "{came}");
    assert_eq!(came["kept"], uids(&instances), "{came}");
    Ok(())
}

#[tokio::test]
async fn does_not_commit_to_an_instance_whose_bytes_have_changed() -> Result<()> {
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let instances = ct(NGUYEN, 2);
    let data = folder.path().join("data");
    let program = Program::start(&data, &["--peer", &format!("PYNETDICOM={address}")]).await?;
    let files: Vec<_> = instances.iter().map(Synthetic::file).collect();
    let answer = Web::new(program.http).store("/dicom-web/studies", &files).await?;
    ensure!(answer.status.as_u16() == 200, "store: {answer:?}");
    damage(&data.join("log"), &instances[0])?;
    let port = address.port().to_string();
    let arguments =
        [&["stay".to_owned(), port, TRANSACTION.to_owned()], references(&instances).as_slice()].concat();
    let answer = pynetdicom(program.dimse, "commit", &arguments).await?;
    assert_eq!(answer["report"]["event"], 2, "{answer}");
    assert_eq!(answer["report"]["kept"], uids(&instances[1..]), "{answer}");
    let failed = json!({instances[0].sop_instance.as_str(): PROCESSING_FAILURE});
    assert_eq!(answer["report"]["failed"], failed, "{answer}");
    Ok(())
}

/// Changes the last byte of an instance in whatever pack of this folder holds it.
fn damage(log: &Path, instance: &Synthetic) -> Result<()> {
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let found = memchr::memmem::find(&fs::read(&path)?, &instance.data_set);
        if let Some(at) = found {
            let last = instance.data_set.len() - 1;
            let byte = instance.data_set.last().context("an empty data set")? ^ 1;
            File::options().write(true).open(&path)?.write_all_at(&[byte], (at + last) as u64)?;
            return Ok(());
        }
    }
    anyhow::bail!("{} is in no pack of {}", instance.sop_instance, log.display())
}
