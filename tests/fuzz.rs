//! The corpus of the fuzzer, fed once, and some thousand inputs made of it: what was found once does not come back.

use anyhow::{Result, bail, ensure};
use tests::fuzz::{Mutator, Outcome, Pool, TARGETS, Target};

fn fed(target: &Target, input: &[u8], name: &str) -> Result<u64> {
    match target.feed(input) {
        Outcome::Fine(outcome) => Ok(outcome),
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
