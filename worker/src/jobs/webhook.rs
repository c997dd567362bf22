//! Programs of the hospital that a rule wants to be told, by HTTP.
//!
//! What they hear names a study and no patient. A program that does not take it hears it again, for about a day; then the
//! job is parked with the reason.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use dicom_store::model::StudyInstanceUid;
use dicom_store::queue::NewJob;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::complete::{Evidence, to_json};
use crate::Result;
use crate::clock::since_1970;
use crate::hooks::{Call, Hooks};
use crate::job::{HowFar, Job, new_job};

/// What is told of a study that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct StudyComplete {
    pub study: StudyInstanceUid,
    pub instances: u64,
    pub modalities: Vec<String>,
    pub evidence: Vec<Evidence>,
    /// The rule that has it told.
    pub rule: String,
}

/// Tells them.
pub struct Webhook(pub Arc<dyn Hooks>);

/// Whom, of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    hook: String,
    call: Call,
}

impl Webhook {
    /// The job that tells one of them. What is told stays the same, however often it has to be: each time with the same
    /// identifier, by which a program knows what it has heard. `mark`: tells these instances from as many others.
    ///
    /// # Errors
    /// As [`new_job`].
    pub(crate) fn of(hook: &str, event: &StudyComplete, mark: &str) -> Result<NewJob> {
        let told = to_json(event)?;
        let id = blake3::hash(format!("{hook} {told} {mark}").as_bytes()).to_hex();
        let seconds = i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX);
        let timestamp: DateTime<Utc> = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let body = json!({
            "type": "study.complete",
            "timestamp": timestamp.to_rfc3339_opts(SecondsFormat::Secs, true),
            "data": event,
        });
        let call = Call { id: id.chars().take(32).collect(), body: body.to_string() };
        let key = format!("{} {hook} {}", event.study, event.rule);
        new_job::<Self>(key, &Errand { hook: hook.to_owned(), call }, Duration::ZERO)
    }
}

impl Job for Webhook {
    const KIND: &'static str = "webhook";
    /// One that hangs leaves room for what is done with peers.
    const AT_A_TIME: usize = 8;
    /// About a day of a program that is not there.
    const ATTEMPTS: u32 = 150;
    type Payload = Errand;

    async fn run(&self, Errand { hook, call }: Errand, _: &HowFar) -> Result<()> {
        self.0.tell(&hook, &call).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn event(instances: u64) -> StudyComplete {
        StudyComplete {
            study: StudyInstanceUid::parse("1.2").unwrap(),
            instances,
            modalities: vec!["CT".to_owned()],
            evidence: vec![Evidence::Quiet { seconds: 60 }],
            rule: "all".to_owned(),
        }
    }

    fn call(job: &NewJob) -> Call {
        serde_json::from_str::<Errand>(&job.payload).unwrap().call
    }

    #[test]
    fn what_is_told_names_the_study_and_why_it_counts_as_complete() {
        let job = Webhook::of("RIS", &event(3), "m").unwrap();
        assert_eq!((job.kind, job.key.as_str()), ("webhook", "1.2 RIS all"));
        let body: Value = serde_json::from_str(&call(&job).body).unwrap();
        assert_eq!(body["type"], "study.complete");
        let told = json!({
            "study": "1.2", "instances": 3, "modalities": ["CT"], "rule": "all",
            "evidence": [{"quiet": {"seconds": 60}}],
        });
        assert_eq!(body["data"], told);
        DateTime::parse_from_rfc3339(body["timestamp"].as_str().unwrap()).unwrap();
    }

    #[test]
    fn the_same_again_has_the_same_identifier_and_more_instances_have_another() {
        let id = |hook, instances, mark| call(&Webhook::of(hook, &event(instances), mark).unwrap()).id;
        assert_eq!((id("RIS", 3, "m"), id("RIS", 3, "m").len()), (id("RIS", 3, "m"), 32));
        assert_ne!(id("RIS", 3, "m"), id("RIS", 4, "m"));
        assert_ne!(id("RIS", 3, "m"), id("HIS", 3, "m"));
        assert_ne!(id("RIS", 3, "m"), id("RIS", 3, "n"), "as many others are told of anew");
    }
}
