//! Packs that are compressed where they lie: the same bytes are read from them, whoever is cut off, and nothing is left of
//! what is destroyed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::PathBuf;
use std::time::Duration;

use dicom_store::fixture::{self, Bucket, Sample, ct, store, system};
use dicom_store::ledger::Order;
use dicom_store::model::{FrameNumber, Resource, VR};
use dicom_store::{Archive, Compression, Config, Part, Session};
use futures_util::TryStreamExt;

/// Slices of half a MiB that become smaller, in one study.
fn slices() -> Vec<Sample> {
    let first = ct();
    let pixels = |seed: u32| -> Vec<u8> {
        (0..512 * 512_u32)
            .flat_map(|n| {
                u16::try_from((n / 512 * seed + n % 512 + n * 7919 % 13) % 4096).unwrap().to_le_bytes()
            })
            .collect()
    };
    (1..=6).map(|n| first.next(n).size(512, 512).pixels(VR::OW, pixels(n))).collect()
}

async fn holds(session: &Session, samples: &[Sample]) {
    let instances = session.instances(&Resource::Study(samples[0].study())).await.unwrap();
    for sample in samples {
        let instance =
            instances.iter().find(|instance| instance.sop_instance == sample.sop_instance()).unwrap();
        let parts: Vec<_> = session.open_data_set(instance).try_collect().await.unwrap();
        assert_eq!(parts.concat(), sample.data_set());
        let frame = session.open_frame(instance, FrameNumber::FIRST).await.unwrap();
        assert!(sample.data_set().ends_with(&frame) && frame.len() == 512 * 512 * 2);
    }
}

fn files(config: &Config) -> Vec<PathBuf> {
    let files = std::fs::read_dir(config.data.join("objects/packs")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn ends(config: &Config) -> Vec<String> {
    let end =
        |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().split_once('.').unwrap().1.to_owned();
    files(config).iter().map(end).collect()
}

/// An archive with these, in one sealed pack.
async fn sealed(config: &Config, samples: &[Sample]) -> Archive {
    let archive = Archive::open(config).await.unwrap();
    for sample in samples {
        store(&system(&archive), sample).await.unwrap();
    }
    archive.close().await;
    // A pack that is open when the server stops is written on; a small one is sealed by the next.
    let sealing = Config { pack_size_mib: 1, ..config.clone() };
    let archive = Archive::open(&sealing).await.unwrap();
    store(&system(&archive), &ct()).await.unwrap();
    archive.close().await;
    Archive::open(config).await.unwrap()
}

fn lose_index(config: &Config) {
    for file in std::fs::read_dir(&config.data).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("index.sqlite") {
            std::fs::remove_file(file).unwrap();
        }
    }
}

/// The first pack, of which a byte in the middle is another one now.
fn damaged(config: &Config) -> PathBuf {
    let file = files(config).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    file
}

async fn compressed(archive: &Archive) -> Compression {
    archive.upkeep().compress_older(Duration::ZERO).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_same_is_read_from_a_compressed_pack_now_and_after_a_start_and_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples) = (fixture::config(&folder), slices());
    let archive = sealed(&config, &samples).await;
    let before = std::fs::read(&files(&config)[0]).unwrap();
    let done = compressed(&archive).await;
    assert_eq!(done.plain, before.len() as u64);
    assert!(done.compressed.unwrap() < done.plain / 2, "{done:?}");
    assert_eq!(ends(&config)[0], "tar.zst");
    // Any computer unpacks it.
    let file = std::fs::read(&files(&config)[0]).unwrap();
    assert_eq!(file.len() as u64, done.compressed.unwrap());
    assert_eq!(zstd::stream::decode_all(file.as_slice()).unwrap(), before);
    holds(&system(&archive), &samples).await;
    let report = archive.upkeep().report().await.unwrap();
    assert_eq!((report.compressed, report.compressed_to), (1, file.len() as u64));
    assert!(report.compressed_of > report.compressed_to * 2);
    let verified =
        archive.upkeep().verify_all(None, |_, verified| assert!(verified.damaged.is_empty())).await;
    assert!(verified.unwrap().bytes > before.len() as u64 / 2);
    archive.close().await;

    holds(&system(&Archive::open(&config).await.unwrap()), &samples).await;
    lose_index(&config);
    holds(&system(&Archive::open(&config).await.unwrap()), &samples).await;
}

#[tokio::test]
async fn whoever_is_cut_off_loses_nothing_and_does_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples) = (fixture::config(&folder), slices());
    let archive = sealed(&config, &samples).await;
    let plain = files(&config)[0].clone();
    let before = std::fs::read(&plain).unwrap();
    compressed(&archive).await;
    archive.close().await;
    // As if it had ended before the tar file was removed; and the other was not even whole.
    std::fs::write(&plain, &before).unwrap();
    let other = plain.with_extension("tar.zst");
    let half = std::fs::read(&other).unwrap();
    std::fs::write(&other, &half[..half.len() / 2]).unwrap();
    std::fs::write(plain.with_extension("tar.zst.part"), b"begun").unwrap();

    let archive = Archive::open(&config).await.unwrap();
    holds(&system(&archive), &samples).await;
    assert_eq!(archive.upkeep().report().await.unwrap().compressed, 0);
    compressed(&archive).await;
    assert!(!plain.exists());
    assert_eq!(std::fs::read(&other).unwrap(), half);
    holds(&system(&archive), &samples).await;
}

#[tokio::test]
async fn a_compressed_pack_that_is_damaged_is_not_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples) = (fixture::config(&folder), slices());
    let archive = sealed(&config, &samples).await;
    compressed(&archive).await;
    archive.close().await;
    let file = &damaged(&config);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let instances = session.instances(&Resource::Study(samples[0].study())).await.unwrap();
    let mut refused = 0;
    for (instance, sample) in instances.iter().zip(&samples) {
        match session.open_data_set(instance).try_collect::<Vec<_>>().await {
            Ok(parts) => assert_eq!(parts.concat(), sample.data_set()),
            Err(_) => refused += 1,
        }
    }
    assert!((1..=4).contains(&refused), "{refused} of {} are refused", samples.len());
    archive.close().await;

    // Without its table nothing is read of it, and all else is.
    let mut bytes = std::fs::read(file).unwrap();
    bytes.pop();
    std::fs::write(file, bytes).unwrap();
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    for instance in &instances {
        let error = session.open_data_set(instance).try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.kind, dicom_store::ErrorKind::Corrupt);
    }
    store(&session, &ct()).await.unwrap();
}

#[tokio::test]
async fn of_a_compressed_pack_that_is_damaged_all_else_is_there_without_an_index_and_what_is_damaged_heals() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples) = (fixture::config(&folder), slices());
    let archive = sealed(&config, &samples).await;
    compressed(&archive).await;
    archive.close().await;
    damaged(&config);
    lose_index(&config);

    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let resource = Resource::Study(samples[0].study());
    // A MiB is damaged, in which up to three slices may begin.
    let found = session.instances(&resource).await.unwrap().len();
    assert!((samples.len() - 3..samples.len()).contains(&found), "{found}");
    archive.upkeep().verify_all(None, |_, _| ()).await.unwrap();
    let instances = session.instances(&resource).await.unwrap();
    assert!((samples.len() - 4..=found).contains(&instances.len()), "{} of {found}", instances.len());
    let whole: Vec<Sample> = samples
        .iter()
        .filter(|sample| instances.iter().any(|found| found.sop_instance == sample.sop_instance()))
        .cloned()
        .collect();
    holds(&session, &whole).await;
    for sample in &samples {
        store(&session, sample).await.unwrap();
    }
    holds(&session, &samples).await;
}

#[tokio::test]
async fn what_is_destroyed_is_in_no_compressed_pack_either() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples) = (fixture::config(&folder), slices());
    let archive = sealed(&config, &samples).await;
    compressed(&archive).await;
    let session = system(&archive);
    let gone = &samples[0];
    let instances = session.instances(&Resource::Study(gone.study())).await.unwrap();
    let gone = instances.iter().find(|instance| instance.sop_instance == gone.sop_instance()).unwrap();
    let of = Part {
        study: gone.study.clone(),
        series: Some(gone.series.clone()),
        instance: Some(gone.sop_instance.clone()),
    };
    session.act(&Order::Destroy { of }, "a test").await.unwrap();
    holds(&session, &samples[1..]).await;
    assert!(ends(&config).iter().all(|end| end == "tar"), "{:?}", ends(&config));
}

#[tokio::test]
async fn what_would_hardly_become_smaller_stays_and_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = fixture::config(&folder);
    let mut noise = 1_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()
    })
    .take(512 * 512 / 2)
    .flatten()
    .collect();
    let samples = [ct().size(1024, 1024).pixels(VR::OW, bytes)];
    let archive = sealed(&config, &samples).await;
    let done = compressed(&archive).await;
    assert_eq!((done.compressed, ends(&config)[0].as_str()), (None, "tar"));
    assert_eq!(archive.upkeep().compress_older(Duration::ZERO).await.unwrap(), None);
}

#[tokio::test]
async fn packs_of_a_bucket_are_compressed_as_well() {
    let (bucket, folder) = (Bucket::new(Duration::ZERO).await, tempfile::tempdir().unwrap());
    let (config, samples) = (bucket.config(&folder), slices());
    let archive = Archive::open(&config).await.unwrap();
    for sample in &samples {
        store(&system(&archive), sample).await.unwrap();
    }
    let packs = bucket.packs().await.len();
    // Instances come one by one, each in a pack of its own that is too small; so the largest are made of them first.
    archive.upkeep().tidy().await.unwrap();
    let mut count = 0;
    while let Some(done) = archive.upkeep().compress_older(Duration::ZERO).await.unwrap() {
        assert!(done.compressed.is_some());
        count += 1;
    }
    holds(&system(&archive), &samples).await;
    assert!(count <= packs);
    archive.close().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let archive = Archive::open(&bucket.config(&elsewhere)).await.unwrap();
    holds(&system(&archive), &samples).await;
}
