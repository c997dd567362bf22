//! A query as SQL that narrows, and matching that decides.
//!
//! The conditions use the indexes and never leave out a row that matches; whether a row does is
//! decided by [`Query::matches`] alone. Where the conditions say all there is to say, the page is
//! cut by SQL as well.

use std::time::Duration;

use dicom::dictionary_std::tags;
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};
use tokio::sync::mpsc::{self, error::SendTimeoutError};

use super::{rows, sql_error};
use crate::model::{Attributes, Encoding, Level, PersonName, Tag, VR, fold};
use crate::query::{Key, Matching, Pattern, Query, Row, Rows};
use crate::{Error, ErrorKind, Result};

/// How long whoever asked may take for one of them.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows that wait for whoever asked.
const AHEAD: usize = 64;

/// Runs the query in a task of its own, which ends when the rows are dropped, or not taken for a while:
/// a connection to the index is not for those who do not listen.
pub(super) fn rows(pool: SqlitePool, query: Query) -> Rows {
    let (found, receiver) = mpsc::channel(AHEAD);
    let ended = tokio::spawn(async move { send_rows(&pool, &query, &found).await });
    Rows::new(futures_util::stream::unfold((receiver, Some(ended)), |(mut receiver, mut ended)| async {
        if let Some(row) = receiver.recv().await {
            return Some((Ok(row), (receiver, ended)));
        }
        // No more rows: because there are none, or because something went wrong.
        let result = ended.take()?.await;
        let error = match result {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(cause) => Error::internal("a search did not finish").with_source(cause),
        };
        Some((Err(error), (receiver, None)))
    }))
}

async fn send_rows(pool: &SqlitePool, query: &Query, found: &mpsc::Sender<Row>) -> Result<()> {
    let is_exact = is_exact(query);
    let mut select = QueryBuilder::new(select(query.level));
    conditions(&mut select, query);
    select.push(order(query.level));
    if is_exact {
        page(&mut select, query);
    }
    let (mut skip, mut left) =
        if is_exact { (0, u64::MAX) } else { (query.page.offset, query.page.limit.unwrap_or(u64::MAX)) };
    let mut stream = select.build().fetch(pool);
    while left > 0
        && let Some(row) = stream.try_next().await.map_err(sql_error)?
    {
        let attributes = attributes(query.level, &row)?;
        if !is_exact && !query.matches(&attributes) {
            continue;
        }
        if skip > 0 {
            skip -= 1;
            continue;
        }
        left -= 1;
        match found.send_timeout(Row { level: query.level, attributes }, PATIENCE).await {
            Ok(()) => {}
            Err(SendTimeoutError::Closed(_)) => return Ok(()),
            Err(SendTimeoutError::Timeout(_)) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the rows of a search were not taken in time",
                ));
            }
        }
    }
    Ok(())
}

pub(super) async fn count(pool: &SqlitePool, query: &Query) -> Result<u64> {
    if is_exact(query) {
        let mut select = QueryBuilder::new(format!("SELECT count(*) AS n {}", from(query.level)));
        conditions(&mut select, query);
        return rows::unsigned(&select.build().fetch_one(pool).await.map_err(sql_error)?, "n");
    }
    let mut select = QueryBuilder::new(select(query.level));
    conditions(&mut select, query);
    let mut sql = select;
    let mut stream = sql.build().fetch(pool);
    let mut matches = 0;
    while let Some(row) = stream.try_next().await.map_err(sql_error)? {
        matches += u64::from(query.matches(&attributes(query.level, &row)?));
    }
    Ok(matches)
}

fn page(select: &mut QueryBuilder<Sqlite>, query: &Query) {
    let limit = query.page.limit.map_or(-1, super::commit::signed);
    select
        .push(" LIMIT ")
        .push_bind(limit)
        .push(" OFFSET ")
        .push_bind(super::commit::signed(query.page.offset));
}

fn from(level: Level) -> &'static str {
    match level {
        Level::Patient => "FROM patients p WHERE 1",
        Level::Study => "FROM studies s JOIN patients p ON p.id = s.patient WHERE 1",
        Level::Series => {
            "FROM series e JOIN studies s ON s.id = e.study JOIN patients p ON p.id = s.patient WHERE 1"
        }
        Level::Instance => {
            "FROM instances i JOIN headers h ON h.instance = i.id JOIN series e ON e.id = i.series \
             JOIN studies s ON s.id = e.study JOIN patients p ON p.id = s.patient WHERE 1"
        }
    }
}

fn select(level: Level) -> String {
    const PATIENT: &str = "p.attributes AS patient, \
        (SELECT count(*) FROM studies WHERE patient = p.id) AS patient_studies, \
        (SELECT sum(series_count) FROM studies WHERE patient = p.id) AS patient_series, \
        (SELECT sum(instance_count) FROM studies WHERE patient = p.id) AS patient_instances";
    const STUDY: &str =
        "s.attributes AS study, s.modalities, s.sop_classes, s.series_count, s.instance_count";
    const SERIES: &str = "e.attributes AS series, e.instance_count AS series_instances";
    let columns = match level {
        Level::Patient => PATIENT.to_owned(),
        Level::Study => format!("{PATIENT}, {STUDY}"),
        Level::Series => format!("p.attributes AS patient, {STUDY}, {SERIES}"),
        Level::Instance => format!("p.attributes AS patient, {STUDY}, {SERIES}, h.header"),
    };
    format!("SELECT {columns} {}", from(level))
}

fn order(level: Level) -> &'static str {
    match level {
        Level::Patient => " ORDER BY p.name, p.id",
        Level::Study => " ORDER BY s.date DESC, s.time DESC, s.id DESC",
        Level::Series => " ORDER BY s.date DESC, s.time DESC, s.id DESC, e.number, e.id",
        Level::Instance => " ORDER BY s.date DESC, s.time DESC, s.id DESC, e.number, e.id, i.number, i.id",
    }
}

/// Where a key is kept in a column of its own, exactly as it is compared.
fn column(tag: Tag) -> Option<&'static str> {
    match tag {
        tags::STUDY_INSTANCE_UID => Some("s.uid"),
        tags::SERIES_INSTANCE_UID => Some("e.uid"),
        tags::SOP_INSTANCE_UID => Some("i.uid"),
        tags::SOP_CLASS_UID => Some("i.sop_class"),
        tags::PATIENT_ID => Some("p.patient_id"),
        tags::ACCESSION_NUMBER => Some("s.accession"),
        tags::MODALITY => Some("e.modality"),
        _ => None,
    }
}

fn is_exact(query: &Query) -> bool {
    query.keys.iter().all(|key| match &key.matching {
        Matching::Universal => true,
        Matching::Values(_) => column(key.tag()).is_some(),
        _ => false,
    })
}

fn conditions(select: &mut QueryBuilder<Sqlite>, query: &Query) {
    for key in &query.keys {
        match (&key.matching, column(key.tag())) {
            (Matching::Values(values), Some(column)) => {
                select.push(format!(" AND {column} IN ("));
                let mut list = select.separated(", ");
                for value in values {
                    list.push_bind(value.clone());
                }
                select.push(")");
            }
            (Matching::Wildcard(pattern), Some(column)) => {
                begins(select, column, &Pattern::new(pattern).prefix())
            }
            _ => other_condition(select, key),
        }
    }
}

fn other_condition(select: &mut QueryBuilder<Sqlite>, key: &Key) {
    match (key.tag(), &key.matching) {
        (tags::PATIENT_NAME, Matching::Wildcard(pattern)) => name_like(select, pattern),
        (tags::PATIENT_NAME, Matching::Values(values)) => {
            let names: Vec<&String> = values.iter().filter(|name| !name.contains('=')).collect();
            if let ([name], 1) = (names.as_slice(), values.len()) {
                name_like(select, PersonName::parse(name).alphabetic.as_str());
            }
        }
        (tags::STUDY_DATE, Matching::Range(_, range)) => {
            // Dates of the old form with points are compared by the matching itself.
            if let Some(from) = &range.from {
                select.push(" AND (s.date >= ").push_bind(from.clone()).push(" OR length(s.date) <> 8)");
            }
            if let Some(to) = &range.to {
                select.push(" AND (s.date <= ").push_bind(to.clone()).push(" OR length(s.date) <> 8)");
            }
        }
        (tags::MODALITIES_IN_STUDY, Matching::Values(values)) => {
            select.push(" AND (0");
            for value in values {
                select.push(" OR instr(s.modalities, ").push_bind(value.clone()).push(") > 0");
            }
            select.push(")");
        }
        _ => {}
    }
}

/// By the folded name: the prefix by its index, or the longest run that has to be in it.
fn name_like(select: &mut QueryBuilder<Sqlite>, pattern: &str) {
    let pattern = Pattern::new(&fold(pattern));
    // A component that is empty at the end is not kept.
    let prefix = pattern.prefix().trim_end_matches(['^', '=']).to_owned();
    let run = pattern.longest_literal().trim_end_matches(['^', '=']).to_owned();
    if !prefix.is_empty() {
        select.push(" AND ((p.name >= ").push_bind(prefix.clone());
        select.push(" AND p.name < ").push_bind(after_prefix(&prefix));
        // Ideographic and phonetic groups stand behind the alphabetic one.
        select.push(") OR (instr(p.name, '=') > 0 AND instr(p.name, ").push_bind(prefix).push(") > 0))");
    } else if !run.is_empty() {
        select.push(" AND instr(p.name, ").push_bind(run).push(") > 0");
    }
}

fn begins(select: &mut QueryBuilder<Sqlite>, column: &str, prefix: &str) {
    if !prefix.is_empty() {
        select.push(format!(" AND {column} >= ")).push_bind(prefix.to_owned());
        select.push(format!(" AND {column} < ")).push_bind(after_prefix(prefix));
    }
}

/// Greater than every text with this prefix (by bytes of UTF-8, as SQLite compares).
fn after_prefix(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

fn attributes(level: Level, row: &SqliteRow) -> Result<Attributes> {
    let blob = |column| -> Result<Attributes> {
        let bytes: Vec<u8> = row.try_get(column).map_err(sql_error)?;
        Attributes::read(bytes.into(), Encoding::ExplicitLittle)
    };
    let mut all =
        if level == Level::Instance { rows::header(row)?.attributes()?.in_utf8() } else { Attributes::new() };
    add(&mut all, &blob("patient")?);
    if matches!(level, Level::Patient | Level::Study) {
        count_into(&mut all, row, tags::NUMBER_OF_PATIENT_RELATED_STUDIES, "patient_studies")?;
        count_into(&mut all, row, tags::NUMBER_OF_PATIENT_RELATED_SERIES, "patient_series")?;
        count_into(&mut all, row, tags::NUMBER_OF_PATIENT_RELATED_INSTANCES, "patient_instances")?;
    }
    if level >= Level::Study {
        add(&mut all, &blob("study")?);
        let text = |column| row.try_get::<String, _>(column).map_err(sql_error);
        all.put_text(tags::MODALITIES_IN_STUDY, VR::CS, &text("modalities")?);
        all.put_text(tags::SOP_CLASSES_IN_STUDY, VR::UI, &text("sop_classes")?);
        count_into(&mut all, row, tags::NUMBER_OF_STUDY_RELATED_SERIES, "series_count")?;
        count_into(&mut all, row, tags::NUMBER_OF_STUDY_RELATED_INSTANCES, "instance_count")?;
    }
    if level >= Level::Series {
        add(&mut all, &blob("series")?);
        count_into(&mut all, row, tags::NUMBER_OF_SERIES_RELATED_INSTANCES, "series_instances")?;
    }
    Ok(all)
}

fn add(all: &mut Attributes, level: &Attributes) {
    for element in level.iter().filter(|e| e.tag != tags::SPECIFIC_CHARACTER_SET) {
        all.put_from(level, element);
    }
}

fn count_into(all: &mut Attributes, row: &SqliteRow, tag: Tag, column: &str) -> Result<()> {
    let count: Option<i64> = row.try_get(column).map_err(sql_error)?;
    all.put_text(tag, VR::IS, &count.unwrap_or_default().to_string());
    Ok(())
}
