//! `filmless import`: files and folders into the archive.
//!
//! Folders of exports are named after patients: which file was refused is said to the person at the terminal, and
//! the log knows only its number. What is in the archive already is not stored again, so an import that was stopped
//! is done by importing again.

mod bare;
mod dicomdir;
pub(crate) mod from_peer;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dicom_store::model::PREAMBLE_LENGTH;
use dicom_store::{Archive, Arrival, Caller, Declared, Error, Origin, Session, Stored};
use futures_util::{Stream, StreamExt, stream};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tracing::{info, warn};

use bare::Start;
use walk::{Found, Named, Walk};

/// Files that are read at the same time: they share the syncs of the log.
const PARALLEL: usize = 16;
/// What is found before it is read.
const AHEAD: usize = 1024;
const CHUNK: usize = 1 << 20;
/// How often it is told how far the import is.
const PROGRESS: Duration = Duration::from_secs(5);

/// How many files became what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) stored: u64,
    pub(crate) known: u64,
    pub(crate) conflicts: u64,
    /// Files that are not in the archive though they should be, and folders that could not be read.
    pub(crate) refused: u64,
    /// Files that a DICOMDIR names and that are not there.
    pub(crate) missing: u64,
    /// Files within folders that are not DICOM instances, DICOMDIRs, and links.
    pub(crate) skipped: u64,
}

/// What became of something that was found.
enum Outcome {
    Stored(Stored),
    Refused(PathBuf, Error),
    Missing { dicomdir: PathBuf, id: String },
    Skipped,
}

/// Stores every DICOM file at or below the paths; what is refused or missing is told to `tell`, and does not stop
/// the rest.
pub(crate) async fn import(archive: &Archive, paths: Vec<PathBuf>, tell: impl Fn(&str)) -> Counts {
    let session = archive.acting_as(Caller::System("import"));
    let outcomes = found(paths).map(|found| become_of(&session, found)).buffer_unordered(PARALLEL);
    let mut outcomes = std::pin::pin!(outcomes.enumerate());
    let mut counts = Counts::default();
    let mut progress = tokio::time::interval(PROGRESS);
    progress.tick().await;
    loop {
        tokio::select! {
            next = outcomes.next() => {
                let Some((number, outcome)) = next else { break };
                counts.add(&outcome);
                report(number, &outcome, &tell);
            }
            _ = progress.tick() => tell(&counts.to_string()),
        }
    }
    info!(?counts, "import finished");
    counts
}

/// What is at the paths, as it is come across, by a thread that walks ahead of the reading.
fn found(paths: Vec<PathBuf>) -> impl Stream<Item = Found> {
    let (give, mut take) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut walk = Walk::new(|found| give.blocking_send(found).is_ok());
        paths.iter().all(|path| walk.path(path));
    });
    stream::poll_fn(move |context| take.poll_recv(context))
}

async fn become_of(session: &Session, found: Found) -> Outcome {
    match found {
        Found::Skipped => Outcome::Skipped,
        Found::Missing { dicomdir, id } => Outcome::Missing { dicomdir, id },
        Found::Unreadable { path, error } => Outcome::Refused(path, error),
        Found::File { path, named } => match (store(session, &path).await, named) {
            (Ok(Some(stored)), _) => Outcome::Stored(stored),
            (Ok(None), Named::Nobody) => Outcome::Skipped,
            (Ok(None), Named::Dicomdir) => {
                Outcome::Refused(path, Error::invalid("a DICOMDIR names it, and it is not a DICOM file"))
            }
            (Ok(None), Named::Importer) => Outcome::Refused(path, Error::invalid("it is not a DICOM file")),
            (Err(error), _) => Outcome::Refused(path, error),
        },
    }
}

fn report(number: usize, outcome: &Outcome, tell: impl Fn(&str)) {
    match outcome {
        Outcome::Refused(path, error) => {
            tell(&format!("refused {}: {}", path.display(), error.chain()));
            warn!(file = number, error = %error.chain(), "import: a file was refused");
        }
        Outcome::Missing { dicomdir, id } => {
            tell(&format!("missing {id}: {} names it", dicomdir.display()));
            warn!(file = number, "import: a file that a DICOMDIR names is not there");
        }
        Outcome::Stored(_) | Outcome::Skipped => {}
    }
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Stored(Stored::New(_) | Stored::Stranger(_) | Stored::Rejected(_)) => &mut self.stored,
            Outcome::Stored(Stored::Same(_)) => &mut self.known,
            Outcome::Stored(Stored::Conflict { .. }) => &mut self.conflicts,
            Outcome::Refused(..) => &mut self.refused,
            Outcome::Missing { .. } => &mut self.missing,
            Outcome::Skipped => &mut self.skipped,
        };
        *count += 1;
    }

    /// Whether everything that is DICOM is in the archive.
    pub(crate) fn is_complete(&self) -> bool {
        self.refused == 0 && self.missing == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, known, conflicts, refused, missing, skipped } = self;
        write!(
            f,
            "{stored} stored, {known} already there, {conflicts} kept aside (another instance has their UID), \
             {refused} refused, {missing} missing (a DICOMDIR names them), \
             {skipped} skipped (not DICOM instances, or links)"
        )
    }
}

/// `None` for a file that is no DICOM instance.
async fn store(session: &Session, path: &Path) -> Result<Option<Stored>, Error> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut head = BytesMut::with_capacity(CHUNK);
    while head.len() < PREAMBLE_LENGTH && file.read_buf(&mut head).await? > 0 {}
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
    use dicom_store::model::transfer_syntax::{self, EXPLICIT_BIG, IMPLICIT_LITTLE};
    use dicom_store::model::{Attributes, Encoding, FileMeta, SopClassUid, Tag, TransferSyntaxUid, VR};
    use tempfile::TempDir;

    use super::*;

    async fn import_into_new(folder: &TempDir) -> (Counts, Vec<String>) {
        let (archive, _data) = archive().await;
        let told = RefCell::new(Vec::new());
        let paths = vec![folder.path().to_owned()];
        let counts = import(&archive, paths, |text| told.borrow_mut().push(text.to_owned())).await;
        archive.close().await;
        (counts, told.into_inner())
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
            ("big", ct().transfer_syntax(EXPLICIT_BIG).data_set()),
        ]);
        let (counts, told) = import_into_new(&folder).await;
        assert_eq!(counts, Counts { stored: 5, ..Counts::default() }, "{told:?}");
    }

    #[tokio::test]
    async fn what_looks_like_dicom_and_is_not_taken_is_refused_by_name() {
        let mut cut = ct().data_set();
        cut.truncate(cut.len() - 10);
        let folder = folder_of(&[("cut", cut), ("notes.txt", b"no DICOM".to_vec()), ("whole", ct().file())]);
        let (counts, told) = import_into_new(&folder).await;
        assert_eq!(counts, Counts { stored: 1, refused: 1, skipped: 1, ..Counts::default() });
        let refused = format!("refused {}: ", folder.path().join("cut").display());
        assert!(matches!(told.as_slice(), [line] if line.starts_with(&refused)), "{told:?}");
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

    #[tokio::test]
    async fn a_path_that_is_not_there_does_not_hide_the_others() {
        let folder = folder_of(&[("whole", ct().file())]);
        let (archive, _data) = archive().await;
        let paths = vec![folder.path().join("gone"), folder.path().join("whole")];
        let counts = import(&archive, paths, |_| {}).await;
        archive.close().await;
        assert_eq!(counts, Counts { stored: 1, refused: 1, ..Counts::default() });
    }

    #[tokio::test]
    async fn a_file_that_is_named_alone_is_one_of_dicom_or_refused() {
        let zip = b"PK\x03\x04 whatever is in it".to_vec();
        let folder = folder_of(&[("whole", ct().file()), ("study.zip", zip), ("notes.txt", b"no".to_vec())]);
        let (archive, _data) = archive().await;
        let told = RefCell::new(Vec::new());
        let paths = ["whole", "study.zip", "notes.txt"].map(|name| folder.path().join(name)).to_vec();
        let counts = import(&archive, paths, |text| told.borrow_mut().push(text.to_owned())).await;
        let within = import(&archive, vec![folder.path().to_owned()], |_| {}).await;
        archive.close().await;
        assert_eq!(counts, Counts { stored: 1, refused: 2, ..Counts::default() });
        assert!(!counts.is_complete());
        assert!(told.into_inner().iter().all(|line| line.ends_with(": it is not a DICOM file")));
        assert_eq!(within, Counts { known: 1, skipped: 2, ..Counts::default() });
        assert!(within.is_complete());
    }

    /// A DICOMDIR that names files, by their File IDs.
    fn dicomdir(ids: &[&str]) -> Vec<u8> {
        let records = ids.iter().map(|id| {
            let mut record = Attributes::new();
            record.put_text(Tag(0x0004, 0x1430), VR::CS, "IMAGE");
            record.put_text(Tag(0x0004, 0x1500), VR::CS, id);
            record.put_u16(Tag(0x0004, 0x1410), 0xFFFF);
            record
        });
        let mut directory = Attributes::new();
        directory.put_text(Tag(0x0004, 0x1130), VR::CS, "DISC");
        directory.put_items(Tag(0x0004, 0x1220), records.collect());
        let class = SopClassUid::parse("1.2.840.10008.1.3.10").unwrap();
        let syntax = TransferSyntaxUid::parse(transfer_syntax::EXPLICIT_LITTLE).unwrap();
        let mut file = FileMeta::head(&class, &ct().sop_instance(), &syntax, None).to_vec();
        file.extend(directory.write(Encoding::ExplicitLittle));
        file
    }

    #[tokio::test]
    async fn a_medium_is_taken_by_its_directory_and_what_is_missing_is_named() {
        let directory = dicomdir(&["DICOM\\IM1", "DICOM\\IM2", "DICOM\\IM3", "DICOM\\TEXT"]);
        let folder =
            folder_of(&[("DICOMDIR.;1", directory), ("unnamed", ct().file()), ("AUTORUN.INF", vec![])]);
        fs::create_dir(folder.path().join("dicom")).unwrap();
        for (name, bytes) in [("im1", ct().file()), ("IM2.;1", ct().file()), ("text", b"no DICOM".to_vec())] {
            fs::write(folder.path().join("dicom").join(name), bytes).unwrap();
        }
        let (archive, _data) = archive().await;
        let told = RefCell::new(Vec::new());
        let paths = vec![folder.path().join("DICOMDIR.;1")];
        let counts = import(&archive, paths.clone(), |text| told.borrow_mut().push(text.to_owned())).await;
        let again = import(&archive, paths, |_| {}).await;
        archive.close().await;
        assert_eq!(counts, Counts { stored: 3, refused: 1, missing: 1, skipped: 2, ..Counts::default() });
        assert_eq!(again, Counts { stored: 0, known: 3, ..counts });
        assert!(!counts.is_complete());
        let told = told.into_inner();
        assert!(told.iter().any(|line| line.starts_with("missing DICOM/IM3: ")), "{told:?}");
        assert!(told.iter().any(|line| line.contains("dicom/text: a DICOMDIR names it")), "{told:?}");
    }
}
