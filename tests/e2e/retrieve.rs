//! What PS3.4 §C.4.2 and §C.4.3 say of counters, statuses and lists, whatever the destination does.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tests::{
    Pacs,
    corpus::{NGUYEN, Synthetic, ct, report},
    peers::pynetdicom,
    program::free_address,
    receivers::hangs,
    wait::until,
};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(60);

const SUCCESS: u64 = 0x0000;
const WARNING: u64 = 0xB000;
const ALL_FAILED: u64 = 0xA702;
const NOT_MATCHING: u64 = 0xA900;
const CANCELLED: u64 = 0xFE00;

struct Scene {
    pacs: Pacs,
    port: u16,
    study: Vec<Synthetic>,
}

impl Scene {
    async fn set() -> Result<Self> {
        let receiver = free_address()?;
        let pacs = Pacs::with(&["--peer", &format!("PYNETDICOM={receiver}")]).await?;
        let study = [ct(NGUYEN, 6), vec![report(NGUYEN)]].concat();
        pacs.hold(&study).await?;
        Ok(Self { pacs, port: receiver.port(), study })
    }

    /// Asks for the study, or what the wishes say.
    async fn retrieve(&self, wishes: Value) -> Result<Value> {
        let mut all = json!({
            "how": "move", "level": "STUDY", "keys": {"StudyInstanceUID": "2.25.7001"}, "title": "PYNETDICOM",
            "port": self.port,
        });
        if let (Some(all), Some(wishes)) = (all.as_object_mut(), wishes.as_object()) {
            all.extend(wishes.clone());
        }
        pynetdicom(self.pacs.dimse(), "retrieve", &[all.to_string()]).await
    }

    fn series(&self) -> String {
        self.study[0].series.clone()
    }
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(u64::MAX)
}

/// Completed, failed and warning of a response.
fn counts(response: &Value) -> (u64, u64, u64) {
    (number(response, "completed"), number(response, "failed"), number(response, "warning"))
}

#[tokio::test]
async fn counters_add_up_and_sub_operations_say_whose_they_are() -> Result<()> {
    let scene = Scene::set().await?;
    let answer = scene.retrieve(json!({"priority": 2, "delay": 0.3})).await?;
    assert_eq!(
        (number(&answer["final"], "status"), counts(&answer["final"])),
        (SUCCESS, (7, 0, 0)),
        "{answer}"
    );
    // A final response of success has no Number of Remaining Sub-operations, nor a data set.
    assert_eq!(
        (&answer["final"]["remaining"], &answer["failed_list"]),
        (&Value::Null, &Value::Null),
        "{answer}"
    );
    let pending = answer["pending"].as_array().context("no list")?;
    assert!(pending.len() > 2, "{answer}");
    let mut last = u64::MAX;
    for response in pending {
        let (completed, failed, warning) = counts(response);
        let remaining = number(response, "remaining");
        assert_eq!(remaining + completed + failed + warning, 7, "{response}");
        assert!(remaining <= last, "{answer}");
        last = remaining;
    }
    let stored = answer["stored"].as_array().context("no list")?;
    assert_eq!(stored.len(), 7);
    for one in stored {
        assert_eq!(
            (&one["originator"], &one["originator_message"]),
            (&json!("PYNETDICOM"), &json!(1)),
            "{one}"
        );
        assert_eq!(one["priority"], 2, "{one}");
    }
    Ok(())
}

#[tokio::test]
async fn a_destination_that_stores_with_a_warning_has_stored() -> Result<()> {
    let scene = Scene::set().await?;
    let answer = scene.retrieve(json!({"answer": 0xB007})).await?;
    assert_eq!(
        (number(&answer["final"], "status"), counts(&answer["final"])),
        (WARNING, (0, 0, 7)),
        "{answer}"
    );
    assert_eq!(answer["failed_list"], Value::Null, "{answer}");
    Ok(())
}

#[tokio::test]
async fn what_a_destination_refuses_is_listed_and_the_others_go_on() -> Result<()> {
    let scene = Scene::set().await?;
    let answer = scene.retrieve(json!({"answer": 0xA700, "answer_once": 2})).await?;
    assert_eq!(
        (number(&answer["final"], "status"), counts(&answer["final"])),
        (WARNING, (6, 1, 0)),
        "{answer}"
    );
    assert_eq!(answer["failed_list"], json!([answer["stored"][2]["instance"]]), "{answer}");
    let answer = scene.retrieve(json!({"answer": 0xA700})).await?;
    assert_eq!(
        (number(&answer["final"], "status"), counts(&answer["final"])),
        (ALL_FAILED, (0, 7, 0)),
        "{answer}"
    );
    assert_eq!(answer["failed_list"].as_array().map(Vec::len), Some(7), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_destination_that_drops_the_association_has_failed_what_is_left() -> Result<()> {
    let scene = Scene::set().await?;
    let answer = scene.retrieve(json!({"drop_after": 3})).await?;
    assert_eq!(number(&answer["final"], "status"), WARNING, "{answer}");
    let (completed, failed, warning) = counts(&answer["final"]);
    assert_eq!((completed + failed, warning), (7, 0), "{answer}");
    assert!(completed <= 3 && failed >= 4, "{answer}");
    assert_eq!(answer["failed_list"].as_array().map(Vec::len), usize::try_from(failed).ok(), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_class_that_a_destination_does_not_take_fails_alone() -> Result<()> {
    let scene = Scene::set().await?;
    let answer = scene.retrieve(json!({"without": scene.study[6].sop_class})).await?;
    assert_eq!(
        (number(&answer["final"], "status"), counts(&answer["final"])),
        (WARNING, (6, 1, 0)),
        "{answer}"
    );
    assert_eq!(answer["failed_list"], json!([scene.study[6].sop_instance]), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_cancel_ends_it_with_what_was_done_and_nothing_follows() -> Result<()> {
    for how in ["move", "get"] {
        let scene = Scene::set().await?;
        let answer = scene.retrieve(json!({"how": how, "delay": 0.4, "cancel_after": 1})).await?;
        assert_eq!(number(&answer["final"], "status"), CANCELLED, "{how}: {answer}");
        let (completed, failed, warning) = counts(&answer["final"]);
        let remaining = number(&answer["final"], "remaining");
        assert_eq!((completed + remaining, failed, warning), (7, 0, 0), "{how}: {answer}");
        assert!(remaining > 0, "{how}: {answer}");
        let stored = answer["stored"].as_array().map_or(0, Vec::len) as u64;
        assert_eq!(stored, completed, "{how}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn levels_and_lists_say_what_is_retrieved() -> Result<()> {
    let scene = Scene::set().await?;
    let (ct, sr) = (&scene.study[..6], &scene.study[6]);
    let two = format!("{}\\{}", ct[1].sop_instance, ct[4].sop_instance);
    let study = "2.25.7001";
    for (level, keys, expected) in [
        ("SERIES", json!({"StudyInstanceUID": study, "SeriesInstanceUID": sr.series}), vec![sr]),
        (
            "SERIES",
            json!({"StudyInstanceUID": study, "SeriesInstanceUID": format!("{}\\{}", sr.series, scene.series())}),
            scene.study.iter().collect(),
        ),
        (
            "IMAGE",
            json!({"StudyInstanceUID": study, "SeriesInstanceUID": scene.series(), "SOPInstanceUID": two}),
            vec![&ct[1], &ct[4]],
        ),
    ] {
        for how in ["move", "get"] {
            let answer = scene.retrieve(json!({"how": how, "level": level, "keys": keys})).await?;
            assert_eq!(number(&answer["final"], "status"), SUCCESS, "{how} {level}: {answer}");
            let stored = answer["stored"].as_array().context("no list")?;
            let came: BTreeSet<&str> = stored.iter().filter_map(|one| one["instance"].as_str()).collect();
            let expected: BTreeSet<&str> = expected.iter().map(|one| one.sop_instance.as_str()).collect();
            assert_eq!(came, expected, "{how} {level}");
        }
    }
    for keys in [json!({"StudyInstanceUID": "2.25.*"}), json!({"StudyInstanceUID": ""}), json!({})] {
        let answer = scene.retrieve(json!({"keys": keys})).await?;
        assert_eq!(number(&answer["final"], "status"), NOT_MATCHING, "{keys}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_requestor_hears_soon_though_the_destination_does_not_answer() -> Result<()> {
    let (stuck, _hanging) = hangs().await?;
    let pacs = Pacs::with(&["--peer", &format!("STUCK={stuck}")]).await?;
    pacs.hold(&ct(NGUYEN, 2)).await?;
    let wishes = json!({
        "how": "move", "level": "STUDY", "keys": {"StudyInstanceUID": "2.25.7001"}, "title": "STUCK", "port": 0,
        "cancel_after": 2,
    });
    let answer = pynetdicom(pacs.dimse(), "retrieve", &[wishes.to_string()]).await?;
    // While nothing at all has become of the instances: the destination has not been given up yet.
    let pending = answer["pending"].as_array().context("no list")?;
    let waiting = pending.iter().filter(|response| number(response, "remaining") == 2).count();
    assert!(waiting >= 2, "{answer}");
    assert_eq!(counts(&pending[0]), (0, 0, 0), "{answer}");
    Ok(())
}

#[tokio::test]
async fn what_was_corrected_goes_out_corrected() -> Result<()> {
    let scene = Scene::set().await?;
    let act = json!({
        "kind": "correct-patient", "patient": {"id": "BN-0001"}, "values": {"PatientName": "Trần^Thị Bình"},
    });
    let order = json!({"act": act, "reason": "typed wrongly"});
    let answer = scene.pacs.web().post_json("/api/v1/acts", &order).await?;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    for how in ["move", "get"] {
        let answer = scene.retrieve(json!({"how": how})).await?;
        assert_eq!(counts(&answer["final"]), (7, 0, 0), "{how}: {answer}");
        let stored = answer["stored"].as_array().context("no list")?;
        assert!(stored.iter().all(|one| one["name"] == "Trần^Thị Bình"), "{how}: {answer}");
        assert!(stored.iter().all(|one| one["corrections"] == 1), "{how}: {answer}");
    }
    Ok(())
}

/// Takes away what says where an instance begins in its pack: it cannot be read any more.
fn lose(log: &Path, instance: &Synthetic) -> Result<()> {
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        let Some(at) = path.is_file().then(|| fs::read(&path)).transpose()?.and_then(|pack| {
            let data_set = memchr::memmem::find(&pack, &instance.data_set)?;
            memchr::memmem::rfind(&pack[..data_set], b"DICM")
        }) else {
            continue;
        };
        // The tar header of 512 bytes lies before the preamble of 128.
        let at = at.checked_sub(128 + 512).context("no header before the file")?;
        File::options().write(true).open(&path)?.write_all_at(&[0; 512], at as u64)?;
        return Ok(());
    }
    anyhow::bail!("{} is in no pack of {}", instance.sop_instance, log.display())
}

#[tokio::test]
async fn what_cannot_be_read_any_more_is_listed_and_the_others_go_on() -> Result<()> {
    for how in ["move", "get"] {
        let scene = Scene::set().await?;
        let lost = &scene.study[2];
        lose(&scene.pacs.data().join("log"), lost)?;
        let answer = scene.retrieve(json!({"how": how})).await?;
        assert_eq!(
            (number(&answer["final"], "status"), counts(&answer["final"])),
            (WARNING, (6, 1, 0)),
            "{how}: {answer}"
        );
        assert_eq!(answer["failed_list"], json!([lost.sop_instance]), "{how}: {answer}");
    }
    Ok(())
}

/// More at the same time than the destination has associations, each of which takes long.
#[tokio::test]
async fn moves_to_a_slow_destination_hold_back_no_other_one() -> Result<()> {
    let (slow, quick) = (free_address()?, free_address()?);
    let peers = [format!("PYNETDICOM={slow}"), format!("WS_1={quick}")];
    let pacs = Pacs::with(&["--peer", &peers[0], "--peer", &peers[1]]).await?;
    let study = ct(NGUYEN, 6);
    pacs.hold(&study).await?;
    let wishes = json!({
        "how": "move", "level": "STUDY", "keys": {"StudyInstanceUID": "2.25.7001"}, "title": "PYNETDICOM",
        "port": slow.port(), "delay": 1.5,
    });
    let wishes = [wishes.to_string()];
    let mut under_way = std::pin::pin!(pynetdicom(pacs.dimse(), "retrieve", &wishes));
    let begun = until("the first of them is under way", LIMIT, async || TcpStream::connect(slow).await.ok());
    tokio::select! {
        begun = begun => drop(begun?),
        answer = &mut under_way => bail!("it was through before it began: {:?}", answer?),
    }
    let others = async {
        let modality = pacs.modality("WS_1");
        let into = pacs.scratch("into")?;
        for _ in 0..2 {
            let files = modality.fetch_by_move("2.25.7001", quick.port(), &into).await?;
            ensure!(files.len() == 6, "{files:?}");
        }
        Ok(())
    };
    tokio::select! {
        biased;
        done = others => done?,
        answer = &mut under_way => bail!("others waited for a slow one: {:?}", answer?),
    }
    let answer = under_way.await?;
    assert_eq!(counts(&answer["final"]), (6, 0, 0), "{answer}");
    Ok(())
}
