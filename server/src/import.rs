//! `filmless import`: the files of a folder into the archive.
//!
//! Folders of exports are named after patients: which file was refused is said to the person at the terminal, and
//! the log knows only its number.

mod bare;

use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use dicom_store::model::PREAMBLE_LENGTH;
use dicom_store::{Archive, Arrival, Caller, Declared, Error, Origin, Session, Stored};
use futures_util::{StreamExt, stream};
use tokio::io::AsyncReadExt;
use tracing::{info, warn};

use bare::Start;

/// Files that are read at the same time.
const PARALLEL: usize = 8;
const CHUNK: usize = 1 << 20;

/// How many files became what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) stored: u64,
    pub(crate) known: u64,
    pub(crate) conflicts: u64,
    /// Files that are not in the archive though they should be, and folders that could not be read.
    pub(crate) refused: u64,
    /// Files that are not DICOM, DICOMDIRs, and links.
    pub(crate) skipped: u64,
}

/// Stores every DICOM file below a folder; what is refused is told to `tell` and does not stop the rest.
///
/// # Errors
/// When the folder itself cannot be read.
pub(crate) async fn import(archive: &Archive, folder: &Path, tell: impl Fn(&str)) -> anyhow::Result<Counts> {
    let session = archive.acting_as(Caller::System("import"));
    std::fs::read_dir(folder).with_context(|| format!("folder {}", folder.display()))?;
    let Found { mut files, unreadable, skipped } = Found::below(folder);
    files.sort();
    let short = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let mut counts = Counts { skipped, ..Counts::default() };
    for (path, error) in unreadable {
        tell(&format!("refused {}: {error}", short(&path)));
        warn!(%error, "import: a folder cannot be read");
        counts.refused += 1;
    }
    let outcomes = stream::iter((1u64..).zip(files)).map(|(number, path)| {
        let session = &session;
        async move { (number, store(session, &path).await, path) }
    });
    let mut outcomes = std::pin::pin!(outcomes.buffer_unordered(PARALLEL));
    while let Some((number, outcome, path)) = outcomes.next().await {
        if let Err(error) = &outcome {
            tell(&format!("refused {}: {}", short(&path), error.chain()));
            warn!(file = number, error = %error.chain(), "import: a file was refused");
        }
        counts.add(&outcome);
    }
    info!(?counts, "import finished");
    Ok(counts)
}

/// What lies below a folder.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    unreadable: Vec<(PathBuf, std::io::Error)>,
    /// Links are not followed: they may lead out of the folder, or round in it.
    skipped: u64,
}

impl Found {
    fn below(folder: &Path) -> Self {
        let (mut found, mut folders) = (Self::default(), vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            if let Err(error) = found.look_into(&folder, &mut folders) {
                found.unreadable.push((folder, error));
            }
        }
        found
    }

    fn look_into(&mut self, folder: &Path, folders: &mut Vec<PathBuf>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => self.files.push(entry.path()),
                Ok(_) => self.skipped += 1,
                Err(error) => self.unreadable.push((entry.path(), error)),
            }
        }
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, outcome: &Result<Option<Stored>, Error>) {
        let count = match outcome {
            Ok(Some(Stored::New(_))) => &mut self.stored,
            Ok(Some(Stored::Same(_))) => &mut self.known,
            Ok(Some(Stored::Conflict { .. })) => &mut self.conflicts,
            Ok(None) => &mut self.skipped,
            Err(_) => &mut self.refused,
        };
        *count += 1;
    }

    /// Whether everything that is DICOM is in the archive.
    pub(crate) fn is_complete(&self) -> bool {
        self.refused == 0
    }
}

/// `None` for a file that is no DICOM instance.
async fn store(session: &Session, path: &Path) -> Result<Option<Stored>, Error> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut head = BytesMut::with_capacity(CHUNK);
    while head.len() < PREAMBLE_LENGTH && file.read_buf(&mut head).await? > 0 {}
    if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR")) {
        return Ok(None);
    }
    let is_file = head.get(PREAMBLE_LENGTH - 4..PREAMBLE_LENGTH) == Some(b"DICM");
    let mut preamble = None;
    let declared = match bare::start(&head) {
        _ if is_file => Declared::File { study: None },
        Start::FileMeta => {
            preamble = Some(Bytes::from([[0; PREAMBLE_LENGTH - 4].as_slice(), b"DICM"].concat()));
            Declared::File { study: None }
        }
        Start::DataSet(encoding) => bare::declare(path.to_owned(), encoding).await?,
        Start::Other => return Ok(None),
    };
    let arrival = Arrival { origin: Origin::Import, declared };
    let mut incoming = session.receive(arrival).await?;
    if let Some(preamble) = preamble {
        incoming.write(preamble).await?;
    }
    incoming.write(head.freeze()).await?;
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        if file.read_buf(&mut chunk).await? == 0 {
            break;
        }
        incoming.write(chunk.freeze()).await?;
    }
    incoming.commit().await.map(Some)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use dicom_store::fixture::{Sample, archive, ct};
    use dicom_store::model::transfer_syntax::IMPLICIT_LITTLE;
    use tempfile::TempDir;

    use super::*;

    async fn import_into_new(folder: &TempDir) -> (Counts, Vec<String>) {
        let (archive, _data) = archive().await;
        let told = RefCell::new(Vec::new());
        let counts = import(&archive, folder.path(), |text| told.borrow_mut().push(text.to_owned())).await;
        archive.close().await;
        (counts.unwrap(), told.into_inner())
    }

    fn folder_of(files: &[(&str, Vec<u8>)]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[tokio::test]
    async fn files_without_preamble_are_taken_as_well() {
        let without_preamble = |sample: Sample| sample.file().split_off(PREAMBLE_LENGTH);
        let folder = folder_of(&[
            ("whole", ct().file()),
            ("meta", without_preamble(ct())),
            ("explicit", ct().data_set()),
            ("implicit", ct().transfer_syntax(IMPLICIT_LITTLE).data_set()),
        ]);
        let (counts, told) = import_into_new(&folder).await;
        assert_eq!(counts, Counts { stored: 4, ..Counts::default() }, "{told:?}");
    }

    #[tokio::test]
    async fn what_looks_like_dicom_and_is_not_taken_is_refused_by_name() {
        let mut cut = ct().data_set();
        cut.truncate(cut.len() - 10);
        let folder = folder_of(&[("cut", cut), ("notes.txt", b"no DICOM".to_vec()), ("whole", ct().file())]);
        let (counts, told) = import_into_new(&folder).await;
        assert_eq!(counts, Counts { stored: 1, refused: 1, skipped: 1, ..Counts::default() });
        assert!(matches!(told.as_slice(), [line] if line.starts_with("refused cut: ")), "{told:?}");
        assert!(!counts.is_complete());
    }

    #[tokio::test]
    async fn links_are_counted_and_not_followed() {
        let folder = folder_of(&[("whole", ct().file())]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("round")).unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("gone")).unwrap();
        let (counts, _) = import_into_new(&folder).await;
        assert_eq!(counts, Counts { stored: 1, skipped: 2, ..Counts::default() });
    }

    #[test]
    fn a_folder_that_cannot_be_read_does_not_hide_the_others() {
        let folder = folder_of(&[("whole", Vec::new())]);
        let mut found = Found::below(&folder.path().join("gone"));
        assert_eq!(found.unreadable.len(), 1);
        let mut folders = Vec::new();
        found.look_into(folder.path(), &mut folders).unwrap();
        assert_eq!(found.files.len(), 1);
    }
}
