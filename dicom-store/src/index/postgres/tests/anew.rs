//! An index that is made anew beside the one in use.

use rstest::rstest;

use super::*;
use crate::index::KnownDamage;
use crate::packs::damage::{Findings, known_before};

async fn begun(database: &Database) -> Result<Renewed> {
    Renewed::begin(&database.url(), None).await
}

/// Where a new one is filled.
#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn filling(new: &Renewed, database: &Database) -> PostgresIndex {
    PostgresIndex::open_in(Some(new.schema()), &database.url(), None).await.unwrap()
}

/// A connection beside the index.
#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn connected(database: &Database) -> PostgresConnection {
    let options = connection::of(&database.url(), None).unwrap();
    let pulse = Pulse::new(options.clone(), Limits::default());
    PostgresConnection::open(&options, pulse.listening()).await.unwrap()
}

#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(60), async { while !is_so().await {} }).await.unwrap();
}

fn job(key: &str) -> NewJob {
    NewJob {
        kind: "test",
        key: key.to_owned(),
        payload: String::new(),
        delay: Duration::ZERO,
        priority: Priority::Usual,
    }
}

fn line(what: &str) -> AuditRow {
    AuditRow::new("suite", "test", what, "done")
}

const NOWHERE: Cursor = Cursor(0);

/// Puts into an index what no pack has; what is damaged is the first of some instances.
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's preparation")]
async fn told(index: &PostgresIndex, samples: &[Sample]) {
    let group: Vec<_> = samples.iter().zip(1..).map(|(sample, n)| new(sample, n * 1024)).collect();
    index.commit(&group, &[Mark { pack: PackId(1), offset: 1 }], OPEN).await.unwrap();
    index.register(&[Registration::new("peer", "CT1", "{}")], None).await.unwrap();
    index.record(&line("before")).await.unwrap();
    index.advance("suite", NOWHERE, NOWHERE, &[job("before")]).await.unwrap();
    let entries = index.pack_entries_of(&[samples[0].sop_instance()]).await.unwrap();
    let reason = "another \"byte\"".to_owned();
    index.damaged(&[Damage { row: entries[0].row, since: 7, reason }]).await.unwrap();
}

/// What an index tells of what no pack has, and how many instances it has.
#[allow(clippy::unwrap_used, reason = "a test's preparation")]
async fn tells(index: &PostgresIndex) -> (Vec<String>, Vec<String>, Vec<String>, Vec<String>, u64) {
    let peers = index.registered("peer", "", 10).await.unwrap();
    let jobs = index.jobs(&JobQuery { limit: 10, ..JobQuery::default() }).await.unwrap();
    let audit = index.audit(None, 10).await.unwrap();
    let damaged = index.all_damaged(&DamageQuery { of: None, before: None, limit: 10 }).await.unwrap();
    assert!(index.registered(KnownDamage::KIND, "", 10).await.unwrap().is_empty());
    (
        peers.into_iter().map(|peer| peer.name).collect(),
        jobs.into_iter().map(|job| job.key).collect(),
        audit.into_iter().map(|(_, row)| row.what).collect(),
        damaged.into_iter().map(|damaged| damaged.reason).collect(),
        index.count(&Query::new(Level::Instance)).await.unwrap().found,
    )
}

#[tokio::test]
async fn what_no_pack_has_is_in_the_index_that_takes_the_place() {
    let database = Database::new().await;
    let index = open(&database).await;
    told(&index, &[ct(), ct()]).await;
    index.close().await;
    let new = begun(&database).await.unwrap();
    new.take_its_place().await.unwrap();
    let index = open(&database).await;
    assert!(index.marks().await.unwrap().is_empty());
    assert_eq!(index.registered("peer", "", 10).await.unwrap().len(), 1);
    assert_eq!(index.registered(KnownDamage::KIND, "", 10).await.unwrap().len(), 1);
    index.record(&line("after")).await.unwrap();
    index.advance("suite", NOWHERE, NOWHERE, &[job("after")]).await.unwrap();
    let audit = index.audit(None, 10).await.unwrap();
    assert_eq!(audit.iter().map(|(_, row)| row.what.as_str()).collect::<Vec<_>>(), ["after", "before"]);
    let jobs = index.jobs(&JobQuery { limit: 10, ..JobQuery::default() }).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), ["before", "after"]);
    assert_eq!(index.count(&Query::new(Level::Instance)).await.unwrap().found, 0);
    // Nothing is left beside it.
    let left = begun(&database).await.unwrap();
    left.discard().await;
}

#[tokio::test]
async fn what_is_damaged_is_known_to_the_index_that_is_made_anew() {
    let database = Database::new().await;
    let index = open(&database).await;
    let samples = [ct(), ct(), ct()];
    let group: Vec<_> = samples.iter().zip(1..).map(|(sample, n)| new(sample, n * 1024)).collect();
    index.commit(&group, &[], OPEN).await.unwrap();
    let uids: Vec<_> = samples.iter().map(Sample::sop_instance).collect();
    let entries = index.pack_entries_of(&uids).await.unwrap();
    let damage =
        |entry: &PackEntry| Damage { row: entry.row, since: 7, reason: "another \"byte\"".to_owned() };
    index.damaged(&entries.iter().map(damage).collect::<Vec<_>>()).await.unwrap();
    index.close().await;
    let renewed = begun(&database).await.unwrap();

    let filled: Arc<dyn Index> = Arc::new(filling(&renewed, &database).await);
    // The first lies where it was, the second elsewhere, and the third is not read any more.
    filled.commit(&[group[0].clone(), new(&samples[1], 9 * 1024)], &[], OPEN).await.unwrap();
    let found = Findings::default();
    known_before(&filled, &found).await.unwrap();
    assert_eq!(found.left(&filled).await.unwrap().len(), 1);
    filled.close().await;
    renewed.take_its_place().await.unwrap();
    let index = open(&database).await;
    let all = DamageQuery { of: None, before: None, limit: 10 };
    let told = index.all_damaged(&all).await.unwrap();
    assert_eq!((told.len(), &told[0].instance, told[0].since), (1, &samples[0].sop_instance(), Some(7)));
    assert_eq!(told[0].reason, "another \"byte\"");
    assert!(index.registered(KnownDamage::KIND, "", 10).await.unwrap().is_empty());
}

#[rstest]
#[case::it_failed(true)]
#[case::it_was_stopped(false)]
#[tokio::test]
async fn the_index_before_stays_until_the_new_one_is_filled(#[case] is_discarded: bool) {
    let database = Database::new().await;
    let index = open(&database).await;
    told(&index, &[ct(), ct(), ct()]).await;
    let before = tells(&index).await;
    assert_eq!((before.3.len(), before.4), (1, 2));
    index.close().await;

    let renewed = begun(&database).await.unwrap();
    let half = filling(&renewed, &database).await;
    half.join(&joining("a", false)).await.unwrap();
    half.commit(&[new(&ct(), 0)], &[], OPEN).await.unwrap();
    half.unregister("peer", "CT1", None).await.unwrap();
    half.advance("suite", NOWHERE, NOWHERE, &[job("new")]).await.unwrap();
    half.close().await;
    if is_discarded {
        renewed.discard().await;
    } else {
        drop(renewed);
    }

    let index = open(&database).await;
    assert_eq!(tells(&index).await, before);
    index.join(&joining("a", false)).await.unwrap();
    index.close().await;
    let renewed = begun(&database).await.unwrap();
    let filled = filling(&renewed, &database).await;
    assert_eq!(filled.last_change().await.unwrap(), Cursor::default());
    filled.commit(&[new(&ct(), 0)], &[], OPEN).await.unwrap();
    filled.close().await;
    renewed.take_its_place().await.unwrap();
    let index = open(&database).await;
    assert_eq!(index.count(&Query::new(Level::Instance)).await.unwrap().found, 1);
    assert_eq!(index.registered("peer", "", 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_node_works_on_an_index_that_is_made_anew() {
    let database = Database::new().await;
    let index = open(&database).await;
    index.join(&joining("a", false)).await.unwrap();
    let refused = begun(&database).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains("have to be stopped"), "{refused}");
    index.close().await;

    let renewed = begun(&database).await.unwrap();
    let filled = filling(&renewed, &database).await;
    assert_eq!(filled.join(&joining("a", false)).await.unwrap().number, 0);
    filled.close().await;
    let other = open(&database).await;
    let node = joining("b", false);
    let (refused, again) = tokio::join!(other.join(&node), begun(&database));
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains("made anew"), "{refused}");
    let again = again.unwrap_err();
    assert_eq!(again.kind, ErrorKind::Conflict);
    assert!(again.what.contains("another `filmless reindex`"), "{again}");
    renewed.take_its_place().await.unwrap();
    // At once, under the number that is known of it, and the others behind it.
    let index = open(&database).await;
    for (token, number) in [("a", 0), ("b", 1)] {
        let joined = index.join(&joining(token, false)).await.unwrap();
        assert_eq!((joined.number, joined.founder.as_str()), (number, "a"));
    }
}

#[tokio::test]
async fn a_node_that_does_not_know_that_it_is_kept_out_keeps_its_index() {
    let database = Database::new().await;
    let index = open(&database).await;
    told(&index, &[ct(), ct()]).await;
    let before = tells(&index).await;
    index.close().await;
    let renewed = begun(&database).await.unwrap();
    let mut node = connected(&database).await;
    node.run("SELECT pg_advisory_lock(hashtext('filmless node ' || current_schema()), 3)").await.unwrap();
    let refused = renewed.take_its_place().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains("have to be stopped"), "{refused}");
    assert_eq!(tells(&open(&database).await).await, before);
    node.run("SELECT pg_advisory_unlock_all()").await.unwrap();
    // What was filled in vain is gone, and all can be done once more.
    begun(&database).await.unwrap().take_its_place().await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_cut_off_is_known_to_the_others_again() {
    let database = Database::new().await;
    let proxy = Proxy::start(&database).await;
    let index = PostgresIndex::open(&proxy.url(&database), None).await.unwrap();
    index.join(&joining("a", false)).await.unwrap();
    index.follow(&Changes::new(Cursor::default()));
    let (mut one, mut other) = (connected(&database).await, connected(&database).await);
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND CAST(objid AS BIGINT) = CAST(hashtext('filmless reindex ' || current_schema()) AS BIGINT) & 4294967295";
    let cut = async {
        until(async || one.run(waiting).await.unwrap()[0].int(0).unwrap() > 0).await;
        proxy.cut();
    };
    let alone = "SELECT pg_advisory_lock(hashtext('filmless reindex ' || current_schema()))";
    let (locked, ()) = tokio::join!(other.run(alone), cut);
    locked.unwrap();
    // Its number comes back though the index is being made anew.
    until(async || nodes::nobody_works(&mut other).await.is_err()).await;
    other.run("SELECT pg_advisory_unlock_all()").await.unwrap();
    let again = "SELECT CASE WHEN pg_try_advisory_lock(hashtext('filmless reindex ' || current_schema())) THEN 1 ELSE 0 END,
        pg_advisory_unlock_all()";
    until(async || other.run(again).await.unwrap()[0].int(0).unwrap() == 0).await;
    index.close().await;
    begun(&database).await.unwrap().discard().await;
}

#[tokio::test]
async fn an_index_stays_in_its_schema_though_another_one_comes_first_by_now() {
    let database = Database::new().await;
    let index = open(&database).await;
    told(&index, &[ct()]).await;
    index.close().await;
    let url = database.url();
    let (rest, name) = url.rsplit_once('=').unwrap();
    database.run(format!("CREATE SCHEMA {name}_first")).await;
    let renewed = Renewed::begin(&format!("{rest}={name}_first,{name}"), None).await.unwrap();
    renewed.take_its_place().await.unwrap();
    let index = open(&database).await;
    assert_eq!(index.registered("peer", "", 10).await.unwrap().len(), 1);
    assert!(index.marks().await.unwrap().is_empty());
    database.run(format!("DROP SCHEMA {name}_first")).await;
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_left_alone() {
    let database = Database::new().await;
    let index = open(&database).await;
    told(&index, &[ct()]).await;
    let before = tells(&index).await;
    index.close().await;
    let new = begun(&database).await.unwrap();
    let schema = new.schema().to_owned();
    new.discard().await;
    database.run(format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.theirs (one BIGINT)")).await;
    let refused = begun(&database).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains(&schema), "{refused}");
    assert_eq!(tells(&open(&database).await).await, before);
    database.run(format!("SELECT one FROM {schema}.theirs; DROP SCHEMA {schema} CASCADE")).await;
    begun(&database).await.unwrap().discard().await;
}

#[tokio::test]
async fn a_user_who_may_not_make_a_schema_hears_what_is_to_be_granted() {
    let database = Database::new().await;
    let index = open(&database).await;
    told(&index, &[ct()]).await;
    let before = tells(&index).await;
    index.close().await;
    let name = database.url().rsplit_once('=').unwrap().1.to_owned();
    let user = format!("{name}_user");
    database
        .run(format!(
            "CREATE ROLE {user} LOGIN; GRANT USAGE ON SCHEMA {name} TO {user};
             GRANT ALL ON ALL TABLES IN SCHEMA {name} TO {user}"
        ))
        .await;
    let url = database.url().replace("user=filmless", &format!("user={user}"));
    let refused = Renewed::begin(&url, None).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    for missing in [
        format!("GRANT CREATE ON DATABASE postgres TO {user}"),
        format!("GRANT CREATE ON SCHEMA {name} TO {user}"),
        format!("ALTER TABLE {name}.studies OWNER TO {user}"),
    ] {
        assert!(refused.what.contains(&missing), "{refused}");
    }
    assert_eq!(tells(&open(&database).await).await, before);
    // Done word for word, it is enough.
    let granted = refused.what.split_once("privilege: ").unwrap().1.to_owned();
    database.run(granted).await;
    Renewed::begin(&url, None).await.unwrap().take_its_place().await.unwrap();
}
