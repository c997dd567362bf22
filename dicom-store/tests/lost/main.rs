//! A disk that has lost some of what it held, and records that nobody can read any more: the rest goes on, and what is
//! lost is named.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod postgres;
mod unread;

use std::fs;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dicom_store::fixture::{self, ReadWatch, Sample, ct, store, system};
use dicom_store::model::{Instance, Resource};
use dicom_store::{Archive, Config, Damaged, DamagedStretch, ErrorKind, Holds, Order, Part, Session};
use futures_util::TryStreamExt;
use tempfile::TempDir;

/// Packs that are full with some slices.
fn config(folder: &TempDir) -> Config {
    Config { pack_size_mib: 2, ..fixture::config(folder) }
}

fn packs(config: &Config) -> Vec<PathBuf> {
    let files = fs::read_dir(config.data.join("objects/packs")).unwrap();
    let mut packs: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    packs.sort();
    packs
}

/// Two sealed packs of some slices; the archive is closed.
async fn sealed(config: &Config, samples: &[Sample]) {
    let archive = Archive::open(config).await.unwrap();
    for sample in samples {
        store(&system(&archive), sample).await.unwrap();
    }
    seal(&archive).await;
}

/// What was begun is sealed: taking something out of a pack wants it to be an object.
async fn seal(archive: &Archive) {
    let gone = ct();
    store(&system(archive), &gone).await.unwrap();
    archive.upkeep().destroy(&[gone.sop_instance()]).await.unwrap();
    archive.close().await;
}

/// A disk that cannot read these bytes of a file.
fn without(file: &Path, lost: Range<u64>) -> ReadWatch {
    let of = fs::metadata(file).unwrap().ino();
    Arc::new(move |file: &File, range: Range<u64>| {
        let is_lost = range.start < lost.end && lost.start < range.end && file.metadata()?.ino() == of;
        if is_lost { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    })
}

/// Where these bytes lie in a file.
fn place(file: &Path, bytes: &[u8]) -> u64 {
    memchr::memmem::find(&fs::read(file).unwrap(), bytes).unwrap() as u64
}

fn change(file: &Path, at: u64) {
    let byte = fs::read(file).unwrap()[usize::try_from(at).unwrap()];
    fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(&[byte ^ 1], at).unwrap();
}

async fn of(session: &Session, sample: &Sample) -> Result<Instance, ErrorKind> {
    let found = session.instances(&Resource::Study(sample.study())).await.map_err(|error| error.kind)?;
    found.into_iter().find(|found| found.sop_instance == sample.sop_instance()).ok_or(ErrorKind::NotFound)
}

async fn is_whole(session: &Session, sample: &Sample) -> bool {
    let Ok(instance) = of(session, sample).await else { return false };
    let parts: Vec<_> = session.open_data_set(&instance).try_collect().await.unwrap();
    parts.concat() == sample.data_set()
}

/// What is found when all packs are compared with their digests, and how many instances were.
async fn scrubbed(archive: &Archive) -> (Damaged, u64) {
    let (mut stretches, mut instances) = (Vec::new(), 0);
    let tell = |_, verified: &dicom_store::Verified| {
        instances += verified.instances;
        stretches.extend(verified.stretches.clone());
    };
    let lost_acts = archive.upkeep().verify_all(None, tell).await.unwrap().lost_acts;
    (Damaged { stretches, lost_acts }, instances)
}

fn is_of(stretch: &DamagedStretch, sample: &Sample) -> bool {
    stretch.holds == Holds::Instance(sample.sop_instance())
}

/// Slices of half a MiB, with something in each that is found.
fn slices() -> Vec<Sample> {
    let first = ct().size(512, 512);
    (1..=6).map(|n| first.next(n).name(&format!("SLICE^{n}"))).collect()
}

/// The pack that holds an instance, and where the last byte of it lies.
fn last_byte(config: &Config, sample: &Sample) -> (PathBuf, u64) {
    let data_set = sample.data_set();
    let holds = |pack: &&PathBuf| memchr::memmem::find(&fs::read(pack).unwrap(), &data_set).is_some();
    let pack = packs(config).iter().find(holds).unwrap().clone();
    let start = place(&pack, &data_set);
    (pack, start + data_set.len() as u64 - 1)
}

#[tokio::test]
async fn a_place_that_the_disk_has_lost_is_told_and_all_else_is_compared() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let (pack, last) = last_byte(&config, &samples[2]);
    let archive = Archive::open_reading(&config, without(&pack, last..last + 1)).await.unwrap();
    let (found, instances) = scrubbed(&archive).await;
    assert_eq!(instances, samples.len() as u64);
    let [stretch] = found.stretches.as_slice() else { panic!("{found:?}") };
    assert!(is_of(stretch, &samples[2]) && stretch.range.contains(&last), "{stretch}");
    let piece = last / 4096 * 4096;
    assert!(stretch.reason.contains(&format!("byte {piece} of the pack: ")), "{stretch}");
    assert!(of(&system(&archive), &samples[2]).await.is_err());
    assert!(is_whole(&system(&archive), &samples[1]).await && is_whole(&system(&archive), &samples[3]).await);
    archive.close().await;

    // A disk that has found it again: a cable, a controller.
    let archive = Archive::open(&config).await.unwrap();
    assert!(scrubbed(&archive).await.0.is_empty());
    assert!(is_whole(&system(&archive), &samples[2]).await);
    archive.close().await;
}

#[tokio::test]
async fn the_comparison_in_the_background_goes_on_behind_what_the_disk_has_lost() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let count = packs(&config).len();
    assert!(count > 1);
    let index = rusqlite::Connection::open(config.data.join("index.sqlite")).unwrap();
    // Compared last a long time ago, the first pack first.
    index.execute_batch("UPDATE packs SET verified = id").unwrap();
    drop(index);
    let archive = Archive::open_reading(&config, without(&packs(&config)[0], 0..u64::MAX)).await.unwrap();
    let mut found = Vec::new();
    while let Some(verified) = archive.upkeep().verify_next().await.unwrap() {
        found.push(verified.damaged.len());
    }
    assert_eq!(found.len(), count);
    assert!(found[0] > 0 && found[1..].iter().all(|damaged| *damaged == 0), "{found:?}");
    archive.close().await;
}

#[tokio::test]
async fn an_index_is_made_anew_from_what_the_disk_still_has() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let pack = last_byte(&config, &samples[2]).0;
    let header = header(&pack, &samples[2]);
    let archive = Archive::reindex_reading(&config, without(&pack, header..header + 1)).await.unwrap();
    for (n, sample) in samples.iter().enumerate() {
        assert_eq!(is_whole(&system(&archive), sample).await, n != 2, "{n}");
    }
    let [stretch] = archive.damaged().stretches.as_slice() else { panic!("{:?}", archive.damaged()) };
    assert!(stretch.range.contains(&header) && stretch.reason.contains("the disk cannot read"), "{stretch}");
    store(&system(&archive), &samples[2]).await.unwrap();
    archive.close().await;

    // It is there once more, so that nothing is missing of what the disk has lost.
    let archive = Archive::open(&config).await.unwrap();
    assert!(is_whole(&system(&archive), &samples[2]).await);
    assert!(scrubbed(&archive).await.0.is_empty());
    archive.close().await;
}

#[tokio::test]
async fn a_compressed_pack_without_its_table_is_told_and_the_others_are_read() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let archive = Archive::open(&config).await.unwrap();
    let plain = packs(&config)[0].clone();
    let tar = fs::read(&plain).unwrap();
    archive.upkeep().compress_older(Duration::ZERO).await.unwrap().unwrap();
    archive.close().await;
    let pack = plain.with_extension("tar.zst");
    let length = fs::metadata(&pack).unwrap().len();
    change(&pack, length - 1);

    let archive = Archive::open(&config).await.unwrap();
    let (found, instances) = scrubbed(&archive).await;
    assert_eq!(instances, samples.len() as u64);
    assert!(found.stretches.iter().all(|stretch| stretch.reason.contains("table")), "{found:?}");
    let whole = found.stretches.iter().filter(|stretch| stretch.holds == Holds::Unknown).count();
    assert!(whole == 1 && found.stretches.len() > 1);
    assert!(is_whole(&system(&archive), &samples[5]).await);
    archive.close().await;

    let archive = Archive::reindex(&config).await.unwrap();
    assert_eq!(archive.damaged().stretches.len(), 1, "{:?}", archive.damaged());
    assert!(is_whole(&system(&archive), &samples[5]).await);
    archive.close().await;

    // What `zstd -d` makes of it is the pack.
    fs::write(&plain, tar).unwrap();
    let archive = Archive::open(&config).await.unwrap();
    for sample in &samples {
        assert!(is_whole(&system(&archive), sample).await);
    }
    assert!(scrubbed(&archive).await.0.is_empty());
    archive.close().await;
}

#[tokio::test]
async fn the_index_before_is_there_until_the_new_one_is_filled() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    // Cannot be read, and is not damaged.
    let refuses: ReadWatch = Arc::new(|_, _| Err(io::Error::from_raw_os_error(24)));
    let error = Archive::reindex_reading(&config, refuses).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(!config.data.join("index.sqlite-new").exists());
    let refuses: ReadWatch = Arc::new(|_, _| panic!("the index knows all"));
    let archive = Archive::open_reading(&config, refuses).await.unwrap();
    for sample in &samples {
        assert!(is_whole(&system(&archive), sample).await);
    }
    archive.close().await;
}

/// Where the header of an instance stands in a file.
fn header(file: &Path, sample: &Sample) -> u64 {
    place(file, format!("{}.dcm", sample.sop_instance()).as_bytes())
}

/// The length of a pack that is cut off, by where its last entry begins and ends.
type Cut = fn(u64, u64) -> u64;

#[rstest::rstest]
#[case::within_its_last_entry(|_, end| end - 600, true)]
#[case::within_its_last_header(|start, _| start + 100, true)]
#[case::behind_its_last_entry(|_, end| end, false)]
#[case::within_its_end(|_, end| end + 600, false)]
#[tokio::test]
async fn a_pack_that_is_cut_off_is_told(#[case] cut: Cut, #[case] loses_the_last: bool) {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let pack = last_byte(&config, &samples[0]).0;
    let in_pack = |sample: &&Sample| last_byte(&config, sample).0 == pack;
    let of_pack: Vec<&Sample> = samples.iter().filter(in_pack).collect();
    assert!((2..samples.len()).contains(&of_pack.len()));
    let last = *of_pack.iter().max_by_key(|sample| header(&pack, sample)).unwrap();
    let end = (last_byte(&config, last).1 + 1).next_multiple_of(512);
    let length = cut(header(&pack, last), end);
    assert_eq!(fs::metadata(&pack).unwrap().len(), end + 1024);
    fs::OpenOptions::new().write(true).open(&pack).unwrap().set_len(length).unwrap();

    let archive = Archive::open(&config).await.unwrap();
    let (found, _) = scrubbed(&archive).await;
    let is_cut = |stretch: &DamagedStretch| stretch.reason.contains("the pack is cut off");
    assert!(found.stretches.iter().any(is_cut), "{found:?}");
    assert_eq!(found.stretches.iter().any(|stretch| is_of(stretch, last)), loses_the_last);
    archive.close().await;
    for _ in 0..2 {
        let archive = Archive::reindex(&config).await.unwrap();
        assert!(archive.damaged().stretches.iter().any(is_cut), "{:?}", archive.damaged());
        for sample in &samples {
            let is_there = !loses_the_last || sample.sop_instance() != last.sop_instance();
            assert_eq!(is_whole(&system(&archive), sample).await, is_there);
        }
        archive.close().await;
    }
}

#[tokio::test]
async fn what_the_index_has_lost_of_a_pack_is_told() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let index = rusqlite::Connection::open(config.data.join("index.sqlite")).unwrap();
    let sql = "DELETE FROM instances WHERE uid = ?";
    index.execute(sql, [samples[2].sop_instance().as_str()]).unwrap();
    drop(index);
    let archive = Archive::open(&config).await.unwrap();
    let (found, _) = scrubbed(&archive).await;
    let [stretch] = found.stretches.as_slice() else { panic!("{found:?}") };
    assert!(is_of(stretch, &samples[2]) && stretch.reason.contains("belongs to nothing"), "{stretch}");
    archive.close().await;
}

#[rstest::rstest]
#[case::its_header(0, false)]
#[case::its_content(520, true)]
#[tokio::test]
async fn a_record_that_is_damaged_is_named_and_an_index_without_it_is_no_success(
    #[case] at: u64,
    #[case] has_name: bool,
) {
    let (folder, sample) = (tempfile::tempdir().unwrap(), ct());
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    store(&session, &sample).await.unwrap();
    let delete = Order::Delete { of: Part { study: sample.study(), series: None, instance: None } };
    let number = session.act(&delete, "not his").await.unwrap()[0].number;
    seal(&archive).await;
    let name = format!("{number:020}.json");
    let pack = packs(&config)
        .into_iter()
        .find(|pack| memchr::memmem::find(&fs::read(pack).unwrap(), name.as_bytes()).is_some());
    let pack = pack.unwrap();
    change(&pack, place(&pack, name.as_bytes()) + at);

    let archive = Archive::open(&config).await.unwrap();
    let (found, _) = scrubbed(&archive).await;
    let [stretch] = found.stretches.as_slice() else { panic!("{found:?}") };
    assert_eq!(stretch.holds == Holds::Record(format!("filmless/{name}")), has_name, "{stretch}");
    let [lost] = found.lost_acts.as_slice() else { panic!("{found:?}") };
    assert_eq!((lost.number, lost.kind.as_str()), (number, "delete"));
    assert!(of(&system(&archive), &sample).await.is_err());
    archive.close().await;

    let archive = Archive::reindex(&config).await.unwrap();
    assert!(is_whole(&system(&archive), &sample).await, "nobody knows that it was deleted");
    assert_eq!(archive.damaged().lost_acts, found.lost_acts);
    let [stretch] = archive.damaged().stretches.as_slice() else { panic!("{:?}", archive.damaged()) };
    assert_eq!(stretch.holds == Holds::Record(format!("filmless/{name}")), has_name, "{stretch}");
    let session = system(&archive);
    let again = session.act(&delete, "once more").await.unwrap()[0].number;
    assert!(again > number, "the one that was lost may be read again one day");
    let told = session.audit(None, 100).await.unwrap();
    assert!(told.iter().any(|(_, line)| line.outcome == format!("act {again}")), "{told:?}");
    archive.close().await;
}

#[tokio::test]
async fn what_heals_is_no_damage_any_more() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let (pack, last) = last_byte(&config, &samples[0]);
    change(&pack, last);
    let archive = Archive::open(&config).await.unwrap();
    assert_eq!(scrubbed(&archive).await.0.stretches.len(), 1);
    // It came long ago.
    let came = |sql: &str| {
        let index = rusqlite::Connection::open(config.data.join("index.sqlite")).unwrap();
        let uid = samples[0].sop_instance().to_string();
        index.execute(sql, [&uid]).unwrap();
        let select = "SELECT received / 1000 FROM instances WHERE uid = ?";
        index.query_row(select, [&uid], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(came("UPDATE instances SET received = 1000 WHERE uid = ?"), 1);
    store(&system(&archive), &samples[0]).await.unwrap();
    assert!(scrubbed(&archive).await.0.is_empty());
    archive.close().await;
    // What is there now came now, as its pack says.
    const AS_IT_IS: &str = "UPDATE instances SET received = received WHERE uid = ?";
    let healed = came(AS_IT_IS);
    assert!(healed > 1);
    let archive = Archive::reindex(&config).await.unwrap();
    assert!(archive.damaged().is_empty(), "{:?}", archive.damaged());
    assert!(scrubbed(&archive).await.0.is_empty());
    archive.close().await;
    assert_eq!(came(AS_IT_IS), healed);
}

#[tokio::test]
async fn an_archive_is_there_or_is_not_and_is_not_made_for_the_question() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| Config { data: folder.path().join(name), reserve_mib: 0, ..Config::default() };
    assert!(!Archive::is_there(&at("mistyped")).await.unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    Archive::open(&at("right")).await.unwrap().close().await;
    assert!(Archive::is_there(&at("right")).await.unwrap());
    // Of an archive that has lost its data folder the objects are there.
    let objects = format!("file://{}", folder.path().join("right/objects").display());
    assert!(Archive::is_there(&Config { objects, ..at("mistyped") }).await.unwrap());
}

/// An archive that a crash has left: the index knows the first of these, and a sector of the second has not come.
async fn torn(config: &Config, samples: &[Sample; 4]) {
    let stored = async |samples: &[Sample]| {
        let archive = Archive::open(config).await.unwrap();
        for sample in samples {
            store(&system(&archive), sample).await.unwrap();
        }
        archive.close().await;
    };
    stored(&samples[..1]).await;
    let (file, log) = (config.data.join("index.sqlite"), config.log_folder());
    let index = fs::read(&file).unwrap();
    stored(&samples[1..]).await;
    fs::write(&file, index).unwrap();
    // What was written behind it has.
    let pack = fs::read_dir(log).unwrap().map(|file| file.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().is_some_and(|end| end == "tar")).unwrap();
    let torn = (place(&pack, &samples[1].data_set()) + 512) / 512 * 512;
    fs::OpenOptions::new().write(true).open(&pack).unwrap().write_all_at(&[0; 512], torn).unwrap();
}

#[tokio::test]
async fn what_a_crash_has_torn_is_no_damage_though_the_version_before_wrote_the_index() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), [ct(), ct(), ct(), ct()]);
    let config = fixture::config(&folder);
    torn(&config, &samples).await;
    let index = rusqlite::Connection::open(config.data.join("index.sqlite")).unwrap();
    index.execute_batch("DROP TABLE damaged; PRAGMA user_version = 8").unwrap();
    drop(index);
    let archive = Archive::reindex(&config).await.unwrap();
    assert!(archive.damaged().is_empty(), "{:?}", archive.damaged());
    for (n, sample) in samples.iter().enumerate() {
        assert_eq!(is_whole(&system(&archive), sample).await, n != 1, "{n}");
    }
    archive.close().await;
}

#[tokio::test]
async fn what_a_crash_has_torn_is_no_damage_then_or_later() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), [ct(), ct(), ct(), ct()]);
    let config = fixture::config(&folder);
    torn(&config, &samples).await;
    let archive = Archive::open(&config).await.unwrap();
    assert!(archive.damaged().is_empty() && scrubbed(&archive).await.0.is_empty());
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    assert!(archive.damaged().is_empty(), "{:?}", archive.damaged());
    assert!(scrubbed(&archive).await.0.is_empty());
    for (n, sample) in samples.iter().enumerate() {
        assert_eq!(is_whole(&system(&archive), sample).await, n != 1, "{n}");
    }
    archive.close().await;
}

#[tokio::test]
async fn a_data_set_that_was_kept_aside_is_told_though_the_one_that_is_shown_is_whole() {
    let (folder, mut samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    samples.push(samples[0].clone().name("ANOTHER"));
    sealed(&config, &samples).await;
    let (pack, _) = last_byte(&config, &samples[6]);
    change(&pack, place(&pack, b"ANOTHER"));
    let archive = Archive::reindex(&config).await.unwrap();
    let [stretch] = archive.damaged().stretches.as_slice() else { panic!("{:?}", archive.damaged()) };
    assert!(stretch.to_string().contains("kept aside"), "{stretch}");
    assert!(is_whole(&system(&archive), &samples[0]).await);
    archive.close().await;
}
