//! The disk says no: at every step once, and from every step on.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::FileExt;

use dicom_store::fixture::Step;

use crate::disk::Recorder;
use crate::life::{Samples, check, live, scratch};

/// How a step fails.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// Once, and all is well again.
    Once(i32),
    /// This one and all after it.
    FromHereOn(i32),
    /// A write that stops half way, once.
    HalfWay,
}

const NO_SPACE: i32 = 28;
const INPUT_OUTPUT_ERROR: i32 = 5;

impl Failure {
    fn refuse(self, is_here: bool, is_past: bool, step: &Step<'_>) -> io::Result<()> {
        match (self, step) {
            (Self::Once(code), _) if is_here => Err(io::Error::from_raw_os_error(code)),
            (Self::FromHereOn(code), _) if is_past => Err(io::Error::from_raw_os_error(code)),
            (Self::HalfWay, Step::Write { file, at, parts }) if is_here => {
                let bytes = parts.concat();
                file.write_all_at(&bytes[..bytes.len() / 2], *at)?;
                Err(io::Error::from_raw_os_error(NO_SPACE))
            }
            _ => Ok(()),
        }
    }
}

/// A life with one failure; gives whether the step was reached.
async fn live_with(failure: Failure, step: usize) -> bool {
    let folder = scratch();
    let samples = Samples::new();
    let (reached, is_reached) = std::sync::mpsc::channel();
    let refuse = move |number: usize, taken: &Step<'_>| {
        if number == step {
            // Nobody listens any more once the life is over.
            let _ = reached.send(());
        }
        failure.refuse(number == step, number >= step, taken)
    };
    let recorder = Recorder::refusing(folder.path(), Box::new(refuse));
    let answered: BTreeSet<usize> = live(folder.path(), &samples, &recorder).await;
    if let Err(what) = check(folder.path(), &samples, &answered).await {
        panic!("{failure:?} at step {step}, answered {answered:?}: {what}");
    }
    is_reached.try_recv().is_ok()
}

/// Every step, or every so many.
async fn live_with_each(failure: Failure, stride: usize) {
    let mut step = 0;
    while live_with(failure, step).await {
        step += stride;
    }
    assert!(step >= 50, "only {step} steps were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_for_want_of_space_loses_nothing_that_was_answered() {
    live_with_each(Failure::Once(NO_SPACE), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_by_an_error_of_the_disk_loses_nothing_that_was_answered() {
    live_with_each(Failure::Once(INPUT_OUTPUT_ERROR), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_for_good_loses_nothing_that_was_answered() {
    live_with_each(Failure::FromHereOn(INPUT_OUTPUT_ERROR), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_stops_half_way_loses_nothing_that_was_answered() {
    let folder = scratch();
    let (write, writes) = std::sync::mpsc::channel();
    let note = move |number: usize, step: &Step<'_>| {
        if matches!(step, Step::Write { .. }) {
            write.send(number).unwrap();
        }
        Ok(())
    };
    live(folder.path(), &Samples::new(), &Recorder::refusing(folder.path(), Box::new(note))).await;
    let writes: Vec<usize> = writes.try_iter().collect();
    assert!(writes.len() >= 8, "only {writes:?}");
    for step in writes {
        live_with(Failure::HalfWay, step).await;
    }
}
