//! The command line tools of dicom-rs as peers: C-ECHO, C-STORE, C-FIND and C-MOVE, and a destination of ours.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::Result;
use tests::{
    Pacs,
    corpus::{NGUYEN, ct, uids},
    modality::files_in,
    pacs::data_set_of,
    program::free_address,
    receivers::dicom_rs_storescp,
    tools::{Finished, dicom_rs, run},
};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// One of the tools, which calls itself `RS` and us by our title.
async fn tool(name: &str, pacs: &Pacs, options: &[&str], files: &[String]) -> Result<Finished> {
    let mut command = Command::new(dicom_rs(name)?);
    command.args(["-v", "--calling-ae-title", "RS", "--called-ae-title", "FILMLESS"]).args(options);
    run(command.arg(pacs.dimse().to_string()).args(files), LIMIT).await?.well()
}

#[tokio::test]
async fn echoes_stores_and_finds() -> Result<()> {
    let pacs = Pacs::start().await?;
    let echo = tool("dicom-echoscu", &pacs, &[], &[]).await?;
    assert!(echo.stdout.contains("Status: 0000H"), "{}", echo.stdout);

    let instances = ct(NGUYEN, 5);
    let folder = pacs.scratch("sent")?;
    let written = instances.iter().map(|instance| instance.write_to(&folder));
    let files: Vec<String> = written.map(|path| Ok(path?.display().to_string())).collect::<Result<_>>()?;
    tool("dicom-storescu", &pacs, &["--fail-first", "--never-transcode", "-c", "2"], &files).await?;
    for instance in &instances {
        assert_eq!(data_set_of(&pacs.file_of(instance).await?)?, instance.data_set);
    }

    let find = async |level: &str, key: &str| {
        let level = format!("QueryRetrieveLevel={level}");
        let options =
            ["-S", "-q", &level, "-q", key, "-q", "StudyInstanceUID=2.25.7001", "-q", "SOPInstanceUID="];
        tool("dicom-findscu", &pacs, &options, &[]).await
    };
    let found = find("IMAGE", &format!("SeriesInstanceUID={}", instances[0].series)).await?.stdout;
    for uid in uids(&instances) {
        assert!(found.contains(&format!("\"{uid}\"")), "{uid} is not in\n{found}");
    }
    assert!(find("STUDY", "PatientName=nguyen*").await?.stdout.contains("2.25.7001"));
    assert!(!find("STUDY", "PatientName=tran*").await?.stdout.contains("Match #1"));
    Ok(())
}

#[tokio::test]
async fn moves_a_study_to_it_byte_for_byte() -> Result<()> {
    let receiver = free_address()?;
    let pacs = Pacs::with(&[
        "--peer",
        &format!("RS_STORE={receiver}"),
        "--peer",
        &format!("RS={}", free_address()?),
    ])
    .await?;
    let instances = ct(NGUYEN, 5);
    pacs.hold(&instances).await?;
    let into = pacs.scratch("moved")?;
    let _receiving = dicom_rs_storescp(receiver, "RS_STORE", &into).await?;
    let port = free_address()?.port().to_string();
    let aside = pacs.scratch("aside")?.display().to_string();
    let options = ["--move-destination", "RS_STORE", "-S", "-p", &port, "-o", &aside];
    let keys = ["-q", "QueryRetrieveLevel=STUDY", "-q", "StudyInstanceUID=2.25.7001"];
    let moved = tool("dicom-movescu", &pacs, &[options.as_slice(), &keys].concat(), &[]).await?.stdout;
    assert!(moved.contains("Operation complete"), "{moved}");
    let here = files_in(&into)?;
    let data_sets: BTreeSet<_> =
        here.iter().map(|path| data_set_of(&fs::read(path)?.into())).collect::<Result<_>>()?;
    assert_eq!(data_sets, instances.iter().map(|instance| instance.data_set.clone()).collect());
    Ok(())
}
