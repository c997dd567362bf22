//! Packs that are not there or cannot be read, which says nothing of what they hold.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dicom_store::fixture::{Bucket, ReadWatch, Sample, ct, store, system};
use dicom_store::{Archive, Config, ErrorKind, Holds, Order, Part};

use futures_util::future::join_all;

use super::{config, is_whole, of, packs, scrubbed, sealed, slices};

#[tokio::test]
async fn a_bucket_that_is_away_is_no_damage() {
    let (mut bucket, folder) = (Bucket::new(Duration::ZERO).await, tempfile::tempdir().unwrap());
    let archive = Archive::open(&bucket.config(&folder)).await.unwrap();
    let sample = ct();
    store(&system(&archive), &sample).await.unwrap();
    bucket.go_away().await;
    let error = archive.upkeep().verify_all(None, |_, _| panic!("nothing can be read")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    bucket.come_back().await;
    assert!(of(&system(&archive), &sample).await.is_ok());
}

#[tokio::test]
async fn a_pack_that_somebody_took_away_is_told_and_the_others_are_compared() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let archive = Archive::open(&config).await.unwrap();
    fs::remove_file(&packs(&config)[0]).unwrap();
    let (found, instances) = scrubbed(&archive).await;
    assert!(instances > 0);
    let [stretch] = found.stretches.as_slice() else { panic!("{found:?}") };
    assert!(stretch.reason.contains("neither in the log nor in the object store"), "{stretch}");
    archive.close().await;
}

#[rstest::rstest]
#[case::opened(true)]
#[case::read(false)]
#[tokio::test]
async fn a_pack_that_cannot_be_read_is_told_and_the_others_are_compared(#[case] is_opened: bool) {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let (session, gone) = (system(&archive), ct());
    store(&session, &gone).await.unwrap();
    let delete = Order::Delete { of: Part { study: gone.study(), series: None, instance: None } };
    session.act(&delete, "").await.unwrap();
    archive.close().await;
    sealed(&config, &samples).await;
    let pack = packs(&config)[0].clone();
    let of_pack = fs::metadata(&pack).unwrap().ino();
    let archive = if is_opened {
        let archive = Archive::open(&config).await.unwrap();
        fs::remove_file(&pack).unwrap();
        std::os::unix::fs::symlink(&pack, &pack).unwrap();
        archive
    } else {
        let refuses: ReadWatch = Arc::new(move |file: &File, _| {
            let is_it = file.metadata()?.ino() == of_pack;
            if is_it { Err(io::Error::from_raw_os_error(13)) } else { Ok(()) }
        });
        Archive::open_reading(&config, refuses).await.unwrap()
    };
    let (found, instances) = scrubbed(&archive).await;
    let [stretch] = found.stretches.as_slice() else { panic!("{found:?}") };
    assert!(stretch.holds == Holds::Unknown && stretch.reason.contains("cannot be read"), "{stretch}");
    assert!((1..samples.len() as u64).contains(&instances), "{instances}");
    assert!(found.lost_acts.is_empty(), "its record may be whole: {found:?}");
    for sample in &samples {
        assert!(of(&system(&archive), sample).await.is_ok(), "nobody knows that it is damaged");
    }
    let index = rusqlite::Connection::open(config.data.join("index.sqlite")).unwrap();
    let compared = "SELECT count(*) FROM packs WHERE state = 0 AND verified = 0";
    assert_eq!(index.query_row(compared, (), |row| row.get::<_, i64>(0)).unwrap(), 1);
    // The comparison in the background goes on as well.
    index.execute_batch("UPDATE packs SET verified = id").unwrap();
    let mut turns = 0;
    while archive.upkeep().verify_next().await.unwrap().is_some() {
        turns += 1;
    }
    let others =
        index.query_row("SELECT count(*) - 1 FROM packs WHERE state = 0", (), |row| row.get::<_, i64>(0));
    assert_eq!(turns, others.unwrap());
    assert!(turns > 0);
    archive.close().await;
}

#[tokio::test]
async fn without_descriptors_nothing_is_compared_and_nothing_is_damaged() {
    let (folder, samples) = (tempfile::tempdir().unwrap(), slices());
    let config = config(&folder);
    sealed(&config, &samples).await;
    let is_short = Arc::new(AtomicBool::new(false));
    let short = is_short.clone();
    let watch: ReadWatch =
        Arc::new(
            move |_, _| {
                if short.load(Ordering::Relaxed) { Err(io::Error::from_raw_os_error(24)) } else { Ok(()) }
            },
        );
    let archive = Archive::open_reading(&config, watch).await.unwrap();
    is_short.store(true, Ordering::Relaxed);
    let error = archive.upkeep().verify_all(None, |_, _| panic!("nothing can be read")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    is_short.store(false, Ordering::Relaxed);
    assert!(scrubbed(&archive).await.0.is_empty());
    archive.close().await;
}

/// An archive with twenty small packs.
async fn scattered(config: &Config) -> (Archive, Vec<Sample>) {
    let (archive, first) = (Archive::open(config).await.unwrap(), ct());
    let samples: Vec<_> = (1..=20).map(|n| first.next(n)).collect();
    for sample in &samples {
        let gone = ct();
        store(&system(&archive), sample).await.unwrap();
        store(&system(&archive), &gone).await.unwrap();
        archive.upkeep().destroy(&[gone.sop_instance()]).await.unwrap();
    }
    assert_eq!(packs(config).len(), samples.len());
    (archive, samples)
}

#[tokio::test]
async fn an_index_that_is_locked_is_no_fault_of_the_packs_that_are_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let (archive, samples) = scattered(&config).await;
    let other = rusqlite::Connection::open(config.data.join("index.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(archive.upkeep().tidy().await.unwrap_err().kind, ErrorKind::Unavailable);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(archive.upkeep().due().await.unwrap().tidy);
    assert_eq!(archive.upkeep().tidy().await.unwrap(), 20);
    assert_eq!(packs(&config).len(), 1);
    for sample in &samples {
        assert!(is_whole(&system(&archive), sample).await);
    }
    archive.close().await;
}

#[tokio::test]
async fn a_pack_that_cannot_be_read_is_left_alone_where_the_others_are_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let (archive, samples) = scattered(&config).await;
    let before = packs(&config);
    let (unread, aside) = (before[7].clone(), folder.path().join("aside"));
    fs::rename(&unread, &aside).unwrap();
    std::os::unix::fs::symlink(&unread, &unread).unwrap();
    assert!(archive.upkeep().due().await.unwrap().tidy);
    assert_eq!(archive.upkeep().tidy().await.unwrap_err().kind, ErrorKind::Unavailable);
    let after = packs(&config);
    assert!(after.contains(&unread) && after.len() == 2, "{after:?}");
    assert!(!after.iter().any(|pack| *pack != unread && before.contains(pack)), "{after:?}");
    assert!(!archive.upkeep().due().await.unwrap().tidy, "it is tried again in a day");
    assert_eq!(archive.upkeep().tidy().await.unwrap(), 0);
    fs::rename(&aside, &unread).unwrap();
    for sample in &samples {
        assert!(is_whole(&system(&archive), sample).await);
    }
    archive.close().await;
}

#[tokio::test]
async fn a_pack_full_of_what_is_to_go_that_cannot_be_read_keeps_nothing_in_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { keep_deleted_days: 0, pack_size_mib: 64, ..config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    let (session, first, other) = (system(&archive), ct(), ct());
    // More than are looked at together.
    let many: Vec<_> = (1..=1001).map(|n| first.next(n)).collect();
    for samples in [many.as_slice(), std::slice::from_ref(&other)] {
        let stored = join_all(samples.iter().map(|sample| store(&session, sample))).await;
        assert!(stored.iter().all(Result::is_ok));
        let gone = ct();
        store(&session, &gone).await.unwrap();
        archive.upkeep().destroy(&[gone.sop_instance()]).await.unwrap();
    }
    let [unread, others] = packs(&config).try_into().unwrap();
    for study in [first.study(), other.study()] {
        let delete = Order::Delete { of: Part { study, series: None, instance: None } };
        session.act(&delete, "").await.unwrap();
    }
    let began = Instant::now();
    while !archive.upkeep().due().await.unwrap().tidy {
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    fs::remove_file(&unread).unwrap();
    std::os::unix::fs::symlink(&unread, &unread).unwrap();
    assert_eq!(archive.upkeep().tidy().await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(!others.exists(), "what it held is gone, or in another");
    let uid = other.sop_instance().to_string();
    for pack in packs(&config).into_iter().filter(|pack| *pack != unread) {
        assert!(memchr::memmem::find(&fs::read(pack).unwrap(), uid.as_bytes()).is_none());
    }
    archive.close().await;
}
