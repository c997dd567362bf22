//! Acts as rows, and what follows from each. An act that is there is never applied again, and in whatever
//! order acts and instances come, the same follows: it is worked out anew from the acts in force.

use super::{Connection, SqlRow, Statement, audit, hidden, quarantine, signed, who};
use crate::index::{AuditRow, Recorded};
use crate::ledger::{Act, Entry};
use crate::model::{PatientKey, SopInstanceUid, StudyInstanceUid};
use crate::{Error, Result};

/// What an act is about, as the ledger is searched for it. A backslash stands in no identifier
/// (PS3.5 §6.2).
pub(super) fn subject_of_patient(patient: &PatientKey) -> String {
    format!("patient\\{}\\{}", patient.issuer, patient.id)
}

pub(super) fn subject_of_study(study: &StudyInstanceUid) -> String {
    format!("study\\{study}")
}

pub(super) fn subject_of_instance(instance: &SopInstanceUid) -> String {
    format!("instance\\{instance}")
}

fn subject_of_act(number: u64) -> String {
    format!("act\\{number}")
}

fn subject(act: &Act) -> String {
    match act {
        Act::Delete { .. } | Act::Restore { .. } | Act::Destroy { .. } => String::new(),
        // A note is applied once, however often it comes.
        Act::Reject { note, .. } => subject_of_instance(note),
        Act::CorrectPatient { patient, .. } | Act::MergePatients { from: patient, .. } => {
            subject_of_patient(patient)
        }
        Act::CorrectStudy { study, .. } | Act::MoveStudy { study, .. } => subject_of_study(study),
        Act::Promote { instance, .. }
        | Act::Discard { instance, .. }
        | Act::DestroyAside { instance, .. } => subject_of_instance(instance),
        Act::Undo { number } => subject_of_act(*number),
    }
}

/// A number for the next act that no other has, nor one that this index was made anew without; it may stay unused.
pub(in crate::index) async fn next_number<C: Connection>(connection: &mut C) -> Result<u64> {
    let last = format!(
        "(SELECT coalesce(max(known), 0) FROM
            (SELECT max(number) AS known FROM ledger UNION ALL SELECT value FROM counters WHERE name = '{}') AS acts)",
        audit::ACTS
    );
    let sql = format!(
        "INSERT INTO counters (name, value) VALUES ('act', {last} + 1)
         ON CONFLICT (name) DO UPDATE SET value = {}(counters.value, {last}) + 1 RETURNING value",
        C::DIALECT.greater()
    );
    connection.fetch_one(Statement::new(sql)).await?.unsigned(0)
}

/// Takes an act, with all that follows from it; one that is known is left alone.
pub(in crate::index) async fn apply<C: Connection>(connection: &mut C, entry: &Entry) -> Result<()> {
    let undone_by = match entry.act {
        Act::Undo { .. } => None,
        _ => undo_of(connection, entry.number).await?,
    };
    let body = serde_json::to_string(&entry.act)
        .map_err(|cause| Error::internal("an act cannot be written").with_source(cause))?;
    let insert = Statement::new(
        "INSERT INTO ledger (number, kind, subject, at, author, reason, body, undone_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (number) DO NOTHING",
    )
    .bind(signed(entry.number)?)
    .bind(entry.act.kind())
    .bind(subject(&entry.act))
    .bind(signed(entry.at)?)
    .bind(entry.author.as_str())
    .bind(entry.reason.as_str())
    .bind(body)
    .bind(undone_by);
    if connection.execute(insert).await? == 0 || undone_by.is_some() {
        return Ok(());
    }
    let outcome = format!("act {}", entry.number);
    let row = AuditRow::new(&entry.author, entry.act.kind(), entry.act.what(), outcome);
    audit::record_act(connection, entry.number, &AuditRow { at: entry.at, ..row }).await?;
    match &entry.act {
        Act::Undo { number } => undo(connection, *number, entry.number).await,
        act => {
            hidden::note(connection, entry.number, act).await?;
            follow(connection, act).await
        }
    }
}

async fn undo_of<C: Connection>(connection: &mut C, number: u64) -> Result<Option<i64>> {
    let select = Statement::new("SELECT number FROM ledger WHERE subject = ? ORDER BY number LIMIT 1")
        .bind(subject_of_act(number));
    connection.fetch_optional(select).await?.map(|row| row.int(0)).transpose()
}

async fn undo<C: Connection>(connection: &mut C, number: u64, by: u64) -> Result<()> {
    let update = Statement::new("UPDATE ledger SET undone_by = ? WHERE number = ? AND undone_by IS NULL")
        .bind(signed(by)?)
        .bind(signed(number)?);
    if connection.execute(update).await? == 0 {
        return Ok(());
    }
    let Some(undone) = act(connection, number).await? else { return Ok(()) };
    hidden::forget(connection, number).await?;
    follow(connection, &undone.entry.act).await
}

/// Works out anew what an act has to do with.
async fn follow<C: Connection>(connection: &mut C, act: &Act) -> Result<()> {
    match act {
        Act::Delete { instances }
        | Act::Restore { instances }
        | Act::Destroy { instances }
        | Act::Reject { instances, .. } => {
            let uids: Vec<&SopInstanceUid> = instances.iter().collect();
            hidden::settle(connection, &uids).await.map(|_| ())
        }
        Act::CorrectPatient { patient, .. } => who::settle_patient(connection, patient).await,
        Act::MergePatients { from, into } => who::settle_merge(connection, from, into).await,
        Act::CorrectStudy { study, .. } | Act::MoveStudy { study, .. } => {
            who::settle_study_of(connection, study).await
        }
        Act::Promote { instance, .. }
        | Act::Discard { instance, .. }
        | Act::DestroyAside { instance, .. } => quarantine::settle(connection, instance).await.map(|_| ()),
        Act::Undo { .. } => Ok(()),
    }
}

const COLUMNS: &str = "number, at, author, reason, body, undone_by";

fn recorded(row: &SqlRow) -> Result<Recorded> {
    let act = serde_json::from_str(row.text(4)?)
        .map_err(|_| Error::corrupt("an act in the index cannot be read"))?;
    let (author, reason) = (row.text(2)?.to_owned(), row.text(3)?.to_owned());
    let entry = Entry { number: row.unsigned(0)?, at: row.unsigned(1)?, author, reason, act };
    let undone_by = row.optional_int(5)?.and_then(|number| u64::try_from(number).ok());
    Ok(Recorded { entry, undone_by })
}

/// One act by its number.
pub(in crate::index) async fn act<C: Connection>(
    connection: &mut C,
    number: u64,
) -> Result<Option<Recorded>> {
    let select = Statement::new(format!("SELECT {COLUMNS} FROM ledger WHERE number = ?"));
    let row = connection.fetch_optional(select.bind(signed(number)?)).await?;
    row.as_ref().map(recorded).transpose()
}

/// The last acts before a number, from the newest.
pub(in crate::index) async fn acts<C: Connection>(
    connection: &mut C,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Recorded>> {
    let sql = format!("SELECT {COLUMNS} FROM ledger WHERE number < ? ORDER BY number DESC LIMIT ?");
    let before = before.map_or(Ok(i64::MAX), signed)?;
    connection.fetch(Statement::new(sql).bind(before).bind(limit)).await?.iter().map(recorded).collect()
}

/// The acts in force about something, in their order.
pub(super) async fn in_force<C: Connection>(connection: &mut C, subject: &str) -> Result<Vec<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM ledger WHERE subject = ? AND undone_by IS NULL ORDER BY number");
    let rows = connection.fetch(Statement::new(sql).bind(subject)).await?;
    rows.iter().map(|row| recorded(row).map(|recorded| recorded.entry)).collect()
}

/// Whether there is any act about one of these.
pub(super) async fn is_any<C: Connection>(connection: &mut C, subjects: &[String]) -> Result<bool> {
    let mut select = Statement::new("SELECT 1 FROM ledger WHERE subject IN ");
    select.push_list(subjects.iter().map(String::as_str)).push(" LIMIT 1");
    Ok(connection.fetch_optional(select).await?.is_some())
}
