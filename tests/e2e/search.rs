//! Searching by name: the same at every door (PS3.4 §C.4.1, PS3.18 §10.6).

use anyhow::Result;
use serde_json::Value;
use tests::{
    Pacs,
    corpus::{StudyOf, ct},
    peers::{dicomweb_client, pynetdicom},
};

const PEOPLE: &[(&str, &str)] = &[
    ("NGUYỄN^HÒA^THỊ ĐẶNG", "20260101"),
    ("NGUYEN^HOA^THI DANG", "20260105"),
    ("Nguyễn Thị Hoà", "20260102"),
    ("TRẦN^HOÀNG^VĂN", "20260103"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "20260104"),
];

/// Studies 2.25.7100 and on, one for each of the people.
async fn pacs() -> Result<Pacs> {
    let pacs = Pacs::start().await?;
    let ids = ["VN-0", "VN-1", "VN-2", "VN-3", "JP-4"];
    for ((number, (name, date)), patient_id) in (100..).zip(PEOPLE).zip(ids) {
        let of = StudyOf {
            number,
            patient_id,
            patient_name: name.as_bytes(),
            charset: "ISO_IR 192",
            date,
            description: "CT",
        };
        pacs.hold(&ct(of, 1)).await?;
    }
    Ok(pacs)
}

/// What a row's Study Instance UID ends with: which of the people it is.
fn person(row: &Value) -> Option<usize> {
    let number: usize = row["0020000D"]["Value"][0].as_str()?.strip_prefix("2.25.7")?.parse().ok()?;
    number.checked_sub(100)
}

fn people<'a>(rows: impl Iterator<Item = &'a Value>) -> Vec<usize> {
    rows.filter_map(person).collect()
}

#[tokio::test]
async fn every_door_finds_the_same_names_in_the_same_order() -> Result<()> {
    let pacs = pacs().await?;
    for (typed, expected) in [
        ("hoa nguyen", &[1, 2, 0][..]),
        ("dang hoa", &[1, 0]),
        ("nguyen*", &[1, 2, 0]),
        ("Nguyễn^Hòa", &[2, 0, 1]),
        ("hòa", &[2, 0, 1, 3]),
        ("NG hoa", &[1, 2, 0]),
        ("tarou yamada", &[4]),
        ("山田*", &[4]),
        ("=山田^太郎", &[4]),
        ("hoa tran", &[3]),
        ("nguyen tran", &[]),
    ] {
        let name = format!("PatientName={typed}");
        let arguments = ["study", "STUDY", name.as_str(), "StudyInstanceUID="];
        let found = pynetdicom(pacs.dimse(), "find", &arguments).await?;
        let rows = found.as_array().into_iter().flatten().map(|answer| &answer[1]);
        assert_eq!(people(rows), expected, "C-FIND {typed}");
        for fuzzy in [&[][..], &["fuzzymatching=true"]] {
            let rows = dicomweb_client(pacs.http(), "studies", &[&[name.as_str()], fuzzy].concat()).await?;
            assert_eq!(people(rows.as_array().into_iter().flatten()), expected, "QIDO {typed} {fuzzy:?}");
        }
    }
    let keys = ["SpecificCharacterSet=ISO_IR 192", "PatientName=Hoà Nguyễn", "StudyInstanceUID"];
    let found = pacs.modality("WS_1").find("STUDY", &keys).await?;
    assert_eq!(people(found.iter()), [2, 0, 1], "findscu");
    Ok(())
}

#[tokio::test]
async fn attributes_of_the_instances_are_found_at_the_study_level() -> Result<()> {
    let pacs = pacs().await?;
    let keys = ["PatientID=VN-*", "Rows=64", "Modality=CT"];
    let rows = dicomweb_client(pacs.http(), "studies", &keys).await?;
    assert_eq!(people(rows.as_array().into_iter().flatten()), [1, 3, 2, 0]);
    let rows = dicomweb_client(pacs.http(), "studies", &["Rows=65"]).await?;
    assert_eq!(rows, serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn a_search_that_takes_too_long_says_that_it_is_not_complete() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("filmless.toml");
    std::fs::write(&settings, "[store]\nsearch-headers = 2\n")?;
    let pacs = Pacs::with(&["--config", &settings.to_string_lossy()]).await?;
    for (number, patient_id) in (100..).zip(["A", "B", "C"]) {
        let of = StudyOf { number, patient_id, ..tests::corpus::NGUYEN };
        pacs.hold(&ct(of, 1)).await?;
    }
    let some = pacs
        .web()
        .get("/dicom-web/studies?PhotometricInterpretation=MONOCHROME2", "application/dicom+json")
        .await?;
    assert_eq!(some.status.as_u16(), 200);
    let warnings = some.headers.get("warning").map(|value| value.to_str()).transpose()?;
    assert!(warnings.is_some_and(|text| text.contains("There may be more results")), "{warnings:?}");
    let none =
        pacs.web().get("/dicom-web/studies?PhotometricInterpretation=RGB", "application/dicom+json").await?;
    assert_eq!(none.status.as_u16(), 413);
    let found = pynetdicom(
        pacs.dimse(),
        "find",
        &["study", "STUDY", "PhotometricInterpretation=MONOCHROME2", "StudyInstanceUID="],
    )
    .await?;
    let statuses: Vec<&Value> = found.as_array().into_iter().flatten().map(|answer| &answer[0]).collect();
    assert_eq!(statuses, [0xFF01, 0xFF01, 0xA700], "{found}");
    Ok(())
}
