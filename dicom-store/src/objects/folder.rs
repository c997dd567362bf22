//! What a store that is a folder of this machine can do better than by copying.

use std::io::Write as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::{Error, Result};

/// Renames into another folder, durably, and never over something that is there.
pub(super) fn move_new(from: &Path, to: &Path) -> std::io::Result<()> {
    rename_new(from, to)?;
    sync_folder(to.parent().unwrap_or(Path::new(".")))?;
    sync_folder(from.parent().unwrap_or(Path::new(".")))
}

fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => std::fs::rename(from, to),
        result => Ok(result?),
    }
}

/// Removes a file durably; one that is not there is removed already.
pub(super) fn remove(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.and_then(|()| sync_folder(file.parent().unwrap_or(Path::new(".")))),
    }
}

/// Writes a small file that is there as a whole or not at all.
pub(crate) fn write_whole(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let part = file.with_extension("part");
    let mut new = std::fs::File::create(&part)?;
    new.write_all(content)?;
    new.sync_all()?;
    std::fs::rename(&part, file)?;
    sync_folder(file.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Runs file work off the asynchronous threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(cause) => Err(Error::internal("file work did not finish").with_source(cause)),
    }
}
