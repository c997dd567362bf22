//! How text is read: counted as what is shown is.

use dicom::dictionary_std::tags;

use super::acts::{entry, key};
use super::new;
use crate::fixture::{Sample, ct};
use crate::index::{Damage, Index, NewInstance, OPEN, StudyText, TextCount, TextQuery};
use crate::ledger::Act;
use crate::model::{PackId, StudyInstanceUid, TextEncoding, TextReading, TextRule, VR};

/// Says ISO_IR 100; the name is in windows-1258.
const LEGACY: &[u8] = b"Nguy\xea\xden^Thi\xf2";

fn named(sample: Sample, name: &'static [u8]) -> Sample {
    let mut sample = sample.with(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
    sample.attributes.put_bytes(tags::PATIENT_NAME, VR::PN, name);
    sample
}

/// As it comes from a sender of whom this is known.
fn from(sender: &str, rule: TextRule, sample: &Sample, at: u64) -> NewInstance {
    let mut new = new(sample, at);
    let reading = TextReading::of(&new.header.attributes().unwrap(), rule);
    new.header = new.header.read_as(reading);
    new.sender = sender.to_owned();
    new
}

fn reading(rule: TextRule, name: &'static [u8]) -> TextReading {
    TextReading::of(&named(ct(), name).attributes, rule)
}

async fn counts(index: &dyn Index) -> Vec<(String, TextReading, u64, u64)> {
    let counts: Vec<TextCount> = index.text_counts().await.unwrap();
    assert!(counts.iter().all(|count| count.newest > 0));
    counts.into_iter().map(|count| (count.sender, count.reading, count.studies, count.instances)).collect()
}

fn count(
    sender: &str,
    reading: TextReading,
    studies: u64,
    instances: u64,
) -> (String, TextReading, u64, u64) {
    (sender.to_owned(), reading, studies, instances)
}

fn all() -> TextQuery {
    let readings = TextReading::all().filter(|reading| !reading.is_declared()).collect();
    TextQuery { studies: Vec::new(), sender: None, readings, before: None, limit: 100 }
}

async fn studies(index: &dyn Index, query: &TextQuery) -> Vec<(StudyInstanceUid, TextReading, u64)> {
    let found: Vec<StudyText> = index.text_of_studies(query).await.unwrap();
    found.into_iter().map(|text| (text.study, text.reading, text.instances)).collect()
}

pub async fn counts_how_text_is_read(index: &dyn Index) {
    let (plain, old, other) = (ct(), named(ct(), LEGACY), named(ct(), LEGACY));
    let group = [
        from("CT", TextRule::Auto, &plain, 1024),
        from("US", TextRule::Auto, &old, 2048),
        from("US", TextRule::Auto, &old.next(2), 3072),
        from("XA", TextRule::Windows1258, &other, 4096),
        from("XA", TextRule::Windows1258, &named(other.next(2), b"Anna"), 5120),
    ];
    index.commit(&group[..2], &[], OPEN).await.unwrap();
    index.commit(&group[1..], &[], OPEN).await.unwrap();
    let (guessed, ruled) = (reading(TextRule::Auto, LEGACY), reading(TextRule::Windows1258, LEGACY));
    assert_eq!(guessed.repair(), Some(TextEncoding::Windows1258));
    assert!(ruled.repair() == guessed.repair() && ruled.is_by_rule() && !guessed.is_by_rule());
    let declared = TextReading::default();
    let expected = [
        count("CT", declared, 1, 1),
        count("US", guessed, 1, 2),
        count("XA", declared, 1, 1),
        count("XA", ruled, 1, 1),
    ];
    assert_eq!(counts(index).await, expected);

    let (old, other) = ((old.study(), guessed, 2), (other.study(), ruled, 1));
    let other_declared = (other.0.clone(), declared, 1);
    let all = all();
    assert_eq!(studies(index, &all).await, [other_declared, other, old.clone()]);
    let first = index.text_of_studies(&TextQuery { limit: 1, ..all.clone() }).await.unwrap();
    let behind = TextQuery { before: Some(first[0].place), ..all.clone() };
    let by_sender = TextQuery { sender: Some("US".to_owned()), ..all.clone() };
    let by_reading = TextQuery { readings: vec![guessed], ..all.clone() };
    for query in [behind, by_sender, by_reading] {
        assert_eq!(studies(index, &query).await, std::slice::from_ref(&old), "{query:?}");
    }
    let by_study = TextQuery { studies: vec![plain.study(), old.0.clone()], ..all.clone() };
    assert_eq!(studies(index, &by_study).await, [old]);
    let by_nobody = TextQuery { sender: Some("MR".to_owned()), ..all };
    assert_eq!(studies(index, &by_nobody).await, []);
}

pub async fn counts_text_as_it_is_hidden_and_shown(index: &dyn Index) {
    let old = named(ct(), LEGACY);
    let second = old.next(2);
    let group = [from("US", TextRule::Auto, &old, 1024), from("US", TextRule::Auto, &second, 2048)];
    index.commit(&group, &[], OPEN).await.unwrap();
    let guessed = reading(TextRule::Auto, LEGACY);
    let (one, both) = ([count("US", guessed, 1, 1)], [count("US", guessed, 1, 2)]);
    // What is told instead does not change how what came is read.
    let values = serde_json::from_str(r#"{"PatientName":"Nguyễn^Thị"}"#).unwrap();
    index.act(&entry(1, Act::CorrectPatient { patient: key("P1"), values })).await.unwrap();
    index.act(&entry(2, Act::MoveStudy { study: old.study(), to: key("P2") })).await.unwrap();
    assert_eq!(counts(index).await, both);

    let (first, second) = (vec![old.sop_instance()], vec![second.sop_instance()]);
    index.act(&entry(3, Act::Delete { instances: second.clone() })).await.unwrap();
    assert_eq!(counts(index).await, one);
    let note = Act::Reject { note: ct().sop_instance(), title: "113001".into(), instances: first };
    index.act(&entry(4, note)).await.unwrap();
    assert_eq!(counts(index).await, []);
    assert_eq!(studies(index, &all()).await, []);
    index.act(&entry(5, Act::Restore { instances: second })).await.unwrap();
    index.act(&entry(6, Act::Undo { number: 4 })).await.unwrap();
    assert_eq!(counts(index).await, both);
    // What an act hides already does not count when it comes.
    let third = old.next(3);
    index.act(&entry(7, Act::Delete { instances: vec![third.sop_instance()] })).await.unwrap();
    index.commit(&[from("US", TextRule::Auto, &third, 4096)], &[], OPEN).await.unwrap();
    assert_eq!(counts(index).await, both);

    let entries = index.pack_entries(PackId(1), 0, 1).await.unwrap();
    index.damaged(&[Damage::found(entries[0].row, "a test")]).await.unwrap();
    assert_eq!(counts(index).await, one);
    index.commit(&[from("US", TextRule::Auto, &old, 8192)], &[], OPEN).await.unwrap();
    assert_eq!(counts(index).await, both);
}

pub async fn counts_the_text_of_whichever_data_set_is_shown(index: &dyn Index) {
    let first = ct();
    let second =
        named(first.clone(), LEGACY).with(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.2.1");
    let group = [from("CT", TextRule::Auto, &first, 1024), from("US", TextRule::Auto, &second, 4096)];
    index.commit(&group, &[], OPEN).await.unwrap();
    let (declared, guessed) = (TextReading::default(), reading(TextRule::Auto, LEGACY));
    let before = [count("CT", declared, 1, 1)];
    assert_eq!(counts(index).await, before, "what is kept aside does not count");
    let aside = index.kept_aside(Some(&first.sop_instance()), 10).await.unwrap().remove(0);
    let promote = Act::Promote { instance: first.sop_instance(), digest: aside.digest };
    index.act(&entry(1, promote)).await.unwrap();
    assert_eq!(counts(index).await, [count("US", guessed, 1, 1)]);
    let classes = super::find(index, crate::model::Level::Study, &[], tags::SOP_CLASSES_IN_STUDY).await;
    assert_eq!(classes, ["1.2.840.10008.5.1.4.1.1.2.1"]);
    index.act(&entry(2, Act::Undo { number: 1 })).await.unwrap();
    assert_eq!(counts(index).await, before);
}
