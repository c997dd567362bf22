//! The real binary, as an operator starts it.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time,
};

pub use crate::address::free_address;
use crate::{
    tools::{Finished, program, run},
    usage::Usage,
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
    /// DIMSE within TLS, where that is set up.
    pub dimse_tls: Option<SocketAddr>,
    log: PathBuf,
}

impl Program {
    /// Starts it and waits until it says that it is ready. Its log goes to a file beside the data folder.
    pub async fn start(data: &Path, options: &[&str]) -> Result<Self> {
        Self::launch(Command::new(program()?), data, &[&["--open"], options].concat()).await
    }

    /// As [`Program::start`] without `--open`: as a hospital runs it.
    pub async fn start_closed(data: &Path, options: &[&str]) -> Result<Self> {
        Self::launch(Command::new(program()?), data, options).await
    }

    /// As [`Program::start`]; a file that must not grow is an error to it, not the signal that would end it.
    ///
    /// What a full disk does to a process, `limit_file_size` does without one.
    pub async fn start_on_limited_disk(data: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program()?);
        Self::launch(command, data, &["--open"]).await
    }

    /// How long a file of its may grow from now on; `None` for any length.
    pub fn limit_file_size(&self, bytes: Option<u64>) -> Result<()> {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(self.pid()?), Resource::Fsize, limit).context("limit the size of files")?;
        Ok(())
    }

    async fn launch(mut command: Command, data: &Path, options: &[&str]) -> Result<Self> {
        let log = data.with_extension("log");
        let output = fs::File::options().create(true).append(true).open(&log)?;
        // Port 0: any that is free; what it prints says which. Peers that call us by themselves have to know it before.
        command.args(["serve", "--http", "127.0.0.1:0", "--data"]).arg(data);
        if !options.contains(&"--dimse") {
            command.args(["--dimse", "127.0.0.1:0"]);
        }
        command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(output).kill_on_drop(true);
        let mut child = command.spawn().context("start filmless")?;
        let stdout = child.stdout.take().context("filmless has no output")?;
        let addresses = time::timeout(START, addresses(stdout)).await;
        let Addresses { http, dimse, dimse_tls, is_https } = match addresses {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => bail!("{error:#}; its log:\n{}", fs::read_to_string(&log)?),
            Err(_) => {
                bail!("filmless names no address within {START:?}; its log:\n{}", fs::read_to_string(&log)?)
            }
        };
        let program = Self { child, dimse, http, dimse_tls, log };
        // Whoever speaks TLS with it is kept waiting by the system until it accepts.
        if !is_https {
            program.wait_until_ready().await?;
        }
        Ok(program)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let web = Web::new(self.http);
        until("/health/ready says 200", START, async || {
            let answer = web.get("/health/ready", "*/*").await.ok()?;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await
        .with_context(|| self.log())
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

    /// What it has used of the machine since it started.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid()?.as_raw_nonzero().get())
    }

    /// Its process.
    pub fn process(&self) -> Result<i32> {
        Ok(self.pid()?.as_raw_nonzero().get())
    }

    fn pid(&self) -> Result<Pid> {
        let id = self.child.id().context("filmless has ended")?;
        Pid::from_raw(i32::try_from(id)?).context("a process id of 0")
    }
}

/// Where it listens.
struct Addresses {
    http: SocketAddr,
    dimse: SocketAddr,
    dimse_tls: Option<SocketAddr>,
    is_https: bool,
}

/// From the lines that say so: `tls     AET@ADDRESS`, `viewer  http://ADDRESS/` and `dimse   AET@ADDRESS`.
async fn addresses(stdout: ChildStdout) -> Result<Addresses> {
    let mut lines = BufReader::new(stdout).lines();
    let (mut http, mut dimse, mut dimse_tls, mut is_https) = (None, None, None, false);
    let of = |entity: &str| entity.split_once('@').map_or("", |(_, address)| address).parse();
    while let Some(line) = lines.next_line().await? {
        match line.split_once(' ') {
            Some(("viewer", url)) => {
                let (scheme, address) = url.trim().split_once("://").context("no address of the viewer")?;
                is_https = scheme == "https";
                let address = address.trim_end_matches('/');
                http = Some(address.parse().context("address of the viewer")?);
            }
            Some(("dimse", entity)) => dimse = Some(of(entity).context("address of DIMSE")?),
            Some(("tls", entity)) => dimse_tls = Some(of(entity).context("address of DICOM TLS")?),
            _ => {}
        }
        if let Some((http, dimse)) = http.zip(dimse) {
            // The rest is drained, so that it never waits for us to read.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Addresses { http, dimse, dimse_tls, is_https });
        }
    }
    bail!("filmless ended before it named its addresses")
}

/// Runs another subcommand to its end: `filmless reindex --data …`.
pub async fn filmless<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Finished> {
    run(Command::new(program()?).args(arguments), START * 2).await
}

/// Sum over the lines of a log that have these words: `instances sent … instances=12`.
pub fn sum_of(log: &str, words: &str, field: &str) -> u64 {
    let field = format!("{field}=");
    let count = |line: &str| line.split(&field).nth(1)?.split_whitespace().next()?.parse::<u64>().ok();
    log.lines().map(plain).filter(|line| line.contains(words)).filter_map(|line| count(&line)).sum()
}

/// Without the colours of a terminal.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut is_escape = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => is_escape = true,
            'm' if is_escape => is_escape = false,
            c if !is_escape => plain.push(c),
            _ => {}
        }
    }
    plain
}
