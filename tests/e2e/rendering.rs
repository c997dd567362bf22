//! Rendered frames of real files, beside a rendering that others made.

use std::{fs, path::PathBuf};

use anyhow::Result;
use tests::{
    Pacs,
    peers::{pydicom_data, renderings},
};

/// Frames of pydicom's files that pydicom decodes itself, and that are compared here.
const COMPARED: u64 = 60;

#[tokio::test]
async fn frames_of_pydicoms_files_are_shown_as_pydicom_and_numpy_show_them() -> Result<()> {
    let pacs = Pacs::start().await?;
    let folder = PathBuf::from(pydicom_data().await?).join("test_files");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    let told = renderings(pacs.http(), &files).await?;
    assert_eq!(told["faults"], serde_json::json!({}), "{told}");
    assert!(told["compared"].as_u64().is_some_and(|compared| compared >= COMPARED), "{told}");
    Ok(())
}
