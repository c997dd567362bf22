//! What each subcommand does.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use dicom_store::model::{AeTitle, Level};
use dicom_store::{Archive, Caller, Damaged, Peer, Query};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::app::{App, Listeners};
use crate::cli::{Command, CommandLine, Flags};
use crate::config::Config;
use crate::{import, open_files, samples, scrub, telemetry};

/// Runs a command to its end.
///
/// # Errors
/// What stopped it, for the person at the terminal.
pub fn run(command_line: CommandLine) -> anyhow::Result<ExitCode> {
    // Whoever installed one before is as good; there is one for the whole process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("threads")?;
    let code = runtime.block_on(async {
        match command_line.command {
            Command::Serve { settings, samples } => serve(load(&settings)?, samples).await,
            Command::CheckConfig { settings } => check_config(&load(&settings)?),
            Command::Import { from: Some(from), since, until, pace, at_a_time, report, settings, .. } => {
                let asked = import::from_peer::Asked { from, since, until, pace, at_a_time, report };
                import_from(load(&settings)?, asked).await
            }
            Command::Import { paths, settings, .. } => import_paths(load(&settings)?, paths).await,
            Command::Reindex { settings } => reindex(load(&settings)?).await,
            Command::Scrub { pace, settings } => scrub_packs(load(&settings)?, pace).await,
            Command::Echo { peer, settings } => echo(load(&settings)?, &peer).await,
        }
    });
    // A blocking read of a dead disk must not keep the process.
    runtime.shutdown_background();
    code
}

fn load(flags: &Flags) -> anyhow::Result<Config> {
    let config = Config::load(flags, std::env::vars())?;
    telemetry::start(&config.log)?;
    Ok(config)
}

/// Says it to the person at the terminal. One who has read enough (`| head`) ends nothing: what is done goes on to its
/// end, and says no more.
fn say(text: &str) {
    if let Err(error) = writeln!(io::stdout(), "{text}")
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        warn!(%error, "standard output takes nothing");
    }
}

async fn serve(mut config: Config, with_samples: bool) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    stop_on_signal(&stop)?;
    config.http.max_connections = open_files::left_for_http(config.http.max_connections, open_files::raise());
    let listeners = Listeners::bind(&config).await?;
    let (http, dimse) = (listeners.http.local_addr()?, listeners.dimse.local_addr()?);
    let secured = listeners.dimse_tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
    let title = config.dimse.ae_title.clone();
    let is_open = config.open;
    let scheme = if config.http.tls.is_set() { "https" } else { "http" };
    // A task of its own: reading a long log anew must not keep a signal from being heard.
    let opening = AbortOnDropHandle::new(tokio::spawn(open_app(config, with_samples)));
    let app = tokio::select! {
        app = opening => app.context("opening the archive")??,
        () = stop.cancelled() => {
            info!("stopped before it was ready; what is left is done at the next start");
            return Ok(ExitCode::SUCCESS);
        }
    };
    if let Some(secured) = secured {
        say(&format!("tls     {title}@{secured}"));
    }
    say(&format!("viewer  {scheme}://{http}/"));
    say(&format!("dimse   {title}@{dimse}"));
    if is_open {
        say("trial   everybody on this machine is let in without a sign-in (--open)");
    } else {
        say(
            "web     answers 401: accounts are not part of this version; --open starts a trial on this machine",
        );
    }
    app.serve(listeners, stop).await?;
    Ok(ExitCode::SUCCESS)
}

fn stop_on_signal(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM"),
            _ = interrupt.recv() => info!("SIGINT"),
        }
        stop.cancel();
    });
    Ok(())
}

async fn open_app(config: Config, with_samples: bool) -> anyhow::Result<App> {
    let app = config.open().await?;
    if with_samples {
        samples::fill_if_empty(app.archive()).await?;
    }
    Ok(app)
}

fn check_config(config: &Config) -> anyhow::Result<ExitCode> {
    config.check_parts()?;
    say(toml::to_string(config).context("settings")?.trim_end());
    Ok(ExitCode::SUCCESS)
}

async fn import_paths(config: Config, paths: Vec<PathBuf>) -> anyhow::Result<ExitCode> {
    let archive = open(&config).await?;
    let counts = import::import(&archive, paths, say).await;
    archive.close().await;
    say(&counts.to_string());
    Ok(if counts.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn import_from(config: Config, asked: import::from_peer::Asked) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    stop_on_signal(&stop)?;
    let archive = open(&config).await?;
    let code = import::from_peer::import(config, &archive, asked, stop, say).await;
    archive.close().await;
    code
}

async fn open(config: &Config) -> anyhow::Result<Archive> {
    let archive = Archive::open(&config.store).await;
    archive
        .with_context(|| format!("archive in {} (is a server running on it?)", config.store.data.display()))
}

/// Whoever mends something means an archive that is there: a name that was mistyped begins none.
async fn check_is_there(config: &Config) -> anyhow::Result<()> {
    let folder = config.store.data.display();
    if !Archive::is_there(&config.store).await.with_context(|| format!("archive in {folder}"))? {
        bail!(
            "{folder} holds no archive (there is no file archive-id in it); is --data right? \
             `filmless serve` and `filmless import` begin a new one"
        );
    }
    Ok(())
}

async fn reindex(config: Config) -> anyhow::Result<ExitCode> {
    check_is_there(&config).await?;
    let archive = Archive::reindex(&config.store).await;
    let archive = archive.with_context(|| format!("archive in {}", config.store.data.display()))?;
    let session = archive.acting_as(Caller::System("reindex"));
    let studies = session.count(&Query::new(Level::Study)).await?.found;
    let instances = session.count(&Query::new(Level::Instance)).await?.found;
    archive.close().await;
    let Damaged { stretches, lost_acts } = archive.damaged();
    for stretch in stretches {
        say(&stretch.to_string());
    }
    for act in lost_acts {
        say(&format!("{act}; what it said does not hold any more"));
    }
    say(&format!("index made anew: {instances} instances of {studies} studies"));
    if archive.damaged().is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("{} damaged, of which nothing is given out", stretches.len() + lost_acts.len()));
    Ok(ExitCode::FAILURE)
}

async fn scrub_packs(config: Config, pace: Option<u64>) -> anyhow::Result<ExitCode> {
    check_is_there(&config).await?;
    let archive = open(&config).await?;
    let found = scrub::scrub(&archive, pace, say).await;
    archive.close().await;
    let scrub::Found { packs, instances, damaged, unread, bytes } = found?;
    say(&format!("{instances} instances in {packs} packs read, {} MiB: {damaged} damaged", bytes >> 20));
    if unread > 0 {
        say(&format!("not read, so that nobody knows how they are: {unread} packs"));
    }
    Ok(if damaged + unread == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn echo(config: Config, peer: &str) -> anyhow::Result<ExitCode> {
    let wrong = || format!("{peer} is neither a peer that is known here nor AET@HOST:PORT");
    let peer = match (config.dimse.peer(peer), AeTitle::parse(peer)) {
        (Some(peer), _) => peer,
        // A server may run, which was told of it.
        (None, Ok(title)) => Peer::registered(&config.store, &title).await?.with_context(wrong)?,
        (None, Err(_)) => bail!(wrong()),
    };
    let took = dicom_net::echo(&config.dimse, &peer).await.with_context(|| format!("C-ECHO to {peer}"))?;
    say(&format!("{peer} answered in {} ms", took.as_millis()));
    Ok(ExitCode::SUCCESS)
}
