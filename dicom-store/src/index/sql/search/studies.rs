//! Studies, newest first.

use super::super::{Connection, Dialect, SqlRow, Statement};
use super::narrowing::{Condition, Narrowing};
use super::plan::Driver;
use super::{Search, Step, answer, headers};
use crate::Result;
use crate::index::sql::signed;
use crate::model::Level;
use crate::query::Query;

/// The studies that fulfil the conditions, from one place on.
pub(super) struct Picked<'a> {
    pub(super) narrowing: &'a Narrowing,
    pub(super) driver: &'a Driver,
    /// Behind this study: its moment and its row.
    pub(super) after: Option<(i64, i64)>,
    pub(super) limit: i64,
    pub(super) offset: i64,
}

/// One way to rows: from where, how they are joined, and which columns are the moment and the study.
struct Way<'a> {
    from: &'a str,
    joined: &'a str,
    word: Option<&'a str>,
    moment: &'a str,
    study: &'a str,
}

const WALK: Way<'_> =
    Way { from: "studies s", joined: "s.instance_count > 0", word: None, moment: "s.at", study: "s.id" };
const GATHER: Way<'_> = Way {
    from: "d CROSS JOIN studies s",
    joined: "s.id = d.study AND s.instance_count > 0",
    word: None,
    moment: "s.at",
    study: "s.id",
};
const FOLLOW: Way<'_> = Way {
    from: "words w CROSS JOIN studies s",
    joined: "s.id = w.study AND s.instance_count > 0",
    word: None,
    moment: "w.at",
    study: "w.study",
};

impl Picked<'_> {
    /// `WITH picked (at, study)`, in no order.
    pub(super) fn with(&self, dialect: Dialect) -> Statement {
        let mut statement = Statement::new("WITH ");
        if let Driver::Gather(source) = self.driver {
            statement.push("d(study) AS MATERIALIZED (");
            source.push(&mut statement, dialect);
            statement.push("), ");
        }
        statement.push("picked(at, study) AS MATERIALIZED (");
        match self.driver {
            Driver::Gather(_) => self.select(&mut statement, dialect, &GATHER, (self.limit, self.offset)),
            Driver::Walk => self.select(&mut statement, dialect, &WALK, (self.limit, self.offset)),
            Driver::Follow(words) => self.follow(&mut statement, dialect, words),
        }
        statement.push(") ");
        statement
    }

    /// Each word by itself, as far as it may be needed; a study that has two of them is one.
    fn follow(&self, statement: &mut Statement, dialect: Dialect, words: &[String]) {
        if let [word] = words {
            let way = Way { word: Some(word), ..FOLLOW };
            return self.select(statement, dialect, &way, (self.limit, self.offset));
        }
        let reach = self.limit.saturating_add(self.offset);
        for (n, word) in words.iter().enumerate() {
            statement.push(if n == 0 { "" } else { " UNION " }).push("SELECT at, study FROM (");
            self.select(statement, dialect, &Way { word: Some(word), ..FOLLOW }, (reach, 0));
            statement.push(&format!(") b{n}"));
        }
        statement.push(" ORDER BY at DESC, study DESC");
        push_page(statement, (self.limit, self.offset));
    }

    fn select(&self, statement: &mut Statement, dialect: Dialect, way: &Way<'_>, page: (i64, i64)) {
        let Way { from, joined, word, moment, study } = way;
        let conditions = &self.narrowing.studies;
        let asks_patients = conditions.iter().any(Condition::is_of_patients);
        let patients =
            if asks_patients { (" CROSS JOIN patients p", " AND p.id = s.patient") } else { ("", "") };
        statement.push(&format!(
            "SELECT {moment} AS at, {study} AS study FROM {from}{} WHERE {joined}{}",
            patients.0, patients.1
        ));
        if let Some(word) = word {
            statement.push(" AND w.word = ").push_bind(*word);
        }
        for condition in conditions {
            condition.push(statement, dialect, moment);
        }
        if let Some((at, id)) = self.after {
            statement.push(&format!(" AND ({moment}, {study}) < ")).push_list([at, id]);
        }
        statement.push(&format!(" ORDER BY {moment} DESC, {study} DESC"));
        push_page(statement, page);
    }
}

fn push_page(statement: &mut Statement, (limit, offset): (i64, i64)) {
    statement.push(" LIMIT ").push_bind(limit);
    if offset > 0 {
        statement.push(" OFFSET ").push_bind(offset);
    }
}

impl Search<'_> {
    pub(super) fn picked(&self, limit: i64) -> Picked<'_> {
        let driver = self.progress.driver.as_ref().unwrap_or(&Driver::Walk);
        Picked { narrowing: &self.narrowing, driver, after: self.progress.study, limit, offset: 0 }
    }

    /// Some more studies with all that is known of them, and where they lie.
    pub(super) async fn read_studies<C: Connection>(
        &self,
        connection: &mut C,
        limit: i64,
    ) -> Result<Vec<SqlRow>> {
        self.read(connection, &self.picked(limit)).await
    }

    async fn read<C: Connection>(&self, connection: &mut C, picked: &Picked<'_>) -> Result<Vec<SqlRow>> {
        let mut statement = picked.with(C::DIALECT);
        statement.push(&answer::select_study(self.query.with_patient_counts));
        statement.push(" FROM picked k CROSS JOIN studies s CROSS JOIN patients p");
        statement.push(" WHERE s.id = k.study AND p.id = s.patient ORDER BY k.at DESC, k.study DESC");
        connection.fetch(statement).await
    }

    pub(super) async fn next_studies<C: Connection>(&mut self, connection: &mut C) -> Result<Step> {
        let size = self.size()?;
        // Where each row is a match, the database passes over what is not wanted.
        let passed = if self.narrowing.is_exact { self.progress.skip } else { 0 };
        let rows = self.read(connection, &Picked { offset: signed(passed)?, ..self.picked(size) }).await?;
        let step =
            if i64::try_from(rows.len()).is_ok_and(|count| count < size) { Step::Over } else { Step::More };
        if rows.is_empty() && passed > 0 {
            self.progress.skip -= count_of(connection, &self.picked(signed(passed)?)).await?;
            return Ok(step);
        }
        self.progress.skip -= passed;
        for row in &rows {
            self.progress.study = Some((row.int(0)?, row.int(1)?));
            let attributes = answer::study(row, self.query.with_patient_counts)?;
            if self.is_match(&attributes)
                && self.has_instance(connection, headers::Scope::Study(row.int(1)?)).await?
            {
                self.take(attributes);
            }
            if self.is_cut || self.is_full() || self.has_looked_enough() {
                return Ok(if self.is_cut { Step::Over } else { Step::More });
            }
        }
        Ok(step)
    }
}

async fn count_of<C: Connection>(connection: &mut C, picked: &Picked<'_>) -> Result<u64> {
    let mut statement = picked.with(C::DIALECT);
    statement.push("SELECT count(*) FROM picked");
    connection.fetch_one(statement).await?.unsigned(0)
}

/// How many studies there are behind the offset of the query's page, up to its limit.
pub(super) async fn count<C: Connection>(
    connection: &mut C,
    query: &Query,
    narrowing: &Narrowing,
    driver: &Driver,
) -> Result<u64> {
    let limit = query.page.limit.map_or(Ok(i64::MAX), signed)?;
    let picked = Picked { narrowing, driver, after: None, limit, offset: signed(query.page.offset)? };
    count_of(connection, &picked).await
}

/// How many series or instances the studies have, by what they count themselves.
pub(super) async fn count_below<C: Connection>(
    connection: &mut C,
    level: Level,
    narrowing: &Narrowing,
    driver: &Driver,
) -> Result<u64> {
    let picked = Picked { narrowing, driver, after: None, limit: i64::MAX, offset: 0 };
    let mut statement = picked.with(C::DIALECT);
    let column = if level == Level::Series { "series_count" } else { "instance_count" };
    statement.push(&format!(
        "SELECT CAST(coalesce(sum(s.{column}), 0) AS BIGINT) FROM picked k JOIN studies s ON s.id = k.study"
    ));
    connection.fetch_one(statement).await?.unsigned(0)
}
