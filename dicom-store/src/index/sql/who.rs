//! Whose a study is and what it is called, by what was received and by the acts in force.
//!
//! Rows of patients and studies hold what is told. Where that is something else than what was received,
//! the latter is in `received_patients` and `received_studies`, and the study has an overlay for its data sets.
//!
//! What a study says of its patient otherwise than the patient's row ([`crate::index::person`]) gives way to what
//! was corrected of the patient, and is nothing in a study that is another patient's now.

use bytes::Bytes;
use dicom::dictionary_std::tags;

use super::ledger::{in_force, is_any, subject_of_patient, subject_of_study};
use super::{Connection, SqlRow, Statement, words};
use crate::index::level_rows::words_of_name;
use crate::index::{LevelRows, NewInstance, person};
use crate::ledger::{Act, Entry};
use crate::model::correction::Step;
use crate::model::{Attributes, Correction, Encoding, PatientKey, StudyInstanceUid, VR};
use crate::{Error, Result};

/// Merges that are followed from one patient to the next.
const MAX_MERGES: usize = 32;

pub(super) fn read(bytes: &[u8]) -> Result<Attributes> {
    Attributes::read(Bytes::copy_from_slice(bytes), Encoding::ExplicitLittle)
        .map_err(|cause| Error::corrupt("attributes in the index cannot be read").with_source(cause))
}

/// The row of a patient, where there is one.
pub(super) async fn find<C: Connection>(
    connection: &mut C,
    key: &PatientKey,
) -> Result<Option<(i64, Attributes)>> {
    let sql = "SELECT id, attributes FROM patients WHERE patient_id = ? AND issuer = ? AND scope = ''";
    let select = Statement::new(sql).bind(key.id.as_str()).bind(key.issuer.as_str());
    let row = connection.fetch_optional(select).await?;
    row.map(|row| Ok((row.int(0)?, read(row.blob(1)?)?))).transpose()
}

/// What is known of a patient, after all merges: the key of the one who is left, and their attributes.
pub(in crate::index) async fn patient<C: Connection>(
    connection: &mut C,
    key: &PatientKey,
) -> Result<Option<(PatientKey, Attributes)>> {
    let key = resolve(connection, key.clone()).await?.0;
    Ok(find(connection, &key).await?.map(|(_, attributes)| (key, attributes)))
}

/// The row of a patient; one of whom nothing was received is made of the identifier.
pub(super) async fn row_of<C: Connection>(connection: &mut C, key: &PatientKey) -> Result<(i64, Attributes)> {
    if let Some(found) = find(connection, key).await? {
        return Ok(found);
    }
    let attributes = of_identifier(key);
    let bytes = attributes.write(Encoding::ExplicitLittle);
    let sql = "INSERT INTO patients (issuer, patient_id, scope, name, attributes) VALUES (?, ?, '', '', ?) RETURNING id";
    let insert = Statement::new(sql).bind(key.issuer.as_str()).bind(key.id.as_str()).bind(bytes.as_slice());
    let id = connection.fetch_one(insert).await?.int(0)?;
    let sql = "INSERT INTO received_patients (patient, is_received, attributes) VALUES (?, 0, ?)";
    connection.execute(Statement::new(sql).bind(id).bind(bytes)).await?;
    Ok((id, attributes))
}

/// A patient of whom nothing else is known.
pub(super) fn of_identifier(key: &PatientKey) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.put_text(tags::PATIENT_ID, VR::LO, &key.id);
    if !key.issuer.is_empty() {
        attributes.put_text(tags::ISSUER_OF_PATIENT_ID, VR::LO, &key.issuer);
    }
    attributes
}

/// Nothing that came of a patient is left: the studies that are told as theirs came as somebody else's. What is told
/// of the patient is what was corrected.
pub(super) async fn forget_what_came<C: Connection>(connection: &mut C, id: i64) -> Result<()> {
    let key = key_of(connection, id).await?;
    let bytes = of_identifier(&key).write(Encoding::ExplicitLittle);
    let sql = "INSERT INTO received_patients (patient, is_received, attributes) VALUES (?, 0, ?)
               ON CONFLICT (patient) DO UPDATE SET is_received = 0, attributes = excluded.attributes";
    connection.execute(Statement::new(sql).bind(id).bind(bytes)).await?;
    settle_patient(connection, &key).await
}

/// A patient as the instance tells them that speaks for them; what was corrected goes over it.
pub(super) async fn settle_received<C: Connection>(
    connection: &mut C,
    id: i64,
    says: &Attributes,
) -> Result<()> {
    let key = key_of(connection, id).await?;
    let bytes = says.write(Encoding::ExplicitLittle);
    let sql = "UPDATE received_patients SET attributes = ?, is_received = 1 WHERE patient = ?";
    let update = Statement::new(sql).bind(bytes.as_slice()).bind(id);
    if connection.execute(update).await? == 0 {
        let sql = "UPDATE patients SET name = ?, attributes = ? WHERE id = ?";
        let name = LevelRows::of(says).patient_name;
        let update = Statement::new(sql).bind(name.expose().as_str()).bind(bytes).bind(id);
        connection.execute(update).await?;
    }
    // Nothing can be said of somebody who has no identifier.
    if key.id.is_empty() {
        return settle_studies_of(connection, &[id]).await;
    }
    settle_patient(connection, &key).await
}

async fn key_of<C: Connection>(connection: &mut C, id: i64) -> Result<PatientKey> {
    let select = Statement::new("SELECT issuer, patient_id FROM patients WHERE id = ?").bind(id);
    let row = connection.fetch_one(select).await?;
    Ok(PatientKey { issuer: row.text(0)?.to_owned(), id: row.text(1)?.to_owned() })
}

/// Who a patient is after all merges, and the last of them.
async fn resolve<C: Connection>(
    connection: &mut C,
    mut key: PatientKey,
) -> Result<(PatientKey, Option<Entry>)> {
    let mut by = None;
    for _ in 0..MAX_MERGES {
        let acts = in_force(connection, &subject_of_patient(&key)).await?;
        let merge = acts.into_iter().rev().find_map(|entry| match &entry.act {
            Act::MergePatients { into, .. } => Some((into.clone(), entry)),
            _ => None,
        });
        let Some((into, entry)) = merge else { break };
        (key, by) = (into, Some(entry));
    }
    Ok((key, by))
}

/// The corrections in force of a patient.
async fn corrections_of<C: Connection>(connection: &mut C, key: &PatientKey) -> Result<Vec<Step>> {
    let acts = in_force(connection, &subject_of_patient(key)).await?;
    Ok(acts.iter().filter_map(step).collect())
}

fn step(entry: &Entry) -> Option<Step> {
    let values = match &entry.act {
        Act::CorrectPatient { values, .. } => values.of_patient(),
        Act::CorrectStudy { values, .. } => values.of_study(),
        _ => return None,
    };
    // What an earlier version took is kept in the ledger and has no effect.
    let values = values.ok()?;
    Some(Step { act: entry.number, at: entry.at, values, is_other_patient: false })
}

/// What holds after these steps.
fn after(received: &Attributes, steps: &[Step]) -> Attributes {
    let mut attributes = received.clone();
    for step in steps {
        for element in step.values.iter().filter(|e| e.tag != tags::SPECIFIC_CHARACTER_SET) {
            attributes.put_from(&step.values, element);
        }
    }
    attributes
}

/// Works out a patient's row, and the studies that are the patient's.
pub(super) async fn settle_patient<C: Connection>(connection: &mut C, key: &PatientKey) -> Result<()> {
    let (id, told) = row_of(connection, key).await?;
    let select =
        Statement::new("SELECT attributes, is_received FROM received_patients WHERE patient = ?").bind(id);
    let kept = connection.fetch_optional(select).await?;
    let received = kept.as_ref().map_or_else(|| Ok(told), |row| read(row.blob(0)?))?;
    let is_received = kept.as_ref().map_or(Ok(1), |row| row.int(1))?;
    let steps = corrections_of(connection, key).await?;
    let attributes = after(&received, &steps);
    let levels = LevelRows::of(&attributes);
    let update = Statement::new("UPDATE patients SET name = ?, attributes = ? WHERE id = ?")
        .bind(levels.patient_name.expose().as_str())
        .bind(attributes.write(Encoding::ExplicitLittle))
        .bind(id);
    connection.execute(update).await?;
    if steps.is_empty() && is_received != 0 {
        let delete = Statement::new("DELETE FROM received_patients WHERE patient = ?").bind(id);
        connection.execute(delete).await?;
    } else if kept.is_none() {
        let sql = "INSERT INTO received_patients (patient, is_received, attributes) VALUES (?, 1, ?)";
        let insert = Statement::new(sql).bind(id).bind(received.write(Encoding::ExplicitLittle));
        connection.execute(insert).await?;
    }
    settle_studies_of(connection, &[id]).await
}

/// Works out the studies of both, and of the one whom the second is by now.
pub(super) async fn settle_merge<C: Connection>(
    connection: &mut C,
    from: &PatientKey,
    into: &PatientKey,
) -> Result<()> {
    let last = resolve(connection, into.clone()).await?.0;
    let mut patients = Vec::new();
    for key in [from, into, &last] {
        patients.push(row_of(connection, key).await?.0);
    }
    settle_studies_of(connection, &patients).await
}

async fn settle_studies_of<C: Connection>(connection: &mut C, patients: &[i64]) -> Result<()> {
    let mut select = Statement::new("SELECT id FROM studies WHERE patient IN ");
    select.push_list(patients.iter().copied());
    for row in connection.fetch(select).await? {
        settle_study(connection, row.int(0)?).await?;
    }
    Ok(())
}

pub(super) async fn settle_study_of<C: Connection>(
    connection: &mut C,
    study: &StudyInstanceUid,
) -> Result<()> {
    let select = Statement::new("SELECT id FROM studies WHERE uid = ?").bind(study.as_str());
    match connection.fetch_optional(select).await? {
        Some(row) => settle_study(connection, row.int(0)?).await,
        // Its acts wait for it.
        None => Ok(()),
    }
}

/// A study as it was received.
pub(super) struct Received {
    pub(super) uid: StudyInstanceUid,
    pub(super) patient: i64,
    pub(super) key: PatientKey,
    attributes: Attributes,
    /// What it says of its patient, where that is not in the patient's row.
    pub(super) person: Attributes,
}

impl Received {
    pub(super) async fn read<C: Connection>(connection: &mut C, study: i64) -> Result<Self> {
        let sql = "SELECT s.uid, p.id, p.issuer, p.patient_id, coalesce(r.attributes, s.attributes),
                   CASE WHEN r.study IS NULL THEN s.person ELSE r.person END FROM studies s
                   LEFT JOIN received_studies r ON r.study = s.id JOIN patients p ON p.id = coalesce(r.patient, s.patient)
                   WHERE s.id = ?";
        let row: SqlRow = connection.fetch_one(Statement::new(sql).bind(study)).await?;
        Ok(Self {
            uid: StudyInstanceUid::parse(row.text(0)?)?,
            patient: row.int(1)?,
            key: PatientKey { issuer: row.text(2)?.to_owned(), id: row.text(3)?.to_owned() },
            attributes: read(row.blob(4)?)?,
            person: row.optional_blob(5)?.map(read).transpose()?.unwrap_or_default(),
        })
    }
}

/// Works out whose a study is, what its row says, and what goes over its data sets.
pub(super) async fn settle_study<C: Connection>(connection: &mut C, study: i64) -> Result<()> {
    let received = Received::read(connection, study).await?;
    let acts = in_force(connection, &subject_of_study(&received.uid)).await?;
    let moved = acts.iter().rev().find_map(|entry| match &entry.act {
        Act::MoveStudy { to, .. } => Some((to.clone(), entry.clone())),
        _ => None,
    });
    let (mut key, mut by) = moved.map_or((received.key.clone(), None), |(to, entry)| (to, Some(entry)));
    if !key.id.is_empty() {
        let (last, merge) = resolve(connection, key).await?;
        (key, by) = (last, merge.or(by));
    }
    let (mut patient, mut person) = (received.patient, received.person.clone());
    let mut steps: Vec<Step> = Vec::new();
    if let (Some(by), true) = (&by, key != received.key) {
        let (id, values) = row_of(connection, &key).await?;
        (patient, person) = (id, Attributes::new());
        steps.push(Step { act: by.number, at: by.at, values, is_other_patient: true });
    } else if !key.id.is_empty() {
        steps = corrections_of(connection, &key).await?;
        for corrected in steps.iter().flat_map(|step| step.values.iter().map(|element| element.tag)) {
            if corrected != tags::SPECIFIC_CHARACTER_SET {
                person.remove(corrected);
            }
        }
    }
    let of_study: Vec<Step> = acts.iter().filter_map(step).collect();
    let attributes = after(&received.attributes, &of_study);
    steps.extend(of_study);
    steps.sort_by_key(|step| step.act);
    let told = Told { study, patient, attributes, person, correction: Correction::new(steps) };
    told.write(connection, &received).await
}

/// A study as it is told.
struct Told {
    study: i64,
    patient: i64,
    attributes: Attributes,
    person: Attributes,
    correction: Option<Correction>,
}

impl Told {
    async fn write<C: Connection>(self, connection: &mut C, received: &Received) -> Result<()> {
        let levels = LevelRows::of(&self.attributes);
        let overlay = self.correction.as_ref().map(Correction::to_bytes);
        let is_corrected = overlay.is_some();
        let sql = "SELECT attributes, patient_id FROM patients WHERE id = ?";
        let patient = connection.fetch_one(Statement::new(sql).bind(self.patient)).await?;
        let found = words::Found {
            names: &words_of_name(&person::told(&read(patient.blob(0)?)?, &self.person)),
            accession: levels.accession_number.expose(),
            patient_id: patient.text(1)?,
        };
        words::replace(connection, self.study, levels.moment, &found).await?;
        let sql = "UPDATE studies SET patient = ?, date = ?, time = ?, accession = ?, attributes = ?, person = ?, overlay = ? WHERE id = ?";
        let update = Statement::new(sql)
            .bind(self.patient)
            .bind(levels.study_date.as_str())
            .bind(levels.study_time.as_str())
            .bind(levels.accession_number.expose().as_str())
            .bind(self.attributes.write(Encoding::ExplicitLittle))
            .bind(kept(&self.person))
            .bind(overlay)
            .bind(self.study);
        connection.execute(update).await?;
        let keep = if is_corrected {
            let sql = "INSERT INTO received_studies (study, patient, attributes, person) VALUES (?, ?, ?, ?) ON CONFLICT (study) DO NOTHING";
            let attributes = received.attributes.write(Encoding::ExplicitLittle);
            let person = kept(&received.person);
            Statement::new(sql).bind(self.study).bind(received.patient).bind(attributes).bind(person)
        } else {
            Statement::new("DELETE FROM received_studies WHERE study = ?").bind(self.study)
        };
        connection.execute(keep).await.map(|_| ())
    }
}

/// As a row has it.
pub(super) fn kept(person: &Attributes) -> Option<Vec<u8>> {
    let has_any = person.iter().any(|element| element.tag != tags::SPECIFIC_CHARACTER_SET);
    has_any.then(|| person.write(Encoding::ExplicitLittle))
}

/// Whether there are corrections of a patient whose row does not have them.
async fn is_told_as_it_came<C: Connection>(connection: &mut C, key: &PatientKey) -> Result<bool> {
    if corrections_of(connection, key).await?.is_empty() {
        return Ok(false);
    }
    let Some((id, _)) = find(connection, key).await? else { return Ok(false) };
    let kept = Statement::new("SELECT 1 FROM received_patients WHERE patient = ?").bind(id);
    Ok(connection.fetch_optional(kept).await?.is_none())
}

/// Notes what a study that is about to get its row says of a patient whom acts had made, and of whom nothing had come;
/// gives whether it is that. What follows from it is worked out when the group has its rows, by [`settle_new`].
pub(super) async fn comes_first<C: Connection>(
    connection: &mut C,
    patient: i64,
    attributes: &[u8],
) -> Result<bool> {
    let sql =
        "UPDATE received_patients SET attributes = ?, is_received = 2 WHERE is_received = 0 AND patient = ?";
    Ok(connection.execute(Statement::new(sql).bind(attributes).bind(patient)).await? > 0)
}

/// What came for a study and a patient of whom there may be acts; gives whether rows of studies changed.
pub(super) async fn settle_new<C: Connection>(connection: &mut C, new: &NewInstance) -> Result<bool> {
    let key = new.levels.patient.expose();
    let mut has_changed = false;
    if !key.id.is_empty() {
        let sql = "UPDATE received_patients SET is_received = 1 WHERE is_received = 2 AND patient =
                   (SELECT id FROM patients WHERE patient_id = ? AND issuer = ? AND scope = '')";
        let update = Statement::new(sql).bind(key.id.as_str()).bind(key.issuer.as_str());
        let is_made = connection.execute(update).await? > 0;
        // A patient who was corrected, of whom all had been destroyed, comes again.
        if is_made || is_told_as_it_came(connection, key).await? {
            settle_patient(connection, key).await?;
            has_changed = true;
        }
    }
    let subjects = [subject_of_study(&new.study), subject_of_patient(key)];
    if is_any(connection, &subjects).await? {
        settle_study_of(connection, &new.study).await?;
        has_changed = true;
    }
    Ok(has_changed)
}
