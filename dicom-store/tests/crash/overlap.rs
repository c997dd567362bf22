//! One group is written while another is synced.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use dicom_store::fixture::{Sample, Step, Watch, ct, store, system};
use dicom_store::model::VR;
use dicom_store::{Archive, ErrorKind, Stored};
use rstest::rstest;

use crate::life::{config, scratch};

/// No test waits longer for what has to come.
const LONG: Duration = Duration::from_secs(30);

/// Large enough to be synced while the next is written.
fn large(number: u32, first: &Sample) -> Sample {
    first.next(number).pixels(VR::OW, vec![u8::try_from(number).unwrap(); 300 << 10])
}

/// Holds the first sync behind a write until another write has come, and lets it fail where that is wanted.
fn holding(fails: bool, begun: Sender<()>) -> Watch {
    let (write, writes): (Sender<()>, Receiver<()>) = channel();
    let (write, writes, begun) = (Mutex::new(write), Mutex::new(writes), Mutex::new(begun));
    let (written, synced) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Arc::new(move |step| match step {
        Step::Write { .. } => {
            if written.fetch_add(1, Ordering::SeqCst) > 0 {
                // The sync may have been held already.
                let _ = write.lock().unwrap().send(());
            }
            Ok(())
        }
        Step::Sync { .. }
            if written.load(Ordering::SeqCst) > 0 && synced.fetch_add(1, Ordering::SeqCst) == 0 =>
        {
            begun.lock().unwrap().send(()).unwrap();
            writes.lock().unwrap().recv_timeout(LONG).map_err(io::Error::other)?;
            if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        }
        _ => Ok(()),
    })
}

#[rstest]
#[case::and_is_answered_when_it_is_synced_too(false)]
#[case::and_is_refused_with_it_where_that_fails(true)]
#[tokio::test(flavor = "multi_thread")]
async fn the_next_is_written_while_one_is_synced(#[case] fails: bool) {
    let (folder, first) = (scratch(), ct());
    let (one, other) = (large(1, &first), large(2, &first));
    let config = dicom_store::Config { pack_size_mib: 8, ..config(folder.path(), false) };
    let (begun, is_begun) = channel();
    let archive = Archive::open_watched(&config, holding(fails, begun)).await.unwrap();
    let sent = {
        let (archive, one) = (archive.clone(), one.clone());
        tokio::spawn(async move { store(&system(&archive), &one).await })
    };
    tokio::task::spawn_blocking(move || is_begun.recv_timeout(LONG).unwrap()).await.unwrap();
    let answers = [store(&system(&archive), &other).await, sent.await.unwrap()];
    for answer in answers {
        match answer {
            Ok(Stored::New(_)) => assert!(!fails),
            Err(error) => assert!(fails && error.kind == ErrorKind::Unavailable, "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
    // Whatever became of it: it is there once, and an index made anew has it.
    for sample in [&one, &other] {
        let again = store(&system(&archive), sample).await.unwrap();
        assert_eq!(matches!(again, Stored::Same(_)), !fails, "{again:?}");
    }
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    for sample in [&one, &other] {
        let again = store(&system(&archive), sample).await.unwrap();
        assert!(matches!(again, Stored::Same(_)), "{again:?}");
    }
    assert!(archive.damaged().is_empty(), "{:?}", archive.damaged());
    archive.close().await;
}
