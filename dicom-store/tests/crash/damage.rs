//! A disk that has changed what it held.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dicom_store::Archive;
use dicom_store::fixture::{store, system};
use tempfile::TempDir;

use crate::life::{Samples, check, config, packs_in};

const LAST: usize = 2;

/// An archive of three instances in one pack, which is still in the log, and an index that does not know them.
async fn left_behind() -> (TempDir, Samples) {
    let folder = TempDir::new().unwrap();
    let samples = Samples::new();
    let archive = Archive::open(&config(folder.path(), false)).await.unwrap();
    archive.close().await;
    let index = fs::read(folder.path().join("index.sqlite")).unwrap();
    let archive = Archive::open(&config(folder.path(), false)).await.unwrap();
    for sample in &samples.all[..=LAST] {
        store(&system(&archive), sample).await.unwrap();
    }
    archive.close().await;
    fs::write(folder.path().join("index.sqlite"), index).unwrap();
    (folder, samples)
}

fn only_pack(data: &Path) -> std::path::PathBuf {
    let packs = packs_in(&data.join("log"));
    assert_eq!(packs.len(), 1);
    packs[0].clone()
}

/// Where the content ends.
fn end_of(bytes: &[u8]) -> usize {
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    (last + 1).next_multiple_of(512)
}

/// As sealing leaves it.
fn seal(pack: &Path) {
    let bytes = fs::read(pack).unwrap();
    fs::OpenOptions::new().write(true).open(pack).unwrap().set_len(end_of(&bytes) as u64 + 1024).unwrap();
}

/// Changes a byte of the last entry; gives the pack as it is then.
fn damage(pack: &Path) -> Vec<u8> {
    let mut bytes = fs::read(pack).unwrap();
    let at = end_of(&bytes) - 700;
    bytes[at] ^= 0x10;
    fs::OpenOptions::new().write(true).open(pack).unwrap().write_all_at(&bytes[at..=at], at as u64).unwrap();
    bytes
}

#[tokio::test]
async fn a_sealed_pack_whose_last_entry_is_damaged_is_kept_as_it_is() {
    let (folder, samples) = left_behind().await;
    let pack = only_pack(folder.path());
    seal(&pack);
    let as_it_was = damage(&pack);
    let name = pack.file_name().unwrap().to_owned();
    check(folder.path(), &samples, &BTreeSet::from([0, 1])).await.unwrap();
    let kept = fs::read(folder.path().join("objects/packs").join(name)).unwrap();
    assert!(kept == as_it_was, "it was written to or cut");
}

#[tokio::test]
async fn an_open_pack_whose_last_entry_is_damaged_is_kept_as_it_is() {
    let (folder, samples) = left_behind().await;
    let pack = only_pack(folder.path());
    let as_it_was = damage(&pack);
    let name = pack.file_name().unwrap().to_owned();
    check(folder.path(), &samples, &BTreeSet::from([0, 1])).await.unwrap();
    let kept = fs::read(folder.path().join("objects/packs").join(name)).unwrap();
    assert!(kept == as_it_was, "it was written to or cut");
}

#[tokio::test]
async fn a_torn_end_is_cut_and_the_pack_is_written_on() {
    let (folder, samples) = left_behind().await;
    let archive = Archive::open(&config(folder.path(), false)).await.unwrap();
    store(&system(&archive), &samples.all[0]).await.unwrap();
    archive.close().await;
    let pack = only_pack(folder.path());
    let bytes = fs::read(&pack).unwrap();
    let (end, file) = (end_of(&bytes), fs::OpenOptions::new().write(true).open(&pack).unwrap());
    // The first sectors of a group have come, the rest has not.
    file.write_all_at(&bytes[..1024], end as u64).unwrap();
    drop(file);
    check(folder.path(), &samples, &BTreeSet::from([0, 1, 2])).await.unwrap();
    let name = pack.file_name().unwrap();
    assert!(folder.path().join("objects/packs").join(name).exists(), "it was written on until it was full");
}
