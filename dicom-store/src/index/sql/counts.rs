//! The counts of what is shown, made anew where it is not simply more.

use std::collections::BTreeMap;

use super::said::{self, Touched};
use super::{Connection, Statement, texts, words};
use crate::Result;

/// Counts anew what is shown of these series and of their studies, finds these by the modalities that are left, and tells
/// both by what is shown of them first.
pub(super) async fn recount<C: Connection>(connection: &mut C, touched: &Touched) -> Result<()> {
    let mut studies = BTreeMap::new();
    for (id, place) in touched.iter() {
        said::series(connection, id, place).await?;
        let sql = "UPDATE series SET instance_count = (SELECT count(*) FROM instances WHERE series = ? AND state = 0)
                   WHERE id = ? RETURNING study";
        let study = connection.fetch_one(Statement::new(sql).bind(id).bind(id)).await?.int(0)?;
        let first = studies.entry(study).or_insert(place);
        *first = place.min(first);
    }
    for (id, place) in studies {
        modalities(connection, id).await?;
        let sop_classes = "SELECT DISTINCT t.term FROM series e JOIN instances i ON i.series = e.id \
                           JOIN terms t ON t.id = i.sop_class WHERE e.study = ? AND i.state = 0 ORDER BY t.term";
        let sop_classes = joined(connection, sop_classes, id).await?;
        let sql = "UPDATE studies SET sop_classes = ?,
                   series_count = (SELECT count(*) FROM series WHERE study = ? AND instance_count > 0),
                   instance_count = (SELECT CAST(coalesce(sum(instance_count), 0) AS BIGINT) FROM series WHERE study = ?)
                   WHERE id = ?";
        let update = Statement::new(sql).bind(sop_classes).bind(id).bind(id).bind(id);
        connection.execute(update).await?;
        texts::recount(connection, id).await?;
        said::study(connection, id, place).await?;
    }
    Ok(())
}

/// Finds a study by the modalities that its series are told with, those that show something.
pub(super) async fn modalities<C: Connection>(connection: &mut C, study: i64) -> Result<()> {
    let sql = "SELECT DISTINCT modality FROM series WHERE study = ? AND instance_count > 0 AND modality <> '' ORDER BY modality";
    let modalities = joined(connection, sql, study).await?;
    words::set_modalities(connection, study, &modalities).await
}

async fn joined<C: Connection>(connection: &mut C, sql: &'static str, study: i64) -> Result<String> {
    let rows = connection.fetch(Statement::new(sql).bind(study)).await?;
    let values: Vec<&str> = rows.iter().map(|row| row.text(0)).collect::<Result<_>>()?;
    Ok(values.join("\\"))
}
