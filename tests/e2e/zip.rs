//! A study as a ZIP file with DICOMDIR (PS3.18 §8.6.1.3, PS3.10 §8), judged by Info-ZIP, pydicom and DCMTK.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tests::{
    Pacs,
    corpus::{NGUYEN, Synthetic, ct, pydicom_files, report, us_multiframe},
    pacs::data_set_of,
    peers::file_set,
    tools::{Finished, run},
};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

async fn call(program: &str, folder: &Path, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    run(&mut command, LIMIT).await?.well()
}

/// Gets a resource as a ZIP file, tests and unpacks it into an empty folder.
async fn unpacked(pacs: &Pacs, path: &str, name: &str, accept: &str) -> Result<std::path::PathBuf> {
    let answer = pacs.web().get(path, accept).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    assert_eq!(answer.content_type, "application/zip");
    let folder = pacs.scratch(name)?;
    let file = pacs.scratch("zips")?.join(format!("{name}.zip"));
    fs::write(&file, &answer.body)?;
    let file = file.to_string_lossy();
    call("unzip", &folder, &["-q", "-t", &file]).await?;
    call("unzip", &folder, &["-q", &file]).await?;
    Ok(folder)
}

/// DCMTK reads the directory and finds every file in it as it would have written it itself.
async fn assert_dcmtk_takes(folder: &Path, count: usize) -> Result<()> {
    let before = fs::read(folder.join("DICOMDIR"))?;
    let options = ["+A", "-I", "-a", "-Nxc", "-Nec", "-Nrc", "+Nrs", "+r", "DICOM"];
    let done = call("dcmmkdir", folder, &options).await?;
    let told = format!("{}{}", done.stdout, done.stderr);
    // For each file, and nothing else: "directory record for this SOP instance already exists".
    assert!(told.lines().all(|line| line.contains("already exists")), "{told}");
    assert_eq!(told.lines().count(), count, "{told}");
    // It appended nothing: a record for each file was there.
    let records = |bytes: &[u8]| memchr::memmem::find_iter(bytes, b"\x04\0\x30\x14CS").count();
    let after = fs::read(folder.join("DICOMDIR"))?;
    assert_eq!(records(&before), records(&after));
    Ok(())
}

fn file_of<'a>(folder: &Path, found: &'a serde_json::Value) -> Result<(std::path::PathBuf, &'a str)> {
    let file = found["file"].as_str().context("a file")?;
    Ok((folder.join(file), found["instance"].as_str().context("a UID")?))
}

#[tokio::test]
async fn a_study_is_a_file_set_that_others_read() -> Result<()> {
    let pacs = Pacs::start().await?;
    let instances: Vec<Synthetic> = [ct(NGUYEN, 3), vec![us_multiframe(NGUYEN, 2), report(NGUYEN)]].concat();
    pacs.hold(&instances).await?;
    let folder = unpacked(&pacs, "/dicom-web/studies/2.25.7001", "study", "application/zip").await?;
    let found = file_set(&folder.join("DICOMDIR")).await?;
    let found = found.as_array().context("an array")?;
    assert_eq!(found.len(), 5);
    for one in found {
        assert_eq!((&one["same"], &one["patient"]), (&true.into(), &"NGUYỄN^VĂN ĐỨC".into()), "{one}");
        let (file, uid) = file_of(&folder, one)?;
        let sent = instances.iter().find(|instance| instance.sop_instance == uid).context("a stranger")?;
        assert!(data_set_of(&fs::read(file)?.into())? == sent.data_set, "{one}");
        let kind = if sent.sop_instance == report(NGUYEN).sop_instance { "SR DOCUMENT" } else { "IMAGE" };
        assert_eq!(one["kind"], kind, "{one}");
    }
    Ok(())
}

#[tokio::test]
async fn dcmtk_would_have_written_the_same_for_every_level() -> Result<()> {
    let pacs = Pacs::start().await?;
    pacs.hold(&[ct(NGUYEN, 3), vec![us_multiframe(NGUYEN, 2)]].concat()).await?;
    let study = "/dicom-web/studies/2.25.7001".to_owned();
    let series = format!("{study}/series/2.25.7001.1");
    let instance = format!("{series}/instances/2.25.7001.1.2");
    for (path, name, count) in [(study, "study", 4), (series, "series", 3), (instance, "instance", 1)] {
        let folder = unpacked(&pacs, &path, name, "application/zip; transfer-syntax=*").await?;
        let found = file_set(&folder.join("DICOMDIR")).await?;
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{found}");
        assert_dcmtk_takes(&folder, count).await?;
    }
    Ok(())
}

#[tokio::test]
async fn real_files_of_every_kind_are_file_sets_that_pydicom_reads() -> Result<()> {
    let pacs = Pacs::start().await?;
    let mut stored = Vec::new();
    for real in pydicom_files().await? {
        stored.push(fs::read(&real.file)?.into());
    }
    pacs.web().store("/dicom-web/studies", &stored).await?;
    let studies = pacs.web().json("/dicom-web/studies").await?;
    ensure!(studies.len() > 20, "{} studies", studies.len());
    let mut kinds = HashSet::new();
    for (number, study) in studies.iter().enumerate() {
        let uid = study["0020000D"]["Value"][0].as_str().context("a UID")?;
        let count = study["00201208"]["Value"][0].as_u64().context("a count")?;
        let path = format!("/dicom-web/studies/{uid}");
        let folder =
            unpacked(&pacs, &path, &format!("study{number}"), "application/zip; transfer-syntax=*").await?;
        let found = file_set(&folder.join("DICOMDIR")).await?;
        let found = found.as_array().context("an array")?;
        assert_eq!(found.len() as u64, count, "{uid}");
        assert!(found.iter().all(|one| one["same"] == true), "{uid}: {found:?}");
        kinds.extend(found.iter().map(|one| one["kind"].to_string()));
    }
    assert!(kinds.len() >= 4, "{kinds:?}");
    Ok(())
}
