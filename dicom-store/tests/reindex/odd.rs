//! However odd the ways were on which an index came to say what it says: made anew, it says the same.

use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct, key_object, store, system};
use dicom_store::model::VR;
use dicom_store::{Archive, Config, Order, Session};

use crate::rows;

/// Slices whose packs are gathered with one another, and one whose pack is not.
fn slice(patient: &str) -> Sample {
    ct().size(64, 64).patient_id(patient)
}

fn large(sample: Sample) -> Sample {
    sample.size(512, 512)
}

fn numbered(sample: &Sample, uid: &str) -> Sample {
    sample.clone().with(tags::SOP_INSTANCE_UID, VR::UI, &format!("{}.{uid}", sample.study()))
}

fn of_modality(sample: Sample, modality: &str) -> Sample {
    sample.with(tags::MODALITY, VR::CS, modality)
}

fn study(sample: &Sample) -> String {
    format!(r#"{{"study":"{}"}}"#, sample.study())
}

fn instance(sample: &Sample) -> String {
    let (study, series) = (sample.study(), sample.uid(tags::SERIES_INSTANCE_UID));
    format!(r#"{{"study":"{study}","series":"{series}","instance":"{}"}}"#, sample.sop_instance())
}

async fn keep(session: &Session, samples: &[&Sample]) {
    for sample in samples {
        store(session, sample).await.unwrap();
    }
}

async fn act(session: &Session, kind: &str, rest: &str) {
    let order: Order = serde_json::from_str(&format!(r#"{{"kind":"{kind}",{rest}}}"#)).unwrap();
    session.act(&order, "because").await.unwrap();
}

async fn hide(session: &Session, sample: &Sample) {
    act(session, "delete", &format!(r#""of":{}"#, instance(sample))).await;
}

async fn undo_last(session: &Session) {
    let number = session.acts(None, 1).await.unwrap()[0].entry.number;
    act(session, "undo", &format!(r#""number":{number}"#)).await;
}

/// Series of which not all say one modality, and those of which the first is hidden.
async fn modalities(session: &Session) {
    let first = slice("MIXED");
    let second = of_modality(first.next(2), "MR");
    let other = of_modality(first.next_series(2), "US");
    keep(session, &[&first, &second, &other, &of_modality(other.next(2), "SR")]).await;
    for is_back in [false, true] {
        let first = of_modality(slice(&format!("MIXED-HIDDEN-{is_back}")), "CR");
        keep(session, &[&first, &of_modality(first.next(2), "DX"), &of_modality(first.next(3), "MG")]).await;
        hide(session, &first).await;
        if is_back {
            undo_last(session).await;
        }
    }
    let [first, second] = ["CT", "MR"].map(|modality| of_modality(slice("MIXED-ALL"), modality));
    let second = numbered(&first, "5").with(tags::MODALITY, VR::CS, &second.uid(tags::MODALITY));
    keep(session, &[&first, &second]).await;
    act(session, "delete", &format!(r#""of":{}"#, study(&first))).await;
    keep(session, &[&of_modality(first.next(3), "PT"), &of_modality(first.next(4), "NM")]).await;
    act(session, "restore", &format!(r#""of":{}"#, instance(&second))).await;
}

/// What comes within one second, the first by its UID last.
async fn seconds(session: &Session) {
    let first = slice("SECOND");
    for (uid, name) in [("9", "CHI^C"), ("5", "BINH^B"), ("5.1", "Binh^B"), ("1", "AN^A")] {
        let sample = numbered(&first, uid).name(name).with(tags::STUDY_DESCRIPTION, VR::LO, name);
        keep(session, &[&large(sample.with(tags::SERIES_DESCRIPTION, VR::LO, name))]).await;
        keep(session, &[&numbered(&first, &format!("{uid}.7")).name(name)]).await;
    }
    for (uid, name) in [("9", "CHI^C"), ("5", "BINH^B"), ("1", "AN^A")] {
        let study = slice("SECOND-STUDIES").name(name);
        keep(
            session,
            &[&large(study.with(tags::SOP_INSTANCE_UID, VR::UI, &format!("{}.{uid}", first.study())))],
        )
        .await;
    }
    for (uid, patient) in [("9", "SECOND-A"), ("5", "SECOND-B"), ("1", "SECOND-C")] {
        keep(session, &[&large(numbered(&first.next_series(2), uid)).patient_id(patient)]).await;
    }
    let of_nobody = slice("");
    keep(session, &[&numbered(&of_nobody, "9"), &numbered(&of_nobody, "1").patient_id("SECOND-D")]).await;
    let of_somebody = slice("SECOND-E");
    keep(session, &[&numbered(&of_somebody, "9"), &numbered(&of_somebody, "1").patient_id("")]).await;
}

/// What is hidden, by whichever act, before and after it came.
async fn hidden(session: &Session) {
    let first = slice("REJECTED");
    let second = first.next(2).name("SECOND^ONE").with(tags::ACCESSION_NUMBER, VR::SH, "2");
    keep(session, &[&first, &second, &key_object("113001", &[&first])]).await;
    let first = slice("REJECTED-BEFORE");
    let second = of_modality(first.next(2).name("SECOND^ONE"), "MR");
    keep(session, &[&key_object("113001", &[&first]), &first, &second]).await;
    let first = slice("HIDDEN-OTHER").with(tags::STUDY_DATE, VR::DA, "20200101");
    let second =
        first.next(2).patient_id("HIDDEN-OTHER-2").name("OTHER^ONE").with(tags::STUDY_DATE, VR::DA, "");
    keep(session, &[&first, &second]).await;
    hide(session, &first).await;
    let first = slice("DESTROYED").name("GONE^FOR GOOD");
    let other = slice("DESTROYED").name("STAYS^HERE");
    keep(session, &[&first, &first.next(2).name("STAYS^TOO"), &other]).await;
    act(session, "destroy", &format!(r#""of":{}"#, instance(&first))).await;
}

/// Acts over what other instances say afterwards.
async fn acts(session: &Session) {
    let first = slice("CORRECTED").name("WRONG^NAME");
    keep(session, &[&first]).await;
    act(session, "correct-patient", r#""patient":{"id":"CORRECTED"},"values":{"PatientName":"RIGHT^NAME"}"#)
        .await;
    let corrected = format!(r#""study":"{}","values":{{"StudyDate":"20190304"}}"#, first.study());
    act(session, "correct-study", &corrected).await;
    keep(session, &[&numbered(&first, "1").with(tags::PATIENT_SEX, VR::CS, "F"), &slice("CORRECTED")]).await;
    hide(session, &first).await;
    let (first, second) = (slice("MOVED").name("A^A"), slice("MOVED").name("B^B"));
    keep(session, &[&first, &first.next(2).name("C^C"), &second]).await;
    let to = |id: &str| format!(r#""study":"{}","to":{{"id":"{id}"}}"#, first.study());
    act(session, "move-study", &to("MIXED")).await;
    hide(session, &first).await;
    keep(session, &[&slice("MOVED").name("D^D"), &slice("NEVER-CAME").name("E^E")]).await;
    let first = slice("MERGED").name("A^A");
    keep(session, &[&first, &first.next(2).name("B^B")]).await;
    act(session, "merge-patients", r#""from":{"id":"MERGED"},"into":{"id":"MOVED"}"#).await;
    keep(session, &[&slice("MERGED").name("C^C"), &numbered(&first, "1").name("D^D")]).await;
    hide(session, &first).await;
    let first = slice("ASIDE").name("A^A");
    let other = of_modality(first.clone().name("B^B"), "MR").with(tags::STUDY_DATE, VR::DA, "20010101");
    keep(session, &[&first, &first.next(2), &other]).await;
    let aside = session.kept_aside(1).await.unwrap();
    let digest = &aside[0].digest;
    act(session, "promote", &format!(r#""instance":"{}","digest":"{digest}""#, first.sop_instance())).await;
}

#[tokio::test]
async fn an_index_that_has_gone_odd_ways_says_what_one_says_that_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    // Each instance in a pack of its own.
    let config = Config { inline_size_mib: 0, ..fixture::config(&folder) };
    let archive = Archive::open(&config).await.unwrap();
    let session = system(&archive);
    modalities(&session).await;
    seconds(&session).await;
    hidden(&session).await;
    acts(&session).await;
    let gathered = archive.upkeep().tidy().await.unwrap();
    assert!(gathered > 16, "{gathered}");
    archive.close().await;
    let before = rows::of(folder.path());
    Archive::reindex(&config).await.unwrap().close().await;
    let after = rows::of(folder.path());
    for (table, rows) in before {
        let (old, new): (Vec<_>, Vec<_>) = (
            rows.iter().filter(|row| !after[table].contains(row)).collect(),
            after[table].iter().filter(|row| !rows.contains(row)).collect(),
        );
        assert!(old.is_empty() && new.is_empty(), "{table}\nwas: {old:#?}\nis: {new:#?}");
    }
}
