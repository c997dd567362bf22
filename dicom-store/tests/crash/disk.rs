//! A disk that keeps what was synced apart from what was not.
//!
//! [`Recorder`] notes every step that the log takes on a real folder, in order. [`Disk`] plays the steps up
//! to any one of them and gives what a disk may hold when the power goes there: of each file what
//! was synced, and of what was not any part, sector by sector; of each folder the names that were
//! synced, and of the others any.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dicom_store::fixture::{Step, Watch};

pub(crate) type FileNumber = usize;

/// A step as it was taken; paths are relative to the data folder.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create { file: FileNumber, path: PathBuf },
    Allocate { file: FileNumber, end: u64 },
    Write { file: FileNumber, at: u64, bytes: Arc<Vec<u8>> },
    SetLength { file: FileNumber, length: u64 },
    Sync { file: FileNumber },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    SyncFolder { path: PathBuf },
    Commit,
    Committed,
    SyncIndex,
}

/// The files of the index at a moment, by name.
pub(crate) type Index = Arc<BTreeMap<String, Vec<u8>>>;

/// Everything that happened, in order.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) ops: Vec<Op>,
    /// The index as it was when so many steps had been taken.
    pub(crate) indexes: Vec<(usize, Index)>,
    /// What had been answered when so many steps had been taken.
    pub(crate) answers: Vec<(usize, usize)>,
}

/// Notes what is done in a data folder, and lets steps fail.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<Recording>>);

type Refuse = Box<dyn FnMut(usize, &Step<'_>) -> io::Result<()> + Send>;

struct Recording {
    root: PathBuf,
    journal: Journal,
    files: usize,
    /// Files by the path that they have now, as far as they are known.
    paths: BTreeMap<PathBuf, FileNumber>,
    inodes: BTreeMap<u64, FileNumber>,
    refuse: Refuse,
    steps: usize,
}

impl Recorder {
    /// Of a data folder in which nothing has happened yet.
    pub(crate) fn of(root: &Path) -> Self {
        Self::refusing(root, Box::new(|_, _| Ok(())))
    }

    /// `refuse` is asked about each step, with its number; its error takes the step's place.
    pub(crate) fn refusing(root: &Path, refuse: Refuse) -> Self {
        Self(Arc::new(Mutex::new(Recording {
            root: root.to_owned(),
            journal: Journal::default(),
            files: 0,
            paths: BTreeMap::new(),
            inodes: BTreeMap::new(),
            refuse,
            steps: 0,
        })))
    }

    pub(crate) fn watch(&self) -> Watch {
        let recording = self.0.clone();
        Arc::new(move |step| recording.lock().unwrap().take(step))
    }

    /// Success was said about a sample.
    pub(crate) fn answered(&self, sample: usize) {
        let mut recording = self.0.lock().unwrap();
        let at = recording.journal.ops.len();
        recording.journal.answers.push((at, sample));
    }

    pub(crate) fn into_journal(self) -> Journal {
        std::mem::take(&mut self.0.lock().unwrap().journal)
    }
}

impl Recording {
    fn take(&mut self, step: &Step<'_>) -> io::Result<()> {
        let number = self.steps;
        self.steps += 1;
        (self.refuse)(number, step)?;
        self.meet_new_files();
        let op = self.op(step);
        self.journal.ops.push(op);
        if matches!(step, Step::Commit | Step::Committed) {
            let index = index_of(&self.root)?;
            self.journal.indexes.push((self.journal.ops.len(), Arc::new(index)));
        }
        Ok(())
    }

    /// A file has its number in the file system only once it was made, which is after the step.
    fn meet_new_files(&mut self) {
        for (path, file) in &self.paths {
            if let Ok(metadata) = fs::metadata(self.root.join(path)) {
                self.inodes.insert(metadata.ino(), *file);
            }
        }
    }

    fn op(&mut self, step: &Step<'_>) -> Op {
        match step {
            Step::Create { path } => {
                let (path, file) = (self.relative(path), self.files);
                self.files += 1;
                self.paths.insert(path.clone(), file);
                Op::Create { file, path }
            }
            Step::Allocate { file, at, length } => Op::Allocate { file: self.number(file), end: at + length },
            Step::Write { file, at, parts } => {
                Op::Write { file: self.number(file), at: *at, bytes: Arc::new(parts.concat()) }
            }
            Step::SetLength { file, length } => Op::SetLength { file: self.number(file), length: *length },
            Step::Sync { file } => Op::Sync { file: self.number(file) },
            Step::Rename { from, to } => {
                let (from, to) = (self.relative(from), self.relative(to));
                if let Some(file) = self.paths.remove(&from) {
                    self.paths.insert(to.clone(), file);
                }
                Op::Rename { from, to }
            }
            Step::Remove { path } => {
                let path = self.relative(path);
                if let Some(file) = self.paths.remove(&path) {
                    self.inodes.retain(|_, other| *other != file);
                }
                Op::Remove { path }
            }
            Step::SyncFolder { path } => Op::SyncFolder { path: self.relative(path) },
            Step::Commit => Op::Commit,
            Step::Committed => Op::Committed,
            Step::SyncIndex => Op::SyncIndex,
        }
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    fn number(&self, file: &File) -> FileNumber {
        self.inodes[&file.metadata().unwrap().ino()]
    }
}

fn index_of(root: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for name in ["index.sqlite", "index.sqlite-wal"] {
        match fs::read(root.join(name)) {
            Ok(bytes) => files.insert(name.to_owned(), bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
    }
    Ok(files)
}

/// What a file holds: bytes, and zeros up to its length.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    bytes: Vec<u8>,
    length: u64,
}

impl Content {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).unwrap();
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.length = self.length.max(end as u64);
    }

    fn set_length(&mut self, length: u64) {
        self.bytes.truncate(usize::try_from(length).unwrap());
        self.length = length;
    }

    fn apply(&mut self, change: &Change, kept: &Kept) {
        match change {
            Change::Length(length) => self.set_length(*length),
            Change::Longer(end) => self.length = self.length.max(*end),
            Change::Write { at, bytes } => {
                for range in kept.ranges(*at, bytes.len()) {
                    self.write(at + range.start as u64, &bytes[range]);
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Length(u64),
    Longer(u64),
    Write { at: u64, bytes: Arc<Vec<u8>> },
}

#[derive(Debug, Clone)]
enum NameChange {
    Put { path: PathBuf, file: FileNumber, instead_of: Option<PathBuf> },
    Remove { path: PathBuf },
}

impl NameChange {
    fn is_in(&self, folder: &Path) -> bool {
        let within = |path: &Path| path.parent() == Some(folder);
        match self {
            Self::Put { path, instead_of, .. } => within(path) || instead_of.as_deref().is_some_and(within),
            Self::Remove { path } => within(path),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, FileNumber>) {
        match self {
            Self::Put { path, file, instead_of } => {
                if let Some(from) = instead_of {
                    names.remove(from);
                }
                names.insert(path.clone(), *file);
            }
            Self::Remove { path } => {
                names.remove(path);
            }
        }
    }
}

/// What of a write that was not synced has reached the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    Nothing,
    /// So many bytes of its start.
    Start(usize),
    /// All but so many bytes of its start.
    Rest(usize),
    /// Some of its sectors, by the bits of this number, again and again.
    Sectors(u64),
}

const SECTOR: usize = 512;

impl Kept {
    fn ranges(&self, at: u64, length: usize) -> Vec<Range<usize>> {
        match self {
            Self::All => only(0..length),
            Self::Nothing => Vec::new(),
            Self::Start(end) => only(0..length.min(*end)),
            Self::Rest(start) => only(length.min(*start)..length),
            Self::Sectors(bits) => sectors(at, length)
                .enumerate()
                .filter(|(number, _)| bits >> (number % 64) & 1 == 1)
                .map(|(_, range)| range)
                .collect(),
        }
    }
}

fn only(range: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(range).collect()
}

/// The parts of a write that lie in one sector each.
fn sectors(at: u64, length: usize) -> impl Iterator<Item = Range<usize>> {
    let first = SECTOR - usize::try_from(at % SECTOR as u64).unwrap();
    let starts = std::iter::once(0).chain((first..length).step_by(SECTOR));
    starts.map(move |start| start..length.min(if start == 0 { first } else { start + SECTOR }))
}

/// What of the steps that were not synced has reached the disk.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// Of writes before the last.
    pub(crate) earlier: Kept,
    /// Of the last write.
    pub(crate) last: Kept,
    /// Whether lengths and allocations have.
    pub(crate) lengths: bool,
    /// Which names have, by the bits of this number.
    pub(crate) names: u64,
}

impl Choice {
    /// As after the end of the process alone: the system writes everything later.
    pub(crate) const ALL: Self = Self { earlier: Kept::All, last: Kept::All, lengths: true, names: u64::MAX };
    pub(crate) const NOTHING: Self =
        Self { earlier: Kept::Nothing, last: Kept::Nothing, lengths: false, names: 0 };
}

/// A disk after some steps.
#[derive(Default)]
pub(crate) struct Disk {
    durable: BTreeMap<FileNumber, Content>,
    pending: Vec<(FileNumber, Change)>,
    names: BTreeMap<PathBuf, FileNumber>,
    pending_names: Vec<NameChange>,
    /// Names as the process sees them.
    seen: BTreeMap<PathBuf, FileNumber>,
}

/// The files of a disk that was switched off.
pub(crate) type State = BTreeMap<PathBuf, Content>;

impl Disk {
    pub(crate) fn take(&mut self, op: &Op) {
        match op {
            Op::Create { file, path } => {
                self.seen.insert(path.clone(), *file);
                let put = NameChange::Put { path: path.clone(), file: *file, instead_of: None };
                self.pending_names.push(put);
            }
            Op::Rename { from, to } => {
                let file = self.seen.remove(from).unwrap();
                self.seen.insert(to.clone(), file);
                let put = NameChange::Put { path: to.clone(), file, instead_of: Some(from.clone()) };
                self.pending_names.push(put);
            }
            Op::Remove { path } => {
                self.seen.remove(path);
                self.pending_names.push(NameChange::Remove { path: path.clone() });
            }
            Op::Allocate { file, end } => self.pending.push((*file, Change::Longer(*end))),
            Op::SetLength { file, length } => self.pending.push((*file, Change::Length(*length))),
            Op::Write { file, at, bytes } => {
                self.pending.push((*file, Change::Write { at: *at, bytes: bytes.clone() }));
            }
            Op::Sync { file } => {
                let content = self.durable.entry(*file).or_default();
                for (_, change) in self.pending.extract_if(.., |(of, _)| of == file) {
                    content.apply(&change, &Kept::All);
                }
            }
            Op::SyncFolder { path } => {
                for change in self.pending_names.extract_if(.., |change| change.is_in(path)) {
                    change.apply(&mut self.names);
                }
            }
            Op::Commit | Op::Committed | Op::SyncIndex => {}
        }
    }

    /// The last write that is not synced.
    pub(crate) fn torn_write(&self) -> Option<&[u8]> {
        self.pending.iter().rev().find_map(|(_, change)| match change {
            Change::Write { bytes, .. } => Some(bytes.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn pending_names(&self) -> usize {
        self.pending_names.len()
    }

    pub(crate) fn switched_off(&self, choice: &Choice) -> State {
        let mut files = self.durable.clone();
        let is_write = |change: &Change| matches!(change, Change::Write { .. });
        let last_write = self.pending.iter().rposition(|(_, change)| is_write(change));
        for (number, (file, change)) in self.pending.iter().enumerate() {
            let content = files.entry(*file).or_default();
            if is_write(change) {
                let is_last = Some(number) == last_write;
                content.apply(change, if is_last { &choice.last } else { &choice.earlier });
            } else if choice.lengths {
                content.apply(change, &Kept::All);
            }
        }
        let mut names = self.names.clone();
        for (number, change) in self.pending_names.iter().enumerate() {
            if choice.names >> number.min(63) & 1 == 1 {
                change.apply(&mut names);
            }
        }
        names.into_iter().map(|(path, file)| (path, files.get(&file).cloned().unwrap_or_default())).collect()
    }
}

/// To tell a state from others.
pub(crate) fn digest_of(state: &State) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (path, content) in state {
        hasher.update(path.as_os_str().as_encoded_bytes());
        for number in [content.length, content.bytes.len() as u64] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&content.bytes);
    }
    *hasher.finalize().as_bytes()
}

/// Makes the files of a state in a folder.
pub(crate) fn lay_out(state: &State, index: Option<&Index>, folder: &Path) -> io::Result<()> {
    for (path, content) in state {
        let place = folder.join(path);
        fs::create_dir_all(place.parent().unwrap())?;
        let file = File::create(place)?;
        file.write_all_at(&content.bytes, 0)?;
        file.set_len(content.length)?;
    }
    for (name, bytes) in index.into_iter().flat_map(|files| files.iter()) {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
