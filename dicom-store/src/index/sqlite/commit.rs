//! A group of instances into the tables, in one transaction.

use std::collections::{BTreeSet, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::rows::NO_NUMBER;
use super::{Writer, sql_error};
use crate::Result;
use crate::change::{ChangeKind, Cursor};
use crate::index::{Mark, NewInstance};
use crate::model::{PackId, SeriesInstanceUid, StudyInstanceUid};

/// Rows of one statement; fixed shapes, so that each is prepared once.
const SHAPES: [usize; 4] = [64, 16, 4, 1];
/// Studies and series that are remembered, at the most.
const MAX_REMEMBERED: usize = 4096;

/// What the writer knows of the tables: it is the only one that changes them.
#[derive(Debug, Default)]
pub(super) struct Memory {
    studies: HashMap<StudyInstanceUid, Study>,
    series: HashMap<(StudyInstanceUid, SeriesInstanceUid), i64>,
    last_instance: i64,
    last_change: i64,
}

#[derive(Debug, Clone)]
struct Study {
    id: i64,
    modalities: BTreeSet<String>,
    sop_classes: BTreeSet<String>,
}

/// What a group adds to rows that are there.
#[derive(Debug, Default)]
struct Added {
    studies: HashMap<i64, (i64, i64)>,
    series: HashMap<i64, i64>,
    changed: BTreeSet<StudyInstanceUid>,
}

impl Memory {
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self> {
        let sql = "SELECT (SELECT coalesce(max(id), 0) FROM instances), (SELECT coalesce(max(cursor), 0) FROM changes)";
        let row = sqlx::query(sql).fetch_one(connection).await.map_err(sql_error)?;
        Ok(Self {
            last_instance: row.try_get(0).map_err(sql_error)?,
            last_change: row.try_get(1).map_err(sql_error)?,
            ..Self::default()
        })
    }

    fn forget_when_full(&mut self) {
        if self.studies.len() > MAX_REMEMBERED {
            self.studies.clear();
        }
        if self.series.len() > MAX_REMEMBERED {
            self.series.clear();
        }
    }
}

impl Writer {
    pub(super) async fn commit(&mut self, group: &[NewInstance], marks: &[Mark]) -> Result<Cursor> {
        self.begin().await?;
        let result = self.write(group, marks).await;
        let last = result.as_ref().map_or(Cursor::default(), |cursor| *cursor);
        let result = self.end(result.map(|_| ())).await;
        if result.is_err() {
            // What was remembered may not be there: it is read again before the next group.
            self.memory = None;
        }
        result.map(|()| last)
    }

    async fn write(&mut self, group: &[NewInstance], marks: &[Mark]) -> Result<Cursor> {
        let Self { connection, memory, .. } = self;
        let connection = connection.as_mut().ok_or_else(super::closed)?;
        let memory = match memory {
            Some(memory) => memory,
            None => memory.insert(Memory::load(connection).await?),
        };
        memory.forget_when_full();
        write(connection, memory, group, marks).await?;
        Ok(Cursor(memory.last_change))
    }
}

async fn write(
    connection: &mut SqliteConnection,
    memory: &mut Memory,
    group: &[NewInstance],
    marks: &[Mark],
) -> Result<()> {
    let mut added = Added::default();
    let mut rows = Vec::with_capacity(group.len());
    let (conflicts, shown): (Vec<&NewInstance>, Vec<&NewInstance>) =
        group.iter().partition(|new| new.is_conflict);
    for new in shown {
        let series = series(connection, memory, &mut added, new).await?;
        memory.last_instance += 1;
        rows.push((memory.last_instance, series, new));
    }
    insert_instances(connection, &rows).await?;
    insert_conflicts(connection, &conflicts).await?;
    insert_changes(connection, memory, group).await?;
    update_counts(connection, memory, &added).await?;
    for Mark { pack: PackId(pack), offset } in marks {
        let sql = "INSERT INTO marks (pack, offset) VALUES (?, ?) ON CONFLICT (pack) DO UPDATE SET offset = max(offset, excluded.offset)";
        sqlx::query(sql)
            .bind(signed(*pack))
            .bind(signed(*offset))
            .execute(&mut *connection)
            .await
            .map_err(sql_error)?;
    }
    Ok(())
}

/// The row of the instance's series, made where it is missing, and those above it.
async fn series(
    connection: &mut SqliteConnection,
    memory: &mut Memory,
    added: &mut Added,
    new: &NewInstance,
) -> Result<i64> {
    let mut study = study(connection, memory, new).await?;
    let key = (new.study.clone(), new.series.clone());
    let counts = added.studies.entry(study.id).or_default();
    counts.1 += 1;
    let id = match memory.series.get(&key) {
        Some(id) => *id,
        None => {
            let sql = "SELECT id FROM series WHERE study = ? AND uid = ?";
            let found =
                sqlx::query(sql).bind(study.id).bind(new.series.as_str()).fetch_optional(&mut *connection);
            let id = match found.await.map_err(sql_error)? {
                Some(row) => row.try_get(0).map_err(sql_error)?,
                None => {
                    counts.0 += 1;
                    insert_series(connection, study.id, new).await?
                }
            };
            memory.series.insert(key, id);
            id
        }
    };
    *added.series.entry(id).or_default() += 1;
    let is_new_modality =
        !new.levels.modality.is_empty() && study.modalities.insert(new.levels.modality.clone());
    let is_new_class = study.sop_classes.insert(new.sop_class.to_string());
    if is_new_modality || is_new_class {
        memory.studies.insert(new.study.clone(), study);
        added.changed.insert(new.study.clone());
    }
    Ok(id)
}

async fn study(connection: &mut SqliteConnection, memory: &mut Memory, new: &NewInstance) -> Result<Study> {
    if let Some(study) = memory.studies.get(&new.study) {
        return Ok(study.clone());
    }
    let sql = "SELECT id, modalities, sop_classes FROM studies WHERE uid = ?";
    let found = sqlx::query(sql)
        .bind(new.study.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(sql_error)?;
    let study = match found {
        Some(row) => {
            let set = |column| -> Result<BTreeSet<String>> {
                let joined: String = row.try_get(column).map_err(sql_error)?;
                Ok(joined.split('\\').filter(|value| !value.is_empty()).map(str::to_owned).collect())
            };
            Study {
                id: row.try_get("id").map_err(sql_error)?,
                modalities: set("modalities")?,
                sop_classes: set("sop_classes")?,
            }
        }
        None => {
            let patient = patient(connection, new).await?;
            let id = insert_study(connection, patient, new).await?;
            Study { id, modalities: BTreeSet::new(), sop_classes: BTreeSet::new() }
        }
    };
    memory.studies.insert(new.study.clone(), study.clone());
    Ok(study)
}

/// A patient is an identifier and its issuer; without an identifier, no two studies are of one patient.
async fn patient(connection: &mut SqliteConnection, new: &NewInstance) -> Result<i64> {
    let key = new.levels.patient.expose();
    let scope = if key.id.is_empty() { new.study.as_str() } else { "" };
    let sql = "INSERT INTO patients (issuer, patient_id, scope, name, attributes) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT (issuer, patient_id, scope) DO UPDATE SET scope = scope RETURNING id";
    let row = sqlx::query(sql)
        .bind(key.issuer.as_str())
        .bind(key.id.as_str())
        .bind(scope)
        .bind(new.levels.patient_name.expose().as_str())
        .bind(new.levels.patient_attributes.expose().as_slice())
        .fetch_one(connection)
        .await;
    row.and_then(|row| row.try_get(0)).map_err(sql_error)
}

async fn insert_study(connection: &mut SqliteConnection, patient: i64, new: &NewInstance) -> Result<i64> {
    let sql = "INSERT INTO studies (uid, patient, date, time, accession, modalities, sop_classes, series_count, instance_count, attributes)
               VALUES (?, ?, ?, ?, ?, '', '', 0, 0, ?) RETURNING id";
    let row = sqlx::query(sql)
        .bind(new.study.as_str())
        .bind(patient)
        .bind(new.levels.study_date.as_str())
        .bind(new.levels.study_time.as_str())
        .bind(new.levels.accession_number.expose().as_str())
        .bind(new.levels.study_attributes.expose().as_slice())
        .fetch_one(connection)
        .await;
    row.and_then(|row| row.try_get(0)).map_err(sql_error)
}

async fn insert_series(connection: &mut SqliteConnection, study: i64, new: &NewInstance) -> Result<i64> {
    let sql = "INSERT INTO series (uid, study, modality, number, instance_count, attributes)
               VALUES (?, ?, ?, ?, 0, ?) RETURNING id";
    let row = sqlx::query(sql)
        .bind(new.series.as_str())
        .bind(study)
        .bind(new.levels.modality.as_str())
        .bind(new.levels.series_number.unwrap_or(NO_NUMBER))
        .bind(new.levels.series_attributes.expose().as_slice())
        .fetch_one(connection)
        .await;
    row.and_then(|row| row.try_get(0)).map_err(sql_error)
}

/// Cuts rows into the fixed shapes, largest first.
fn shapes<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SHAPES.iter().find(|size| **size <= rows.len())?;
        let (shape, rest) = rows.split_at(*size);
        rows = rest;
        Some(shape)
    })
}

async fn insert_instances(
    connection: &mut SqliteConnection,
    rows: &[(i64, i64, &NewInstance)],
) -> Result<()> {
    let received = now();
    for shape in shapes(rows) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO instances (id, uid, series, number, sop_class, transfer_syntax, frames, pack, offset, length, data_set, digest, sender, received) ",
        );
        insert.push_values(shape, |mut row, (id, series, new)| {
            row.push_bind(*id)
                .push_bind(new.sop_instance.to_string())
                .push_bind(*series)
                .push_bind(new.number.unwrap_or(NO_NUMBER))
                .push_bind(new.sop_class.to_string())
                .push_bind(new.transfer_syntax.to_string())
                .push_bind(new.frames)
                .push_bind(signed(new.location.pack.0))
                .push_bind(signed(new.location.offset))
                .push_bind(signed(new.location.length))
                .push_bind(signed(new.data_set))
                .push_bind(new.digest.to_vec())
                .push_bind(new.sender.clone())
                .push_bind(received);
        });
        insert.build().execute(&mut *connection).await.map_err(sql_error)?;
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO headers (instance, header, frame_map) ");
        insert.push_values(shape, |mut row, (id, _, new)| {
            row.push_bind(*id).push_bind(new.header.clone()).push_bind(new.frame_map.clone());
        });
        insert.build().execute(&mut *connection).await.map_err(sql_error)?;
    }
    Ok(())
}

async fn insert_conflicts(connection: &mut SqliteConnection, conflicts: &[&NewInstance]) -> Result<()> {
    for new in conflicts {
        // One of which only conflicts are known may be read from the log again.
        let sql = "INSERT INTO conflicts (uid, study, series, pack, offset, length, digest, sender, received)
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
                   WHERE NOT EXISTS (SELECT 1 FROM conflicts WHERE uid = ?1 AND digest = ?7)";
        sqlx::query(sql)
            .bind(new.sop_instance.as_str())
            .bind(new.study.as_str())
            .bind(new.series.as_str())
            .bind(signed(new.location.pack.0))
            .bind(signed(new.location.offset))
            .bind(signed(new.location.length))
            .bind(new.digest.as_slice())
            .bind(new.sender.as_str())
            .bind(now())
            .execute(&mut *connection)
            .await
            .map_err(sql_error)?;
    }
    Ok(())
}

async fn insert_changes(
    connection: &mut SqliteConnection,
    memory: &mut Memory,
    group: &[NewInstance],
) -> Result<()> {
    for shape in shapes(group) {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO changes (cursor, kind, study, series, instance) ");
        insert.push_values(shape, |mut row, new| {
            memory.last_change += 1;
            let kind = if new.is_conflict { ChangeKind::Conflict } else { ChangeKind::Stored };
            row.push_bind(memory.last_change)
                .push_bind(super::work::kind_number(kind))
                .push_bind(new.study.to_string())
                .push_bind(new.series.to_string())
                .push_bind(new.sop_instance.to_string());
        });
        insert.build().execute(&mut *connection).await.map_err(sql_error)?;
    }
    Ok(())
}

async fn update_counts(connection: &mut SqliteConnection, memory: &Memory, added: &Added) -> Result<()> {
    for (series, instances) in &added.series {
        let sql = "UPDATE series SET instance_count = instance_count + ? WHERE id = ?";
        sqlx::query(sql).bind(instances).bind(series).execute(&mut *connection).await.map_err(sql_error)?;
    }
    for (study, (series, instances)) in &added.studies {
        let sql = "UPDATE studies SET series_count = series_count + ?, instance_count = instance_count + ? WHERE id = ?";
        sqlx::query(sql)
            .bind(series)
            .bind(instances)
            .bind(study)
            .execute(&mut *connection)
            .await
            .map_err(sql_error)?;
    }
    for study in added.changed.iter().filter_map(|uid| memory.studies.get(uid)) {
        let join = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join("\\");
        let sql = "UPDATE studies SET modalities = ?, sop_classes = ? WHERE id = ?";
        sqlx::query(sql)
            .bind(join(&study.modalities))
            .bind(join(&study.sop_classes))
            .bind(study.id)
            .execute(&mut *connection)
            .await
            .map_err(sql_error)?;
    }
    Ok(())
}

/// SQLite has signed numbers only; no offset comes near 2^63.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
