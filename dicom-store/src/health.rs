//! Whether the archive can do its work, for whoever watches over it.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::archive::Archive;
use crate::objects::blocking;
use crate::packs::file::check_reserve;
use crate::{Error, ErrorKind, Result};

/// There has to be room for as much beside the reserve: an image, where nothing is kept free.
const ROOM: u64 = 1 << 20;
/// What has not said by then that it is well is not.
const PATIENCE: Duration = Duration::from_secs(3);

impl Archive {
    /// What keeps it from taking or giving images just now; nothing when all is well. All of it is looked at anew, so
    /// that it is well again as soon as the cause has gone. Within some seconds, whatever hangs.
    pub async fn troubles(&self) -> Vec<Error> {
        let (log, disk, index, objects) = tokio::join!(
            async { self.log_is_well() },
            within("the disk of the log does not answer", self.disk_is_well()),
            within("the index does not answer", async { self.work().queue_depth().await.map(drop) }),
            within("the object store does not answer", self.inner.packs.objects.is_well()),
        );
        [log, disk, index, objects].into_iter().filter_map(Result::err).collect()
    }

    /// Waits until a thread of the log has died: then nothing can be stored until the next start.
    pub async fn has_died(&self) {
        self.inner.died.cancelled().await;
    }

    fn log_is_well(&self) -> Result<()> {
        if self.inner.died.is_cancelled() {
            return Err(Error::internal("a thread of the log has died"));
        }
        if self.store()?.is_behind.load(Ordering::Acquire) {
            let what = "the index has not taken what is in the log, and nothing is stored until it has";
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
        Ok(())
    }

    async fn disk_is_well(&self) -> Result<()> {
        let (folder, reserve) = (self.inner.packs.folder().to_owned(), self.inner.packs.reserve());
        blocking(move || check_reserve(&File::open(folder)?, ROOM, reserve)).await
    }
}

async fn within(silent: &str, check: impl Future<Output = Result<()>>) -> Result<()> {
    let in_time = tokio::time::timeout(PATIENCE, check).await;
    in_time.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, silent)))
}
