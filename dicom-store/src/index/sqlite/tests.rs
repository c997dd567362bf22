use dicom::dictionary_std::tags;

use super::super::OPEN;
use super::super::sql::{Connection as _, Statement};
use super::connection::{Step, put_in_place_by, renew, renewed};
use super::*;
use crate::fixture::{Sample, ct};
use crate::index::conformance::new;
use crate::ledger::Act;
use crate::model::VR;

#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn index() -> (Arc<dyn Index>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let index = SqliteIndex::open(&folder.path().join("index.sqlite")).await.unwrap();
    (Arc::new(index), folder)
}

crate::index_conformance!(index);

/// Nothing is read from one end of a table to the other: each table by an index, or in its order.
#[tokio::test]
async fn every_kind_of_search_has_an_index() {
    let (index, folder) = index().await;
    crate::index::conformance::many(&*index).await;
    let mut connection = SqliteConnection::open_to_read(&folder.path().join("index.sqlite")).unwrap();
    let plans = search::plans::of_each_kind(&mut connection).await;
    assert!(plans.len() > 30, "{}", plans.len());
    for plan in plans {
        let made_here = |alias: &str| {
            let made = format!("CO-ROUTINE {alias}");
            plan.contains(&made)
        };
        let scanned = plan.iter().filter_map(|line| line.strip_prefix("SCAN "));
        let is_whole = |alias: &&str| ["s", "p", "w", "x", "e", "i"].contains(alias) && !made_here(alias);
        assert_eq!(scanned.filter(is_whole).collect::<Vec<_>>(), [""; 0], "{plan:#?}");
    }
}

#[tokio::test]
async fn nobody_sees_what_the_gate_has_not_let_through() {
    let (index, _folder) = index().await;
    let new = new(&ct(), 1024);
    let seen = || at_once(index.known(&[&new.sop_instance])).unwrap().len();
    let gate = || {
        assert_eq!(seen(), 0);
        Ok(())
    };
    index.commit(std::slice::from_ref(&new), &[], &gate).await.unwrap();
    assert_eq!(seen(), 1);
}

#[tokio::test]
async fn the_log_is_brought_into_the_file_beside_those_who_write() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    let index = SqliteIndex::open(&file).await.unwrap();
    let mut longest = 0;
    for megabyte in 0..300 {
        let fill = |c: &mut SqliteConnection, _: &mut _| {
            c.run(&format!("CREATE TABLE filler_{megabyte} AS SELECT randomblob(1000000) AS bytes"))
        };
        lock(&index.writer).transaction(fill).unwrap();
        longest = longest.max(std::fs::metadata(folder.path().join("index.sqlite-wal")).unwrap().len());
    }
    assert!(longest > 10 << 20, "{longest} bytes: those who write do it themselves");
    assert!(longest < 90 << 20, "{longest} bytes: it never begins anew");
    assert!(std::fs::metadata(&file).unwrap().len() > 200 << 20);
    index.sync().await.unwrap();
    index.close().await;
    assert!(!folder.path().join("index.sqlite-wal").exists(), "closed with all of it in the file");
}

#[tokio::test]
async fn an_older_index_is_thrown_away_and_a_newer_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    let set = |version: i64| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
    };
    SqliteIndex::open(&file)
        .await
        .unwrap()
        .commit(&[], &[Mark { pack: PackId(1), offset: 1 }], OPEN)
        .await
        .unwrap();
    let peer = [Registration::new("peer", "CT1", "{}")];
    SqliteIndex::open(&file).await.unwrap().register(&peer, None).await.unwrap();
    set(1);
    let anew = SqliteIndex::open(&file).await.unwrap();
    assert!(anew.marks().await.unwrap().is_empty());
    assert_eq!(
        anew.registered("peer", "", 10).await.unwrap().len(),
        1,
        "what was told is in no pack, and stays"
    );
    drop(anew);
    set(1_000);
    assert_eq!(SqliteIndex::open(&file).await.unwrap_err().kind, crate::ErrorKind::Conflict);
}

#[tokio::test]
async fn an_index_of_the_version_before_keeps_its_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    let columns = || {
        let connection = rusqlite::Connection::open(&file).unwrap();
        let mut select =
            connection.prepare("SELECT name, dflt_value FROM pragma_table_info('jobs')").unwrap();
        let column =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?));
        select.query_map((), column).unwrap().map(|column| column.unwrap()).collect::<Vec<_>>()
    };
    SqliteIndex::open(&file).await.unwrap().close().await;
    let fresh = columns();
    let before = rusqlite::Connection::open(&file).unwrap();
    before
        .execute_batch(
            "DROP TABLE jobs;
             CREATE TABLE jobs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL,
                 due INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0,
                 error TEXT NOT NULL DEFAULT '');
             CREATE UNIQUE INDEX jobs_waiting ON jobs (kind, key) WHERE state = 0;
             CREATE INDEX jobs_due ON jobs (due) WHERE state < 2;
             INSERT INTO jobs (kind, key, payload, due) VALUES ('test', 'a', 'b', 1); PRAGMA user_version = 7",
        )
        .unwrap();
    drop(before);
    let index = SqliteIndex::open(&file).await.unwrap();
    let wanted = Wanted { kinds: &["test"], least: crate::queue::Priority::Usual, limit: 10 };
    let leases = index.lease(wanted, Duration::from_secs(60)).await.unwrap();
    assert_eq!(leases.iter().map(|lease| lease.payload.as_str()).collect::<Vec<_>>(), ["b"]);
    index.close().await;
    assert_eq!(columns(), fresh);
}

#[tokio::test]
async fn a_register_that_somebody_else_locks_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    SqliteIndex::open(&file).await.unwrap().close().await;
    let other = rusqlite::Connection::open(&file).unwrap();
    other
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; INSERT INTO register VALUES ('peer', 'CT', '{}', 1, 1, 1)",
        )
        .unwrap();
    assert_eq!(renew(&file).unwrap_err().kind, crate::ErrorKind::Unavailable);
    drop(other);
    renew(&file).unwrap();
    let made = rusqlite::Connection::open(&file).unwrap();
    let number = |sql: &str| made.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((number("SELECT count(*) FROM register"), number("PRAGMA page_size")), (1, 2048));
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_beside_the_index_that_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    std::fs::write(&file, b"not an index at all, whatever its name says").unwrap();
    renew(&file).unwrap();
    let kept = std::fs::read(folder.path().join("index.sqlite-damaged")).unwrap();
    assert!(kept.starts_with(b"not an index"));
    SqliteIndex::open(&file).await.unwrap().close().await;
}

#[tokio::test]
async fn rows_that_stand_twice_in_an_index_are_carried_over_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    let index = SqliteIndex::open(&file).await.unwrap();
    index.register(&[Registration::new("peer", "CT1", "{}")], None).await.unwrap();
    index.record(&AuditRow::new("CT1", "store", "study 1.2", "stored")).await.unwrap();
    index.close().await;
    let damaged = rusqlite::Connection::open(&file).unwrap();
    damaged
        .execute_batch("INSERT INTO jobs (kind, key, payload, due) VALUES ('test', 'a', '{}', 1)")
        .unwrap();
    for table in ["register", "jobs", "audit"] {
        // What the table does not allow stands in a damaged file.
        let sql = format!(
            "CREATE TABLE copied AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE copied RENAME TO {table};
             INSERT INTO {table} SELECT * FROM {table}"
        );
        damaged.execute_batch(&sql).unwrap();
    }
    drop(damaged);
    renew(&file).unwrap();
    assert!(!folder.path().join("index.sqlite-damaged").exists(), "all of it was read");
    let made = rusqlite::Connection::open(&file).unwrap();
    for table in ["register", "jobs", "audit"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(made.query_row(&count, (), |row| row.get::<_, i64>(0)).unwrap(), 1, "{table}");
    }
}

#[tokio::test]
async fn rows_that_are_not_whole_are_left_out_and_the_index_that_had_them_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    let index = SqliteIndex::open(&file).await.unwrap();
    index.register(&[Registration::new("peer", "CT1", "{}")], None).await.unwrap();
    index.close().await;
    let damaged = rusqlite::Connection::open(&file).unwrap();
    damaged
        .execute_batch(
            "CREATE TABLE copied AS SELECT * FROM register; DROP TABLE register; ALTER TABLE copied RENAME TO register;
             INSERT INTO register (kind, name) VALUES ('peer', 'HALF')",
        )
        .unwrap();
    drop(damaged);
    renew(&file).unwrap();
    assert!(folder.path().join("index.sqlite-damaged").exists());
    let made = rusqlite::Connection::open(&file).unwrap();
    let name = made.query_row("SELECT group_concat(name) FROM register", (), |row| row.get::<_, String>(0));
    assert_eq!(name.unwrap(), "CT1");
}

#[tokio::test]
async fn what_comes_when_an_index_was_filled_anew_has_its_line_though_the_clock_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.sqlite");
    let first = ct().patient_id("A");
    let strangers = [2, 3].map(|n| new(&first.next(n).patient_id("B"), u64::from(n) * 4096));
    let known = [new(&first, 1024), strangers[0].clone()];
    let index = SqliteIndex::open(&file).await.unwrap();
    index.commit(&known, &[], OPEN).await.unwrap();
    let told = index.audit(None, 10).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    index.close().await;
    renew(&file).unwrap();
    let index = SqliteIndex::open(&file).await.unwrap();
    index.commit(&known, &[], OPEN).await.unwrap();
    assert_eq!(index.audit(None, 10).await.unwrap(), told);
    index.filled().await.unwrap();
    index.close().await;
    let index = SqliteIndex::open(&file).await.unwrap();
    let [_, mut late] = strangers;
    late.received -= 3_600_000;
    index.commit(&[late], &[], OPEN).await.unwrap();
    assert_eq!(index.audit(None, 10).await.unwrap().len(), 2);
    index.close().await;
}

/// Rows that the connection that writes has changed so far.
#[allow(clippy::unwrap_used, reason = "a test's question")]
fn changed(index: &SqliteIndex) -> i64 {
    let select =
        async |c: &mut SqliteConnection| c.fetch_one(Statement::new("SELECT total_changes()")).await?.int(0);
    lock(&index.writer).read(select).unwrap()
}

#[tokio::test]
async fn of_a_patient_with_many_studies_the_others_are_left_alone() {
    const STUDIES: u64 = 2000;
    let folder = tempfile::tempdir().unwrap();
    let index = SqliteIndex::open(&folder.path().join("index.sqlite")).await.unwrap();
    let of = |name: &str| ct().patient_id("MANY").name(name);
    let all: Vec<Sample> =
        (0..STUDIES).map(|n| of(if n % 2 == 0 { "NGUYEN^AN" } else { "Nguyễn^An" })).collect();
    let (mut at, mut second) = (0, 0);
    let mut row = |sample: &Sample| {
        (at, second) = (at + 4096, second + 1);
        let mut row = new(sample, at);
        row.received += 1000 * second;
        row
    };
    let rows: Vec<NewInstance> = all.iter().map(&mut row).collect();
    for group in rows.chunks(200) {
        index.commit(group, &[], OPEN).await.unwrap();
    }
    let act = async |number, act| {
        let entry = Entry { number, at: 1, author: "a".into(), reason: "b".into(), act };
        index.act(&entry).await.unwrap();
    };
    let deletion = |sample: &Sample| Act::Delete { instances: vec![sample.sop_instance()] };
    let (last, other) = (&all[1999], &all[1000]);
    let mut before = changed(&index);
    let mut few = |what: &str| {
        let now = changed(&index);
        assert!(now - before < 100, "{what}: {} rows", now - before);
        before = now;
    };
    let new_study = row(&of("TRAN^BINH").with(tags::PATIENT_BIRTH_DATE, VR::DA, "19500101"));
    index.commit(&[new_study], &[], OPEN).await.unwrap();
    few("a study that says something else of the patient");
    index.commit(&[row(&last.next(2).name("LE^CHI"))], &[], OPEN).await.unwrap();
    act(1, deletion(last)).await;
    few("a deletion");
    act(2, Act::Restore { instances: vec![last.sop_instance()] }).await;
    few("a restoration");
    let values = serde_json::from_str(r#"{"AccessionNumber":"A1"}"#).unwrap();
    act(3, Act::CorrectStudy { study: other.study(), values }).await;
    few("a correction of a study");
    let mut earlier = row(&other.next(2).name("LE^CHI"));
    earlier.received = rows[500].received;
    index.commit(&[earlier], &[], OPEN).await.unwrap();
    few("an instance that speaks for a study");
    act(4, deletion(&all[0])).await;
    let told = changed(&index) - before;
    assert!(told > 1000, "the one that speaks for the patient: {told} rows");
}

#[tokio::test]
async fn there_is_an_index_after_each_step_that_puts_one_in_the_place_of_a_damaged_one() {
    let damaged = b"not an index at all, whatever its name says";
    let mut steps = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("index.sqlite");
        std::fs::write(&file, damaged).unwrap();
        let new = renewed(&file).unwrap();
        std::fs::write(folder.path().join("index.sqlite-wal"), b"its log").unwrap();
        let mut taken = 0;
        let mut stops = |step: Step<'_>| {
            if taken == steps {
                return Err(Error::internal("stopped"));
            }
            taken += 1;
            step()
        };
        let is_done = put_in_place_by(&new, &file, &mut stops).is_ok();
        let kept = std::fs::read(folder.path().join("index.sqlite-damaged"));
        let is_new = std::fs::read(&file).unwrap() != damaged;
        if is_new {
            assert_eq!(kept.unwrap(), damaged, "after {steps} steps");
            assert!(!folder.path().join("index.sqlite-wal").exists());
            assert!(folder.path().join("index.sqlite-damaged-wal").exists());
            SqliteIndex::open(&file).await.unwrap().close().await;
        } else {
            // Whoever begins once more comes to the end.
            renew(&file).unwrap();
            assert!(std::fs::read(folder.path().join("index.sqlite-damaged")).unwrap() == damaged);
            SqliteIndex::open(&file).await.unwrap().close().await;
        }
        if is_done {
            assert!(is_new && steps > 4, "{steps} steps");
            return;
        }
        steps += 1;
    }
}

#[tokio::test]
async fn who_takes_a_study_over_by_its_uid_is_told() {
    let (index, _folder) = index().await;
    let (one, other) = (ct(), ct());
    let mut samples = [one, other];
    samples.sort_by_key(Sample::sop_instance);
    let before = samples[1].clone().patient_id("A");
    // Of the same second, with a smaller UID.
    let mut behind = new(&before.next(2).patient_id("B"), 4096);
    behind.sop_instance = samples[0].sop_instance();
    index.commit(&[new(&before, 512)], &[], OPEN).await.unwrap();
    index.commit(&[behind], &[], OPEN).await.unwrap();
    let audit = index.audit(None, 10).await.unwrap();
    let [(_, line)] = audit.as_slice() else { panic!("{audit:?}") };
    assert!(line.outcome.contains("from now on"), "{line:?}");
    let told = index.search(&Query::new(crate::model::Level::Study), None).await.unwrap().rows;
    assert_eq!(told[0].attributes.text(tags::PATIENT_ID).as_deref(), Some("B"));
}
