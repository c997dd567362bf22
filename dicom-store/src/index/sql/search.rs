//! A query as SQL that narrows, and matching that decides.
//!
//! The conditions use the indexes and never leave out a row that matches; whether a row does is
//! decided by [`Query::matches`] alone. Where the conditions say all there is to say, the page is
//! cut by SQL as well. A long answer is read page by page, each behind the last row of the one
//! before it, so that nobody who takes his time holds a connection.

use std::collections::HashMap;

use dicom::dictionary_std::tags;

use super::{Connection, Dialect, SqlRow, SqlValue, Statement, rows, signed};
use crate::Result;
use crate::index::{SearchCursor, SearchPage};
use crate::model::{Attributes, Encoding, Header, Level, PersonName, Tag, VR, fold};
use crate::query::{Key, Matching, Pattern, Query, Row};

/// Rows that are looked at in one page.
const PAGE: u64 = 256;

/// The next rows that match, and where the page behind them begins.
pub(in crate::index) async fn page<C: Connection>(
    connection: &mut C,
    query: &Query,
    after: Option<&SearchCursor>,
) -> Result<SearchPage> {
    let is_exact = is_exact(query);
    let wanted = query.page.limit.unwrap_or(u64::MAX).saturating_sub(after.map_or(0, |cursor| cursor.found));
    let size = if is_exact { PAGE.min(wanted) } else { PAGE };
    let mut statement = Statement::new(select(query.level));
    conditions(&mut statement, C::DIALECT, query);
    if let Some(cursor) = after {
        behind(&mut statement, query.level, &cursor.place);
    }
    statement.push(order(query.level)).push(" LIMIT ").push_bind(signed(size)?);
    if is_exact && after.is_none() && query.page.offset > 0 {
        statement.push(" OFFSET ").push_bind(signed(query.page.offset)?);
    }
    let found = if size == 0 { Vec::new() } else { connection.fetch(statement).await? };
    let is_last = (found.len() as u64) < size || size == 0;
    let mut skip = if is_exact { 0 } else { after.map_or(query.page.offset, |cursor| cursor.skip) };
    let mut matching = Vec::new();
    let references = references(connection, query.level, &found).await?;
    for row in &found {
        let attributes = attributes(query.level, row, &references)?;
        if !is_exact && !query.matches(&attributes) {
            continue;
        }
        if skip > 0 {
            skip -= 1;
        } else if (matching.len() as u64) < wanted {
            matching.push(Row { level: query.level, attributes });
        }
    }
    let is_last = is_last || matching.len() as u64 >= wanted;
    let next = match found.last() {
        Some(last) if !is_last => Some(SearchCursor {
            place: place(query.level, last)?,
            skip,
            found: after.map_or(0, |cursor| cursor.found) + matching.len() as u64,
        }),
        _ => None,
    };
    Ok(SearchPage { rows: matching, next })
}

/// How many match, whatever the page.
pub(in crate::index) async fn count<C: Connection>(connection: &mut C, query: &Query) -> Result<u64> {
    if is_exact(query) {
        let mut statement = Statement::new(format!("SELECT count(*) {}", from(query.level)));
        conditions(&mut statement, C::DIALECT, query);
        return connection.fetch_one(statement).await?.unsigned(0);
    }
    let all = Query { page: crate::Page::default(), ..query.clone() };
    let (mut count, mut after) = (0, None);
    loop {
        let found = page(connection, &all, after.as_ref()).await?;
        count += found.rows.len() as u64;
        after = found.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

fn from(level: Level) -> &'static str {
    match level {
        Level::Patient => {
            "FROM patients p WHERE EXISTS (SELECT 1 FROM studies s WHERE s.patient = p.id AND s.instance_count > 0)"
        }
        Level::Study => "FROM studies s JOIN patients p ON p.id = s.patient WHERE s.instance_count > 0",
        Level::Series => {
            "FROM series e JOIN studies s ON s.id = e.study JOIN patients p ON p.id = s.patient WHERE e.instance_count > 0"
        }
        Level::Instance => {
            "FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study \
             JOIN patients p ON p.id = s.patient JOIN terms k ON k.id = i.sop_class WHERE i.state = 0"
        }
    }
}

/// The columns of a level: its place in the order first, then what [`attributes`] reads.
fn select(level: Level) -> String {
    const COUNTS: &str = "(SELECT count(*) FROM studies c WHERE c.patient = p.id AND c.instance_count > 0), \
        (SELECT CAST(coalesce(sum(c.series_count), 0) AS BIGINT) FROM studies c WHERE c.patient = p.id), \
        (SELECT CAST(coalesce(sum(c.instance_count), 0) AS BIGINT) FROM studies c WHERE c.patient = p.id)";
    const STUDY: &str = "s.attributes, s.modalities, s.sop_classes, s.series_count, s.instance_count";
    let columns = match level {
        Level::Patient => format!("p.name, p.id, p.attributes, {COUNTS}"),
        Level::Study => format!("s.date, s.time, s.id, p.attributes, {STUDY}, {COUNTS}"),
        Level::Series => format!(
            "s.date, s.time, s.id, e.number, e.id, p.attributes, {STUDY}, e.attributes, e.instance_count"
        ),
        Level::Instance => format!(
            "s.date, s.time, s.id, e.number, e.id, i.number, i.id, p.attributes, {STUDY}, e.attributes, e.instance_count, i.header"
        ),
    };
    format!("SELECT {columns} {}", from(level))
}

/// How many columns tell the place in the order.
fn place_columns(level: Level) -> usize {
    match level {
        Level::Patient => 2,
        Level::Study => 3,
        Level::Series => 5,
        Level::Instance => 7,
    }
}

fn order(level: Level) -> &'static str {
    match level {
        Level::Patient => " ORDER BY p.name, p.id",
        Level::Study => " ORDER BY s.date DESC, s.time DESC, s.id DESC",
        Level::Series => " ORDER BY s.date DESC, s.time DESC, s.id DESC, e.number, e.id",
        Level::Instance => " ORDER BY s.date DESC, s.time DESC, s.id DESC, e.number, e.id, i.number, i.id",
    }
}

fn place(level: Level, row: &SqlRow) -> Result<Vec<SqlValue>> {
    let text = |column| Ok(SqlValue::from(row.text(column)?));
    let int = |column| Ok(SqlValue::from(row.int(column)?));
    match level {
        Level::Patient => Ok(vec![text(0)?, int(1)?]),
        _ => {
            let numbers = (2..place_columns(level)).map(int);
            [text(0), text(1)].into_iter().chain(numbers).collect()
        }
    }
}

/// Only rows behind this place.
fn behind(statement: &mut Statement, level: Level, place: &[SqlValue]) {
    let list = |statement: &mut Statement, values: &[SqlValue]| {
        statement.push_list(values.iter().cloned());
    };
    match (level, place) {
        (Level::Patient, place) => {
            statement.push(" AND (p.name, p.id) > ");
            list(statement, place);
        }
        (Level::Study, place) => {
            statement.push(" AND (s.date, s.time, s.id) < ");
            list(statement, place);
        }
        (_, [date, time, study, lower @ ..]) => {
            let columns =
                if level == Level::Series { "(e.number, e.id)" } else { "(e.number, e.id, i.number, i.id)" };
            statement.push(" AND (s.date, s.time, s.id) <= ");
            list(statement, &[date.clone(), time.clone(), study.clone()]);
            statement.push(" AND (s.id <> ").push_bind(study.clone()).push(" OR ").push(columns).push(" > ");
            list(statement, lower);
            statement.push(")");
        }
        _ => {}
    }
}

/// Where a key is kept in a column of its own, exactly as it is compared.
fn column(tag: Tag) -> Option<&'static str> {
    match tag {
        tags::STUDY_INSTANCE_UID => Some("s.uid"),
        tags::SERIES_INSTANCE_UID => Some("e.uid"),
        tags::SOP_INSTANCE_UID => Some("i.uid"),
        tags::SOP_CLASS_UID => Some("k.term"),
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

fn conditions(statement: &mut Statement, dialect: Dialect, query: &Query) {
    for key in &query.keys {
        match (&key.matching, column(key.tag())) {
            (Matching::Values(values), Some(column)) => {
                statement.push(&format!(" AND {column} IN "));
                statement.push_list(values.iter().map(String::as_str));
            }
            (Matching::Wildcard(pattern), Some(column)) => {
                begins(statement, column, &Pattern::new(pattern).prefix());
            }
            _ => other_condition(statement, dialect, key),
        }
    }
}

fn other_condition(statement: &mut Statement, dialect: Dialect, key: &Key) {
    match (key.tag(), &key.matching) {
        (tags::PATIENT_NAME, Matching::Wildcard(pattern)) => name_like(statement, dialect, pattern),
        (tags::PATIENT_NAME, Matching::Values(values)) => {
            let names: Vec<&String> = values.iter().filter(|name| !name.contains('=')).collect();
            if let ([name], 1) = (names.as_slice(), values.len()) {
                name_like(statement, dialect, PersonName::parse(name).alphabetic.as_str());
            }
        }
        (tags::STUDY_DATE, Matching::Range(_, range)) => {
            // Dates of the old form with points are compared by the matching itself.
            if let Some(from) = &range.from {
                statement.push(" AND (s.date >= ").push_bind(from.as_str()).push(" OR length(s.date) <> 8)");
            }
            if let Some(to) = &range.to {
                statement.push(" AND (s.date <= ").push_bind(to.as_str()).push(" OR length(s.date) <> 8)");
            }
        }
        (tags::MODALITIES_IN_STUDY, Matching::Values(values)) => {
            statement.push(" AND (1 = 0");
            for value in values {
                statement.push(&format!(" OR {}(s.modalities, ", dialect.position()));
                statement.push_bind(value.as_str()).push(") > 0");
            }
            statement.push(")");
        }
        _ => {}
    }
}

/// By the folded name: the prefix by its index, or the longest run that has to be in it.
fn name_like(statement: &mut Statement, dialect: Dialect, pattern: &str) {
    let pattern = Pattern::new(&fold(pattern));
    let position = dialect.position();
    // A component that is empty at the end is not kept.
    let prefix = pattern.prefix().trim_end_matches(['^', '=']).to_owned();
    let run = pattern.longest_literal().trim_end_matches(['^', '=']).to_owned();
    if !prefix.is_empty() {
        statement.push(" AND ((p.name >= ").push_bind(prefix.as_str());
        statement.push(" AND p.name < ").push_bind(after_prefix(&prefix));
        // Ideographic and phonetic groups stand behind the alphabetic one.
        statement.push(&format!(") OR ({position}(p.name, '=') > 0 AND {position}(p.name, "));
        statement.push_bind(prefix).push(") > 0))");
    } else if !run.is_empty() {
        statement.push(&format!(" AND {position}(p.name, ")).push_bind(run).push(") > 0");
    }
}

fn begins(statement: &mut Statement, column: &str, prefix: &str) {
    if !prefix.is_empty() {
        statement.push(&format!(" AND {column} >= ")).push_bind(prefix);
        statement.push(&format!(" AND {column} < ")).push_bind(after_prefix(prefix));
    }
}

/// Greater than every text with this prefix (by bytes of UTF-8, as the back ends compare).
fn after_prefix(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

/// What the headers of these rows are told apart from; only instances have one.
async fn references<C: Connection>(
    connection: &mut C,
    level: Level,
    found: &[SqlRow],
) -> Result<HashMap<i64, bytes::Bytes>> {
    if level != Level::Instance {
        return Ok(HashMap::new());
    }
    let series = found.iter().map(|row| row.int(4)).collect::<Result<Vec<_>>>()?;
    rows::references(connection, &series).await
}

fn attributes(level: Level, row: &SqlRow, references: &HashMap<i64, bytes::Bytes>) -> Result<Attributes> {
    let at = place_columns(level);
    let mut all = match level {
        Level::Instance => {
            let reference = references.get(&row.int(4)?).map(|bytes| &bytes[..]).unwrap_or_default();
            Header::from_bytes(row.blob(at + 8)?, reference)?.attributes()?.in_utf8()
        }
        _ => Attributes::new(),
    };
    add(&mut all, row.blob(at)?)?;
    if level == Level::Patient {
        patient_counts(&mut all, row, at + 1)?;
    } else {
        add(&mut all, row.blob(at + 1)?)?;
        all.put_text(tags::MODALITIES_IN_STUDY, VR::CS, row.text(at + 2)?);
        all.put_text(tags::SOP_CLASSES_IN_STUDY, VR::UI, row.text(at + 3)?);
        count_into(&mut all, row, tags::NUMBER_OF_STUDY_RELATED_SERIES, at + 4)?;
        count_into(&mut all, row, tags::NUMBER_OF_STUDY_RELATED_INSTANCES, at + 5)?;
    }
    if level == Level::Study {
        patient_counts(&mut all, row, at + 6)?;
    }
    if level >= Level::Series {
        add(&mut all, row.blob(at + 6)?)?;
        count_into(&mut all, row, tags::NUMBER_OF_SERIES_RELATED_INSTANCES, at + 7)?;
    }
    Ok(all)
}

fn patient_counts(all: &mut Attributes, row: &SqlRow, at: usize) -> Result<()> {
    count_into(all, row, tags::NUMBER_OF_PATIENT_RELATED_STUDIES, at)?;
    count_into(all, row, tags::NUMBER_OF_PATIENT_RELATED_SERIES, at + 1)?;
    count_into(all, row, tags::NUMBER_OF_PATIENT_RELATED_INSTANCES, at + 2)
}

fn add(all: &mut Attributes, stored: &[u8]) -> Result<()> {
    let level = Attributes::read(bytes::Bytes::copy_from_slice(stored), Encoding::ExplicitLittle)?;
    for element in level.iter().filter(|e| e.tag != tags::SPECIFIC_CHARACTER_SET) {
        all.put_from(&level, element);
    }
    Ok(())
}

fn count_into(all: &mut Attributes, row: &SqlRow, tag: Tag, column: usize) -> Result<()> {
    all.put_text(tag, VR::IS, &row.int(column)?.to_string());
    Ok(())
}
