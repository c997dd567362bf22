//! The write-ahead log of the index: made durable, and brought into its file beside those who write.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::connection::SqliteConnection;
use crate::Result;

/// Bytes of the log after which they are made durable. All of it at once would keep the disk busy for so long that
/// those who wait for the log of packs would notice.
const SYNCED_AT_ONCE: i64 = 1 << 20;
/// Bytes of the log after which they are brought into the file. Before four times as many, so that the one who writes
/// does it, within a commit for which others wait, only where this is too slow.
const KEPT: i64 = 16 << 20;

/// A thread that syncs the log and brings its pages into the file while others go on reading and writing.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: SyncSender<LogLength>,
    thread: JoinHandle<()>,
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
        let work = move || {
            while let Ok(LogLength { written, in_file }) = woken.recv() {
                let done =
                    if (written - in_file) * page < KEPT { sync(&file) } else { connection.checkpoint() };
                // What is left is done the next time, and told by the one who writes at the latest.
                if let Err(error) = done {
                    tracing::debug!(error = %error.chain(), "index: checkpoint");
                }
            }
        };
        let thread = thread::Builder::new().name("index checkpoint".to_owned()).spawn(work)?;
        Ok(Self { wake, thread, page, told: 0 })
    }

    /// Something was committed.
    pub(super) fn grown(&mut self, log: LogLength) {
        // The log begins anew when all of it is in the file.
        let told = if log.written < self.told { 0 } else { self.told };
        if (log.written - told) * self.page >= SYNCED_AT_ONCE && self.wake.try_send(log).is_ok() {
            self.told = log.written;
        }
    }

    /// Returns when it works no more.
    pub(super) fn end(self) {
        let Self { wake, thread, .. } = self;
        drop(wake);
        let _ = thread.join();
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
