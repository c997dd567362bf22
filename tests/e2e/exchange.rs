//! What is exchanged with archives that others wrote: searched there, fetched from there, sent there.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs, Program, Web,
    archives::{Dcmqrscp, Orthanc},
    corpus::{MUELLER, NGUYEN, Synthetic, ct, report, uids, us_multiframe, write_all},
    pacs::{data_set_of, stored_file},
    program::{free_address, sum_of},
    wait::until,
};

const LIMIT: Duration = Duration::from_secs(90);

/// UIDs of the instances of a study that are here.
async fn here(web: &Web, study: &str) -> Result<BTreeSet<String>> {
    let rows = web.json(&format!("/dicom-web/studies/{study}/instances")).await?;
    let uid = |row: &Value| row["00080018"]["Value"][0].as_str().map(str::to_owned);
    Ok(rows.iter().filter_map(uid).collect())
}

/// A retrieve that has ended, as the API tells it.
async fn retrieved(web: &Web, study: &str) -> Result<Value> {
    until("a retrieve that has ended", LIMIT, async || {
        let rows = web.json(&format!("/api/v1/retrievals?study={study}")).await.ok()?;
        rows.into_iter().find(|row| row["state"] != "running")
    })
    .await
}

/// Everything of a study that one archive has comes here as it is there.
async fn fetches_everything_from(title: &str, pacs: &Pacs, sent: &[Synthetic]) -> Result<()> {
    let web = pacs.web();
    let path = format!("/api/v1/peers/{title}/studies?PatientName=NGUY*");
    let found = web.json(&path).await?;
    ensure!(found.len() == 1, "{found:?}");
    assert_eq!(found[0]["0020000D"]["Value"][0], "2.25.7001", "{found:?}");
    assert_eq!(found[0]["00100020"]["Value"][0], "BN-0001", "{found:?}");
    let none = web.json(&format!("/api/v1/peers/{title}/studies?PatientName=nobody")).await?;
    assert_eq!(none.len(), 0);

    let order = json!({"studies": ["2.25.7001"]});
    let answer = web.post_json(&format!("/api/v1/peers/{title}/retrieve"), &order).await?;
    ensure!(answer.status.as_u16() == 202, "{answer:?}");
    let retrieval = retrieved(&web, "2.25.7001").await?;
    assert_eq!(retrieval["state"], "done", "{retrieval}");
    assert_eq!(
        (&retrieval["expected"], &retrieval["here"]),
        (&json!(sent.len()), &json!(sent.len())),
        "{retrieval}"
    );
    assert_eq!(here(&web, "2.25.7001").await?, uids(sent));
    for instance in sent {
        let Synthetic { study, series, sop_instance, data_set, .. } = instance;
        let file = stored_file(&web, study, series, sop_instance).await?;
        ensure!(data_set_of(&file)? == *data_set, "{sop_instance} is not what was sent to {title}");
    }
    Ok(())
}

fn a_study() -> Vec<Synthetic> {
    [ct(NGUYEN, 12), vec![us_multiframe(NGUYEN, 3), report(NGUYEN)]].concat()
}

#[tokio::test]
async fn searches_dcmtk_and_fetches_from_it() -> Result<()> {
    let dimse = free_address()?;
    let old = Dcmqrscp::start(dimse).await?;
    let pacs = Pacs::with(&["--dimse", &dimse.to_string(), "--peer", &old.peer()]).await?;
    let study = a_study();
    old.store(&write_all(&study, &pacs.scratch("from")?)?).await?;
    fetches_everything_from(Dcmqrscp::TITLE, &pacs, &study).await
}

#[tokio::test]
async fn searches_orthanc_and_fetches_from_it() -> Result<()> {
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let pacs = Pacs::with(&["--dimse", &dimse.to_string(), "--peer", &orthanc.peer()]).await?;
    let study = a_study();
    orthanc.store(&write_all(&study, &pacs.scratch("from")?)?).await?;
    fetches_everything_from(Orthanc::TITLE, &pacs, &study).await
}

#[tokio::test]
async fn what_is_here_is_not_fetched_again() -> Result<()> {
    let dimse = free_address()?;
    let old = Dcmqrscp::start(dimse).await?;
    let pacs = Pacs::with(&["--dimse", &dimse.to_string(), "--peer", &old.peer()]).await?;
    let study = a_study();
    old.store(&write_all(&study, &pacs.scratch("from")?)?).await?;
    pacs.hold(&study[..7]).await?;
    let web = pacs.web();
    let order = json!({"studies": ["2.25.7001", "2.25.404"]});
    web.post_json(&format!("/api/v1/peers/{}/retrieve", Dcmqrscp::TITLE), &order).await?;
    assert_eq!(retrieved(&web, "2.25.7001").await?["state"], "done");
    assert_eq!(here(&web, "2.25.7001").await?, uids(&study));
    let sent = sum_of(&pacs.log(), "asked a peer for a study", "completed");
    assert_eq!(sent, study.len() as u64 - 7, "what is here was sent again: {}", pacs.log());
    let absent = retrieved(&web, "2.25.404").await?;
    assert_eq!((&absent["state"], &absent["expected"]), (&json!("absent"), &json!(0)), "{absent}");
    let audit = web.json("/api/v1/audit").await?;
    assert!(audit.iter().any(|row| row["action"] == "retrieve from OLDPACS" && row["what"] == "2.25.7001"));
    Ok(())
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused() -> Result<()> {
    let pacs = Pacs::with(&["--peer", &format!("GONE={}", free_address()?)]).await?;
    let web = pacs.web();
    for (path, body, status) in [
        ("/api/v1/peers/NOBODY/retrieve", json!({"studies": ["1.2"]}), 404),
        ("/api/v1/peers/NOBODY/send", json!({"studies": ["1.2"]}), 404),
        ("/api/v1/peers/GONE/retrieve", json!({"studies": []}), 400),
        ("/api/v1/peers/GONE/retrieve", json!({"studies": ["one"]}), 400),
        ("/api/v1/peers/GONE/send", json!({"study": "1.2"}), 400),
    ] {
        let answer = web.post_json(path, &body).await?;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}");
    }
    let answer = web.get("/api/v1/peers/GONE/studies?PatientName=a*", "application/json").await?;
    assert_eq!(answer.status.as_u16(), 502, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn orthanc_and_we_move_to_each_other() -> Result<()> {
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let pacs = Pacs::with(&["--dimse", &dimse.to_string(), "--peer", &orthanc.peer()]).await?;
    let study = a_study();
    pacs.hold(&study).await?;
    assert!(orthanc.echo().await?);
    let echo = pacs.web().post_json("/api/v1/peers/ORTHANC/echo", &json!({})).await?;
    assert_eq!(echo.status.as_u16(), 200);
    orthanc.retrieve_by_move("2.25.7001").await?;
    let came: BTreeSet<String> = orthanc.instances().await?.into_iter().collect();
    assert_eq!(came, uids(&study));
    // And back: by movescu, from Orthanc to us.
    let theirs = ct(MUELLER, 4);
    orthanc.store(&write_all(&theirs, &pacs.scratch("from")?)?).await?;
    let mut movescu = tokio::process::Command::new("movescu");
    movescu.args(["-S", "-aet", "FILMLESS", "-aec", "ORTHANC", "-aem", "FILMLESS"]);
    movescu.args(["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=2.25.7002"]);
    movescu.arg("127.0.0.1").arg(orthanc.address.port().to_string());
    tests::tools::run(&mut movescu, LIMIT).await?.well()?;
    assert_eq!(here(&pacs.web(), "2.25.7002").await?, uids(&theirs));
    Ok(())
}

fn numbered(number: u32, slices: u16) -> Vec<Synthetic> {
    ct(tests::corpus::StudyOf { number, ..NGUYEN }, slices)
}

/// `filmless import --from`, as an operator types it.
fn import(data: &std::path::Path, dimse: &str, peer: &str, report: &std::path::Path) -> Vec<String> {
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    [
        "import",
        "--from",
        "OLDPACS",
        "--data",
        &path(data),
        "--dimse",
        dimse,
        "--peer",
        peer,
        "--report",
        &path(report),
    ]
    .map(str::to_owned)
    .to_vec()
}

#[tokio::test]
async fn an_old_archive_comes_over_though_it_is_killed_in_the_middle() -> Result<()> {
    const STUDIES: u32 = 40;
    let dimse = free_address()?;
    let old = Dcmqrscp::start(dimse).await?;
    let folder = tempfile::tempdir()?;
    let (from, data, report) =
        (folder.path().join("from"), folder.path().join("data"), folder.path().join("report.csv"));
    fs::create_dir_all(&from)?;
    let studies: Vec<Vec<Synthetic>> = (10..10 + STUDIES).map(|number| numbered(number, 5)).collect();
    old.store(&write_all(&studies.concat(), &from)?).await?;
    let arguments = import(&data, &dimse.to_string(), &old.peer(), &report);

    let mut first = tokio::process::Command::new(tests::tools::program()?);
    first.args(&arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = first.kill_on_drop(true).spawn()?;
    // The report is written study by study, in pieces; what the log has grown to is seen at once.
    let log = data.join("log");
    until("a third of it", LIMIT, async || {
        let packs = fs::read_dir(&log).ok()?.filter_map(|entry| entry.ok()?.metadata().ok());
        let is_some = packs.map(|pack| pack.len()).sum::<u64>() > 600_000;
        (is_some || child.try_wait().ok()?.is_some()).then_some(())
    })
    .await?;
    ensure!(child.try_wait()?.is_none(), "it was through before it was killed");
    child.kill().await?;

    let said = tests::program::filmless(&arguments).await?.well()?.stdout;
    let before = said.split_once("40 of 40 studies complete (").context("not all are complete")?.1;
    let before: u32 = before.split(' ').next().context("no count")?.parse()?;
    ensure!(before < STUDIES, "nothing was left to be done after the kill: {said}");
    assert!(said.contains("200 of 200 instances here, 0 missing"), "{said}");
    let lines = fs::read_to_string(&report)?;
    assert_eq!(lines.lines().count(), 41, "{lines}");
    assert!(
        lines.lines().skip(1).all(|line| line.split(',').nth(4).is_some_and(|digest| digest.len() == 64)),
        "{lines}"
    );

    // Again: nothing is asked for that is here, and the report says the same.
    let again = tests::program::filmless(&arguments).await?.well()?.stdout;
    assert!(again.contains("40 of 40 studies complete (40 of them before)"), "{again}");
    assert_eq!(fs::read_to_string(&report)?.lines().collect::<BTreeSet<_>>(), lines.lines().collect());

    let program = Program::start(&data, &[]).await?;
    let web = Web::new(program.http);
    for study in &studies {
        let uid = &study.first().context("a study of nothing")?.study;
        assert_eq!(here(&web, uid).await?, uids(study));
    }
    Ok(())
}

#[tokio::test]
async fn an_old_archive_comes_over_while_the_server_runs() -> Result<()> {
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let pacs = Pacs::with(&["--dimse", &dimse.to_string(), "--peer", &orthanc.peer()]).await?;
    let studies: Vec<Synthetic> = (30..36).flat_map(|number| numbered(number, 3)).collect();
    orthanc.store(&write_all(&studies, &pacs.scratch("from")?)?).await?;
    let web = pacs.web();
    for wrong in [
        json!({"since": "yesterday"}),
        json!({"until": "20251399"}),
        json!({"since": "20250101", "until": "20240101"}),
    ] {
        let answer = web.post_json("/api/v1/peers/ORTHANC/import", &wrong).await?;
        assert_eq!(answer.status.as_u16(), 400, "{wrong}");
    }
    let answer = web.post_json("/api/v1/peers/ORTHANC/import", &json!({"at-a-time": 3})).await?;
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    let import = until("an import that is through", LIMIT, async || {
        let rows = web.json("/api/v1/imports").await.ok()?;
        rows.into_iter().find(|row| row["through"] == true)
    })
    .await?;
    assert_eq!((&import["complete"], &import["counts"]["studies"]), (&json!(true), &json!(6)), "{import}");
    for study in studies.chunks(3) {
        let uid = &study.first().context("a study of nothing")?.study;
        assert_eq!(here(&web, uid).await?, uids(study));
    }
    Ok(())
}

#[tokio::test]
async fn what_an_old_archive_does_not_give_is_told_as_missing() -> Result<()> {
    let dimse = free_address()?;
    let old = Dcmqrscp::start(dimse).await?;
    let folder = tempfile::tempdir()?;
    let (from, data, report) =
        (folder.path().join("from"), folder.path().join("data"), folder.path().join("report.csv"));
    fs::create_dir_all(&from)?;
    old.store(&write_all(&numbered(10, 4), &from)?).await?;
    let lost = old.lose_one()?;
    let arguments = import(&data, &dimse.to_string(), &old.peer(), &report);
    let ended = tests::program::filmless(&arguments).await?;
    assert!(!ended.success, "{}", ended.stdout);
    assert!(ended.stdout.contains("3 of 4 instances"), "{}", ended.stdout);
    let lines = fs::read_to_string(&report)?;
    ensure!(lines.lines().count() == 2, "{lines}");
    let missing = lines.lines().nth(1).and_then(|line| line.split(',').nth(3)).unwrap_or_default();
    assert!(
        missing.split(' ').count() == 1 && missing.starts_with("2.25."),
        "{lines}, lost {}",
        lost.display()
    );
    Ok(())
}
