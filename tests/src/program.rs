//! The real binary, as an operator starts it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::{
    process::{Child, Command},
    time,
};

use crate::{
    tools::{Finished, program, run},
    wait::until,
    web::Web,
};

/// A cold start on a busy machine, with the log to be replayed.
const START: Duration = Duration::from_secs(60);

/// `filmless serve --open` over a data folder that outlives it, so that another one can be started over the same.
pub struct Program {
    child: Child,
    pub dimse: SocketAddr,
    pub http: SocketAddr,
    log: PathBuf,
}

impl Program {
    /// Starts it and waits until it says that it is ready. Its log goes to a file beside the data folder.
    pub async fn start(data: &Path, options: &[&str]) -> Result<Self> {
        Self::launch(Command::new(program()?), data, options).await
    }

    /// As [`Program::start`]; a file that must not grow is an error to it, not the signal that would end it.
    ///
    /// What a full disk does to a process, `limit_file_size` does without one.
    pub async fn start_on_limited_disk(data: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program()?);
        Self::launch(command, data, &[]).await
    }

    /// How long a file of its may grow from now on; `None` for any length.
    pub fn limit_file_size(&self, bytes: Option<u64>) -> Result<()> {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(self.pid()?), Resource::Fsize, limit).context("limit the size of files")?;
        Ok(())
    }

    async fn launch(mut command: Command, data: &Path, options: &[&str]) -> Result<Self> {
        let dimse = free_address()?;
        let http = free_address()?;
        let log = data.with_extension("log");
        command.args(["serve", "--open", "--data"]).arg(data);
        command.args(["--dimse", &dimse.to_string(), "--http", &http.to_string()]).args(options);
        let output = fs::File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let child = command.spawn().context("start filmless")?;
        let mut program = Self { child, dimse, http, log };
        program.wait_until_ready().await?;
        Ok(program)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let web = Web::new(self.http);
        let ready = until("/health/ready says 200", START, async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(Err(status));
            }
            let answer = web.get("/health/ready", "").await.ok()?;
            (answer.status == StatusCode::OK).then_some(Ok(()))
        });
        let ended = match ready.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(status)) => format!("filmless ended with {status}"),
            Err(error) => error.to_string(),
        };
        anyhow::bail!("{ended}; its log:\n{}", self.log())
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`: it has no chance to tidy up.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("kill filmless")
    }

    /// SIGTERM, as a service manager sends it; the process goes on until [`Program::exit`].
    pub fn terminate(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::TERM).context("send SIGTERM")
    }

    /// Waits until it has ended by itself.
    pub async fn exit(mut self) -> Result<ExitStatus> {
        time::timeout(START, self.child.wait())
            .await
            .context("filmless does not end")?
            .context("wait for filmless")
    }

    /// The most physical memory that it has held, in bytes (`VmHWM`).
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?.as_raw_nonzero()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes * 1024)
    }

    fn pid(&self) -> Result<Pid> {
        let id = self.child.id().context("filmless has ended")?;
        Pid::from_raw(i32::try_from(id)?).context("a process id of 0")
    }
}

/// Runs another subcommand to its end: `filmless reindex --data …`.
pub async fn filmless(arguments: &[&str]) -> Result<Finished> {
    let finished = run(Command::new(program()?).args(arguments), START * 2).await?;
    ensure!(finished.success, "filmless {arguments:?}: {finished:?}");
    Ok(finished)
}

/// A loopback address that is free now.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
