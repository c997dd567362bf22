//! What is told of a study and its patient is what the first instance says that is shown.

use dicom::dictionary_std::tags;

use super::acts::{entry, key};
use super::{Index, OPEN, commit, find, new};
use crate::fixture::{Sample, ct};
use crate::index::{Compared, Damage};
use crate::ledger::Act;
use crate::model::{Level, PackId, PatientKey, VR};

/// One that was sent with what was typed wrong, and one of its study with what is right.
fn wrong_and_right() -> [Sample; 2] {
    let wrong = ct()
        .patient_id("7")
        .name("WRONG^NAME")
        .with(tags::PATIENT_BIRTH_DATE, VR::DA, "19500101")
        .with(tags::ACCESSION_NUMBER, VR::SH, "BAD")
        .with(tags::STUDY_DATE, VR::DA, "20200101")
        .with(tags::SERIES_DESCRIPTION, VR::LO, "bad");
    let right = wrong
        .next(2)
        .name("RIGHT^NAME")
        .with(tags::PATIENT_BIRTH_DATE, VR::DA, "19600202")
        .with(tags::ACCESSION_NUMBER, VR::SH, "GOOD")
        .with(tags::STUDY_DATE, VR::DA, "20210203")
        .with(tags::SERIES_DESCRIPTION, VR::LO, "good");
    [wrong, right]
}

fn deletion(of: &[&Sample]) -> Act {
    Act::Delete { instances: of.iter().map(|sample| sample.sop_instance()).collect() }
}

async fn is_told(index: &dyn Index, told: &Sample, other: &Sample) {
    for (level, tag, vr) in [
        (Level::Patient, tags::PATIENT_NAME, VR::PN),
        (Level::Study, tags::PATIENT_NAME, VR::PN),
        (Level::Patient, tags::PATIENT_BIRTH_DATE, VR::DA),
        (Level::Study, tags::PATIENT_BIRTH_DATE, VR::DA),
        (Level::Study, tags::ACCESSION_NUMBER, VR::SH),
        (Level::Study, tags::STUDY_DATE, VR::DA),
        (Level::Series, tags::SERIES_DESCRIPTION, VR::LO),
    ] {
        let (told, other) = (told.uid(tag), other.uid(tag));
        let expected = std::slice::from_ref(&told);
        assert_eq!(find(index, level, &[], tag).await, expected, "{level:?} {tag}");
        assert_eq!(find(index, level, &[(tag, vr, &told)], tag).await, expected, "{level:?} {tag}");
        if told != other {
            assert!(find(index, level, &[(tag, vr, &other)], tag).await.is_empty(), "{level:?} {tag}");
        }
    }
}

pub async fn tells_a_study_by_the_first_instance_that_is_shown(index: &dyn Index) {
    let [wrong, right] = wrong_and_right();
    commit(index, &[wrong.clone(), right.clone()]).await;
    is_told(index, &wrong, &right).await;
    index.act(&entry(1, deletion(&[&wrong]))).await.unwrap();
    is_told(index, &right, &wrong).await;
    index.act(&entry(2, Act::Undo { number: 1 })).await.unwrap();
    is_told(index, &wrong, &right).await;
    let note = ct().sop_instance();
    let reject = Act::Reject { note, title: "113001".into(), instances: vec![wrong.sop_instance()] };
    index.act(&entry(3, reject)).await.unwrap();
    is_told(index, &right, &wrong).await;
    index.act(&entry(4, deletion(&[&right]))).await.unwrap();
    assert!(find(index, Level::Study, &[], tags::PATIENT_NAME).await.is_empty());
    let last = right.next(3).name("LAST^NAME").with(tags::ACCESSION_NUMBER, VR::SH, "LAST");
    commit(index, std::slice::from_ref(&last)).await;
    is_told(index, &last, &wrong).await;
    index.act(&entry(5, Act::Restore { instances: vec![right.sop_instance()] })).await.unwrap();
    is_told(index, &right, &last).await;
}

pub async fn tells_a_study_by_the_first_instance_that_is_whole(index: &dyn Index) {
    let [wrong, right] = wrong_and_right();
    commit(index, &[wrong.clone(), right.clone()]).await;
    let entries = index.pack_entries(PackId(1), 0, 10).await.unwrap();
    let found = Damage::found(entries[0].row, "another byte");
    index.pack_verified(&Compared::now(PackId(1), vec![found], Vec::new())).await.unwrap();
    is_told(index, &right, &wrong).await;
    let mut again = new(&wrong, 1024);
    again.location.pack = PackId(2);
    index.commit(&[again], &[], OPEN).await.unwrap();
    is_told(index, &wrong, &right).await;
}

pub async fn tells_a_study_that_came_after_its_acts_by_what_is_shown(index: &dyn Index) {
    let [wrong, right] = wrong_and_right();
    index.act(&entry(1, deletion(&[&wrong]))).await.unwrap();
    commit(index, &[wrong.clone(), right.clone()]).await;
    is_told(index, &right, &wrong).await;
    index.act(&entry(2, Act::Undo { number: 1 })).await.unwrap();
    is_told(index, &wrong, &right).await;
}

pub async fn gives_a_study_to_the_patient_of_the_first_instance_that_is_shown(index: &dyn Index) {
    for (n, own, others) in [(0, "A", "B"), (10, "C", "")] {
        let first = ct().patient_id(own).name("AN^A").with(tags::ACCESSION_NUMBER, VR::SH, "1");
        let second = first.next(2).patient_id(others).name("BINH^B");
        commit(index, &[first.clone(), second.clone()]).await;
        let patients = async || {
            let uid = first.study();
            let by = [(tags::STUDY_INSTANCE_UID, VR::UI, uid.as_str())];
            let of_study = find(index, Level::Study, &by, tags::PATIENT_ID).await;
            let names = find(index, Level::Study, &by, tags::PATIENT_NAME).await;
            let all = find(index, Level::Patient, &[], tags::PATIENT_NAME).await;
            (of_study, names, all)
        };
        let is = |id: &str, name: &str| (vec![id.to_owned()], vec![name.to_owned()], vec![name.to_owned()]);
        assert_eq!(patients().await, is(own, "AN^A"));
        index.act(&entry(n + 1, deletion(&[&first]))).await.unwrap();
        assert_eq!(patients().await, is(others, "BINH^B"));
        let owned = PatientKey { issuer: String::new(), id: own.into() };
        assert!(index.patient(&owned).await.unwrap().is_none(), "nothing of {own} is left");
        index.act(&entry(n + 2, Act::Restore { instances: vec![first.sop_instance()] })).await.unwrap();
        assert_eq!(patients().await, is(own, "AN^A"));
        index.act(&entry(n + 3, deletion(&[&first, &second]))).await.unwrap();
    }
}

pub async fn tells_no_study_of_a_patient_by_what_is_hidden_of_another(index: &dyn Index) {
    let [wrong, _] = wrong_and_right();
    let other = ct().patient_id("7").name("Wrong^Name");
    commit(index, std::slice::from_ref(&wrong)).await;
    index.act(&entry(1, deletion(&[&wrong]))).await.unwrap();
    commit(index, std::slice::from_ref(&other)).await;
    let born = async || find(index, Level::Study, &[], tags::PATIENT_BIRTH_DATE).await;
    assert_eq!(born().await, [other.uid(tags::PATIENT_BIRTH_DATE)]);
    assert_eq!(find(index, Level::Patient, &[], tags::PATIENT_NAME).await, ["Wrong^Name"]);
    index.act(&entry(2, Act::Undo { number: 1 })).await.unwrap();
    assert!(born().await.contains(&"19500101".to_owned()));
    assert_eq!(find(index, Level::Patient, &[], tags::PATIENT_NAME).await, ["WRONG^NAME"]);
}

pub async fn puts_corrections_over_whatever_instance_speaks(index: &dyn Index) {
    let [wrong, right] = wrong_and_right();
    let values = |json: &str| serde_json::from_str(json).unwrap();
    commit(index, &[wrong.clone(), right.clone()]).await;
    let study =
        Act::CorrectStudy { study: wrong.study(), values: values(r#"{"AccessionNumber":"CORRECTED"}"#) };
    let patient = Act::CorrectPatient { patient: key("7"), values: values(r#"{"PatientName":"LÊ^C"}"#) };
    for (number, act) in [(1, study), (2, patient), (3, deletion(&[&wrong]))] {
        index.act(&entry(number, act)).await.unwrap();
    }
    let told = async |tag| find(index, Level::Study, &[], tag).await;
    assert_eq!(told(tags::ACCESSION_NUMBER).await, ["CORRECTED"]);
    assert_eq!(told(tags::PATIENT_NAME).await, ["LÊ^C"]);
    assert_eq!(told(tags::PATIENT_BIRTH_DATE).await, ["19600202"]);
    for number in [1, 2] {
        index.act(&entry(10 + number, Act::Undo { number })).await.unwrap();
    }
    is_told(index, &right, &wrong).await;
}

pub async fn tells_what_came_in_one_second_by_its_uids_in_whatever_order(index: &dyn Index) {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (case, (order, in_one_group)) in (1..).zip(orders.iter().flat_map(|o| [(o, true), (o, false)])) {
        let patient = format!("P{case}");
        let named = |sample: Sample, uid: &str, name: &str, modality: &str| {
            let sample = sample.patient_id(&patient).name(name).with(tags::MODALITY, VR::CS, modality);
            sample.with(tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.{case}.{uid}"))
        };
        let first = named(ct(), "10", "AN^A", "CT");
        let second = named(first.clone(), "2", "BINH^B", "MR");
        let other = named(ct(), if case % 3 == 0 { "1" } else { "3" }, "CHI^C", "US");
        let samples = order.map(|n| [&first, &second, &other][n].clone());
        for group in samples.chunks(if in_one_group { 3 } else { 1 }) {
            commit(index, group).await;
        }
        let study = first.study();
        let told = async || {
            let of_study = [(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str())];
            let of_patient = [(tags::PATIENT_ID, VR::LO, patient.as_str())];
            let name = find(index, Level::Study, &of_study, tags::PATIENT_NAME).await;
            let modalities = find(index, Level::Study, &of_study, tags::MODALITIES_IN_STUDY).await;
            let series = find(index, Level::Series, &of_study, tags::MODALITY).await;
            assert_eq!(modalities, series, "{case}");
            for modality in ["CT", "MR"] {
                let by = [of_study[0], (tags::MODALITIES_IN_STUDY, VR::CS, modality)];
                let found = find(index, Level::Study, &by, tags::STUDY_INSTANCE_UID).await;
                assert_eq!(found.len(), usize::from(series == [modality]), "{case}");
            }
            let of_patient = find(index, Level::Patient, &of_patient, tags::PATIENT_NAME).await;
            [name, series, of_patient].concat()
        };
        let of_patient = |name| if case % 3 == 0 { "CHI^C" } else { name };
        assert_eq!(told().await, ["AN^A", "CT", of_patient("AN^A")], "{case}");
        index.act(&entry(2 * case, deletion(&[&first]))).await.unwrap();
        assert_eq!(told().await, ["BINH^B", "MR", of_patient("BINH^B")], "{case}");
        index.act(&entry(2 * case + 1, Act::Undo { number: 2 * case })).await.unwrap();
        assert_eq!(told().await, ["AN^A", "CT", of_patient("AN^A")], "{case}");
    }
}

pub async fn tells_by_what_comes_behind_others_and_is_before_them(index: &dyn Index) {
    let named = |sample: Sample, case: u64, uid: u32, name: &str| {
        let sample = sample.patient_id(&format!("P{case}")).name(name);
        sample.with(tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.{case}.{uid}"))
    };
    for (case, size, is_forgotten) in [(1, 1, false), (2, 4, false), (3, 1, true), (4, 2, true)] {
        // Two that say the same come behind one that says something else.
        let last = named(ct(), case, 9, "AN^A");
        let before = [7, 5].map(|uid| named(last.clone(), case, uid, "BINH^B"));
        // A study comes to speak for its patient without saying anything new.
        let of_patient = named(ct(), 10 + case, 8, "AN^A");
        let other = named(ct(), 10 + case, 9, "BINH^B");
        let first = named(other.clone(), 10 + case, 7, "BINH^B");
        commit(index, &[last.clone(), of_patient, other]).await;
        if is_forgotten {
            index.act(&entry(case, deletion(&[&ct()]))).await.unwrap();
        }
        for group in [&before[..], &[first]].concat().chunks(size) {
            commit(index, group).await;
        }
        let of = last.study();
        let of = [(tags::STUDY_INSTANCE_UID, VR::UI, of.as_str())];
        assert_eq!(find(index, Level::Study, &of, tags::PATIENT_NAME).await, ["BINH^B"], "{case}");
        for id in [case, 10 + case] {
            let id = format!("P{id}");
            let of = [(tags::PATIENT_ID, VR::LO, id.as_str())];
            assert_eq!(find(index, Level::Patient, &of, tags::PATIENT_NAME).await, ["BINH^B"], "{id}");
        }
    }
}
