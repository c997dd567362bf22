//! What a study and a series are told by: the first of their instances that is shown.
//!
//! An instance that was deleted or rejected speaks for nobody: its patient's name, the accession number that was typed
//! wrong, may be why it is gone. So whatever shows or hides instances works out anew what the rows above them
//! say, where the first that is shown is another one now. Where none is shown, the first of those that are hidden
//! speaks; nobody hears it, and a patient's row has to say something.
//!
//! The first is the one that came first, by the second, which the packs tell; then by its row. Packs that were rewritten
//! have another order, and an index made anew from them other rows.

use std::collections::{BTreeMap, BTreeSet};

use super::who::{self, Received, kept};
use super::{Connection, SqlValue, Statement, emptied, levels, rows};
use crate::Result;
use crate::index::{LevelRows, person};
use crate::model::{Attributes, Encoding, Header, PatientKey};

/// When an instance came, and its row.
type Place = (i64, i64);
/// Before every instance, and behind every one.
const FIRST: Place = (i64::MIN, i64::MIN);
const LAST: Place = (i64::MAX, i64::MAX);

/// Series of which instances were shown or hidden, each with the first of these.
#[derive(Debug, Default)]
pub(super) struct Touched(BTreeMap<i64, Place>);

impl Touched {
    pub(super) fn add(&mut self, series: i64, place: Place) {
        let first = self.0.entry(series).or_insert(place);
        *first = place.min(*first);
    }

    /// Whatever was told of these holds no more.
    pub(super) fn all_of(series: impl IntoIterator<Item = i64>) -> Self {
        Self(series.into_iter().map(|series| (series, FIRST)).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, Place)> {
        self.0.iter().map(|(series, first)| (*series, *first))
    }

    pub(super) fn series(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The series of these instances, which are about to be hidden or to go, or were just shown. What is hidden already does
/// not speak, where anything else does.
pub(super) async fn touched<C: Connection>(connection: &mut C, instances: &[i64]) -> Result<Touched> {
    let mut select = Statement::new("SELECT series, received, id, state FROM instances WHERE id IN ");
    select.push_list(instances.iter().copied());
    let mut touched = Touched::default();
    for row in connection.fetch(select).await? {
        let place = if row.int(3)? == rows::SHOWN { (row.int(1)?, row.int(2)?) } else { LAST };
        touched.add(row.int(0)?, place);
    }
    Ok(touched)
}

/// What a group makes be told anew: rows of which nothing was shown before it.
#[derive(Debug, Default)]
pub(super) struct Anew {
    pub(super) series: BTreeSet<i64>,
    pub(super) studies: BTreeSet<i64>,
}

impl Anew {
    pub(super) async fn tell<C: Connection>(&self, connection: &mut C) -> Result<()> {
        for id in &self.series {
            series(connection, *id, FIRST).await?;
        }
        for id in &self.studies {
            study(connection, *id, FIRST).await?;
        }
        Ok(())
    }
}

/// The instance that speaks for others.
struct First {
    is_shown: bool,
    place: Place,
    says: LevelRows,
}

impl First {
    async fn of<C: Connection>(connection: &mut C, column: &str, id: i64) -> Result<Option<Self>> {
        let sql = format!(
            "SELECT i.id FROM instances i JOIN series e ON e.id = i.series WHERE {column} = ?
             ORDER BY CASE WHEN i.state = {} THEN 0 ELSE 1 END, i.received, i.id LIMIT 1",
            rows::SHOWN
        );
        let Some(row) = connection.fetch_optional(Statement::new(sql).bind(id)).await? else {
            return Ok(None);
        };
        let sql = "SELECT i.state, i.received, i.header, e.reference FROM instances i JOIN series e ON e.id = i.series
                   WHERE i.id = ?";
        let instance = row.int(0)?;
        let row = connection.fetch_one(Statement::new(sql).bind(instance)).await?;
        let header = Header::from_bytes(row.blob(2)?, &levels::reference(row.blob(3)?)?)?;
        Ok(Some(Self {
            is_shown: row.int(0)? == rows::SHOWN,
            place: (row.int(1)?, instance),
            says: LevelRows::of(&header.received()?),
        }))
    }

    async fn of_study<C: Connection>(connection: &mut C, study: i64) -> Result<Option<Self>> {
        Self::of(connection, "e.study", study).await
    }

    /// Whether it is another one than before something was shown or hidden.
    fn may_be_another(&self, touched: Place) -> bool {
        !self.is_shown || touched <= self.place
    }

    fn of_patient(&self) -> Result<Attributes> {
        who::read(self.says.patient_attributes.expose())
    }
}

/// Tells a series by its first instance, where that may be another one now.
pub(super) async fn series<C: Connection>(connection: &mut C, id: i64, touched: Place) -> Result<()> {
    let first = First::of(connection, "e.id", id).await?;
    let Some(First { says, .. }) = first.filter(|first| first.may_be_another(touched)) else { return Ok(()) };
    let update = Statement::new("UPDATE series SET modality = ?, number = ?, attributes = ? WHERE id = ?")
        .bind(says.modality.as_str())
        .bind(says.series_number.unwrap_or(rows::NO_NUMBER))
        .bind(says.series_attributes.expose().as_slice())
        .bind(id);
    connection.execute(update).await.map(|_| ())
}

/// Tells a study by its first instance, where that may be another one now, and the patients who have to do with it.
pub(super) async fn study<C: Connection>(connection: &mut C, id: i64, touched: Place) -> Result<()> {
    let first = First::of_study(connection, id).await?;
    let Some(First { says, .. }) = first.filter(|first| first.may_be_another(touched)) else { return Ok(()) };
    let before = Received::read(connection, id).await?;
    let key = says.patient.expose();
    let (patient, person) = if *key == before.key {
        (before.patient, kept(&before.person))
    } else {
        (came_as(connection, key, &before).await?, None)
    };
    let is_of_others = patient == before.patient && !key.id.is_empty();
    let speaker = if is_of_others { speaks_before(connection, patient, id, touched).await? } else { None };
    let sql = "INSERT INTO received_studies (study, patient, attributes, person) VALUES (?, ?, ?, ?) ON CONFLICT (study)
               DO UPDATE SET patient = excluded.patient, attributes = excluded.attributes, person = excluded.person";
    let attributes = says.study_attributes.expose().as_slice();
    let insert = Statement::new(sql).bind(id).bind(patient).bind(attributes).bind(person);
    connection.execute(insert).await?;
    if let Some(known) = speaker {
        let person = kept(&person::own(&known, &who::read(says.patient_attributes.expose())?));
        set_person(connection, id, person).await?;
        return who::settle_study(connection, id).await;
    }
    who::settle_study(connection, id).await?;
    self::patient(connection, patient).await?;
    if patient == before.patient { Ok(()) } else { emptied::leave_patient(connection, before.patient).await }
}

/// What speaks for a patient, where that is an instance of another study that came before whatever was shown or hidden of
/// this one: then this study has not told who the patient is, and does not now. A patient may have thousands.
async fn speaks_before<C: Connection>(
    connection: &mut C,
    patient: i64,
    study: i64,
    touched: Place,
) -> Result<Option<Attributes>> {
    let sql = format!(
        "SELECT e.study, i.received, i.id FROM instances i JOIN series e ON e.id = i.series WHERE i.state = {} AND e.study IN
            (SELECT s.id FROM studies s WHERE s.patient = ? AND NOT EXISTS
                (SELECT 1 FROM received_studies r WHERE r.study = s.id)
             UNION ALL SELECT r.study FROM received_studies r WHERE r.patient = ?)
         ORDER BY i.received, i.id LIMIT 1",
        rows::SHOWN
    );
    let Some(row) = connection.fetch_optional(Statement::new(sql).bind(patient).bind(patient)).await? else {
        return Ok(None);
    };
    let (other, place) = (row.int(0)?, (row.int(1)?, row.int(2)?));
    if other == study || touched <= place {
        return Ok(None);
    }
    First::of_study(connection, other).await?.map(|first| first.of_patient()).transpose()
}

/// The row of a patient as whose a study came, made where it is missing.
async fn came_as<C: Connection>(connection: &mut C, key: &PatientKey, study: &Received) -> Result<i64> {
    if !key.id.is_empty() {
        return Ok(who::row_of(connection, key).await?.0);
    }
    let sql = "INSERT INTO patients (issuer, patient_id, scope, name, attributes) VALUES (?, '', ?, '', ?)
               ON CONFLICT (patient_id, issuer, scope) DO UPDATE SET scope = excluded.scope RETURNING id";
    let attributes = who::of_identifier(key).write(Encoding::ExplicitLittle);
    let insert = Statement::new(sql).bind(key.issuer.as_str()).bind(study.uid.as_str()).bind(attributes);
    connection.fetch_one(insert).await?.int(0)
}

/// Tells a patient by the first instance of the studies that came as theirs, and of each of these what it says otherwise;
/// gives whether there is any.
pub(super) async fn patient<C: Connection>(connection: &mut C, id: i64) -> Result<bool> {
    let sql = "SELECT s.id FROM studies s WHERE s.patient = ? AND NOT EXISTS (SELECT 1 FROM received_studies r WHERE r.study = s.id)
               UNION ALL SELECT r.study FROM received_studies r WHERE r.patient = ?";
    let mut studies = Vec::new();
    for row in connection.fetch(Statement::new(sql).bind(id).bind(id)).await? {
        let study = row.int(0)?;
        if let Some(first) = First::of_study(connection, study).await? {
            studies.push((!first.is_shown, first.place, study, first.of_patient()?));
        }
    }
    studies.sort_by_key(|(is_hidden, place, ..)| (*is_hidden, *place));
    let Some((.., known)) = studies.first() else { return Ok(false) };
    for (n, (.., study, says)) in studies.iter().enumerate() {
        let person = if n == 0 { None } else { kept(&person::own(known, says)) };
        set_person(connection, *study, person).await?;
    }
    who::settle_received(connection, id, known).await?;
    Ok(true)
}

/// What a study that came says of its patient otherwise.
async fn set_person<C: Connection>(connection: &mut C, study: i64, person: Option<Vec<u8>>) -> Result<()> {
    let person = person.map_or(SqlValue::Null, SqlValue::from);
    for (table, key) in [("received_studies", "study"), ("studies", "id")] {
        let update = Statement::new(format!("UPDATE {table} SET person = ? WHERE {key} = ?"));
        if connection.execute(update.bind(person.clone()).bind(study)).await? > 0 {
            break;
        }
    }
    Ok(())
}
