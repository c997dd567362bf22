//! The rows above an instance: its patient, study and series, and the terms that many share.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::commit::{Added, Memory, Series};
use super::said::{self, Arrival, KnownFirst, Row};
use super::words::Found;
use super::{Connection, Statement, audit, rows, who, words};
use crate::index::level_rows::words_of_name;
use crate::index::{AuditRow, NewInstance, person};
use crate::model::{Attributes, Encoding, PatientKey};
use crate::{Error, Result};

/// A header above this is no reference: those of its series are kept by themselves.
const MAX_REFERENCE: usize = 64 * 1024;

/// A study's row and what its instances have in common.
#[derive(Debug, Clone)]
pub(super) struct Study {
    id: i64,
    moment: i64,
    /// Of the words of its patient's name.
    signature: i64,
    /// As whose it came.
    patient: PatientKey,
    /// Whose it is told to be.
    told: PatientKey,
    modalities: BTreeSet<String>,
    sop_classes: BTreeSet<String>,
    known_first: KnownFirst,
}

impl Study {
    /// Whether the patient that an instance names is somebody else. An instance may name nobody, and leave out who has
    /// given the identifier.
    fn is_of_another(&self, named: &PatientKey) -> bool {
        let is_other = |own: &PatientKey| {
            let has_issuers = !own.issuer.is_empty() && !named.issuer.is_empty();
            own.id != named.id || has_issuers && own.issuer != named.issuer
        };
        !named.id.is_empty() && is_other(&self.patient) && is_other(&self.told)
    }
}

/// The row of a text that stands in many rows, made where it is missing.
pub(super) async fn term<C: Connection>(connection: &mut C, memory: &mut Memory, text: &str) -> Result<i64> {
    if let Some(id) = memory.terms.get(text) {
        return Ok(*id);
    }
    let sql = "INSERT INTO terms (term) VALUES (?) ON CONFLICT (term) DO UPDATE SET term = excluded.term RETURNING id";
    let id = connection.fetch_one(Statement::new(sql).bind(text)).await?.int(0)?;
    memory.terms.insert(text.to_owned(), id);
    Ok(id)
}

/// The series of an instance, made where it is missing, and the rows above it; counts the instance. Gives as well whether
/// it names another patient than its study.
pub(super) async fn series<C: Connection>(
    connection: &mut C,
    memory: &mut Memory,
    added: &mut Added,
    new: &NewInstance,
) -> Result<(Series, bool)> {
    let mut study = study(connection, memory, added, new).await?;
    let is_stranger = study.is_of_another(new.levels.patient.expose());
    let key = (new.study.clone(), new.series.clone());
    let arrival = Arrival::of(new)?;
    let counts = added.studies.entry(study.id).or_default();
    counts.1 += 1;
    let mut has_changed = false;
    let mut series = match memory.series.get(&key) {
        Some(series) => series.clone(),
        None => {
            let series = match known_series(connection, study.id, new).await? {
                Some((series, shows_something)) => {
                    // One that shows nothing does not count until it does again.
                    counts.0 += i64::from(!shows_something);
                    series
                }
                None => {
                    counts.0 += 1;
                    // That of the series, whatever its other instances say.
                    let modality = &new.levels.modality;
                    has_changed = !modality.is_empty() && study.modalities.insert(modality.clone());
                    insert_series(connection, study.id, &arrival, new).await?
                }
            };
            memory.series.insert(key.clone(), series.clone());
            series
        }
    };
    *added.series.entry(series.id).or_default() += 1;
    has_changed |= study.sop_classes.insert(new.sop_class.to_string());
    if has_changed {
        added.changed.insert(new.study.clone());
    }
    let Spoken { for_study, is_new } =
        speaks(connection, added, (&mut study, &mut series), &arrival, new).await?;
    if is_stranger && memory.strangers.insert((study.id, new.levels.patient.expose().clone())) {
        let what = format!("instance {} of study {}", new.sop_instance, new.study);
        let outcome = if for_study {
            "stored in the study, which is this one's patient's from now on: it is the first of it by the second in which it came and its UID; what was there names another patient"
        } else {
            "stored in the study, whose patient is the one of its first instance; this one names another patient"
        };
        let row = AuditRow::new(&new.sender, "store", what, outcome);
        audit::record_instance(connection, new.received, &row).await?;
    }
    if is_new || has_changed {
        memory.studies.insert(new.study.clone(), study);
        memory.series.insert(key, series.clone());
    }
    Ok((series, is_stranger))
}

/// What became known of who speaks.
struct Spoken {
    /// The instance does for its study from now on.
    for_study: bool,
    /// More is known than before.
    is_new: bool,
}

/// Has those be told anew that the instance speaks for from now on.
async fn speaks<C: Connection>(
    connection: &mut C,
    added: &mut Added,
    (study, series): (&mut Study, &mut Series),
    arrival: &Arrival,
    new: &NewInstance,
) -> Result<Spoken> {
    let may_be_of_series = series.known_first.may_follow(arrival, None);
    if may_be_of_series {
        let says = said::of_series(&new.levels);
        if series.known_first.gives_way(connection, Row::Series(series.id), arrival, says).await? {
            added.anew.series.add(series.id, arrival.clone());
        }
    }
    let mut for_study = false;
    let may_be_of_study = study.known_first.may_follow(arrival, Some(&series.known_first));
    if may_be_of_study {
        let says = said::of_study(&new.levels);
        for_study = study.known_first.gives_way(connection, Row::Study(study.id), arrival, says).await?;
        if for_study {
            added.anew.studies.add(study.id, arrival.clone());
        }
    }
    Ok(Spoken { for_study, is_new: may_be_of_series || may_be_of_study })
}

/// The row of a series that is there, and whether anything of it is shown.
async fn known_series<C: Connection>(
    connection: &mut C,
    study: i64,
    new: &NewInstance,
) -> Result<Option<(Series, bool)>> {
    let sql = "SELECT id, reference, instance_count FROM series WHERE study = ? AND uid = ?";
    let select = Statement::new(sql).bind(study).bind(new.series.as_str());
    let Some(row) = connection.fetch_optional(select).await? else { return Ok(None) };
    let reference = reference(row.blob(1)?)?;
    let series = Series { id: row.int(0)?, study, reference, known_first: KnownFirst::unknown() };
    Ok(Some((series, row.int(2)? > 0)))
}

async fn study<C: Connection>(
    connection: &mut C,
    memory: &mut Memory,
    added: &mut Added,
    new: &NewInstance,
) -> Result<Study> {
    if let Some(study) = memory.studies.get(&new.study) {
        return Ok(study.clone());
    }
    let select = Statement::new("SELECT s.id, s.at, s.modalities, s.sop_classes, p.issuer, p.patient_id, s.words, t.issuer, t.patient_id FROM studies s
         LEFT JOIN received_studies r ON r.study = s.id JOIN patients p ON p.id = coalesce(r.patient, s.patient)
         JOIN patients t ON t.id = s.patient WHERE s.uid = ?")
        .bind(new.study.as_str());
    let study = match connection.fetch_optional(select).await? {
        Some(row) => Study {
            id: row.int(0)?,
            moment: row.int(1)?,
            signature: words::signature_of_joined(row.text(6)?),
            modalities: set(row.text(2)?),
            sop_classes: set(row.text(3)?),
            patient: PatientKey { issuer: row.text(4)?.to_owned(), id: row.text(5)?.to_owned() },
            told: PatientKey { issuer: row.text(7)?.to_owned(), id: row.text(8)?.to_owned() },
            known_first: KnownFirst::unknown(),
        },
        None => {
            let arrival = Arrival::of(new)?;
            let patient = patient(connection, memory, &arrival, new).await?;
            let id = insert_study(connection, &patient, new).await?;
            let says = patient.person.is_none().then(|| said::of_study(&new.levels));
            if patient.is_told_otherwise {
                added.anew.studies.add(id, arrival.clone());
            }
            if let Some(difference) = patient.difference {
                let outcome = format!(
                    "stored with what it says of its patient; studies of another {difference} came with the same identifier"
                );
                let what = format!("study {}", new.study);
                let row = AuditRow::new(&new.sender, "store", what, outcome);
                audit::record_instance(connection, new.received, &row).await?;
            }
            Study {
                id,
                moment: new.levels.moment,
                signature: words::signature_of(&patient.words),
                patient: new.levels.patient.expose().clone(),
                told: new.levels.patient.expose().clone(),
                modalities: BTreeSet::new(),
                sop_classes: BTreeSet::new(),
                known_first: KnownFirst::first(&arrival, says),
            }
        }
    };
    memory.studies.insert(new.study.clone(), study.clone());
    Ok(study)
}

fn set(joined: &str) -> BTreeSet<String> {
    joined.split('\\').filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

fn join(set: &BTreeSet<String>) -> String {
    set.iter().map(String::as_str).collect::<Vec<_>>().join("\\")
}

/// A patient is an identifier and its issuer; without an identifier, no two studies are of one patient.
async fn patient<C: Connection>(
    connection: &mut C,
    memory: &Memory,
    arrival: &Arrival,
    new: &NewInstance,
) -> Result<Patient> {
    let key = new.levels.patient.expose();
    let scope = if key.id.is_empty() { new.study.as_str() } else { "" };
    let attributes = new.levels.patient_attributes.expose().as_slice();
    let insert = Statement::new(
        "INSERT INTO patients (issuer, patient_id, scope, name, attributes) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (patient_id, issuer, scope) DO UPDATE SET scope = excluded.scope RETURNING id, attributes",
    )
    .bind(key.issuer.as_str())
    .bind(key.id.as_str())
    .bind(scope)
    .bind(new.levels.patient_name.expose().as_str())
    .bind(attributes);
    let row = connection.fetch_one(insert).await?;
    let (id, mut known) = (row.int(0)?, row);
    let mut is_first = false;
    if memory.has_acts() {
        // What came, whatever is told: so it is the same once the act is undone.
        let select = Statement::new(
            "SELECT p.id, coalesce(r.attributes, p.attributes), coalesce(r.is_received, 1) FROM patients p
             LEFT JOIN received_patients r ON r.patient = p.id WHERE p.id = ?",
        );
        known = connection.fetch_one(select.bind(id)).await?;
        is_first = known.int(2)? == 0 && who::comes_first(connection, id, attributes).await?;
    }
    match known.blob(1)? {
        known if known == attributes || is_first => {
            let words = new.levels.patient_words.expose().clone();
            Ok(Patient { id, words, person: None, difference: None, is_told_otherwise: false })
        }
        known => {
            let read = |bytes| Attributes::read(Bytes::copy_from_slice(bytes), Encoding::ExplicitLittle);
            let (known, says) = (read(known)?, read(attributes)?);
            let own = person::own(&known, &says);
            let words = words_of_name(&person::told(&known, &own));
            let person = (!own.is_empty()).then(|| own.write(Encoding::ExplicitLittle));
            let difference = person::difference(&known, &says);
            let is_told_otherwise = !said::is_patient_told_before(connection, id, arrival).await?;
            Ok(Patient { id, words, person, difference, is_told_otherwise })
        }
    }
}

/// A patient's row, and what a new study says of them.
struct Patient {
    id: i64,
    /// Those of the name in the study.
    words: Vec<String>,
    /// What is not in the row.
    person: Option<Vec<u8>>,
    /// What makes it likely that it is another person.
    difference: Option<&'static str>,
    /// The row has what instances said that are hidden, or came behind the one that the study comes with.
    is_told_otherwise: bool,
}

async fn insert_study<C: Connection>(
    connection: &mut C,
    patient: &Patient,
    new: &NewInstance,
) -> Result<i64> {
    let insert = Statement::new(
        "INSERT INTO studies (uid, patient, date, time, at, accession, modalities, sop_classes, series_count, instance_count, words, attributes, person)
         VALUES (?, ?, ?, ?, ?, ?, '', '', 0, 0, ?, ?, ?) RETURNING id",
    )
    .bind(new.study.as_str())
    .bind(patient.id)
    .bind(new.levels.study_date.as_str())
    .bind(new.levels.study_time.as_str())
    .bind(new.levels.moment)
    .bind(new.levels.accession_number.expose().as_str())
    .bind(words::joined(&patient.words))
    .bind(new.levels.study_attributes.expose().as_slice())
    .bind(patient.person.as_deref());
    let id = connection.fetch_one(insert).await?.int(0)?;
    let found = Found {
        names: &patient.words,
        accession: new.levels.accession_number.expose(),
        patient_id: &new.levels.patient.expose().id,
    };
    words::insert_study(connection, id, new.levels.moment, &found).await?;
    Ok(id)
}

async fn insert_series<C: Connection>(
    connection: &mut C,
    study: i64,
    arrival: &Arrival,
    new: &NewInstance,
) -> Result<Series> {
    // LZ4 looks no further back; and the references of many series stay in memory.
    let header = new.header.raw().0;
    let reference = if header.len() <= MAX_REFERENCE { header.clone() } else { Bytes::new() };
    let insert = Statement::new(
        "INSERT INTO series (uid, study, modality, number, instance_count, attributes, reference)
         VALUES (?, ?, ?, ?, 0, ?, ?) RETURNING id",
    )
    .bind(new.series.as_str())
    .bind(study)
    .bind(new.levels.modality.as_str())
    .bind(new.levels.series_number.unwrap_or(rows::NO_NUMBER))
    .bind(new.levels.series_attributes.expose().as_slice())
    .bind(lz4_flex::compress_prepend_size(&reference));
    let id = connection.fetch_one(insert).await?.int(0)?;
    Ok(Series {
        id,
        study,
        reference,
        known_first: KnownFirst::first(arrival, Some(said::of_series(&new.levels))),
    })
}

/// The bytes that the headers of a series are told apart from.
pub(in crate::index) fn reference(stored: &[u8]) -> Result<Bytes> {
    lz4_flex::decompress_size_prepended(stored)
        .map(Bytes::from)
        .map_err(|cause| Error::corrupt("reference header of a series cannot be read").with_source(cause))
}

/// What a group added, in the same transaction.
pub(super) async fn update_counts<C: Connection>(
    connection: &mut C,
    memory: &Memory,
    added: &Added,
) -> Result<()> {
    for (series, instances) in &added.series {
        let sql = "UPDATE series SET instance_count = instance_count + ? WHERE id = ?";
        connection.post(Statement::new(sql).bind(*instances).bind(*series)).await?;
    }
    let changed: HashMap<i64, &Study> = added
        .changed
        .iter()
        .filter_map(|uid| memory.studies.get(uid))
        .map(|study| (study.id, study))
        .collect();
    for (id, (series, instances)) in &added.studies {
        let mut update = Statement::new("UPDATE studies SET series_count = series_count + ");
        update.push_bind(*series).push(", instance_count = instance_count + ").push_bind(*instances);
        if let Some(study) = changed.get(id) {
            update.push(", modalities = ").push_bind(join(&study.modalities));
            update.push(", sop_classes = ").push_bind(join(&study.sop_classes));
        }
        update.push(" WHERE id = ").push_bind(*id);
        connection.post(update).await?;
        if let Some(study) = changed.get(id) {
            let modalities: Vec<String> =
                study.modalities.iter().map(|one| words::of_modality(one)).collect();
            words::insert(connection, (study.id, study.moment, study.signature), &modalities).await?;
        }
    }
    Ok(())
}
