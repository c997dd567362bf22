//! How the text of what is shown is read, counted by study and sender.

use std::collections::HashMap;

use super::{Connection, SqlRow, Statement, signed};
use crate::index::{StudyText, TextCount, TextQuery};
use crate::model::{StudyInstanceUid, TextReading};
use crate::{Error, Result};

/// Rows of one statement, so that few shapes of it are prepared.
const ROWS: usize = 8;

/// A reading as a column holds it.
pub(super) fn number(reading: TextReading) -> i64 {
    reading.number().into()
}

fn reading(number: i64) -> Result<TextReading> {
    u8::try_from(number)
        .ok()
        .and_then(TextReading::from_number)
        .ok_or_else(|| Error::corrupt(format!("index has text that is read as {number}, which is nothing")))
}

/// Instances that a group adds of one study, sender and reading.
#[derive(Debug, Default)]
pub(super) struct Added {
    instances: i64,
    newest: i64,
}

impl Added {
    /// One more, which came then.
    pub(super) fn count(&mut self, received: i64) {
        self.instances += 1;
        self.newest = self.newest.max(received);
    }
}

/// What a group added, by study, sender and reading, in the same transaction.
pub(super) async fn add<C: Connection>(
    connection: &mut C,
    added: &HashMap<(i64, i64, i64), Added>,
) -> Result<()> {
    let added: Vec<_> = added.iter().collect();
    for some in added.chunks(ROWS) {
        let mut insert =
            Statement::new("INSERT INTO texts (study, sender, reading, instances, newest) VALUES ");
        for (n, ((study, sender, reading), Added { instances, newest })) in some.iter().enumerate() {
            insert.push(if n == 0 { "" } else { ", " });
            insert.push_list([*study, *sender, *reading, *instances, *newest]);
        }
        insert.push(&format!(
            " ON CONFLICT (study, sender, reading) DO UPDATE SET instances = texts.instances + excluded.instances, \
             newest = {}(texts.newest, excluded.newest)",
            C::DIALECT.greater()
        ));
        connection.post(insert).await?;
    }
    Ok(())
}

/// Counts anew what is shown of a study.
pub(super) async fn recount<C: Connection>(connection: &mut C, study: i64) -> Result<()> {
    connection.execute(Statement::new("DELETE FROM texts WHERE study = ?").bind(study)).await?;
    let insert = "INSERT INTO texts (study, sender, reading, instances, newest)
                  SELECT e.study, i.sender, i.text, count(*), max(i.received) FROM series e JOIN instances i ON i.series = e.id
                  WHERE e.study = ? AND i.state = 0 AND i.text IS NOT NULL GROUP BY e.study, i.sender, i.text";
    connection.execute(Statement::new(insert).bind(study)).await.map(|_| ())
}

/// By sender and reading, of all that is shown.
pub(in crate::index) async fn counts<C: Connection>(connection: &mut C) -> Result<Vec<TextCount>> {
    let sql =
        "SELECT t.term, x.reading, count(*), CAST(sum(x.instances) AS BIGINT), max(x.newest) FROM texts x
               JOIN terms t ON t.id = x.sender GROUP BY t.term, x.reading ORDER BY t.term, x.reading";
    let row = |row: &SqlRow| {
        Ok(TextCount {
            sender: row.text(0)?.to_owned(),
            reading: reading(row.int(1)?)?,
            studies: row.unsigned(2)?,
            instances: row.unsigned(3)?,
            newest: row.unsigned(4)?,
        })
    };
    connection.fetch(Statement::new(sql)).await?.iter().map(row).collect()
}

/// Everything of the studies that are asked for, from the one that came last.
pub(in crate::index) async fn studies<C: Connection>(
    connection: &mut C,
    query: &TextQuery,
) -> Result<Vec<StudyText>> {
    let mut select = Statement::new(
        "SELECT s.id, s.uid, t.term, x.reading, x.instances, x.newest FROM texts x JOIN studies s ON s.id = x.study \
         JOIN terms t ON t.id = x.sender WHERE x.study IN (SELECT DISTINCT study FROM texts WHERE reading IN ",
    );
    select.push_list(query.readings.iter().map(|reading| number(*reading)));
    if !query.studies.is_empty() {
        select.push(" AND study IN (SELECT id FROM studies WHERE uid IN ");
        select.push_list(query.studies.iter().map(StudyInstanceUid::as_str)).push(")");
    }
    if let Some(sender) = &query.sender {
        select.push(" AND sender = (SELECT id FROM terms WHERE term = ").push_bind(sender.as_str()).push(")");
    }
    if let Some(before) = query.before {
        select.push(" AND study < ").push_bind(signed(before)?);
    }
    select.push(" ORDER BY study DESC LIMIT ").push_bind(query.limit);
    select.push(") ORDER BY s.id DESC, t.term, x.reading");
    let row = |row: &SqlRow| {
        Ok(StudyText {
            place: row.unsigned(0)?,
            study: StudyInstanceUid::parse(row.text(1)?)?,
            sender: row.text(2)?.to_owned(),
            reading: reading(row.int(3)?)?,
            instances: row.unsigned(4)?,
            newest: row.unsigned(5)?,
        })
    };
    connection.fetch(select).await?.iter().map(row).collect()
}
