//! `kill -9` in the middle of receiving, and what is true afterwards.

mod cycles;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tests::{
    Program, Web,
    by_hand::{Association, CT_IMAGE},
    corpus::{NGUYEN, StudyOf, Synthetic, ct, ct_of_size},
    modality::dump,
    pacs::{data_set_of, stored_file},
    program::filmless,
    tools::run,
    wait::until,
};
use tokio::process::Command;

const SLICES: u16 = 400;
/// Studies of small slices, one for each association.
const SMALL: [u32; 4] = [1, 2, 3, 4];
/// A study whose slices are too large to wait for their turn in memory: 10 MiB each.
const LARGE: u32 = 5;
/// A study that comes by STOW-RS.
const WEB: u32 = 6;

type Acknowledged = Arc<Mutex<BTreeMap<String, Synthetic>>>;

fn small(number: u32) -> Vec<Synthetic> {
    ct(StudyOf { number, ..NGUYEN }, SLICES)
}

fn large() -> Vec<Synthetic> {
    ct_of_size(StudyOf { number: LARGE, ..NGUYEN }, 12, 2304)
}

/// Sends until the connection breaks, and notes each instance after success was said.
async fn send_until_it_dies(server: SocketAddr, slices: Vec<Synthetic>, acknowledged: Acknowledged) {
    let Ok(mut association) = Association::for_ct(server, "CT_1").await else { return };
    for slice in slices {
        match association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await {
            Ok(0) => acknowledged.lock().expect("no sender panics").insert(slice.sop_instance.clone(), slice),
            _ => return,
        };
    }
}

/// The same by STOW-RS, an instance a request.
async fn post_until_it_dies(server: SocketAddr, slices: Vec<Synthetic>, acknowledged: Acknowledged) {
    let web = Web::new(server);
    for slice in slices {
        match web.store("/dicom-web/studies", &[slice.file()]).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                acknowledged.lock().expect("no sender panics").insert(slice.sop_instance.clone(), slice)
            }
            _ => return,
        };
    }
}

/// Six senders at full speed, killed when a good part of each kind is acknowledged; gives what was.
async fn fill_and_kill(data: &Path) -> Result<BTreeMap<String, Synthetic>> {
    let large = large();
    let program = Program::start(data, &[]).await?;
    let acknowledged = Acknowledged::default();
    let mut senders = Vec::new();
    for slices in SMALL.map(small).into_iter().chain([large]) {
        senders.push(tokio::spawn(send_until_it_dies(program.dimse, slices, acknowledged.clone())));
    }
    senders.push(tokio::spawn(post_until_it_dies(program.http, small(WEB), acknowledged.clone())));
    until("a good part of each kind is acknowledged", Duration::from_secs(120), async || {
        let acknowledged = acknowledged.lock().expect("no sender panics");
        let of_study = |number: u32| {
            let study = format!("2.25.700{number}.");
            acknowledged.keys().filter(|uid| uid.starts_with(&study)).count()
        };
        let of_associations: usize = SMALL.into_iter().map(of_study).sum();
        (of_associations >= 100 && of_study(LARGE) >= 1 && of_study(WEB) >= 10).then_some(())
    })
    .await?;
    program.kill().await?;
    for sender in senders {
        sender.await?;
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no sender panics"));
    ensure!(acknowledged.len() < usize::from(SLICES) * 5, "all was sent before the kill");
    Ok(acknowledged)
}

/// Every acknowledged instance is there as it was sent, and whatever else is listed is whole too.
async fn assert_nothing_is_lost(web: &Web, acknowledged: &BTreeMap<String, Synthetic>) -> Result<()> {
    let all = SMALL.into_iter().chain([WEB]).flat_map(small).chain(large());
    let sent: BTreeMap<String, Synthetic> = all.map(|slice| (slice.sop_instance.clone(), slice)).collect();
    let mut listed = Vec::new();
    for number in SMALL.into_iter().chain([LARGE, WEB]) {
        for row in web.json(&format!("/dicom-web/studies/2.25.700{number}/instances?limit=1000")).await? {
            listed.push(row["00080018"]["Value"][0].as_str().context("a row without its UID")?.to_owned());
        }
    }
    for uid in acknowledged.keys() {
        assert!(listed.contains(uid), "{uid} was acknowledged and is lost");
    }
    for uid in &listed {
        let slice = sent.get(uid).with_context(|| format!("{uid} was never sent"))?;
        let kept = stored_file(web, &slice.study, &slice.series, uid).await?;
        assert!(data_set_of(&kept)? == slice.data_set, "{uid} is there in part");
    }
    Ok(())
}

/// Everything below the data folder whose name says that it belongs to the index.
fn files_of_index(data: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("index") && path.is_file() {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "no index below {}", data.display());
    Ok(files)
}

fn packs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(packs(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "tar") {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn loses_nothing_that_was_acknowledged_and_keeps_no_half() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let acknowledged = fill_and_kill(&data).await?;
    let program = Program::start(&data, &[]).await?;
    assert_nothing_is_lost(&Web::new(program.http), &acknowledged).await
}

#[tokio::test]
async fn the_index_is_made_again_from_the_packs_alone() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let acknowledged = fill_and_kill(&data).await?;
    for file in files_of_index(&data)? {
        fs::remove_file(file)?;
    }
    filmless(&["reindex", "--data", &data.to_string_lossy()]).await?.well()?;
    let program = Program::start(&data, &[]).await?;
    assert_nothing_is_lost(&Web::new(program.http), &acknowledged).await
}

#[tokio::test]
async fn a_pack_is_a_tar_of_dicom_files() -> Result<()> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let program = Program::start(&data, &[]).await?;
    let slices = ct(NGUYEN, 3);
    let files = slices.iter().map(Synthetic::file).collect::<Vec<_>>();
    let answer = Web::new(program.http).store("/dicom-web/studies", &files).await?;
    let response: Value = serde_json::from_slice(&answer.body)?;
    assert_eq!(response["00081199"]["Value"].as_array().map(Vec::len), Some(3), "{response}");
    program.terminate()?;
    program.exit().await?;

    let unpacked = folder.path().join("unpacked");
    fs::create_dir(&unpacked)?;
    let packs = packs(&data)?;
    assert!(!packs.is_empty(), "no pack below {}", data.display());
    for pack in packs {
        run(Command::new("tar").arg("-xf").arg(pack).arg("-C").arg(&unpacked), Duration::from_secs(30))
            .await?
            .well()?;
    }
    for slice in slices {
        let file =
            unpacked.join(&slice.study).join(&slice.series).join(format!("{}.dcm", slice.sop_instance));
        assert!(fs::read(&file)? == slice.file(), "{} is not the file that was sent", file.display());
        assert!(dump(&file).await?.contains(&slice.sop_instance));
    }
    Ok(())
}
