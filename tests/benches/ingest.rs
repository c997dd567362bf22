//! `make bench`: what storing loses to the jobs that follow from it, and how soon each series has something to be seen.
//!
//! 2,000 slices of 512 KiB in twenty series come over four associations while the pool makes renditions of another study
//! for the web; and once more to a server that runs no jobs (`worker.jobs = false`), in turns, `INGEST_ROUNDS` times (3).
//! A thumbnail is ready when its file is there: nobody asks for it, so nobody but the jobs can have made it. Senders and
//! server share the processors.

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use memchr::memmem;
use tests::by_hand::{Association, CT_IMAGE};
use tests::corpus::{MUELLER, NGUYEN, StudyOf, Synthetic, ct_of_size};
use tests::wait::until;
use tests::{Program, Web};

/// Associations, and studies of one series that come over each one after another.
const ASSOCIATIONS: u32 = 4;
const STUDIES: u32 = 5;
const SLICES: u16 = 100;
const EDGE: u16 = 512;
/// The number of the study whose slices all others are made of; theirs have as many digits.
const FIRST: u32 = 1_000_000;
/// Slices of the study that the pool is at work on meanwhile.
const BACKLOG: u16 = 400;
const LIMIT: Duration = Duration::from_secs(300);

const RULES: &str = "[[rules]]\nname = \"web\"\nthen = [{ web-rendition = { at-least-kib = 1 } }]\n";

/// What a turn took.
#[derive(Clone, Copy)]
struct Figures {
    a_second: f64,
    cpu_s: f64,
    /// From the last answer to the last first thumbnail; none without jobs.
    thumbnails: Option<Duration>,
    /// Series that had none yet at the last answer.
    without: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let rounds: usize = env::var("INGEST_ROUNDS").map_or(Ok(3), |text| text.parse())?;
    let slices = ct_of_size(StudyOf { number: FIRST, ..NGUYEN }, SLICES, EDGE);
    let backlog = ct_of_size(MUELLER, BACKLOG, EDGE);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Who is first has the colder machine, so they change places.
        for does_jobs in [round % 2 == 0, round % 2 != 0] {
            let figures = turn(&slices, &backlog, does_jobs).await?;
            show(if does_jobs { "with jobs" } else { "without" }, figures);
            if does_jobs { with.push(figures) } else { without.push(figures) }
        }
    }
    let (with, without) = (middle(with)?, middle(without)?);
    println!(
        "the middle of {rounds} rounds: with jobs {:.3} of the rate without, {:.3} of the CPU",
        with.a_second / without.a_second,
        with.cpu_s / without.cpu_s
    );
    Ok(())
}

fn show(what: &str, Figures { a_second, cpu_s, thumbnails, without }: Figures) {
    let count = f64::from(ASSOCIATIONS * STUDIES * u32::from(SLICES)) / 1000.0;
    let thumbnails = thumbnails.map_or_else(String::new, |after| {
        format!(
            "   {without} series without a thumbnail at the last answer, all have one {:.2} s later",
            after.as_secs_f64()
        )
    });
    println!("{what:<12}{a_second:>8.0} a second {:>6.2} CPU s a 1,000{thumbnails}", cpu_s / count);
}

fn middle(mut figures: Vec<Figures>) -> Result<Figures> {
    figures.sort_by(|one, other| one.a_second.total_cmp(&other.a_second));
    figures.get(figures.len() / 2).copied().context("no rounds")
}

/// The slice as one of another study.
fn of_study(slice: &Synthetic, number: u32) -> Result<Synthetic> {
    let (from, to) = (FIRST.to_string(), number.to_string());
    ensure!(from.len() == to.len(), "study {number} has a longer number");
    let mut data_set = slice.data_set.to_vec();
    // The header is shorter than that, and the pixels hold no such text by chance: they are a ramp.
    let header = data_set.get_mut(..1024).context("a header")?;
    let places: Vec<usize> = memmem::find_iter(header, from.as_bytes()).collect();
    for place in places {
        header
            .get_mut(place..place + to.len())
            .context("a place in the header")?
            .copy_from_slice(to.as_bytes());
    }
    let other = |uid: &str| uid.replace(&from, &to);
    Ok(Synthetic {
        study: other(&slice.study),
        series: other(&slice.series),
        sop_instance: other(&slice.sop_instance),
        sop_class: slice.sop_class,
        data_set: data_set.into(),
    })
}

/// Where the thumbnail of a series is kept.
fn thumbnail(data: &Path, slice: &Synthetic) -> PathBuf {
    data.join("objects/derived").join(&slice.study).join(&slice.series).join("thumbnail.jpg")
}

/// One server, from its start to its end.
async fn turn(slices: &[Synthetic], backlog: &[Synthetic], does_jobs: bool) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let (data, settings) = (folder.path().join("data"), folder.path().join("filmless.toml"));
    fs::write(&settings, format!("[worker]\njobs = {does_jobs}\n\n{RULES}"))?;
    let server = Program::start(&data, &["--config", settings.to_str().context("a path in UTF-8")?]).await?;
    let mut sender = Association::for_ct(server.dimse, "BACKLOG").await?;
    for slice in backlog {
        store(&mut sender, slice).await?;
    }
    sender.release().await?;
    if does_jobs {
        let web = Web::new(server.http);
        until("renditions are being made", LIMIT, async || {
            let jobs = web.json("/api/v1/jobs?kind=web-rendition&state=running").await.ok()?;
            jobs.iter().any(|job| job["done"].as_u64() > Some(0)).then_some(())
        })
        .await?;
    }

    let before = server.usage()?;
    let began = Instant::now();
    try_join_all((0..ASSOCIATIONS).map(|association| send(&server, slices, association))).await?;
    let took = began.elapsed();
    let used = server.usage()?.since(before);

    let firsts: Vec<Synthetic> = (1..=ASSOCIATIONS * STUDIES)
        .filter_map(|number| slices.first().map(|slice| of_study(slice, FIRST + number)))
        .collect::<Result<_>>()?;
    let missing = || firsts.iter().filter(|slice| !thumbnail(&data, slice).exists()).count();
    let without = missing();
    let thumbnails = if does_jobs {
        let last = Instant::now();
        until("all thumbnails", LIMIT, async || (missing() == 0).then_some(())).await?;
        Some(last.elapsed())
    } else {
        ensure!(without == firsts.len(), "there are thumbnails without jobs");
        None
    };
    server.terminate()?;
    server.exit().await?;
    let count = f64::from(ASSOCIATIONS * STUDIES * u32::from(SLICES));
    Ok(Figures { a_second: count / took.as_secs_f64(), cpu_s: used.cpu.as_secs_f64(), thumbnails, without })
}

async fn send(server: &Program, slices: &[Synthetic], association: u32) -> Result<()> {
    let mut sender = Association::for_ct(server.dimse, "BENCH").await?;
    for study in 1..=STUDIES {
        for slice in slices {
            store(&mut sender, &of_study(slice, FIRST + association * STUDIES + study)?).await?;
        }
    }
    sender.release().await
}

async fn store(sender: &mut Association, slice: &Synthetic) -> Result<()> {
    let status = sender.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await?;
    ensure!(status == 0, "status {status:04x} for {}", slice.sop_instance);
    Ok(())
}
