use std::sync::Arc;

use dicom::dictionary_std::tags;

use super::*;
use crate::fixture::{Database, Sample, ct};
use crate::index::conformance::{entry, new};
use crate::index::{OPEN, Outcome};
use crate::ledger::Act;
use crate::model::{Level, PackId, VR};
use crate::queue::Priority;
use crate::{ErrorKind, Key, Query};

mod anew;
mod proxy;

use proxy::Proxy;

#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn open(database: &Database) -> PostgresIndex {
    PostgresIndex::open(&database.url(), None).await.unwrap()
}

#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn index() -> (Arc<dyn Index>, Database) {
    let database = Database::new().await;
    (Arc::new(open(&database).await), database)
}

crate::index_conformance!(in_one_test, index);

fn joining(token: &str, is_alone: bool) -> Joining {
    Joining { token: token.to_owned(), number: None, first_free: 0, is_alone }
}

/// Of instances that are stored one by one: what each was.
async fn outcomes(index: &PostgresIndex, samples: &[Sample]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for sample in samples {
        let committed = index.commit(&[new(sample, 0)], &[], OPEN).await.expect("it is taken");
        outcomes.extend(committed.outcomes);
    }
    outcomes
}

#[tokio::test]
async fn of_two_nodes_with_one_uid_one_comes_second() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    let samples: Vec<Sample> = (0..20).map(|_| ct()).collect();
    let others: Vec<Sample> = samples
        .iter()
        .enumerate()
        .map(|(n, sample)| if n % 2 == 0 { sample.clone() } else { sample.clone().name("OTHER^NAME") })
        .collect();
    let (here, there) = tokio::join!(outcomes(&one, &samples), outcomes(&other, &others));
    for (n, pair) in here.iter().zip(&there).enumerate() {
        let second = match pair {
            (Outcome::New, second) | (second, Outcome::New) => second,
            neither => panic!("{neither:?}"),
        };
        let is_same = matches!(second, Outcome::Same(_));
        let is_conflict = matches!(second, Outcome::Conflict { kept: Some(_) });
        assert_eq!((is_same, is_conflict), (n % 2 == 0, n % 2 == 1), "{second:?}");
    }
    assert_eq!(one.count(&Query::new(Level::Study)).await.unwrap().found, 20);
}

#[tokio::test]
async fn what_one_node_wrote_is_not_taken_from_the_memory_of_another() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    let first = ct();
    one.commit(&[new(&first, 0)], &[], OPEN).await.unwrap();
    other.commit(&[new(&first.next(2), 1)], &[], OPEN).await.unwrap();
    let scout = first.next_series(2).with(tags::MODALITY, VR::CS, "SR");
    other.commit(&[new(&scout, 2)], &[], OPEN).await.unwrap();
    one.commit(&[new(&first.next(3), 3)], &[], OPEN).await.unwrap();
    let rows = one.search(&Query::new(Level::Study), None).await.unwrap().rows;
    let text = |tag| rows[0].attributes.texts(tag).join("\\");
    assert_eq!(text(tags::MODALITIES_IN_STUDY), "CT\\SR");
    assert_eq!(text(tags::NUMBER_OF_STUDY_RELATED_INSTANCES), "4");
    assert_eq!(text(tags::NUMBER_OF_STUDY_RELATED_SERIES), "2");
}

#[tokio::test]
async fn the_feed_of_two_nodes_has_no_gap() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    let samples: Vec<Sample> = (0..20).map(|_| ct()).collect();
    let (here, there) = samples.split_at(10);
    tokio::join!(outcomes(&one, here), outcomes(&other, there));
    let changes = one.changes_after(Cursor::default(), 100).await.unwrap();
    let cursors: Vec<i64> = changes.iter().map(|change| change.cursor.0).collect();
    assert_eq!(cursors, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn nodes_that_start_at_once_make_the_tables_once() {
    let database = Database::new().await;
    let opening = (0..4).map(|_| open(&database));
    let nodes = futures_util::future::join_all(opening).await;
    for node in &nodes {
        assert!(node.marks().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_step_is_taken_while_an_older_program_goes_on() {
    let next = "ALTER TABLE studies ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'";
    let steps: &'static [&'static str] = Box::leak([schema::STEPS, &[next]].concat().into_boxed_slice());
    let database = Database::new().await;
    let old = open(&database).await;
    old.commit(&[new(&ct(), 0)], &[], OPEN).await.unwrap();
    let options = connection::options(database.url().parse().unwrap());
    let pulse = Pulse::new(options.clone(), Limits::default());
    let upgrade = async || {
        let mut connection = PostgresConnection::open(&options, pulse.listening()).await.unwrap();
        schema::migrate(&mut connection, steps).await
    };
    let (one, other) = tokio::join!(upgrade(), upgrade());
    one.unwrap();
    other.unwrap();
    old.commit(&[new(&ct(), 1)], &[], OPEN).await.unwrap();
    assert_eq!(old.count(&Query::new(Level::Study)).await.unwrap().found, 2);
    let refused = PostgresIndex::open(&database.url(), None).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
}

/// Where tables are read by an index whenever one serves.
#[tokio::test]
async fn every_kind_of_search_has_an_index() {
    let database = Database::new().await;
    let index = open(&database).await;
    crate::index::conformance::many(&index).await;
    let options = connection::options(database.url().parse().unwrap());
    let pulse = Pulse::new(options.clone(), Limits::default());
    let mut connection = PostgresConnection::open(&options, pulse.listening()).await.unwrap();
    connection.run("ANALYZE studies, patients, words; SET enable_seqscan = off").await.unwrap();
    for plan in search::plans::of_each_kind(&mut connection).await {
        assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{plan:#?}");
    }
}

#[tokio::test]
async fn what_was_stored_before_is_found_by_the_ends_of_its_identifiers() {
    let database = Database::new().await;
    let options = connection::options(database.url().parse().unwrap());
    let pulse = Pulse::new(options.clone(), Limits::default());
    let mut connection = PostgresConnection::open(&options, pulse.listening()).await.unwrap();
    schema::migrate(&mut connection, &schema::STEPS[..3]).await.unwrap();
    let stored = "INSERT INTO patients VALUES (1, '', 'BN0042', '', 'hoa tran', '');
        INSERT INTO studies VALUES (1, '1.2', 1, '', '', 0, 'A0017', '', '', 1, 1, ' hoa tran ', '', NULL);
        INSERT INTO words VALUES ('hoa', 0, 1), ('tran', 0, 1)";
    connection.run(stored).await.unwrap();
    let index = open(&database).await;
    for (tag, vr, value) in [
        (tags::PATIENT_ID, VR::LO, "*042"),
        (tags::ACCESSION_NUMBER, VR::SH, "*017"),
        (tags::PATIENT_NAME, VR::PN, "tran hoa"),
    ] {
        let query = Query { keys: vec![Key::parse(&[tag], vr, value).unwrap()], ..Query::new(Level::Study) };
        assert_eq!(index.count(&query).await.unwrap().found, 1, "{value}");
    }
}

#[tokio::test]
async fn text_that_an_older_program_stored_is_not_counted() {
    let database = Database::new().await;
    let index = open(&database).await;
    let (first, second) = (ct(), ct());
    index.commit(&[new(&first, 0)], &[], OPEN).await.unwrap();
    let options = connection::options(database.url().parse().unwrap());
    let pulse = Pulse::new(options.clone(), Limits::default());
    let mut connection = PostgresConnection::open(&options, pulse.listening()).await.unwrap();
    connection.run("UPDATE instances SET text = NULL; DELETE FROM texts").await.unwrap();
    index.commit(&[new(&second, 1), new(&first.next(2), 2)], &[], OPEN).await.unwrap();
    let delete = Act::Delete { instances: vec![second.sop_instance()] };
    index.act(&entry(1, delete)).await.unwrap();
    let counts = index.text_counts().await.unwrap();
    let counts: Vec<_> = counts.iter().map(|count| (count.studies, count.instances)).collect();
    assert_eq!(counts, [(1, 1)]);
}

#[tokio::test]
async fn a_text_with_a_nul_is_kept_and_found() {
    let database = Database::new().await;
    let index = open(&database).await;
    let sample = ct().with(tags::ACCESSION_NUMBER, VR::SH, "A\0B").name("NGUY\0EN^AN");
    index.commit(&[new(&sample, 0)], &[], OPEN).await.unwrap();
    let mut query = Query::new(Level::Study);
    query.keys = vec![Key::parse(&[tags::PATIENT_NAME], VR::PN, "nguy*").unwrap()];
    let rows = index.search(&query, None).await.unwrap().rows;
    assert_eq!(rows.len(), 1);
    let (header, _) = index.header(&sample.sop_instance()).await.unwrap().unwrap();
    let kept = header.attributes().unwrap();
    assert_eq!(kept.text(tags::ACCESSION_NUMBER), sample.attributes.text(tags::ACCESSION_NUMBER));
}

#[tokio::test]
async fn each_node_has_a_number_of_its_own_and_keeps_it() {
    let database = Database::new().await;
    let index = open(&database).await;
    for (token, expected) in [("a", 0), ("b", 1), ("a", 0), ("c", 2)] {
        assert_eq!(index.join(&joining(token, false)).await.unwrap().number, expected, "{token}");
    }
    // An index made anew, where packs of others are there already.
    let kept = Joining { number: Some(7), ..joining("d", false) };
    assert_eq!(index.join(&kept).await.unwrap().number, 7);
    let fresh = Joining { first_free: 12, ..joining("e", false) };
    assert_eq!(index.join(&fresh).await.unwrap().number, 12);
    let taken = Joining { number: Some(7), ..joining("f", false) };
    assert_eq!(index.join(&taken).await.unwrap().number, 13);
}

#[tokio::test]
async fn a_node_that_keeps_images_on_its_own_disk_has_no_other_beside_it() {
    let database = Database::new().await;
    let index = open(&database).await;
    index.join(&joining("a", true)).await.unwrap();
    for is_alone in [true, false] {
        let refused = index.join(&joining("b", is_alone)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert!(refused.what.contains("remote"), "{refused}");
    }
    index.join(&joining("a", false)).await.unwrap();
    assert_eq!(index.join(&joining("b", false)).await.unwrap().number, 1);
    assert!(index.join(&joining("b", true)).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once_and_without_the_password() {
    let url = "postgres://pacs:s3cret@127.0.0.1:1/archive";
    let error = PostgresIndex::open(url, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(!format!("{error:?} {}", error.chain()).contains("s3cret"));
    let error = PostgresIndex::open("postgres://pacs:s3cret@host:port/", None).await.unwrap_err();
    assert!(!format!("{error:?} {}", error.chain()).contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_node_hears_what_another_puts_in_the_feed() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    for (index, token) in [(&one, "a"), (&other, "b")] {
        index.join(&joining(token, false)).await.unwrap();
    }
    let changes = Changes::new(one.last_change().await.unwrap());
    one.follow(&changes);
    for n in 0..3 {
        let before = changes.last();
        let told = other.commit(&[new(&ct(), n)], &[], OPEN).await.unwrap().cursor;
        tokio::time::timeout(Duration::from_secs(20), changes.wait(before)).await.unwrap();
        assert_eq!(changes.last(), told);
    }
}

#[tokio::test]
async fn a_number_is_at_work_once() {
    let database = Database::new().await;
    let (one, copied) = (open(&database).await, open(&database).await);
    one.join(&joining("a", false)).await.unwrap();
    let refused = copied.join(&joining("a", false)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains("copied"), "{refused}");
    // One that was killed a moment ago is waited for.
    let kept = Joining { number: Some(0), ..joining("a", false) };
    let (again, ()) = tokio::join!(copied.join(&kept), one.close());
    assert_eq!(again.unwrap().number, 0);
}

#[tokio::test]
async fn two_nodes_that_look_for_jobs_at_once_take_each_job_once() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    let job = |n: u32| NewJob {
        kind: "test",
        key: n.to_string(),
        payload: String::new(),
        delay: Duration::ZERO,
        priority: Priority::Usual,
    };
    let jobs: Vec<NewJob> = (0..60).map(job).collect();
    assert!(one.advance("follower", Cursor(0), Cursor(1), &jobs).await.unwrap());
    let all = async |index: &PostgresIndex| {
        let mut taken = Vec::new();
        loop {
            let wanted = Wanted { kinds: &["test"], least: Priority::Batch, limit: 3 };
            let leases = index.lease(wanted, Duration::from_secs(60)).await.unwrap();
            if leases.is_empty() {
                return taken;
            }
            for lease in leases {
                index.complete(lease.id).await.unwrap();
                taken.push(lease.id.0);
            }
        }
    };
    let (mut here, there) = tokio::join!(all(&one), all(&other));
    here.extend(there);
    here.sort_unstable();
    here.dedup();
    assert_eq!((here.len(), one.queue_depth().await.unwrap()), (60, QueueDepth::default()));
}

#[tokio::test]
async fn a_server_that_was_started_again_is_found_again() {
    let database = Database::new().await;
    let proxy = Proxy::start(&database).await;
    let index = PostgresIndex::open(&proxy.url(&database), None).await.unwrap();
    let first = ct();
    index.commit(&[new(&first, 0)], &[], OPEN).await.unwrap();
    for n in 2..4 {
        // What a stop of the server does to each connection.
        proxy.cut();
        index.commit(&[new(&first.next(n), n.into())], &[], OPEN).await.unwrap();
        assert_eq!(index.instances(&Resource::Study(first.study())).await.unwrap().len(), n as usize);
    }
}

#[tokio::test]
async fn an_instance_costs_few_round_trips() {
    let database = Database::new().await;
    let proxy = Proxy::start(&database).await;
    let index = PostgresIndex::open(&proxy.url(&database), None).await.unwrap();
    let first = ct();
    for n in 1..5 {
        // Statements are prepared, and rows remembered.
        index.commit(&[new(&first.next(n), n.into())], &[mark(n)], OPEN).await.unwrap();
        index.known(&[&first.sop_instance()]).await.unwrap();
    }
    let before = proxy.trips();
    index.commit(&[new(&first.next(9), 9)], &[mark(9)], OPEN).await.unwrap();
    let committed = proxy.trips();
    index.known(&[&first.next(3).sop_instance()]).await.unwrap();
    let known = proxy.trips();
    index.search(&Query::new(Level::Study), None).await.unwrap();
    let searched = proxy.trips();
    index.search(&Query::new(Level::Study), None).await.unwrap();
    // Of a search: the beginning and the end of its snapshot, and between them the page.
    assert_eq!((committed - before, known - committed, proxy.trips() - searched <= 4), (4, 1, true));
}

fn mark(n: u32) -> Mark {
    Mark { pack: PackId(1), offset: u64::from(n) * 4096 }
}
