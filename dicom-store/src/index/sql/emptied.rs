//! Rows that describe nothing any more go with the last instance that they described: who the patient was is as much
//! a part of what was destroyed as the images.

use std::collections::BTreeSet;

use super::{Connection, Statement, said, who, words};
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
    let mut patients = BTreeSet::new();
    for study in studies {
        patients.extend(remove_study(connection, study).await?);
    }
    for patient in patients {
        leave_patient(connection, patient).await?;
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

/// What becomes of a patient who has lost a study. One without a study goes; of one whose studies all came as somebody
/// else's, only what was decided is told; of any other, what the studies say that are left.
pub(super) async fn leave_patient<C: Connection>(connection: &mut C, id: i64) -> Result<()> {
    if said::patient(connection, id).await? {
        return Ok(());
    }
    let told = Statement::new("SELECT 1 FROM studies WHERE patient = ? LIMIT 1").bind(id);
    if connection.fetch_optional(told).await?.is_some() {
        return who::forget_what_came(connection, id).await;
    }
    let came = Statement::new("DELETE FROM received_patients WHERE patient = ?").bind(id);
    connection.execute(came).await?;
    connection.execute(Statement::new("DELETE FROM patients WHERE id = ?").bind(id)).await.map(|_| ())
}
