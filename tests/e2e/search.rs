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

/// Names in encodings that they do not say: Đặng Thị Hương in windows-1258, in TCVN3 without any declaration, Đặng Thị
/// Hường in VNI, and what a modality without marks makes of both.
const OLD_DEVICES: &[(&str, &[u8], &str)] = &[
    ("ISO_IR 100", b"\xd0\xc3\xf2NG^H\xdd\xd5NG^THI\xf2", "20260101"),
    ("", b"\xa7\xc6ng^H\xad\xacng^Th\xde", "20260102"),
    ("ISO_IR 192", b"\xd1a\xebng^H\xf6\xf4\xf8ng^Th\xf2", "20260103"),
    ("ISO_IR 100", b"DANG^HUONG^THI", "20260104"),
];

/// With studies 2.25.7100 and on, one for each of the people.
async fn pacs() -> Result<Pacs> {
    let pacs = Pacs::start().await?;
    let people = PEOPLE.iter().map(|(name, date)| ("ISO_IR 192", name.as_bytes(), *date));
    hold(&pacs, people, &["VN-0", "VN-1", "VN-2", "VN-3", "JP-4"]).await?;
    Ok(pacs)
}

/// Stores a study of each: its character set, its patient's name, its date.
async fn hold(
    pacs: &Pacs,
    people: impl Iterator<Item = (&'static str, &'static [u8], &'static str)>,
    ids: &[&'static str],
) -> Result<()> {
    for ((number, (charset, patient_name, date)), patient_id) in (100..).zip(people).zip(ids) {
        let of = StudyOf { number, patient_id, patient_name, charset, date, description: "CT" };
        pacs.hold(&ct(of, 1)).await?;
    }
    Ok(())
}

/// What each door finds for what was typed, in its order.
async fn is_found_at_every_door(pacs: &Pacs, typed: &str, expected: &[usize]) -> Result<()> {
    let name = format!("PatientName={typed}");
    let arguments = ["study", "STUDY", name.as_str(), "StudyInstanceUID="];
    let found = pynetdicom(pacs.dimse(), "find", &arguments).await?;
    let rows = found.as_array().into_iter().flatten().map(|answer| &answer[1]);
    assert_eq!(people(rows), expected, "C-FIND {typed}");
    // The viewer asks with fuzzy matching.
    for fuzzy in [&[][..], &["fuzzymatching=true"]] {
        let rows = dicomweb_client(pacs.http(), "studies", &[&[name.as_str()], fuzzy].concat()).await?;
        assert_eq!(people(rows.as_array().into_iter().flatten()), expected, "QIDO {typed} {fuzzy:?}");
    }
    Ok(())
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
        is_found_at_every_door(&pacs, typed, expected).await?;
    }
    let keys = ["SpecificCharacterSet=ISO_IR 192", "PatientName=Hoà Nguyễn", "StudyInstanceUID"];
    let found = pacs.modality("WS_1").find("STUDY", &keys).await?;
    assert_eq!(people(found.iter()), [2, 0, 1], "findscu");
    Ok(())
}

#[tokio::test]
async fn a_name_that_does_not_say_its_encoding_is_found_as_any_other() -> Result<()> {
    let pacs = Pacs::start().await?;
    hold(&pacs, OLD_DEVICES.iter().copied(), &["O-0", "O-1", "O-2", "O-3"]).await?;
    for (typed, expected) in [
        ("huong dang", &[3, 2, 1, 0][..]),
        ("DANG HU", &[3, 2, 1, 0]),
        ("thi* dang*", &[3, 2, 1, 0]),
        ("Hương", &[1, 0, 3, 2]),
        // The same, as some keyboards type it: letters and marks apart.
        ("hu\u{31b}o\u{31b}ng", &[1, 0, 3, 2]),
        ("ĐẶNG hu", &[2, 1, 0, 3]),
        ("đa\u{323}\u{306}ng", &[2, 1, 0, 3]),
        ("hường đặng", &[2, 3, 1, 0]),
        ("Đặng^Hương", &[1, 0, 3, 2]),
        ("dương", &[]),
    ] {
        is_found_at_every_door(&pacs, typed, expected).await?;
    }
    let counts = pacs.web().json("/api/v1/text").await?;
    let readings: Vec<&str> = counts.iter().filter_map(|row| row["reading"].as_str()).collect();
    assert_eq!(readings, ["declared", "windows-1258", "tcvn3", "vni"], "{counts:?}");
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
