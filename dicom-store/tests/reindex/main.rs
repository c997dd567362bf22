//! An index that is made anew from the packs is the index that was, though of large instances no more is read than it
//! keeps; and what is damaged does not get into it, or is found later.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod odd;
mod rows;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct, key_object, store, system};
use dicom_store::model::{FrameNumber, Header, Resource, SopInstanceUid, VR, transfer_syntax};
use dicom_store::queue::JobQuery;
use dicom_store::{
    Archive, Arrival, Caller, Config, DamageQuery, Declared, NewJob, Order, Origin, Priority, Session,
    Stored, Subject,
};
use futures_util::TryStreamExt;
use rstest::rstest;
use tempfile::TempDir;

/// Packs that are soon full, and packs of their own for what is over a MiB.
fn config(folder: &TempDir) -> Config {
    Config { pack_size_mib: 2, inline_size_mib: 1, ..fixture::config(folder) }
}

/// A slice whose pixels are more than is read of it.
fn large() -> Sample {
    ct().size(512, 512)
}

async fn store_file(session: &Session, file: &[u8]) -> Stored {
    let arrival = Arrival { origin: Origin::Web { address: None }, declared: Declared::File { study: None } };
    let mut incoming = session.receive(arrival).await.unwrap();
    incoming.write(Bytes::copy_from_slice(file)).await.unwrap();
    incoming.commit().await.unwrap()
}

/// Four frames of two fragments each, with a basic offset table or without (PS3.5 §A.4).
fn frames(of: &Sample, has_table: bool) -> Vec<u8> {
    const FRAGMENT: usize = 20_000;
    let item = |content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap();
        [&b"\xFE\xFF\x00\xE0"[..], &length.to_le_bytes(), content].concat()
    };
    let offsets = (0..4u32).flat_map(|n| (n * 2 * (u32::try_from(FRAGMENT).unwrap() + 8)).to_le_bytes());
    let table: Vec<u8> = if has_table { offsets.collect() } else { Vec::new() };
    let sample = of.clone().transfer_syntax("1.2.840.10008.1.2.4.50").without(tags::PIXEL_DATA);
    let mut file = sample.with(tags::NUMBER_OF_FRAMES, VR::IS, "4").file();
    file.extend(b"\xE0\x7F\x10\x00OB\x00\x00\xFF\xFF\xFF\xFF");
    file.extend(item(&table));
    for n in 0..8 {
        let start: &[u8] = if n % 2 == 0 { b"\xFF\xD8" } else { b"\x01\x02" };
        file.extend(item(&[start, &vec![n; FRAGMENT - 2]].concat()));
    }
    file.extend(b"\xFE\xFF\xDD\xE0\x00\x00\x00\x00");
    file
}

/// Everything that is stored, in each of the ways in which it can be.
async fn fill(session: &Session) -> Vec<Sample> {
    let first = large().patient_id("A").name("NGUYEN^A");
    let mut samples = vec![first.clone(), first.next(2), ct().patient_id("B").name("BINH^B")];
    samples.push(first.next_series(2).size(1000, 1000));
    for syntax in [transfer_syntax::DEFLATED, transfer_syntax::EXPLICIT_BIG, transfer_syntax::IMPLICIT_LITTLE]
    {
        samples.push(large().transfer_syntax(syntax));
    }
    // Elements behind the pixel data belong to the header.
    samples.push(large().with(tags::DATA_SET_TRAILING_PADDING, VR::OB, "padding"));
    for sample in &samples {
        store(session, sample).await.unwrap();
    }
    for has_table in [true, false] {
        let sample = ct();
        let stored = store_file(session, &frames(&sample, has_table)).await;
        assert_eq!(stored.instance().frames, 4);
        samples.push(sample);
    }
    samples
}

async fn act(session: &Session, order: &str) -> u64 {
    let order: Order = serde_json::from_str(order).unwrap();
    session.act(&order, "because").await.unwrap().last().unwrap().number
}

/// Every kind of act, each once in force and some undone; gives the instance that was destroyed.
async fn act_on_everything(session: &Session) -> Sample {
    let of = |sample: &Sample| format!(r#"{{"study":"{}"}}"#, sample.study());
    let samples: [Sample; 9] = std::array::from_fn(|n| large().patient_id(&format!("ACT{n}")));
    for sample in &samples {
        store(session, sample).await.unwrap();
    }
    let [deleted, restored, rejected, corrected, merged, moved, promoted, discarded, gone] = &samples;
    store(session, &key_object("113001", &[rejected])).await.unwrap();
    for sample in [deleted, restored] {
        act(session, &format!(r#"{{"kind":"delete","of":{}}}"#, of(sample))).await;
    }
    act(session, &format!(r#"{{"kind":"restore","of":{}}}"#, of(restored))).await;
    let patient = r#"{"kind":"correct-patient","patient":{"id":"ACT3"},"values":{"PatientName":"Trần^Thị"}}"#;
    act(session, patient).await;
    let number = act(session, &patient.replace("Trần", "Lê")).await;
    act(session, &format!(r#"{{"kind":"undo","number":{number}}}"#)).await;
    let study = corrected.study();
    let study = format!(
        r#"{{"kind":"correct-study","study":"{study}","values":{{"AccessionNumber":"NEW","StudyDate":"20210203"}}}}"#
    );
    act(session, &study).await;
    act(session, r#"{"kind":"merge-patients","from":{"id":"ACT4"},"into":{"id":"ACT3"}}"#).await;
    store(session, &merged.next_series(2)).await.unwrap();
    let study = moved.study();
    act(session, &format!(r#"{{"kind":"move-study","study":"{study}","to":{{"id":"ACT0"}}}}"#)).await;
    for (sample, kind) in [(promoted, "promote"), (discarded, "discard")] {
        let other = sample.clone().name("OTHER^NAME").size(300, 300);
        assert!(matches!(store(session, &other).await.unwrap(), Stored::Conflict { .. }));
        let uid = sample.sop_instance();
        let aside = session.kept_aside(10).await.unwrap();
        let digest = &aside.iter().find(|aside| aside.instance == uid).unwrap().digest;
        act(session, &format!(r#"{{"kind":"{kind}","instance":"{uid}","digest":"{digest}"}}"#)).await;
    }
    // The pack that is written to is sealed for it, and written anew.
    act(session, &format!(r#"{{"kind":"destroy","of":{}}}"#, of(gone))).await;
    gone.clone()
}

/// The headers of what is shown, by instance.
async fn headers(session: &Session, samples: &[Sample]) -> Vec<(SopInstanceUid, Header)> {
    let mut found = Vec::new();
    for sample in samples {
        let study = Resource::Study(sample.study());
        let of_study: Vec<_> = session.headers(&study).try_collect().await.unwrap();
        found.extend(of_study.into_iter().map(|(instance, header)| (instance.sop_instance, header)));
    }
    found
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut packs: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "tar")).collect();
    packs.sort();
    packs
}

#[tokio::test]
async fn an_index_that_is_made_anew_is_the_one_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let samples = fill(&session).await;
    let gone = act_on_everything(&session).await;
    let of_before = headers(&session, &samples).await;
    archive.close().await;
    assert!(packs(&folder.path().join("objects/packs")).len() > 3, "most of it is sealed");
    let before = rows::of(folder.path());
    for table in before.values() {
        assert!(!table.is_empty());
    }
    let archive = Archive::reindex(&config).await.unwrap();
    assert_eq!(headers(&system(&archive), &samples).await, of_before);
    archive.close().await;
    let after = rows::of(folder.path());
    for (table, rows) in before {
        assert_eq!(after[table], rows, "{table}");
    }
    let traces = [tags::PATIENT_ID, tags::STUDY_INSTANCE_UID].map(|tag| gone.attributes.text(tag).unwrap());
    for (table, rows) in after.into_iter().filter(|(table, _)| *table != "ledger") {
        let is_told =
            rows.iter().any(|row| traces.iter().any(|trace| row.contains(&format!("Text({trace:?})"))));
        assert!(!is_told, "{table} tells of what was destroyed");
    }
}

#[tokio::test]
async fn what_no_pack_has_is_in_the_index_that_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let first = ct().patient_id("P").name("NGUYEN^AN");
    let others =
        [first.next(2).patient_id("Q"), ct().patient_id("P").name("TRAN^BINH"), first.clone().size(9, 9)];
    for sample in [&first].into_iter().chain(&others) {
        store(&session, sample).await.unwrap();
    }
    act(&session, &format!(r#"{{"kind":"delete","of":{{"study":"{}"}}}}"#, others[1].study())).await;
    let anonymous = Caller::Web { subject: Subject::Anonymous, address: None };
    let order = serde_json::from_str(r#"{"kind":"undo","number":1}"#).unwrap();
    archive.acting_as(anonymous).act(&order, "").await.unwrap_err();
    let job = |key: &str| NewJob {
        kind: "forward",
        key: key.to_owned(),
        payload: format!("{{{key}}}"),
        delay: Duration::from_secs(3600),
        priority: Priority::Awaited,
    };
    archive.work().enqueue(&[job("CT1"), job("CT2")]).await.unwrap();
    let all = async |archive: &Archive| {
        let jobs = JobQuery { limit: 10, ..JobQuery::default() };
        let jobs = system(archive).jobs(&jobs).await.unwrap();
        (system(archive).audit(None, 100).await.unwrap(), jobs)
    };
    let (audit, jobs) = all(&archive).await;
    assert_eq!((audit.len(), jobs.len()), (5, 2), "{audit:?}");
    archive.close().await;
    for _ in 0..2 {
        let archive = Archive::reindex(&config).await.unwrap();
        assert_eq!(all(&archive).await, (audit.clone(), jobs.clone()));
        archive.close().await;
    }
    let archive = Archive::reindex(&config).await.unwrap();
    let act = act(&system(&archive), r#"{"kind":"undo","number":1}"#).await;
    assert_eq!(all(&archive).await.0[0].1.outcome, format!("act {act}"), "what comes later has its line");
    archive.close().await;
}

#[tokio::test]
async fn what_comes_after_it_was_made_anew_has_its_line_in_the_audit_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let first = ct().patient_id("A");
    store(&system(&archive), &first).await.unwrap();
    archive.close().await;
    // As if the clock had been ahead then.
    let index = rusqlite::Connection::open(folder.path().join("index.sqlite")).unwrap();
    index.execute_batch("UPDATE instances SET received = received + 1000000000").unwrap();
    drop(index);
    let archive = Archive::reindex(&config).await.unwrap();
    store(&system(&archive), &first.next(2).patient_id("B")).await.unwrap();
    let audit = system(&archive).audit(None, 10).await.unwrap();
    assert!(audit[0].1.outcome.contains("names another patient"), "{audit:?}");
    archive.close().await;
}

#[rstest]
#[case::as_they_came(None)]
#[case::of_a_patient_who_was_corrected(Some(
    r#"{"kind":"correct-patient","patient":{"id":"P"},"values":{"PatientSex":"F"}}"#
))]
#[tokio::test]
async fn who_a_patient_is_is_told_by_what_was_not_destroyed(#[case] correction: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    let [first, second, third] =
        ["NGUYEN^AN", "TRAN^BINH", "LE^CHI"].map(|name| ct().patient_id("P").name(name));
    for sample in [&first, &second, &second.next(2), &third] {
        store(&session, sample).await.unwrap();
    }
    if let Some(order) = correction {
        act(&session, order).await;
    }
    act(&session, &format!(r#"{{"kind":"destroy","of":{{"study":"{}"}}}}"#, first.study())).await;
    archive.close().await;
    let before = rows::of(folder.path());
    let tells = |name: &str| {
        ["patients", "studies", "words"].map(|table| before[table].iter().any(|row| row.contains(name)))
    };
    assert_eq!(tells("nguyen"), [false; 3], "{before:?}");
    assert_eq!((tells("tran"), tells("chi")), ([true; 3], [false, true, true]));
    Archive::reindex(&config).await.unwrap().close().await;
    assert_eq!(rows::of(folder.path()), before);
}

/// Where these bytes lie in a file, once.
fn place(file: &[u8], bytes: &[u8]) -> usize {
    memchr::memmem::find(file, bytes).unwrap()
}

fn change(pack: &Path, place: usize) {
    let byte = fs::read(pack).unwrap()[place];
    let file = fs::OpenOptions::new().write(true).open(pack).unwrap();
    file.write_all_at(&[byte ^ 4], u64::try_from(place).unwrap()).unwrap();
}

async fn is_whole(session: &Session, sample: &Sample) -> bool {
    let Ok(found) = session.instances(&Resource::Study(sample.study())).await else { return false };
    let parts: Vec<_> = session.open_data_set(&found[0]).try_collect().await.unwrap();
    parts.concat() == sample.data_set()
}

#[tokio::test]
async fn what_is_damaged_in_a_sealed_pack_is_left_out_or_found_and_heals_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let samples = ["PIXELS", "NAME", "HEADER", "GOOD"].map(|name| large().name(name));
    for sample in &samples {
        store(&system(&archive), sample).await.unwrap();
    }
    archive.close().await;
    let pack = packs(&folder.path().join("objects/packs")).remove(0);
    let bytes = fs::read(&pack).unwrap();
    let [pixels, name, header, good] = &samples;
    change(&pack, place(&bytes, b"PIXELS") + 200_000);
    change(&pack, place(&bytes, b"NAME"));
    change(&pack, place(&bytes, format!("{}.dcm", header.sop_instance()).as_bytes()));

    let archive = Archive::reindex(&config).await.unwrap();
    let session = system(&archive);
    let found = session.instances(&Resource::Study(pixels.study())).await.unwrap();
    assert_eq!(found.len(), 1, "its pixel data was not read");
    for sample in [name, header] {
        assert!(session.instances(&Resource::Study(sample.study())).await.is_err());
    }
    assert!(is_whole(&session, good).await);
    assert_eq!(archive.upkeep().report().await.unwrap().never_verified, 1);
    let mut damaged = Vec::new();
    archive.upkeep().verify_all(None, |_, verified| damaged.extend(verified.damaged.clone())).await.unwrap();
    assert_eq!(damaged, [pixels.sop_instance()]);
    for sample in &samples {
        store(&session, sample).await.unwrap();
    }
    archive.close().await;

    // The damaged copy of the first is read before the good one.
    let archive = Archive::reindex(&config).await.unwrap();
    for sample in &samples {
        assert!(is_whole(&system(&archive), sample).await);
        assert!(matches!(store(&system(&archive), sample).await.unwrap(), Stored::Same(_)));
    }
    archive.close().await;
}

#[tokio::test]
async fn what_was_known_to_be_damaged_is_known_to_the_index_that_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let archive = Archive::open(&config).await.unwrap();
    let samples = ["PIXELS", "HEALED", "DELETED", "GOOD"].map(|name| large().name(name));
    for sample in &samples {
        store(&system(&archive), sample).await.unwrap();
    }
    let [pixels, healed, deleted, good] = &samples;
    let delete = format!(r#"{{"kind":"delete","of":{{"study":"{}"}}}}"#, deleted.study());
    act(&system(&archive), &delete).await;
    archive.close().await;
    let pack = packs(&folder.path().join("objects/packs")).remove(0);
    let bytes = fs::read(&pack).unwrap();
    for name in [&b"PIXELS"[..], b"HEALED", b"DELETED"] {
        change(&pack, place(&bytes, name) + 200_000);
    }
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    archive.upkeep().verify_all(None, |_, _| {}).await.unwrap();
    store(&session, healed).await.unwrap();
    let all = DamageQuery { of: None, before: None, limit: 10 };
    let known = session.damaged(&all).await.unwrap();
    assert_eq!(known.len(), 1);
    archive.close().await;

    // Once made anew it is the index before.
    for _ in 0..2 {
        let archive = Archive::reindex(&config).await.unwrap();
        let session = system(&archive);
        let told = session.damaged(&all).await.unwrap();
        assert_eq!((told.len(), &told[0].instance), (1, &pixels.sop_instance()));
        assert_eq!((told[0].since, &told[0].reason), (known[0].since, &known[0].reason));
        assert_eq!(session.damaged_of(&Resource::Study(pixels.study())).await.unwrap(), told);
        assert!(session.instances(&Resource::Study(pixels.study())).await.is_err());
        assert!(is_whole(&session, healed).await && is_whole(&session, good).await);
        let told = archive.damaged().stretches.iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains(pixels.sop_instance().as_str()), "{told}");
        assert!(!told.contains(healed.sop_instance().as_str()), "{told}");
        assert!(archive.upkeep().report().await.unwrap().never_verified > 0, "nothing was compared");
        archive.close().await;
    }
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    store(&session, pixels).await.unwrap();
    assert!(is_whole(&session, pixels).await);
    assert!(session.damaged(&all).await.unwrap().is_empty());
    archive.close().await;
}

#[tokio::test]
async fn a_frame_of_what_was_read_by_its_beginning_is_the_frame_that_came() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { inline_size_mib: 0, ..config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    let sample = ct();
    store_file(&system(&archive), &frames(&sample, true)).await;
    archive.close().await;
    assert_eq!(packs(&folder.path().join("objects/packs")).len(), 1);
    let archive = Archive::reindex(&config).await.unwrap();
    let session = system(&archive);
    let instance = session.instances(&Resource::Study(sample.study())).await.unwrap().remove(0);
    let frame = session.open_frame(&instance, FrameNumber::new(3).unwrap()).await.unwrap();
    assert!(frame.len() == 40_000 && frame.starts_with(b"\xFF\xD8\x04\x04"));
    archive.close().await;
}
