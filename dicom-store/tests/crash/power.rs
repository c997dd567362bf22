//! The power goes: at every step, with every part of what was not synced.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::disk::{Choice, Disk, Index, Journal, Kept, Op, Recorder, State, digest_of, lay_out};
use crate::life::{Samples, check, live, scratch};

/// Writes of more sectors are torn at their ends and at some places within.
const SECTORS: usize = 48;
/// One disk in so many is tried in a run of all tests, each of them when this
/// is built for `make crash-test`, which sets `CRASH_SECONDS`.
const ONE_IN: usize = if option_env!("CRASH_SECONDS").is_some() { 1 } else { 7 };
const WORKERS: usize = 4;

struct Recorded {
    journal: Journal,
    samples: Samples,
    data: TempDir,
}

async fn recorded() -> Recorded {
    let data = TempDir::new().unwrap();
    let samples = Samples::new();
    let recorder = Recorder::of(data.path());
    let answered = live(data.path(), &samples, &recorder).await;
    assert_eq!(answered.len(), samples.all.len(), "all is well as long as the power is there");
    Recorded { journal: recorder.into_journal(), samples, data }
}

/// A disk at a moment, and what must be found on it.
struct Case {
    at: usize,
    choice: Choice,
    state: State,
    index: Option<Index>,
    answered: BTreeSet<usize>,
}

impl Recorded {
    /// Each different thing that a disk may hold, once.
    fn cases(&self) -> Vec<Case> {
        let mut disk = Disk::default();
        let (mut cases, mut seen) = (Vec::new(), HashSet::new());
        for at in 0..=self.journal.ops.len() {
            if let Some(op) = at.checked_sub(1).map(|last| &self.journal.ops[last]) {
                disk.take(op);
            }
            let answers = self.journal.answers.iter().filter(|(then, _)| *then <= at);
            let answered: BTreeSet<usize> = answers.map(|(_, sample)| *sample).collect();
            for choice in choices(&disk) {
                let state = disk.switched_off(&choice);
                for index in self.indexes(at) {
                    let of_index = index.as_ref().map(Arc::as_ptr);
                    if seen.insert((digest_of(&state), of_index, answered.len())) {
                        let (choice, state, answered) = (choice.clone(), state.clone(), answered.clone());
                        cases.push(Case { at, choice, state, index, answered });
                    }
                }
            }
        }
        cases
    }

    /// None at all, the one of this moment, and the one before it, unless that one is older than what was synced.
    fn indexes(&self, at: usize) -> Vec<Option<Index>> {
        let is_synced = |op: &Op| matches!(op, Op::SyncIndex);
        let synced = self.journal.ops[..at].iter().rposition(is_synced).unwrap_or_default();
        let of_then: Vec<_> = self.journal.indexes.iter().filter(|(then, _)| *then <= at).collect();
        let oldest = of_then.partition_point(|(then, _)| *then <= synced).saturating_sub(1);
        let newest_first = of_then[oldest..].iter().rev().map(|(_, index)| Some(index.clone()));
        std::iter::once(None).chain(newest_first.take(2)).collect()
    }

    async fn verify(&self, case: &Case) -> Result<(), String> {
        let folder = scratch();
        lay_out(&case.state, case.index.as_ref(), folder.path()).unwrap();
        for name in ["archive-id", "objects/archive-id", "node"] {
            copy(self.data.path(), folder.path(), name);
        }
        check(folder.path(), &self.samples, &case.answered).await
    }
}

fn copy(from: &Path, to: &Path, name: &str) {
    fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
    fs::copy(from.join(name), to.join(name)).unwrap();
}

/// What may have become of the steps that were not synced.
fn choices(disk: &Disk) -> Vec<Choice> {
    let mut choices = vec![Choice::ALL, Choice::NOTHING];
    choices.push(Choice { names: 0, ..Choice::ALL });
    choices.push(Choice { names: u64::MAX, ..Choice::NOTHING });
    choices.push(Choice { lengths: false, ..Choice::ALL });
    choices.push(Choice { lengths: true, ..Choice::NOTHING });
    for number in 0..disk.pending_names().min(8) {
        choices.push(Choice { names: 1 << number, ..Choice::ALL });
        choices.push(Choice { names: !(1 << number), ..Choice::ALL });
    }
    if let Some(write) = disk.torn_write() {
        for last in tears(write) {
            choices.push(Choice { last: last.clone(), ..Choice::ALL });
        }
    }
    choices
}

/// At every sector, from the front and from the back; at bytes about each header; and with any sectors missing.
fn tears(write: &[u8]) -> Vec<Kept> {
    let all: Vec<usize> = (0..=write.len()).step_by(512).collect();
    let is_long = all.len() > SECTORS;
    let boundaries: Vec<usize> = all
        .iter()
        .enumerate()
        .filter(|(number, _)| !is_long || *number < 16 || number + 16 > all.len())
        .map(|(_, boundary)| *boundary)
        .collect();
    let mut tears: Vec<Kept> = boundaries.iter().map(|end| Kept::Start(*end)).collect();
    tears.extend(boundaries.iter().map(|start| Kept::Rest(*start)));
    let headers = boundaries.iter().filter(|at| write[**at..].get(257..262) == Some(b"ustar"));
    for header in headers {
        // Within the name, the size, the checksum and the digest; a byte less and more than the header.
        for byte in [1, 99, 124, 148, 156, 257, 300, 511, 513] {
            tears.push(Kept::Start(header + byte));
            tears.push(Kept::Rest(header + byte));
        }
    }
    tears.extend(
        [0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA, 0x9249_2492_4924_9249, !2, !4, !8].map(Kept::Sectors),
    );
    tears
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_the_power_at_every_step() {
    let recorded = Arc::new(recorded().await);
    let cases = Arc::new(recorded.cases());
    let steps = recorded.journal.ops.len();
    let is_of = |wanted: fn(&Op) -> bool| recorded.journal.ops.iter().filter(|op| wanted(op)).count();
    // The life goes through all that there is.
    assert!(
        is_of(|op| matches!(op, Op::Rename { .. })) >= 5
            && is_of(|op| matches!(op, Op::SetLength { .. })) >= 3
    );
    assert!(
        is_of(|op| matches!(op, Op::Allocate { .. })) >= 2 && is_of(|op| matches!(op, Op::SyncIndex)) >= 3
    );
    assert!(
        is_of(|op| matches!(op, Op::SyncFolder { .. })) >= 8 && is_of(|op| matches!(op, Op::Commit)) >= 6
    );
    println!("{} of {} disks of {steps} steps", cases.len().div_ceil(ONE_IN), cases.len());
    let workers = (0..WORKERS).map(|worker| {
        let (recorded, cases) = (recorded.clone(), cases.clone());
        tokio::spawn(async move {
            for case in cases.iter().step_by(ONE_IN).skip(worker).step_by(WORKERS) {
                if let Err(what) = recorded.verify(case).await {
                    let next = recorded.journal.ops.get(case.at);
                    let Case { at, choice, index, answered, .. } = case;
                    let has_index = index.is_some();
                    panic!("before step {at} ({next:?}) with {choice:?}, index {has_index}, answered {answered:?}: {what}");
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}
