//! Studies, newest first.

use super::super::{Connection, Dialect, SqlRow, Statement, words};
use super::narrowing::{Condition, Narrowing};
use super::plan::{Driver, Followed};
use super::{Search, Step, answer, headers};
use crate::Result;
use crate::index::sql::signed;
use crate::model::Level;
use crate::query::{Counted, Query};

/// The studies that fulfil the conditions, from one place on.
pub(super) struct Picked<'a> {
    pub(super) narrowing: &'a Narrowing,
    pub(super) driver: &'a Driver,
    /// Behind this study: its moment and its row.
    pub(super) after: Option<(i64, i64)>,
    pub(super) limit: i64,
    pub(super) offset: i64,
    /// So many are looked at, those that are passed over among them; `None` for all.
    pub(super) looks: Option<i64>,
    /// Of each patient only the newest.
    pub(super) one_a_patient: bool,
}

/// What there may be behind the rows that were read.
pub(super) enum Rest {
    Nothing,
    More,
    /// As many were looked at as may be in one statement: more lies behind this study.
    Behind((i64, i64)),
}

/// Rows of a walk that are looked at in one statement.
const BLOCK: i64 = 1024;
/// Rows that are looked at to count those that match, where not all are counted: of words, and of studies.
const COUNTED_WORDS: i64 = 4096;
const COUNTED_STUDIES: i64 = 2048;
/// What is asked of a study, of the rows that are looked at in a walk.
const LOOKED_AT: &str =
    "s.id, s.uid, s.patient, s.at, s.accession, s.modalities, s.sop_classes, s.words, s.instance_count";

/// One way to rows: from where, how they are joined, by which words, and which columns are the moment and the study.
#[derive(Clone, Copy)]
struct Way<'a> {
    from: &'a str,
    joined: &'a str,
    word: Option<&'a str>,
    others: &'a [Vec<String>],
    moment: &'a str,
    study: &'a str,
    looks: Option<i64>,
}

const WALK: Way<'_> = Way {
    from: "studies s",
    joined: "s.instance_count > 0",
    word: None,
    others: &[],
    moment: "s.at",
    study: "s.id",
    looks: None,
};
const GATHER: Way<'_> = Way {
    from: "d CROSS JOIN studies s",
    joined: "s.id = d.study AND s.instance_count > 0",
    word: None,
    others: &[],
    moment: "s.at",
    study: "s.id",
    looks: None,
};
const FOLLOW: Way<'_> = Way {
    from: "words w CROSS JOIN studies s",
    joined: "s.id = w.study AND s.instance_count > 0",
    word: None,
    others: &[],
    moment: "w.at",
    study: "w.study",
    looks: None,
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
            Driver::Walk { .. } => {
                let way = Way { looks: self.looks, ..WALK };
                self.select(&mut statement, dialect, &way, (self.limit, self.offset));
            }
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

    /// How many studies have one of these words, up to the end of the page: each word's in their order, so that no
    /// word is followed further than another needs it.
    fn count_followed(&self, dialect: Dialect, followed: &Followed) -> Statement {
        let reach = self.limit.saturating_add(self.offset);
        let mut statement = Statement::new("SELECT count(*) FROM (SELECT DISTINCT study FROM (");
        for (n, word) in followed.words.iter().enumerate() {
            statement.push(if n == 0 { "" } else { " UNION ALL " });
            statement.push("SELECT study FROM (SELECT w.study AS study FROM ");
            let looks = self.looks_for_each(followed);
            let way = Way { word: Some(word), others: &followed.others, looks, ..FOLLOW };
            self.push_conditions(&mut statement, dialect, &way);
            statement.push(" LIMIT ").push_bind(reach).push(&format!(") b{n}"));
        }
        statement.push(") a LIMIT ").push_bind(reach).push(") c");
        statement
    }

    fn looks_for_each(&self, followed: &Followed) -> Option<i64> {
        let words = i64::try_from(followed.words.len()).unwrap_or(i64::MAX).max(1);
        self.looks.map(|looks| (looks / words).max(1))
    }

    /// How many lists go on behind what was looked at.
    fn count_left(&self) -> Option<Statement> {
        let mut statement = Statement::new("SELECT count(*) FROM (");
        match self.driver {
            Driver::Follow(followed) => {
                let looks = self.looks_for_each(followed)?;
                for (n, word) in followed.words.iter().enumerate() {
                    let union = if n == 0 { "" } else { " UNION ALL " };
                    statement.push(union).push("SELECT * FROM (SELECT 1 AS one FROM ");
                    self.push_looked_at(&mut statement, Some(word));
                    statement.push(" LIMIT 1 OFFSET ").push_bind(looks).push(&format!(") b{n}"));
                }
            }
            Driver::Walk { .. } => {
                statement.push("SELECT 1 AS one FROM ");
                self.push_looked_at(&mut statement, None);
                statement.push(" LIMIT 1 OFFSET ").push_bind(self.looks?);
            }
            Driver::Gather(_) => return None,
        }
        statement.push(") c");
        Some(statement)
    }

    /// The last study that was looked at, where there are so many.
    fn select_last_looked_at(&self) -> Option<Statement> {
        let mut statement = Statement::new("SELECT s.at, s.id FROM ");
        self.push_looked_at(&mut statement, None);
        statement.push(" LIMIT 1 OFFSET ").push_bind(self.looks? - 1);
        Some(statement)
    }

    /// What is looked at: the studies of a word or all that show something, in their order.
    fn push_looked_at(&self, statement: &mut Statement, word: Option<&str>) {
        let (moment, study) = match word {
            Some(word) => {
                statement.push("words w WHERE w.word = ").push_bind(word);
                ("w.at", "w.study")
            }
            None => {
                statement.push("studies s WHERE s.instance_count > 0");
                ("s.at", "s.id")
            }
        };
        self.narrowing.push_moments(statement, moment);
        self.push_page_and_order(statement, moment, study);
    }

    fn push_page_and_order(&self, statement: &mut Statement, moment: &str, study: &str) {
        if let Some((at, id)) = self.after {
            statement.push(&format!(" AND ({moment}, {study}) < ")).push_list([at, id]);
        }
        statement.push(&format!(" ORDER BY {moment} DESC, {study} DESC"));
    }

    fn select(&self, statement: &mut Statement, dialect: Dialect, way: &Way<'_>, page: (i64, i64)) {
        let Way { moment, study, .. } = way;
        statement.push(&format!("SELECT {moment} AS at, {study} AS study FROM "));
        self.push_conditions(statement, dialect, way);
        self.push_page_and_order(statement, moment, study);
        push_page(statement, page);
    }

    /// From where the rows come, and what they fulfil.
    fn push_conditions(&self, statement: &mut Statement, dialect: Dialect, way: &Way<'_>) {
        let Way { from, joined, word, others, moment, looks, .. } = *way;
        let conditions = &self.narrowing.studies;
        let asks_patients = conditions.iter().any(Condition::is_of_patients);
        let patients =
            if asks_patients { (" CROSS JOIN patients p", " AND p.id = s.patient") } else { ("", "") };
        match (looks, word) {
            (None, _) => {
                statement.push(from);
            }
            (Some(looks), Some(word)) => {
                statement.push("(SELECT w.at, w.study, w.signature FROM ");
                self.push_looked_at(statement, Some(word));
                statement.push(" LIMIT ").push_bind(looks).push(") w CROSS JOIN studies s");
            }
            (Some(looks), None) => {
                statement.push(&format!("(SELECT {LOOKED_AT} FROM "));
                self.push_looked_at(statement, None);
                statement.push(" LIMIT ").push_bind(looks).push(") s");
            }
        }
        statement.push(&format!("{} WHERE {joined}{}", patients.0, patients.1));
        if let Some(word) = word.filter(|_| looks.is_none()) {
            statement.push(" AND w.word = ").push_bind(word);
        }
        others.iter().for_each(|words| push_other(statement, words));
        for condition in conditions {
            condition.push(statement, dialect, moment);
        }
        if self.one_a_patient && word.is_some() {
            self.push_newest(statement, dialect);
        }
    }

    /// ` AND` no newer study of the patient fulfils the same.
    fn push_newest(&self, statement: &mut Statement, dialect: Dialect) {
        statement.push(
            " AND NOT EXISTS (SELECT 1 FROM studies s WHERE s.patient = (SELECT o.patient FROM studies o WHERE o.id = w.study) \
             AND s.instance_count > 0 AND (s.at, s.id) > (w.at, w.study)",
        );
        for condition in self.narrowing.studies.iter().filter(|condition| !condition.is_of_patients()) {
            condition.push(statement, dialect, "s.at");
        }
        statement.push(")");
    }
}

/// ` AND` a study that a word led to has one of these, too.
fn push_other(statement: &mut Statement, words: &[String]) {
    if words.iter().all(|word| words::is_of_name(word)) {
        statement.push(" AND (1 = 0");
        for signature in words.iter().map(|word| words::signature(word)) {
            statement.push(" OR (w.signature & ").push_bind(signature).push(") = ").push_bind(signature);
        }
        statement.push(")");
    }
    statement.push(" AND EXISTS (SELECT 1 FROM words x WHERE x.word IN ");
    statement.push_list(words.iter().map(String::as_str));
    // With an offset, a planner leaves it what it is: a look for each row that comes, as far as they are taken.
    statement.push(" AND x.at = w.at AND x.study = w.study LIMIT 1 OFFSET 0)");
}

fn push_page(statement: &mut Statement, (limit, offset): (i64, i64)) {
    statement.push(" LIMIT ").push_bind(limit);
    if offset > 0 {
        statement.push(" OFFSET ").push_bind(offset);
    }
}

impl Search<'_> {
    pub(super) fn picked(&self, limit: i64) -> Picked<'_> {
        const WALK: &Driver = &Driver::Walk { otherwise: None };
        let driver = self.progress.driver.as_ref().unwrap_or(WALK);
        let is_bounded = matches!(driver, Driver::Walk { .. }) && self.narrowing.is_asking();
        Picked {
            narrowing: &self.narrowing,
            driver,
            after: self.progress.study,
            limit,
            offset: 0,
            looks: is_bounded.then_some(BLOCK),
            one_a_patient: self.query.level == Level::Patient,
        }
    }

    /// Some more studies with all that is known of them, and where they lie; and what is behind them.
    pub(super) async fn read_studies<C: Connection>(
        &self,
        connection: &mut C,
        limit: i64,
    ) -> Result<(Vec<SqlRow>, Rest)> {
        self.read(connection, &self.picked(limit)).await
    }

    async fn read<C: Connection>(
        &self,
        connection: &mut C,
        picked: &Picked<'_>,
    ) -> Result<(Vec<SqlRow>, Rest)> {
        let mut statement = picked.with(C::DIALECT);
        statement.push(&answer::select_study(self.query.with_patient_counts));
        statement.push(" FROM picked k CROSS JOIN studies s CROSS JOIN patients p");
        statement.push(" WHERE s.id = k.study AND p.id = s.patient ORDER BY k.at DESC, k.study DESC");
        let rows = connection.fetch(statement).await?;
        if i64::try_from(rows.len()).is_ok_and(|count| count == picked.limit) {
            return Ok((rows, Rest::More));
        }
        let last = match picked.select_last_looked_at() {
            Some(statement) => connection.fetch_optional(statement).await?,
            None => None,
        };
        let rest = match last {
            Some(last) => Rest::Behind((last.int(0)?, last.int(1)?)),
            None => Rest::Nothing,
        };
        Ok((rows, rest))
    }

    /// Goes on behind the rows that were read.
    pub(super) fn go_on(&mut self, rest: Rest) -> Step {
        match rest {
            Rest::Nothing => Step::Over,
            Rest::More => Step::More,
            Rest::Behind(study) => {
                self.progress.study = Some(study);
                match &self.progress.driver {
                    Some(Driver::Walk { otherwise: Some(source) }) => {
                        self.progress.driver = Some(Driver::Gather(source.clone()));
                    }
                    _ => self.look(BLOCK.unsigned_abs()),
                }
                if self.is_cut { Step::Over } else { Step::More }
            }
        }
    }

    pub(super) async fn next_studies<C: Connection>(&mut self, connection: &mut C) -> Result<Step> {
        let size = self.size()?;
        // Where each row is a match, the database passes over what is not wanted.
        let passed = if self.narrowing.is_exact { self.progress.skip } else { 0 };
        let picked = Picked { offset: signed(passed)?, ..self.picked(size) };
        let (rows, rest) = self.read(connection, &picked).await?;
        if rows.is_empty() && passed > 0 {
            self.progress.skip -= count_of(connection, &self.picked(signed(passed)?)).await?;
            return Ok(self.go_on(rest));
        }
        self.progress.skip -= passed;
        for row in &rows {
            self.progress.study = Some((row.int(0)?, row.int(1)?));
            let attributes = answer::study(row, self.query.with_patient_counts)?;
            if self.is_match_or_look(&attributes)
                && self.has_instance(connection, headers::Scope::Study(row.int(1)?)).await?
            {
                self.take(attributes);
            }
            if self.is_cut || self.is_full() || self.has_looked_enough() {
                return Ok(if self.is_cut { Step::Over } else { Step::More });
            }
        }
        Ok(self.go_on(rest))
    }
}

async fn count_of<C: Connection>(connection: &mut C, picked: &Picked<'_>) -> Result<u64> {
    let mut statement = picked.with(C::DIALECT);
    statement.push("SELECT count(*) FROM picked");
    connection.fetch_one(statement).await?.unsigned(0)
}

/// How many studies there are behind the offset of the query's page, up to its limit. Without one, all are counted.
pub(super) async fn count<C: Connection>(
    connection: &mut C,
    query: &Query,
    narrowing: &Narrowing,
    driver: &Driver,
) -> Result<Counted> {
    if let Driver::Follow(Followed { words, .. }) = driver
        && words.is_empty()
    {
        return Ok(Counted { found: 0, is_all: true });
    }
    let limit = query.page.limit.map_or(Ok(i64::MAX), signed)?;
    let looks = match driver {
        Driver::Follow(_) => query.page.limit.map(|_| COUNTED_WORDS),
        Driver::Walk { .. } if narrowing.is_asking() => query.page.limit.map(|_| COUNTED_STUDIES),
        _ => None,
    };
    let offset = signed(query.page.offset)?;
    let picked = Picked { narrowing, driver, after: None, limit, offset, looks, one_a_patient: false };
    let found = match driver {
        Driver::Follow(followed) => {
            let statement = picked.count_followed(C::DIALECT, followed);
            connection.fetch_one(statement).await?.unsigned(0)?.saturating_sub(query.page.offset)
        }
        _ => count_of(connection, &picked).await?,
    };
    let mut is_all = query.page.limit.is_none_or(|limit| found < limit);
    if is_all && let Some(statement) = picked.count_left() {
        is_all = connection.fetch_one(statement).await?.int(0)? == 0;
    }
    Ok(Counted { found, is_all })
}

/// How many series or instances the studies have, by what they count themselves.
pub(super) async fn count_below<C: Connection>(
    connection: &mut C,
    level: Level,
    narrowing: &Narrowing,
    driver: &Driver,
) -> Result<u64> {
    let picked = Picked {
        narrowing,
        driver,
        after: None,
        limit: i64::MAX,
        offset: 0,
        looks: None,
        one_a_patient: false,
    };
    let mut statement = picked.with(C::DIALECT);
    let column = if level == Level::Series { "series_count" } else { "instance_count" };
    statement.push(&format!(
        "SELECT CAST(coalesce(sum(s.{column}), 0) AS BIGINT) FROM picked k JOIN studies s ON s.id = k.study"
    ));
    connection.fetch_one(statement).await?.unsigned(0)
}
