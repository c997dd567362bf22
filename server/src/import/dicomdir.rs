//! Media with a DICOMDIR (PS3.10 §8, PS3.11): which files it names, and where they are.
//!
//! File IDs are capitals by the standard. What a file system makes of them is not: small letters, and on ISO 9660 a
//! version behind the name (`IM0001.;1`).

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dicom_store::model::{Attributes, Error, FileMeta, Result, Tag};

const DIRECTORY_RECORDS: Tag = Tag(0x0004, 0x1220);
const RECORD_IN_USE: Tag = Tag(0x0004, 0x1410);
const REFERENCED_FILE: Tag = Tag(0x0004, 0x1500);
/// A directory of a million records is smaller.
const MAX_BYTES: u64 = 512 << 20;

/// Whether a file has the name of a DICOMDIR.
pub(super) fn is_dicomdir(path: &Path) -> bool {
    path.file_name().is_some_and(|name| plain(&name.to_string_lossy()) == "DICOMDIR")
}

/// A file that a DICOMDIR names: where it is, or the File ID for which there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Found(PathBuf),
    Missing(String),
}

/// The files that a DICOMDIR names, in its order.
///
/// # Errors
/// `Invalid` when it cannot be read as a data set; what the file system says.
pub(super) fn references(dicomdir: &Path) -> Result<Vec<Reference>> {
    let length = std::fs::metadata(dicomdir)?.len();
    if length > MAX_BYTES {
        return Err(Error::invalid(format!(
            "DICOMDIR of {} MiB, limit is {}",
            length >> 20,
            MAX_BYTES >> 20
        )));
    }
    let bytes = Bytes::from(std::fs::read(dicomdir)?);
    let meta = FileMeta::read(&bytes, true)?.ok_or_else(|| Error::invalid("DICOMDIR is no DICOM file"))?;
    let data_set = usize::try_from(meta.data_set).unwrap_or(usize::MAX).min(bytes.len());
    let directory = Attributes::read(bytes.slice(data_set..), meta.transfer_syntax.facts().encoding)?;
    let mut folders = Folders::default();
    let root = dicomdir.parent().unwrap_or(Path::new("."));
    let in_use =
        directory.items(DIRECTORY_RECORDS).iter().filter(|record| record.int(RECORD_IN_USE) != Some(0));
    let ids = in_use.map(|record| record.texts(REFERENCED_FILE)).filter(|id| !id.is_empty());
    Ok(ids.map(|id| folders.find(root, &id)).collect())
}

/// Names without case and version, as folders were found to hold them.
#[derive(Default)]
struct Folders(HashMap<PathBuf, HashMap<String, OsString>>);

impl Folders {
    fn find(&mut self, root: &Path, id: &[String]) -> Reference {
        let mut path = root.to_owned();
        for component in id {
            let folder = self.0.entry(path.clone()).or_insert_with(|| names(&path).unwrap_or_default());
            match folder.get(&plain(component)) {
                Some(name) => path.push(name),
                None => return Reference::Missing(id.join("/")),
            }
        }
        Reference::Found(path)
    }
}

/// Links are not followed, so they are not there.
fn names(folder: &Path) -> io::Result<HashMap<String, OsString>> {
    let mut names = HashMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() {
            names.insert(plain(&entry.file_name().to_string_lossy()), entry.file_name());
        }
    }
    Ok(names)
}

/// `im0001.;1` is `IM0001`.
fn plain(name: &str) -> String {
    let (name, version) = name.rsplit_once(';').unwrap_or((name, ""));
    let name = if version.bytes().all(|byte| byte.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("{name};{version}")
    };
    name.trim_end_matches('.').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_file_systems_are_those_of_the_directory() {
        for name in ["IM0001", "im0001", "IM0001.;1", "im0001;1"] {
            assert_eq!(plain(name), "IM0001", "{name}");
        }
        assert_eq!(plain("a;b"), "A;B");
    }

    #[test]
    fn a_name_that_leads_out_of_the_medium_is_not_found() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("cd")).unwrap();
        std::fs::write(folder.path().join("OUT"), b"").unwrap();
        let id = ["..".to_owned(), "OUT".to_owned()];
        let found = Folders::default().find(&folder.path().join("cd"), &id);
        assert_eq!(found, Reference::Missing("../OUT".to_owned()));
    }
}
