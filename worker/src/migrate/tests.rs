use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::{Attributes, VR};
use dicom_store::{Archive, Order as Act, Part};
use futures_util::FutureExt;

use super::*;
use crate::remote::Found;
use crate::remote::fake::FakeRemotes;

#[test]
fn what_lacks_is_told() {
    let counts =
        Counts { studies: 3, complete: 2, known: 1, expected: 40, here: 37, missing: 3, ..Counts::default() };
    assert_eq!(
        counts.to_string(),
        "2 of 3 studies complete (1 of them before), 37 of 40 instances here, 3 missing"
    );
    assert!(!counts.is_complete());
    let deleted = Counts { deleted: 2, ..counts }.to_string();
    assert!(deleted.ends_with("3 missing, 2 deleted here since they came"), "{deleted}");
    assert!(Counts { complete: 3, ..counts }.is_complete());
    assert!(!Counts { complete: 3, unanswered: 1, ..counts }.is_complete());
}

#[test]
fn an_order_names_real_dates_the_first_one_first() {
    let day = |day| NaiveDate::from_ymd_opt(2024, 2, day);
    assert_eq!(dates(Some("20240228"), Some("20240229")).unwrap(), (day(28), day(29)));
    assert_eq!(dates(None, Some("20240229")).unwrap(), (None, day(29)));
    let refused = |since, until| dates(since, until).unwrap_err().to_string();
    assert!(refused(Some("20251399"), None).contains("\"20251399\" is no date of the form YYYYMMDD"));
    for wrong in ["20230229", "2024022", "2024-2-9", "+2024229", "yesterday"] {
        assert!(refused(None, Some(wrong)).contains("is no date"), "{wrong}");
    }
    let turned = refused(Some("20250101"), Some("20240101"));
    assert!(turned.contains("since 20250101 is later than until 20240101"), "{turned}");
}

/// An old archive of one study, and what came of it here.
struct Scene {
    archive: Archive,
    session: Session,
    remotes: FakeRemotes,
    study: StudyInstanceUid,
    fetched: Arc<AtomicU32>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn with(samples: Vec<Sample>) -> Self {
        let (archive, folder) = fixture::archive().await;
        let (session, study) = (fixture::system(&archive), samples[0].study());
        let (count, fetched) = (samples.len(), Arc::new(AtomicU32::new(0)));
        let mut row = Attributes::new();
        row.put_text(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str());
        row.put_text(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS, &count.to_string());
        let search = move |_: &Attributes| Ok(Found { rows: vec![row.clone()], is_all: true });
        let (to, times, samples) = (session.clone(), Arc::clone(&fetched), Arc::new(Mutex::new(samples)));
        let fetch = move |_: &StudyInstanceUid| {
            times.fetch_add(1, Ordering::SeqCst);
            let (to, samples) = (to.clone(), samples.lock().unwrap().clone());
            async move {
                for sample in &samples {
                    fixture::store(&to, sample).await.unwrap();
                }
                let count = samples.len() as u64;
                Ok(Fetched { expected: Some(count), here: count, missing: Vec::new() })
            }
            .boxed()
        };
        let remotes =
            FakeRemotes { search: Box::new(search), fetch: Box::new(fetch), ..FakeRemotes::default() };
        Self { archive, session, remotes, study, fetched, _folder: folder }
    }

    async fn run(&self) -> (Counts, Migrated) {
        let (stop, work) = (CancellationToken::new(), self.archive.work());
        let order = Order {
            peer: "OLDPACS".parse().unwrap(),
            since: None,
            until: None,
            at_a_time: 1,
            bytes_a_second: None,
        };
        let (remotes, session) = (&self.remotes, &self.session);
        let migration = Migration { order, remotes, session, work: &work, stop: &stop };
        let told = Mutex::new(None);
        let counts =
            migration.run(|migrated, _| *told.lock().unwrap() = Some(migrated.clone())).await.unwrap();
        (counts, told.into_inner().unwrap().unwrap())
    }
}

#[tokio::test]
async fn what_was_deleted_here_since_is_told_and_not_brought_again() {
    let first = ct();
    let scene = Scene::with(vec![first.clone(), first.next(2)]).await;
    let (counts, migrated) = scene.run().await;
    assert_eq!((counts.complete, counts.known, counts.here, migrated.deleted), (1, 0, 2, 0));
    assert!(migrated.came.is_some_and(|came| came.until.is_some()), "{migrated:?}");
    let (counts, _) = scene.run().await;
    assert_eq!((counts.known, counts.here, counts.deleted), (1, 2, 0));

    let instances = scene.session.instances(&Resource::Study(scene.study.clone())).await.unwrap();
    let (series, instance) = (Some(instances[0].series.clone()), Some(instances[0].sop_instance.clone()));
    let of = Part { study: scene.study.clone(), series, instance };
    scene.session.act(&Act::Delete { of }, "not of this patient").await.unwrap();
    for _ in 0..2 {
        let (counts, migrated) = scene.run().await;
        assert_eq!((counts.here, counts.deleted, counts.missing), (1, 1, 0));
        assert!(counts.is_complete() && migrated.deleted == 1, "{migrated:?}");
    }
    assert_eq!(scene.fetched.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_lost_here_is_brought_again_whatever_was_noted() {
    let scene = Scene::with(vec![ct()]).await;
    let noted = Migrated {
        study: scene.study.clone(),
        expected: Some(1),
        here: 1,
        missing: Vec::new(),
        digest: "as it was".to_owned(),
        error: None,
        deleted: 0,
        came: None,
    };
    let entry = Entry::new(MIGRATION, format!("{} OLDPACS", scene.study), to_json(&noted).unwrap());
    scene.archive.work().register(&[entry]).await.unwrap();
    let (counts, migrated) = scene.run().await;
    assert_eq!((counts.known, counts.complete, counts.here), (0, 1, 1));
    assert_ne!(migrated.digest, noted.digest);
}
