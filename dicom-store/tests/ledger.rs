//! What is done to the archive beyond storing holds in every answer, can be undone, and is the same after
//! the index was made anew from the packs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use dicom::dictionary_std::tags;
use dicom_store::fixture::{Sample, archive, config, ct, key_object, store, system};
use dicom_store::ledger::{Act, Entry};
use dicom_store::model::{AeTitle, Attributes, Encoding, ErrorKind, FileMeta, Level, Resource, Tag, VR};
use dicom_store::{
    Archive, Caller, Config, InstanceState, Key, OnConflict, Order, Query, Session, Stored, Subject,
};
use futures_util::TryStreamExt;
use tempfile::TempDir;

struct House {
    archive: Archive,
    session: Session,
    folder: TempDir,
}

impl House {
    async fn new() -> Self {
        let (archive, folder) = archive().await;
        Self { session: system(&archive), archive, folder }
    }

    async fn with(samples: &[&Sample]) -> Self {
        let house = Self::new().await;
        for sample in samples {
            house.store(sample).await;
        }
        house
    }

    async fn store(&self, sample: &Sample) -> Stored {
        store(&self.session, sample).await.unwrap()
    }

    async fn act(&self, order: &str) -> dicom_store::Result<Vec<Entry>> {
        self.session.act(&serde_json::from_str::<Order>(order).unwrap(), "because").await
    }

    /// The number of the last act that it became.
    async fn done(&self, order: &str) -> u64 {
        self.act(order).await.unwrap().last().unwrap().number
    }

    async fn reindexed(self) -> Self {
        self.archive.close().await;
        let archive = Archive::reindex(&config(&self.folder)).await.unwrap();
        Self { session: system(&archive), archive, folder: self.folder }
    }

    async fn rows(&self, level: Level, keys: &[(Tag, VR, &str)]) -> Vec<Attributes> {
        let mut query = Query::new(level);
        query.keys = keys.iter().map(|(tag, vr, value)| Key::parse(&[*tag], *vr, value).unwrap()).collect();
        let rows: Vec<_> = self.session.search(&query).await.unwrap().try_collect().await.unwrap();
        rows.into_iter().map(|row| row.attributes).collect()
    }

    async fn texts(&self, level: Level, tag: Tag) -> Vec<String> {
        self.rows(level, &[]).await.iter().map(|row| row.texts(tag).join("\\")).collect()
    }

    /// The one study with this accession number or whatever it is found by, as its row says.
    async fn study(&self, sample: &Sample) -> Attributes {
        let uid = sample.study();
        self.rows(Level::Study, &[(tags::STUDY_INSTANCE_UID, VR::UI, uid.as_str())]).await.remove(0)
    }

    /// The data set as WADO metadata has it, and as a C-MOVE sends it.
    async fn told(&self, sample: &Sample) -> (Attributes, Attributes) {
        let found = self.session.instances(&Resource::Study(sample.study())).await.unwrap();
        let instance = found.into_iter().find(|found| found.sop_instance == sample.sop_instance()).unwrap();
        let header = self.session.header(&instance).await.unwrap().attributes().unwrap();
        let parts: Vec<_> = self.session.open(&instance).try_collect().await.unwrap();
        let file = parts.concat();
        let meta = FileMeta::read(&file, true).unwrap().unwrap();
        let data_set = file[usize::try_from(meta.data_set).unwrap()..].to_vec();
        (header, Attributes::read(data_set.into(), Encoding::ExplicitLittle).unwrap())
    }

    /// What both ways say, which has to be the same.
    async fn value(&self, sample: &Sample, tag: Tag) -> String {
        let (header, sent) = self.told(sample).await;
        assert_eq!(header.text(tag), sent.text(tag));
        header.text(tag).unwrap_or_default()
    }

    async fn is_there(&self, sample: &Sample) -> bool {
        let of = Resource::Instance(
            sample.study(),
            dicom_store::model::SeriesInstanceUid::parse(&sample.uid(tags::SERIES_INSTANCE_UID)).unwrap(),
            sample.sop_instance(),
        );
        let found = self.session.instances(&of).await;
        assert!(found.as_ref().err().is_none_or(|error| error.kind == ErrorKind::NotFound), "{found:?}");
        found.is_ok()
    }
}

fn of(sample: &Sample) -> String {
    format!(r#"{{"study":"{}"}}"#, sample.study())
}

fn of_instance(sample: &Sample) -> String {
    let series = sample.uid(tags::SERIES_INSTANCE_UID);
    format!(r#"{{"study":"{}","series":"{series}","instance":"{}"}}"#, sample.study(), sample.sop_instance())
}

fn delete(of: &str) -> String {
    format!(r#"{{"kind":"delete","of":{of}}}"#)
}

#[tokio::test]
async fn what_is_deleted_is_nowhere_and_comes_back_when_it_is_restored() {
    let (first, other) = (ct(), ct().patient_id("OTHER"));
    let second = first.next_series(2).with(tags::MODALITY, VR::CS, "SR");
    let house = House::with(&[&first, &second, &other]).await;
    house.done(&delete(&of_instance(&second))).await;
    let study = house.study(&first).await;
    assert_eq!(study.texts(tags::MODALITIES_IN_STUDY), ["CT"]);
    assert_eq!(study.int(tags::NUMBER_OF_STUDY_RELATED_SERIES), Some(1));
    assert!(!house.is_there(&second).await && house.is_there(&first).await);
    house.done(&delete(&of(&first))).await;
    assert!(house.act(&delete(&of(&first))).await.is_err_and(|error| error.kind == ErrorKind::NotFound));
    let house = house.reindexed().await;
    for level in [Level::Patient, Level::Study, Level::Series, Level::Instance] {
        assert_eq!(house.texts(level, tags::PATIENT_ID).await, ["OTHER"], "{level:?}");
    }
    let trash = house.session.hidden(10).await.unwrap();
    assert_eq!(trash.len(), 2);
    assert!(trash.iter().all(|hidden| hidden.state == InstanceState::Deleted));
    house.done(&format!(r#"{{"kind":"restore","of":{}}}"#, of(&first))).await;
    let house = house.reindexed().await;
    let study = house.study(&first).await;
    assert_eq!(study.texts(tags::MODALITIES_IN_STUDY), ["CT", "SR"]);
    assert_eq!(study.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES), Some(2));
}

#[tokio::test]
async fn an_undone_deletion_never_was() {
    let (first, second) = (ct(), ct());
    let house = House::with(&[&first, &second]).await;
    let number = house.done(&delete(&of(&first))).await;
    let undo = format!(r#"{{"kind":"undo","number":{number}}}"#);
    house.done(&undo).await;
    assert!(house.is_there(&first).await);
    assert!(house.act(&undo).await.is_err_and(|error| error.kind == ErrorKind::Conflict));
    assert!(house.reindexed().await.is_there(&first).await);
}

#[tokio::test]
async fn what_was_deleted_and_comes_again_is_shown_again() {
    let sample = ct();
    let house = House::with(&[&sample]).await;
    house.done(&delete(&of(&sample))).await;
    assert!(matches!(house.store(&sample).await, Stored::Same(_)));
    assert!(house.is_there(&sample).await);
    assert!(house.reindexed().await.is_there(&sample).await);
}

#[tokio::test]
async fn what_comes_instead_of_something_deleted_takes_its_place() {
    let sample = ct().name("WRONG^NAME");
    let right = sample.clone().name("RIGHT^NAME");
    let house = House::with(&[&sample]).await;
    house.done(&delete(&of(&sample))).await;
    house.store(&right).await;
    assert_eq!(house.value(&sample, tags::PATIENT_NAME).await, "RIGHT^NAME");
    let house = house.reindexed().await;
    assert_eq!(house.value(&sample, tags::PATIENT_NAME).await, "RIGHT^NAME");
}

#[tokio::test]
async fn a_note_hides_what_it_names_whatever_comes_first() {
    let (early, late, kept) = (ct(), ct(), ct());
    let house = House::with(&[&early, &kept]).await;
    let note = key_object("113001", &[&early, &late]);
    house.store(&note).await;
    house.store(&late).await;
    house.store(&early).await;
    house.store(&note).await;
    // What is shown of a series whose first instance is hidden is counted from the start.
    let shown = late.next(2);
    house.store(&shown).await;
    let study = house.study(&late).await;
    assert_eq!(study.texts(tags::MODALITIES_IN_STUDY), ["CT"]);
    assert_eq!(study.int(tags::NUMBER_OF_STUDY_RELATED_SERIES), Some(1));
    assert_eq!(study.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES), Some(1));
    for house in [house.reindexed().await] {
        assert!(
            !house.is_there(&early).await && !house.is_there(&late).await && !house.is_there(&note).await
        );
        assert!(house.is_there(&kept).await);
        let acts = house.session.acts(None, 10).await.unwrap();
        assert_eq!(acts.len(), 1, "{acts:?}");
        assert!(matches!(&acts[0].entry.act, Act::Reject { title, .. } if title == "113001"));
        assert_eq!(acts[0].entry.reason, "Rejected for Quality Reasons");
    }
}

#[tokio::test]
async fn a_note_of_an_unknown_sender_hides_nothing_and_is_written_down() {
    let sample = ct();
    let house = House::with(&[&sample]).await;
    let title = |text| AeTitle::parse(text).unwrap();
    let stranger = Caller::Peer {
        calling: title("STRANGER"),
        called: title("FILMLESS"),
        address: [10, 0, 0, 1].into(),
        rights: dicom_store::PeerRights::STRANGER,
    };
    let note = key_object("113037", &[&sample]);
    store(&house.archive.acting_as(stranger), &note).await.unwrap();
    assert!(house.is_there(&sample).await && house.is_there(&note).await);
    let audit = house.session.audit(None, 10).await.unwrap();
    assert!(audit[0].1.action == "reject" && audit[0].1.outcome.starts_with("refused"), "{audit:?}");
}

#[tokio::test]
async fn a_corrected_patient_is_told_everywhere_and_the_old_values_with_it() {
    let sample = ct().name("NGUYEN^VAN AN").patient_id("7");
    let later = ct().name("NGUYEN^VAN AN").patient_id("7");
    let house = House::with(&[&sample]).await;
    let order = r#"{"kind":"correct-patient","patient":{"id":"7"},"values":{"PatientName":"Nguyễn^Văn Anh","PatientSex":"M"}}"#;
    let number = house.done(order).await;
    house.store(&later).await;
    let house = house.reindexed().await;
    for sample in [&sample, &later] {
        assert_eq!(house.value(sample, tags::PATIENT_NAME).await, "Nguyễn^Văn Anh");
        assert_eq!(house.value(sample, tags::SPECIFIC_CHARACTER_SET).await, "ISO_IR 192");
        let (_, sent) = house.told(sample).await;
        let original = &sent.items(Tag(0x0400, 0x0561))[0].items(Tag(0x0400, 0x0550))[0];
        assert_eq!(original.text(tags::PATIENT_NAME).as_deref(), Some("NGUYEN^VAN AN"));
    }
    assert_eq!(house.rows(Level::Study, &[(tags::PATIENT_NAME, VR::PN, "nguyen^van anh")]).await.len(), 2);
    assert_eq!(house.rows(Level::Instance, &[(tags::PATIENT_NAME, VR::PN, "nguyen^van anh")]).await.len(), 2);
    house.done(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await;
    let house = house.reindexed().await;
    assert_eq!(house.value(&later, tags::PATIENT_NAME).await, "NGUYEN^VAN AN");
    assert!(!house.told(&sample).await.0.contains(Tag(0x0400, 0x0561)));
    assert_eq!(house.texts(Level::Patient, tags::PATIENT_NAME).await, ["NGUYEN^VAN AN"]);
}

#[tokio::test]
async fn a_corrected_study_is_found_by_what_it_is_called_now() {
    let sample = ct().with(tags::ACCESSION_NUMBER, VR::SH, "OLD").with(tags::STUDY_DATE, VR::DA, "20200101");
    let house = House::with(&[&sample]).await;
    house
        .done(&format!(
            r#"{{"kind":"correct-study","study":"{}","values":{{"AccessionNumber":"NEW","StudyDate":"20210203"}}}}"#,
            sample.study()
        ))
        .await;
    house.store(&sample.next(2)).await;
    let house = house.reindexed().await;
    assert_eq!(house.rows(Level::Study, &[(tags::ACCESSION_NUMBER, VR::SH, "NEW")]).await.len(), 1);
    assert!(house.rows(Level::Study, &[(tags::ACCESSION_NUMBER, VR::SH, "OLD")]).await.is_empty());
    assert_eq!(house.rows(Level::Study, &[(tags::STUDY_DATE, VR::DA, "20210101-")]).await.len(), 1);
    assert_eq!(house.value(&sample, tags::ACCESSION_NUMBER).await, "NEW");
}

#[tokio::test]
async fn merged_patients_are_one_and_what_comes_later_is_theirs() {
    let a = ct().patient_id("A").name("AN^A").with(tags::PATIENT_COMMENTS, VR::LT, "of A");
    let b = ct().patient_id("B").name("BINH^B");
    let later = ct().patient_id("A").name("AN^A");
    let house = House::with(&[&a, &b]).await;
    let merge = r#"{"kind":"merge-patients","from":{"id":"A"},"into":{"id":"B"}}"#;
    let number = house.done(merge).await;
    house.store(&later).await;
    assert!(house.act(r#"{"kind":"merge-patients","from":{"id":"B"},"into":{"id":"A"}}"#).await.is_err());
    assert!(house.act(merge).await.is_err_and(|error| error.kind == ErrorKind::Conflict));
    let house = house.reindexed().await;
    let patients = house.rows(Level::Patient, &[]).await;
    assert_eq!(patients.len(), 1);
    assert_eq!(patients[0].text(tags::PATIENT_ID).as_deref(), Some("B"));
    assert_eq!(patients[0].int(tags::NUMBER_OF_PATIENT_RELATED_STUDIES), Some(3));
    for sample in [&a, &later] {
        assert_eq!(house.value(sample, tags::PATIENT_ID).await, "B");
        assert_eq!(house.value(sample, tags::PATIENT_NAME).await, "BINH^B");
        assert_eq!(house.value(sample, tags::PATIENT_COMMENTS).await, "");
    }
    let of_b = Resource::Patient { id: "B".into(), issuer: None };
    assert_eq!(house.session.instances(&of_b).await.unwrap().len(), 3);
    house.done(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await;
    let house = house.reindexed().await;
    assert_eq!(house.texts(Level::Patient, tags::PATIENT_ID).await, ["A", "B"]);
    assert_eq!(house.value(&a, tags::PATIENT_COMMENTS).await, "of A");
}

#[tokio::test]
async fn a_study_moves_to_a_patient_who_is_new_and_back() {
    let sample = ct().patient_id("WRONG").name("WRONG^NAME");
    let house = House::with(&[&sample]).await;
    let to = |values: &str| {
        format!(
            r#"{{"kind":"move-study","study":"{}","to":{{"issuer":"H","id":"9"}}{values}}}"#,
            sample.study()
        )
    };
    assert!(house.act(&to("")).await.is_err_and(|error| error.kind == ErrorKind::NotFound));
    let number = house.done(&to(r#","values":{"PatientName":"Trần^Thị Bình"}"#)).await;
    let house = house.reindexed().await;
    assert_eq!(house.texts(Level::Patient, tags::PATIENT_ID).await, ["9"]);
    assert_eq!(house.value(&sample, tags::PATIENT_NAME).await, "Trần^Thị Bình");
    assert_eq!(house.value(&sample, tags::ISSUER_OF_PATIENT_ID).await, "H");
    // The patient comes by themselves in the meantime: what is told of them stays what was told.
    let own = ct().patient_id("9").with(tags::ISSUER_OF_PATIENT_ID, VR::LO, "H").name("TRAN^BINH").with(
        tags::PATIENT_BIRTH_DATE,
        VR::DA,
        "19700101",
    );
    house.store(&own).await;
    let house = house.reindexed().await;
    assert_eq!(house.value(&own, tags::PATIENT_NAME).await, "Trần^Thị Bình");
    assert_eq!(house.value(&sample, tags::PATIENT_BIRTH_DATE).await, "19700101");
    house.done(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await;
    let house = house.reindexed().await;
    assert_eq!(house.value(&sample, tags::PATIENT_NAME).await, "WRONG^NAME");
}

#[tokio::test]
async fn a_data_set_that_was_kept_aside_can_be_shown_instead_and_put_back() {
    let first = ct().name("FIRST^NAME");
    let second = first.clone().name("SECOND^NAME").size(32, 32);
    let house = House::with(&[&first, &second]).await;
    let aside = house.session.kept_aside(10).await.unwrap();
    assert!(aside.len() == 1 && aside[0].can_be_shown && aside[0].instance == first.sop_instance());
    let promote = format!(
        r#"{{"kind":"promote","instance":"{}","digest":"{}"}}"#,
        first.sop_instance(),
        aside[0].digest
    );
    let number = house.done(&promote).await;
    let house = house.reindexed().await;
    assert_eq!(house.value(&first, tags::PATIENT_NAME).await, "SECOND^NAME");
    assert_eq!(house.told(&first).await.1.int(tags::ROWS), Some(32));
    assert_eq!(house.session.kept_aside(10).await.unwrap().len(), 1);
    house.done(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await;
    let house = house.reindexed().await;
    assert_eq!(house.value(&first, tags::PATIENT_NAME).await, "FIRST^NAME");
    house.done(&promote.replace("promote", "discard")).await;
    let house = house.reindexed().await;
    assert!(house.session.kept_aside(10).await.unwrap().is_empty());
    assert_eq!(house.value(&first, tags::PATIENT_NAME).await, "FIRST^NAME");
}

#[tokio::test]
async fn the_same_uid_in_another_study_is_never_shown_there() {
    let first = ct();
    let other = first.clone().with(tags::STUDY_INSTANCE_UID, VR::UI, &dicom_store::fixture::uid());
    let house = House::with(&[&first, &other]).await;
    let aside = house.session.kept_aside(10).await.unwrap().remove(0);
    assert!(!aside.can_be_shown && aside.study == other.study());
    let order =
        format!(r#"{{"kind":"promote","instance":"{}","digest":"{}"}}"#, first.sop_instance(), aside.digest);
    assert!(house.act(&order).await.is_err_and(|error| error.kind == ErrorKind::Conflict));
    let audit = house.session.audit(None, 10).await.unwrap();
    assert!(audit.iter().any(|(_, row)| row.action == "store" && row.outcome.contains(&aside.digest)));
}

#[tokio::test]
async fn a_study_that_is_only_kept_aside_can_be_destroyed_and_may_come_again() {
    let first = ct();
    let other = first.clone().with(tags::STUDY_INSTANCE_UID, VR::UI, &dicom_store::fixture::uid()).with(
        tags::STUDY_DESCRIPTION,
        VR::LO,
        "of somebody else",
    );
    let house = House::with(&[&first, &other]).await;
    let order = format!(r#"{{"kind":"destroy","of":{{"study":"{}"}}}}"#, other.study());
    let number = house.done(&order).await;
    assert!(house.session.kept_aside(10).await.unwrap().is_empty());
    for pack in std::fs::read_dir(house.folder.path().join("objects/packs")).unwrap() {
        let bytes = std::fs::read(pack.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|window| window == b"of somebody else"));
    }
    assert!(house.is_there(&first).await);
    assert!(house.act(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await.is_err());
    assert!(house.act(&order).await.is_err_and(|error| error.kind == ErrorKind::NotFound));
    let house = house.reindexed().await;
    assert!(house.is_there(&first).await && house.session.kept_aside(10).await.unwrap().is_empty());
    house.store(&other).await;
    assert_eq!(house.session.kept_aside(10).await.unwrap().len(), 1, "a newcomer is kept");
    house.archive.upkeep().tidy().await.unwrap();
    assert_eq!(house.reindexed().await.session.kept_aside(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_may_not_is_refused_and_that_is_written_down() {
    let sample = ct();
    let house = House::with(&[&sample]).await;
    let nobody = Caller::Web { subject: Subject::Anonymous, address: None };
    let order: Order = serde_json::from_str(&delete(&of(&sample))).unwrap();
    let error = house.archive.acting_as(nobody).act(&order, "").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(house.is_there(&sample).await);
    let audit = house.session.audit(None, 10).await.unwrap();
    assert_eq!((audit[0].1.actor.as_str(), audit[0].1.action.as_str()), ("nobody", "delete"));
}

#[tokio::test]
async fn a_disk_that_is_full_for_images_takes_what_frees_it() {
    let (first, second) = (ct(), ct().patient_id("7"));
    let House { archive, folder, .. } = House::with(&[&first, &second]).await;
    archive.close().await;
    let full = Config { reserve_mib: 1 << 40, ..config(&folder) };
    let archive = Archive::open(&full).await.unwrap();
    let house = House { session: system(&archive), archive, folder };
    assert_eq!(store(&house.session, &ct()).await.unwrap_err().kind, ErrorKind::Exhausted);
    let number = house.done(&delete(&of(&first))).await;
    house.done(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await;
    house.done(r#"{"kind":"correct-patient","patient":{"id":"7"},"values":{"PatientName":"LE^C"}}"#).await;
    house.done(&format!(r#"{{"kind":"destroy","of":{}}}"#, of(&first))).await;
    for pack in std::fs::read_dir(house.folder.path().join("objects/packs")).unwrap() {
        let (bytes, data) = (std::fs::read(pack.unwrap().path()).unwrap(), first.data_set());
        assert!(!bytes.windows(data.len()).any(|window| window == data));
    }
    assert_eq!(store(&house.session, &ct()).await.unwrap_err().kind, ErrorKind::Exhausted, "and no images");
    let house = house.reindexed().await;
    assert_eq!(house.texts(Level::Study, tags::PATIENT_NAME).await, ["LE^C"]);
}

#[tokio::test]
async fn a_destruction_needs_a_reason_and_is_for_good() {
    let sample = ct();
    let house = House::with(&[&sample]).await;
    let order: Order =
        serde_json::from_str(&format!(r#"{{"kind":"destroy","of":{}}}"#, of(&sample))).unwrap();
    assert!(house.session.act(&order, " ").await.is_err_and(|error| error.kind == ErrorKind::Invalid));
    let number = house.session.act(&order, "court order").await.unwrap()[0].number;
    assert!(!house.is_there(&sample).await);
    assert!(house.act(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await.is_err());
    let uid = sample.sop_instance();
    for pack in std::fs::read_dir(house.folder.path().join("objects/packs")).unwrap() {
        let bytes = std::fs::read(pack.unwrap().path()).unwrap();
        let data = sample.data_set();
        assert!(!bytes.windows(data.len()).any(|window| window == data), "{uid} is still in a pack");
    }
    assert!(matches!(store(&house.session, &sample).await.unwrap(), Stored::New(_)));
    assert!(house.is_there(&sample).await, "a newcomer is new");
    assert!(house.reindexed().await.is_there(&sample).await);
}

#[tokio::test]
async fn two_studies_of_a_new_patient_at_once_are_of_one() {
    let samples: Vec<_> = (0..8).map(|_| ct().patient_id("ONE")).collect();
    let house = House::new().await;
    futures_util::future::join_all(samples.iter().map(|sample| house.store(sample))).await;
    assert_eq!(house.texts(Level::Patient, tags::NUMBER_OF_PATIENT_RELATED_STUDIES).await, ["8"]);
}

async fn with_policy(on_conflict: OnConflict) -> House {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(&Config { on_conflict, ..config(&folder) }).await.unwrap();
    House { session: system(&archive), archive, folder }
}

#[tokio::test]
async fn another_data_set_replaces_or_is_refused_where_the_settings_say_so() {
    let first = ct().name("FIRST^NAME");
    let second = first.clone().name("SECOND^NAME");
    let elsewhere = second.clone().with(tags::STUDY_INSTANCE_UID, VR::UI, &dicom_store::fixture::uid());
    let house = with_policy(OnConflict::Replace).await;
    house.store(&first).await;
    for (sample, shown) in [(&second, true), (&elsewhere, false)] {
        let stored = store(&house.session, sample).await.unwrap();
        assert!(matches!(stored, Stored::Conflict { is_replaced, .. } if is_replaced == shown), "{stored:?}");
    }
    let house = house.reindexed().await;
    assert_eq!(house.value(&first, tags::PATIENT_NAME).await, "SECOND^NAME");
    assert_eq!(house.session.kept_aside(10).await.unwrap().len(), 2);
    let house = with_policy(OnConflict::Reject).await;
    house.store(&first).await;
    let error = store(&house.session, &second).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(house.session.kept_aside(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_study_stays_whose_it_was_first_and_the_audit_says_that_an_instance_differs() {
    let first = ct().patient_id("A");
    let second = first.next(2).patient_id("B");
    let house = House::with(&[&first, &second, &second.next(3)]).await;
    assert_eq!(house.texts(Level::Patient, tags::PATIENT_ID).await, ["A"]);
    let audit = house.session.audit(None, 10).await.unwrap();
    let told: Vec<_> = audit.iter().filter(|(_, row)| row.outcome.contains("another patient")).collect();
    assert!(told.len() == 1 && told[0].1.what.contains(second.sop_instance().as_str()), "{audit:?}");
}

#[tokio::test]
async fn a_study_is_called_what_the_first_of_its_instances_says_that_is_shown() {
    let wrong = ct().patient_id("7").name("WRONG^NAME").with(tags::ACCESSION_NUMBER, VR::SH, "BAD");
    // The other series of one study come between the instances of the first.
    let right =
        wrong.next_series(2).patient_id("8").name("RIGHT^NAME").with(tags::ACCESSION_NUMBER, VR::SH, "GOOD");
    let late = wrong.next(3).name("LATE^NAME");
    let mut house = House::with(&[&wrong, &right, &late]).await;
    let note = key_object("113001", &[&wrong]);
    let what = async |house: &House| {
        let study = house.study(&wrong).await;
        [tags::PATIENT_NAME, tags::PATIENT_ID, tags::ACCESSION_NUMBER].map(|tag| study.text(tag).unwrap())
    };
    let number = house.done(&delete(&of_instance(&wrong))).await;
    for _ in 0..2 {
        assert_eq!(what(&house).await, ["RIGHT^NAME", "8", "GOOD"]);
        assert_eq!(house.texts(Level::Patient, tags::PATIENT_ID).await, ["8"]);
        assert!(house.rows(Level::Study, &[(tags::PATIENT_NAME, VR::PN, "wrong")]).await.is_empty());
        house = house.reindexed().await;
    }
    house.done(&format!(r#"{{"kind":"undo","number":{number}}}"#)).await;
    for _ in 0..2 {
        assert_eq!(what(&house).await, ["WRONG^NAME", "7", "BAD"]);
        house = house.reindexed().await;
    }
    house.store(&note).await;
    for _ in 0..2 {
        assert_eq!(what(&house).await, ["RIGHT^NAME", "8", "GOOD"]);
        house = house.reindexed().await;
    }
}

#[tokio::test]
async fn an_index_made_anew_from_rewritten_packs_tells_the_same() {
    let house = House::new().await;
    let (other, first) = (ct(), ct().with(tags::STUDY_DESCRIPTION, VR::LO, "first"));
    let first = first.with(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.999.2");
    // Of the same study; its series would be the first by its UID.
    let second = first.next(2).with(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.999.1");
    let second = second.with(tags::STUDY_DESCRIPTION, VR::LO, "second");
    for sample in [&other, &first, &second] {
        house.store(sample).await;
    }
    house.archive.upkeep().destroy(&[other.sop_instance()]).await.unwrap();
    assert_eq!(house.texts(Level::Study, tags::STUDY_DESCRIPTION).await, ["first"]);
    assert_eq!(house.reindexed().await.texts(Level::Study, tags::STUDY_DESCRIPTION).await, ["first"]);
}
