//! Rows of the tables as what they stand for.

use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::sql_error;
use crate::index::{HeaderCursor, HeaderPage};
use crate::model::{
    FrameMap, Header, Instance, Location, PackId, Resource, SeriesInstanceUid, SopClassUid, SopInstanceUid,
    StudyInstanceUid, TransferSyntaxUid,
};
use crate::packs::entry::Digest;
use crate::{Error, Result};

/// A series or instance number that is missing: sorts behind all others.
pub(super) const NO_NUMBER: i64 = i64::MAX;

/// Everything of an instance: what follows the joins, or further columns, further joins and that.
macro_rules! instance_select {
    ($rest:literal) => {
        instance_select!("", "", $rest)
    };
    ($columns:literal, $joins:literal, $rest:literal) => {
        concat!(
            "SELECT i.id, i.uid, i.number, i.sop_class, i.transfer_syntax, i.frames, i.pack, i.offset, i.length, ",
            "i.data_set, i.digest, e.uid AS series_uid, s.uid AS study_uid",
            $columns,
            " FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study ",
            $joins,
            $rest
        )
    };
}
pub(super) use instance_select;

pub(super) fn unsigned(row: &SqliteRow, column: &str) -> Result<u64> {
    let number: i64 = row.try_get(column).map_err(sql_error)?;
    u64::try_from(number).map_err(|_| Error::corrupt(format!("index has a negative {column}")))
}

fn text(row: &SqliteRow, column: &str) -> Result<String> {
    row.try_get(column).map_err(sql_error)
}

pub(super) fn digest(row: &SqliteRow) -> Result<Digest> {
    let bytes: &[u8] = row.try_get("digest").map_err(sql_error)?;
    bytes.try_into().map_err(|_| Error::corrupt("index has a digest of another length"))
}

pub(super) fn header(row: &SqliteRow) -> Result<Header> {
    Header::from_bytes(row.try_get("header").map_err(sql_error)?)
}

pub(super) fn frame_map(row: &SqliteRow) -> Result<FrameMap> {
    FrameMap::from_bytes(row.try_get("frame_map").map_err(sql_error)?)
}

pub(super) fn instance(row: &SqliteRow) -> Result<Instance> {
    let number: i64 = row.try_get("number").map_err(sql_error)?;
    Ok(Instance {
        study: StudyInstanceUid::parse(&text(row, "study_uid")?)?,
        series: SeriesInstanceUid::parse(&text(row, "series_uid")?)?,
        sop_instance: SopInstanceUid::parse(&text(row, "uid")?)?,
        sop_class: SopClassUid::parse(&text(row, "sop_class")?)?,
        transfer_syntax: TransferSyntaxUid::parse(&text(row, "transfer_syntax")?)?,
        number: (number != NO_NUMBER).then_some(number),
        frames: row.try_get("frames").map_err(sql_error)?,
        location: Location {
            pack: PackId(unsigned(row, "pack")?),
            offset: unsigned(row, "offset")?,
            length: unsigned(row, "length")?,
        },
        data_set: unsigned(row, "data_set")?,
    })
}

pub(super) async fn instances(pool: &SqlitePool, of: &Resource) -> Result<Vec<Instance>> {
    let query = match of {
        Resource::Patient(id) => sqlx::query(instance_select!(
            "JOIN patients p ON p.id = s.patient WHERE p.patient_id = ? ORDER BY s.id, e.number, e.id, i.number, i.id"
        ))
        .bind(id.as_str()),
        Resource::Study(study) => {
            sqlx::query(instance_select!("WHERE s.uid = ? ORDER BY e.number, e.id, i.number, i.id"))
                .bind(study.as_str())
        }
        Resource::Series(study, series) => {
            sqlx::query(instance_select!("WHERE s.uid = ? AND e.uid = ? ORDER BY i.number, i.id"))
                .bind(study.as_str())
                .bind(series.as_str())
        }
        Resource::Instance(study, series, instance) => {
            sqlx::query(instance_select!("WHERE i.uid = ? AND e.uid = ? AND s.uid = ?"))
                .bind(instance.as_str())
                .bind(series.as_str())
                .bind(study.as_str())
        }
    };
    let rows = query.fetch_all(pool).await.map_err(sql_error)?;
    rows.iter().map(instance).collect()
}

/// Rows of the series of a resource, in their order.
async fn series_of(pool: &SqlitePool, of: &Resource) -> Result<Vec<i64>> {
    let query = match of {
        Resource::Patient(id) => sqlx::query(
            "SELECT e.id FROM series e JOIN studies s ON s.id = e.study JOIN patients p ON p.id = s.patient
             WHERE p.patient_id = ? ORDER BY s.id, e.number, e.id",
        )
        .bind(id.as_str()),
        Resource::Study(study) => sqlx::query(
            "SELECT e.id FROM series e JOIN studies s ON s.id = e.study WHERE s.uid = ? ORDER BY e.number, e.id",
        )
        .bind(study.as_str()),
        Resource::Series(study, series) | Resource::Instance(study, series, _) => {
            sqlx::query("SELECT e.id FROM series e JOIN studies s ON s.id = e.study WHERE s.uid = ? AND e.uid = ?")
                .bind(study.as_str())
                .bind(series.as_str())
        }
    };
    let rows = query.fetch_all(pool).await.map_err(sql_error)?;
    rows.iter().map(|row| row.try_get(0).map_err(sql_error)).collect()
}

/// A page goes through one series; the cursor is its row, and number and row of the last instance.
pub(super) async fn headers(
    pool: &SqlitePool,
    of: &Resource,
    after: Option<HeaderCursor>,
    limit: u32,
) -> Result<HeaderPage> {
    if let Resource::Instance(_, _, uid) = of {
        return one_header(pool, uid).await;
    }
    let series = series_of(pool, of).await?;
    let (current, number, id) = match after.as_ref().map(|cursor| cursor.0.as_slice()) {
        Some([series, number, id]) => (*series, *number, *id),
        _ => (series.first().copied().unwrap_or_default(), i64::MIN, 0),
    };
    let rest = series.iter().skip_while(|id| **id != current).copied();
    let mut place = (number, id);
    for series in rest {
        let sql = instance_select!(
            ", h.header",
            "JOIN headers h ON h.instance = i.id ",
            "WHERE i.series = ? AND (i.number, i.id) > (?, ?) ORDER BY i.number, i.id LIMIT ?"
        );
        let query = sqlx::query(sql).bind(series).bind(place.0).bind(place.1).bind(limit);
        let rows = query.fetch_all(pool).await.map_err(sql_error)?;
        if let Some(last) = rows.last() {
            let next = vec![
                series,
                last.try_get("number").map_err(sql_error)?,
                last.try_get("id").map_err(sql_error)?,
            ];
            let page = rows.iter().map(|row| Ok((instance(row)?, header(row)?))).collect::<Result<_>>()?;
            return Ok((page, Some(HeaderCursor(next))));
        }
        place = (i64::MIN, 0);
    }
    Ok((Vec::new(), None))
}

async fn one_header(pool: &SqlitePool, uid: &SopInstanceUid) -> Result<HeaderPage> {
    let sql = instance_select!(", h.header", "JOIN headers h ON h.instance = i.id ", "WHERE i.uid = ?");
    let row = sqlx::query(sql).bind(uid.as_str()).fetch_optional(pool).await.map_err(sql_error)?;
    let page = row.map(|row| Ok::<_, Error>((instance(&row)?, header(&row)?))).transpose()?;
    Ok((page.into_iter().collect(), None))
}
