//! A disk that has changed what it held.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dicom_store::fixture::{Sample, ct, store, system};
use dicom_store::model::{ErrorKind, Resource};
use dicom_store::{Archive, Config};
use futures_util::TryStreamExt;
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

/// What the archive gives of an instance: its data set, or nothing.
async fn data_set_of(archive: &Archive, sample: &Sample) -> Option<Vec<u8>> {
    let session = system(archive);
    let all = session.instances(&Resource::Study(sample.study())).await.ok()?;
    let instance = all.into_iter().find(|instance| instance.sop_instance == sample.sop_instance())?;
    let parts: Vec<_> = session.open_data_set(&instance).try_collect().await.unwrap();
    Some(parts.concat())
}

/// Everything that is sent again is taken again, and given out as it came.
async fn heals(archive: &Archive, samples: &[Sample]) {
    for sample in samples {
        store(&system(archive), sample).await.unwrap();
        assert_eq!(data_set_of(archive, sample).await, Some(sample.data_set()));
    }
}

#[tokio::test]
async fn the_place_of_an_answered_instance_is_not_given_away() {
    let (folder, samples) = (TempDir::new().unwrap(), Samples::new());
    let open = async || Archive::open(&config(folder.path(), false)).await.unwrap();
    let archive = open().await;
    for sample in &samples.all[..=LAST] {
        store(&system(&archive), sample).await.unwrap();
    }
    archive.close().await;
    // As after kill -9: the rows are there, how far the pack was read is not written down.
    let index = rusqlite::Connection::open(folder.path().join("index.sqlite")).unwrap();
    index.execute_batch("UPDATE packs SET mark = 0").unwrap();
    drop(index);
    // The last entry has lost a sector, as a tear would leave it.
    let pack = only_pack(folder.path());
    let lost = end_of(&fs::read(&pack).unwrap()) - 1024;
    fs::OpenOptions::new().write(true).open(&pack).unwrap().write_all_at(&[0; 512], lost as u64).unwrap();
    let archive = open().await;
    store(&system(&archive), &samples.all[LAST + 1]).await.unwrap();
    assert_eq!(data_set_of(&archive, &samples.all[LAST]).await, None, "what is damaged is not given out");
    assert_eq!(data_set_of(&archive, &samples.all[0]).await, Some(samples.all[0].data_set()));
    heals(&archive, &samples.all[..=LAST + 1]).await;
    archive.close().await;
}

#[tokio::test]
async fn a_pack_that_has_become_shorter_is_noticed_and_what_it_lost_is_taken_again() {
    let (folder, samples) = left_behind().await;
    seal(&only_pack(folder.path()));
    let open = async || Archive::open(&config(folder.path(), false)).await.unwrap();
    open().await.close().await;
    let packs = packs_in(&folder.path().join("objects/packs"));
    let length = fs::metadata(&packs[0]).unwrap().len();
    fs::OpenOptions::new().write(true).open(&packs[0]).unwrap().set_len(length / 2).unwrap();
    let archive = open().await;
    assert_eq!(data_set_of(&archive, &samples.all[LAST]).await, None);
    heals(&archive, &samples.all[..=LAST]).await;
    archive.close().await;
}

#[tokio::test]
async fn an_index_of_another_archive_is_refused_and_made_anew_when_that_is_asked_for() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let samples = [ct(), ct()];
    for (folder, sample) in [&ours, &theirs].into_iter().zip(&samples) {
        let archive = Archive::open(&config(folder.path(), false)).await.unwrap();
        store(&system(&archive), sample).await.unwrap();
        archive.close().await;
    }
    fs::copy(theirs.path().join("index.sqlite"), ours.path().join("index.sqlite")).unwrap();
    let refused = Archive::open(&config(ours.path(), false)).await.unwrap_err();
    assert!(refused.kind == ErrorKind::Conflict && refused.what.contains("another archive"), "{refused}");
    let archive = Archive::reindex(&config(ours.path(), false)).await.unwrap();
    assert!(system(&archive).instances(&Resource::Study(samples[0].study())).await.is_ok());
    assert!(system(&archive).instances(&Resource::Study(samples[1].study())).await.is_err());
    archive.close().await;
}

#[tokio::test]
async fn two_servers_do_not_share_an_index_in_a_file() {
    let (ours, theirs, between) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let index = format!("sqlite://{}", between.path().join("index.sqlite").display());
    let shared = |folder: &TempDir| Config { index: index.as_str().into(), ..config(folder.path(), false) };
    let archive = Archive::open(&shared(&ours)).await.unwrap();
    for refused in [Archive::open(&shared(&theirs)).await, Archive::reindex(&shared(&theirs)).await] {
        let refused = refused.unwrap_err();
        assert!(refused.kind == ErrorKind::Conflict && refused.what.contains("in use"), "{refused}");
    }
    archive.close().await;
    let refused = Archive::open(&shared(&theirs)).await.unwrap_err();
    assert!(refused.what.contains("another archive"), "{refused}");
    Archive::open(&shared(&ours)).await.unwrap().close().await;
}

#[tokio::test]
async fn what_lies_in_the_place_of_another_instance_is_not_given_out() {
    let folder = TempDir::new().unwrap();
    let archive = Archive::open(&config(folder.path(), false)).await.unwrap();
    let session = system(&archive);
    let first = ct();
    // UIDs of one length, so that the files have one too.
    let other = (2..)
        .map(|n| first.next(n % 10))
        .find(|next| next.sop_instance().as_str().len() == first.sop_instance().as_str().len())
        .unwrap();
    for sample in [&first, &other] {
        store(&session, sample).await.unwrap();
    }
    let pack = only_pack(folder.path());
    let bytes = fs::read(&pack).unwrap();
    let entry = |sample: &Sample| {
        let name = format!("{}.dcm", sample.sop_instance());
        let start =
            (0..bytes.len()).step_by(512).find(|at| bytes[*at..].starts_with(name.as_bytes())).unwrap();
        (start, 512 + sample.file().len())
    };
    let ((one, length), (two, other_length)) = (entry(&first), entry(&other));
    assert_eq!(length, other_length);
    let file = fs::OpenOptions::new().write(true).open(&pack).unwrap();
    file.write_all_at(&bytes[two..two + length], one as u64).unwrap();
    let instances = session.instances(&Resource::Study(first.study())).await.unwrap();
    let instance = instances.iter().find(|found| found.sop_instance == first.sop_instance()).unwrap();
    for parts in [session.open(instance), session.open_data_set(instance)] {
        let refused = parts.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Corrupt, "{refused}");
    }
    assert_eq!(session.instances(&Resource::Study(first.study())).await.unwrap().len(), 1);
    store(&session, &first).await.unwrap();
    let healed = session.instances(&Resource::Study(first.study())).await.unwrap();
    for (instance, sample) in healed
        .iter()
        .map(|found| (found, if found.sop_instance == first.sop_instance() { &first } else { &other }))
    {
        let parts: Vec<_> = session.open_data_set(instance).try_collect().await.unwrap();
        assert!(parts.concat() == sample.data_set());
    }
    assert_eq!(healed.len(), 2);
    archive.close().await;
}
