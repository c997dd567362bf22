//! What lies at the paths that are imported, folder by folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use dicom_store::Error;

use super::dicomdir::{self, Reference, is_dicomdir};

/// Something that was come across.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, and who says that it is one of DICOM.
    File { path: PathBuf, named: Named },
    /// A link, a socket, a DICOMDIR. Links are not followed: they may lead out of the folder, or round in it.
    Skipped,
    /// A file that a DICOMDIR names and that is not there.
    Missing { dicomdir: PathBuf, id: String },
    /// A folder or a DICOMDIR that cannot be read.
    Unreadable { path: PathBuf, error: Error },
}

/// Who names a file. What nobody names may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Nobody,
    Dicomdir,
    /// Whoever imports, this file alone.
    Importer,
}

/// Walks through folders, files before folders, each in the order of their names. Holds one folder at a time.
pub(super) struct Walk<F> {
    give: F,
    /// What DICOMDIRs name, as far as it has not been come across.
    named: HashSet<PathBuf>,
}

impl<F: FnMut(Found) -> bool> Walk<F> {
    /// `give` takes what is found, and says whether to go on.
    pub(super) fn new(give: F) -> Self {
        Self { give, named: HashSet::new() }
    }

    /// A folder and all below it, a DICOMDIR and its folder, or a file.
    pub(super) fn path(&mut self, path: &Path) -> bool {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.below(path.to_owned()),
            Ok(_) if is_dicomdir(path) => {
                let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                self.below(folder.unwrap_or(Path::new(".")).to_owned())
            }
            Ok(_) => (self.give)(Found::File { path: path.to_owned(), named: Named::Importer }),
            Err(error) => (self.give)(Found::Unreadable { path: path.to_owned(), error: error.into() }),
        }
    }

    fn below(&mut self, folder: PathBuf) -> bool {
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let is_wanted = match self.folder(&folder, &mut folders) {
                Ok(is_wanted) => is_wanted,
                Err(error) => (self.give)(Found::Unreadable { path: folder, error: error.into() }),
            };
            if !is_wanted {
                return false;
            }
        }
        true
    }

    fn folder(&mut self, folder: &Path, folders: &mut Vec<PathBuf>) -> std::io::Result<bool> {
        let (mut files, mut below, mut skipped) = (Vec::new(), Vec::new(), 0);
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => below.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => skipped += 1,
            }
        }
        files.sort();
        below.sort();
        folders.extend(below.into_iter().rev());
        Ok((0..skipped).all(|_| (self.give)(Found::Skipped)) && self.files(files))
    }

    fn files(&mut self, files: Vec<PathBuf>) -> bool {
        let (directories, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| is_dicomdir(path));
        for dicomdir in directories {
            if !self.directory(dicomdir) {
                return false;
            }
        }
        files.into_iter().all(|path| {
            let named = if self.named.remove(&path) { Named::Dicomdir } else { Named::Nobody };
            (self.give)(Found::File { path, named })
        })
    }

    fn directory(&mut self, dicomdir: PathBuf) -> bool {
        match dicomdir::references(&dicomdir) {
            Ok(references) => {
                references.into_iter().all(|reference| match reference {
                    Reference::Found(path) => {
                        self.named.insert(path);
                        true
                    }
                    Reference::Missing(id) => (self.give)(Found::Missing { dicomdir: dicomdir.clone(), id }),
                }) && (self.give)(Found::Skipped)
            }
            Err(error) => (self.give)(Found::Unreadable { path: dicomdir, error }),
        }
    }
}
