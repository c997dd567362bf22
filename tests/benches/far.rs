//! `make bench`: a study of 1,600 slices in a bucket each of whose answers takes 20 ms, beside one in files.
//!
//! The bucket lives in this process and shares the processors with server and reader, so that the bucket's own work
//! counts against it. `FAR_SLICES` takes another number of slices.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dicom_store::fixture::Bucket;
use futures_util::future::try_join_all;
use hyper::StatusCode;
use tests::by_hand::{Association, CT_IMAGE, connect};
use tests::corpus::{NGUYEN, StudyOf, Synthetic, ct_of_size};
use tests::{Modality, Program, Web};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SLICES: u16 = 1_600;
/// 512 KiB each.
const EDGE: u16 = 512;
/// PS3.4 Table B.2-1: the sender may try again.
const OUT_OF_RESOURCES: u16 = 0xa700;
const DELAY: Duration = Duration::from_millis(20);
/// As a viewer opens them.
const CONNECTIONS: usize = 6;

/// The one that is read: its packs are what eight senders leave.
const STUDY: &str = "2.25.7002";

/// Seconds of each step, in the order of [`STEPS`].
type Times = [f64; STEPS.len()];

const STEPS: [&str; 6] = [
    "C-STORE, 1 association",
    "C-STORE, 8 associations",
    "WADO-RS study",
    "the same again",
    "metadata and frames, 6 connections",
    "C-GET",
];

#[tokio::main]
async fn main() -> Result<()> {
    let slices = env::var("FAR_SLICES").ok().map_or(Ok(SLICES), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let bucket = Bucket::new(DELAY).await;
    let mut settings = toml::Table::new();
    let store = bucket.config_in_files(0, &folder);
    settings.insert("store".to_owned(), toml::Value::try_from(&store)?);
    let file = folder.path().join("far.toml");
    std::fs::write(&file, settings.to_string())?;
    let config = ["--config", file.to_str().context("a path in UTF-8")?];
    let near = House { folder: &folder.path().join("near"), options: &[], slices };
    let far = House { folder: &folder.path().join("far"), options: &config, slices };
    let (near, far) = (near.times().await?, far.times().await?);
    println!("{slices} slices of 512 KiB           files        bucket, 20 ms");
    for (step, (near, far)) in STEPS.iter().zip(near.iter().zip(far)) {
        println!("{step:<36}{near:>7.2} s  {far:>7.2} s  {:>5.2} x", far / near);
    }
    let (requests, round_trips) = (bucket.requests(), bucket.round_trips());
    println!("requests {}, one after the other {}", requests.unwrap_or(0), round_trips.unwrap_or(0));
    Ok(())
}

/// A server that is started anew for each reader, so that it has read nothing before.
struct House<'a> {
    folder: &'a Path,
    options: &'a [&'a str],
    slices: u16,
}

impl House<'_> {
    async fn times(&self) -> Result<Times> {
        std::fs::create_dir_all(self.folder)?;
        let server = self.server().await?;
        let first = self.store(&server, StudyOf { number: 1, ..NGUYEN }, 1).await?;
        let second = self.store(&server, StudyOf { number: 2, ..NGUYEN }, 8).await?;
        server.terminate()?;
        server.exit().await?;
        let server = self.server().await?;
        let (whole, again) = (self.whole(&server).await?, self.whole(&server).await?);
        server.kill().await?;
        let server = self.server().await?;
        let frames = self.frames(&server).await?;
        server.kill().await?;
        let server = self.server().await?;
        let got = self.got(&server).await?;
        server.kill().await?;
        Ok([first, second, whole, again, frames, got].map(|time| time.as_secs_f64()))
    }

    async fn server(&self) -> Result<Program> {
        Program::start(&self.folder.join("data"), self.options).await
    }

    async fn store(&self, server: &Program, of: StudyOf, senders: usize) -> Result<Duration> {
        let slices = ct_of_size(of, self.slices, EDGE);
        let associations =
            try_join_all((0..senders).map(|_| Association::for_ct(server.dimse, "BENCH"))).await?;
        let began = Instant::now();
        let sending = associations.into_iter().enumerate().map(|(n, mut association)| {
            let part = slices.iter().skip(n).step_by(senders);
            async move {
                for slice in part {
                    // Refused where this machine, on which the bucket lives too, is too busy to answer in time.
                    let mut status = OUT_OF_RESOURCES;
                    while status == OUT_OF_RESOURCES {
                        status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
                    }
                    ensure!(status == 0, "status {status:04x}");
                }
                association.release().await
            }
        });
        try_join_all(sending).await?;
        Ok(began.elapsed())
    }

    async fn whole(&self, server: &Program) -> Result<Duration> {
        let began = Instant::now();
        let mut stream = connect(server.http).await?;
        let request = format!(
            "GET /dicom-web/studies/{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Accept: multipart/related; type=\"application/dicom\"; transfer-syntax=*\r\n\r\n",
            STUDY, server.http,
        );
        stream.write_all(request.as_bytes()).await?;
        let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
        loop {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => bytes += read,
            }
        }
        let least = usize::from(self.slices) * usize::from(EDGE) * usize::from(EDGE) * 2;
        ensure!(bytes > least, "{bytes} bytes of {least}");
        Ok(began.elapsed())
    }

    async fn frames(&self, server: &Program) -> Result<Duration> {
        // Only their names are needed; the pixels are small.
        let slices = ct_of_size(StudyOf { number: 2, ..NGUYEN }, self.slices, 1);
        let began = Instant::now();
        let path = format!("/dicom-web/studies/{}/metadata", STUDY);
        let metadata = Web::new(server.http).json(&path).await?;
        ensure!(metadata.len() == slices.len(), "metadata of {}", metadata.len());
        let readers = (0..CONNECTIONS).map(|reader| {
            let web = Web::new(server.http);
            let part = slices.iter().skip(reader).step_by(CONNECTIONS);
            async move {
                for Synthetic { study, series, sop_instance, .. } in part {
                    let path = format!(
                        "/dicom-web/studies/{study}/series/{series}/instances/{sop_instance}/frames/1"
                    );
                    let answer =
                        web.get(&path, "multipart/related; type=\"application/octet-stream\"").await?;
                    ensure!(answer.status == StatusCode::OK, "{path}: {}", answer.status);
                }
                Ok(())
            }
        });
        try_join_all(readers).await?;
        Ok(began.elapsed())
    }

    async fn got(&self, server: &Program) -> Result<Duration> {
        let into = self.folder.join("got");
        std::fs::create_dir(&into)?;
        let began = Instant::now();
        let files = Modality::new(server.dimse, "WS_1").get(STUDY, &into).await?;
        let took = began.elapsed();
        ensure!(files.len() == usize::from(self.slices), "{} files", files.len());
        std::fs::remove_dir_all(into)?;
        Ok(took)
    }
}
