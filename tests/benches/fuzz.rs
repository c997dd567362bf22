//! `make fuzz`: feeds each target with changed inputs for FUZZ_SECONDS (an hour), and ends with status 1 at the first
//! that panics, takes longer than its target may, holds more memory than its target may, or ends the process.
//!
//! Each target has a process of its own, so that what it holds can be told, and so that somebody is left to tell what it
//! was fed when it overflowed its stack, aborted or was killed. What was found lies in the file that the last lines name,
//! and belongs into `fuzz/corpus` once it is mended. FUZZ_SEED makes a run again.

#![allow(clippy::print_stdout, reason = "a program that tells how far it is")]

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use cap::Cap;
use tests::fuzz::{Kept, Mutator, Outcome, Pool, TARGETS, Target, left_behind};

/// An input that has not ended after so many times what it may take does not end; one that takes long is fed three times.
const ENDLESS: u32 = 20;
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: Cap<std::alloc::System> = Cap::new(std::alloc::System, usize::MAX);

/// The argument of the process that is fed.
const FED: &str = "--fed";
/// With this status it has told itself what was found.
const FOUND: u8 = 3;
/// More than this no target gets: it dies of it, and the machine does not.
const MOST_MEMORY: usize = 1 << 30;

fn main() -> Result<ExitCode> {
    let named = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let named: Vec<&Target> = match &named {
        Some(name) => vec![TARGETS.iter().find(|target| target.name == name).context("no such target")?],
        None => TARGETS.iter().collect(),
    };
    if env::args().any(|argument| argument == FED) {
        return feed(named.first().copied().context("no target")?);
    }
    let mut code = ExitCode::SUCCESS;
    for target in named {
        if !is_fed_well(target)? {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Feeds a target in a process of its own.
fn is_fed_well(target: &Target) -> Result<bool> {
    let by_clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = number("FUZZ_SEED", by_clock)?;
    // What an earlier run was fed is not what this one leaves behind.
    drop(Kept::create(&folder(target))?);
    let mut fed = Command::new(env::current_exe()?);
    let ended = fed.args([target.name, FED]).env("FUZZ_SEED", seed.to_string()).status()?;
    if !ended.success() {
        println!("{}: FAILED ({ended}, seed {seed})", target.name);
    }
    if is_death(ended) {
        match left_behind(&folder(target), seed)? {
            Some(path) => println!("  the input is {}", path.display()),
            None => println!("  nothing had been fed"),
        }
    }
    Ok(ended.success())
}

/// Whether a process had no time to tell of its end.
fn is_death(ended: ExitStatus) -> bool {
    !ended.success() && ended.code() != Some(i32::from(FOUND))
}

fn folder(target: &Target) -> PathBuf {
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    folder.join("fuzz").join(target.name)
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
    let seed = number("FUZZ_SEED", 0)?;
    ALLOCATOR.set_limit(MOST_MEMORY).ok().context("the memory has no limit")?;
    // A panic is told below, with its input.
    std::panic::set_hook(Box::new(|_| ()));
    let begun = Instant::now();
    let now = Arc::new(Now::default());
    watch(target, Arc::clone(&now), begun);
    let corpus = target.corpus()?.into_iter().map(|(_, input)| input).collect::<Vec<_>>();
    let (mut pool, mut mutator) = (Pool::new(corpus.clone()), Mutator::new(seed));
    let mut corpus = corpus.into_iter();
    let mut kept = Kept::create(&folder(target))?;
    let (mut inputs, mut slowest) = (0_u64, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let input = corpus.next().unwrap_or_else(|| mutator.make(pool.inputs(), target.longest));
        kept.note(&input)?;
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
            Outcome::Fine(outcome, took) => {
                pool.note(&input, outcome);
                slowest = slowest.max(took);
            }
            Outcome::Panicked(what) => return found(target, &input, &format!("panic: {what}")),
            Outcome::Slow(taken) => return found(target, &input, &format!("it took {taken:?}")),
        }
    }
    ensure!(inputs > 0, "nothing was fed");
    println!(
        "{}: {inputs} inputs in {seconds} s, {} outcomes, the slowest {} ms, at most {} KiB held (seed {seed})",
        target.name,
        pool.outcomes(),
        slowest.as_millis(),
        ALLOCATOR.max_allocated() >> 10,
    );
    Ok(ExitCode::SUCCESS)
}

/// Ends the process when an input takes far too long: it may never end by itself.
fn watch(target: &'static Target, now: Arc<Now>, begun: Instant) {
    thread::spawn(move || {
        loop {
            thread::sleep(LOOK);
            let since = Duration::from_millis(now.since.load(Ordering::Relaxed));
            if !since.is_zero() && begun.elapsed().saturating_sub(since) > target.limit * ENDLESS {
                let input = now.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let told = found(target, &input, "it does not end");
                std::process::exit(if told.is_ok() { FOUND.into() } else { 2 });
            }
        }
    });
}

fn found(target: &Target, input: &[u8], what: &str) -> Result<ExitCode> {
    let path =
        folder(target).join(format!("{}-{}", what.split_whitespace().next().unwrap_or("found"), input.len()));
    fs::write(&path, input)?;
    println!("{}: {what}\n  the input is {}", target.name, path.display());
    Ok(ExitCode::from(FOUND))
}
