//! The subcommands of the program, and the trial that the README starts.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tests::{
    Pacs, Program, Web,
    corpus::{MUELLER, NGUYEN, Synthetic, ct, us_multiframe, write_all},
    program::{filmless, free_address},
    tools::program,
};

#[tokio::test]
async fn a_trial_starts_with_studies_to_look_at() -> Result<()> {
    let pacs = Pacs::with(&["--samples"]).await?;
    let studies = pacs.web().json("/dicom-web/studies").await?;
    assert!(studies.len() > 1, "{studies:?}");
    for study in &studies {
        let uid = study["0020000D"]["Value"][0].as_str().context("a study without its UID")?;
        let thumbnail = pacs.web().get(&format!("/dicom-web/studies/{uid}/thumbnail"), "image/jpeg").await?;
        assert_eq!(thumbnail.status.as_u16(), 200, "{uid}: {thumbnail:?}");
    }
    let page = pacs.web().get("/", "text/html").await?;
    assert_eq!(page.status.as_u16(), 200);
    Ok(())
}

#[tokio::test]
async fn import_takes_a_folder_and_says_what_became_of_it() -> Result<()> {
    let folder = TempDir::new()?;
    let (from, data) = (folder.path().join("from"), folder.path().join("data"));
    fs::create_dir_all(from.join("deeper"))?;
    let instances = [ct(NGUYEN, 3), vec![us_multiframe(MUELLER, 2)]].concat();
    write_all(&instances, &from.join("deeper"))?;
    fs::write(from.join("notes.txt"), "no DICOM")?;
    let options = ["import", &from.to_string_lossy(), "--data", &data.to_string_lossy()].map(str::to_owned);
    let said = filmless(&options).await?.well()?.stdout;
    assert!(said.contains("4 stored"), "{said}");
    let again = filmless(&options).await?.well()?.stdout;
    assert!(again.contains("0 stored") && again.contains("4 already there"), "{again}");

    let program = Program::start(&data, &[]).await?;
    for Synthetic { study, series, sop_instance, .. } in &instances {
        let path = format!("/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/metadata");
        assert_eq!(Web::new(program.http).json(&path).await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn scrub_and_reindex_refuse_a_folder_that_is_no_archive() -> Result<()> {
    let folder = TempDir::new()?;
    let mistyped = folder.path().join("mistyped");
    for command in ["scrub", "reindex"] {
        let finished = filmless(&[command, "--data", &mistyped.to_string_lossy()]).await?;
        assert!(!finished.success && finished.stderr.contains("holds no archive"), "{finished:?}");
        assert!(!mistyped.exists(), "{command} has made an archive");
    }
    Ok(())
}

#[tokio::test]
async fn scrub_and_reindex_name_what_is_damaged_and_end_with_a_failure() -> Result<()> {
    let folder = TempDir::new()?;
    let (from, data) = (folder.path().join("from"), folder.path().join("data"));
    fs::create_dir_all(&from)?;
    let instances = ct(NGUYEN, 3);
    write_all(&instances, &from)?;
    let data = data.to_string_lossy().into_owned();
    filmless(&["import", &from.to_string_lossy(), "--data", &data]).await?.well()?;
    for command in ["scrub", "reindex"] {
        filmless(&[command, "--data", &data]).await?.well()?;
    }
    let (mut damaged, name) = (0, format!("{}.dcm", instances[1].sop_instance));
    for pack in
        ["log", "objects/packs"].iter().flat_map(|below| fs::read_dir(folder.path().join("data").join(below)))
    {
        for file in pack {
            let path = file?.path();
            let mut bytes = if path.is_file() { fs::read(&path)? } else { continue };
            if let Some(at) = bytes.windows(name.len()).position(|some| some == name.as_bytes()) {
                // Of its file meta information, which the index keeps nothing of but where it ends.
                bytes[at + 512 + 200] ^= 1;
                fs::write(&path, bytes)?;
                damaged += 1;
            }
        }
    }
    assert_eq!(damaged, 1);
    for command in ["scrub", "reindex"] {
        let finished = filmless(&[command, "--data", &data]).await?;
        assert!(!finished.success, "{command}: {finished:?}");
        assert!(finished.stdout.contains(instances[1].sop_instance.as_str()), "{command}: {finished:?}");
    }
    Ok(())
}

#[tokio::test]
async fn echo_says_whether_a_peer_answers() -> Result<()> {
    let pacs = Pacs::start().await?;
    let peer = format!("FILMLESS@{}", pacs.dimse());
    let said = filmless(&["echo", &peer]).await?.well()?.stdout;
    assert!(said.contains("answered"), "{said}");
    let nobody = format!("NOBODY@{}", free_address()?);
    let refused = filmless(&["echo", &nobody]).await?;
    assert!(!refused.success, "{refused:?}");
    assert_eq!(refused.stderr.matches("Connection refused").count(), 1, "{}", refused.stderr);
    Ok(())
}

/// As `filmless check-config | head` ends it.
#[tokio::test]
async fn a_reader_who_has_enough_is_no_failure() -> Result<()> {
    let folder = TempDir::new()?;
    let mut command = Command::new(program()?);
    command.arg("check-config").current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Ok(())
}

#[tokio::test]
async fn check_config_prints_every_setting_and_names_a_wrong_one() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("filmless.toml");
    fs::write(&file, "[dimse]\nae-title = \"HOSPITAL\"\n")?;
    let said = filmless(&["check-config", "--config", &file.to_string_lossy()]).await?.well()?.stdout;
    assert!(said.contains("ae-title = \"HOSPITAL\"") && said.contains("[store]"), "{said}");
    fs::write(&file, "[dimse]\nae-titel = \"HOSPITAL\"\n")?;
    let finished = filmless(&["check-config", "--config", &file.to_string_lossy()]).await?;
    assert!(!finished.success && finished.stderr.contains("ae-titel"), "{finished:?}");
    Ok(())
}

#[tokio::test]
async fn says_which_address_cannot_be_had() -> Result<()> {
    let folder = TempDir::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let data = folder.path().to_string_lossy().into_owned();
    let finished =
        filmless(&["serve", "--data", &data, "--http", "127.0.0.1:0", "--dimse", &address]).await?;
    assert!(!finished.success && finished.stderr.contains(&address), "{finished:?}");
    Ok(())
}

#[tokio::test]
async fn a_second_server_over_the_same_data_is_refused() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let _first = Program::start(&data, &[]).await?;
    let path = data.to_string_lossy();
    let finished =
        filmless(&["serve", "--data", &path, "--http", "127.0.0.1:0", "--dimse", "127.0.0.1:0"]).await?;
    assert!(!finished.success, "two servers would write over each other");
    Ok(())
}
