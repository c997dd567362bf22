//! `make fuzz`: feeds each target with changed inputs for FUZZ_SECONDS (an hour), and ends with status 1 at the first
//! that panics, takes longer than a second, or holds more memory than its target may.
//!
//! Each target has a process of its own, so that what it holds can be told. What was found lies in the folder that the
//! last lines name, and belongs into `fuzz/corpus` once it is mended. FUZZ_SEED makes a run again.

#![allow(clippy::print_stdout, reason = "a program that tells how far it is")]

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use cap::Cap;
use tests::fuzz::{LIMIT, Mutator, Outcome, Pool, TARGETS, Target};

/// An input that has not ended after this does not end; one that takes long is fed three times.
const ENDLESS: Duration = LIMIT.saturating_mul(20);

#[global_allocator]
static ALLOCATOR: Cap<std::alloc::System> = Cap::new(std::alloc::System, usize::MAX);

fn main() -> Result<ExitCode> {
    let named = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    match named {
        Some(name) => {
            let target = TARGETS.iter().find(|target| target.name == name).context("no such target")?;
            feed(target)
        }
        None => feed_all(),
    }
}

fn feed_all() -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for target in TARGETS {
        let ended = Command::new(env::current_exe()?).arg(target.name).status()?;
        if !ended.success() {
            println!("{}: FAILED ({ended})", target.name);
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn number(name: &str, default: u64) -> Result<u64> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number")),
        Err(_) => Ok(default),
    }
}

/// What is being fed, for the watchdog: since when (in milliseconds, 0 for nothing), and what.
#[derive(Default)]
struct Now {
    since: AtomicU64,
    input: Mutex<Vec<u8>>,
}

fn feed(target: &'static Target) -> Result<ExitCode> {
    let seconds = number("FUZZ_SECONDS", 3600)?;
    let by_clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = number("FUZZ_SEED", by_clock)?;
    // A panic is told below, with its input.
    std::panic::set_hook(Box::new(|_| ()));
    let begun = Instant::now();
    let now = Arc::new(Now::default());
    watch(target, Arc::clone(&now), begun);
    let corpus = target.corpus()?.into_iter().map(|(_, input)| input).collect::<Vec<_>>();
    let (mut pool, mut mutator) = (Pool::new(corpus.clone()), Mutator::new(seed));
    let mut corpus = corpus.into_iter();
    let mut inputs: u64 = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let input = corpus.next().unwrap_or_else(|| mutator.make(pool.inputs(), target.longest));
        now.input.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&input);
        let before = ALLOCATOR.allocated();
        let most_before = ALLOCATOR.max_allocated();
        now.since.store(u64::try_from(begun.elapsed().as_millis())?.max(1), Ordering::Relaxed);
        let outcome = target.feed(&input);
        now.since.store(0, Ordering::Relaxed);
        inputs += 1;
        // The most that was ever held has grown: by this input, which held so much itself.
        let held = match ALLOCATOR.max_allocated() {
            most if most > most_before => most.saturating_sub(before),
            _ => 0,
        };
        if held > target.memory {
            return found(target, &input, &format!("{held} bytes held at once, {} may be", target.memory));
        }
        match outcome {
            Outcome::Fine(outcome) => pool.note(&input, outcome),
            Outcome::Panicked(what) => return found(target, &input, &format!("panic: {what}")),
            Outcome::Slow(taken) => return found(target, &input, &format!("it took {taken:?}")),
        }
    }
    ensure!(inputs > 0, "nothing was fed");
    println!(
        "{}: {inputs} inputs in {seconds} s, {} outcomes, at most {} KiB held (seed {seed})",
        target.name,
        pool.outcomes(),
        ALLOCATOR.max_allocated() >> 10,
    );
    Ok(ExitCode::SUCCESS)
}

/// Ends the process when an input takes far too long: it may never end by itself.
fn watch(target: &'static Target, now: Arc<Now>, begun: Instant) {
    thread::spawn(move || {
        loop {
            thread::sleep(LIMIT);
            let since = Duration::from_millis(now.since.load(Ordering::Relaxed));
            if !since.is_zero() && begun.elapsed().saturating_sub(since) > ENDLESS {
                let input = now.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let told = found(target, &input, "it does not end");
                std::process::exit(if told.is_ok() { 1 } else { 2 });
            }
        }
    });
}

fn found(target: &Target, input: &[u8], what: &str) -> Result<ExitCode> {
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = folder.join("fuzz").join(target.name);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{}", what.split_whitespace().next().unwrap_or("found"), input.len()));
    fs::write(&path, input)?;
    println!("{}: {what}\n  the input is {}", target.name, path.display());
    Ok(ExitCode::FAILURE)
}
