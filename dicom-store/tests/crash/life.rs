//! A short life of an archive with everything that the write path can do, and what must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dicom_store::fixture::{Sample, Watch, ct, store, system};
use dicom_store::model::{Instance, Resource};
use dicom_store::{Archive, Config, ErrorKind, Stored};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::disk::Recorder;

/// What is sent, in this order; the last has the UID of the first.
pub(crate) struct Samples {
    pub(crate) all: Vec<Sample>,
}

/// This one fills the pack, which is then sealed.
const FULL: usize = 8;
/// These stream into packs of their own.
const LARGE: [usize; 2] = [5, 6];

impl Samples {
    pub(crate) fn new() -> Self {
        let first = ct();
        let mut all = vec![first.clone()];
        all.extend((1..9).map(|number| {
            let sample = first.next(number + 1);
            // No sector of these is empty, and two of them end in some that are.
            let fill = u8::try_from(number).unwrap();
            let mut pixels = vec![fill; 1500];
            if number % 3 == 0 {
                pixels.resize(3000, 0);
            }
            if number == 8 {
                pixels.resize(1 << 20, 9);
            }
            sample.pixels(dicom_store::model::VR::OW, pixels)
        }));
        all.push(first.name("OTHER^NAME"));
        Self { all }
    }

    pub(crate) fn conflict(&self) -> usize {
        self.all.len() - 1
    }
}

/// Settings with which a pack is soon full, or every instance is large.
pub(crate) fn config(data: &Path, is_large: bool) -> Config {
    let inline_size_mib = if is_large { 0 } else { 8 };
    Config { data: data.to_owned(), reserve_mib: 0, pack_size_mib: 1, inline_size_mib, ..Config::default() }
}

/// Sends one, and says so when it was answered with success.
async fn send(archive: &Archive, samples: &Samples, number: usize, recorder: &Recorder) -> bool {
    let answer = store(&system(archive), &samples.all[number]).await;
    if answer.is_ok() {
        recorder.answered(number);
    }
    answer.is_ok()
}

/// Everything once: one instance, a group, a newcomer under a UID that is taken, sealing, a new pack,
/// large instances, and the same pack again after a restart. Gives what was answered.
pub(crate) async fn live(data: &Path, samples: &Samples, recorder: &Recorder) -> BTreeSet<usize> {
    let mut answered = BTreeSet::new();
    let mut note = |number, is_answered| {
        if is_answered {
            answered.insert(number);
        }
    };
    if let Ok(archive) = open(data, false, recorder.watch()).await {
        let answers_first = send(&archive, samples, 0, recorder).await;
        note(0, answers_first);
        let group = [1, 2, 3];
        let answers = join_all(group.map(|number| send(&archive, samples, number, recorder))).await;
        for (number, is_answered) in group.into_iter().zip(answers) {
            note(number, is_answered);
        }
        let is_taken = answers_first && send(&archive, samples, samples.conflict(), recorder).await;
        if is_taken {
            note(samples.conflict(), true);
        }
        note(FULL, send(&archive, samples, FULL, recorder).await);
        note(4, send(&archive, samples, 4, recorder).await);
        archive.close().await;
    }
    if let Ok(archive) = open(data, true, recorder.watch()).await {
        for number in LARGE {
            note(number, send(&archive, samples, number, recorder).await);
        }
        archive.close().await;
    }
    if let Ok(archive) = open(data, false, recorder.watch()).await {
        note(7, send(&archive, samples, 7, recorder).await);
        archive.close().await;
    }
    answered
}

async fn open(data: &Path, is_large: bool, watch: Watch) -> dicom_store::Result<Archive> {
    Archive::open_watched(&config(data, is_large), watch).await
}

/// A folder for one disk: in memory where the system has such a place, for there are many.
pub(crate) fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

pub(crate) fn packs_in(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "tar")).collect()
}

/// Every promise, on an archive that was left anyhow: what was answered is there, what is there is whole, senders
/// may repeat, and an index made anew is the same.
pub(crate) async fn check(data: &Path, samples: &Samples, answered: &BTreeSet<usize>) -> Result<(), String> {
    let config = config(data, false);
    let archive = Archive::open(&config).await.map_err(|error| format!("it does not open: {error}"))?;
    let there = whole(&archive, samples).await?;
    for number in answered.iter().filter(|number| **number != samples.conflict()) {
        if !there.contains(number) {
            return Err(format!("sample {number} was answered and is lost; there are {there:?}"));
        }
    }
    if answered.contains(&samples.conflict()) && !is_kept_aside(data) {
        return Err("the newcomer was answered and is lost".to_owned());
    }
    // All at once, and then the one that is a newcomer only behind the first.
    let session = system(&archive);
    let all = samples.all.iter().take(samples.conflict()).map(|sample| store(&session, sample));
    let mut answers = join_all(all).await;
    answers.push(store(&session, &samples.all[samples.conflict()]).await);
    for (number, answer) in answers.iter().enumerate() {
        let is_right = match answer {
            Ok(Stored::New(_) | Stored::Stranger(_) | Stored::Rejected(_)) => {
                !there.contains(&number) && number != samples.conflict()
            }
            Ok(Stored::Same(_)) => there.contains(&number),
            Ok(Stored::Conflict { .. }) => number == samples.conflict(),
            Err(_) => false,
        };
        if !is_right {
            return Err(format!("sample {number} was repeated and answered with {answer:?}"));
        }
    }
    archive.close().await;
    let archive =
        Archive::reindex(&config).await.map_err(|error| format!("it cannot be indexed: {error}"))?;
    let there = whole(&archive, samples).await?;
    archive.close().await;
    if there.len() != samples.conflict() {
        return Err(format!("only {there:?} are there in an index made anew"));
    }
    let left = packs_in(&data.join("log"));
    if left.len() > 1 {
        return Err(format!("packs pile up in the log: {left:?}"));
    }
    Ok(())
}

/// The samples that are found, each of them byte for byte.
async fn whole(archive: &Archive, samples: &Samples) -> Result<BTreeSet<usize>, String> {
    let session = system(archive);
    let numbers: BTreeMap<_, _> = samples.all[..samples.conflict()]
        .iter()
        .enumerate()
        .map(|(number, sample)| (sample.sop_instance(), number))
        .collect();
    let study = Resource::Study(samples.all[0].study());
    let mut there = BTreeSet::new();
    let instances = match session.instances(&study).await {
        Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
        instances => instances.map_err(|error| error.to_string())?,
    };
    for instance in instances {
        let number = numbers[&instance.sop_instance];
        let bytes = bytes_of(archive, &instance).await?;
        if !bytes.ends_with(&samples.all[number].data_set()) {
            return Err(format!("sample {number} is there in part"));
        }
        there.insert(number);
    }
    Ok(there)
}

async fn bytes_of(archive: &Archive, instance: &Instance) -> Result<Vec<u8>, String> {
    let parts: Vec<_> =
        system(archive).open(instance).try_collect().await.map_err(|error| error.to_string())?;
    Ok(parts.concat())
}

/// Whether any pack has an entry that is kept aside.
fn is_kept_aside(data: &Path) -> bool {
    let mut packs = packs_in(&data.join("log"));
    packs.extend(packs_in(&data.join("objects/packs")));
    let is_newcomer = |block: &[u8]| &block[257..262] == b"ustar" && block[345..].starts_with(b"conflict/");
    packs.iter().any(|pack| fs::read(pack).unwrap().chunks_exact(512).any(is_newcomer))
}
