//! What a study and a series are told by: the first of their instances that is shown.
//!
//! An instance that was deleted or rejected speaks for nobody: its patient's name, the accession number that was typed
//! wrong, may be why it is gone. So whatever shows or hides instances works out anew what the rows above them
//! say, where the first that is shown is another one now. Where none is shown, the first of those that are hidden
//! speaks; nobody hears it, and a patient's row has to say something.
//!
//! The first is the one that came first, by the second, which the packs tell; then by its UID. Packs that were gathered or
//! rewritten have another order, and an index made anew from them other rows.

use std::collections::BTreeMap;

use super::who::{self, Received, kept};
use super::{Connection, SqlRow, SqlValue, Statement, counts, emptied, levels, rows, signed};
use crate::Result;
use crate::index::{LevelRows, NewInstance, person};
use crate::model::{Attributes, Encoding, Header, PatientKey};

/// Before every instance, and behind every one.
const FIRST: Arrival = Arrival { received: i64::MIN, uid: String::new() };
const LAST: Arrival = Arrival { received: i64::MAX, uid: String::new() };

/// When an instance came, and its UID: the order in which they speak.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival {
    received: i64,
    uid: String,
}

impl Arrival {
    pub(super) fn of(new: &NewInstance) -> Result<Self> {
        Ok(Self { received: signed(new.received)?, uid: new.sop_instance.to_string() })
    }

    /// From two columns.
    pub(super) fn read(row: &SqlRow, column: usize) -> Result<Self> {
        Ok(Self { received: row.int(column)?, uid: row.text(column + 1)?.to_owned() })
    }
}

/// Series, or studies, of which instances were shown or hidden, each with the first of these.
#[derive(Debug, Default)]
pub(super) struct Touched(BTreeMap<i64, Arrival>);

impl Touched {
    pub(super) fn add(&mut self, id: i64, arrival: Arrival) {
        let first = self.0.entry(id).or_insert(LAST);
        if arrival < *first {
            *first = arrival;
        }
    }

    /// Whatever was told of these holds no more.
    pub(super) fn all_of(series: impl IntoIterator<Item = i64>) -> Self {
        Self(series.into_iter().map(|series| (series, FIRST)).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Arrival)> {
        self.0.iter().map(|(series, first)| (*series, first))
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
    let mut select = Statement::new("SELECT series, received, uid, state FROM instances WHERE id IN ");
    select.push_list(instances.iter().copied());
    let mut touched = Touched::default();
    for row in connection.fetch(select).await? {
        let arrival = if row.int(3)? == rows::SHOWN { Arrival::read(&row, 1)? } else { LAST };
        touched.add(row.int(0)?, arrival);
    }
    Ok(touched)
}

/// What the writer knows of whoever speaks for a series or a study: an instance that is shown. What comes behind it does
/// not speak.
#[derive(Debug, Clone)]
pub(super) struct KnownFirst {
    arrival: Arrival,
    /// What the row was made with by this memory, where nothing else of it changes with who speaks.
    says: Option<Said>,
}

/// The digest of what an instance says of a row.
type Said = [u8; 32];

impl KnownFirst {
    /// Of a row that was made of this instance. Where a study says something else of its patient than is told of them
    /// nothing is said: it may come to speak for the patient.
    pub(super) fn first(arrival: &Arrival, says: Option<Said>) -> Self {
        Self { arrival: arrival.clone(), says }
    }

    /// Of a row that was there.
    pub(super) fn unknown() -> Self {
        Self { arrival: LAST, says: None }
    }

    /// Whether this may come behind an instance, which speaks for the row then. Whoever speaks for a series of a study is known to be of it.
    pub(super) fn may_follow(&mut self, arrival: &Arrival, of_series: Option<&Self>) -> bool {
        if let Some(known) = of_series.filter(|known| self.arrival == LAST && known.arrival < *arrival) {
            self.arrival = known.arrival.clone();
        }
        *arrival < self.arrival
    }

    /// Whether an instance that may speak does from now on, and may say something else.
    pub(super) async fn gives_way<C: Connection>(
        &mut self,
        connection: &mut C,
        row: Row,
        arrival: &Arrival,
        says: Said,
    ) -> Result<bool> {
        if self.says == Some(says) {
            self.arrival = arrival.clone();
            return Ok(false);
        }
        let before = before(connection, row.instances(), arrival).await?;
        let is_first = before.is_none();
        *self = Self { arrival: before.unwrap_or_else(|| arrival.clone()), says: None };
        Ok(is_first)
    }
}

/// A row that is told by the first of its instances.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row {
    Series(i64),
    Study(i64),
    Patient(i64),
}

/// The studies that came as a patient's.
const CAME_AS: &str = "SELECT s.id AS study FROM studies s WHERE s.patient = ? AND NOT EXISTS
        (SELECT 1 FROM received_studies r WHERE r.study = s.id)
    UNION ALL SELECT r.study FROM received_studies r WHERE r.patient = ?";

impl Row {
    /// Where its instances stand, `i`, each with its series `e`, as far as it is a condition.
    fn instances(self) -> Statement {
        const OF: &str = "FROM instances i JOIN series e ON e.id = i.series WHERE e.";
        match self {
            Self::Series(id) => Statement::new(format!("{OF}id = ?")).bind(id),
            Self::Study(id) => Statement::new(format!("{OF}study = ?")).bind(id),
            Self::Patient(id) => {
                let sql = format!(
                    "FROM ({CAME_AS}) AS came JOIN series e ON e.study = came.study JOIN instances i ON i.series = e.id WHERE 1 = 1"
                );
                Statement::new(sql).bind(id).bind(id)
            }
        }
    }
}

/// Any instance that is shown and came before this arrival.
async fn before<C: Connection>(
    connection: &mut C,
    of: Statement,
    arrival: &Arrival,
) -> Result<Option<Arrival>> {
    let mut select = Statement::new("SELECT i.received, i.uid ");
    select.append(of).push(" AND i.state = ").push_bind(rows::SHOWN);
    select.push(" AND (i.received, i.uid) < ");
    select.push_list([SqlValue::from(arrival.received), arrival.uid.as_str().into()]).push(" LIMIT 1");
    connection.fetch_optional(select).await?.map(|row| Arrival::read(&row, 0)).transpose()
}

/// Whether a patient is told by an instance that came before this arrival.
pub(super) async fn is_patient_told_before<C: Connection>(
    connection: &mut C,
    patient: i64,
    arrival: &Arrival,
) -> Result<bool> {
    Ok(before(connection, Row::Patient(patient).instances(), arrival).await?.is_some())
}

/// What an instance says of its series.
pub(super) fn of_series(levels: &LevelRows) -> Said {
    *blake3::hash(levels.series_attributes.expose()).as_bytes()
}

/// What an instance says of its study and its patient.
pub(super) fn of_study(levels: &LevelRows) -> Said {
    let of_patient = blake3::hash(levels.patient_attributes.expose());
    let mut all = blake3::Hasher::new();
    all.update(of_patient.as_bytes()).update(levels.study_attributes.expose());
    *all.finalize().as_bytes()
}

/// What a group makes be told anew: rows whose first instance came with it, each with the first that did.
#[derive(Debug, Default)]
pub(super) struct Anew {
    pub(super) series: Touched,
    pub(super) studies: Touched,
}

impl Anew {
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty() && self.studies.is_empty()
    }

    pub(super) async fn tell<C: Connection>(&self, connection: &mut C) -> Result<()> {
        for (id, arrival) in self.series.iter() {
            series(connection, id, arrival).await?;
            let study = Statement::new("SELECT study FROM series WHERE id = ?").bind(id);
            let study = connection.fetch_one(study).await?.int(0)?;
            counts::modalities(connection, study).await?;
        }
        for (id, arrival) in self.studies.iter() {
            study(connection, id, arrival).await?;
        }
        Ok(())
    }
}

/// The instance that speaks for others.
struct First {
    is_shown: bool,
    arrival: Arrival,
    says: LevelRows,
}

impl First {
    async fn of<C: Connection>(connection: &mut C, row: Row) -> Result<Option<Self>> {
        let mut select = Statement::new("SELECT i.id ");
        select.append(row.instances()).push(" ORDER BY CASE WHEN i.state = ").push_bind(rows::SHOWN);
        select.push(" THEN 0 ELSE 1 END, i.received, i.uid LIMIT 1");
        let Some(row) = connection.fetch_optional(select).await? else { return Ok(None) };
        let sql = "SELECT i.state, i.received, i.uid, i.header, e.reference FROM instances i
                   JOIN series e ON e.id = i.series WHERE i.id = ?";
        let row = connection.fetch_one(Statement::new(sql).bind(row.int(0)?)).await?;
        let header = Header::from_bytes(row.blob(3)?, &levels::reference(row.blob(4)?)?)?;
        Ok(Some(Self {
            is_shown: row.int(0)? == rows::SHOWN,
            arrival: Arrival::read(&row, 1)?,
            says: LevelRows::of(&header.received()?),
        }))
    }

    async fn of_study<C: Connection>(connection: &mut C, study: i64) -> Result<Option<Self>> {
        Self::of(connection, Row::Study(study)).await
    }

    /// Whether it is another one than before something was shown or hidden.
    fn may_be_another(&self, touched: &Arrival) -> bool {
        !self.is_shown || *touched <= self.arrival
    }

    fn of_patient(&self) -> Result<Attributes> {
        who::read(self.says.patient_attributes.expose())
    }
}

/// Tells a series by its first instance, where that may be another one now.
pub(super) async fn series<C: Connection>(connection: &mut C, id: i64, touched: &Arrival) -> Result<()> {
    let first = First::of(connection, Row::Series(id)).await?;
    let Some(First { says, .. }) = first.filter(|first| first.may_be_another(touched)) else { return Ok(()) };
    let update = Statement::new("UPDATE series SET modality = ?, number = ?, attributes = ? WHERE id = ?")
        .bind(says.modality.as_str())
        .bind(says.series_number.unwrap_or(rows::NO_NUMBER))
        .bind(says.series_attributes.expose().as_slice())
        .bind(id);
    connection.execute(update).await.map(|_| ())
}

/// Tells a study by its first instance, where that may be another one now, and the patients who have to do with it.
pub(super) async fn study<C: Connection>(connection: &mut C, id: i64, touched: &Arrival) -> Result<()> {
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
    let known = if is_of_others { speaks_before(connection, patient, id, touched).await? } else { None };
    let sql = "INSERT INTO received_studies (study, patient, attributes, person) VALUES (?, ?, ?, ?) ON CONFLICT (study)
               DO UPDATE SET patient = excluded.patient, attributes = excluded.attributes, person = excluded.person";
    let attributes = says.study_attributes.expose().as_slice();
    let insert = Statement::new(sql).bind(id).bind(patient).bind(attributes).bind(person);
    connection.execute(insert).await?;
    if let Some(known) = known {
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
    touched: &Arrival,
) -> Result<Option<Attributes>> {
    let mut select = Statement::new("SELECT e.study, i.received, i.uid ");
    select.append(Row::Patient(patient).instances()).push(" AND i.state = ").push_bind(rows::SHOWN);
    select.push(" ORDER BY i.received, i.uid LIMIT 1");
    let Some(row) = connection.fetch_optional(select).await? else { return Ok(None) };
    let other = row.int(0)?;
    if other == study || *touched <= Arrival::read(&row, 1)? {
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
    let mut studies = Vec::new();
    for row in connection.fetch(Statement::new(CAME_AS).bind(id).bind(id)).await? {
        let study = row.int(0)?;
        if let Some(first) = First::of_study(connection, study).await? {
            let says = first.of_patient()?;
            studies.push((!first.is_shown, first.arrival, study, says));
        }
    }
    studies.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
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
