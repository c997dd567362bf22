//! What every index has to do, whatever it is made of: run over each back end by its tests.
//!
//! Each function takes an index that is empty.

mod acts;
mod jobs;
mod packs;
mod people;
mod register;
mod said;
mod search;
mod texts;

use std::time::Duration;

use dicom::dictionary_std::tags;

use super::{Index, Known, Mark, NewInstance, OPEN, Outcome};
use crate::fixture::{Sample, ct};
use crate::ingest::Reading;
use crate::ledger::Act;
use crate::model::{FileMeta, Level, Location, PackId, Resource, Tag, VR};
use crate::query::{Key, Page, Query};
use crate::queue::{Lease, NewJob, Priority, QueueDepth, Wanted};
use crate::{ChangeKind, Cursor, Error, ErrorKind, Result};

pub use acts::*;
pub use jobs::*;
pub use packs::{
    counts_anew_what_was_healed, hides_what_is_damaged_until_it_comes_again,
    never_gives_the_number_of_the_last_pack_again, puts_one_pack_in_the_place_of_others,
    says_what_is_to_leave_the_packs, says_where_copies_lie_that_nothing_refers_to,
    says_which_data_sets_aside_are_to_leave_the_packs, tells_nothing_of_what_was_destroyed,
    tells_nothing_of_whoever_was_destroyed, tells_what_is_damaged_until_it_reads_right_again,
};
pub use people::*;
pub use register::*;
pub use said::*;
pub use search::*;
pub use texts::*;

/// Runs each test over an index made for it: `index_conformance!(make)` where `make` gives an `Arc<dyn Index>` and
/// whatever has to live as long. `index_conformance!(in_one_test, make)` is for a back end that takes its time to
/// start in every process that a test runner makes.
#[macro_export]
macro_rules! index_conformance {
    ($make:path) => { $crate::index_conformance!(@list each, $make); };
    (in_one_test, $make:path) => { $crate::index_conformance!(@list one, $make); };
    (@list $how:ident, $make:path) => {
        $crate::index_conformance!(@$how $make:
            counts_what_was_committed, takes_values_of_any_length, commits_all_of_a_group_or_nothing, remembers_how_far_it_has_come,
            knows_an_instance_by_its_digest, takes_what_is_read_again_once, keeps_another_data_set_that_is_read_again_aside, finds_by_every_kind_of_matching,
            puts_names_with_the_marks_that_were_typed_first, finds_by_what_only_the_instances_tell, compares_numbers_in_text_by_what_they_mean,
            says_when_a_search_ends_before_all_was_looked_at, pages_series_and_instances_without_gap,
            finds_all_that_matches_and_nothing_else, finds_what_has_no_value_by_any_where_that_is_wanted, tells_where_a_count_and_a_search_end_before_all_was_looked_at,
            gives_each_patient_of_a_name_once, pages_without_gap_or_repetition, finds_names_however_they_are_typed, gives_headers_in_pages,
            describes_an_instance_at_the_end_of_its_path_alone,
            keeps_patients_of_two_issuers_apart, keeps_one_series_uid_in_two_studies_apart, feeds_changes_in_order,
            hands_out_each_job_once, keeps_one_waiting_job_for_a_key, parks_what_cannot_be_done,
            hands_out_first_what_somebody_waits_for, tells_how_far_a_job_is, cancels_jobs_and_runs_parked_ones_again,
            follows_acts_that_come_after_the_instances, follows_acts_that_come_before_the_instances,
            takes_an_act_once_in_whatever_order, swaps_data_sets_under_one_uid_and_back,
            puts_one_pack_in_the_place_of_others, never_gives_the_number_of_the_last_pack_again,
            hides_what_is_damaged_until_it_comes_again, tells_what_is_damaged_until_it_reads_right_again, counts_anew_what_was_healed, tells_nothing_of_what_was_destroyed,
            tells_nothing_of_whoever_was_destroyed, says_what_is_to_leave_the_packs, says_where_copies_lie_that_nothing_refers_to, says_which_data_sets_aside_are_to_leave_the_packs, tells_of_acts,
            tells_each_study_with_the_person_that_it_came_with, finds_a_patient_by_each_name_and_tells_them_once,
            takes_names_that_differ_in_form_for_one_person, corrects_whatever_a_study_says_of_its_patient,
            tells_a_study_by_the_first_instance_that_is_shown, tells_a_study_by_the_first_instance_that_is_whole, tells_a_study_that_came_after_its_acts_by_what_is_shown,
            gives_a_study_to_the_patient_of_the_first_instance_that_is_shown, tells_no_study_of_a_patient_by_what_is_hidden_of_another,
            puts_corrections_over_whatever_instance_speaks, tells_what_came_in_one_second_by_its_uids_in_whatever_order,
            tells_by_what_comes_behind_others_and_is_before_them,
            counts_how_text_is_read, counts_text_as_it_is_hidden_and_shown,
            counts_the_text_of_whichever_data_set_is_shown, belongs_to_one_archive, registers_by_kind_and_name, registers_over_what_was_read_and_nothing_else,
            commits_what_the_gate_lets_through, finds_a_study_once_that_was_corrected_before_it_came);
    };
    (@each $make:path: $($test:ident),+) => {
        $(
            #[tokio::test]
            async fn $test() {
                let (index, _keep) = $make().await;
                $crate::index::conformance::$test(&*index).await;
            }
        )+
    };
    (@one $make:path: $($test:ident),+) => {
        #[tokio::test]
        async fn passes_the_suite_of_all_back_ends() {
            $(
                let (index, _keep) = $make().await;
                println!(stringify!($test));
                $crate::index::conformance::$test(&*index).await;
                index.close().await;
            )+
        }
    };
}

/// When everything came, in seconds since 1970.
const RECEIVED: u64 = 1_767_225_600;

pub(crate) fn new(sample: &Sample, at: u64) -> NewInstance {
    let file = sample.file();
    let meta = FileMeta::read(&file, true).unwrap().unwrap();
    let reading = Reading::of_file(&mut file.as_slice(), &meta).unwrap();
    let digest = *blake3::hash(&sample.data_set()).as_bytes();
    let mut new = reading.into_new(digest, RECEIVED).unwrap();
    new.location = Location { pack: PackId(1), offset: at, length: file.len() as u64 };
    new
}

async fn commit(index: &dyn Index, samples: &[Sample]) -> Cursor {
    let group: Vec<_> = samples.iter().zip(1..).map(|(sample, n)| new(sample, n * 1024)).collect();
    index.commit(&group, &[Mark { pack: PackId(1), offset: 1 << 20 }], OPEN).await.unwrap().cursor
}

async fn known(index: &dyn Index, sample: &Sample) -> Option<Known> {
    index.known(&[&sample.sop_instance()]).await.unwrap().pop()
}

async fn find(index: &dyn Index, level: Level, keys: &[(Tag, VR, &str)], returned: Tag) -> Vec<String> {
    let mut query = Query { with_patient_counts: true, ..Query::new(level) };
    query.keys = keys.iter().map(|(tag, vr, value)| Key::parse(&[*tag], *vr, value).unwrap()).collect();
    values(index, &query, returned).await
}

async fn values(index: &dyn Index, query: &Query, returned: Tag) -> Vec<String> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = index.search(query, after.as_ref()).await.unwrap();
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    rows.iter().map(|row| row.attributes.texts(returned).join("\\")).collect()
}

pub async fn counts_what_was_committed(index: &dyn Index) {
    let first = ct();
    let second = first.next_series(2).with(tags::MODALITY, VR::CS, "SR");
    commit(index, &[first.clone(), first.next(2), second]).await;
    for (tag, expected) in [
        (tags::NUMBER_OF_STUDY_RELATED_SERIES, "2"),
        (tags::NUMBER_OF_STUDY_RELATED_INSTANCES, "3"),
        (tags::MODALITIES_IN_STUDY, "CT\\SR"),
        (tags::NUMBER_OF_PATIENT_RELATED_STUDIES, "1"),
    ] {
        assert_eq!(find(index, Level::Study, &[], tag).await, [expected], "{tag}");
    }
    let counts = find(index, Level::Series, &[], tags::NUMBER_OF_SERIES_RELATED_INSTANCES).await;
    assert_eq!(counts, ["2", "1"]);
}

pub async fn takes_values_of_any_length(index: &dyn Index) {
    // What cannot be compressed: the pages of an index hold some kilobytes.
    let long: String = (0..100).map(|n: u32| blake3::hash(&n.to_le_bytes()).to_hex().to_string()).collect();
    let sample = ct().patient_id(&long).name(&long).with(tags::ACCESSION_NUMBER, VR::SH, &long);
    commit(index, &[sample.with(tags::ISSUER_OF_PATIENT_ID, VR::LO, &long)]).await;
    assert_eq!(find(index, Level::Study, &[], tags::PATIENT_ID).await, [long]);
}

pub async fn commits_all_of_a_group_or_nothing(index: &dyn Index) {
    let taken = ct();
    commit(index, std::slice::from_ref(&taken)).await;
    let fresh = ct();
    let mut too_long = new(&ct(), 4096);
    too_long.location.length = u64::MAX;
    let group = [new(&fresh, 0), too_long];
    assert!(index.commit(&group, &[Mark { pack: PackId(9), offset: 1 }], OPEN).await.is_err());
    assert!(known(index, &fresh).await.is_none());
    assert!(index.marks().await.unwrap().iter().all(|mark| mark.pack != PackId(9)));
    commit(index, &[fresh]).await;
    assert_eq!(find(index, Level::Study, &[], tags::STUDY_INSTANCE_UID).await.len(), 2);
}

pub async fn commits_what_the_gate_lets_through(index: &dyn Index) {
    let sample = ct();
    let (group, mark) = ([new(&sample, 1024)], Mark { pack: PackId(1), offset: 1 << 20 });
    let shut = || Err(Error::new(ErrorKind::Exhausted, "the disk is full"));
    let refused = index.commit(&group, &[mark], &shut).await.unwrap_err();
    assert_eq!((refused.kind, refused.what.as_str()), (ErrorKind::Exhausted, "the disk is full"));
    assert!(known(index, &sample).await.is_none());
    assert!(index.marks().await.unwrap().is_empty());
    let committed = index.commit(&group, &[mark], OPEN).await.unwrap();
    assert_eq!(committed.outcomes, [Outcome::New]);
    assert_eq!(find(index, Level::Study, &[], tags::NUMBER_OF_STUDY_RELATED_INSTANCES).await, ["1"]);
}

pub async fn belongs_to_one_archive(index: &dyn Index) {
    index.belongs_to("one").await.unwrap();
    index.belongs_to("one").await.unwrap();
    let refused = index.belongs_to("other").await.unwrap_err();
    assert!(refused.kind == ErrorKind::Conflict && refused.what.contains("another archive"), "{refused}");
}

pub async fn remembers_how_far_it_has_come(index: &dyn Index) {
    commit(index, &[ct()]).await;
    index.commit(&[], &[Mark { pack: PackId(2), offset: 7 }], OPEN).await.unwrap();
    let marks = index.marks().await.unwrap();
    assert_eq!(marks, [Mark { pack: PackId(1), offset: 1 << 20 }, Mark { pack: PackId(2), offset: 7 }]);
}

pub async fn knows_an_instance_by_its_digest(index: &dyn Index) {
    let sample = ct();
    commit(index, std::slice::from_ref(&sample)).await;
    let mut conflict = new(&sample, 8192);
    conflict.is_conflict = true;
    conflict.digest = [7; 32];
    index.commit(&[conflict], &[], OPEN).await.unwrap();
    let known = known(index, &sample).await.unwrap();
    assert_eq!(known.digest, *blake3::hash(&sample.data_set()).as_bytes());
    assert_eq!((known.conflicts, known.instance.location.offset), (vec![[7; 32]], 1024));
    assert_eq!(index.instances(&Resource::Study(sample.study())).await.unwrap().len(), 1);
}

pub async fn takes_what_is_read_again_once(index: &dyn Index) {
    let samples = [ct(), ct()];
    commit(index, &samples[..1]).await;
    let group: Vec<_> = samples.iter().map(|sample| new(sample, 1024)).collect();
    for _ in 0..2 {
        index.commit(&group, &[Mark { pack: PackId(1), offset: 2 << 20 }], OPEN).await.unwrap();
    }
    assert_eq!(find(index, Level::Instance, &[], tags::SOP_INSTANCE_UID).await.len(), 2);
    assert_eq!(index.marks().await.unwrap(), [Mark { pack: PackId(1), offset: 2 << 20 }]);
}

pub async fn keeps_another_data_set_that_is_read_again_aside(index: &dyn Index) {
    let first = ct();
    let second = first.clone().name("OTHER^NAME");
    let group = [new(&first, 1024), new(&second, 4096)];
    let mark = Mark { pack: PackId(1), offset: 1 << 20 };
    for _ in 0..2 {
        index.commit(&group, &[mark], OPEN).await.unwrap();
        index.commit(&group[1..], &[mark], OPEN).await.unwrap();
    }
    let known = known(index, &first).await.unwrap();
    assert_eq!((known.digest, known.conflicts), (group[0].digest, vec![group[1].digest]));
}

pub async fn finds_by_every_kind_of_matching(index: &dyn Index) {
    let study = |accession: &str, date: &str| {
        ct().with(tags::ACCESSION_NUMBER, VR::SH, accession).with(tags::STUDY_DATE, VR::DA, date)
    };
    let samples = [study("A_1", "20260101"), study("A%1", "20260102"), study("", "20260103")];
    commit(index, &samples).await;
    let uid = |n: usize| samples[n].study().to_string();
    let both = format!("{}\\{}", uid(0), uid(2));
    for (tag, vr, value, expected) in [
        (tags::ACCESSION_NUMBER, VR::SH, "A_1", &[0][..]),
        (tags::ACCESSION_NUMBER, VR::SH, "A?1", &[1, 0]),
        (tags::ACCESSION_NUMBER, VR::SH, "*", &[2, 1, 0]),
        (tags::ACCESSION_NUMBER, VR::SH, "\"\"", &[2]),
        (tags::STUDY_DATE, VR::DA, "20260102-", &[2, 1]),
        (tags::STUDY_DATE, VR::DA, "-20260101", &[0]),
        (tags::STUDY_INSTANCE_UID, VR::UI, both.as_str(), &[2, 0]),
        (tags::MODALITIES_IN_STUDY, VR::CS, "MR\\CT", &[2, 1, 0]),
        (tags::MODALITIES_IN_STUDY, VR::CS, "C", &[]),
        (tags::PATIENT_ID, VR::LO, "' OR '1'='1", &[]),
    ] {
        let expected: Vec<String> = expected.iter().map(|n| uid(*n)).collect();
        assert_eq!(
            find(index, Level::Study, &[(tag, vr, value)], tags::STUDY_INSTANCE_UID).await,
            expected,
            "{value}"
        );
    }
}

pub async fn pages_without_gap_or_repetition(index: &dyn Index) {
    let samples: Vec<_> = (0..23).map(|_| ct()).collect();
    commit(index, &samples).await;
    for key in [None, Some(Key::parse(&[tags::PATIENT_NAME], VR::PN, "nguyen*").unwrap())] {
        let mut query = Query::new(Level::Study);
        query.keys.extend(key);
        let all = values(index, &query, tags::STUDY_INSTANCE_UID).await;
        query.page.limit = Some(5);
        let mut paged = Vec::new();
        for offset in (0..30).step_by(5) {
            query.page.offset = offset;
            let count = index.count(&query).await.unwrap().found;
            let page = values(index, &query, tags::STUDY_INSTANCE_UID).await;
            assert_eq!(page.len() as u64, count);
            paged.extend(page);
        }
        query.page = Page::default();
        assert_eq!((all.len(), index.count(&query).await.unwrap().found), (23, 23));
        assert_eq!(paged, all);
    }
}

pub async fn finds_names_however_they_are_typed(index: &dyn Index) {
    let names = ["Nguyễn^Thị Đào", "Yamada^Tarou=山田^太郎", "DOE^JOHN^^"];
    let samples: Vec<_> =
        names.iter().zip(["1", "2", "3"]).map(|(name, id)| ct().name(name).patient_id(id)).collect();
    commit(index, &samples).await;
    for (typed, expected) in [
        ("nguyen*", Some(0)),
        ("*thi dao", Some(0)),
        ("NGUYỄN^THỊ ĐÀO", Some(0)),
        ("山田*", Some(1)),
        ("=山田^太郎", Some(1)),
        ("doe^john", Some(2)),
        ("DOE^JOHN^*", Some(2)),
        ("nguyen", Some(0)),
        ("dao nguyen", Some(0)),
        ("Đào^Nguyễn", Some(0)),
        ("yamada 太郎", Some(1)),
        ("?oe^j*", Some(2)),
        ("*oh?", Some(2)),
        ("nguye^dao", None),
        ("guyen", None),
    ] {
        let expected: Vec<String> =
            expected.iter().map(|n: &usize| samples[*n].study().to_string()).collect();
        let key = [(tags::PATIENT_NAME, VR::PN, typed)];
        assert_eq!(find(index, Level::Study, &key, tags::STUDY_INSTANCE_UID).await, expected, "{typed}");
    }
}

pub async fn gives_headers_in_pages(index: &dyn Index) {
    let first = ct();
    let mut samples: Vec<_> = (1..8).map(|number| first.next(number)).collect();
    samples.push(first.next_series(2));
    commit(index, &samples).await;
    let of = Resource::Study(first.study());
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = index.headers(&of, after, 3).await.unwrap();
        assert!(page.len() <= 3);
        found.extend(page.into_iter().map(|(instance, _)| instance));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, index.instances(&of).await.unwrap());
    assert_eq!(found.len(), 8);
}

pub async fn describes_an_instance_at_the_end_of_its_path_alone(index: &dyn Index) {
    let samples = [ct(), ct().name("OTHER^PATIENT")];
    commit(index, &samples).await;
    for sample in &samples {
        let described = index.described(&path(sample)).await.unwrap().unwrap();
        assert_eq!(index.instances(&path(sample)).await.unwrap(), std::slice::from_ref(&described.instance));
        let (header, frames) = index.header(&sample.sop_instance()).await.unwrap().unwrap();
        assert_eq!((described.header().unwrap(), described.frames.clone()), (header, frames));
    }
    let Resource::Instance(study, ..) = path(&samples[0]) else { unreachable!("an instance") };
    let Resource::Instance(_, series, instance) = path(&samples[1]) else { unreachable!("an instance") };
    for other in [Resource::Instance(study.clone(), series, instance), Resource::Study(study)] {
        assert!(index.described(&other).await.unwrap().is_none(), "{other}");
    }
    let hidden = Act::Delete { instances: vec![samples[0].sop_instance()] };
    index.act(&entry(1, hidden)).await.unwrap();
    assert!(index.described(&path(&samples[0])).await.unwrap().is_none());
}

fn path(sample: &Sample) -> Resource {
    let series = crate::model::SeriesInstanceUid::parse(&sample.uid(tags::SERIES_INSTANCE_UID)).unwrap();
    Resource::Instance(sample.study(), series, sample.sop_instance())
}

pub async fn keeps_patients_of_two_issuers_apart(index: &dyn Index) {
    let from = |issuer| ct().patient_id("7").with(tags::ISSUER_OF_PATIENT_ID, VR::LO, issuer);
    let samples = [from("A"), from("B"), ct().patient_id(""), ct().patient_id("")];
    commit(index, &samples).await;
    assert_eq!(find(index, Level::Patient, &[], tags::PATIENT_ID).await.len(), 4);
    let counts = find(index, Level::Patient, &[], tags::NUMBER_OF_PATIENT_RELATED_INSTANCES).await;
    assert_eq!(counts, ["1", "1", "1", "1"]);
    let of = |issuer: Option<&str>| Resource::Patient { id: "7".into(), issuer: issuer.map(str::to_owned) };
    let refused = [
        index.instances(&of(None)).await.unwrap_err(),
        index.headers(&of(None), None, 10).await.unwrap_err(),
        index.hidden(Some(&of(None)), 10).await.unwrap_err(),
    ];
    for error in refused {
        assert!(error.kind == ErrorKind::Conflict && error.what.starts_with("2 patients"), "{error}");
    }
    let found = index.instances(&of(Some("B"))).await.unwrap();
    assert_eq!((found.len(), &found[0].study), (1, &samples[1].study()));
    assert_eq!(index.headers(&of(Some("A")), None, 10).await.unwrap().0.len(), 1);
    assert!(index.instances(&of(Some("C"))).await.unwrap().is_empty());
    // Of whom nothing is shown is not in the way.
    let delete = Act::Delete { instances: vec![samples[0].sop_instance()] };
    index.act(&entry(1, delete)).await.unwrap();
    assert_eq!(index.instances(&of(None)).await.unwrap(), found);
    assert_eq!(index.hidden(Some(&of(Some("A"))), 10).await.unwrap().len(), 1);
    assert!(index.hidden(Some(&of(Some("B"))), 10).await.unwrap().is_empty());
}

pub async fn keeps_one_series_uid_in_two_studies_apart(index: &dyn Index) {
    let (first, second) = (ct(), ct());
    let series = first.uid(tags::SERIES_INSTANCE_UID);
    commit(index, &[first.clone(), second.clone().with(tags::SERIES_INSTANCE_UID, VR::UI, &series)]).await;
    for study in [first.study(), second.study()] {
        assert_eq!(index.instances(&Resource::Study(study)).await.unwrap().len(), 1);
    }
}

pub async fn feeds_changes_in_order(index: &dyn Index) {
    let samples = [ct(), ct(), ct()];
    let end = commit(index, &samples).await;
    let changes = index.changes_after(Cursor::default(), 2).await.unwrap();
    assert!(changes.iter().all(|change| change.kind == ChangeKind::Stored));
    assert!(changes.iter().all(|change| change.received == 1000 * RECEIVED));
    let rest = index.changes_after(changes[1].cursor, 10).await.unwrap();
    let all: Vec<_> = changes.iter().chain(&rest).map(|change| change.sop_instance.clone()).collect();
    assert_eq!(all, samples.each_ref().map(Sample::sop_instance));
    assert_eq!((rest[0].cursor, index.last_change().await.unwrap()), (end, end));
    let start = Cursor::default();
    assert!(index.advance("follower", start, end, &[]).await.unwrap());
    // Another node that read the same page comes second.
    assert!(!index.advance("follower", start, end, &[job("a", "1")]).await.unwrap());
    assert_eq!(index.queue_depth().await.unwrap(), QueueDepth::default());
    assert!(!index.is_job_waiting().await.unwrap());
    assert_eq!(index.cursor_of("follower").await.unwrap(), end);
    assert_eq!(index.cursor_of("another").await.unwrap(), Cursor::default());
}

fn job(key: &str, payload: &str) -> NewJob {
    let (key, payload) = (key.to_owned(), payload.to_owned());
    NewJob { kind: "test", key, payload, delay: Duration::ZERO, priority: Priority::Usual }
}

const LEASE: Duration = Duration::from_secs(60);

async fn leased(index: &dyn Index, kind: &str, limit: u32, lease: Duration) -> Result<Vec<Lease>> {
    index.lease(Wanted { kinds: &[kind], least: Priority::Batch, limit }, lease).await
}

pub async fn hands_out_each_job_once(index: &dyn Index) {
    let later = NewJob { delay: LEASE, ..job("later", "3") };
    index
        .advance("follower", Cursor::default(), Cursor(1), &[job("a", "1"), job("b", "2"), later])
        .await
        .unwrap();
    assert!(leased(index, "other", 10, LEASE).await.unwrap().is_empty());
    let leases = leased(index, "test", 10, LEASE).await.unwrap();
    let mut payloads: Vec<_> = leases.iter().map(|lease| (lease.payload.as_str(), lease.attempt)).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, [("1", 1), ("2", 1)]);
    assert!(leased(index, "test", 10, LEASE).await.unwrap().is_empty());
    for lease in leases {
        // It comes back when its lease has ended, and not before while that is renewed.
        index.renew(lease.id, Duration::ZERO).await.unwrap();
        let again = leased(index, "test", 1, Duration::ZERO).await.unwrap();
        assert_eq!((again[0].id, again[0].attempt), (lease.id, 2));
        index.renew(lease.id, LEASE).await.unwrap();
        assert!(leased(index, "test", 10, LEASE).await.unwrap().is_empty());
        index.complete(lease.id).await.unwrap();
        index.renew(lease.id, Duration::ZERO).await.unwrap();
    }
    assert_eq!(index.queue_depth().await.unwrap(), QueueDepth { waiting: 1, running: 0, parked: 0 });
    assert!(index.is_job_waiting().await.unwrap(), "one that is due later waits too");
}

pub async fn keeps_one_waiting_job_for_a_key(index: &dyn Index) {
    index
        .advance("follower", Cursor::default(), Cursor(1), &[job("a", "old"), job("a", "new")])
        .await
        .unwrap();
    let running = leased(index, "test", 10, LEASE).await.unwrap();
    assert_eq!(running.iter().map(|lease| lease.payload.as_str()).collect::<Vec<_>>(), ["new"]);
    // Asked for again while it runs: it runs once more afterwards.
    index.advance("follower", Cursor(1), Cursor(2), &[job("a", "again")]).await.unwrap();
    index.fail(running[0].id, "did not work", Some(Duration::ZERO)).await.unwrap();
    let again = leased(index, "test", 10, LEASE).await.unwrap();
    assert_eq!(
        again.iter().map(|lease| (lease.payload.as_str(), lease.attempt)).collect::<Vec<_>>(),
        [("again", 1)]
    );
}

pub async fn parks_what_cannot_be_done(index: &dyn Index) {
    index.advance("follower", Cursor::default(), Cursor(1), &[job("a", "1")]).await.unwrap();
    let first = leased(index, "test", 1, LEASE).await.unwrap();
    index.fail(first[0].id, "not now", Some(Duration::ZERO)).await.unwrap();
    let second = leased(index, "test", 1, Duration::ZERO).await.unwrap();
    assert_eq!(second[0].attempt, 2);
    // The lease ran out at once: it is due again.
    let third = leased(index, "test", 1, LEASE).await.unwrap();
    assert_eq!(third[0].attempt, 3);
    index.fail(third[0].id, "never", None).await.unwrap();
    assert!(leased(index, "test", 1, LEASE).await.unwrap().is_empty());
    assert_eq!(index.queue_depth().await.unwrap().parked, 1);
}
