//! Acts: in whatever order they and the instances come, the same follows.

use dicom::dictionary_std::tags;

use super::{Index, commit, find, new};
use crate::fixture::{Sample, ct};
use crate::index::{Compared, InstanceState, OPEN};
use crate::ledger::{Act, Entry};
use crate::model::{Level, PackId, PatientKey, Resource, VR};

pub(crate) fn entry(number: u64, act: Act) -> Entry {
    Entry { number, at: 1_700_000_000_000 + number, author: "suite".into(), reason: String::new(), act }
}

pub(super) fn key(id: &str) -> PatientKey {
    PatientKey { issuer: String::new(), id: id.into() }
}

/// Two patients and some of everything that can be done to their studies.
fn story() -> (Vec<Sample>, Vec<Entry>) {
    let (a, b) = (ct().patient_id("A").name("AN^A"), ct().patient_id("B").name("BINH^B"));
    let (deleted, rejected) = (a.next(2), b.next_series(3));
    let values = |json: &str| serde_json::from_str(json).unwrap();
    let acts = [
        Act::Delete { instances: vec![deleted.sop_instance(), b.sop_instance()] },
        Act::Reject {
            note: ct().sop_instance(),
            title: "113001".into(),
            instances: vec![rejected.sop_instance()],
        },
        Act::Restore { instances: vec![b.sop_instance()] },
        Act::CorrectPatient { patient: key("B"), values: values(r#"{"PatientName":"Bình^B"}"#) },
        Act::MergePatients { from: key("A"), into: key("B") },
        Act::CorrectStudy { study: a.study(), values: values(r#"{"AccessionNumber":"NEW"}"#) },
        Act::MoveStudy { study: b.study(), to: key("C") },
        Act::Undo { number: 7 },
    ];
    (vec![a, b, deleted, rejected], acts.into_iter().zip(1..).map(|(act, n)| entry(n, act)).collect())
}

async fn is_told(index: &dyn Index, samples: &[Sample]) {
    let study = |sample: &Sample| sample.study().to_string();
    let names = find(index, Level::Study, &[], tags::PATIENT_NAME).await;
    assert_eq!(names, ["Bình^B", "Bình^B"]);
    assert_eq!(find(index, Level::Patient, &[], tags::PATIENT_ID).await, ["B"]);
    assert_eq!(find(index, Level::Instance, &[], tags::SOP_INSTANCE_UID).await.len(), 2);
    let by_accession = [(tags::ACCESSION_NUMBER, VR::SH, "NEW")];
    let found = find(index, Level::Study, &by_accession, tags::STUDY_INSTANCE_UID).await;
    assert_eq!(found, [study(&samples[0])]);
    for sample in &samples[..2] {
        let shown = index.instances(&Resource::Study(sample.study())).await.unwrap();
        assert_eq!(shown.len(), 1);
        let acts: Vec<u64> = shown[0].correction.as_ref().unwrap().acts().collect();
        let expected: &[u64] = if sample.study() == samples[0].study() { &[5, 6] } else { &[4] };
        assert_eq!(acts, expected);
    }
    let hidden = index.hidden(None, 10).await.unwrap();
    let states: Vec<_> = hidden.iter().map(|hidden| (hidden.act, hidden.state)).collect();
    assert_eq!(states, [(2, InstanceState::Rejected), (1, InstanceState::Deleted)]);
}

pub async fn follows_acts_that_come_after_the_instances(index: &dyn Index) {
    let (samples, acts) = story();
    commit(index, &samples).await;
    for act in &acts {
        index.act(act).await.unwrap();
    }
    is_told(index, &samples).await;
}

pub async fn follows_acts_that_come_before_the_instances(index: &dyn Index) {
    let (samples, acts) = story();
    for act in &acts {
        index.act(act).await.unwrap();
    }
    for sample in &samples {
        commit(index, std::slice::from_ref(sample)).await;
    }
    is_told(index, &samples).await;
}

/// What comes later finds it under the date that is told, and nowhere else.
pub async fn finds_a_study_once_that_was_corrected_before_it_came(index: &dyn Index) {
    let first = ct().with(tags::STUDY_DATE, VR::DA, "20200101");
    let report = first.next_series(2).with(tags::MODALITY, VR::CS, "SR");
    let values = serde_json::from_str(r#"{"StudyDate":"20210203"}"#).unwrap();
    index.act(&entry(1, Act::CorrectStudy { study: first.study(), values })).await.unwrap();
    for sample in [first, report] {
        commit(index, &[sample]).await;
    }
    for modality in ["CT", "SR"] {
        let by = (tags::MODALITIES_IN_STUDY, VR::CS, modality);
        let found = async |keys: &[_]| find(index, Level::Study, keys, tags::STUDY_DATE).await;
        assert_eq!(found(&[by]).await, ["20210203"], "{modality}");
        assert_eq!(found(&[by, (tags::STUDY_DATE, VR::DA, "20210203")]).await, ["20210203"], "{modality}");
        assert!(found(&[by, (tags::STUDY_DATE, VR::DA, "20200101")]).await.is_empty(), "{modality}");
    }
}

pub async fn takes_an_act_once_in_whatever_order(index: &dyn Index) {
    let (samples, acts) = story();
    commit(index, &samples[..2]).await;
    for _ in 0..2 {
        for act in acts.iter().rev() {
            index.act(act).await.unwrap();
        }
    }
    commit(index, &samples[2..]).await;
    is_told(index, &samples).await;
    let recorded = index.acts(None, 10).await.unwrap();
    assert_eq!(recorded.len(), acts.len());
    assert_eq!(recorded.iter().find(|act| act.entry.number == 7).unwrap().undone_by, Some(8));
    assert!(index.next_act().await.unwrap() > 8);
}

pub async fn swaps_data_sets_under_one_uid_and_back(index: &dyn Index) {
    let first = ct().name("FIRST^NAME");
    let second = first.clone().name("SECOND^NAME");
    index.commit(&[new(&first, 1024), new(&second, 4096)], &[], OPEN).await.unwrap();
    let aside = index.kept_aside(Some(&first.sop_instance()), 10).await.unwrap().remove(0);
    let promote = Act::Promote { instance: first.sop_instance(), digest: aside.digest.clone() };
    index.act(&entry(1, promote)).await.unwrap();
    let shown = async || {
        let (header, _) = index.header(&first.sop_instance()).await.unwrap().unwrap();
        header.attributes().unwrap().text(tags::PATIENT_NAME)
    };
    assert_eq!(shown().await.as_deref(), Some("SECOND^NAME"));
    let known = index.known(&[&first.sop_instance()]).await.unwrap().remove(0);
    assert_eq!(known.instance.location.offset, 4096);
    index.act(&entry(2, Act::Undo { number: 1 })).await.unwrap();
    assert_eq!(shown().await.as_deref(), Some("FIRST^NAME"));
    let discard = Act::Discard { instance: first.sop_instance(), digest: aside.digest };
    index.act(&entry(3, discard)).await.unwrap();
    assert!(index.kept_aside(None, 10).await.unwrap().is_empty());
}

pub async fn tells_of_acts(index: &dyn Index) {
    let sample = ct();
    let group = [new(&sample, 0)];
    assert!(!index.commit(&group, &[], OPEN).await.unwrap().has_acts);
    // What is done to packs is no act.
    index.pack_verified(&Compared::now(PackId(1), Vec::new(), Vec::new())).await.unwrap();
    assert!(!index.commit(&group, &[], OPEN).await.unwrap().has_acts);
    index.act(&entry(1, Act::Delete { instances: vec![sample.sop_instance()] })).await.unwrap();
    assert!(index.commit(&group, &[], OPEN).await.unwrap().has_acts);
}
