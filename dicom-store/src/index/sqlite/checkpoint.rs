//! The write-ahead log of the index: made durable, and brought into its file beside those who write.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::connection::SqliteConnection;
use crate::Result;

/// Bytes of the log after which they are made durable. All of it at once would keep the disk busy for so long that
/// those who wait for the log of packs would notice.
const SYNCED_AT_ONCE: i64 = 1 << 20;
/// Bytes of the log after which they are brought into the file.
const KEPT: i64 = 16 << 20;
/// Bytes after which the log is to begin anew. It does when all of it is in the file, which it never is while somebody
/// writes all the time: so the one who writes brings there what came last, once in so many bytes.
const WHOLE: i64 = 64 << 20;

/// A thread that syncs the log and brings its pages into the file while others go on reading and writing.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: SyncSender<LogLength>,
    thread: JoinHandle<()>,
    /// Held by whoever brings something into the file: SQLite lets nobody else meanwhile.
    turn: Arc<Mutex<()>>,
    /// Bytes of a page: an index keeps those that it was made with.
    page: i64,
    /// How long the log was when the thread was woken.
    told: i64,
}

/// The write-ahead log, in pages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogLength {
    pub(super) written: i64,
    /// What of it is in the file.
    pub(super) in_file: i64,
}

impl Checkpointer {
    pub(super) fn start(file: &Path) -> Result<Self> {
        let mut connection = SqliteConnection::open_to_read(file)?;
        let (file, page) = (file.to_owned(), connection.page_bytes()?);
        let (wake, woken) = sync_channel::<LogLength>(1);
        let turn = Arc::<Mutex<()>>::default();
        let of_thread = turn.clone();
        let work = move || {
            while let Ok(LogLength { written, in_file }) = woken.recv() {
                tell(if (written - in_file) * page < KEPT {
                    sync(&file)
                } else {
                    let _turn = of_thread.lock().unwrap_or_else(PoisonError::into_inner);
                    connection.checkpoint()
                });
            }
        };
        let thread = thread::Builder::new().name("index checkpoint".to_owned()).spawn(work)?;
        Ok(Self { wake, thread, turn, page, told: 0 })
    }

    /// Something was committed on this connection.
    pub(super) fn grown(&mut self, connection: &mut SqliteConnection, log: LogLength) {
        // The log begins anew when all of it is in the file.
        let told = if log.written < self.told { 0 } else { self.told };
        if (log.written - told) * self.page < SYNCED_AT_ONCE {
            return;
        }
        if log.written * self.page >= WHOLE {
            self.told = log.written;
            let _turn = self.turn();
            tell(connection.checkpoint());
        } else if self.wake.try_send(log).is_ok() {
            self.told = log.written;
        }
    }

    /// Waits until the thread brings nothing into the file, and keeps it from doing so.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it works no more.
    pub(super) fn end(self) {
        let Self { wake, thread, .. } = self;
        drop(wake);
        let _ = thread.join();
    }
}

/// What was not done is done the next time.
fn tell(done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!(error = %error.chain(), "index: its log could not be brought into its file");
    }
}

/// Makes durable whatever has been committed: what of it is in the file was synced before the log forgot it.
pub(super) fn sync(index: &Path) -> Result<()> {
    let mut log = index.to_owned().into_os_string();
    log.push("-wal");
    File::open(log)?.sync_data()?;
    // The log's own entry, which may be new.
    let folder = index.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok(File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?)
}
