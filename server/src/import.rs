//! `filmless import`: the files of a folder into the archive.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::BytesMut;
use dicom_store::{Archive, Arrival, Caller, Declared, Error, Origin, Session, Stored};
use futures_util::{StreamExt, stream};
use tokio::io::AsyncReadExt;
use tracing::{info, warn};

/// Files that are read at the same time.
const PARALLEL: usize = 8;
const CHUNK: usize = 1 << 20;
const PREAMBLE: usize = 132;

/// How many files became what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) stored: u64,
    pub(crate) known: u64,
    pub(crate) conflicts: u64,
    pub(crate) refused: u64,
    /// Files that are not DICOM, and DICOMDIRs.
    pub(crate) skipped: u64,
}

/// Stores every DICOM file below a folder; one that is refused is named and does not stop the rest.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) async fn import(archive: &Archive, folder: &Path) -> anyhow::Result<Counts> {
    let session = archive.acting_as(Caller::System("import"));
    let files = files_below(folder)?;
    let outcomes = stream::iter(files).map(|path| one(&session, path)).buffer_unordered(PARALLEL);
    let counts =
        outcomes.fold(Counts::default(), |counts, outcome| async move { counts.with(outcome) }).await;
    info!(?counts, "import finished");
    Ok(counts)
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            // Links are not followed: they may lead out of the folder, or round in it.
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[derive(Debug)]
enum Outcome {
    Stored(Stored),
    Skipped,
    Refused,
}

impl Counts {
    fn with(mut self, outcome: Outcome) -> Self {
        let count = match outcome {
            Outcome::Stored(Stored::New(_)) => &mut self.stored,
            Outcome::Stored(Stored::Same(_)) => &mut self.known,
            Outcome::Stored(Stored::Conflict { .. }) => &mut self.conflicts,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Refused => &mut self.refused,
        };
        *count += 1;
        self
    }
}

async fn one(session: &Session, path: PathBuf) -> Outcome {
    match store(session, &path).await {
        Ok(Some(stored)) => Outcome::Stored(stored),
        Ok(None) => Outcome::Skipped,
        Err(error) => {
            warn!(file = %path.display(), error = %error.chain(), "import: a file was refused");
            Outcome::Refused
        }
    }
}

/// `None` for a file that is no DICOM instance.
async fn store(session: &Session, path: &Path) -> Result<Option<Stored>, Error> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut head = BytesMut::with_capacity(CHUNK);
    while head.len() < PREAMBLE && file.read_buf(&mut head).await? > 0 {}
    let is_dicom = head.get(PREAMBLE - 4..PREAMBLE) == Some(b"DICM");
    let is_directory = path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR"));
    if !is_dicom || is_directory {
        return Ok(None);
    }
    let arrival = Arrival {
        origin: Origin::Import { path: path.to_owned() },
        declared: Declared::File { study: None },
    };
    let mut incoming = session.receive(arrival).await?;
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

impl Counts {
    /// Whether everything that is DICOM is in the archive.
    pub(crate) fn is_complete(&self) -> bool {
        self.refused == 0
    }
}
