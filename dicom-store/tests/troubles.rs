//! The archive knows what keeps it from its work.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dicom_store::fixture::{self, Step, ct, store, system};
use dicom_store::{Archive, Config, ErrorKind};

#[tokio::test]
async fn an_archive_that_is_well_has_no_troubles() {
    let (archive, _folder) = fixture::archive().await;
    assert!(archive.troubles().await.is_empty());
    archive.close().await;
    assert_eq!(archive.troubles().await[0].what, "the archive is closing");
}

#[tokio::test]
async fn a_disk_whose_reserve_is_reached_is_named_and_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let full = Config { reserve_mib: 1 << 40, ..fixture::config(&folder) };
    let archive = Archive::open(&full).await.unwrap();
    let troubles = archive.troubles().await;
    assert!(troubles.len() == 1 && troubles[0].what.contains("store.reserve-mib"), "{troubles:?}");
    assert_eq!(store(&system(&archive), &ct()).await.unwrap_err().kind, ErrorKind::Exhausted);
    archive.close().await;
    let archive = Archive::open(&fixture::config(&folder)).await.unwrap();
    assert!(archive.troubles().await.is_empty());
    store(&system(&archive), &ct()).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_objects_that_is_gone_is_named_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = fixture::config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let (packs, aside) = (config.data.join("objects/packs"), config.data.join("aside"));
    std::fs::rename(&packs, &aside).unwrap();
    let troubles = archive.troubles().await;
    assert!(troubles.len() == 1 && troubles[0].what.contains("objects"), "{troubles:?}");
    std::fs::rename(&aside, &packs).unwrap();
    assert!(archive.troubles().await.is_empty());
}

#[tokio::test]
async fn a_thread_of_the_log_that_dies_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let is_time = Arc::new(AtomicBool::new(false));
    let dies = is_time.clone();
    let watch = Arc::new(move |step: &Step<'_>| {
        if matches!(step, Step::Write { .. }) && dies.load(Ordering::Relaxed) {
            panic!("a fault in the writer");
        }
        Ok(())
    });
    let archive = Archive::open_watched(&fixture::config(&folder), watch).await.unwrap();
    is_time.store(true, Ordering::Relaxed);
    store(&system(&archive), &ct()).await.unwrap_err();
    tokio::time::timeout(Duration::from_secs(20), archive.has_died()).await.unwrap();
    let troubles = archive.troubles().await;
    assert!(troubles[0].what.contains("has died"), "{troubles:?}");
}
