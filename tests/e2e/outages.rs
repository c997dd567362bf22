//! What the server needs is gone for a while: it says so at once in each protocol's words, and goes on when it is back.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dicom_store::fixture::{Bucket, Database};
use tempfile::TempDir;
use tests::{
    Program, Web,
    by_hand::{Association, CT_IMAGE},
    corpus::{NGUYEN, StudyOf, Synthetic, ct},
    gate::{Behind, Gate},
    pacs::{data_set_of, stored_file},
    tools::python,
    wait::until,
    web::Answer,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// The first who meets the outage hears of it within a few seconds,
const FIRST: Duration = Duration::from_secs(8);
/// and all others at once.
const AT_ONCE: Duration = Duration::from_secs(2);
const OUT_OF_RESOURCES: u16 = 0xA700;

struct House {
    program: Program,
    web: Web,
    /// Stored before anything goes wrong, and never read.
    stored: Vec<Synthetic>,
    /// To be stored later.
    fresh: Vec<Synthetic>,
}

impl House {
    async fn open(data: &Path, options: &[&str]) -> Result<Self> {
        let program = Program::start(data, options).await?;
        let web = Web::new(program.http);
        let (stored, fresh) = (ct(NGUYEN, 2), ct(StudyOf { number: 5, ..NGUYEN }, 4));
        let mut association = Association::for_ct(program.dimse, "CT_1").await?;
        for slice in &stored {
            assert_eq!(store(&mut association, slice).await?, 0);
        }
        association.release().await?;
        Ok(Self { program, web, stored, fresh })
    }

    async fn stow(&self, slice: &Synthetic) -> Result<Answer> {
        self.web.store("/dicom-web/studies", &[slice.file()]).await
    }

    /// STOW-RS and C-STORE are refused in their own words, the second sooner than the first.
    async fn assert_refuses_to_store(&self) -> Result<()> {
        let mut association = Association::for_ct(self.program.dimse, "CT_1").await?;
        for (slice, limit) in self.fresh.iter().zip([FIRST, AT_ONCE]) {
            let asked = Instant::now();
            assert_unavailable(&self.stow(slice).await?);
            ensure!(asked.elapsed() < limit, "STOW-RS was refused after {:?}", asked.elapsed());
            let asked = Instant::now();
            assert_eq!(store(&mut association, slice).await?, OUT_OF_RESOURCES);
            ensure!(asked.elapsed() < AT_ONCE, "C-STORE was refused after {:?}", asked.elapsed());
        }
        association.release().await
    }

    async fn assert_is_not_ready(&self, because: &str) -> Result<()> {
        let answer = self.web.get("/health/ready", "*/*").await?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status.as_u16() == 503 && text.contains(because), "{} {text}", answer.status);
        assert_eq!(self.web.get("/health/live", "*/*").await?.status.as_u16(), 200);
        Ok(())
    }

    /// One is refused soon, the next at once, each with a sentence.
    async fn assert_does_not_give(&self, path: &str) -> Result<()> {
        for limit in [FIRST, AT_ONCE] {
            let asked = Instant::now();
            let answer = self.web.get(path, "*/*").await?;
            assert_unavailable(&answer);
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            ensure!(text.contains("try again"), "{path}: {text}");
            ensure!(asked.elapsed() < limit, "{path} was refused after {:?}", asked.elapsed());
        }
        Ok(())
    }

    /// Without anybody's doing: what was refused is taken, and all is there.
    async fn assert_works_again(&self) -> Result<()> {
        let ready = async || {
            let answer = self.web.get("/health/ready", "*/*").await.ok()?;
            (answer.status.as_u16() == 200).then_some(())
        };
        until("/health/ready says 200 again", Duration::from_secs(20), ready).await?;
        let mut association = Association::for_ct(self.program.dimse, "CT_1").await?;
        for (number, slice) in self.fresh.iter().enumerate() {
            if number % 2 == 0 {
                assert_eq!(store(&mut association, slice).await?, 0);
            } else {
                assert_eq!(self.stow(slice).await?.status.as_u16(), 200);
            }
        }
        association.release().await?;
        assert_eq!(self.web.json("/dicom-web/studies").await?.len(), 2);
        for slice in self.stored.iter().chain(&self.fresh) {
            let Synthetic { study, series, sop_instance, .. } = slice;
            let kept = stored_file(&self.web, study, series, sop_instance).await?;
            assert!(data_set_of(&kept)? == slice.data_set);
        }
        Ok(())
    }

    fn frame(&self) -> String {
        let Synthetic { study, series, sop_instance, .. } = &self.stored[0];
        format!("/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/frames/1")
    }

    fn study(&self) -> String {
        format!("/dicom-web/studies/{}", self.stored[1].study)
    }
}

async fn store(association: &mut Association, slice: &Synthetic) -> Result<u16> {
    association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status.as_u16(), 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

/// A server on a bucket and a PostgreSQL behind doors.
struct Remote {
    folder: TempDir,
    bucket_gate: Gate,
    database_gate: Gate,
    settings: PathBuf,
    _bucket: Bucket,
    database: Database,
}

impl Remote {
    async fn new() -> Result<Self> {
        Self::on(Database::new().await).await
    }

    async fn on(database: Database) -> Result<Self> {
        let (folder, bucket) = (TempDir::new()?, Bucket::new(Duration::ZERO).await);
        let mut store = bucket.config_in_files(0, &folder);
        let endpoint = store.s3.endpoint.trim_start_matches("http://").parse()?;
        let bucket_gate = Gate::new(Behind::Tcp(endpoint)).await?;
        let database_gate = Gate::new(Behind::Unix(database.socket())).await?;
        store.s3.endpoint = format!("http://{}", bucket_gate.address);
        let schema = database.url().rsplit_once("options").context("a schema")?.1.to_owned();
        let url =
            format!("postgres://filmless@{}/postgres?sslmode=disable&options{schema}", database_gate.address);
        store.index = url.as_str().into();
        let mut settings = toml::Table::new();
        settings.insert("store".to_owned(), toml::Value::try_from(&store)?);
        let file = folder.path().join("filmless.toml");
        std::fs::write(&file, settings.to_string())?;
        Ok(Self { folder, bucket_gate, database_gate, settings: file, _bucket: bucket, database })
    }

    async fn house(&self) -> Result<House> {
        let settings = self.settings.to_str().context("a path in UTF-8")?;
        House::open(&self.folder.path().join("data"), &["--config", settings]).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_store_that_says_nothing_is_told_soon_and_then_at_once() -> Result<()> {
    let remote = Remote::new().await?;
    let house = remote.house().await?;
    remote.bucket_gate.fall_silent();
    house.assert_refuses_to_store().await?;
    house.assert_is_not_ready("object store").await?;
    house.assert_does_not_give(&house.frame()).await?;
    house.assert_does_not_give(&house.study()).await?;
    // What the index knows is told all the while.
    assert_eq!(house.web.json("/dicom-web/studies").await?.len(), 1);
    remote.bucket_gate.open();
    house.assert_works_again().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_store_that_is_gone_is_told_soon_and_then_at_once() -> Result<()> {
    let remote = Remote::new().await?;
    let house = remote.house().await?;
    remote.bucket_gate.close();
    house.assert_refuses_to_store().await?;
    house.assert_is_not_ready("object store").await?;
    house.assert_does_not_give(&house.study()).await?;
    remote.bucket_gate.open();
    house.assert_works_again().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_gone_is_told_at_once() -> Result<()> {
    let remote = Remote::new().await?;
    let house = remote.house().await?;
    remote.database_gate.close();
    house.assert_misses_postgresql().await?;
    remote.database_gate.open();
    house.assert_works_again().await
}

impl House {
    /// All hear at once that PostgreSQL is gone, but for the first, who hears it within a few seconds.
    async fn assert_misses_postgresql(&self) -> Result<()> {
        self.assert_refuses_to_store().await?;
        self.assert_is_not_ready("PostgreSQL").await?;
        self.assert_does_not_give("/dicom-web/studies").await?;
        self.assert_does_not_give(&self.frame()).await?;
        self.assert_does_not_give(&self.study()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_behind_a_network_that_is_silent_is_told_soon_and_then_at_once() -> Result<()> {
    let remote = Remote::new().await?;
    let house = remote.house().await?;
    remote.database_gate.fall_silent();
    house.assert_misses_postgresql().await?;
    remote.database_gate.open();
    house.assert_works_again().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_stands_still_is_told_soon_and_then_at_once() -> Result<()> {
    let remote = Remote::on(Database::alone().await).await?;
    let house = remote.house().await?;
    for _ in 0..2 {
        let stopped = remote.database.stopped();
        house.assert_misses_postgresql().await?;
        drop(stopped);
        house.assert_works_again().await?;
    }
    Ok(())
}

/// Another process that has the index for itself, until it is dropped.
async fn lock_index(data: &Path) -> Result<Child> {
    const LOCK: &str = "import sqlite3, sys, time
index = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
index.execute('BEGIN EXCLUSIVE')
print('locked', flush=True)
time.sleep(600)";
    let mut command = Command::new(python()?);
    command.args(["-c", LOCK]).arg(data.join("index.sqlite"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = child.stdout.take().context("its output is a pipe")?;
    let said = BufReader::new(output).lines().next_line().await?;
    ensure!(said.as_deref() == Some("locked"), "{said:?}");
    Ok(child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_another_process_has_locked_is_told_soon_and_then_at_once() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let house = House::open(&data, &[]).await?;
    let mut other = lock_index(&data).await?;
    house.assert_refuses_to_store().await?;
    house.assert_is_not_ready("index").await?;
    // What is there can be found and read all the while.
    assert_eq!(house.web.get(&house.frame(), "*/*").await?.status.as_u16(), 200);
    other.kill().await?;
    house.assert_works_again().await
}
