//! What is fed with bytes that nobody has made: by `make fuzz` for as long as one likes, and the corpus of it by a test.
//!
//! A new target is a line of [`TARGETS`] and a folder of beginnings, `fuzz/corpus/<name>`. Its function gives a number
//! that tells outcomes apart; inputs with a new one are built upon ([`Mutator`]).

mod kept;
mod mutate;
mod pixels;

use std::{
    collections::HashSet,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

pub use kept::{Kept, left_behind};
pub use mutate::Mutator;

/// No input may take longer, where nothing else is said.
const LIMIT: Duration = Duration::from_secs(1);
/// A stream of pixels has two seconds before it is given up, and 40 µs more for each byte (`pixel::patience`); an input
/// of a codec may be decoded, shown and encoded.
const OF_PIXELS: Duration = Duration::from_secs(4);
/// How often an input has to take longer before it is called slow.
const TRIES: usize = 3;

/// Something that takes any bytes.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]) -> u64,
    /// Inputs are not longer than this.
    pub longest: usize,
    /// What it may hold at any time, in bytes, the input not counted.
    pub memory: usize,
    /// No input may take longer.
    pub limit: Duration,
}

const MIB: usize = 1 << 20;

/// A codec, with images of 1024 × 1024 samples of 16 bits in three colours at the most.
const fn codec(name: &'static str, run: fn(&[u8]) -> u64, memory: usize) -> Target {
    Target { name, run, longest: 16 << 10, memory, limit: OF_PIXELS }
}

pub const TARGETS: &[Target] = &[
    Target {
        name: "associate",
        run: dicom_net::fuzzing::associate,
        longest: 64 << 10,
        memory: 8 * MIB,
        limit: LIMIT,
    },
    Target {
        name: "connection",
        run: dicom_net::fuzzing::connection,
        longest: 64 << 10,
        memory: 8 * MIB,
        limit: LIMIT,
    },
    Target {
        name: "p-data",
        run: dicom_net::fuzzing::p_data,
        longest: 64 << 10,
        memory: 2 * MIB,
        limit: LIMIT,
    },
    Target {
        name: "command-set",
        run: dicom_net::fuzzing::command_set,
        longest: 16 << 10,
        memory: MIB,
        limit: LIMIT,
    },
    Target {
        name: "data-set",
        run: dicom_net::fuzzing::data_set,
        longest: 32 << 10,
        memory: 16 * MIB,
        limit: LIMIT,
    },
    codec("native", pixels::native, 64 * MIB),
    codec("rle", pixels::rle, 64 * MIB),
    codec("deflated", pixels::deflated, 64 * MIB),
    codec("jpeg", pixels::jpeg, 64 * MIB),
    codec("jpeg-lossless", pixels::jpeg_lossless, 64 * MIB),
    codec("jpeg-ls", pixels::jpeg_ls, 64 * MIB),
    codec("jpeg-2000", pixels::jpeg_2000, 256 * MIB),
    codec("htj2k", pixels::htj2k, 256 * MIB),
    codec("jpeg-xl", pixels::jpeg_xl, 256 * MIB),
];

/// How an input went.
pub enum Outcome {
    /// With what tells it from others, and how long it took.
    Fine(u64, Duration),
    Panicked(String),
    /// It took longer than it may, and has ended all the same.
    Slow(Duration),
}

impl Target {
    /// Feeds one input, and one that took long again: somebody else may have had the processor. One that never ends is
    /// for a watchdog.
    pub fn feed(&self, input: &[u8]) -> Outcome {
        let mut least = Duration::MAX;
        for _ in 0..TRIES {
            let begun = Instant::now();
            let ran = panic::catch_unwind(AssertUnwindSafe(|| (self.run)(input)));
            least = least.min(begun.elapsed());
            match ran {
                Err(cause) => return Outcome::Panicked(words(cause.as_ref())),
                Ok(signature) if least <= self.limit => return Outcome::Fine(signature, least),
                Ok(_) => {}
            }
        }
        Outcome::Slow(least)
    }

    /// The beginnings of this target, and what was found wrong once.
    ///
    /// # Errors
    /// When there are none.
    pub fn corpus(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(self.name);
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("no corpus in {}", folder.display()))? {
            let path = entry?.path();
            files.push((path.clone(), fs::read(path)?));
        }
        files.sort();
        anyhow::ensure!(!files.is_empty(), "{} is empty", folder.display());
        Ok(files)
    }
}

fn words(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// Inputs that are built upon: the corpus, and whatever had an outcome of its own.
pub struct Pool {
    inputs: Vec<Vec<u8>>,
    outcomes: HashSet<u64>,
}

/// The pool keeps no more inputs than this.
const MOST_INPUTS: usize = 4096;

impl Pool {
    pub fn new(corpus: Vec<Vec<u8>>) -> Self {
        Self { inputs: corpus, outcomes: HashSet::new() }
    }

    pub fn inputs(&self) -> &[Vec<u8>] {
        &self.inputs
    }

    /// How many outcomes were seen.
    pub fn outcomes(&self) -> usize {
        self.outcomes.len()
    }

    /// Keeps an input when its outcome is new.
    pub fn note(&mut self, input: &[u8], outcome: u64) {
        if self.outcomes.insert(outcome) && self.inputs.len() < MOST_INPUTS {
            self.inputs.push(input.to_vec());
        }
    }
}
