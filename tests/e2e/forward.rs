//! What is sent on by rules: everything once, or again as the same, whoever goes down in the middle.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    Modality, Program, Web,
    archives::{Dcmqrscp, Orthanc},
    corpus::{NGUYEN, StudyOf, Synthetic, ct, report, uids, us_multiframe, write_all},
    peers::{pynetdicom, steps},
    program::{free_address, sum_of},
    receivers::hangs,
    wait::until,
};

use crate::steps::begun;

/// Retries come after 2, 4, 8 and 16 seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// A server with settings of its own over a folder that outlives it.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn set(settings: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        fs::write(folder.path().join("filmless.toml"), settings)?;
        Ok(Self { folder })
    }

    async fn start(&self, options: &[&str]) -> Result<Program> {
        let file = self.folder.path().join("filmless.toml");
        let options = [&["--config", file.to_str().context("a path in UTF-8")?], options].concat();
        Program::start(&self.folder.path().join("data"), &options).await
    }

    fn files(&self, instances: &[Synthetic]) -> Result<Vec<PathBuf>> {
        let folder = self.folder.path().join("files");
        fs::create_dir_all(&folder)?;
        write_all(instances, &folder)
    }
}

/// As `storescu` sends: one association.
async fn send(program: &Program, title: &str, files: &[PathBuf]) -> Result<()> {
    Modality::new(program.dimse, title).store(&["-R"], files).await?.well()?;
    Ok(())
}

/// A delivery of a study that is as it should be.
async fn delivery(web: &Web, study: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
    until("a delivery", LIMIT, async || {
        let rows = web.json(&format!("/api/v1/deliveries?study={study}")).await.ok()?;
        rows.into_iter().find(&is_right)
    })
    .await
}

fn rule(when: &str, peer: &str) -> String {
    format!("[[rules]]\nname = \"on\"\nwhen = {when}\nthen = [{{ route = {{ to = \"{peer}\" }} }}]\n")
}

#[tokio::test]
async fn a_rule_sends_what_it_is_about_and_nothing_else() -> Result<()> {
    let scene = Scene::set(&rule(
        "{ modality = [\"CT\"], sender = [\"CT1\"], description = [\"*nguc*\"] }",
        "ORTHANC",
    ))?;
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let program = scene.start(&["--dimse", &dimse.to_string(), "--peer", &orthanc.peer()]).await?;
    let web = Web::new(program.http);
    let study = [ct(NGUYEN, 6), vec![report(NGUYEN)]].concat();
    let other = StudyOf { number: 50, ..NGUYEN };
    send(&program, "US1", &scene.files(&[us_multiframe(other, 2)])?).await?;
    send(&program, "CT1", &scene.files(&study)?).await?;

    let done = delivery(&web, "2.25.7001", |row| row["state"] == "done").await?;
    assert_eq!((&done["destination"], &done["by"]), (&json!("ORTHANC"), &json!("rule on")), "{done}");
    assert_eq!(
        (&done["total"], &done["delivered"], &done["failed"]),
        (&json!(7), &json!(7), &json!(0)),
        "{done}"
    );
    let proof = done["instances"].as_object().context("no instances")?;
    assert_eq!(proof.keys().cloned().collect::<BTreeSet<_>>(), uids(&study));
    assert!(proof.values().all(|state| state == "delivered"), "{proof:?}");
    let came: BTreeSet<String> = orthanc.instances().await?.into_iter().collect();
    assert_eq!(came, uids(&study));
    assert_eq!(web.json("/api/v1/deliveries").await?.len(), 1);

    // More of it comes: only that is sent.
    let more = ct(NGUYEN, 8);
    send(&program, "CT1", &scene.files(&more[6..])?).await?;
    delivery(&web, "2.25.7001", |row| row["delivered"] == 9 && row["state"] == "done").await?;
    assert_eq!(orthanc.instances().await?.len(), 9);
    let sent = program.log().matches("instances sent").count();
    assert_eq!(sent, 2, "one association for each: {}", program.log());
    Ok(())
}

#[tokio::test]
async fn a_destination_that_is_down_gets_it_when_it_is_up() -> Result<()> {
    let scene = Scene::set(&rule("{}", "ORTHANC"))?;
    let dimse = free_address()?;
    let mut orthanc = Orthanc::start(dimse).await?;
    orthanc.down().await?;
    let program = scene.start(&["--dimse", &dimse.to_string(), "--peer", &orthanc.peer()]).await?;
    let web = Web::new(program.http);
    let study = ct(NGUYEN, 5);
    send(&program, "CT1", &scene.files(&study)?).await?;
    let failing = delivery(&web, "2.25.7001", |row| row["failed"] == 5).await?;
    assert_eq!((&failing["state"], &failing["delivered"]), (&json!("sending"), &json!(0)), "{failing}");
    assert!(failing["why"].as_str().is_some_and(|why| why.contains("connection failed")), "{failing}");
    orthanc.up().await?;
    delivery(&web, "2.25.7001", |row| row["state"] == "done" && row["delivered"] == 5).await?;
    assert_eq!(orthanc.instances().await?.into_iter().collect::<BTreeSet<_>>(), uids(&study));
    Ok(())
}

#[tokio::test]
async fn a_large_study_goes_on_as_many_associations_as_the_destination_may_have() -> Result<()> {
    const SLICES: u16 = 170;
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let peer = format!(
        "[[dimse.peers]]\nae-title = \"ORTHANC\"\nhost = \"127.0.0.1\"\nport = {}\nmax-associations = 3\n",
        orthanc.address.port()
    );
    let scene = Scene::set(&format!("{}{peer}", rule("{}", "ORTHANC")))?;
    let program = scene.start(&["--dimse", &dimse.to_string()]).await?;
    let study = ct(NGUYEN, SLICES);
    send(&program, "CT1", &scene.files(&study)?).await?;
    delivery(&Web::new(program.http), "2.25.7001", |row| row["state"] == "done").await?;
    assert_eq!(orthanc.instances().await?.into_iter().collect::<BTreeSet<_>>(), uids(&study));
    let log = program.log();
    assert_eq!(log.matches("instances sent").count(), 3, "{log}");
    assert_eq!(sum_of(&log, "instances sent", "instances"), u64::from(SLICES), "{log}");
    Ok(())
}

#[tokio::test]
async fn what_was_delivered_before_a_kill_is_not_sent_again() -> Result<()> {
    const SLICES: u16 = 240;
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    // So slow that there is a middle: 2 MiB at 300 KiB a second.
    let peer = format!(
        "[[dimse.peers]]\nae-title = \"ORTHANC\"\nhost = \"127.0.0.1\"\nport = {}\nmax-kib-s = 300\n",
        orthanc.address.port()
    );
    let scene = Scene::set(&format!("{}{peer}", rule("{}", "ORTHANC")))?;
    let program = scene.start(&["--dimse", &dimse.to_string()]).await?;
    let study = ct(NGUYEN, SLICES);
    send(&program, "CT1", &scene.files(&study)?).await?;
    let web = Web::new(program.http);
    let middle = delivery(&web, "2.25.7001", |row| row["delivered"].as_u64() > Some(40)).await?;
    let noted = middle["delivered"].as_u64().context("no count")?;
    program.kill().await?;
    ensure!(noted < u64::from(SLICES), "it was through before it was killed");

    let program = scene.start(&["--dimse", &dimse.to_string()]).await?;
    let web = Web::new(program.http);
    let done = delivery(&web, "2.25.7001", |row| row["state"] == "done").await?;
    assert_eq!((&done["total"], &done["delivered"]), (&json!(SLICES), &json!(SLICES)), "{done}");
    assert_eq!(orthanc.instances().await?.into_iter().collect::<BTreeSet<_>>(), uids(&study));
    // What the second run sent is what was left, and the little that the kill took from the notes.
    let log = program.log();
    let since = log.rfind("archive open").context("it has not started")?;
    let sent = sum_of(&log[since..], "instances sent", "instances");
    assert!(sent <= u64::from(SLICES) - noted, "{sent} sent again though {noted} were noted");
    Ok(())
}

#[tokio::test]
async fn a_destination_that_hangs_holds_back_nobody() -> Result<()> {
    let (stuck, _hanging) = hangs().await?;
    let scene = Scene::set(&[rule("{}", "STUCK"), rule("{}", "ORTHANC")].concat())?;
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let peers = [orthanc.peer(), format!("STUCK={stuck}")];
    let program =
        scene.start(&["--dimse", &dimse.to_string(), "--peer", &peers[0], "--peer", &peers[1]]).await?;
    let studies: Vec<Synthetic> = (60..72).flat_map(|number| ct(StudyOf { number, ..NGUYEN }, 1)).collect();
    for slice in &studies {
        send(&program, "CT1", &scene.files(std::slice::from_ref(slice))?).await?;
    }
    until("all studies at the one that does not hang", Duration::from_secs(60), async || {
        let came: BTreeSet<String> = orthanc.instances().await.ok()?.into_iter().collect();
        (came == uids(&studies)).then_some(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_somebody_asks_for_is_sent_at_whatever_hour() -> Result<()> {
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let program = Scene::set("")?;
    let running = program.start(&["--dimse", &dimse.to_string(), "--peer", &orthanc.peer()]).await?;
    let web = Web::new(running.http);
    let study = ct(NGUYEN, 3);
    send(&running, "CT1", &program.files(&study)?).await?;
    let answer = web.post_json("/api/v1/peers/ORTHANC/send", &json!({"studies": ["2.25.7001"]})).await?;
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
    let done = delivery(&web, "2.25.7001", |row| row["state"] == "done").await?;
    assert_eq!((&done["by"], &done["delivered"]), (&json!("order"), &json!(3)), "{done}");
    Ok(())
}

#[tokio::test]
async fn priors_of_a_patient_are_fetched_and_nothing_else() -> Result<()> {
    let dimse = free_address()?;
    let old = Dcmqrscp::start(dimse).await?;
    let scene = Scene::set(
        "[[rules]]\nname = \"priors\"\nwhen = { modality = [\"CT\"] }\n\
         then = [{ prefetch = { from = \"OLDPACS\", modality = [\"CT\"], years = 10, most = 2 } }]\n",
    )?;
    let prior = |number: u32, date: &'static str| StudyOf { number, date, ..NGUYEN };
    let priors = [
        ct(prior(20, "20250101"), 2),
        ct(prior(21, "20240101"), 2),
        ct(prior(22, "20230101"), 2),
        vec![us_multiframe(prior(23, "20250601"), 2)],
        ct(StudyOf { number: 24, patient_name: b"TRAN^HOA", ..NGUYEN }, 1),
        ct(StudyOf { number: 25, patient_id: "BN-0002", ..NGUYEN }, 1),
    ];
    old.store(&scene.files(&priors.concat())?).await?;
    let program = scene.start(&["--dimse", &dimse.to_string(), "--peer", &old.peer()]).await?;
    let web = Web::new(program.http);
    send(&program, "CT1", &scene.files(&ct(NGUYEN, 2))?).await?;
    let studies = until("two priors", LIMIT, async || {
        let studies = web.json("/dicom-web/studies").await.ok()?;
        (studies.len() >= 3).then_some(studies)
    })
    .await?;
    let uid = |row: &Value| row["0020000D"]["Value"][0].as_str().map(str::to_owned);
    let found: BTreeSet<String> = studies.iter().filter_map(uid).collect();
    assert_eq!(found, ["2.25.7001", "2.25.70020", "2.25.70021"].map(str::to_owned).into());
    // A prior is nothing new: it has no priors fetched.
    until("both are said to be done", LIMIT, async || {
        let rows = web.json("/api/v1/retrievals").await.ok()?;
        (rows.len() == 2 && rows.iter().all(|row| row["state"] == "done")).then_some(())
    })
    .await?;
    assert_eq!(program.log().matches("priors looked for").count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_peer_that_wants_to_know_is_told_what_is_available() -> Result<()> {
    let ris = free_address()?;
    let scene = Scene::set(&format!(
        "[[dimse.peers]]\nae-title = \"RIS\"\nhost = \"127.0.0.1\"\nport = {}\nnotify-availability = true\n",
        ris.port()
    ))?;
    let program = scene.start(&[]).await?;
    let study = [ct(NGUYEN, 3), vec![report(NGUYEN)]].concat();
    let port = [ris.port().to_string()];
    let files = scene.files(&study)?;
    let step = steps(program.dimse, &[begun("2.25.7401")]).await?;
    assert_eq!(step[0]["status"], 0, "{step:?}");
    let (told, sent) =
        tokio::join!(pynetdicom(program.dimse, "notified", &port), send(&program, "CT1", &files));
    sent?;
    let told = told?;
    assert_eq!((&told["study"], &told["steps"]), (&json!("2.25.7001"), &json!(["2.25.7401"])), "{told}");
    let instances = told["instances"].as_object().context("no instances")?;
    assert_eq!(instances.keys().cloned().collect::<BTreeSet<_>>(), uids(&study));
    assert!(instances.values().all(|one| *one == json!(["ONLINE", "FILMLESS"])), "{told}");
    Ok(())
}

/// A peer that is asked to commit itself to what it was sent.
fn committing(title: &str, port: u16, within: u32) -> String {
    format!(
        "[[dimse.peers]]\nae-title = {title:?}\nhost = \"127.0.0.1\"\nport = {port}\ncommitment-s = {within}\n"
    )
}

#[tokio::test]
async fn orthanc_commits_itself_to_what_it_was_sent() -> Result<()> {
    let dimse = free_address()?;
    let orthanc = Orthanc::start(dimse).await?;
    let peer = committing("ORTHANC", orthanc.address.port(), 60);
    let scene = Scene::set(&format!("{}{peer}", rule("{}", "ORTHANC")))?;
    let program = scene.start(&["--dimse", &dimse.to_string()]).await?;
    let study = ct(NGUYEN, 5);
    send(&program, "CT1", &scene.files(&study)?).await?;
    let done = delivery(&Web::new(program.http), "2.25.7001", |row| row["state"] == "done").await?;
    assert_eq!((&done["delivered"], &done["committed"]), (&json!(5), &json!(5)), "{done}");
    let proof = done["instances"].as_object().context("no instances")?;
    assert!(proof.values().all(|state| state == "committed"), "{proof:?}");
    Ok(())
}

#[tokio::test]
async fn what_a_destination_does_not_commit_itself_to_is_sent_again() -> Result<()> {
    let keeper = free_address()?;
    let peer = committing("PYNETDICOM", keeper.port(), 60);
    let scene = Scene::set(&format!("{}{peer}", rule("{}", "PYNETDICOM")))?;
    let program = scene.start(&[]).await?;
    let study = ct(NGUYEN, 4);
    let files = scene.files(&study)?;
    let wishes = [json!({"port": keeper.port(), "where": "same", "lose": 1, "reports": 2}).to_string()];
    let (kept, sent) =
        tokio::join!(pynetdicom(program.dimse, "commits", &wishes), send(&program, "CT1", &files));
    sent?;
    let kept = kept?;
    assert_eq!(kept["answers"], json!([0, 0]), "{kept}");
    let lost = &kept["asked"][0]["instances"][0];
    assert_eq!(kept["asked"][0]["instances"].as_array().map(Vec::len), Some(4), "{kept}");
    assert_eq!(kept["asked"][1]["instances"], json!([lost]), "{kept}");
    let stored = kept["stored"].as_array().context("no list")?;
    assert_eq!((stored.len(), stored.last()), (5, Some(lost)), "{kept}");
    let done = delivery(&Web::new(program.http), "2.25.7001", |row| row["state"] == "done").await?;
    assert_eq!((&done["committed"], &done["failed"]), (&json!(4), &json!(0)), "{done}");
    Ok(())
}

#[tokio::test]
async fn a_report_that_comes_behind_a_restart_on_another_association_counts() -> Result<()> {
    let (dimse, keeper) = (free_address()?, free_address()?);
    let peer = committing("PYNETDICOM", keeper.port(), 60);
    let scene = Scene::set(&format!("{}{peer}", rule("{}", "PYNETDICOM")))?;
    let after = scene.folder.path().join("started again");
    let dimse = ["--dimse".to_owned(), dimse.to_string()];
    let options = [dimse[0].as_str(), dimse[1].as_str()];
    let program = scene.start(&options).await?;
    let files = scene.files(&ct(NGUYEN, 3))?;
    let wishes = [json!({"port": keeper.port(), "where": "new", "after": &after, "reports": 1}).to_string()];
    let keeping = pynetdicom(program.dimse, "commits", &wishes);
    let restarted = async {
        send(&program, "CT1", &files).await?;
        until("storage commitment is asked for", LIMIT, async || {
            program.log().contains("storage commitment asked for").then_some(())
        })
        .await?;
        let sent = delivery(&Web::new(program.http), "2.25.7001", |row| row["delivered"] == 3).await?;
        assert_eq!((&sent["state"], &sent["committed"]), (&json!("sending"), &json!(0)), "{sent}");
        program.kill().await?;
        let program = scene.start(&options).await?;
        fs::write(&after, "")?;
        anyhow::Ok(program)
    };
    let (kept, program) = tokio::join!(keeping, restarted);
    let (kept, program) = (kept?, program?);
    assert_eq!(kept["answers"], json!([0]), "{kept}");
    let done = delivery(&Web::new(program.http), "2.25.7001", |row| row["state"] == "done").await?;
    assert_eq!(done["committed"], json!(3), "{done}");
    Ok(())
}

#[tokio::test]
async fn a_destination_that_does_not_report_in_time_is_asked_again() -> Result<()> {
    let keeper = free_address()?;
    let peer = committing("PYNETDICOM", keeper.port(), 1);
    let scene = Scene::set(&format!("{}{peer}", rule("{}", "PYNETDICOM")))?;
    let program = scene.start(&[]).await?;
    let files = scene.files(&ct(NGUYEN, 2))?;
    let wishes = [json!({"port": keeper.port(), "where": "new", "silent": [1], "reports": 1}).to_string()];
    let (kept, sent) =
        tokio::join!(pynetdicom(program.dimse, "commits", &wishes), send(&program, "CT1", &files));
    sent?;
    let kept = kept?;
    let asked = kept["asked"].as_array().context("no list")?;
    assert!(asked.len() >= 2 && asked[0]["transaction"] != asked[1]["transaction"], "{kept}");
    assert_eq!(asked[0]["instances"], asked[1]["instances"], "{kept}");
    assert_eq!(kept["stored"].as_array().map(Vec::len), Some(2), "nothing is sent again: {kept}");
    delivery(&Web::new(program.http), "2.25.7001", |row| row["state"] == "done").await?;
    Ok(())
}
