//! Packs through their life: gathered, rewritten, compared with their digests, and always readable meanwhile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Bucket, Sample, ct, store, system};
use dicom_store::model::{Instance, Resource};
use dicom_store::{Archive, Config, ErrorKind, Session, Stored, Verified};
use futures_util::{StreamExt, TryStreamExt};
use rstest::rstest;

async fn instances(session: &Session, sample: &Sample) -> Vec<Instance> {
    session.instances(&Resource::Study(sample.study())).await.unwrap()
}

async fn data_set(session: &Session, instance: &Instance) -> Vec<u8> {
    let parts: Vec<_> = session.open_data_set(instance).try_collect().await.unwrap();
    parts.concat()
}

async fn holds(session: &Session, samples: &[Sample]) {
    for sample in samples {
        let all = instances(session, sample).await;
        let instance = all.iter().find(|instance| instance.sop_instance == sample.sop_instance()).unwrap();
        assert_eq!(data_set(session, instance).await, sample.data_set());
    }
}

/// Returns when the bucket is tried again: for a moment after it was lost everybody is refused at once.
async fn answers_again(session: &Session, sample: &Sample) {
    let instance = instances(session, sample).await.remove(0);
    let began = Instant::now();
    while let Err(error) = session.open_data_set(&instance).try_collect::<Vec<_>>().await {
        let is_soon = began.elapsed() < Duration::from_secs(30);
        assert!(error.kind == ErrorKind::Unavailable && is_soon, "{error:?}");
        tokio::task::yield_now().await;
    }
}

/// Two studies whose instances come in turn, each in a pack of its own.
async fn two_studies(archive: &Archive) -> Vec<Sample> {
    let (a, b) = (ct(), ct());
    let samples: Vec<_> = (1..=10).flat_map(|n| [a.next(n), b.next(n)]).collect();
    for sample in &samples {
        store(&system(archive), sample).await.unwrap();
    }
    samples
}

/// In this process, or in a cluster of the program that `TEST_GARAGE` names (`make test-cluster`).
async fn bucket() -> Bucket {
    Bucket::of_run(std::env::var_os("TEST_GARAGE"), 1, Duration::ZERO).await
}

fn packs_of(config: &Config) -> Vec<PathBuf> {
    let files = std::fs::read_dir(config.data.join("objects/packs")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test]
async fn small_packs_of_a_bucket_become_one_ordered_by_study_and_all_that_was_begun_is_read_to_its_end() {
    let (bucket, folder) = (bucket().await, tempfile::tempdir().unwrap());
    let config = bucket.config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let samples = two_studies(&archive).await;
    assert_eq!(bucket.packs().await.len(), 20);
    let before = instances(&session, &samples[0]).await;
    assert_eq!(archive.upkeep().report().await.unwrap().small, 20);
    assert_eq!(archive.upkeep().tidy().await.unwrap(), 20);
    assert_eq!(bucket.packs().await.len(), 1);
    let after = instances(&session, &samples[0]).await;
    let offsets: Vec<u64> = after.iter().map(|instance| instance.location.offset).collect();
    assert!(
        offsets.is_sorted() && after.iter().all(|instance| instance.location.pack == after[0].location.pack)
    );
    // Whoever holds what the index said before finds it all the same.
    for (instance, sample) in before.iter().zip(samples.iter().step_by(2)) {
        assert_eq!(data_set(&session, instance).await, sample.data_set());
    }
    archive.close().await;
    holds(&system(&Archive::open(&config).await.unwrap()), &samples).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let archive = Archive::open(&bucket.config(&elsewhere)).await.unwrap();
    holds(&system(&archive), &samples).await;
    assert_eq!(archive.upkeep().tidy().await.unwrap(), 0);
}

#[tokio::test]
async fn a_bucket_that_goes_away_in_between_leaves_everything_as_it_was() {
    let (mut bucket, folder) = (bucket().await, tempfile::tempdir().unwrap());
    let config = bucket.config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let samples = two_studies(&archive).await;
    bucket.go_away().await;
    assert_eq!(archive.upkeep().tidy().await.unwrap_err().kind, ErrorKind::Unavailable);
    bucket.come_back().await;
    answers_again(&system(&archive), &samples[0]).await;
    holds(&system(&archive), &samples).await;
    archive.upkeep().tidy().await.unwrap();
    assert_eq!((bucket.packs().await.len(), archive.upkeep().report().await.unwrap().in_between), (1, 0));
    holds(&system(&archive), &samples).await;
}

#[tokio::test]
async fn what_is_destroyed_is_in_no_file_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let config = fixture::config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let (kept, gone) = (ct(), ct().name("ZWICKY^FOR GOOD"));
    for sample in [&kept, &gone, &gone.clone().name("ZWICKY^OTHER")] {
        store(&session, sample).await.unwrap();
    }
    let open = instances(&session, &gone).await.remove(0);
    assert_eq!(archive.upkeep().destroy(&[gone.sop_instance()]).await.unwrap(), 2);
    for pack in packs_of(&config) {
        let bytes = std::fs::read(pack).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"ZWICKY^"));
    }
    for file in std::fs::read_dir(&config.data).unwrap().map(|file| file.unwrap().path()) {
        let bytes = if file.is_file() { std::fs::read(&file).unwrap() } else { Vec::new() };
        let told = bytes.windows(6).any(|window| window.eq_ignore_ascii_case(b"zwicky"));
        assert!(!told, "{} still tells of the patient", file.display());
    }
    assert_eq!(
        session.instances(&Resource::Study(gone.study())).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    let read: Vec<_> = session.open(&open).collect().await;
    assert_eq!(read[0].as_ref().unwrap_err().kind, ErrorKind::NotFound);
    holds(&session, std::slice::from_ref(&kept)).await;
    assert!(matches!(store(&session, &gone).await.unwrap(), Stored::New(_)), "a newcomer is new");
    archive.close().await;
    holds(&system(&Archive::open(&config).await.unwrap()), &[kept, gone]).await;
}

/// Turns over the last byte of an instance, wherever it lies below this folder.
fn damage(folder: &Path, sample: &Sample) {
    let data = sample.data_set();
    for pack in [folder.join("log"), folder.join("objects/packs")] {
        let files = std::fs::read_dir(pack).into_iter().flatten().flatten().map(|file| file.path());
        for path in files.filter(|path| path.extension().is_some_and(|e| e == "tar")) {
            let bytes = std::fs::read(&path).unwrap();
            if let Some(start) = bytes.windows(data.len()).position(|window| window == data) {
                let place = start + data.len() - 1;
                let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.write_all_at(&[!bytes[place]], u64::try_from(place).unwrap()).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_is_damaged_is_told_and_not_given_out_until_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = fixture::config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let (good, bad) = (ct(), ct());
    for sample in [&good, &bad] {
        store(&session, sample).await.unwrap();
    }
    archive.close().await;
    damage(folder.path(), &bad);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let mut found = Vec::new();
    archive.upkeep().verify_all(None, |_, verified| found.extend(verified.damaged.clone())).await.unwrap();
    assert_eq!(found, [bad.sop_instance()]);
    assert_eq!(session.instances(&Resource::Study(bad.study())).await.unwrap_err().kind, ErrorKind::NotFound);
    holds(&session, std::slice::from_ref(&good)).await;
    assert!(matches!(store(&session, &bad).await.unwrap(), Stored::Same(_)));
    holds(&session, &[good.clone(), bad.clone()]).await;
    archive.close().await;
    let archive = Archive::open(&config).await.unwrap();
    holds(&system(&archive), &[good, bad]).await;
    assert!(archive.upkeep().report().await.unwrap().dead > 0);
}

/// What is said of an archive when all packs are compared with their digests.
async fn scrubbed(archive: &Archive) -> Vec<String> {
    let mut told = Vec::new();
    let tell = |_, verified: &Verified| told.extend(verified.stretches.iter().map(ToString::to_string));
    archive.upkeep().verify_all(None, tell).await.unwrap();
    told
}

/// Seals what was written so far: taking something out of a pack wants it to be an object.
async fn seal(archive: &Archive) {
    let other = ct();
    store(&system(archive), &other).await.unwrap();
    archive.upkeep().destroy(&[other.sop_instance()]).await.unwrap();
}

/// An archive with an instance that was found damaged in its pack, and came again into another one; closed.
async fn healed(config: &Config, kept: &Sample, bad: &Sample, damage: fn(&Path, &Sample)) {
    let archive = Archive::open(config).await.unwrap();
    for sample in [kept, bad] {
        store(&system(&archive), sample).await.unwrap();
    }
    seal(&archive).await;
    archive.close().await;
    damage(&config.data, bad);
    let archive = Archive::open(config).await.unwrap();
    assert_eq!(scrubbed(&archive).await.len(), 1);
    store(&system(&archive), bad).await.unwrap();
    seal(&archive).await;
    assert!(scrubbed(&archive).await.is_empty());
    archive.close().await;
    assert_eq!(packs_with(config, bad).len(), 2);
}

/// What a pack is not dead to a large part beside.
fn most() -> Sample {
    ct().size(1024, 1024)
}

/// Turns over a byte of the name under which an instance lies in its pack.
fn damage_header(folder: &Path, sample: &Sample) {
    let name = format!("{}.dcm", sample.sop_instance());
    for path in packs_below(&folder.join("objects/packs")) {
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(place) = bytes.windows(name.len()).position(|window| window == name.as_bytes()) {
            bytes[place] ^= 4;
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

fn packs_below(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
}

/// The files of the archive with a word that the data set has.
fn packs_with(config: &Config, sample: &Sample) -> Vec<PathBuf> {
    let name = sample.attributes.text(tags::PATIENT_NAME).unwrap().to_owned();
    let mut files = packs_of(config);
    files.extend(packs_below(&config.log_folder()));
    let holds = |path: &PathBuf| {
        path.is_file() && memchr::memmem::find(&std::fs::read(path).unwrap(), name.as_bytes()).is_some()
    };
    files.retain(holds);
    files
}

async fn order(session: &Session, kind: &str, sample: &Sample) {
    let order = format!(r#"{{"kind":"{kind}","of":{{"study":"{}"}}}}"#, sample.study());
    session.act(&serde_json::from_str(&order).unwrap(), "because").await.unwrap();
}

#[rstest]
#[case::with_its_row(ct(), damage, false)]
#[case::that_an_index_made_anew_has_read(ct().size(512, 512), damage, true)]
#[case::that_an_index_made_anew_has_stepped_over(ct(), damage, true)]
#[case::without_its_header(ct(), damage_header, true)]
#[tokio::test]
async fn what_was_healed_is_in_no_file_once_it_is_destroyed(
    #[case] bad: Sample,
    #[case] damage: fn(&Path, &Sample),
    #[case] is_made_anew: bool,
) {
    let (folder, kept, bad) = (tempfile::tempdir().unwrap(), most(), bad.name("ZWICKY^HEALED"));
    let config = fixture::config(&folder);
    healed(&config, &kept, &bad, damage).await;
    if is_made_anew {
        let archive = Archive::reindex(&config).await.unwrap();
        assert!(archive.damaged().is_empty(), "{:?}", archive.damaged());
        archive.close().await;
    }
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    assert!(is_made_anew || archive.upkeep().report().await.unwrap().dead > 0);
    assert!(!archive.upkeep().due().await.unwrap().tidy, "it may wait");
    holds(&session, std::slice::from_ref(&bad)).await;
    order(&session, "destroy", &bad).await;
    assert!(packs_with(&config, &bad).is_empty());
    assert_eq!(scrubbed(&archive).await, [""; 0]);
    assert_eq!(archive.upkeep().report().await.unwrap().dead, 0);
    holds(&session, std::slice::from_ref(&kept)).await;
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    assert!(archive.damaged().is_empty() && scrubbed(&archive).await.is_empty());
    assert!(instances_or_none(&system(&archive), &bad).await.is_empty());
    archive.close().await;
}

#[tokio::test]
async fn a_pack_that_cannot_be_read_keeps_nothing_in_the_others() {
    let (folder, kept, bad) = (tempfile::tempdir().unwrap(), most(), ct().name("ZWICKY^HEALED"));
    let config = fixture::config(&folder);
    healed(&config, &kept, &bad, damage).await;
    let archive = Archive::open(&config).await.unwrap();
    let mut both = packs_with(&config, &bad);
    both.sort();
    let aside = folder.path().join("aside");
    std::fs::rename(&both[0], &aside).unwrap();
    std::os::unix::fs::symlink(&both[0], &both[0]).unwrap();
    let order = format!(r#"{{"kind":"destroy","of":{{"study":"{}"}}}}"#, bad.study());
    let session = system(&archive);
    assert!(session.act(&serde_json::from_str(&order).unwrap(), "because").await.is_err());
    assert!(packs_with(&config, &bad).is_empty() && instances_or_none(&session, &bad).await.is_empty());
    assert!(archive.upkeep().tidy().await.is_err(), "one pack is still to be rewritten");
    std::fs::remove_file(&both[0]).unwrap();
    std::fs::rename(&aside, &both[0]).unwrap();
    archive.upkeep().tidy().await.unwrap();
    assert!(packs_with(&config, &bad).is_empty());
    holds(&session, std::slice::from_ref(&kept)).await;
    archive.close().await;
}

async fn instances_or_none(session: &Session, sample: &Sample) -> Vec<Instance> {
    session.instances(&Resource::Study(sample.study())).await.unwrap_or_default()
}

#[tokio::test]
async fn what_a_destruction_has_left_behind_is_no_complaint_and_leaves_the_packs() {
    let (folder, kept, bad) = (tempfile::tempdir().unwrap(), ct(), ct().name("ZWICKY^LEFT"));
    let config = fixture::config(&folder);
    healed(&config, &kept, &bad, damage).await;
    // As an older version has left it.
    let index = rusqlite::Connection::open(config.data.join("index.sqlite")).unwrap();
    index.execute_batch("DELETE FROM dead_copies").unwrap();
    drop(index);
    let archive = Archive::open(&config).await.unwrap();
    order(&system(&archive), "destroy", &bad).await;
    assert_eq!(packs_with(&config, &bad).len(), 1);
    assert_eq!(scrubbed(&archive).await, [""; 0]);
    assert!(archive.upkeep().due().await.unwrap().tidy);
    archive.upkeep().tidy().await.unwrap();
    assert!(packs_with(&config, &bad).is_empty());
    assert!(!archive.upkeep().due().await.unwrap().tidy);
    holds(&system(&archive), std::slice::from_ref(&kept)).await;
    archive.close().await;
}

#[tokio::test]
async fn what_a_stop_within_a_destruction_leaves_is_taken_out_later() {
    let (folder, kept, bad) = (tempfile::tempdir().unwrap(), ct(), ct().name("ZWICKY^STOPPED"));
    let config = fixture::config(&folder);
    healed(&config, &kept, &bad, damage).await;
    let file = config.data.join("index.sqlite");
    let before: Vec<(PathBuf, Vec<u8>)> =
        packs_of(&config).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let index = std::fs::read(&file).unwrap();
    let archive = Archive::open(&config).await.unwrap();
    order(&system(&archive), "destroy", &bad).await;
    archive.close().await;
    // As if the server had been stopped behind the act and before its packs were replaced.
    for path in packs_of(&config).into_iter().filter(|path| before.iter().all(|(kept, _)| kept != path)) {
        std::fs::remove_file(path).unwrap();
    }
    for (path, bytes) in before {
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(&file, index).unwrap();
    let archive = Archive::open(&config).await.unwrap();
    archive.upkeep().tidy().await.unwrap();
    assert!(packs_with(&config, &bad).is_empty());
    assert_eq!(scrubbed(&archive).await, [""; 0]);
    holds(&system(&archive), std::slice::from_ref(&kept)).await;
    archive.close().await;
}

#[tokio::test]
async fn what_was_healed_leaves_its_first_place_in_time() {
    let (folder, kept, bad) = (tempfile::tempdir().unwrap(), most(), ct().name("ZWICKY^TWICE"));
    let config = fixture::config(&folder);
    healed(&config, &kept, &bad, damage).await;
    let archive = Archive::open(&config).await.unwrap();
    assert_eq!(archive.upkeep().tidy().await.unwrap(), 0);
    archive.close().await;
    let archive = Archive::open(&Config { keep_deleted_days: 0, ..config.clone() }).await.unwrap();
    assert_eq!(archive.upkeep().tidy().await.unwrap(), 1);
    assert_eq!(packs_with(&config, &bad).len(), 1);
    holds(&system(&archive), &[kept, bad]).await;
    archive.close().await;
}

#[tokio::test]
async fn a_reader_that_says_what_it_will_read_does_not_wait_for_each_request() {
    let (bucket, folder) = (Bucket::new(Duration::ZERO).await, tempfile::tempdir().unwrap());
    let archive = Archive::open(&bucket.config(&folder)).await.unwrap();
    let (session, first) = (system(&archive), ct());
    let samples: Vec<_> = (1..=64).map(|n| first.next(n)).collect();
    // One after the other, so that each has a pack of its own.
    for sample in &samples {
        store(&session, sample).await.unwrap();
    }
    // Long beside what a busy machine takes itself.
    let delay = Duration::from_millis(200);
    bucket.answers_after(delay);
    let asked = bucket.requests().unwrap();
    let all = instances(&session, &first).await;
    let began = Instant::now();
    let ahead = session.read_ahead(&all);
    for (n, (instance, sample)) in all.iter().zip(&samples).enumerate() {
        ahead.reached(n);
        assert_eq!(data_set(&session, instance).await, sample.data_set());
    }
    assert_eq!(bucket.requests().unwrap() - asked, 64, "each block is fetched once");
    assert!(began.elapsed() < 32 * delay, "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_was_fetched_ahead_is_there_when_its_reader_comes() {
    let (bucket, folder) = (Bucket::new(Duration::ZERO).await, tempfile::tempdir().unwrap());
    // The least there is: blocks of what was read before have to go.
    let config = Config { cache_mib: 16, ..bucket.config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    let (session, first) = (system(&archive), ct());
    let samples: Vec<_> = (1..=48).map(|n| first.next(n).size(512, 512)).collect();
    for sample in &samples {
        store(&session, sample).await.unwrap();
    }
    let all = instances(&session, &first).await;
    for _ in 0..3 {
        let asked = bucket.requests().unwrap();
        let ahead = session.read_ahead(&all);
        for (n, (instance, sample)) in all.iter().zip(&samples).enumerate() {
            ahead.reached(n);
            assert_eq!(data_set(&session, instance).await, sample.data_set());
        }
        let asked = bucket.requests().unwrap() - asked;
        assert!(asked <= 48, "{asked} requests for 48 blocks");
    }
}

#[tokio::test]
async fn what_was_deleted_leaves_the_packs_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { keep_deleted_days: 0, ..fixture::config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let (kept, gone) = (ct(), ct().name("ZWICKY^DELETED"));
    for sample in [&kept, &gone] {
        store(&session, sample).await.unwrap();
    }
    assert!(!archive.upkeep().due().await.unwrap().tidy);
    let delete = format!(r#"{{"kind":"delete","of":{{"study":"{}"}}}}"#, gone.study());
    session.act(&serde_json::from_str(&delete).unwrap(), "").await.unwrap();
    // In the millisecond of the act it is not older than that.
    let began = Instant::now();
    while !archive.upkeep().due().await.unwrap().tidy {
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(archive.upkeep().tidy().await.unwrap(), 1);
    for pack in packs_of(&config) {
        assert!(!std::fs::read(pack).unwrap().windows(7).any(|window| window == b"ZWICKY^"));
    }
    let restore = delete.replace("delete", "restore");
    let error = session.act(&serde_json::from_str(&restore).unwrap(), "").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    holds(&session, std::slice::from_ref(&kept)).await;
    assert!(!archive.upkeep().due().await.unwrap().tidy);
}

#[tokio::test]
async fn a_destruction_goes_on_when_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = fixture::config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let (session, gone) = (system(&archive), ct());
    store(&session, &gone).await.unwrap();
    let order = format!(r#"{{"kind":"destroy","of":{{"study":"{}"}}}}"#, gone.study());
    let order = serde_json::from_str(&order).unwrap();
    // Ends the asking once the act is there.
    let asking = async { session.act(&order, "court order").await.map(drop) };
    let recorded = async {
        while session.acts(None, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { biased; () = recorded => {}, _ = asking => {} }
    let began = Instant::now();
    let rows = archive.upkeep();
    while rows.report().await.unwrap().bytes > 1024 || !session.hidden(1).await.unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", rows.report().await.unwrap());
        tokio::task::yield_now().await;
    }
    let restore = format!(r#"{{"kind":"restore","of":{{"study":"{}"}}}}"#, gone.study());
    assert!(session.act(&serde_json::from_str(&restore).unwrap(), "").await.is_err());
}
