//! Patients, by name.

use super::super::{Connection, Dialect, Statement};
use super::narrowing::Condition;
use super::plan::Driver;
use super::{Search, Step, answer, headers};
use crate::Result;

impl Search<'_> {
    pub(super) async fn next_patients<C: Connection>(&mut self, connection: &mut C) -> Result<Step> {
        let size = self.passed_unseen()?.map_or_else(|| self.size(), Ok)?;
        let rows = connection.fetch(self.select_patients(C::DIALECT, size)).await?;
        for row in &rows {
            self.progress.patient = Some((row.text(0)?.to_owned(), row.int(1)?));
            let attributes = answer::patient(row)?;
            if self.is_match(&attributes)
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
