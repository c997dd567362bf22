//! A study goes to a destination: by a rule, or because somebody asked for it.
//!
//! What became of each instance is noted as it happens, in the register; so what was delivered is not sent again,
//! whatever stops us between, and can be shown years later. Where the destination commits itself to what it has taken, that
//! is what counts (`commit`).

mod commit;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use dicom_store::model::{
    AeTitle, ErrorKind, Instance, Resource, SopInstanceUid, StudyInstanceUid, TransactionUid,
};
use dicom_store::queue::{JobState, NewJob, Priority, QueuedJob};
use dicom_store::register::Entry;
use dicom_store::{Session, Work};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::complete::to_json;
use super::retrieve::ORDER;
use super::turns::Turns;
use crate::commitment::forget;
use crate::destination::{Destination, Destinations, Sent};
use crate::job::{HowFar, Job, new_job};
use crate::{Error, Result, clock};

/// The kind of its lines in the register.
pub const DELIVERY: &str = "delivery";
/// Outcomes that wait to be noted.
const OUTCOMES: usize = 64;
/// Outcomes are noted together for so long, or when there are so many: what a kill takes is sent again.
const NOTED_AFTER: Duration = Duration::from_millis(500);
const NOTED_TOGETHER: usize = 200;
/// How long one run sends before others have their turn.
const SLICE: Duration = Duration::from_secs(120);
/// When as many as may are sending to the destination, it is looked again after so long.
const AGAIN: Duration = Duration::from_secs(5);
/// The hours in which a destination wants to be sent to are told in minutes.
const A_MINUTE: Duration = Duration::from_secs(60);

/// What is known of an instance that goes to a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The destination has answered that it is stored.
    Delivered,
    /// It has committed itself to keeping it.
    Committed,
    /// Not yet, and why; it is tried again.
    Failed(String),
    /// The destination does not take such instances.
    Refused(String),
}

/// A study on its way to a destination, as the register has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Delivery {
    pub destination: AeTitle,
    pub study: StudyInstanceUid,
    /// The rule, or who asked.
    pub by: String,
    /// Instances that the study had when it was looked at last, and those that were proven before and are gone since.
    pub total: u64,
    /// Of those that were sent.
    pub instances: BTreeMap<SopInstanceUid, Proof>,
    /// The destination is asked to commit itself to what it has taken; before it has, nothing is proven.
    #[serde(default)]
    pub commits: bool,
    /// Requests of that whose reports have not come, the newest last.
    #[serde(default)]
    pub transactions: Vec<TransactionUid>,
    /// How often that was asked in vain.
    #[serde(default)]
    pub rounds: u32,
    /// Those under way when an association broke: they go behind the others, the one that broke it last at the end.
    #[serde(default)]
    pub broken: Vec<SopInstanceUid>,
    /// The acts that had corrected an instance when it was sent, of those that were corrected.
    #[serde(default)]
    pub corrected: BTreeMap<SopInstanceUid, String>,
    /// When a person has ordered it last, as far as that was obeyed, in milliseconds since 1970.
    #[serde(default)]
    pub ordered: u64,
}

fn by_rule(name: &str) -> String {
    format!("{name} by rule")
}

fn again(name: &str) -> String {
    format!("{name} again")
}

/// What tells how an instance is corrected from how it was or will be; `None` while it is as it came.
fn correction_of(instance: &Instance) -> Option<String> {
    let correction = instance.correction.as_ref()?;
    let acts: Vec<String> = correction.acts().map(|act| act.to_string()).collect();
    Some(acts.join(" "))
}

impl Delivery {
    /// Its name in the register; those of a study stand together.
    pub fn name(study: &StudyInstanceUid, destination: &AeTitle) -> String {
        format!("{study} {destination}")
    }

    fn count(&self, is: fn(&Proof) -> bool) -> u64 {
        self.instances.values().filter(|proof| is(proof)).count() as u64
    }

    /// Delivered, those included that are committed to; failed for now; refused.
    pub fn counts(&self) -> (u64, u64, u64) {
        (
            self.count(|proof| matches!(proof, Proof::Delivered | Proof::Committed)),
            self.count(|proof| matches!(proof, Proof::Failed(_))),
            self.count(|proof| matches!(proof, Proof::Refused(_))),
        )
    }

    /// Those that the destination has committed itself to.
    pub fn committed(&self) -> u64 {
        self.count(|proof| matches!(proof, Proof::Committed))
    }

    /// Whether nothing is left to be sent.
    fn is_sent(&self) -> bool {
        let (delivered, _, refused) = self.counts();
        self.total > 0 && delivered + refused >= self.total
    }

    /// The keys that its jobs have in the queue.
    pub fn job_keys(&self) -> [String; 3] {
        let name = Self::name(&self.study, &self.destination);
        [by_rule(&name), again(&name), name]
    }

    /// How it is, in a word: `sending`; and where that is over `done`, or `incomplete` or `refused` where the destination does
    /// not take some or any of it. With `jobs` of it in the queue: `parked` where all of them are, and `cancelled` where
    /// nothing goes on with it any more.
    pub fn state(&self, jobs: &[QueuedJob]) -> &'static str {
        let mut jobs = jobs.iter().filter(|job| !job.is_cancelled).peekable();
        match self.counts() {
            _ if !self.is_done() && jobs.peek().is_none() => "cancelled",
            _ if !self.is_done() && jobs.all(|job| job.state == JobState::Parked) => "parked",
            _ if !self.is_done() => "sending",
            (_, _, 0) => "done",
            (0, _, _) => "refused",
            _ => "incomplete",
        }
    }

    /// Whether all of it is proven that will be.
    pub fn is_done(&self) -> bool {
        let (_, _, refused) = self.counts();
        self.is_sent() && (!self.commits || self.committed() + refused >= self.total)
    }

    /// Takes in what a person has ordered since: that what was refused is tried once more, or that all of it is sent again.
    /// Gives whether there was such an order.
    fn obey(&mut self, errand: &Errand) -> bool {
        if errand.ordered <= self.ordered {
            return false;
        }
        (self.ordered, self.rounds) = (errand.ordered, 0);
        if errand.again {
            self.instances.clear();
            self.corrected.clear();
        } else {
            self.instances.retain(|_, proof| !matches!(proof, Proof::Refused(_)));
        }
        true
    }

    fn is_settled(&self, instance: &SopInstanceUid) -> bool {
        let proof = self.instances.get(instance);
        matches!(proof, Some(Proof::Delivered | Proof::Committed | Proof::Refused(_)))
    }

    /// The study consists of these now. Of what is gone only the proof stays: nothing is waited for that cannot be sent.
    fn look_at(&mut self, instances: &[Instance]) {
        // What was corrected since it was sent is sent anew.
        for instance in instances {
            if self.corrected.get(&instance.sop_instance) != correction_of(instance).as_ref() {
                self.instances.remove(&instance.sop_instance);
                self.corrected.remove(&instance.sop_instance);
            }
        }
        self.consists_of(&instances.iter().map(|instance| &instance.sop_instance).collect());
    }

    fn consists_of(&mut self, there: &HashSet<&SopInstanceUid>) {
        let commits = self.commits;
        self.instances.retain(|instance, proof| {
            there.contains(instance)
                || match proof {
                    Proof::Committed | Proof::Refused(_) => true,
                    Proof::Delivered => !commits,
                    Proof::Failed(_) => false,
                }
        });
        self.broken.retain(|instance| there.contains(instance));
        self.corrected.retain(|instance, _| there.contains(instance));
        let gone = self.instances.keys().filter(|instance| !there.contains(instance)).count();
        self.total = (there.len() + gone) as u64;
    }

    /// When it is its turn: one that breaks associations holds up nobody but those that do so, too.
    fn turn_of(&self, instance: &SopInstanceUid) -> usize {
        self.broken.iter().position(|broken| broken == instance).map_or(0, |place| place + 1)
    }

    /// `correction`: as it was when it was sent.
    fn note(&mut self, instance: SopInstanceUid, sent: Sent, correction: Option<&String>) {
        match correction {
            Some(correction) => self.corrected.insert(instance.clone(), correction.clone()),
            None => self.corrected.remove(&instance),
        };
        self.broken.retain(|broken| *broken != instance);
        if matches!(sent, Sent::Broken(_)) {
            self.broken.push(instance.clone());
        }
        let proof = match sent {
            Sent::Delivered => Proof::Delivered,
            Sent::Failed(why) | Sent::Broken(why) => Proof::Failed(why),
            Sent::Refused(why) => Proof::Refused(why),
        };
        self.instances.insert(instance, proof);
    }
}

/// Sends studies to destinations.
pub struct Forward {
    session: Session,
    work: Work,
    destinations: Destinations,
    turns: Turns,
}

/// Which study goes where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    destination: AeTitle,
    study: StudyInstanceUid,
    by: String,
    /// Whether it waits for the hours in which the destination wants to be sent to.
    waits: bool,
    /// When a person has ordered it, in milliseconds since 1970; 0 where nobody has.
    #[serde(default)]
    ordered: u64,
    /// Everything is sent, also what was delivered.
    #[serde(default)]
    again: bool,
}

impl Forward {
    /// Reads through this session.
    pub fn new(session: Session, work: Work, destinations: Destinations) -> Self {
        Self { session, work, destinations, turns: Turns::default() }
    }

    /// The job of a rule.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn by_rule(destination: &AeTitle, study: &StudyInstanceUid, rule: &str) -> Result<NewJob> {
        Self::order(Errand {
            destination: destination.clone(),
            study: study.clone(),
            by: format!("rule {rule}"),
            waits: true,
            ordered: 0,
            again: false,
        })
    }

    /// The job of somebody who asked for it: it waits for no hours, and what was refused is tried once more. `again`: what was
    /// delivered is sent, too.
    ///
    /// # Errors
    /// As [`new_job`].
    pub fn by_order(destination: &AeTitle, study: &StudyInstanceUid, again: bool) -> Result<NewJob> {
        let (destination, study) = (destination.clone(), study.clone());
        Self::order(Errand {
            destination,
            study,
            by: ORDER.to_owned(),
            waits: false,
            ordered: clock::now(),
            again,
        })
    }

    fn order(errand: Errand) -> Result<NewJob> {
        Self::later(errand, Duration::ZERO)
    }

    fn later(errand: Errand, delay: Duration) -> Result<NewJob> {
        let name = Delivery::name(&errand.study, &errand.destination);
        // What a rule sends in its hours takes nothing of what somebody wants now, and is not forgotten for it.
        let key = match &errand {
            Errand { waits: true, .. } => by_rule(&name),
            // Nor does an order that sends what is left take the place of one that sends everything.
            Errand { again: true, .. } => again(&name),
            _ => name,
        };
        let job = new_job::<Self>(key, &errand, delay)?;
        // A person waits for what a person has ordered, however often it has to wait itself.
        let priority = if errand.ordered > 0 { Priority::Awaited } else { job.priority };
        Ok(NewJob { priority, ..job })
    }

    async fn delivery(&self, errand: &Errand) -> Result<Delivery> {
        let name = Delivery::name(&errand.study, &errand.destination);
        let row = self.work.registered_as(DELIVERY, &name).await?;
        let before = row.and_then(|row| serde_json::from_str::<Delivery>(&row.body).ok());
        Ok(before.unwrap_or_else(|| Delivery {
            destination: errand.destination.clone(),
            study: errand.study.clone(),
            by: errand.by.clone(),
            total: 0,
            instances: BTreeMap::new(),
            commits: false,
            transactions: Vec::new(),
            rounds: 0,
            broken: Vec::new(),
            corrected: BTreeMap::new(),
            ordered: 0,
        }))
    }

    /// Keeps that an order was taken in. What the destination reports of what it was sent before proves nothing of what it is
    /// sent again.
    async fn obeyed(&self, errand: &Errand, delivery: &mut Delivery) -> Result<()> {
        let reports = if errand.again { std::mem::take(&mut delivery.transactions) } else { Vec::new() };
        self.keep(delivery).await?;
        for transaction in &reports {
            forget(&self.work, transaction).await?;
        }
        Ok(())
    }

    async fn keep(&self, delivery: &Delivery) -> Result<()> {
        let name = Delivery::name(&delivery.study, &delivery.destination);
        Ok(self.work.register(&[Entry::new(DELIVERY, name, to_json(delivery)?)]).await?)
    }

    /// Sends what is left, and notes what becomes of it. Gives whether it was stopped before the end.
    async fn send(
        &self,
        destination: &dyn Destination,
        delivery: &mut Delivery,
        left: &[Instance],
        far: &HowFar,
    ) -> Result<bool> {
        let stop = CancellationToken::new();
        let (told, mut heard) = mpsc::channel(OUTCOMES);
        let sending = destination.send(&self.session, left, told, &stop);
        let corrections: HashMap<&SopInstanceUid, String> =
            left.iter().filter_map(|one| Some((&one.sop_instance, correction_of(one)?))).collect();
        let noting = async {
            let end = Instant::now() + SLICE;
            let (mut waiting, mut since) = (0_usize, Instant::now());
            loop {
                tokio::select! {
                    outcome = heard.recv() => match outcome {
                        Some((instance, sent)) => {
                            if waiting == 0 {
                                since = Instant::now();
                            }
                            let correction = corrections.get(&instance);
                            delivery.note(instance, sent, correction);
                            far.add(1);
                            waiting += 1;
                        }
                        None => break,
                    },
                    () = sleep_until(since + NOTED_AFTER), if waiting > 0 => {}
                    () = sleep_until(end), if !stop.is_cancelled() => stop.cancel(),
                }
                if waiting >= NOTED_TOGETHER || (waiting > 0 && since.elapsed() >= NOTED_AFTER) {
                    self.keep(delivery).await?;
                    waiting = 0;
                }
            }
            self.keep(delivery).await
        };
        let (sent, noted) = tokio::join!(sending, noting);
        noted?;
        sent?;
        Ok(stop.is_cancelled())
    }
}

impl Job for Forward {
    const KIND: &'static str = "forward";
    const TIME_LIMIT: Duration = Duration::from_secs(1800);
    /// About ten days of a destination that is not there.
    const ATTEMPTS: u32 = 1450;
    type Payload = Errand;

    async fn run(&self, errand: Errand, far: &HowFar) -> Result<()> {
        let Errand { destination, study, waits, .. } = &errand;
        let Some(_turn) = self.turns.take(destination, study.as_str()) else {
            return Ok(self.work.enqueue(&[Self::later(errand, AGAIN)?]).await?);
        };
        let mut delivery = self.delivery(&errand).await?;
        if delivery.obey(&errand) {
            self.obeyed(&errand, &mut delivery).await?;
        }
        if let Some(rest) = self.hear(&mut delivery).await? {
            return Ok(self.work.enqueue(&[Self::later(errand, rest)?]).await?);
        }
        let place = self.destinations.named(destination).await;
        if *waits && let Some(place) = &place {
            let minutes = u32::from(place.send_between().minutes_until(clock::minute_of_day()));
            if minutes > 0 {
                debug!(%study, %destination, minutes, "waits until it may be sent");
                return Ok(self.work.enqueue(&[Self::later(errand, A_MINUTE * minutes)?]).await?);
            }
        }
        let instances = match self.session.instances(&Resource::Study(study.clone())).await {
            // It has been deleted in the meantime.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            instances => instances?,
        };
        let place = place.ok_or_else(|| {
            // It may be told again; until then it is as if it could not be reached.
            Error::Remote(format!("{destination} is nothing that anything may be sent to"))
        })?;
        delivery.commits = place.commits_within().is_some();
        delivery.look_at(&instances);
        let is_left = |instance: &&Instance| !delivery.is_settled(&instance.sop_instance);
        let mut left: Vec<Instance> = instances.iter().filter(is_left).cloned().collect();
        left.sort_by_key(|instance| delivery.turn_of(&instance.sop_instance));
        let was_delivered = delivery.counts().0;
        far.of(delivery.total);
        far.add(delivery.total.saturating_sub(left.len() as u64));
        let stopped = if left.is_empty() {
            self.keep(&delivery).await?;
            false
        } else {
            self.send(&*place, &mut delivery, &left, far).await?
        };
        let (delivered, failed, refused) = delivery.counts();
        if !left.is_empty() {
            info!(%study, %destination, delivered, failed, refused, total = delivery.total, "sent on");
        }
        if delivery.is_done() {
            return Ok(());
        }
        if delivery.is_sent() {
            return self.commit(errand, &*place, delivery, &instances).await;
        }
        // Whoever takes something is not kept waiting for the rest.
        if stopped || (delivered > was_delivered && failed == 0) {
            return Ok(self.work.enqueue(&[Self::order(errand)?]).await?);
        }
        let why = delivery.instances.values().find_map(|proof| match proof {
            Proof::Failed(why) => Some(why.as_str()),
            _ => None,
        });
        let why = why.unwrap_or("nothing was said");
        let left = delivery.total.saturating_sub(delivered + refused);
        Err(Error::Remote(format!("{left} of {} instances are not delivered: {why}", delivery.total)))
    }
}

#[cfg(test)]
mod tests;
