//! The destination commits itself to what it was sent (PS3.4 Annex J): it is asked once all of a study is there, reports when
//! it likes, and gets once more what it does not have.

use std::time::Duration;

use dicom_store::model::Instance;
use dicom_store::queue::NewJob;
use tracing::{info, warn};

use super::{Delivery, Errand, Forward, Proof};
use crate::Result;
use crate::clock::since_1970;
use crate::commitment::{self, Asked, Report, forget, known, new_transaction};
use crate::destination::Destination;

/// Instances that one request names; the others are asked about when it was reported.
const MOST_NAMED: usize = 2000;
/// Requests of one study whose reports are still taken.
const MOST_OPEN: usize = 8;
/// Times that it is asked in vain before what it does not commit itself to counts as refused: most of a day.
const ROUNDS: u32 = 100;
/// Before it is tried once more; each further time twice as long, up to [`LONGEST_REST`].
const REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(600);

impl Delivery {
    /// Takes in a report; gives whether all that was asked about is committed to.
    fn judge(&mut self, asked: &Asked, report: &Report) -> bool {
        let mut is_whole = true;
        for instance in &asked.instances {
            let proof = if report.committed.contains(instance) {
                self.rounds = 0;
                Proof::Committed
            } else if self.instances.get(instance) == Some(&Proof::Committed) {
                continue;
            } else {
                is_whole = false;
                let why = report.failed.get(instance).map(|reason| format!("Failure Reason {reason:04X}H"));
                let why = why.unwrap_or_else(|| "its report does not name it".to_owned());
                Proof::Failed(format!("the destination does not commit itself to it: {why}"))
            };
            self.instances.insert(instance.clone(), proof);
        }
        is_whole
    }

    fn rest(&self) -> Duration {
        REST.saturating_mul(1 << self.rounds.saturating_sub(1).min(16)).min(LONGEST_REST)
    }
}

impl Forward {
    /// The job that looks at a report.
    pub(crate) fn reported(asked: &Asked) -> Result<NewJob> {
        Self::order(Errand {
            destination: asked.destination.clone(),
            study: asked.study.clone(),
            by: asked.by.clone(),
            waits: false,
            ordered: 0,
            again: false,
        })
    }

    /// Takes in what was reported since. Where something is to be sent again: after which time.
    pub(super) async fn hear(&self, delivery: &mut Delivery) -> Result<Option<Duration>> {
        let (mut heard, mut is_whole) = (Vec::new(), true);
        let mut open = Vec::new();
        for transaction in std::mem::take(&mut delivery.transactions) {
            match known(&self.work, &transaction).await? {
                Some((asked, Some(report))) => {
                    is_whole &= delivery.judge(&asked, &report);
                    let (study, destination) = (&asked.study, &asked.destination);
                    let (committed, failed) = (report.committed.len(), report.failed.len());
                    info!(%study, %destination, %transaction, committed, failed, "storage commitment heard");
                    heard.push(transaction);
                }
                Some((_, None)) => open.push(transaction),
                None => {}
            }
        }
        delivery.transactions = open;
        if heard.is_empty() {
            return Ok(None);
        }
        self.keep(delivery).await?;
        for transaction in &heard {
            forget(&self.work, transaction).await?;
        }
        Ok((!is_whole).then(|| delivery.rest()))
    }

    /// Asks the destination to commit itself to what it has taken, or waits for its report.
    pub(super) async fn commit(
        &self,
        errand: Errand,
        place: &dyn Destination,
        mut delivery: Delivery,
        instances: &[Instance],
    ) -> Result<()> {
        let within = place.commits_within().unwrap_or_default();
        let (study, destination) = (&errand.study, &errand.destination);
        if let Some(newest) = delivery.transactions.last().cloned() {
            match known(&self.work, &newest).await? {
                Some((asked, _)) if asked.is_taken => {
                    let left =
                        within.saturating_sub(since_1970().saturating_sub(Duration::from_secs(asked.at)));
                    if !left.is_zero() {
                        return Ok(self.work.enqueue(&[Self::later(errand, left)?]).await?);
                    }
                    warn!(%study, %destination, transaction = %newest, "no report of storage commitment in time, asking again");
                }
                // It has never got there.
                _ => {
                    delivery.transactions.pop();
                    forget(&self.work, &newest).await?;
                }
            }
        }
        if delivery.rounds >= ROUNDS {
            for proof in delivery.instances.values_mut().filter(|proof| **proof == Proof::Delivered) {
                *proof = Proof::Refused("the destination does not commit itself to it".to_owned());
            }
            return self.keep(&delivery).await;
        }
        let is_asked =
            |instance: &&Instance| delivery.instances.get(&instance.sop_instance) == Some(&Proof::Delivered);
        let named: Vec<Instance> = instances.iter().filter(is_asked).take(MOST_NAMED).cloned().collect();
        let mut asked = Asked {
            destination: destination.clone(),
            study: study.clone(),
            by: errand.by.clone(),
            instances: named.iter().map(|instance| instance.sop_instance.clone()).collect(),
            at: since_1970().as_secs(),
            is_taken: false,
        };
        let transaction = new_transaction();
        delivery.rounds += 1;
        delivery.transactions.push(transaction.clone());
        let old = delivery.transactions.len().saturating_sub(MOST_OPEN);
        for old in delivery.transactions.drain(..old).collect::<Vec<_>>() {
            forget(&self.work, &old).await?;
        }
        commitment::keep(&self.work, &transaction, &asked).await?;
        self.keep(&delivery).await?;
        // Before it is asked: a report that comes at once brings this job forward.
        self.work.enqueue(&[Self::later(errand.clone(), within)?]).await?;
        match place.commit(&transaction, &named).await {
            Ok(()) => {
                info!(%study, %destination, %transaction, instances = named.len(), "storage commitment asked for");
                asked.is_taken = true;
                commitment::keep(&self.work, &transaction, &asked).await
            }
            Err(error) => {
                let rest = delivery.rest();
                warn!(%study, %destination, %error, seconds = rest.as_secs(), "storage commitment was not asked for, again later");
                Ok(self.work.enqueue(&[Self::later(errand, rest)?]).await?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use dicom_store::model::SopInstanceUid;

    use super::*;

    fn uid(text: &str) -> SopInstanceUid {
        SopInstanceUid::parse(text).unwrap()
    }

    fn delivery(proofs: &[(&str, Proof)]) -> Delivery {
        Delivery {
            destination: "WS".parse().unwrap(),
            study: "1.2".parse().unwrap(),
            by: "order".to_owned(),
            total: proofs.len() as u64,
            instances: proofs.iter().map(|(instance, proof)| (uid(instance), proof.clone())).collect(),
            commits: true,
            transactions: Vec::new(),
            rounds: 3,
            broken: Vec::new(),
            corrected: BTreeMap::new(),
            ordered: 0,
        }
    }

    fn asked(instances: &[&str]) -> Asked {
        Asked {
            destination: "WS".parse().unwrap(),
            study: "1.2".parse().unwrap(),
            by: "order".to_owned(),
            instances: instances.iter().map(|instance| uid(instance)).collect(),
            at: 0,
            is_taken: true,
        }
    }

    fn report(committed: &[&str], failed: &[(&str, u16)]) -> Report {
        Report {
            committed: committed.iter().map(|instance| uid(instance)).collect::<BTreeSet<_>>(),
            failed: failed
                .iter()
                .map(|(instance, reason)| (uid(instance), *reason))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn what_is_committed_to_is_proven_and_the_rest_is_sent_again() {
        let mut delivery =
            delivery(&[("1.1", Proof::Delivered), ("1.2", Proof::Delivered), ("1.3", Proof::Delivered)]);
        assert!(delivery.is_sent() && !delivery.is_done());
        assert!(!delivery.judge(&asked(&["1.1", "1.2", "1.3"]), &report(&["1.1"], &[("1.2", 0x0112)])));
        assert_eq!((delivery.committed(), delivery.rounds), (1, 0));
        assert!(!delivery.is_settled(&uid("1.2")) && !delivery.is_settled(&uid("1.3")));
        let why = |instance: &str| format!("{:?}", delivery.instances[&uid(instance)]);
        assert!(why("1.2").contains("0112H") && why("1.3").contains("does not name it"), "{delivery:?}");
    }

    #[test]
    fn a_study_is_done_when_all_of_it_is_committed_to_or_refused_and_an_old_report_takes_nothing_back() {
        let refused = Proof::Refused("SOP class".to_owned());
        let mut delivery = delivery(&[("1.1", Proof::Delivered), ("1.2", refused)]);
        assert!(delivery.judge(&asked(&["1.1"]), &report(&["1.1"], &[])) && delivery.is_done());
        assert!(delivery.judge(&asked(&["1.1"]), &report(&[], &[("1.1", 0x0112)])) && delivery.is_done());
        delivery.commits = false;
        assert!(delivery.is_done());
    }

    #[test]
    fn what_is_gone_is_not_waited_for_and_stands_for_nothing_else() {
        let failed = Proof::Failed("busy".to_owned());
        let proofs =
            [("1.1", Proof::Committed), ("1.2", Proof::Delivered), ("1.3", failed.clone()), ("1.4", failed)];
        let mut delivery = delivery(&proofs);
        let there = uid("1.4");
        delivery.consists_of(&[&there].into());
        let left: Vec<_> = delivery.instances.keys().map(|uid| uid.as_str()).collect();
        assert_eq!((left, delivery.total), (vec!["1.1", "1.4"], 2));
        // What was proven of the one that is gone is no proof of the one that is there.
        assert!(!delivery.is_sent() && !delivery.is_done());
        delivery.instances.insert(there, Proof::Committed);
        assert!(delivery.is_done());
    }

    #[test]
    fn each_time_in_vain_is_followed_by_a_longer_rest() {
        let rest = |rounds| Delivery { rounds, ..delivery(&[]) }.rest().as_secs();
        assert_eq!([0, 1, 2, 5, 50].map(rest), [2, 2, 4, 32, 600]);
    }
}
