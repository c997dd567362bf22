//! What is being fed, in a file: a process that is aborted or killed leaves it behind for whoever started it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

const NAME: &str = "now";

/// The input that is being fed, with its length before it.
pub struct Kept {
    file: File,
    bytes: Vec<u8>,
}

impl Kept {
    /// In this folder, made where it is missing.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let file = File::create(folder.join(NAME)).with_context(|| folder.display().to_string())?;
        Ok(Self { file, bytes: Vec::new() })
    }

    /// This one is fed now. It is in the system's memory when this returns: enough for all but a machine that stops.
    ///
    /// # Errors
    /// What the disk says.
    pub fn note(&mut self, input: &[u8]) -> Result<()> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&u64::try_from(input.len())?.to_le_bytes());
        self.bytes.extend_from_slice(input);
        Ok(self.file.write_all_at(&self.bytes, 0)?)
    }
}

/// What was being fed when the process ended, kept as a file that the next run leaves alone; `None` when it had not
/// begun.
///
/// # Errors
/// What the disk says.
pub fn left_behind(folder: &Path, seed: u64) -> Result<Option<PathBuf>> {
    let bytes = fs::read(folder.join(NAME)).with_context(|| format!("{}/{NAME}", folder.display()))?;
    let Some((length, input)) = bytes.split_first_chunk() else { return Ok(None) };
    let input = input.get(..usize::try_from(u64::from_le_bytes(*length))?);
    let input = input.context("the input is not whole")?;
    let path = folder.join(format!("died-{}-seed-{seed}", input.len()));
    fs::write(&path, input)?;
    Ok(Some(path))
}
