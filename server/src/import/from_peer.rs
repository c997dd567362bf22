//! `filmless import --from PEER`: another archive comes over, study by study, and is counted.
//!
//! It is done in this process, on an archive that no server runs on. The peer sends by C-GET, or by C-MOVE to us where it
//! does not take that: so DIMSE listens meanwhile, and the peer has to know us by our AE title and address.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use dicom_net::ul::tls::Acceptor;
use dicom_store::model::AeTitle;
use dicom_store::{Archive, Caller, Peer};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;
use worker::migrate::{Migrated, Migration, Order, dates};
use worker::{CpuPool, Remotes as _};

use crate::config::Config;

/// How often it is told how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// What is asked for on the command line.
#[derive(Debug)]
pub(crate) struct Asked {
    /// AE title of a peer that is known, or `AET@HOST:PORT`.
    pub(crate) from: String,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    /// MiB a second.
    pub(crate) pace: Option<u64>,
    pub(crate) at_a_time: usize,
    pub(crate) report: Option<PathBuf>,
}

/// Brings everything over, and says what is missing.
pub(crate) async fn import(
    mut config: Config,
    archive: &Archive,
    asked: Asked,
    stop: CancellationToken,
    say: impl Fn(&str),
) -> anyhow::Result<ExitCode> {
    dates(asked.since.as_deref(), asked.until.as_deref())?;
    let peer = peer(&config, &asked.from).await?;
    config.dimse.peers.retain(|known| known.ae_title != peer.ae_title);
    config.dimse.peers.push(peer.clone());
    let pool = CpuPool::new(config.worker.threads)?;
    let dimse = dicom_net::Server::new(archive.clone(), pool, config.dimse.clone());
    let remotes = dimse.remotes();
    let _serving = listen(&config, &dimse, &stop, &say).await?;
    let took = remotes.echo(&peer.ae_title).await.with_context(|| format!("C-ECHO to {peer}"))?;
    say(&format!("{peer} answered in {} ms", took.as_millis()));
    let session = archive.acting_as(Caller::System("import"));
    let order = Order {
        peer: peer.ae_title.clone(),
        since: asked.since,
        until: asked.until,
        at_a_time: asked.at_a_time.clamp(1, peer.max_associations.max(1)),
        bytes_a_second: asked.pace.map(|mib| mib.saturating_mul(1 << 20)),
    };
    let work = archive.work();
    let migration = Migration { order, remotes: &*remotes, session: &session, work: &work, stop: &stop };
    let report = std::cell::RefCell::new(Report::open(asked.report.as_deref())?);
    let told = std::cell::Cell::new((Instant::now(), 0_u64));
    let counts = migration.run(|migrated, _| {
        report.borrow_mut().line(migrated);
        if !migrated.is_complete() || migrated.deleted > 0 {
            say(&describe(migrated));
        }
        let (at, studies) = told.get();
        told.set((at, studies + 1));
        if at.elapsed() >= PROGRESS {
            say(&format!("{} studies looked at", studies + 1));
            told.set((Instant::now(), studies + 1));
        }
    });
    let counts = counts.await?;
    report.into_inner().close()?;
    say(&counts.to_string());
    if stop.is_cancelled() {
        say("stopped; the same command goes on where this one was");
    }
    Ok(if counts.is_complete() && !stop.is_cancelled() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Listens as the server would, in clear text and within TLS where that is set up: what the peer gives by C-MOVE comes so.
/// An address that is in use is told and left out.
async fn listen(
    config: &Config,
    dimse: &dicom_net::Server,
    stop: &CancellationToken,
    say: &impl Fn(&str),
) -> anyhow::Result<Vec<AbortOnDropHandle<()>>> {
    config.dimse.check().context("dimse")?;
    let bind = async |address| match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            warn!(%error, %address, "nobody can send to us by C-MOVE there meanwhile");
            say(&format!("{address} is in use: what the peer gives by C-MOVE to it will be missing"));
            None
        }
    };
    let mut serving = Vec::new();
    if let Some(listener) = bind(config.dimse.listen).await {
        let serve = dimse.clone().serve(listener, stop.clone());
        serving.push(AbortOnDropHandle::new(tokio::spawn(serve)));
    }
    let tls = &config.dimse.tls;
    if tls.is_accepting()
        && let Some(listener) = bind(tls.listen).await
    {
        let serve = dimse.clone().serve_tls(listener, Acceptor::new(tls)?, stop.clone());
        serving.push(AbortOnDropHandle::new(tokio::spawn(serve)));
    }
    Ok(serving)
}

async fn peer(config: &Config, name: &str) -> anyhow::Result<Peer> {
    if let Some(peer) = config.dimse.peer(name) {
        return Ok(peer);
    }
    let known = match AeTitle::parse(name) {
        Ok(title) => Peer::registered(&config.store, &title).await?,
        Err(_) => None,
    };
    match known {
        Some(peer) => Ok(peer),
        None => bail!("{name} is neither a peer that is known here nor AET@HOST:PORT"),
    }
}

fn describe(migrated: &Migrated) -> String {
    let study = &migrated.study;
    match (&migrated.error, migrated.expected) {
        (Some(error), _) => format!("study {study} did not come: {error}"),
        (None, Some(expected)) if migrated.deleted > 0 => {
            let (here, deleted) = (migrated.here, migrated.deleted);
            format!("study {study}: {here} of {expected} instances are here, {deleted} were deleted here")
        }
        (None, Some(expected)) => {
            format!("study {study}: {} of {expected} instances are here", migrated.here)
        }
        (None, None) => {
            format!("study {study}: {} instances are here, the peer does not say how many", migrated.here)
        }
    }
}

/// A line a study, as a table that any program reads.
struct Report(Option<std::io::BufWriter<std::fs::File>>);

impl Report {
    fn open(path: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = std::fs::File::create(path).with_context(|| format!("report {}", path.display()))?;
        let mut writer = std::io::BufWriter::new(file);
        writeln!(writer, "study,expected,here,missing,digest,error,deleted")?;
        Ok(Self(Some(writer)))
    }

    fn line(&mut self, of: &Migrated) {
        let Some(writer) = &mut self.0 else { return };
        let expected = of.expected.map(|expected| expected.to_string()).unwrap_or_default();
        let missing: Vec<&str> = of.missing.iter().map(|uid| uid.as_str()).collect();
        let error = of.error.as_deref().unwrap_or_default().replace(['"', '\n'], "'");
        let line = writeln!(
            writer,
            "{},{expected},{},{},{},\"{error}\",{}",
            of.study,
            of.here,
            missing.join(" "),
            of.digest,
            of.deleted
        );
        if let Err(error) = line {
            warn!(%error, "a line of the report is not written");
        }
    }

    fn close(self) -> anyhow::Result<()> {
        if let Some(mut writer) = self.0 {
            writer.flush().context("report")?;
        }
        Ok(())
    }
}
