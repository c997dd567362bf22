//! The straight line: open, serve, drain, close.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use dicom_net::ul::tls;
use dicom_store::Archive;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use worker::CpuPool;

use crate::config::Config;
use crate::http::{self, Listening, Tls};

/// A server that is open and does not listen yet.
pub struct App {
    config: Arc<Config>,
    archive: Archive,
    pool: CpuPool,
}

/// The sockets that it will listen on.
pub struct Listeners {
    pub dimse: TcpListener,
    /// DICOM TLS, where it is set up.
    pub dimse_tls: Option<(TcpListener, tls::Acceptor)>,
    pub http: TcpListener,
    tls: Option<Tls>,
}

impl Listeners {
    /// Binds the addresses of the settings; port 0 takes any. Reads the certificates of TLS first.
    ///
    /// # Errors
    /// Names the address that cannot be had, or the file that cannot be used.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind = async |name: &str, address| {
            TcpListener::bind(address).await.with_context(|| format!("{name} cannot listen on {address}"))
        };
        config.check_parts()?;
        let tls = Tls::open(&config.http.tls)?;
        let of_dimse = &config.dimse.tls;
        let acceptor =
            of_dimse.is_accepting().then(|| tls::Acceptor::new(of_dimse).context("dimse.tls")).transpose()?;
        let dimse_tls = match acceptor {
            Some(acceptor) => Some((bind("dimse.tls", of_dimse.listen).await?, acceptor)),
            None => None,
        };
        Ok(Self {
            dimse: bind("dimse", config.dimse.listen).await?,
            dimse_tls,
            http: bind("http", config.http.listen).await?,
            tls,
        })
    }
}

impl Config {
    /// Opens the archive and brings the index up to the log. Binds nothing.
    ///
    /// # Errors
    /// When the archive cannot be opened.
    pub async fn open(self) -> anyhow::Result<App> {
        let archive = Archive::open(&self.store)
            .await
            .with_context(|| format!("archive in {}", self.store.data.display()))?;
        info!(data = %self.store.data.display(), "archive open");
        let pool = CpuPool::new(self.worker.threads)?;
        Ok(App { config: Arc::new(self), archive, pool })
    }
}

impl App {
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Serves until `stop`, then drains within `drain-s`: accepts no more, lets associations and requests finish,
    /// stops the jobs, closes the archive.
    ///
    /// # Errors
    /// When a part of the server cannot be started.
    pub async fn serve(self, on: Listeners, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { config, archive, pool } = self;
        let registry = worker::background::registry(&archive, &pool);
        let dimse = dicom_net::Server::new(archive.clone(), pool.clone(), config.dimse.clone());
        let places = config.destinations(&pool)?;
        let outward = (places, Arc::new(config.hooks()?) as Arc<dyn worker::Hooks>);
        let (with_peers, exchange) =
            worker::background::exchange(&archive, dimse.remotes(), outward, config.rules.clone());
        let running = worker::background::run(
            archive.clone(),
            registry,
            vec![dimse.awaited(), with_peers],
            config.worker.complete_after(),
            stop.clone(),
        );
        let does_jobs = config.worker.jobs;
        let jobs = AbortOnDropHandle::new(tokio::spawn(async move {
            if does_jobs {
                running.await;
            }
        }));
        info!("{}", if does_jobs { "jobs running" } else { "no jobs are run here (worker.jobs)" });
        let secured = match on.dimse_tls {
            Some((listener, acceptor)) => {
                let address = listener.local_addr()?;
                let serving = dimse.clone().serve_tls(listener, acceptor, stop.clone());
                info!(%address, mutual = config.dimse.tls.mutual, "dimse listening, within TLS");
                Some(AbortOnDropHandle::new(tokio::spawn(serving)))
            }
            None => None,
        };
        let address = on.dimse.local_addr()?;
        let serving = dimse.serve(on.dimse, stop.clone());
        let dimse = AbortOnDropHandle::new(tokio::spawn(async move {
            serving.await;
            if let Some(secured) = secured {
                let _ = secured.await;
            }
        }));
        info!(%address, ae_title = %config.dimse.ae_title, "dimse listening");
        let address = on.http.local_addr()?;
        let routes = http::routes(&config, &archive, &pool, exchange, &stop);
        let listening = Listening { listener: on.http, tls: on.tls };
        let serving = http::serve(listening, routes, config.http.clone(), archive.pressure(), stop.clone());
        let http = AbortOnDropHandle::new(tokio::spawn(serving));
        info!(%address, "http listening");
        tokio::select! {
            () = stop.cancelled() => {}
            // Nothing can be stored any more: a new start reads the log again.
            () = archive.has_died() => bail!("a thread of the log has died; its last words are above"),
        }
        info!("stopping: associations and requests finish");
        let grace = Duration::from_secs(config.http.drain_s);
        let end = Instant::now() + grace;
        drain(dimse, http, jobs, end - grace / 4).await;
        // Whoever was cut off may still hold a part of the archive. What was acknowledged is safe without this.
        if timeout_at(end, archive.close()).await.is_err() {
            warn!("stopping: the archive was still in use; the log is read again at the next start");
        } else {
            info!("archive closed");
        }
        Ok(())
    }
}

/// Waits for all of them until `end`, then cuts off what is left.
async fn drain<D, H, J>(
    dimse: AbortOnDropHandle<D>,
    http: AbortOnDropHandle<H>,
    jobs: AbortOnDropHandle<J>,
    end: Instant,
) {
    if timeout_at(end, async { tokio::join!(dimse, http) }).await.is_err() {
        warn!("stopping: some were still at work and are cut off");
    }
    if timeout_at(end, jobs).await.is_err() {
        warn!("stopping: a job was still running; it is done again at the next start");
    }
}
