//! A server for one test, over a data folder that goes with it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::StatusCode;
use tempfile::TempDir;

use crate::{Modality, Web, corpus::Synthetic, program::Program};

pub struct Pacs {
    program: Program,
    folder: TempDir,
}

impl Pacs {
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// With further options of `filmless serve`.
    pub async fn with(options: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let program = Program::start(&folder.path().join("data"), options).await?;
        Ok(Self { program, folder })
    }

    /// Without `--open`: as a hospital runs it.
    pub async fn closed(options: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let program = Program::start_closed(&folder.path().join("data"), options).await?;
        Ok(Self { program, folder })
    }

    /// Where [`Pacs::limit_file_size`] can make the disk full.
    pub async fn on_limited_disk() -> Result<Self> {
        let folder = TempDir::new()?;
        let program = Program::start_on_limited_disk(&folder.path().join("data")).await?;
        Ok(Self { program, folder })
    }

    /// How long a file of the server's may grow from now on; `None` for any length.
    pub fn limit_file_size(&self, bytes: Option<u64>) -> Result<()> {
        self.program.limit_file_size(bytes)
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// The most physical memory that it has held, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.program.peak_memory()
    }

    pub fn dimse(&self) -> SocketAddr {
        self.program.dimse
    }

    /// DIMSE within TLS.
    ///
    /// # Errors
    /// When it is not set up.
    pub fn dimse_tls(&self) -> Result<SocketAddr> {
        self.program.dimse_tls.context("no address of DICOM TLS")
    }

    pub fn http(&self) -> SocketAddr {
        self.program.http
    }

    pub fn web(&self) -> Web {
        Web::new(self.http())
    }

    pub fn modality(&self, ae_title: &str) -> Modality {
        Modality::new(self.dimse(), ae_title)
    }

    /// A new folder for the test's own files.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Puts instances in by STOW-RS, for tests of something else.
    pub async fn hold(&self, instances: &[Synthetic]) -> Result<()> {
        let files: Vec<Bytes> = instances.iter().map(Synthetic::file).collect();
        let answer = self.web().store("/dicom-web/studies", &files).await?;
        ensure!(answer.status == StatusCode::OK, "store: {answer:?}");
        Ok(())
    }

    /// Puts the files of a folder in by STOW-RS.
    pub async fn store_folder(&self, folder: &Path) -> Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            files.push(Bytes::from(std::fs::read(entry?.path())?));
        }
        let answer = self.web().store("/dicom-web/studies", &files).await?;
        ensure!(answer.status == StatusCode::OK, "store: {answer:?}");
        Ok(())
    }

    /// An instance as it lies in the archive: its Part 10 file.
    pub async fn file_of(&self, instance: &Synthetic) -> Result<Bytes> {
        let Synthetic { study, series, sop_instance, .. } = instance;
        stored_file(&self.web(), study, series, sop_instance).await
    }
}

/// The Part 10 file of an instance in the transfer syntax that it is stored in (PS3.18 §10.4.1.1.1).
pub async fn stored_file(web: &Web, study: &str, series: &str, instance: &str) -> Result<Bytes> {
    let path = format!("/dicom-web/studies/{study}/series/{series}/instances/{instance}");
    let accept = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
    let mut parts = web.get(&path, accept).await?.parts()?;
    ensure!(parts.len() == 1, "{} parts for one instance", parts.len());
    Ok(parts.remove(0))
}

/// The data set of a Part 10 file, behind its File Meta Information (PS3.10 §7.1).
pub fn data_set_of(file: &Bytes) -> Result<Bytes> {
    let group_length: Option<[u8; 4]> = file.get(140..144).and_then(|bytes| bytes.try_into().ok());
    let magic = file.get(128..132) == Some(b"DICM") && file.get(132..136) == Some(&[2, 0, 0, 0]);
    let start = group_length.map(u32::from_le_bytes).map_or(0, |length| length as usize).saturating_add(144);
    ensure!(magic && start <= file.len(), "no File Meta Information with a group length");
    Ok(file.slice(start..))
}
