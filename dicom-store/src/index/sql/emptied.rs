//! Rows that describe nothing any more go with the last instance that they described: who the patient was is as much
//! a part of what was destroyed as the images.

use std::collections::{BTreeMap, BTreeSet};

use super::{Connection, Statement, who, words};
use crate::Result;

/// Removes the series of which no instance is left, the studies of which no series is, and their patients where they
/// have no other study. What is known of merges and corrections stays in the ledger, and is applied to what comes again.
pub(super) async fn remove<C: Connection>(connection: &mut C, series: &BTreeSet<i64>) -> Result<()> {
    let mut studies = BTreeSet::new();
    for id in series {
        let sql = "DELETE FROM series WHERE id = ? AND NOT EXISTS (SELECT 1 FROM instances WHERE series = ?)
                   RETURNING study";
        let row = connection.fetch_optional(Statement::new(sql).bind(*id).bind(*id)).await?;
        studies.extend(row.map(|row| row.int(0)).transpose()?);
    }
    let mut patients: BTreeMap<i64, i64> = BTreeMap::new();
    for study in studies {
        for patient in remove_study(connection, study).await? {
            patients.entry(patient).or_insert(study);
        }
    }
    for (patient, first) in patients {
        remove_patient(connection, patient, first).await?;
    }
    Ok(())
}

/// Gives the patients of the study that was removed: the one that is told, and the one that came.
async fn remove_study<C: Connection>(connection: &mut C, id: i64) -> Result<Vec<i64>> {
    let left = Statement::new("SELECT 1 FROM series WHERE study = ? LIMIT 1").bind(id);
    if connection.fetch_optional(left).await?.is_some() {
        return Ok(Vec::new());
    }
    words::forget(connection, id).await?;
    let texts = Statement::new("DELETE FROM texts WHERE study = ?").bind(id);
    connection.execute(texts).await?;
    let came = Statement::new("DELETE FROM received_studies WHERE study = ? RETURNING patient").bind(id);
    let came = connection.fetch_optional(came).await?;
    let told = Statement::new("DELETE FROM studies WHERE id = ? RETURNING patient").bind(id);
    let told = connection.fetch_optional(told).await?;
    came.iter().chain(&told).map(|row| row.int(0)).collect()
}

/// A patient without a study goes; of one whose studies all came as somebody else's, only what was decided is told. Where
/// the first of these studies was the first that came of the patient, another one says now who the patient is.
async fn remove_patient<C: Connection>(connection: &mut C, id: i64, first: i64) -> Result<()> {
    let came = "SELECT s.id FROM studies s LEFT JOIN received_studies r ON r.study = s.id
                WHERE coalesce(r.patient, s.patient) = ? ORDER BY s.id LIMIT 1";
    if let Some(row) = connection.fetch_optional(Statement::new(came).bind(id)).await? {
        return if first < row.int(0)? { who::tell_by_what_is_left(connection, id).await } else { Ok(()) };
    }
    let told = Statement::new("SELECT 1 FROM studies WHERE patient = ? LIMIT 1").bind(id);
    if connection.fetch_optional(told).await?.is_some() {
        return who::forget_what_came(connection, id).await;
    }
    let came = Statement::new("DELETE FROM received_patients WHERE patient = ?").bind(id);
    connection.execute(came).await?;
    connection.execute(Statement::new("DELETE FROM patients WHERE id = ?").bind(id)).await.map(|_| ())
}
