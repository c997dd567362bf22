use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt;

use super::super::disk::Step;
use super::*;
use crate::fixture::{Sample, Watch, config, ct, store, system};
use crate::model::Resource;
use crate::{Archive, Config};

/// A closed archive with two instances in one sealed pack, and what its index knows of them.
async fn sealed(folder: &tempfile::TempDir) -> (Config, Vec<Sample>, PackId) {
    let config = config(folder);
    let archive = Archive::open(&config).await.unwrap();
    let first = ct();
    let samples = vec![first.clone(), first.next(2)];
    for sample in &samples {
        store(&system(&archive), sample).await.unwrap();
    }
    archive.close().await;
    let archive = Archive::open(&config).await.unwrap();
    let pack = archive.inner.packs.in_log().unwrap()[0];
    while archive.inner.packs.log_file(pack).exists() {
        archive.store().unwrap().seal().await.unwrap();
        tokio::task::yield_now().await;
    }
    archive.close().await;
    (config, samples, pack)
}

async fn hold(archive: &Archive, samples: &[Sample]) {
    let session = system(archive);
    let found = session.instances(&Resource::Study(samples[0].study())).await.unwrap();
    assert_eq!(found.len(), samples.len());
    for (instance, sample) in found.iter().zip(samples) {
        let parts: Vec<_> = session.open_data_set(instance).try_collect().await.unwrap();
        assert_eq!(parts.concat(), sample.data_set());
    }
}

fn file(config: &Config, pack: PackId) -> PathBuf {
    config.data.join("objects/packs").join(format!("{pack}.tar"))
}

fn copy_pack(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn the_inputs_stay_until_the_index_that_does_without_them_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples, input) = sealed(&folder).await;
    let is_refused = Arc::new(AtomicBool::new(false));
    let refuses = is_refused.clone();
    let watch: Watch = Arc::new(move |step| match step {
        Step::SyncIndex if refuses.load(Ordering::Relaxed) => Err(std::io::Error::from_raw_os_error(5)),
        _ => Ok(()),
    });
    let archive = Archive::open_watched(&config, watch).await.unwrap();
    let (packs, index) = (&archive.inner.packs, &archive.inner.index);
    is_refused.store(true, Ordering::Relaxed);
    assert!(rewrite(packs, index, &[input], &|_| false).await.is_err());
    assert!(recover(packs, index).await.is_err());
    assert!(file(&config, input).exists());
    hold(&archive, &samples).await;
    is_refused.store(false, Ordering::Relaxed);
    recover(packs, index).await.unwrap();
    assert!(!file(&config, input).exists());
    hold(&archive, &samples).await;
    archive.close().await;
}

#[tokio::test]
async fn an_output_that_was_an_object_already_is_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples, input) = sealed(&folder).await;
    let archive = Archive::open(&config).await.unwrap();
    let output = archive.inner.packs.next_id();
    archive.inner.index.begin_pack(output).await.unwrap();
    copy_pack(&file(&config, input), &file(&config, output));
    archive.close().await;

    let archive = Archive::open(&config).await.unwrap();
    assert!(file(&config, input).exists() && !file(&config, output).exists());
    assert!(archive.inner.packs.next_id() > output, "its number is not given again");
    hold(&archive, &samples).await;
}

#[tokio::test]
async fn inputs_whose_place_was_taken_are_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples, input) = sealed(&folder).await;
    let archive = Archive::open(&config).await.unwrap();
    let (index, output) = (&archive.inner.index, archive.inner.packs.next_id());
    let entries = all_entries(index, input).await.unwrap();
    let mark =
        entries.last().map(|entry| entry.location.offset - BLOCK + padded(entry.location.length)).unwrap();
    index.begin_pack(output).await.unwrap();
    copy_pack(&file(&config, input), &file(&config, output));
    let same = entries.iter().map(|entry| (input, entry.location.offset, entry.location.offset));
    let replacement = Replacement {
        inputs: vec![input],
        output: Some((output, mark)),
        moves: same.collect(),
        dropped: Vec::new(),
    };
    index.replace_packs(&replacement).await.unwrap();
    archive.close().await;

    let archive = Archive::open(&config).await.unwrap();
    assert!(!file(&config, input).exists() && file(&config, output).exists());
    hold(&archive, &samples).await;
    archive.close().await;
    let archive = Archive::reindex(&config).await.unwrap();
    hold(&archive, &samples).await;
}

#[tokio::test]
async fn what_is_damaged_is_copied_as_it_is_and_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let (config, samples, input) = sealed(&folder).await;
    let mut bytes = std::fs::read(file(&config, input)).unwrap();
    let data = samples[0].data_set();
    let place = bytes.windows(data.len()).position(|window| window == data).unwrap() + data.len() - 1;
    bytes[place] ^= 1;
    std::fs::write(file(&config, input), &bytes).unwrap();
    let archive = Archive::open(&config).await.unwrap();
    let _turn = archive.inner.rewriting.lock().await;
    let (packs, index) = (&archive.inner.packs, &archive.inner.index);
    let rewritten = rewrite(packs, index, &[input], &|_| false).await.unwrap();
    assert_eq!((rewritten.kept, rewritten.dropped), (2, 0));
    let output = rewritten.output.unwrap();
    let damaged: Vec<bool> =
        all_entries(index, output).await.unwrap().iter().map(|entry| entry.is_damaged).collect();
    assert_eq!(damaged, [true, false]);
    hold(&archive, &samples[1..]).await;
}
