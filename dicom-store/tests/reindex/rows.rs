//! Everything that an index in SQLite holds and that can be made of the packs, in words that do not depend on the
//! order in which it was read.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::Value;

/// Each with what it is about. The numbers of rows are left out, and headers, which are kept as differences from that
/// of whichever instance of the series came first.
const TABLES: &[(&str, &str)] = &[
    ("patients", "SELECT patient_id, issuer, scope, name, attributes FROM patients"),
    (
        "studies",
        "SELECT s.uid, p.patient_id, p.issuer, s.date, s.time, s.at, s.accession, s.modalities, s.sop_classes,
         s.series_count, s.instance_count, s.words, s.attributes, s.person, s.overlay
         FROM studies s JOIN patients p ON p.id = s.patient",
    ),
    ("words", "SELECT w.word, w.at, s.uid FROM words w JOIN studies s ON s.id = w.study"),
    (
        "series",
        "SELECT e.uid, s.uid, e.modality, e.number, e.instance_count, e.attributes
         FROM series e JOIN studies s ON s.id = e.study",
    ),
    (
        "instances",
        "SELECT i.uid, e.uid, s.uid, i.number, k.term, t.term, a.term, i.frames, i.pack, i.\"offset\", i.length,
         i.data_set, i.digest, i.received, i.state, i.frame_map
         FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study JOIN terms k
         ON k.id = i.sop_class JOIN terms t ON t.id = i.transfer_syntax JOIN terms a ON a.id = i.sender",
    ),
    (
        "conflicts",
        "SELECT c.uid, c.study, c.series, c.number, k.term, t.term, a.term, c.frames, c.pack, c.\"offset\",
         c.length, c.data_set, c.digest, c.received, c.state, c.header, c.frame_map
         FROM conflicts c JOIN terms k ON k.id = c.sop_class JOIN terms t ON t.id = c.transfer_syntax
         JOIN terms a ON a.id = c.sender",
    ),
    (
        "texts",
        "SELECT s.uid, t.term, x.reading, x.instances, x.newest FROM texts x JOIN studies s ON s.id = x.study
         JOIN terms t ON t.id = x.sender",
    ),
    ("packs", "SELECT id, mark FROM packs WHERE state = 0"),
    ("ledger", "SELECT number, kind, subject, at, author, reason, body, undone_by FROM ledger"),
    ("instance_acts", "SELECT uid, act, state FROM instance_acts"),
    (
        "received_patients",
        "SELECT p.patient_id, p.issuer, p.scope, r.is_received, r.attributes
         FROM received_patients r JOIN patients p ON p.id = r.patient",
    ),
    (
        "received_studies",
        "SELECT s.uid, p.patient_id, p.issuer, r.attributes, r.person FROM received_studies r
         JOIN studies s ON s.id = r.study JOIN patients p ON p.id = r.patient",
    ),
];

/// Of each table its rows, sorted.
pub(crate) type Rows = BTreeMap<&'static str, Vec<String>>;

pub(crate) fn of(data: &Path) -> Rows {
    let index = rusqlite::Connection::open(data.join("index.sqlite")).unwrap();
    TABLES.iter().map(|(table, sql)| (*table, rows(&index, sql))).collect()
}

fn rows(index: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut statement = index.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let values = (0..columns).map(|column| row.get::<_, Value>(column).unwrap());
        Ok(format!("{:?}", values.collect::<Vec<_>>()))
    };
    let mut rows: Vec<String> = statement.query_map((), row).unwrap().map(Result::unwrap).collect();
    rows.sort();
    rows
}
