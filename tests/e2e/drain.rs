//! Being told to stop while a modality sends (house rule 1: nothing acknowledged is lost).

use anyhow::{Context, Result};
use tempfile::TempDir;
use tests::{
    Program,
    by_hand::{Association, CT_IMAGE},
    corpus::{NGUYEN, ct},
    pacs::{data_set_of, stored_file},
};

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
