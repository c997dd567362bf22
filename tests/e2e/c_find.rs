//! Query (PS3.4 §C.4.1).

use anyhow::{Context, Result};
use serde_json::Value;
use tests::{
    Pacs,
    corpus::{MUELLER, NGUYEN, StudyOf, ct, report, us_multiframe},
    peers::pynetdicom,
};

const PATIENT_NAME: &str = "00100010";
const STUDY_INSTANCE_UID: &str = "0020000D";

/// The first value of an attribute in the DICOM JSON Model (PS3.18 Annex F).
fn value<'a>(response: &'a Value, tag: &str) -> &'a Value {
    &response[tag]["Value"][0]
}

async fn pacs_with_two_patients() -> Result<Pacs> {
    let pacs = Pacs::start().await?;
    let mut instances = ct(NGUYEN, 3);
    instances.push(report(NGUYEN));
    instances.push(us_multiframe(MUELLER, 2));
    instances.extend(ct(MUELLER, 2));
    pacs.hold(&instances).await?;
    Ok(pacs)
}

#[tokio::test]
async fn finds_a_vietnamese_name_however_it_is_typed() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    for typed in ["NGUYỄN^VĂN ĐỨC", "nguyen*", "*duc", "Nguyễn*", "NGUYEN^VAN DUC"] {
        let arguments = ["study", "STUDY", &format!("PatientName={typed}"), "StudyInstanceUID="];
        let answers = pynetdicom(pacs.dimse(), "find", &arguments).await?;
        let found = &answers[0];
        assert_eq!(found[0], 0xFF00, "{typed}: {answers}");
        assert_eq!(value(&found[1], STUDY_INSTANCE_UID), "2.25.7001", "{typed}");
        assert_eq!(value(&found[1], PATIENT_NAME)["Alphabetic"], "NGUYỄN^VĂN ĐỨC", "{typed}");
        assert_eq!(answers[1], serde_json::json!([0, null]), "{typed}: one match, then success");
    }
    Ok(())
}

#[tokio::test]
async fn answers_names_of_another_character_set_readably() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let found =
        pacs.modality("WS_1").find("STUDY", &["PatientID=DE-7", "PatientName", "StudyInstanceUID"]).await?;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(value(&found[0], PATIENT_NAME)["Alphabetic"], "Müller^Jörg");
    Ok(())
}

#[tokio::test]
async fn matches_dates_by_range_and_uids_by_list() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let workstation = pacs.modality("WS_1");
    let studies = async |keys: &[&str]| -> Result<Vec<String>> {
        let found = workstation.find("STUDY", &[keys, &["StudyInstanceUID"]].concat()).await?;
        let mut uids: Vec<String> = found
            .iter()
            .filter_map(|row| value(row, STUDY_INSTANCE_UID).as_str().map(str::to_owned))
            .collect();
        uids.sort();
        Ok(uids)
    };
    assert_eq!(studies(&["StudyDate=20260220-20260310"]).await?, ["2.25.7001"]);
    assert_eq!(studies(&["StudyDate=-20260228"]).await?, ["2.25.7002"]);
    assert_eq!(studies(&["StudyDate=20260101-"]).await?, ["2.25.7001", "2.25.7002"]);
    assert_eq!(studies(&["StudyDate=20250101-20251231"]).await?, [""; 0]);
    let list = workstation.find("STUDY", &["StudyInstanceUID=2.25.7001\\2.25.7002\\2.25.9"]).await?;
    assert_eq!(list.len(), 2, "{list:?}");
    Ok(())
}

#[tokio::test]
async fn computes_what_a_study_consists_of() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let keys = [
        "StudyInstanceUID=2.25.7001",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ];
    let found = pacs.modality("WS_1").find("STUDY", &keys).await?;
    assert_eq!(found.len(), 1, "{found:?}");
    let mut modalities: Vec<&str> =
        found[0]["00080061"]["Value"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    modalities.sort_unstable();
    assert_eq!(modalities, ["CT", "SR"]);
    // IS is a string or a number in JSON, as the converter likes (PS3.18 Table F.2.3-1).
    assert_eq!(value(&found[0], "00201206").to_string().trim_matches('"'), "2");
    assert_eq!(value(&found[0], "00201208").to_string().trim_matches('"'), "4");
    Ok(())
}

/// MK-18: a zero-length required key is a match for any value where the settings say so, and for none otherwise.
#[tokio::test]
async fn what_has_no_value_matches_any_where_the_settings_say_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("filmless.toml");
    std::fs::write(&settings, "[dimse]\nunknown-matches = true\n")?;
    let letter = Pacs::with(&["--config", settings.to_str().context("a path in UTF-8")?]).await?;
    for (pacs, expected) in
        [(letter, vec!["2.25.7001", "2.25.7002"]), (Pacs::start().await?, vec!["2.25.7001"])]
    {
        let mut instances = ct(NGUYEN, 1);
        instances.extend(ct(StudyOf { date: "", ..MUELLER }, 1));
        pacs.hold(&instances).await?;
        let found = pacs.modality("WS_1").find("STUDY", &["StudyDate=20260101-", "StudyInstanceUID"]).await?;
        let mut uids: Vec<&str> =
            found.iter().filter_map(|row| value(row, STUDY_INSTANCE_UID).as_str()).collect();
        uids.sort_unstable();
        assert_eq!(uids, expected);
    }
    Ok(())
}

#[tokio::test]
async fn goes_down_to_series_and_instances() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let workstation = pacs.modality("WS_1");
    let series = workstation
        .find("SERIES", &["StudyInstanceUID=2.25.7002", "SeriesInstanceUID", "Modality=US"])
        .await?;
    assert_eq!(series.len(), 1, "{series:?}");
    assert_eq!(value(&series[0], "0020000E"), "2.25.7002.2");
    let keys =
        ["StudyInstanceUID=2.25.7002", "SeriesInstanceUID=2.25.7002.1", "SOPInstanceUID", "InstanceNumber"];
    let instances = workstation.find("IMAGE", &keys).await?;
    let mut uids: Vec<&str> = instances.iter().filter_map(|row| value(row, "00080018").as_str()).collect();
    uids.sort_unstable();
    assert_eq!(uids, ["2.25.7002.1.1", "2.25.7002.1.2"]);
    Ok(())
}

#[tokio::test]
async fn answers_patients_at_the_patient_level() -> Result<()> {
    let pacs = pacs_with_two_patients().await?;
    let arguments = ["patient", "PATIENT", "PatientID=", "PatientName=*"];
    let answers = pynetdicom(pacs.dimse(), "find", &arguments).await?;
    let mut ids: Vec<&str> = answers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| value(&row[1], "00100020").as_str())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["BN-0001", "DE-7"]);
    Ok(())
}
