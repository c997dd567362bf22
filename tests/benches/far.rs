//! `make bench`: a study of 1,600 slices in a bucket each of whose answers takes 20 ms, beside one in files.
//!
//! The bucket lives in this process, in memory and on threads of its own, so that its work is told apart from the
//! server's; all of them share the processors. Both houses do each work in turns, with a server that has read nothing
//! before. `FAR_SLICES` takes another number of slices, `FAR_ROUNDS` more than one round; `FAR_DURABILITY=local` answers
//! what the bucket does not have yet.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use dicom_store::fixture::Bucket;
use futures_util::future::try_join_all;
use tests::by_hand::{Association, CT_IMAGE, connect};
use tests::corpus::{NGUYEN, StudyOf, Synthetic, ct_of_size};
use tests::program::free_address;
use tests::usage::{Usage, threads};
use tests::web::Connection;
use tests::{Modality, Program, Web};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

const SLICES: u16 = 1_600;
/// 512 KiB each.
const EDGE: u16 = 512;
/// PS3.4 Table B.2-1: the sender may try again.
const OUT_OF_RESOURCES: u16 = 0xa700;
const DELAY: Duration = Duration::from_millis(20);
/// As a viewer opens them.
const CONNECTIONS: usize = 6;
/// What the threads of the bucket are called.
const BUCKET: &str = "bucket";
/// Who fetches.
const READER: &str = "WS_1";

/// The one that is read: its packs are what eight senders leave.
const STUDY: &str = "2.25.7002";

#[derive(Clone, Copy)]
enum Step {
    /// By C-STORE over so many associations.
    Store(usize),
    /// By STOW-RS in one request.
    Stow,
    Whole,
    Again,
    Frames,
    Get,
    Move,
}

const STEPS: [(Step, &str); 8] = [
    (Step::Store(1), "C-STORE, 1 association"),
    (Step::Store(8), "C-STORE, 8 associations"),
    (Step::Stow, "STOW-RS, 1 request"),
    (Step::Whole, "WADO-RS study"),
    (Step::Again, "the same again"),
    (Step::Frames, "metadata and frames, 6 connections"),
    (Step::Get, "C-GET"),
    (Step::Move, "C-MOVE"),
];

/// What a step took.
struct Figures {
    time: Duration,
    /// Of the server.
    cpu: Duration,
    bucket: Duration,
}

fn main() -> Result<()> {
    let (slices, rounds) = (setting("FAR_SLICES", SLICES)?, setting("FAR_ROUNDS", 1)?);
    let (buckets, readers) = (runtime(BUCKET)?, runtime("reader")?);
    for _ in 0..rounds {
        let bucket = buckets.block_on(Bucket::in_memory(DELAY));
        readers.block_on(round(&bucket, slices))?;
    }
    Ok(())
}

fn setting<T: FromStr<Err: Into<Error>>>(name: &str, otherwise: T) -> Result<T> {
    env::var(name).ok().map_or(Ok(otherwise), |text| text.parse().map_err(Into::into))
}

fn runtime(name: &str) -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?)
}

async fn round(bucket: &Bucket, slices: u16) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut settings = toml::Table::new();
    let mut store = toml::Table::try_from(bucket.config_in_files(0, &folder))?;
    if let Ok(durability) = env::var("FAR_DURABILITY") {
        store.insert("durability".to_owned(), durability.into());
    }
    settings.insert("store".to_owned(), store.into());
    let file = folder.path().join("far.toml");
    std::fs::write(&file, settings.to_string())?;
    let config = ["--config", file.to_str().context("a path in UTF-8")?];
    let mut near = House::open(folder.path().join("near"), &[]).await?;
    let mut far = House::open(folder.path().join("far"), &config).await?;
    println!(
        "{slices} slices of 512 KiB         files    (CPU)  bucket, 20 ms    (CPU)  ratio    CPU of the bucket"
    );
    for (step, name) in STEPS {
        let slices = step.slices(slices);
        let (near, far) = (near.does(step, &slices).await?, far.does(step, &slices).await?);
        let [near_cpu, far_cpu, bucket] = [near.cpu, far.cpu, far.bucket].map(|cpu| cpu.as_secs_f64());
        let [near, far] = [near.time, far.time].map(|time| time.as_secs_f64());
        println!(
            "{name:<36}{near:>6.2} s {near_cpu:>6.2} s {far:>12.2} s {far_cpu:>6.2} s {:>5.2} x {bucket:>17.2} s",
            far / near
        );
    }
    let (requests, round_trips) = (bucket.requests(), bucket.round_trips());
    println!("requests {}, one after the other {}", requests.unwrap_or(0), round_trips.unwrap_or(0));
    near.close().await?;
    far.close().await
}

impl Step {
    /// What is stored, or asked for by its name.
    fn slices(self, count: u16) -> Vec<Synthetic> {
        let (number, edge) = match self {
            Self::Store(1) => (1, EDGE),
            Self::Store(_) => (2, EDGE),
            Self::Stow => (3, EDGE),
            // Only their names are needed; the pixels are small.
            _ => (2, 1),
        };
        ct_of_size(StudyOf { number, ..NGUYEN }, count, edge)
    }
}

struct House {
    folder: PathBuf,
    options: Vec<String>,
    reader: SocketAddr,
    server: Option<Program>,
}

impl House {
    async fn open(folder: PathBuf, options: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let reader = free_address()?;
        let peer = format!("{READER}={reader}");
        let options = [options, &["--peer", &peer]].concat();
        let options = options.into_iter().map(str::to_owned).collect();
        Ok(Self { folder, options, reader, server: None })
    }

    /// The server, started anew.
    async fn anew(&mut self) -> Result<()> {
        self.close().await?;
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.server = Some(Program::start(&self.folder.join("data"), &options).await?);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.terminate()?;
            server.exit().await?;
        }
        Ok(())
    }

    async fn does(&mut self, step: Step, slices: &[Synthetic]) -> Result<Figures> {
        if !matches!(step, Step::Again) {
            self.anew().await?;
        }
        let server = self.server.as_ref().context("the server was started")?;
        let (used, bucket) = (server.usage()?, threads(BUCKET)?);
        let began = Instant::now();
        match step {
            Step::Store(senders) => store(server, slices, senders).await?,
            Step::Stow => stow(server, slices).await?,
            Step::Whole | Step::Again => whole(server, slices.len()).await?,
            Step::Frames => frames(server, slices).await?,
            Step::Get => {
                let into = empty(&self.folder.join("got"))?;
                let files = Modality::new(server.dimse, READER).get(STUDY, &into).await?;
                ensure!(files.len() == slices.len(), "{} files", files.len());
            }
            Step::Move => {
                let into = empty(&self.folder.join("moved"))?;
                let modality = Modality::new(server.dimse, READER);
                let files = modality.fetch_by_move(STUDY, self.reader.port(), &into).await?;
                ensure!(files.len() == slices.len(), "{} files", files.len());
            }
        }
        let time = began.elapsed();
        let Usage { cpu, .. } = server.usage()?.since(used);
        Ok(Figures { time, cpu, bucket: threads(BUCKET)?.saturating_sub(bucket) })
    }
}

fn empty(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir(folder)?;
    Ok(folder.to_owned())
}

async fn store(server: &Program, slices: &[Synthetic], senders: usize) -> Result<()> {
    let associations = try_join_all((0..senders).map(|_| Association::for_ct(server.dimse, "BENCH"))).await?;
    let sending = associations.into_iter().enumerate().map(|(n, mut association)| async move {
        for slice in slices.iter().skip(n).step_by(senders) {
            // Refused where this machine, on which the bucket lives too, is too busy to answer in time.
            let mut status = OUT_OF_RESOURCES;
            while status == OUT_OF_RESOURCES {
                status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
            }
            ensure!(status == 0, "status {status:04x}");
        }
        association.release().await
    });
    try_join_all(sending).await.map(drop)
}

async fn stow(server: &Program, slices: &[Synthetic]) -> Result<()> {
    let mut stream = connect(server.http).await?;
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/dicom+json\r\n\
         Transfer-Encoding: chunked\r\n\
         Content-Type: multipart/related; type=\"application/dicom\"; boundary=slice\r\n\r\n",
        server.http,
    );
    stream.write_all(head.as_bytes()).await?;
    for slice in slices {
        let (begin, file) = ("--slice\r\nContent-Type: application/dicom\r\n\r\n", slice.file());
        let chunk = format!("{:x}\r\n{begin}", begin.len() + file.len() + 2);
        stream.write_all(chunk.as_bytes()).await?;
        stream.write_all(&file).await?;
        stream.write_all(b"\r\n\r\n").await?;
    }
    stream.write_all(b"9\r\n--slice--\r\n0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().unwrap_or_default());
    Ok(())
}

async fn whole(server: &Program, slices: usize) -> Result<()> {
    let mut stream = connect(server.http).await?;
    let request = format!(
        "GET /dicom-web/studies/{STUDY} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Accept: multipart/related; type=\"application/dicom\"; transfer-syntax=*\r\n\r\n",
        server.http,
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => bytes += read,
        }
    }
    let least = slices * usize::from(EDGE) * usize::from(EDGE) * 2;
    ensure!(bytes > least, "{bytes} bytes of {least}");
    Ok(())
}

async fn frames(server: &Program, slices: &[Synthetic]) -> Result<()> {
    let metadata = Web::new(server.http).json(&format!("/dicom-web/studies/{STUDY}/metadata")).await?;
    ensure!(metadata.len() == slices.len(), "metadata of {}", metadata.len());
    let readers = (0..CONNECTIONS).map(|reader| async move {
        let mut connection = Connection::open(server.http).await?;
        for Synthetic { study, series, sop_instance, .. } in slices.iter().skip(reader).step_by(CONNECTIONS) {
            let path =
                format!("/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/frames/1");
            connection.get(&path, "multipart/related; type=\"application/octet-stream\"").await?;
        }
        Ok(())
    });
    try_join_all(readers).await.map(drop)
}
