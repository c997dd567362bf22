//! The table of peers while the server runs: who may what, and who has called without being in it.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs, Program, Web,
    corpus::{MUELLER, NGUYEN, ct, write_all},
    peers::pynetdicom,
    program::{filmless, free_address},
    wait::until,
};

/// What is told here is known within seconds.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_stranger_becomes_a_peer_by_being_told_and_a_stranger_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    // Accounts are not part of this version: a trial tells the peer, and the hospital's way of running it goes on with it.
    let trial = Program::start(&data, &[]).await?;
    let modality = tests::Modality::new(trial.dimse, "CT_NEW");
    let from = folder.path().join("from");
    fs::create_dir_all(&from)?;
    modality.store(&[], &write_all(&ct(NGUYEN, 1), &from)?).await?.well()?;
    let senders = until("a sender that nobody has named", LIMIT, async || {
        let senders = Web::new(trial.http).json("/api/v1/senders").await.ok()?;
        (!senders.is_empty()).then_some(senders)
    })
    .await?;
    assert_eq!((&senders[0]["ae-title"], &senders[0]["address"]), (&json!("CT_NEW"), &json!("127.0.0.1")));
    assert!(
        senders[0]["associations"].as_u64() >= Some(1) && senders[0]["last"].as_u64() > Some(0),
        "{senders:?}"
    );
    trial.terminate()?;
    trial.exit().await?;

    let closed = Program::start_closed(&data, &[]).await?;
    let names = async |program: &Program| -> Result<Value> {
        pynetdicom(program.dimse, "find", &["study", "STUDY", "PatientName=", "StudyInstanceUID="]).await
    };
    let refused = names(&closed).await?;
    assert_eq!(refused[0][0], 0x0124, "{refused}");
    closed.terminate()?;
    closed.exit().await?;

    let trial = Program::start(&data, &[]).await?;
    let web = Web::new(trial.http);
    let peer = json!({"host": "127.0.0.1", "port": 104, "may": ["query"], "text": "ascii-fold"});
    web.put_json("/api/v1/peers/PYNETDICOM", &peer).await?;
    trial.terminate()?;
    trial.exit().await?;

    let closed = Program::start_closed(&data, &[]).await?;
    let found = names(&closed).await?;
    assert_eq!(found[0][0], 0xFF00, "{found}");
    assert_eq!(found[0][1]["00100010"]["Value"][0]["Alphabetic"], "NGUYEN^VAN DUC", "{found}");
    assert!(found[0][1].get("00080005").is_none(), "{found}");
    // It may ask and neither fetch nor store.
    let into = folder.path().join("into");
    fs::create_dir_all(&into)?;
    let got = pynetdicom(closed.dimse, "get", &["study", "2.25.7001", &into.to_string_lossy()]).await?;
    assert_eq!(got["final"]["status"], 0x0124, "{got}");
    let files = write_all(&ct(MUELLER, 1), &from)?;
    let stored = pynetdicom(closed.dimse, "store", &files).await?;
    let statuses: Vec<&Value> = stored.as_object().context("no statuses")?.values().collect();
    assert_eq!(statuses, [0x0124], "{stored}");
    Ok(())
}

#[tokio::test]
async fn what_is_told_to_a_running_server_holds_within_seconds() -> Result<()> {
    let pacs = Pacs::start().await?;
    let receiver = free_address()?;
    pacs.hold(&ct(NGUYEN, 2)).await?;
    let port = receiver.port().to_string();
    let arguments = ["study", "2.25.7001", "PYNETDICOM", &port];
    let unknown = pynetdicom(pacs.dimse(), "move", &arguments).await?;
    assert_eq!(unknown["final"]["status"], 0xA801, "{unknown}");
    let web = pacs.web();
    web.put_json("/api/v1/peers/PYNETDICOM", &json!({"host": "127.0.0.1", "port": receiver.port()})).await?;
    let moved = until("a destination that was told", LIMIT, async || {
        let moved = pynetdicom(pacs.dimse(), "move", &arguments).await.ok()?;
        (moved["final"]["status"] == 0).then_some(moved)
    })
    .await?;
    assert_eq!(moved["final"]["completed"], 2, "{moved}");
    let peer = json!({"host": "127.0.0.1", "port": receiver.port(), "may": ["store", "query", "retrieve"]});
    web.put_json("/api/v1/peers/PYNETDICOM", &peer).await?;
    until("a peer that nothing may be sent to any more", LIMIT, async || {
        let moved = pynetdicom(pacs.dimse(), "move", &arguments).await.ok()?;
        (moved["final"]["status"] == 0xA801).then_some(())
    })
    .await
}

#[tokio::test]
async fn an_echo_goes_both_ways_with_a_peer_that_was_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (here, there) = (Pacs::start().await?, folder.path().join("data"));
    let ours = Program::start(&there, &[]).await?;
    let web = Web::new(ours.http);
    web.put_json("/api/v1/peers/FILMLESS", &json!({"host": "127.0.0.1", "port": here.dimse().port()}))
        .await?;
    let answer = until("an echo", LIMIT, async || {
        let answer = web.post_json("/api/v1/peers/FILMLESS/echo", &json!({})).await.ok()?;
        (answer.status.as_u16() == 200).then_some(answer)
    })
    .await?;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    assert!(answer["milliseconds"].is_u64(), "{answer}");
    // From the command line, beside the server that was told of it.
    let data = there.to_string_lossy().into_owned();
    let said = filmless(&["echo", "FILMLESS", "--data", &data]).await?.well()?.stdout;
    assert!(said.contains(&format!("FILMLESS@127.0.0.1:{} answered", here.dimse().port())), "{said}");
    assert_eq!(pynetdicom::<&str>(ours.dimse, "echo", &[]).await?, 0);
    let gone = json!({"host": "127.0.0.1", "port": free_address()?.port()});
    web.put_json("/api/v1/peers/GONE", &gone).await?;
    let answer = until("no echo", LIMIT, async || {
        let answer = web.post_json("/api/v1/peers/GONE/echo", &json!({})).await.ok()?;
        (answer.status.as_u16() == 502).then_some(answer)
    });
    let said = String::from_utf8(answer.await?.body.to_vec())?;
    assert!(said.contains("GONE@127.0.0.1") && said.contains("connection failed"), "{said}");
    Ok(())
}

#[tokio::test]
async fn peers_outlive_an_index_that_is_made_anew() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let program = Program::start(&data, &[]).await?;
    let web = Web::new(program.http);
    web.put_json("/api/v1/peers/CT1", &json!({"host": "ct1.example", "port": 104})).await?;
    let files: Vec<_> = ct(MUELLER, 2).iter().map(tests::corpus::Synthetic::file).collect();
    let stored = web.store("/dicom-web/studies", &files).await?;
    ensure!(stored.status.as_u16() == 200, "{stored:?}");
    program.terminate()?;
    program.exit().await?;
    let said = filmless(&["reindex", "--data", &data.to_string_lossy()]).await?.well()?.stdout;
    assert!(said.contains("2 instances"), "{said}");
    let program = Program::start(&data, &[]).await?;
    let peers = Web::new(program.http).json("/api/v1/peers").await?;
    let first = peers.first().context("no peer")?;
    assert_eq!((&first["ae-title"], &first["host"]), (&json!("CT1"), &json!("ct1.example")));
    Ok(())
}
