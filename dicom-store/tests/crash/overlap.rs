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

/// What is told of and held.
struct Held {
    /// The first group goes into the index.
    committing: Sender<()>,
    /// The second is synced.
    syncing: Sender<()>,
    watch_commit: Mutex<Receiver<()>>,
    watch_sync: Mutex<Receiver<()>>,
    committed: Sender<()>,
    written: Sender<()>,
    writes: AtomicUsize,
    syncs: AtomicUsize,
    commits: AtomicUsize,
    fails: bool,
}

impl Held {
    /// The first group is not in the index before the second is synced, and the second is not synced before the third is
    /// written.
    fn take(&self, step: &Step<'_>) -> io::Result<()> {
        match step {
            Step::Write { .. } if self.writes.fetch_add(1, Ordering::SeqCst) == 2 => {
                self.written.send(()).map_err(io::Error::other)
            }
            Step::Sync { .. } if self.writes.load(Ordering::SeqCst) > 0 => {
                if self.syncs.fetch_add(1, Ordering::SeqCst) != 1 {
                    return Ok(());
                }
                self.committed.send(()).map_err(io::Error::other)?;
                self.syncing.send(()).map_err(io::Error::other)?;
                self.watch_sync.lock().unwrap().recv_timeout(LONG).map_err(io::Error::other)?;
                if self.fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
            }
            Step::Commit if self.commits.fetch_add(1, Ordering::SeqCst) == 0 => {
                self.committing.send(()).map_err(io::Error::other)?;
                self.watch_commit.lock().unwrap().recv_timeout(LONG).map_err(io::Error::other)
            }
            _ => Ok(()),
        }
    }
}

async fn heard(from: Receiver<()>) {
    tokio::task::spawn_blocking(move || from.recv_timeout(LONG).unwrap()).await.unwrap();
}

#[rstest]
#[case::and_is_answered_when_it_is_synced_too(false)]
#[case::and_is_refused_with_it_where_that_fails(true)]
#[tokio::test(flavor = "multi_thread")]
async fn the_next_is_written_while_one_is_synced(#[case] fails: bool) {
    let (folder, first) = (scratch(), ct());
    let [before, one, other] = [1, 2, 3].map(|number| large(number, &first));
    let config = dicom_store::Config { pack_size_mib: 8, ..config(folder.path(), false) };
    let ((committing, is_committing), (syncing, is_syncing)) = (channel(), channel());
    let ((committed, watch_commit), (written, watch_sync)) = (channel(), channel());
    let (watch_commit, watch_sync) = (Mutex::new(watch_commit), Mutex::new(watch_sync));
    let [writes, syncs, commits] = [0; 3].map(AtomicUsize::new);
    let held = Held {
        committing,
        syncing,
        watch_commit,
        watch_sync,
        committed,
        written,
        writes,
        syncs,
        commits,
        fails,
    };
    let watch: Watch = Arc::new(move |step| held.take(step));
    let archive = Archive::open_watched(&config, watch).await.unwrap();
    let send = |sample: &Sample| {
        let (archive, sample) = (archive.clone(), sample.clone());
        tokio::spawn(async move { store(&system(&archive), &sample).await })
    };
    let of_before = send(&before);
    heard(is_committing).await;
    let of_one = send(&one);
    heard(is_syncing).await;
    let answers = [send(&other).await.unwrap(), of_one.await.unwrap()];
    assert!(matches!(of_before.await.unwrap(), Ok(Stored::New(_))));
    for answer in answers {
        match answer {
            Ok(Stored::New(_)) => assert!(!fails),
            Err(error) => assert!(fails && error.kind == ErrorKind::Unavailable, "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
    for sample in [&one, &other] {
        let again = store(&system(&archive), sample).await.unwrap();
        assert_eq!(matches!(again, Stored::Same(_)), !fails, "{again:?}");
    }
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    for sample in [&before, &one, &other] {
        let again = store(&system(&archive), sample).await.unwrap();
        assert!(matches!(again, Stored::Same(_)), "{again:?}");
    }
    assert!(archive.damaged().is_empty(), "{:?}", archive.damaged());
    archive.close().await;
}

/// Fails the sync of this number among those behind the first write.
fn failing_sync(number: usize) -> Watch {
    let [writes, syncs] = [0; 2].map(AtomicUsize::new);
    Arc::new(move |step| match step {
        Step::Write { .. } => {
            writes.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        Step::Sync { .. } if writes.load(Ordering::SeqCst) > 0 => {
            let is_it = syncs.fetch_add(1, Ordering::SeqCst) == number;
            if is_it { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        }
        _ => Ok(()),
    })
}

#[rstest]
#[case::something_before_is_durable(1)]
#[case::nothing_is_durable(0)]
#[tokio::test]
async fn a_pack_whose_sync_has_failed_is_sealed_where_it_is_durable_without_a_restart(#[case] fails: usize) {
    let (folder, first) = (scratch(), ct());
    let config = dicom_store::Config { pack_size_mib: 8, ..config(folder.path(), false) };
    let archive = Archive::open_watched(&config, failing_sync(fails)).await.unwrap();
    let session = system(&archive);
    let samples = [1, 2, 3].map(|number| large(number, &first));
    for (number, sample) in samples.iter().enumerate() {
        let stored = store(&session, sample).await;
        assert_eq!(stored.is_err(), number == fails, "{stored:?}");
        store(&session, sample).await.unwrap();
    }
    // Taking something out of a pack wants it to be an object.
    assert_eq!(archive.upkeep().destroy(&[samples[0].sop_instance()]).await.unwrap(), 1);
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    assert!(archive.damaged().is_empty(), "{:?}", archive.damaged());
    for (number, sample) in samples.iter().enumerate() {
        let again = store(&system(&archive), sample).await.unwrap();
        assert_eq!(matches!(again, Stored::Same(_)), number > 0, "{again:?}");
    }
    archive.close().await;
}

#[rstest]
#[case::the_pack(|step: &Step<'_>| matches!(step, Step::Sync { .. }))]
#[case::its_name(|step: &Step<'_>| matches!(step, Step::SyncFolder { path } if path.ends_with("log")))]
#[tokio::test]
async fn what_a_killed_process_had_written_is_synced_before_it_is_there(
    #[case] is_it: fn(&Step<'_>) -> bool,
) {
    let (folder, sample) = (scratch(), ct());
    let config = config(folder.path(), false);
    let archive = Archive::open(&config).await.unwrap();
    store(&system(&archive), &sample).await.unwrap();
    archive.close().await;
    // As after the end of a process that had told the index nothing: all of it is read from the system's cache.
    let index = config.data.join("index.sqlite");
    let forget = "DELETE FROM packs; DELETE FROM instances";
    rusqlite::Connection::open(&index).unwrap().execute_batch(forget).unwrap();
    let refuses: Watch =
        Arc::new(move |step| if is_it(step) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) });
    let refused = Archive::open_watched(&config, refuses).await.map(drop);
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Unavailable);
    let rows = rusqlite::Connection::open(&index).unwrap();
    let count = rows.query_row("SELECT count(*) FROM instances", (), |row| row.get::<_, i64>(0));
    assert_eq!(count.unwrap(), 0, "nobody is told that it is there");
}
