//! A modality or workstation made of DCMTK's programs.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::tools::{Finished, run};

const LIMIT: Duration = Duration::from_secs(90);

/// A peer with an AE title, and the server that it talks to.
pub struct Modality {
    server: SocketAddr,
    ae_title: String,
    /// The longest PDU that it takes of what it retrieves; DCMTK's own without.
    max_pdu: Option<u32>,
}

impl Modality {
    pub fn new(server: SocketAddr, ae_title: &str) -> Self {
        Self { server, ae_title: ae_title.to_owned(), max_pdu: None }
    }

    /// One that takes PDUs of up to so many bytes of what it retrieves.
    pub fn with_max_pdu(self, bytes: u32) -> Self {
        Self { max_pdu: Some(bytes), ..self }
    }

    /// One of DCMTK's programs that receives.
    fn receiver(&self, name: &str, options: &[&str]) -> Command {
        let max_pdu = self.max_pdu.map(|bytes| bytes.to_string());
        let max_pdu = max_pdu.as_ref().map_or(Vec::new(), |bytes| vec!["--max-pdu", bytes]);
        self.program(name, &[&max_pdu[..], options].concat())
    }

    /// One of DCMTK's programs, with both AE titles and the server's address as its last common arguments.
    fn program(&self, name: &str, options: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(["-aet", &self.ae_title, "-aec", "FILMLESS", "-to", "10"]).args(options);
        command.arg(self.server.ip().to_string()).arg(self.server.port().to_string());
        command
    }

    /// C-ECHO (PS3.4 Annex A).
    pub async fn echo(&self) -> Result<Finished> {
        self.echo_with(&[]).await
    }

    /// The same with further options of `echoscu`.
    pub async fn echo_with(&self, options: &[&str]) -> Result<Finished> {
        run(&mut self.program("echoscu", &[&["-v"], options].concat()), LIMIT).await
    }

    /// C-STORE with `storescu`; `options` choose the transfer syntaxes that it proposes.
    pub async fn store(&self, options: &[&str], files: &[PathBuf]) -> Result<Finished> {
        run(self.program("storescu", options).arg("-v").args(files), LIMIT).await
    }

    /// C-STORE with `dcmsend`, which proposes each file's own transfer syntax and never decompresses here.
    ///
    /// Gives its report.
    pub async fn send(&self, files: &[PathBuf]) -> Result<String> {
        let folder = TempDir::new()?;
        let report = folder.path().join("report.txt");
        let mut command = self.program("dcmsend", &["-dn", "-nuc", "-v"]);
        run(command.args(files).arg("+crf").arg(&report), LIMIT).await?.well()?;
        fs::read_to_string(&report).context("read dcmsend's report")
    }

    /// C-FIND at a level of the Study Root: each response in the DICOM JSON Model.
    ///
    /// `keys` are as `findscu -k` takes them: `PatientName=NGUYEN*`.
    pub async fn find(&self, level: &str, keys: &[&str]) -> Result<Vec<Value>> {
        let folder = TempDir::new()?;
        let level = format!("QueryRetrieveLevel={level}");
        let mut command = self.program("findscu", &["-S", "-X", "-k", &level]);
        for key in keys {
            command.args(["-k", key]);
        }
        run(command.arg("-od").arg(folder.path()), LIMIT).await?.well()?;
        let mut responses = Vec::new();
        for file in files_in(folder.path())? {
            let json = run(Command::new("dcm2json").arg(&file), LIMIT).await?.well()?;
            responses.push(serde_json::from_str(&json.stdout).context("read what dcm2json wrote")?);
        }
        Ok(responses)
    }

    /// C-GET of a study, kept byte for byte as it came; gives the files.
    pub async fn get(&self, study: &str, into: &Path) -> Result<Vec<PathBuf>> {
        self.get_with(&[], study, into).await
    }

    /// The same with further options of `getscu`, which offers all that it prefers in one presentation context.
    pub async fn get_with(&self, options: &[&str], study: &str, into: &Path) -> Result<Vec<PathBuf>> {
        let key = format!("StudyInstanceUID={study}");
        let asked = ["-S", "+B", "-k", "QueryRetrieveLevel=STUDY", "-k", &key];
        let mut command = self.receiver("getscu", &[options, &asked].concat());
        run(command.arg("-od").arg(into), LIMIT).await?.well()?;
        files_in(into)
    }

    /// C-MOVE of a study to this peer itself, which receives on `port`; gives the files.
    pub async fn fetch_by_move(&self, study: &str, port: u16, into: &Path) -> Result<Vec<PathBuf>> {
        let key = format!("StudyInstanceUID={study}");
        let port = port.to_string();
        let options = [
            "-S",
            "+B",
            "+xa",
            "-aem",
            &self.ae_title,
            "+P",
            &port,
            "-k",
            "QueryRetrieveLevel=STUDY",
            "-k",
            &key,
        ];
        // With +B it writes where it was started, whatever -od says.
        run(self.receiver("movescu", &options).current_dir(into), LIMIT).await?.well()?;
        files_in(into)
    }

    /// C-MOVE of a study to whoever the server knows as `destination`.
    pub async fn move_to(&self, destination: &str, study: &str) -> Result<Finished> {
        let key = format!("StudyInstanceUID={study}");
        let options = ["-v", "-S", "-aem", destination, "-k", "QueryRetrieveLevel=STUDY", "-k", &key];
        run(&mut self.program("movescu", &options), LIMIT).await
    }
}

/// The data set of a file as `dcmdump` prints it; fails on anything that is no DICOM file.
pub async fn dump(file: &Path) -> Result<String> {
    Ok(run(Command::new("dcmdump").arg("--quiet").arg(file), LIMIT).await?.well()?.stdout)
}

/// The File Meta Information of a file, UIDs as numbers.
pub async fn meta_of(file: &Path) -> Result<String> {
    let mut command = Command::new("dcmdump");
    command.args(["--quiet", "--no-uid-names", "--search", "TransferSyntaxUID"]).arg(file);
    Ok(run(&mut command, LIMIT).await?.well()?.stdout)
}

/// The files of a folder, by name.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}
