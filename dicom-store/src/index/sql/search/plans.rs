//! The plans that a back end makes for what a search asks, for the tests of each.

use dicom::dictionary_std::tags;

use super::super::{Connection, Dialect, SqlRow, Statement};
use crate::Result;
use crate::model::{Level, Tag, VR};
use crate::query::{Key, Page, Query};

/// A connection that remembers what was asked.
struct Watched<'c, C> {
    inner: &'c mut C,
    asked: Vec<Statement>,
}

impl<C: Connection> Connection for Watched<'_, C> {
    const DIALECT: Dialect = C::DIALECT;

    async fn fetch(&mut self, statement: Statement) -> Result<Vec<SqlRow>> {
        self.asked.push(statement.clone());
        self.inner.fetch(statement).await
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        self.inner.execute(statement).await
    }
}

type Keys = &'static [(Tag, VR, &'static str)];

/// What is found by an index or in the order of one.
const KINDS: &[(Level, Keys)] = &[
    (Level::Study, &[]),
    (Level::Study, &[(tags::PATIENT_NAME, VR::PN, "nguyen")]),
    (Level::Study, &[(tags::PATIENT_NAME, VR::PN, "Nguyễn Hòa")]),
    (Level::Study, &[(tags::PATIENT_NAME, VR::PN, "Nguyen^Hoa")]),
    (Level::Study, &[(tags::PATIENT_NAME, VR::PN, "hoa van"), (tags::MODALITIES_IN_STUDY, VR::CS, "CT\\MR")]),
    (Level::Study, &[(tags::PATIENT_ID, VR::LO, "P17")]),
    (Level::Study, &[(tags::PATIENT_ID, VR::LO, "P17*")]),
    (Level::Study, &[(tags::PATIENT_ID, VR::LO, "*17")]),
    (Level::Study, &[(tags::PATIENT_ID, VR::LO, "*17*")]),
    (Level::Study, &[(tags::ACCESSION_NUMBER, VR::SH, "A0017")]),
    (Level::Study, &[(tags::ACCESSION_NUMBER, VR::SH, "A00*")]),
    (Level::Study, &[(tags::ACCESSION_NUMBER, VR::SH, "A*")]),
    (Level::Study, &[(tags::ACCESSION_NUMBER, VR::SH, "*17")]),
    (Level::Study, &[(tags::STUDY_DATE, VR::DA, "20260101-20260315")]),
    (
        Level::Study,
        &[(tags::STUDY_DATE, VR::DA, "20260101-20260315"), (tags::MODALITIES_IN_STUDY, VR::CS, "MR")],
    ),
    (Level::Patient, &[(tags::PATIENT_NAME, VR::PN, "nguyen")]),
    (Level::Patient, &[(tags::PATIENT_ID, VR::LO, "P17")]),
    (Level::Series, &[(tags::PATIENT_NAME, VR::PN, "hoa"), (tags::MODALITY, VR::CS, "CT")]),
    (Level::Instance, &[(tags::ACCESSION_NUMBER, VR::SH, "A0017")]),
];

/// The plan of each statement that a page and a count of each kind ask, line by line.
#[allow(clippy::unwrap_used, reason = "a test's preparation")]
pub(in crate::index) async fn of_each_kind<C: Connection>(connection: &mut C) -> Vec<Vec<String>> {
    let mut watched = Watched { inner: connection, asked: Vec::new() };
    for (level, keys) in KINDS {
        let keys = keys.iter().map(|(tag, vr, value)| Key::parse(&[*tag], *vr, value).unwrap()).collect();
        let mut query = Query { keys, page: Page { offset: 0, limit: Some(26) }, ..Query::new(*level) };
        let first = super::page(&mut watched, &query, None).await.unwrap();
        query.page.limit = Some(60);
        let first = super::page(&mut watched, &query, first.next.as_ref()).await.unwrap();
        assert!(first.rows.len() <= 60);
        super::count(&mut watched, &query).await.unwrap();
    }
    let Watched { inner, asked } = watched;
    let (explain, column) = match C::DIALECT {
        Dialect::Sqlite => ("EXPLAIN QUERY PLAN ", 3),
        Dialect::Postgres => ("EXPLAIN ", 0),
    };
    let mut plans = Vec::new();
    for statement in asked {
        let mut explained = Statement::new(explain);
        explained.append(statement);
        let lines = inner.fetch(explained).await.unwrap();
        plans.push(lines.iter().map(|line| line.text(column).unwrap().to_owned()).collect());
    }
    plans
}
