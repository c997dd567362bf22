//! An index in PostgreSQL that is made anew.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, mpsc};

use dicom_store::fixture::{Database, ReadWatch, system};
use dicom_store::{Archive, Config, ErrorKind};
use tokio::sync::Notify;

use super::{change, config, is_of, is_whole, last_byte, scrubbed, sealed, slices};

/// Cannot be read, and is not damaged.
fn unread() -> io::Error {
    io::Error::from_raw_os_error(24)
}

async fn fails(config: &Config) {
    let refuses: ReadWatch = Arc::new(|_, _| Err(unread()));
    let error = Archive::reindex_reading(config, refuses).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

/// Within the first pack.
async fn is_stopped(config: &Config) {
    let (reached, (held, waits)) = (Arc::new(Notify::new()), mpsc::channel::<()>());
    let (tell, waits) = (reached.clone(), Mutex::new(waits));
    let stands: ReadWatch = Arc::new(move |_, _| {
        tell.notify_one();
        let _ = waits.lock().unwrap().recv();
        Err(unread())
    });
    tokio::select! {
        ended = Archive::reindex_reading(config, stands) => panic!("{ended:?}"),
        () = reached.notified() => drop(held),
    }
}

#[rstest::rstest]
#[case::it_fails(false)]
#[case::it_is_stopped(true)]
#[tokio::test]
async fn the_index_before_is_there_until_the_new_one_is_filled(#[case] stops: bool) {
    let (database, folder, samples) = (Database::new().await, tempfile::tempdir().unwrap(), slices());
    let config = Config { index: database.url().into(), ..config(&folder) };
    sealed(&config, &samples).await;
    let (pack, at) = last_byte(&config, &samples[0]);
    change(&pack, at);
    let archive = Archive::open(&config).await.unwrap();
    assert_eq!(scrubbed(&archive).await.0.stretches.len(), 1);
    archive.close().await;
    let node = fs::read_to_string(config.data.join("node")).unwrap();

    if stops {
        is_stopped(&config).await;
    } else {
        fails(&config).await;
    }
    let refuses: ReadWatch = Arc::new(|_, _| panic!("the index knows all"));
    let archive = Archive::open_reading(&config, refuses).await.unwrap();
    archive.close().await;
    let archive = Archive::open(&config).await.unwrap();
    for (n, sample) in samples.iter().enumerate() {
        assert_eq!(is_whole(&system(&archive), sample).await, n > 0);
    }
    archive.close().await;

    // What it knew to be damaged is not found by reading, and known to the new one as well.
    let archive = Archive::reindex(&config).await.unwrap();
    let [stretch] = archive.damaged().stretches.as_slice() else { panic!("{:?}", archive.damaged()) };
    assert!(is_of(stretch, &samples[0]), "{stretch}");
    for (n, sample) in samples.iter().enumerate() {
        assert_eq!(is_whole(&system(&archive), sample).await, n > 0);
    }
    archive.close().await;
    assert_eq!(fs::read_to_string(config.data.join("node")).unwrap(), node);
    assert!(Archive::open(&config).await.unwrap().damaged().is_empty());
}
