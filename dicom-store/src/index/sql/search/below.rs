//! Series and instances: study by study, newest first, within it by their numbers.

use std::sync::Arc;

use super::super::{Connection, Dialect, SqlRow, Statement, rows};
use super::{Search, Step, answer, headers};
use crate::Result;
use crate::model::{Attributes, Correction, Header, Level};

/// Studies that are taken together.
const STUDIES: i64 = 16;

/// What holds for all that is below a study.
struct Above {
    told: Attributes,
    correction: Option<Arc<Correction>>,
}

impl Search<'_> {
    pub(super) async fn next_below<C: Connection>(&mut self, connection: &mut C) -> Result<Step> {
        if let Some((study, place)) = self.progress.within.take() {
            let mut statement = Statement::new(answer::select_study(false));
            statement
                .push(" FROM studies s JOIN patients p ON p.id = s.patient WHERE s.id = ")
                .push_bind(study);
            // Gone since: so is the rest of it.
            if let Some(row) = connection.fetch_optional(statement).await?
                && self.within(connection, &row, place).await? == Step::More
            {
                return Ok(if self.is_cut { Step::Over } else { Step::More });
            }
        }
        let (studies, rest) = self.read_studies(connection, STUDIES).await?;
        for row in &studies {
            self.progress.study = Some((row.int(0)?, row.int(1)?));
            let first = if self.query.level == Level::Series {
                vec![i64::MIN, 0]
            } else {
                vec![i64::MIN, 0, i64::MIN, 0]
            };
            if self.within(connection, row, first).await? == Step::More {
                return Ok(if self.is_cut { Step::Over } else { Step::More });
            }
        }
        Ok(self.go_on(rest))
    }

    /// The rows of one study behind a place; `More` when the page is full before they are over.
    async fn within<C: Connection>(
        &mut self,
        connection: &mut C,
        study: &SqlRow,
        mut place: Vec<i64>,
    ) -> Result<Step> {
        let id = study.int(1)?;
        let above = Above { told: answer::study(study, false)?, correction: answer::correction(study)? };
        loop {
            let unseen = self.passed_unseen()?;
            let size = unseen.map_or_else(|| self.size(), Ok)?;
            let found = connection.fetch(self.select_below(C::DIALECT, id, &place, size)).await?;
            let references = self.references(connection, &found, unseen.is_some()).await?;
            for row in &found {
                place = self.place(row)?;
                if unseen.is_some() {
                    self.progress.skip = self.progress.skip.saturating_sub(1);
                } else {
                    let reference = references.get(&row.int(1)?).map(|bytes| &bytes[..]).unwrap_or_default();
                    self.look_at(connection, row, &above, reference).await?;
                }
                if self.is_cut
                    || self.is_full()
                    || self.rows.len() as u64 >= super::PAGE
                    || self.has_looked_enough()
                {
                    self.progress.within = Some((id, place));
                    return Ok(Step::More);
                }
            }
            if i64::try_from(found.len()).is_ok_and(|count| count < size) {
                return Ok(Step::Over);
            }
        }
    }

    async fn look_at<C: Connection>(
        &mut self,
        connection: &mut C,
        row: &SqlRow,
        above: &Above,
        reference: &[u8],
    ) -> Result<()> {
        let mut all = match self.query.level {
            Level::Instance => {
                if !self.narrowing.is_exact && !self.may_look() {
                    return Ok(());
                }
                let header = Header::from_bytes(row.blob(6)?, reference)?.corrected(above.correction.clone());
                let mut all = header.attributes()?.in_utf8();
                answer::add(&mut all, &above.told);
                answer::add_transfer_syntax(&mut all, row, 7)?;
                all
            }
            _ => above.told.clone(),
        };
        answer::add_series(&mut all, row, self.place_columns())?;
        let is_match = match self.query.level {
            Level::Instance => self.is_match(&all),
            _ => self.is_match_or_look(&all),
        };
        if is_match
            && (self.query.level == Level::Instance
                || self.has_instance(connection, headers::Scope::Series(row.int(1)?)).await?)
        {
            self.take(all);
        }
        Ok(())
    }

    fn place_columns(&self) -> usize {
        if self.query.level == Level::Series { 2 } else { 4 }
    }

    fn place(&self, row: &SqlRow) -> Result<Vec<i64>> {
        (0..self.place_columns()).map(|column| row.int(column)).collect()
    }

    fn select_below(&self, dialect: Dialect, study: i64, place: &[i64], size: i64) -> Statement {
        let (select, columns) = if self.query.level == Level::Series {
            (
                "SELECT e.number, e.id, e.attributes, e.instance_count FROM series e WHERE e.instance_count > 0",
                "e.number, e.id",
            )
        } else {
            (
                "SELECT e.number, e.id, i.number, i.id, e.attributes, e.instance_count, i.header, \
                 (SELECT t.term FROM terms t WHERE t.id = i.transfer_syntax) FROM series e \
                 JOIN instances i ON i.series = e.id JOIN terms k ON k.id = i.sop_class WHERE i.state = 0",
                "e.number, e.id, i.number, i.id",
            )
        };
        let mut statement = Statement::new(select);
        statement.push(" AND e.study = ").push_bind(study);
        for condition in self.narrowing.series.iter().chain(&self.narrowing.instances) {
            condition.push(&mut statement, dialect, "s.at");
        }
        statement.push(&format!(" AND ({columns}) > ")).push_list(place.iter().copied());
        statement.push(&format!(" ORDER BY {columns} LIMIT ")).push_bind(size);
        statement
    }

    /// What the headers of these rows are told apart from; only instances have one.
    async fn references<C: Connection>(
        &self,
        connection: &mut C,
        found: &[SqlRow],
        is_unseen: bool,
    ) -> Result<std::collections::HashMap<i64, bytes::Bytes>> {
        if self.query.level != Level::Instance || is_unseen {
            return Ok(std::collections::HashMap::new());
        }
        let series = found.iter().map(|row| row.int(1)).collect::<Result<Vec<_>>>()?;
        rows::references(connection, &series).await
    }
}
