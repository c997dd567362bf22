//! Patients, by name; those of a name that many have by the newest of their studies that has it.

use super::super::{Connection, Dialect, SqlRow, Statement};
use super::narrowing::Condition;
use super::plan::Driver;
use super::{Search, Step, answer, headers};
use crate::Result;
use crate::index::person;
use crate::model::Attributes;
use crate::query::Rank;

/// Who is told, and the rank of their name.
type Ranked = (Option<Rank>, Attributes);

/// Studies of one patient that are looked at together.
const STUDIES: i64 = 256;

impl Search<'_> {
    pub(super) async fn next_patients<C: Connection>(&mut self, connection: &mut C) -> Result<Step> {
        let size = self.passed_unseen()?.map_or_else(|| self.size(), Ok)?;
        let is_followed = matches!(self.progress.driver, Some(Driver::Follow(_)));
        let statement = match is_followed {
            true => self.select_followed(C::DIALECT, size),
            false => self.select_patients(C::DIALECT, size),
        };
        let rows = connection.fetch(statement).await?;
        for row in &rows {
            if is_followed {
                self.progress.study = Some((row.int(7)?, row.int(8)?));
            } else {
                self.progress.patient = Some((row.text(0)?.to_owned(), row.int(1)?));
            }
            if let Some(attributes) = self.told(connection, row).await?
                && self.has_instance(connection, headers::Scope::Patient(row.int(1)?)).await?
            {
                self.take(attributes);
            }
            if self.is_cut || self.is_full() || self.has_looked_enough() {
                return Ok(if self.is_cut { Step::Over } else { Step::More });
            }
        }
        Ok(if i64::try_from(rows.len()).is_ok_and(|count| count < size) { Step::Over } else { Step::More })
    }

    /// The patient as the instance that speaks for them tells them; where that does not match best, as the first of their
    /// studies that does. One whose studies tell names of two ranks is among those of the better one.
    async fn told<C: Connection>(&mut self, connection: &mut C, row: &SqlRow) -> Result<Option<Attributes>> {
        let known = answer::patient(row)?;
        if !answer::has_persons(row)? {
            return Ok(self.is_match_or_look(&known).then_some(known));
        }
        let as_known = "SELECT 1 FROM studies s WHERE s.patient = ? AND s.instance_count > 0 AND s.person IS NULL LIMIT 1";
        let is_told_so =
            connection.fetch_optional(Statement::new(as_known).bind(row.int(1)?)).await?.is_some();
        let mut best = is_told_so.then(|| known.clone()).and_then(|told| self.ranked(told));
        let is_best =
            |best: &Option<Ranked>| best.as_ref().is_some_and(|(rank, _)| *rank != Some(Rank::Folded));
        let (mut after, mut is_over) = (0, false);
        while !is_over && !is_best(&best) {
            let select = Statement::new(
                "SELECT s.id, s.person FROM studies s WHERE s.patient = ? AND s.instance_count > 0
                 AND s.person IS NOT NULL AND s.id > ? ORDER BY s.id LIMIT ?",
            );
            let studies = connection.fetch(select.bind(row.int(1)?).bind(after).bind(STUDIES)).await?;
            is_over = i64::try_from(studies.len()).is_ok_and(|count| count < STUDIES);
            for study in &studies {
                after = study.int(0)?;
                let told = self.ranked(person::told(&known, &answer::read(study.blob(1)?)?));
                if let Some(told) = told.filter(|(rank, _)| best.as_ref().is_none_or(|(best, _)| rank < best))
                {
                    best = Some(told);
                }
                if is_best(&best) {
                    break;
                }
            }
        }
        Ok(best.filter(|(rank, _)| *rank == self.progress.rank).map(|(_, told)| told))
    }

    /// Who is told so, where that matches, with the rank of the name where names are given by their ranks.
    fn ranked(&self, told: Attributes) -> Option<Ranked> {
        let name = self.query.name().filter(|_| self.progress.rank.is_some());
        let rank = name.map(|name| name.rank_of(&told));
        self.query.matches(&told).then_some((rank, told))
    }

    /// Patients of the studies that some words lead to, and the newest of these studies.
    fn select_followed(&self, dialect: Dialect, size: i64) -> Statement {
        let mut statement = self.picked(size).with(dialect);
        statement.push(&answer::select_patient()).push(", k.at, k.study FROM picked k CROSS JOIN studies s");
        statement.push(" CROSS JOIN patients p WHERE s.id = k.study AND p.id = s.patient");
        statement.push(" ORDER BY k.at DESC, k.study DESC");
        statement
    }

    /// Patients with a study that is shown and fulfils the conditions on studies.
    fn select_patients(&self, dialect: Dialect, size: i64) -> Statement {
        let mut statement = Statement::new("");
        if let Some(Driver::Gather(source)) = &self.progress.driver {
            statement.push("WITH d(study) AS MATERIALIZED (");
            source.push(&mut statement, dialect);
            statement.push(") ");
        }
        statement.push(&answer::select_patient()).push(" FROM patients p WHERE 1 = 1");
        let (of_patients, of_studies): (Vec<&Condition>, Vec<&Condition>) =
            self.narrowing.studies.iter().partition(|condition| condition.is_of_patients());
        of_patients.iter().for_each(|condition| condition.push(&mut statement, dialect, "s.at"));
        if let Some(Driver::Gather(_)) = &self.progress.driver {
            statement.push(" AND p.id IN (SELECT s.patient FROM d JOIN studies s ON s.id = d.study)");
        }
        statement
            .push(" AND EXISTS (SELECT 1 FROM studies s WHERE s.patient = p.id AND s.instance_count > 0");
        of_studies.iter().for_each(|condition| condition.push(&mut statement, dialect, "s.at"));
        statement.push(")");
        if let Some((name, id)) = &self.progress.patient {
            statement
                .push(" AND (p.name, p.id) > ")
                .push_list([name.as_str().into(), super::super::SqlValue::Int(*id)]);
        }
        statement.push(" ORDER BY p.name, p.id LIMIT ").push_bind(size);
        statement
    }
}
