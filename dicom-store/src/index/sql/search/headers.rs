//! What only the instances tell: attributes that no row above them holds, in sequences and private ones too.

use std::sync::Arc;

use super::super::{Connection, Statement, rows};
use super::{Search, answer};
use crate::Result;
use crate::model::{Correction, Header};

/// Headers that are read together.
const TOGETHER: i64 = 64;
/// Headers that are looked at in one page, and the rest of a row's.
const IN_ONE_PAGE: u64 = 2000;

/// Whose instances are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    Patient(i64),
    Study(i64),
    Series(i64),
}

impl Scope {
    fn condition(self) -> (&'static str, i64) {
        match self {
            Self::Patient(id) => ("e.study IN (SELECT s.id FROM studies s WHERE s.patient = ?)", id),
            Self::Study(id) => ("e.study = ?", id),
            Self::Series(id) => ("e.id = ?", id),
        }
    }
}

impl Search<'_> {
    /// Whether one of the instances satisfies the keys that the rows do not tell.
    pub(super) async fn has_instance<C: Connection>(
        &mut self,
        connection: &mut C,
        scope: Scope,
    ) -> Result<bool> {
        if !self.narrowing.needs_headers {
            return Ok(true);
        }
        let mut after = [i64::MIN, 0, i64::MIN, 0];
        loop {
            let (condition, id) = scope.condition();
            let mut statement = Statement::new(
                "SELECT e.number, e.id, i.number, i.id, i.header, s.overlay, \
                 (SELECT t.term FROM terms t WHERE t.id = i.transfer_syntax) FROM series e JOIN instances i ON i.series = e.id \
                 JOIN studies s ON s.id = e.study WHERE i.state = 0 AND ",
            );
            statement = {
                statement.push(condition);
                statement.bind(id)
            };
            statement.push(" AND (e.number, e.id, i.number, i.id) > ").push_list(after);
            statement.push(" ORDER BY e.number, e.id, i.number, i.id LIMIT ").push_bind(TOGETHER);
            let found = connection.fetch(statement).await?;
            let series = found.iter().map(|row| row.int(1)).collect::<Result<Vec<_>>>()?;
            let references = rows::references(connection, &series).await?;
            for row in &found {
                if !self.may_look() {
                    return Ok(false);
                }
                let reference = references.get(&row.int(1)?).map(|bytes| &bytes[..]).unwrap_or_default();
                let correction = row.optional_blob(5)?.map(Correction::from_bytes).transpose()?;
                let header = Header::from_bytes(row.blob(4)?, reference)?.corrected(correction.map(Arc::new));
                let mut told = header.attributes()?;
                answer::add_transfer_syntax(&mut told, row, 6)?;
                if self.query.matches_header(&told) {
                    return Ok(true);
                }
                after = [row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?];
            }
            if i64::try_from(found.len()).is_ok_and(|count| count < TOGETHER) {
                return Ok(false);
            }
        }
    }

    /// Counts a look at a header; `false` when there were as many as may be, and the search ends.
    pub(super) fn may_look(&mut self) -> bool {
        self.is_cut = self.progress.looked >= self.query.max_headers;
        self.progress.looked += u64::from(!self.is_cut);
        self.looked += 1;
        !self.is_cut
    }

    /// Counts what was looked at in vain; the search ends when that was as much as may be.
    pub(super) fn look(&mut self, rows: u64) {
        self.progress.looked += rows;
        self.looked += rows;
        self.is_cut = self.progress.looked >= self.query.max_headers;
    }

    /// Whether it is time to let others come first.
    pub(super) fn has_looked_enough(&self) -> bool {
        self.looked >= IN_ONE_PAGE
    }
}
