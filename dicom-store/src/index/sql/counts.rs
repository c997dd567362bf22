//! The counts of what is shown, made anew where it is not simply more.

use std::collections::BTreeSet;

use super::{Connection, Statement, texts, words};
use crate::Result;

/// The series of these instances.
pub(super) async fn series_of<C: Connection>(connection: &mut C, instances: &[i64]) -> Result<BTreeSet<i64>> {
    let mut select = Statement::new("SELECT DISTINCT series FROM instances WHERE id IN ");
    select.push_list(instances.iter().copied());
    connection.fetch(select).await?.iter().map(|row| row.int(0)).collect()
}

/// Counts anew what is shown of these series and of their studies, and finds these by the modalities that are left.
pub(super) async fn recount<C: Connection>(connection: &mut C, series: &BTreeSet<i64>) -> Result<()> {
    let mut studies = BTreeSet::new();
    for id in series {
        let sql = "UPDATE series SET instance_count = (SELECT count(*) FROM instances WHERE series = ? AND state = 0)
                   WHERE id = ? RETURNING study";
        studies.insert(connection.fetch_one(Statement::new(sql).bind(*id).bind(*id)).await?.int(0)?);
    }
    for id in studies {
        let modalities = "SELECT DISTINCT modality FROM series WHERE study = ? AND instance_count > 0 AND modality <> '' ORDER BY modality";
        let modalities = joined(connection, modalities, id).await?;
        let sop_classes = "SELECT DISTINCT t.term FROM series e JOIN instances i ON i.series = e.id \
                           JOIN terms t ON t.id = i.sop_class WHERE e.study = ? AND i.state = 0 ORDER BY t.term";
        let sop_classes = joined(connection, sop_classes, id).await?;
        words::set_modalities(connection, id, &modalities).await?;
        let sql = "UPDATE studies SET sop_classes = ?,
                   series_count = (SELECT count(*) FROM series WHERE study = ? AND instance_count > 0),
                   instance_count = (SELECT CAST(coalesce(sum(instance_count), 0) AS BIGINT) FROM series WHERE study = ?)
                   WHERE id = ?";
        let update = Statement::new(sql).bind(sop_classes).bind(id).bind(id).bind(id);
        connection.execute(update).await?;
        texts::recount(connection, id).await?;
    }
    Ok(())
}

async fn joined<C: Connection>(connection: &mut C, sql: &'static str, study: i64) -> Result<String> {
    let rows = connection.fetch(Statement::new(sql).bind(study)).await?;
    let values: Vec<&str> = rows.iter().map(|row| row.text(0)).collect::<Result<_>>()?;
    Ok(values.join("\\"))
}
