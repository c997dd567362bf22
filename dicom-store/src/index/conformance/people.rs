//! One identifier, and more than one person or name that came with it.

use dicom::dictionary_std::tags;

use super::acts::{entry, key};
use super::{commit, find};
use crate::fixture::{Sample, ct};
use crate::index::Index;
use crate::ledger::Act;
use crate::model::{Level, Tag, VR};

const LEVELS: [Level; 3] = [Level::Study, Level::Series, Level::Instance];

fn someone(name: &str, birth_date: &str) -> Sample {
    ct().patient_id("1").name(name).with(tags::PATIENT_BIRTH_DATE, VR::DA, birth_date)
}

/// A man and a girl whom a device gave one identifier.
fn two() -> [Sample; 2] {
    [
        someone("NGUYEN^VAN A", "19500101").with(tags::PATIENT_SEX, VR::CS, "M"),
        someone("TRẦN^THỊ B", "20100101"),
    ]
}

async fn named(index: &dyn Index, level: Level, name: &str, returned: Tag) -> Vec<String> {
    find(index, level, &[(tags::PATIENT_NAME, VR::PN, name)], returned).await
}

pub async fn tells_each_study_with_the_person_that_it_came_with(index: &dyn Index) {
    let [man, girl] = two();
    commit(index, &[man.clone(), girl.clone(), man.next(2)]).await;
    for level in LEVELS {
        for typed in ["TRAN*", "trần", "Tran^Thi B", "?ran^*"] {
            assert_eq!(
                named(index, level, typed, tags::PATIENT_NAME).await,
                ["TRẦN^THỊ B"],
                "{typed} {level:?}"
            );
        }
        assert_eq!(named(index, level, "tran", tags::PATIENT_BIRTH_DATE).await, ["20100101"], "{level:?}");
        assert_eq!(named(index, level, "tran", tags::PATIENT_SEX).await, [""], "{level:?}");
        assert_eq!(named(index, level, "nguyen", tags::PATIENT_NAME).await[0], "NGUYEN^VAN A", "{level:?}");
        let born = [(tags::PATIENT_BIRTH_DATE, VR::DA, "20100101")];
        assert_eq!(find(index, level, &born, tags::STUDY_INSTANCE_UID).await, [girl.study().to_string()]);
        let mixed = [born[0], (tags::PATIENT_NAME, VR::PN, "nguyen")];
        assert!(find(index, level, &mixed, tags::STUDY_INSTANCE_UID).await.is_empty(), "{level:?}");
    }
    let audit = index.audit(None, 10).await.unwrap();
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!(audit[0].1.what, format!("study {}", girl.study()));
    assert!(audit[0].1.outcome.contains("another name and birth date"), "{audit:?}");
}

pub async fn finds_a_patient_by_each_name_and_tells_them_once(index: &dyn Index) {
    let [man, girl] = two();
    let without_marks = someone("TRAN^THI B", "20100101");
    commit(index, &[man, girl, without_marks]).await;
    for (typed, expected) in [
        ("nguyen", "NGUYEN^VAN A"),
        ("tran", "TRẦN^THỊ B"),
        ("trần", "TRẦN^THỊ B"),
        ("?ran^*", "TRẦN^THỊ B"),
        ("*", "NGUYEN^VAN A"),
    ] {
        assert_eq!(named(index, Level::Patient, typed, tags::PATIENT_NAME).await, [expected], "{typed}");
    }
    let born = [(tags::PATIENT_BIRTH_DATE, VR::DA, "20100101")];
    assert_eq!(find(index, Level::Patient, &born, tags::PATIENT_NAME).await, ["TRẦN^THỊ B"]);
    let studies = tags::NUMBER_OF_PATIENT_RELATED_STUDIES;
    assert_eq!(find(index, Level::Patient, &born, studies).await, ["3"]);
    let names = named(index, Level::Study, "trần", tags::PATIENT_NAME).await;
    assert_eq!(names, ["TRẦN^THỊ B", "TRAN^THI B"]);
}

pub async fn takes_names_that_differ_in_form_for_one_person(index: &dyn Index) {
    let samples =
        [someone("NGUYEN^VAN AN", ""), someone("Nguyễn Văn An", "19500101"), someone("", "19500101")];
    commit(index, &samples).await;
    assert!(index.audit(None, 10).await.unwrap().is_empty());
    let names = named(index, Level::Study, "nguyễn", tags::PATIENT_NAME).await;
    assert_eq!(names, ["Nguyễn Văn An", "NGUYEN^VAN AN", "NGUYEN^VAN AN"]);
}

pub async fn corrects_whatever_a_study_says_of_its_patient(index: &dyn Index) {
    let [man, girl] = two();
    let values = |json: &str| serde_json::from_str(json).unwrap();
    let corrected = Act::CorrectPatient { patient: key("1"), values: values(r#"{"PatientName":"LÊ^C"}"#) };
    let moved = Act::MoveStudy { study: girl.study(), to: key("2") };
    let merged = Act::MergePatients { from: key("1"), into: key("9") };
    commit(index, std::slice::from_ref(&man)).await;
    index.act(&entry(1, corrected)).await.unwrap();
    // It comes while something else is told of the patient.
    commit(index, &[man, girl]).await;
    let names = async |level| {
        let mut names = find(index, level, &[], tags::PATIENT_NAME).await;
        names.sort_unstable();
        names
    };
    for (number, act, expected) in [
        (2, None, ["LÊ^C", "LÊ^C"]),
        (3, Some(Act::Undo { number: 1 }), ["NGUYEN^VAN A", "TRẦN^THỊ B"]),
        (4, Some(moved), ["", "NGUYEN^VAN A"]),
        (5, Some(Act::Undo { number: 4 }), ["NGUYEN^VAN A", "TRẦN^THỊ B"]),
        (6, Some(merged), ["", ""]),
        (7, Some(Act::Undo { number: 6 }), ["NGUYEN^VAN A", "TRẦN^THỊ B"]),
    ] {
        if let Some(act) = act {
            index.act(&entry(number, act)).await.unwrap();
        }
        for level in LEVELS {
            assert_eq!(names(level).await, expected, "{number} {level:?}");
        }
        assert_eq!(
            named(index, Level::Study, "tran", tags::STUDY_INSTANCE_UID).await.len(),
            usize::from(expected[1] == "TRẦN^THỊ B")
        );
        assert_eq!(
            named(index, Level::Study, "le", tags::STUDY_INSTANCE_UID).await.len(),
            if number == 2 { 2 } else { 0 }
        );
    }
}
