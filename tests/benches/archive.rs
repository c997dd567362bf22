//! `make bench`: what the archive costs on this machine, by the program as it is shipped.
//!
//! CPU time is the server's own and hardly moves with what else the machine does; rates do. Sender and
//! server share the processors. Every figure is of one run on an empty archive in the temporary folder.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use hyper::StatusCode;
use tests::by_hand::{Association, CT_IMAGE};
use tests::corpus::{NGUYEN, StudyOf, Synthetic, ct_of_size};
use tests::program::filmless;
use tests::{Program, Usage, Web};

/// Slices of 512 by 512 for each way of sending them.
const SLICES: u16 = 400;
/// Packs of them are sealed at this size, so that most of them are out of the log when they are read again.
const PACK_MIB: u32 = 32;
/// Studies of tiny instances, three each.
const TINY_STUDIES: u32 = 1_000;
/// Requests of each kind.
const REQUESTS: usize = 800;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for associations in [1, 4, 8] {
        let data = folder.path().join(format!("large-{associations}"));
        large(&data, associations).await?;
        reindex(&data, "reindex, 512 x 512", u32::from(SLICES)).await?;
    }
    let data = folder.path().join("tiny");
    tiny(&data).await?;
    reindex(&data, "reindex, 4 x 4", TINY_STUDIES * 3).await
}

fn line(what: &str, figures: &[(&str, f64)]) {
    let figures: Vec<String> = figures.iter().map(|(unit, figure)| format!("{figure:>9.3} {unit}")).collect();
    println!("{what:<34}{}", figures.join("  "));
}

/// Sends studies, one over each association, all at once; gives how long it took.
async fn send(server: &Program, studies: &[&[Synthetic]]) -> Result<Duration> {
    let associations =
        try_join_all(studies.iter().map(|_| Association::for_ct(server.dimse, "BENCH"))).await?;
    let start = Instant::now();
    let sending = associations.into_iter().zip(studies).map(|(mut association, study)| async move {
        for slice in *study {
            let status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
            ensure!(status == 0, "status {status:04x}");
        }
        association.release().await
    });
    try_join_all(sending).await?;
    Ok(start.elapsed())
}

fn per_thousand(usage: Usage, count: usize) -> f64 {
    usage.cpu.as_secs_f64() * 1000.0 / count.max(1) as f64
}

async fn large(data: &Path, associations: u16) -> Result<()> {
    let number = |number: u16| StudyOf { number: u32::from(number) + 1, ..NGUYEN };
    let studies: Vec<Vec<Synthetic>> =
        (0..associations).map(|n| ct_of_size(number(n), SLICES / associations, 512)).collect();
    let count: usize = studies.iter().map(Vec::len).sum();
    let bytes: usize = studies.iter().flatten().map(|slice| slice.data_set.len()).sum();
    let settings = data.with_extension("toml");
    std::fs::write(&settings, format!("[store]\npack-size-mib = {PACK_MIB}\n"))?;
    let server =
        Program::start(data, &["--config", settings.to_str().context("a folder with a name")?]).await?;
    let before = server.usage()?;
    let took = send(&server, &studies.iter().map(Vec::as_slice).collect::<Vec<_>>()).await?;
    let used = server.usage()?.since(before);
    line(
        &format!("C-STORE, 512 x 512, {associations} at a time"),
        &[
            ("a second", count as f64 / took.as_secs_f64()),
            ("CPU s a 1,000", per_thousand(used, count)),
            ("written / received", used.written as f64 / bytes as f64),
        ],
    );
    server.terminate()?;
    server.exit().await?;
    Ok(())
}

async fn tiny(data: &Path) -> Result<()> {
    let study = |number: u32| ct_of_size(StudyOf { number: number + 1, ..NGUYEN }, 3, 4);
    let studies: Vec<Synthetic> = (0..TINY_STUDIES).flat_map(study).collect();
    let server = Program::start(data, &[]).await?;
    let before = server.usage()?;
    let took = send(&server, &studies.chunks(studies.len().div_ceil(4)).collect::<Vec<_>>()).await?;
    let used = server.usage()?.since(before);
    let index = std::fs::metadata(data.join("index.sqlite"))?.len()
        + std::fs::metadata(data.join("index.sqlite-wal")).map(|file| file.len()).unwrap_or_default();
    line(
        "C-STORE, 4 x 4, 4 at a time",
        &[
            ("a second", studies.len() as f64 / took.as_secs_f64()),
            ("CPU s a 1,000", per_thousand(used, studies.len())),
            ("index KiB an instance", index as f64 / 1024.0 / studies.len() as f64),
        ],
    );
    for (what, path) in [
        ("QIDO-RS by PatientID", "/dicom-web/studies?PatientID=BN-0001&limit=1"),
        ("QIDO-RS, limit=25", "/dicom-web/studies?limit=25"),
        ("QIDO-RS by name, limit=25", "/dicom-web/studies?PatientName=nguyen*&limit=25"),
    ] {
        ask(&server, what, path).await?;
    }
    server.terminate()?;
    server.exit().await?;
    Ok(())
}

/// Asks again and again, eight at a time.
async fn ask(server: &Program, what: &str, path: &str) -> Result<()> {
    let before = server.usage()?;
    let start = Instant::now();
    let asking = (0..8).map(|_| async {
        let web = Web::new(server.http);
        for _ in 0..REQUESTS / 8 {
            let answer = web.get(path, "application/dicom+json").await?;
            ensure!(answer.status == StatusCode::OK, "{path}: {}", answer.status);
        }
        Ok(())
    });
    try_join_all(asking).await?;
    let used = server.usage()?.since(before);
    line(
        what,
        &[
            ("a second", REQUESTS as f64 / start.elapsed().as_secs_f64()),
            ("CPU ms each", per_thousand(used, REQUESTS)),
        ],
    );
    Ok(())
}

/// The start and the end of the program are counted too, and what is still in the log is read whole.
async fn reindex(data: &Path, what: &str, count: u32) -> Result<()> {
    let start = Instant::now();
    let done = filmless(&["reindex", "--data", data.to_str().context("a folder with a name")?]).await?;
    ensure!(done.success, "reindex: {done:?}");
    line(what, &[("a second", f64::from(count) / start.elapsed().as_secs_f64())]);
    Ok(())
}
