//! Performed procedure steps, as modalities tell of them: lines of the register, each changed only from what was read.

use super::Session;
use crate::access::Action;
use crate::index::act_time;
use crate::model::{Attributes, SopInstanceUid, StudyInstanceUid, Tag};
use crate::performed_step::{
    AWAITED_SERIES, PERFORMED_STEP, PerformedProcedureStep, PerformedStepRefusal, STEP_BY_AGE, STEP_OF_STUDY,
};
use crate::register::Entry;
use crate::{Error, ErrorKind, Result as Outcome};

type Result<T> = std::result::Result<T, PerformedStepRefusal>;

/// How often a change is tried anew that somebody else was quicker with.
const TRIES: u32 = 20;
/// A step is kept so long from its beginning, in milliseconds.
const KEPT: u64 = 30 * 24 * 3_600_000;
/// Old ones that go when a new one comes, at the most.
const GO: u32 = 20;
/// Steps of one study that are told.
const MOST: u32 = 100;

impl Session {
    /// N-CREATE.
    ///
    /// # Errors
    /// Every [`PerformedStepRefusal`] but `Unknown` and `Final`.
    pub async fn create_performed_step(&self, uid: &SopInstanceUid, attributes: &Attributes) -> Result<()> {
        self.check_audited(Action::Store).await?;
        let step = PerformedProcedureStep::create(uid.clone(), attributes)?;
        let index = &self.archive.inner.index;
        self.forget_old_steps(act_time()).await?;
        if index.registered_as(PERFORMED_STEP, uid.as_str()).await?.is_some() {
            return Err(PerformedStepRefusal::Exists);
        }
        // Before the step: one that is there is found by its studies, and goes when it is old.
        let studies =
            step.studies().into_iter().map(|study| Entry::new(STEP_OF_STUDY, format!("{study} {uid}"), "{}"));
        let by_age = Entry::new(STEP_BY_AGE, format!("{:013} {uid}", act_time()), "{}");
        index.register(&studies.chain([by_age]).collect::<Vec<_>>(), None).await?;
        let entry = Entry::new(PERFORMED_STEP, uid.as_str(), step.body()?);
        let by = self.audited("create performed step", uid.to_string());
        if !index.register_if(&entry, 0, Some(&by)).await? {
            return Err(PerformedStepRefusal::Exists);
        }
        Ok(index.sync().await?)
    }

    /// N-SET; gives those of the changes that are not made, for no N-SET makes them, and that say something else than the
    /// step does.
    ///
    /// # Errors
    /// Every [`PerformedStepRefusal`] but `Exists` and `Missing`.
    pub async fn set_performed_step(&self, uid: &SopInstanceUid, changes: &Attributes) -> Result<Vec<Tag>> {
        self.check_audited(Action::Store).await?;
        let index = &self.archive.inner.index;
        for _ in 0..TRIES {
            let row = index.registered_as(PERFORMED_STEP, uid.as_str()).await?;
            let row = row.ok_or(PerformedStepRefusal::Unknown)?;
            let mut step = PerformedProcedureStep::read(&row.name, &row.body)?;
            let passed_over = step.set(changes)?;
            let entry = Entry::new(PERFORMED_STEP, uid.as_str(), step.body()?);
            let by = self.audited(&format!("performed step {}", step.status.term()), uid.to_string());
            if index.register_if(&entry, row.times, Some(&by)).await? {
                index.sync().await?;
                return Ok(passed_over);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "others change the performed procedure step all the time")
            .into())
    }

    /// N-GET.
    ///
    /// # Errors
    /// `Unknown`, `Archive`.
    pub async fn performed_step(&self, uid: &SopInstanceUid) -> Result<PerformedProcedureStep> {
        self.caller.check(Action::Search)?;
        let row = self.archive.inner.index.registered_as(PERFORMED_STEP, uid.as_str()).await?;
        let row = row.ok_or(PerformedStepRefusal::Unknown)?;
        Ok(PerformedProcedureStep::read(&row.name, &row.body)?)
    }

    /// Those that say that they are of a study, in whatever state, up to a hundred.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn performed_steps_of(&self, study: &StudyInstanceUid) -> Outcome<Vec<SopInstanceUid>> {
        self.caller.check(Action::Search)?;
        let prefix = format!("{study} ");
        let rows = self.archive.inner.index.registered(STEP_OF_STUDY, &prefix, MOST).await?;
        let uids = rows.iter().map_while(|row| row.name.strip_prefix(&prefix));
        uids.map(SopInstanceUid::parse).collect()
    }

    /// Some of those that were made long ago, with all that leads to them.
    async fn forget_old_steps(&self, now: u64) -> Outcome<()> {
        let index = &self.archive.inner.index;
        for row in index.registered(STEP_BY_AGE, "", GO).await? {
            if row.made + KEPT >= now {
                break;
            }
            let uid = row.name.split(' ').nth(1).unwrap_or_default();
            if let Some(line) = index.registered_as(PERFORMED_STEP, uid).await?
                && let Ok(step) = PerformedProcedureStep::read(&line.name, &line.body)
            {
                for study in step.studies() {
                    index.unregister(STEP_OF_STUDY, &format!("{study} {uid}"), None).await?;
                }
                for series in step.series() {
                    index.unregister(AWAITED_SERIES, &format!("{series} {uid}"), None).await?;
                }
            }
            index.unregister(PERFORMED_STEP, uid, None).await?;
            index.unregister(STEP_BY_AGE, &row.name, None).await?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use rstest::rstest;
    use tempfile::TempDir;

    use crate::fixture::step::{ended, of_series, started};
    use crate::fixture::{self, Database};
    use crate::performed_step::PerformedStepStatus;
    use crate::{Archive, Config};

    use super::*;

    #[allow(clippy::unwrap_used, reason = "a test's preparation")]
    fn uid(text: &str) -> SopInstanceUid {
        SopInstanceUid::parse(text).unwrap()
    }

    /// Over either index.
    async fn config(folder: &TempDir, is_postgres: bool) -> (Config, Option<Database>) {
        let config = fixture::config(folder);
        if !is_postgres {
            return (config, None);
        }
        let database = Database::new().await;
        (Config { index: database.url().into(), ..config }, Some(database))
    }

    #[rstest]
    #[case::sqlite(false)]
    #[case::postgres(true)]
    #[tokio::test]
    async fn of_two_that_end_a_step_at_once_one_does_and_the_other_is_told(#[case] is_postgres: bool) {
        let folder = tempfile::tempdir().unwrap();
        let (config, _database) = config(&folder, is_postgres).await;
        let archive = Archive::open(&config).await.unwrap();
        let (session, step) = (fixture::system(&archive), uid("2.25.1"));
        session.create_performed_step(&step, &started("1.2")).await.unwrap();
        let twice = session.create_performed_step(&step, &started("1.2")).await.unwrap_err();
        assert!(matches!(twice, PerformedStepRefusal::Exists), "{twice}");
        let changes = ended("COMPLETED", vec![of_series("1.3", &["1.4"])]);
        let (one, other) = tokio::join!(
            session.set_performed_step(&step, &changes),
            session.set_performed_step(&step, &changes)
        );
        let refusals = [one, other].into_iter().filter_map(std::result::Result::err);
        let refusals: Vec<_> = refusals.collect();
        assert!(matches!(refusals[..], [PerformedStepRefusal::Final]), "{refusals:?}");
        let audited = session.audit(None, 10).await.unwrap();
        let acts: Vec<_> = audited.iter().map(|(_, row)| (row.action.as_str(), row.what.as_str())).collect();
        assert_eq!(acts, [("performed step COMPLETED", "2.25.1"), ("create performed step", "2.25.1")]);
        archive.close().await;
    }

    #[rstest]
    #[case::sqlite(false)]
    #[case::postgres(true)]
    #[tokio::test]
    async fn a_step_outlives_a_restart_and_is_found_by_its_study(#[case] is_postgres: bool) {
        let folder = tempfile::tempdir().unwrap();
        let (config, _database) = config(&folder, is_postgres).await;
        let (step, study) = (uid("2.25.1"), StudyInstanceUid::parse("1.2").unwrap());
        let archive = Archive::open(&config).await.unwrap();
        fixture::system(&archive).create_performed_step(&step, &started("1.2")).await.unwrap();
        archive.close().await;
        let archive = Archive::open(&config).await.unwrap();
        let session = fixture::system(&archive);
        assert_eq!(session.performed_step(&step).await.unwrap().status, PerformedStepStatus::InProgress);
        assert_eq!(session.performed_steps_of(&study).await.unwrap(), [step]);
        assert!(
            session.performed_steps_of(&StudyInstanceUid::parse("1.2.3").unwrap()).await.unwrap().is_empty()
        );
        let unknown =
            session.set_performed_step(&uid("2.25.2"), &ended("COMPLETED", Vec::new())).await.unwrap_err();
        assert!(matches!(unknown, PerformedStepRefusal::Unknown), "{unknown}");
        archive.close().await;
    }

    #[tokio::test]
    async fn an_old_step_goes_with_all_that_leads_to_it() {
        let (archive, _folder) = fixture::archive().await;
        let (session, work) = (fixture::system(&archive), archive.work());
        let (step, study) = (uid("2.25.1"), StudyInstanceUid::parse("1.2").unwrap());
        session.create_performed_step(&step, &started("1.2")).await.unwrap();
        session
            .set_performed_step(&step, &ended("COMPLETED", vec![of_series("1.3", &["1.4"])]))
            .await
            .unwrap();
        work.register(&[Entry::new(AWAITED_SERIES, "1.3 2.25.1", "{}")]).await.unwrap();
        session.forget_old_steps(act_time() + KEPT - 60_000).await.unwrap();
        assert!(session.performed_step(&step).await.is_ok(), "it is not old yet");
        session.forget_old_steps(act_time() + KEPT + 60_000).await.unwrap();
        assert!(matches!(session.performed_step(&step).await, Err(PerformedStepRefusal::Unknown)));
        assert!(session.performed_steps_of(&study).await.unwrap().is_empty());
        for kind in [AWAITED_SERIES, STEP_BY_AGE, STEP_OF_STUDY, PERFORMED_STEP] {
            assert!(work.registered(kind, "", 10).await.unwrap().is_empty(), "{kind}");
        }
    }
}
