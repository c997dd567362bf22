//! A group of instances into the tables, in one transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::levels::{self, Study};
use super::said::{Anew, KnownFirst};
use super::{Connection, Statement, dead, hidden, packs, quarantine, rows, signed, texts, who};
use crate::change::{ChangeKind, Cursor};
use crate::index::{Committed, DeadCopy, InstanceState, Known, Mark, NewInstance, Outcome};
use crate::model::{PackId, PatientKey, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::packs::entry::BLOCK;
use crate::{Error, Result};

/// Rows of one statement; fixed shapes, so that each is prepared once.
const SHAPES: [usize; 4] = [64, 16, 4, 1];
/// Studies that are remembered, at the most.
const MAX_STUDIES: usize = 4096;
/// Series that are remembered, each with a header of some kilobytes, at the most.
const MAX_SERIES: usize = 512;

/// What the writer knows of the tables: nobody else changes them while it does.
#[derive(Debug, Default)]
pub(in crate::index) struct Memory {
    pub(super) terms: HashMap<String, i64>,
    pub(super) studies: HashMap<StudyInstanceUid, Study>,
    pub(super) series: HashMap<(StudyInstanceUid, SeriesInstanceUid), Series>,
    counters: Counters,
    /// Patients that instances name of whom their study is not; each is told of once.
    pub(super) strangers: HashSet<(i64, PatientKey)>,
}

/// Where the writers have come to, those of all nodes.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::index) struct Counters {
    /// Counted up when rows change by anything but a commit that adds to them.
    pub(in crate::index) epoch: i64,
    /// Counted up with each act.
    pub(in crate::index) acts: i64,
    /// Counted up when a commit changes what the instances of a study have in common.
    pub(in crate::index) studies: i64,
    pub(in crate::index) last_conflict: i64,
    /// The last place in the change feed; an instance's is its row's number.
    pub(in crate::index) last_change: i64,
}

impl Counters {
    fn has_acts(self) -> bool {
        self.acts > 0
    }
}

/// A series' row, and the bytes of the header that those of its instances are told apart from.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) id: i64,
    pub(super) study: i64,
    pub(super) reference: bytes::Bytes,
    pub(super) known_first: KnownFirst,
}

/// What a group adds to rows that are there.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// Series and instances by study.
    pub(super) studies: HashMap<i64, (i64, i64)>,
    pub(super) series: HashMap<i64, i64>,
    /// Instances by study, sender, and how their text is read.
    pub(super) texts: HashMap<(i64, i64, i64), texts::Added>,
    pub(super) changed: BTreeSet<StudyInstanceUid>,
    /// What is told by what came now.
    pub(super) anew: Anew,
}

impl Memory {
    pub(in crate::index) async fn load<C: Connection>(connection: &mut C) -> Result<Self> {
        let sql = "SELECT coalesce(max(id), 0), (SELECT count(*) FROM (SELECT 1 FROM ledger LIMIT 1) AS any_act) FROM conflicts";
        let row = connection.fetch_one(Statement::new(sql)).await?;
        Ok(Self {
            counters: Counters {
                acts: row.int(1)?,
                last_conflict: row.int(0)?,
                last_change: super::work::last_change(connection).await?.0,
                ..Counters::default()
            },
            ..Self::default()
        })
    }

    pub(in crate::index) fn counters(&self) -> Counters {
        self.counters
    }

    /// Goes on where another writer may have been meanwhile: forgets what does not hold any more. Terms, and which
    /// row a series has, hold as long as only commits change rows.
    pub(in crate::index) fn resume(&mut self, counters: Counters) {
        if counters.epoch != self.counters.epoch {
            *self = Self::default();
        } else if counters.studies != self.counters.studies {
            self.studies.clear();
        }
        self.counters = counters;
    }

    /// Whether there may be acts about what comes.
    pub(super) fn has_acts(&self) -> bool {
        self.counters.has_acts()
    }

    /// Forgets what stands in rows that were counted anew, and makes the other writers forget it.
    fn rows_changed(&mut self) {
        self.studies.clear();
        self.series.clear();
        self.counters.epoch += 1;
    }

    fn forget_when_full(&mut self) {
        if self.studies.len() > MAX_STUDIES {
            self.studies.clear();
        }
        if self.strangers.len() > MAX_STUDIES {
            self.strangers.clear();
        }
        if self.series.len() > MAX_SERIES {
            self.series.clear();
        }
    }
}

/// An instance that gets a row, and the rows it hangs on.
struct Row<'a> {
    id: i64,
    series: i64,
    sop_class: i64,
    transfer_syntax: i64,
    sender: i64,
    text: i64,
    header: Vec<u8>,
    new: &'a NewInstance,
}

/// Takes a group and the marks behind it. On an error the transaction has to be undone and the memory be
/// forgotten.
pub(in crate::index) async fn commit<C: Connection>(
    connection: &mut C,
    memory: &mut Memory,
    group: &[NewInstance],
    marks: &[Mark],
) -> Result<Committed> {
    memory.forget_when_full();
    let Settlement { mut outcomes, has_healed } = settle(connection, group).await?;
    if has_healed {
        memory.rows_changed();
    }
    let mut added = Added::default();
    let (mut shown, mut conflicts) = (Vec::new(), Vec::new());
    for (new, settled) in group.iter().zip(&mut outcomes) {
        match settled {
            Settled { outcome: Outcome::New, .. } => {
                let (row, is_stranger) = row(connection, memory, &mut added, new).await?;
                if is_stranger {
                    settled.outcome = Outcome::Stranger;
                }
                shown.push(row);
            }
            Settled { outcome: Outcome::Conflict { .. }, is_fresh: true } => {
                memory.counters.last_conflict += 1;
                conflicts.push((memory.counters.last_conflict, new));
            }
            _ => {}
        }
    }
    insert_instances(connection, &shown).await?;
    insert_conflicts(connection, memory, &conflicts).await?;
    let changes: Vec<_> = conflicts.iter().map(|(id, _)| (ChangeKind::Conflict, *id)).collect();
    insert_changes(connection, memory, &changes).await?;
    memory.counters.studies += i64::from(!added.changed.is_empty());
    levels::update_counts(connection, memory, &added).await?;
    texts::add(connection, &added.texts).await?;
    tell_anew(connection, memory, &added.anew).await?;
    if memory.has_acts() {
        follow_acts(connection, memory, group).await?;
    }
    set_marks(connection, marks).await?;
    let outcomes = outcomes.into_iter().map(|settled| settled.outcome).collect();
    let (cursor, has_acts) = (Cursor(memory.counters.last_change), memory.has_acts());
    Ok(Committed { cursor, outcomes, has_acts })
}

/// Tells by what came whatever it speaks for.
async fn tell_anew<C: Connection>(connection: &mut C, memory: &mut Memory, anew: &Anew) -> Result<()> {
    anew.tell(connection).await?;
    if !anew.is_empty() {
        // When a study was, whose it is, its modalities and its words may be others now; and who speaks.
        memory.rows_changed();
    }
    Ok(())
}

/// What earlier acts say of what came now.
async fn follow_acts<C: Connection>(
    connection: &mut C,
    memory: &mut Memory,
    group: &[NewInstance],
) -> Result<()> {
    let uids: Vec<&SopInstanceUid> = group.iter().map(|new| &new.sop_instance).collect();
    if hidden::settle(connection, &uids).await? {
        // What was counted on the way in was counted anew.
        memory.rows_changed();
    }
    let mut studies = HashSet::new();
    let mut has_changed = false;
    for new in group.iter().filter(|new| !new.is_conflict && studies.insert(&new.study)) {
        has_changed |= who::settle_new(connection, new).await?;
    }
    if has_changed {
        // When a study was, and its words, may be others now than what came.
        memory.studies.clear();
        memory.counters.studies += 1;
    }
    for new in group.iter().filter(|new| new.is_conflict) {
        if quarantine::settle(connection, &new.sop_instance).await? {
            memory.rows_changed();
        }
    }
    Ok(())
}

/// What an instance is to the index, and whether it gets a row.
struct Settled {
    outcome: Outcome,
    is_fresh: bool,
}

/// What the instances of a group are, in its order.
struct Settlement {
    outcomes: Vec<Settled>,
    /// A good copy took the place of a damaged one, and rows were counted anew.
    has_healed: bool,
}

/// Decides for each of a group what it is: new, known already, or another data set under a UID that is taken,
/// by the index or by one before it in the group.
async fn settle<C: Connection>(connection: &mut C, group: &[NewInstance]) -> Result<Settlement> {
    let uids: Vec<&SopInstanceUid> = group.iter().map(|new| &new.sop_instance).collect();
    let mut known: HashMap<SopInstanceUid, Known> =
        rows::known(connection, &uids).await?.into_iter().map(|known| (known.uid().clone(), known)).collect();
    let (mut settled, mut has_healed) = (Vec::with_capacity(group.len()), false);
    let mut dead = Vec::new();
    for new in group {
        settled.push(match known.get_mut(&new.sop_instance) {
            None if new.is_conflict => {
                // One of which only conflicts are known may be read from the log again.
                let is_fresh = !rows::has_conflict(connection, new).await?;
                if !is_fresh && !dead::is_aside_there(connection, new).await? {
                    dead.push(DeadCopy::of(new));
                }
                Settled { outcome: Outcome::Conflict { kept: None }, is_fresh }
            }
            None => {
                known.insert(new.sop_instance.clone(), Known::of(new));
                Settled { outcome: Outcome::New, is_fresh: true }
            }
            Some(known) if known.heals(new) => {
                packs::heal(connection, known, new).await?;
                has_healed = true;
                known.instance.location = new.location;
                known.state = InstanceState::Shown;
                Settled { outcome: Outcome::Same(known.instance.clone()), is_fresh: false }
            }
            Some(known) if known.is(new) => {
                // It came twice before the first was known.
                if known.instance.location != new.location {
                    dead.push(DeadCopy::of(new));
                }
                Settled { outcome: Outcome::Same(known.instance.clone()), is_fresh: false }
            }
            Some(known) => {
                let is_fresh = !known.conflicts.contains(&new.digest);
                if !is_fresh && !dead::is_aside_there(connection, new).await? {
                    dead.push(DeadCopy::of(new));
                }
                known.conflicts.push(new.digest);
                let kept = Some(known.instance.clone());
                Settled { outcome: Outcome::Conflict { kept }, is_fresh }
            }
        });
    }
    dead::note(connection, &dead).await?;
    Ok(Settlement { outcomes: settled, has_healed })
}

/// The row of a new instance, and whether it names another patient than its study.
async fn row<'a, C: Connection>(
    connection: &mut C,
    memory: &mut Memory,
    added: &mut Added,
    new: &'a NewInstance,
) -> Result<(Row<'a>, bool)> {
    let (Series { id: series, study, reference, .. }, is_stranger) =
        levels::series(connection, memory, added, new).await?;
    let sender = levels::term(connection, memory, &new.sender).await?;
    let text = texts::number(new.header.text());
    added.texts.entry((study, sender, text)).or_default().count(signed(new.received)?);
    memory.counters.last_change += 1;
    let row = Row {
        id: memory.counters.last_change,
        series,
        sop_class: levels::term(connection, memory, new.sop_class.as_str()).await?,
        transfer_syntax: levels::term(connection, memory, new.transfer_syntax.as_str()).await?,
        sender,
        text,
        header: new.header.to_bytes(&reference),
        new,
    };
    Ok((row, is_stranger))
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

async fn insert_instances<C: Connection>(connection: &mut C, rows: &[Row<'_>]) -> Result<()> {
    for shape in shapes(rows) {
        let mut insert = Statement::new(
            "INSERT INTO instances (id, uid, series, number, sop_class, transfer_syntax, frames, pack, \"offset\", length, \
             data_set, digest, sender, received, state, text, header, frame_map) VALUES ",
        );
        for (n, Row { id, series, sop_class, transfer_syntax, sender, text, header, new }) in
            shape.iter().enumerate()
        {
            insert.push(if n == 0 { "" } else { ", " });
            insert.push_list([
                (*id).into(),
                new.sop_instance.as_str().into(),
                (*series).into(),
                new.number.unwrap_or(rows::NO_NUMBER).into(),
                (*sop_class).into(),
                (*transfer_syntax).into(),
                new.frames.into(),
                signed(new.location.pack.0)?.into(),
                signed(new.location.offset)?.into(),
                signed(new.location.length)?.into(),
                signed(new.data_set)?.into(),
                new.digest.as_slice().into(),
                (*sender).into(),
                signed(new.received)?.into(),
                super::SqlValue::Int(rows::SHOWN),
                (*text).into(),
                header.as_slice().into(),
                new.frame_map.as_slice().into(),
            ]);
        }
        connection.post(insert).await?;
    }
    Ok(())
}

async fn insert_conflicts<C: Connection>(
    connection: &mut C,
    memory: &mut Memory,
    conflicts: &[(i64, &NewInstance)],
) -> Result<()> {
    for (id, new) in conflicts {
        let sender = levels::term(connection, memory, &new.sender).await?;
        let insert = Statement::new(
            "INSERT INTO conflicts (id, uid, study, series, pack, \"offset\", length, data_set, digest, sender, received, \
             number, sop_class, transfer_syntax, frames, state, text, header, frame_map)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
        )
        .bind(*id)
        .bind(new.sop_instance.as_str())
        .bind(new.study.as_str())
        .bind(new.series.as_str())
        .bind(signed(new.location.pack.0)?)
        .bind(signed(new.location.offset)?)
        .bind(signed(new.location.length)?)
        .bind(signed(new.data_set)?)
        .bind(new.digest.as_slice())
        .bind(sender)
        .bind(signed(new.received)?)
        .bind(new.number.unwrap_or(rows::NO_NUMBER))
        .bind(levels::term(connection, memory, new.sop_class.as_str()).await?)
        .bind(levels::term(connection, memory, new.transfer_syntax.as_str()).await?)
        .bind(new.frames)
        .bind(texts::number(new.header.text()))
        .bind(new.header.to_bytes(&[]))
        .bind(new.frame_map.as_slice());
        connection.post(insert).await?;
    }
    Ok(())
}

/// What else happened; that an instance was stored is told by its row.
async fn insert_changes<C: Connection>(
    connection: &mut C,
    memory: &mut Memory,
    changes: &[(ChangeKind, i64)],
) -> Result<()> {
    for shape in shapes(changes) {
        let mut insert = Statement::new("INSERT INTO changes (cursor, kind, subject) VALUES ");
        for (n, (kind, subject)) in shape.iter().enumerate() {
            memory.counters.last_change += 1;
            insert.push(if n == 0 { "" } else { ", " });
            insert.push_list([memory.counters.last_change, super::work::kind_number(*kind), *subject]);
        }
        connection.post(insert).await?;
    }
    Ok(())
}

async fn set_marks<C: Connection>(connection: &mut C, marks: &[Mark]) -> Result<()> {
    // Of several in one pack, the last is the furthest.
    let furthest: HashMap<PackId, u64> = marks.iter().fold(HashMap::new(), |mut all, mark| {
        let offset = all.entry(mark.pack).or_default();
        *offset = mark.offset.max(*offset);
        all
    });
    for (pack, offset) in furthest {
        let sql = format!(
            "INSERT INTO packs (id, mark) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET mark = {}(packs.mark, excluded.mark)",
            C::DIALECT.greater()
        );
        connection.post(Statement::new(sql).bind(signed(pack.0)?).bind(signed(offset)?)).await?;
    }
    Ok(())
}

/// How far each pack has been read.
pub(in crate::index) async fn marks<C: Connection>(connection: &mut C) -> Result<Vec<Mark>> {
    let rows =
        connection.fetch(Statement::new("SELECT id, mark FROM packs WHERE state = 0 ORDER BY id")).await?;
    let mark = |row: &super::SqlRow| {
        Ok::<_, Error>(Mark { pack: PackId(row.unsigned(0)?), offset: row.unsigned(1)? })
    };
    rows.iter().map(mark).collect()
}

/// How many of the last rows are looked through for those of a pack: more than a pack of the usual size holds.
const LAST_ROWS: i64 = 300_000;

/// Where the last instance ends of which the index knows that it lies in this pack, with its padding; 0 when
/// it knows of none among the last.
pub(in crate::index) async fn furthest<C: Connection>(connection: &mut C, pack: PackId) -> Result<u64> {
    let mut end = 0;
    for table in ["instances", "conflicts"] {
        let sql = format!(
            "SELECT coalesce(max(l.\"offset\" + l.length), 0)
             FROM (SELECT pack, \"offset\", length FROM {table} ORDER BY id DESC LIMIT ?) AS l WHERE l.pack = ?"
        );
        let row = connection.fetch_one(Statement::new(sql).bind(LAST_ROWS).bind(signed(pack.0)?)).await?;
        end = end.max(row.unsigned(0)?);
    }
    Ok(end.div_ceil(BLOCK) * BLOCK)
}
