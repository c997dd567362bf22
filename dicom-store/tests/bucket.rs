//! What the archive promises holds with its packs in an S3 object store.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use dicom_store::fixture::{self, Bucket, Database, Sample, ct, store, system};
use dicom_store::model::Resource;
use dicom_store::{Archive, Config, Durability, ErrorKind, Session, Stored};
use futures_util::TryStreamExt;
use tempfile::TempDir;

/// How long a bucket that is back may not be used yet.
const AGAIN: Duration = Duration::from_secs(30);

async fn data_set(session: &Session, instance: &dicom_store::model::Instance) -> Vec<u8> {
    let parts: Vec<_> = session.open_data_set(instance).try_collect().await.unwrap();
    parts.concat()
}

async fn holds(session: &Session, samples: &[Sample]) {
    for sample in samples {
        let instances = session.instances(&Resource::Study(sample.study())).await.unwrap();
        let instance = instances.iter().find(|instance| instance.sop_instance == sample.sop_instance());
        assert_eq!(data_set(session, instance.unwrap()).await, sample.data_set());
    }
}

/// Stores as soon as the bucket is tried again: for a moment after it was lost everybody is refused at once.
async fn store_again(session: &Session, sample: &Sample) -> Stored {
    let began = Instant::now();
    loop {
        match store(session, sample).await {
            Err(error) if error.kind == ErrorKind::Unavailable && began.elapsed() < AGAIN => {
                tokio::task::yield_now().await;
            }
            stored => return stored.unwrap(),
        }
    }
}

fn series(count: u32) -> Vec<Sample> {
    let first = ct();
    (1..=count).map(|number| if number == 1 { first.clone() } else { first.next(number) }).collect()
}

/// In this process, or in a cluster of the program that `TEST_GARAGE` names (`make test-cluster`).
async fn bucket(delay: Duration) -> Bucket {
    Bucket::of_run(std::env::var_os("TEST_GARAGE"), 1, delay).await
}

async fn house(delay: Duration, change: impl FnOnce(&mut Config)) -> (Bucket, TempDir, Config, Archive) {
    let bucket = bucket(delay).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = bucket.config(&folder);
    change(&mut config);
    let archive = Archive::open(&config).await.unwrap();
    (bucket, folder, config, archive)
}

#[tokio::test]
async fn what_was_answered_is_in_the_bucket_and_comes_back() {
    let (bucket, _folder, config, archive) = house(Duration::ZERO, |_| ()).await;
    let samples = series(20);
    for sample in &samples {
        store(&system(&archive), sample).await.unwrap();
    }
    assert!(!bucket.packs().await.is_empty());
    assert_eq!(
        std::fs::read_dir(config.log_folder()).unwrap().count(),
        1,
        "nothing but the folder of what arrives"
    );
    holds(&system(&archive), &samples).await;
    archive.close().await;
    // Another machine with nothing but the bucket.
    let elsewhere = tempfile::tempdir().unwrap();
    let archive = Archive::open(&bucket.config(&elsewhere)).await.unwrap();
    holds(&system(&archive), &samples).await;
    assert!(matches!(store(&system(&archive), &samples[0]).await.unwrap(), Stored::Same(_)));
}

#[tokio::test]
async fn a_node_with_the_wrong_bucket_is_not_let_in() {
    let (database, wrong) = (Database::new().await, Bucket::new(Duration::ZERO).await);
    let index = |config: &mut Config| config.index = database.url().into();
    let (_bucket, _folder, _config, archive) = house(Duration::ZERO, index).await;
    store(&system(&archive), &ct()).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Config { index: database.url().into(), ..wrong.config(&elsewhere) };
    assert_eq!(Archive::open(&other).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn many_senders_at_once_share_packs() {
    let (bucket, _folder, _config, archive) = house(Duration::from_millis(20), |_| ()).await;
    let (session, samples) = (system(&archive), series(200));
    let stored = futures_util::future::join_all(samples.iter().map(|sample| store(&session, sample))).await;
    assert!(stored.iter().all(|stored| matches!(stored, Ok(Stored::New(_)))));
    assert!(bucket.packs().await.len() < 40, "{} packs", bucket.packs().await.len());
    holds(&session, &samples).await;
}

#[tokio::test]
async fn a_large_instance_is_put_in_parts_and_leaves_nothing_here() {
    let (bucket, _folder, config, archive) = house(Duration::ZERO, |config| config.inline_size_mib = 1).await;
    // 18 MiB: three parts.
    let sample = ct().size(3000, 3000);
    store(&system(&archive), &sample).await.unwrap();
    assert_eq!(bucket.packs().await.len(), 1);
    assert_eq!(std::fs::read_dir(config.log_folder().join("arriving")).unwrap().count(), 0);
    holds(&system(&archive), &[sample]).await;
}

#[tokio::test]
async fn a_bucket_that_is_gone_refuses_soon_and_is_used_again_when_it_is_back() {
    let (mut bucket, _folder, config, archive) = house(Duration::ZERO, |_| ()).await;
    let session = system(&archive);
    let samples = series(3);
    store(&session, &samples[0]).await.unwrap();
    bucket.go_away().await;
    let asked = Instant::now();
    let error = store(&session, &samples[1]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    bucket.come_back().await;
    for sample in &samples[1..] {
        assert!(matches!(store_again(&session, sample).await, Stored::New(_)));
    }
    holds(&session, &samples).await;
    archive.close().await;
    holds(&system(&Archive::open(&config).await.unwrap()), &samples).await;
}

#[tokio::test]
async fn with_local_durability_a_bucket_may_be_gone_for_a_while() {
    let local = |config: &mut Config| {
        config.durability = Some(Durability::Local);
        config.pack_size_mib = 1;
    };
    let (mut bucket, _folder, config, archive) = house(Duration::ZERO, local).await;
    let session = system(&archive);
    bucket.go_away().await;
    let first = ct().size(512, 512);
    let samples: Vec<_> = (2..8).map(|number| first.next(number)).collect();
    for sample in &samples {
        store(&session, sample).await.unwrap();
    }
    holds(&session, &samples).await;
    archive.close().await;
    bucket.come_back().await;
    let archive = Archive::open(&config).await.unwrap();
    bucket.has_packs(2).await;
    holds(&system(&archive), &samples).await;
}

#[tokio::test]
async fn a_folder_cannot_give_more_than_local_durability() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { durability: Some(Durability::Remote), ..fixture::config(&folder) };
    assert_eq!(Archive::open(&config).await.unwrap_err().kind, ErrorKind::Invalid);
}
