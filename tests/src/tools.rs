//! Programs that the tests call: where they lie, and how they are run with a limit.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{process::Command, time};

/// The folder with this crate's scripts.
pub fn scripts() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `target/debug` or `target/release`: where the running test was built to.
fn profile_folder() -> Result<PathBuf> {
    let exe = env::current_exe().context("find the running test")?;
    let folder = exe.ancestors().nth(2).context("the running test lies in target/<profile>/deps")?;
    Ok(folder.to_owned())
}

/// The program of this build, beside the tests.
///
/// # Errors
/// When it was not built: cargo builds a program only for the tests of its own package, so `make` does it before.
pub fn program() -> Result<PathBuf> {
    let path = profile_folder()?.join("filmless");
    ensure!(
        path.is_file(),
        "{} is missing: `cargo build -p filmless` (or `make test`) builds it",
        path.display()
    );
    Ok(path)
}

/// The Python with the pinned peers.
pub fn python() -> Result<PathBuf> {
    let target = profile_folder()?.parent().context("a profile lies in the target folder")?.to_owned();
    let path = target.join("peers/bin/python");
    ensure!(path.is_file(), "{} is missing: `make test` installs the Python peers", path.display());
    Ok(path)
}

/// One of the command line tools of dicom-rs, such as `dicom-storescu`.
pub fn dicom_rs(name: &str) -> Result<PathBuf> {
    let target = profile_folder()?.parent().context("a profile lies in the target folder")?.to_owned();
    let path = target.join("dicom-rs-0.10.1/bin").join(name);
    ensure!(path.is_file(), "{} is missing: `make test` installs the tools of dicom-rs", path.display());
    Ok(path)
}

/// The built OHIF viewer.
pub fn ohif() -> Result<PathBuf> {
    let target = profile_folder()?.parent().context("a profile lies in the target folder")?.to_owned();
    let path = target.join("ohif-3.13.2/dist");
    ensure!(path.join("index.html").is_file(), "{} is missing: `make test` fetches it", path.display());
    Ok(path)
}

/// Chromium or Chrome: `CHROMIUM`, else the first that is installed.
pub fn chromium() -> Result<PathBuf> {
    if let Some(path) = env::var_os("CHROMIUM") {
        return on_path(&path).with_context(|| format!("CHROMIUM is {}", path.display()));
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    names
        .iter()
        .find_map(|name| on_path(OsStr::new(name)).ok())
        .context("no Chromium: `make test` installs it")
}

fn on_path(name: &OsStr) -> Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{} is not installed", name.display()))
}

/// What a program did.
#[derive(Debug)]
pub struct Finished {
    pub success: bool,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// # Errors
    /// With all of its output, when the program did not end well.
    pub fn well(self) -> Result<Self> {
        if self.success {
            return Ok(self);
        }
        bail!("ended with {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs a program to its end; it is killed when the limit passes or the test ends.
///
/// # Errors
/// When it cannot be started or is not through within the limit. A failing program is not an error here.
pub async fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let name = format!("{:?}", command.as_std().get_program());
    let output = time::timeout(limit, command.output())
        .await
        .with_context(|| format!("{name} is not through after {limit:?}"))?
        .with_context(|| format!("start {name}: is it installed? `make test` does it"))?;
    Ok(Finished {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
