//! The corpus of the fuzzer, fed once, and some thousand inputs made of it: what was found once does not come back.

use std::{env, fs, hint::black_box, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tests::fuzz::{Kept, Mutator, Outcome, Pool, TARGETS, Target, left_behind};

fn fed(target: &Target, input: &[u8], name: &str) -> Result<u64> {
    match target.feed(input) {
        Outcome::Fine(outcome, _) => Ok(outcome),
        Outcome::Panicked(what) => bail!("{}: {name}: {what}", target.name),
        Outcome::Slow(taken) => bail!("{}: {name}: it took {taken:?}", target.name),
    }
}

#[test]
fn every_input_of_the_corpus_is_taken() -> Result<()> {
    for target in TARGETS {
        for (path, input) in target.corpus()? {
            fed(target, &input, &path.display().to_string())?;
        }
    }
    Ok(())
}

#[test]
fn what_is_made_of_the_corpus_is_taken_and_reaches_further() -> Result<()> {
    for target in TARGETS {
        let corpus: Vec<Vec<u8>> = target.corpus()?.into_iter().map(|(_, input)| input).collect();
        let mut pool = Pool::new(corpus.clone());
        for input in &corpus {
            pool.note(input, fed(target, input, "the corpus")?);
        }
        let (known, mut mutator) = (pool.outcomes(), Mutator::new(1));
        for number in 0..3000 {
            let input = mutator.make(pool.inputs(), target.longest);
            pool.note(&input, fed(target, &input, &format!("input {number} of seed 1"))?);
        }
        ensure!(pool.outcomes() > known, "{} sees nothing new", target.name);
    }
    Ok(())
}

/// Tells the process that this test starts how it shall end, and where it is to keep what it was fed.
const DIES: &str = "TESTS_FUZZ_DIES";
const FOLDER: &str = "TESTS_FUZZ_FOLDER";
const INPUT: &[u8] = b"the input that does it";

/// Overflows the stack of any input.
fn overflow(input: &[u8]) -> u64 {
    let deeper = black_box([input.len() as u64; 512]);
    let next = if deeper.is_empty() { 0 } else { overflow(black_box(input)) };
    next.wrapping_add(deeper.iter().sum())
}

fn abort(_: &[u8]) -> u64 {
    std::process::abort()
}

#[test]
fn a_target_that_ends_its_process_leaves_its_input_behind() -> Result<()> {
    const NAME: &str = "a_target_that_ends_its_process_leaves_its_input_behind";
    if let Some(how) = env::var_os(DIES) {
        let run = if how == "overflow" { overflow } else { abort };
        let mut kept = Kept::create(&PathBuf::from(env::var_os(FOLDER).context("no folder")?))?;
        kept.note(&[7; 5000])?;
        kept.note(INPUT)?;
        Target { name: NAME, run, longest: 0, memory: 0, limit: Duration::from_secs(1) }.feed(INPUT);
        return Ok(());
    }
    for how in ["overflow", "abort"] {
        let folder = tempfile::tempdir()?;
        let mut fed = Command::new(env::current_exe()?);
        fed.args(["--exact", NAME]).env(DIES, how).env(FOLDER, folder.path());
        let ended = fed.output()?.status;
        ensure!(ended.code().is_none(), "{how}: {ended}");
        let path = left_behind(folder.path(), 42)?.context("nothing is left")?;
        assert_eq!(fs::read(&path)?, INPUT);
        assert!(path.to_string_lossy().ends_with("-seed-42"), "{}", path.display());
    }
    Ok(())
}
