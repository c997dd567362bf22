//! Rows of the instances as what they stand for.

use std::collections::HashMap;
use std::sync::Arc;

use super::levels::reference;
use super::{Connection, SqlRow, Statement};
use crate::index::{Described, HeaderCursor, HeaderPage, InstanceState, Known, NewInstance};
use crate::model::{
    Correction, FrameMap, Header, Instance, Location, PackId, Resource, SeriesInstanceUid, SopClassUid,
    SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use crate::packs::entry::Digest;
use crate::{Error, Result};

/// A series or instance number that is missing: sorts behind all others.
pub(super) const NO_NUMBER: i64 = i64::MAX;
/// The state of an instance that is found and given out.
pub(super) const SHOWN: i64 = 0;
/// The state of one whose bytes are not what came.
pub(super) const DAMAGED: i64 = 3;

/// Columns that are read by [`instance`], and how many they are.
pub(super) const COLUMNS: &str = "i.uid, e.uid, s.uid, k.term, t.term, i.number, i.frames, i.pack, i.\"offset\", i.length, i.data_set, s.overlay";
pub(super) const COLUMN_COUNT: usize = 12;
const FROM: &str = "FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study \
    JOIN terms k ON k.id = i.sop_class JOIN terms t ON t.id = i.transfer_syntax";

/// Everything of instances: further columns, and what follows the joins.
fn select(columns: &str, rest: &str) -> Statement {
    Statement::new(format!("SELECT {COLUMNS}{columns} {FROM} {rest}"))
}

pub(super) fn instance(row: &SqlRow) -> Result<Instance> {
    let number = row.int(5)?;
    Ok(Instance {
        sop_instance: SopInstanceUid::parse(row.text(0)?)?,
        series: SeriesInstanceUid::parse(row.text(1)?)?,
        study: StudyInstanceUid::parse(row.text(2)?)?,
        sop_class: SopClassUid::parse(row.text(3)?)?,
        transfer_syntax: TransferSyntaxUid::parse(row.text(4)?)?,
        number: (number != NO_NUMBER).then_some(number),
        frames: u32::try_from(row.int(6)?)
            .map_err(|_| Error::corrupt("index has a count of frames that is none"))?,
        location: Location {
            pack: PackId(row.unsigned(7)?),
            offset: row.unsigned(8)?,
            length: row.unsigned(9)?,
        },
        data_set: row.unsigned(10)?,
        correction: row.optional_blob(11)?.map(Correction::from_bytes).transpose()?.map(Arc::new),
    })
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest> {
    bytes.try_into().map_err(|_| Error::corrupt("index has a digest of another length"))
}

pub(super) fn state(number: i64) -> Result<InstanceState> {
    match number {
        SHOWN => Ok(InstanceState::Shown),
        1 => Ok(InstanceState::Deleted),
        2 => Ok(InstanceState::Rejected),
        DAMAGED => Ok(InstanceState::Damaged),
        other => Err(Error::corrupt(format!("index has an instance in state {other}"))),
    }
}

pub(super) fn state_number(state: InstanceState) -> i64 {
    match state {
        InstanceState::Shown => SHOWN,
        InstanceState::Deleted => 1,
        InstanceState::Rejected => 2,
        InstanceState::Damaged => 3,
    }
}

/// What stands under these UIDs; one that is unknown is left out.
pub(in crate::index) async fn known<C: Connection>(
    connection: &mut C,
    uids: &[&SopInstanceUid],
) -> Result<Vec<Known>> {
    let (mut all, mut conflicting) = (Vec::new(), Vec::new());
    for some in uids.chunks(256) {
        let mut statement = select(
            ", i.digest, i.state, (SELECT count(*) FROM conflicts f WHERE f.uid = i.uid)",
            "WHERE i.uid IN ",
        );
        statement.push_list(some.iter().map(|uid| uid.as_str()));
        for row in connection.fetch(statement).await? {
            if row.int(COLUMN_COUNT + 2)? > 0 {
                conflicting.push(all.len());
            }
            all.push(Known {
                instance: instance(&row)?,
                digest: digest(row.blob(COLUMN_COUNT)?)?,
                state: state(row.int(COLUMN_COUNT + 1)?)?,
                conflicts: Vec::new(),
            });
        }
    }
    for known in conflicting {
        let Some(known) = all.get_mut(known) else { continue };
        let sql = "SELECT digest FROM conflicts WHERE uid = ?";
        let rows = connection.fetch(Statement::new(sql).bind(known.instance.sop_instance.as_str())).await?;
        known.conflicts = rows.iter().map(|row| digest(row.blob(0)?)).collect::<Result<_>>()?;
    }
    Ok(all)
}

pub(super) async fn has_conflict<C: Connection>(connection: &mut C, new: &NewInstance) -> Result<bool> {
    let sql = "SELECT 1 FROM conflicts WHERE uid = ? AND digest = ?";
    let select = Statement::new(sql).bind(new.sop_instance.as_str()).bind(new.digest.as_slice());
    Ok(connection.fetch_optional(select).await?.is_some())
}

/// Of the studies of a patient: those that show something, or all.
pub(super) const SHOWS_SOMETHING: &str = " AND s.instance_count > 0";
pub(super) const ANY: &str = "";

/// The row of the patient with such studies who is meant.
///
/// # Errors
/// `Conflict` when that may be more than one: a Patient ID is one patient's only together with who issued it
/// (PS3.3 §C.7.1.1).
pub(super) async fn patient<C: Connection>(
    connection: &mut C,
    id: &str,
    issuer: Option<&str>,
    of_studies: &str,
) -> Result<Option<i64>> {
    let mut select = Statement::new("SELECT p.id FROM patients p WHERE p.patient_id = ");
    select.push_bind(id);
    if let Some(issuer) = issuer {
        select.push(" AND p.issuer = ").push_bind(issuer);
    }
    select.push(" AND EXISTS (SELECT 1 FROM studies s WHERE s.patient = p.id").push(of_studies).push(")");
    match connection.fetch(select).await?.as_slice() {
        [] => Ok(None),
        [one] => one.int(0).map(Some),
        several => Err(Error::conflict(format!(
            "{} patients have this Patient ID: name its issuer (0010,0021)",
            several.len()
        ))),
    }
}

/// Instances of a resource by series and instance number.
pub(in crate::index) async fn instances<C: Connection>(
    connection: &mut C,
    of: &Resource,
) -> Result<Vec<Instance>> {
    let statement = match of {
        Resource::Patient { id, issuer } => {
            let Some(patient) = patient(connection, id, issuer.as_deref(), SHOWS_SOMETHING).await? else {
                return Ok(Vec::new());
            };
            select("", "WHERE s.patient = ? AND i.state = 0 ORDER BY s.id, e.number, e.id, i.number, i.id")
                .bind(patient)
        }
        Resource::Study(study) => {
            select("", "WHERE s.uid = ? AND i.state = 0 ORDER BY e.number, e.id, i.number, i.id")
                .bind(study.as_str())
        }
        Resource::Series(study, series) => {
            select("", "WHERE s.uid = ? AND e.uid = ? AND i.state = 0 ORDER BY i.number, i.id")
                .bind(study.as_str())
                .bind(series.as_str())
        }
        Resource::Instance(study, series, instance) => {
            select("", "WHERE i.uid = ? AND e.uid = ? AND s.uid = ? AND i.state = 0")
                .bind(instance.as_str())
                .bind(series.as_str())
                .bind(study.as_str())
        }
    };
    connection.fetch(statement).await?.iter().map(instance).collect()
}

/// The instance at the end of a path with all that is kept of it.
pub(in crate::index) async fn described<C: Connection>(
    connection: &mut C,
    of: &Resource,
) -> Result<Option<Described>> {
    let Resource::Instance(study, series, uid) = of else { return Ok(None) };
    let columns = ", i.header, e.reference, i.frame_map";
    let statement = select(columns, "WHERE i.uid = ? AND e.uid = ? AND s.uid = ? AND i.state = 0");
    let statement = statement.bind(uid.as_str()).bind(series.as_str()).bind(study.as_str());
    let Some(row) = connection.fetch_optional(statement).await? else { return Ok(None) };
    Ok(Some(Described {
        instance: instance(&row)?,
        header: row.blob(COLUMN_COUNT)?.to_vec(),
        reference: row.blob(COLUMN_COUNT + 1)?.to_vec(),
        frames: FrameMap::from_bytes(row.blob(COLUMN_COUNT + 2)?)?,
    }))
}

/// Header and frame map of one instance.
pub(in crate::index) async fn header<C: Connection>(
    connection: &mut C,
    uid: &SopInstanceUid,
) -> Result<Option<(Header, FrameMap)>> {
    let sql = "SELECT i.header, e.reference, i.frame_map FROM instances i JOIN series e ON e.id = i.series \
               WHERE i.uid = ? AND i.state = 0";
    let Some(row) = connection.fetch_optional(Statement::new(sql).bind(uid.as_str())).await? else {
        return Ok(None);
    };
    let header = Header::from_bytes(row.blob(0)?, &reference(row.blob(1)?)?)?;
    Ok(Some((header, FrameMap::from_bytes(row.blob(2)?)?)))
}

/// Rows of the series of a resource, in their order.
async fn series_of<C: Connection>(connection: &mut C, of: &Resource) -> Result<Vec<i64>> {
    let statement = match of {
        Resource::Patient { id, issuer } => {
            let Some(patient) = patient(connection, id, issuer.as_deref(), SHOWS_SOMETHING).await? else {
                return Ok(Vec::new());
            };
            Statement::new(
                "SELECT e.id FROM series e JOIN studies s ON s.id = e.study WHERE s.patient = ?
                 ORDER BY s.id, e.number, e.id",
            )
            .bind(patient)
        }
        Resource::Study(study) => Statement::new(
            "SELECT e.id FROM series e JOIN studies s ON s.id = e.study WHERE s.uid = ? ORDER BY e.number, e.id",
        )
        .bind(study.as_str()),
        Resource::Series(study, series) | Resource::Instance(study, series, _) => Statement::new(
            "SELECT e.id FROM series e JOIN studies s ON s.id = e.study WHERE s.uid = ? AND e.uid = ?",
        )
        .bind(study.as_str())
        .bind(series.as_str()),
    };
    connection.fetch(statement).await?.iter().map(|row| row.int(0)).collect()
}

/// A page goes through one series; the cursor is its row, and number and row of the last instance.
pub(in crate::index) async fn headers<C: Connection>(
    connection: &mut C,
    of: &Resource,
    after: Option<&HeaderCursor>,
    limit: u32,
) -> Result<HeaderPage> {
    if let Resource::Instance(_, _, uid) = of {
        return one_header(connection, uid).await;
    }
    let series = series_of(connection, of).await?;
    let (current, number, id) = match after.map(|cursor| cursor.0.as_slice()) {
        Some([series, number, id]) => (*series, *number, *id),
        _ => (series.first().copied().unwrap_or_default(), i64::MIN, 0),
    };
    let mut place = (number, id);
    for series in series.into_iter().skip_while(|id| *id != current) {
        let statement = select(
            ", i.header, i.id",
            "WHERE i.series = ? AND i.state = 0 AND (i.number, i.id) > (?, ?) ORDER BY i.number, i.id LIMIT ?",
        );
        let rows = connection.fetch(statement.bind(series).bind(place.0).bind(place.1).bind(limit)).await?;
        if let Some(last) = rows.last() {
            let next = HeaderCursor(vec![series, last.int(5)?, last.int(COLUMN_COUNT + 1)?]);
            let reference = reference_of(connection, series).await?;
            let page = rows
                .iter()
                .map(|row| Ok((instance(row)?, Header::from_bytes(row.blob(COLUMN_COUNT)?, &reference)?)));
            return Ok((page.collect::<Result<_>>()?, Some(next)));
        }
        place = (i64::MIN, 0);
    }
    Ok((Vec::new(), None))
}

async fn one_header<C: Connection>(connection: &mut C, uid: &SopInstanceUid) -> Result<HeaderPage> {
    let statement = select(", i.header, e.reference", "WHERE i.uid = ? AND i.state = 0").bind(uid.as_str());
    let row = connection.fetch_optional(statement).await?;
    let page = row.map(|row| {
        let reference = reference(row.blob(COLUMN_COUNT + 1)?)?;
        Ok::<_, Error>((instance(&row)?, Header::from_bytes(row.blob(COLUMN_COUNT)?, &reference)?))
    });
    Ok((page.transpose()?.into_iter().collect(), None))
}

async fn reference_of<C: Connection>(connection: &mut C, series: i64) -> Result<bytes::Bytes> {
    let select = Statement::new("SELECT reference FROM series WHERE id = ?").bind(series);
    reference(connection.fetch_one(select).await?.blob(0)?)
}

/// The references of these series, for headers that are read with them.
pub(super) async fn references<C: Connection>(
    connection: &mut C,
    series: &[i64],
) -> Result<HashMap<i64, bytes::Bytes>> {
    let mut all = HashMap::new();
    for id in series {
        if !all.contains_key(id) {
            all.insert(*id, reference_of(connection, *id).await?);
        }
    }
    Ok(all)
}
