//! Which instances are shown, and the counts that go with it.

use super::said::{Arrival, Touched};
use super::{Connection, SqlValue, Statement, counts, rows, signed};
use crate::Result;
use crate::index::{Hidden, InstanceState};
use crate::ledger::Act;
use crate::model::{Resource, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};

/// UIDs in one statement.
const CHUNK: usize = 256;

/// The state that an act gives to the instances it names.
fn state(act: &Act) -> i64 {
    let state = match act {
        Act::Delete { .. } | Act::Destroy { .. } => InstanceState::Deleted,
        Act::Reject { .. } => InstanceState::Rejected,
        _ => InstanceState::Shown,
    };
    rows::state_number(state)
}

/// Remembers which instances an act names, known or not.
pub(super) async fn note<C: Connection>(connection: &mut C, number: u64, act: &Act) -> Result<()> {
    let Some(instances) = act.instances() else { return Ok(()) };
    for some in instances.chunks(CHUNK) {
        let mut insert = Statement::new("INSERT INTO instance_acts (uid, act, state) VALUES ");
        for (n, uid) in some.iter().enumerate() {
            insert.push(if n == 0 { "" } else { ", " });
            insert.push_list([SqlValue::from(uid.as_str()), signed(number)?.into(), state(act).into()]);
        }
        insert.push(" ON CONFLICT (uid, act) DO NOTHING");
        connection.execute(insert).await?;
    }
    Ok(())
}

pub(super) async fn forget<C: Connection>(connection: &mut C, number: u64) -> Result<()> {
    let delete = Statement::new("DELETE FROM instance_acts WHERE act = ?").bind(signed(number)?);
    connection.execute(delete).await.map(|_| ())
}

/// Shows and hides these as the last act that names each says; gives whether that changed anything. What is
/// damaged stays so.
pub(super) async fn settle<C: Connection>(connection: &mut C, uids: &[&SopInstanceUid]) -> Result<bool> {
    let mut touched = Touched::default();
    for some in uids.chunks(CHUNK) {
        let mut select = Statement::new(
            "SELECT id, series, wanted, received, uid FROM (
                 SELECT i.id, i.uid, i.series, i.state, i.received, coalesce((SELECT a.state FROM instance_acts a WHERE a.uid = i.uid
                 ORDER BY a.act DESC LIMIT 1), 0) AS wanted FROM instances i WHERE i.uid IN ",
        );
        select.push_list(some.iter().map(|uid| uid.as_str()));
        select
            .push(") AS named WHERE state <> wanted AND state <> ")
            .push_bind(rows::state_number(InstanceState::Damaged));
        for row in connection.fetch(select).await? {
            let update = Statement::new("UPDATE instances SET state = ? WHERE id = ?");
            connection.execute(update.bind(row.int(2)?).bind(row.int(0)?)).await?;
            touched.add(row.int(1)?, Arrival::read(&row, 3)?);
        }
    }
    counts::recount(connection, &touched).await?;
    Ok(!touched.is_empty())
}

/// The condition that an instance is of a resource: `i`, with its series `e` and its study `s`.
pub(super) async fn is_of<C: Connection>(connection: &mut C, resource: &Resource) -> Result<Statement> {
    let mut condition = Statement::new("");
    match resource {
        Resource::Patient { id, issuer } => {
            let patient = rows::patient(connection, id, issuer.as_deref(), rows::ANY).await?;
            condition.push("s.patient = ").push_bind(patient)
        }
        Resource::Study(study) => condition.push("s.uid = ").push_bind(study.as_str()),
        Resource::Series(study, series) => {
            condition.push("s.uid = ").push_bind(study.as_str());
            condition.push(" AND e.uid = ").push_bind(series.as_str())
        }
        Resource::Instance(study, series, instance) => {
            condition.push("s.uid = ").push_bind(study.as_str());
            condition.push(" AND e.uid = ").push_bind(series.as_str());
            condition.push(" AND i.uid = ").push_bind(instance.as_str())
        }
    };
    Ok(condition)
}

/// What is hidden, study by study and act by act, from the newest act; of a resource or of all.
pub(in crate::index) async fn hidden<C: Connection>(
    connection: &mut C,
    resource: Option<&Resource>,
    limit: u32,
) -> Result<Vec<Hidden>> {
    let mut select = Statement::new(
        "SELECT s.uid, e.uid, i.uid, i.state, coalesce((SELECT max(a.act) FROM instance_acts a WHERE a.uid = i.uid), 0) AS act
         FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study WHERE ",
    );
    match resource {
        Some(resource) => select.append(is_of(connection, resource).await?),
        None => select.push("1 = 1"),
    };
    select.push(" AND i.state IN (1, 2) ORDER BY act DESC, i.id LIMIT ").push_bind(limit);
    let row = |row: &super::SqlRow| {
        Ok(Hidden {
            study: StudyInstanceUid::parse(row.text(0)?)?,
            series: SeriesInstanceUid::parse(row.text(1)?)?,
            instance: SopInstanceUid::parse(row.text(2)?)?,
            state: rows::state(row.int(3)?)?,
            act: row.unsigned(4)?,
        })
    };
    connection.fetch(select).await?.iter().map(row).collect()
}
