//! Being told to stop while a modality sends (house rule 1: nothing acknowledged is lost).

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tests::{
    Program,
    by_hand::{Association, CT_IMAGE, connect},
    corpus::{NGUYEN, ct},
    pacs::{data_set_of, stored_file},
};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn finishes_the_instance_under_way_before_it_ends() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let program = Program::start(&data, &[]).await?;
    let mut slices = ct(NGUYEN, 2).into_iter();
    let (before, under_way) = slices.next().zip(slices.next()).context("two slices")?;

    let mut association = Association::for_ct(program.dimse, "CT_1").await?;
    assert_eq!(association.store(1, CT_IMAGE, &before.sop_instance, &before.data_set).await?, 0);
    association.begin_store(1, CT_IMAGE, &under_way.sop_instance).await?;
    let (first, rest) = under_way.data_set.split_at(under_way.data_set.len() / 2);
    association.data(1, first, false).await?;
    program.terminate()?;
    association.data(1, rest, true).await?;
    assert_eq!(association.status().await?, 0, "what had begun is finished");
    // Released by us or ended by the server: either way it must come to its end.
    let _ = association.release().await;
    assert!(program.exit().await?.success());

    let program = Program::start(&data, &[]).await?;
    for slice in [before, under_way] {
        let web = tests::Web::new(program.http);
        let kept = stored_file(&web, &slice.study, &slice.series, &slice.sop_instance).await?;
        assert!(data_set_of(&kept)? == slice.data_set);
    }
    Ok(())
}

#[tokio::test]
async fn ends_at_once_when_nobody_is_there() -> Result<()> {
    let folder = TempDir::new()?;
    let program = Program::start(&folder.path().join("data"), &[]).await?;
    program.terminate()?;
    assert!(program.exit().await?.success());
    Ok(())
}

/// A request whose body never ends is cut off when the time to drain is over, and holds no stage of it longer.
#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_it_past_its_grace() -> Result<()> {
    const GRACE: Duration = Duration::from_secs(6);
    let folder = TempDir::new()?;
    let settings = folder.path().join("filmless.toml");
    fs::write(&settings, format!("[http]\ndrain-s = {}\n", GRACE.as_secs()))?;
    let program =
        Program::start(&folder.path().join("data"), &["--config", &settings.to_string_lossy()]).await?;
    let mut stream = connect(program.http).await?;
    let head = "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n\
                Content-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&[0; 100]).await?;
    // The request is under way once a later one has been answered.
    tests::Web::new(program.http).get("/health/ready", "*/*").await?;
    let since = Instant::now();
    program.terminate()?;
    assert!(program.exit().await?.success());
    let took = since.elapsed();
    assert!(took < GRACE + Duration::from_secs(4), "it took {took:?}");
    drop(stream);
    Ok(())
}
