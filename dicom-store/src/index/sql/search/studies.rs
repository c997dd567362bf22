//! Studies, newest first.

use super::super::{Connection, Dialect, SqlRow, Statement};
use super::narrowing::{Condition, Narrowing};
use super::plan::{Driver, Followed};
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

/// One way to rows: from where, how they are joined, by which words, and which columns are the moment and the study.
#[derive(Clone, Copy)]
struct Way<'a> {
    from: &'a str,
    joined: &'a str,
    word: Option<&'a str>,
    others: &'a [Vec<String>],
    moment: &'a str,
    study: &'a str,
}

const WALK: Way<'_> = Way {
    from: "studies s",
    joined: "s.instance_count > 0",
    word: None,
    others: &[],
    moment: "s.at",
    study: "s.id",
};
const GATHER: Way<'_> = Way {
    from: "d CROSS JOIN studies s",
    joined: "s.id = d.study AND s.instance_count > 0",
    word: None,
    others: &[],
    moment: "s.at",
    study: "s.id",
};
const FOLLOW: Way<'_> = Way {
    from: "words w CROSS JOIN studies s",
    joined: "s.id = w.study AND s.instance_count > 0",
    word: None,
    others: &[],
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
            Driver::Follow(followed) => self.follow(&mut statement, dialect, followed),
        }
        statement.push(") ");
        statement
    }

    /// Each word by itself, as far as it may be needed; a study that has two of them is one.
    fn follow(&self, statement: &mut Statement, dialect: Dialect, followed: &Followed) {
        let way = Way { others: &followed.others, ..FOLLOW };
        match followed.words.as_slice() {
            [] => {
                statement.push("SELECT s.at AS at, s.id AS study FROM studies s WHERE 1 = 0");
            }
            [word] => {
                let way = Way { word: Some(word), ..way };
                self.select(statement, dialect, &way, (self.limit, self.offset));
            }
            words => {
                let reach = self.limit.saturating_add(self.offset);
                for (n, word) in words.iter().enumerate() {
                    statement.push(if n == 0 { "" } else { " UNION " }).push("SELECT at, study FROM (");
                    self.select(statement, dialect, &Way { word: Some(word), ..way }, (reach, 0));
                    statement.push(&format!(") b{n}"));
                }
                statement.push(" ORDER BY at DESC, study DESC");
                push_page(statement, (self.limit, self.offset));
            }
        }
    }

    /// How many studies have one of these words, up to the end of the page: in no order, so that no word is followed
    /// further than another needs it.
    fn count_followed(&self, dialect: Dialect, followed: &Followed) -> Statement {
        let reach = self.limit.saturating_add(self.offset);
        let mut statement = Statement::new("SELECT count(*) FROM (SELECT DISTINCT study FROM (");
        for (n, word) in followed.words.iter().enumerate() {
            statement.push(if n == 0 { "" } else { " UNION ALL " });
            statement.push("SELECT study FROM (SELECT w.study AS study FROM ");
            let way = Way { word: Some(word), others: &followed.others, ..FOLLOW };
            self.push_conditions(&mut statement, dialect, &way);
            statement.push(" LIMIT ").push_bind(reach).push(&format!(") b{n}"));
        }
        statement.push(") a LIMIT ").push_bind(reach).push(") c");
        statement
    }

    fn select(&self, statement: &mut Statement, dialect: Dialect, way: &Way<'_>, page: (i64, i64)) {
        let Way { moment, study, .. } = way;
        statement.push(&format!("SELECT {moment} AS at, {study} AS study FROM "));
        self.push_conditions(statement, dialect, way);
        if let Some((at, id)) = self.after {
            statement.push(&format!(" AND ({moment}, {study}) < ")).push_list([at, id]);
        }
        statement.push(&format!(" ORDER BY {moment} DESC, {study} DESC"));
        push_page(statement, page);
    }

    /// From where the rows come, and what they fulfil.
    fn push_conditions(&self, statement: &mut Statement, dialect: Dialect, way: &Way<'_>) {
        let Way { from, joined, word, others, moment, .. } = way;
        let conditions = &self.narrowing.studies;
        let asks_patients = conditions.iter().any(Condition::is_of_patients);
        let patients =
            if asks_patients { (" CROSS JOIN patients p", " AND p.id = s.patient") } else { ("", "") };
        statement.push(&format!("{from}{} WHERE {joined}{}", patients.0, patients.1));
        if let Some(word) = word {
            statement.push(" AND w.word = ").push_bind(*word);
        }
        for words in *others {
            statement.push(" AND EXISTS (SELECT 1 FROM words x WHERE x.word IN ");
            statement.push_list(words.iter().map(String::as_str));
            // With an offset, a planner leaves it what it is: a look for each row that comes, as far as they are taken.
            statement.push(" AND x.at = w.at AND x.study = w.study LIMIT 1 OFFSET 0)");
        }
        for condition in conditions {
            condition.push(statement, dialect, moment);
        }
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
    if let Driver::Follow(followed) = driver
        && followed.words.len() > 1
    {
        let reached = connection.fetch_one(picked.count_followed(C::DIALECT, followed)).await?.unsigned(0)?;
        return Ok(reached.saturating_sub(query.page.offset));
    }
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
