//! Small instances wait for each other.
//!
//! Senders that are answered together come again together, but not at the same moment: the first would make a
//! group by itself, and the others the next, with a sync and a transaction for each. So a small group waits for those
//! that are expected, no longer than a sync takes. One sender alone never waits, and large instances do not: while
//! one group is synced the next is received.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::writer::{Append, ToLog};

/// Groups from this on are written at once: copying them takes as long as the wait might save.
pub(super) const SMALL: u64 = 256 << 10;
/// No wait is longer, however slow the disk is.
const LONGEST: Duration = Duration::from_millis(2);
/// Groups that are not waited for after so many waits in vain, by the powers of two up to this one.
const MOST_SKIPPED: u32 = 6;

/// Senders of a group, as long as they have no answer.
#[derive(Debug)]
pub(super) struct Present {
    instances: usize,
    unanswered: Arc<AtomicUsize>,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.unanswered.fetch_sub(self.instances, Ordering::Relaxed);
    }
}

/// What is known of those who send at the same time.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// Instances in the log that were not answered yet.
    unanswered: Arc<AtomicUsize>,
    /// Instances of the last group.
    last: usize,
    /// How long the last sync took.
    sync: Duration,
    /// Waits in vain, one after the other.
    vain: u32,
    /// Groups that are still to be written without a wait.
    skipped: u32,
}

impl Company {
    /// A group of so many instances goes into the log.
    pub(super) fn sends(&mut self, instances: usize) -> Present {
        self.last = instances;
        self.unanswered.fetch_add(instances, Ordering::Relaxed);
        Present { instances, unanswered: self.unanswered.clone() }
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0
    }

    /// Its sync took so long.
    pub(super) fn took(&mut self, sync: Duration) {
        self.sync = sync;
    }

    /// Adds those to a group who are expected and come in time. What else comes is given back and ends the wait.
    pub(super) fn join(
        &mut self,
        group: &mut Vec<Append>,
        from: &mut mpsc::Receiver<ToLog>,
    ) -> Option<ToLog> {
        let mut bytes: u64 = group.iter().map(|append| append.length).sum();
        let expected = self.last.max(group.len() + self.unanswered.load(Ordering::Relaxed));
        if group.len() >= expected || bytes >= SMALL {
            return None;
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        let deadline = Instant::now() + self.sync.min(LONGEST);
        while group.len() < expected && bytes < SMALL {
            match receive_until(from, deadline) {
                Some(ToLog::Append(next)) => {
                    bytes += next.length;
                    group.push(*next);
                }
                Some(other) => return Some(other),
                None => {
                    self.vain = (self.vain + 1).min(MOST_SKIPPED);
                    self.skipped = 1 << self.vain;
                    return None;
                }
            }
        }
        self.vain = 0;
        None
    }
}

/// What is sent next; `None` at the deadline, or when nobody sends any more. Blocks the thread.
fn receive_until(from: &mut mpsc::Receiver<ToLog>, deadline: Instant) -> Option<ToLog> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(next) = pin!(from.recv()).poll(&mut context) {
            return next;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

/// Goes on with a thread that is parked: the runtime's own timers count in milliseconds.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::fixture::ct;
    use crate::index::conformance::new;

    fn append(length: u64) -> Append {
        let (answer, _gone) = oneshot::channel();
        let new = new(&ct(), 0);
        Append { body: Vec::new(), length, digest: new.digest, new, answer }
    }

    /// A channel in which so many small instances are ready, and one of their senders.
    fn ready(instances: usize) -> (mpsc::Sender<ToLog>, mpsc::Receiver<ToLog>) {
        let (send, receive) = mpsc::channel(8);
        for _ in 0..instances {
            assert!(send.try_send(ToLog::Append(Box::new(append(1)))).is_ok());
        }
        (send, receive)
    }

    /// Company after a group of so many, all of them answered.
    fn after(instances: usize) -> Company {
        let mut company = Company::default();
        drop(company.sends(instances));
        company.took(LONGEST);
        company
    }

    #[test]
    fn those_who_were_answered_together_make_a_group_again() {
        let (_send, mut from) = ready(3);
        let mut group = vec![append(1)];
        assert!(after(3).join(&mut group, &mut from).is_none());
        assert_eq!((group.len(), from.len()), (3, 1));
    }

    #[test]
    fn those_who_are_not_answered_yet_are_waited_for() {
        let (_send, mut from) = ready(1);
        let (mut company, mut group) = (after(1), vec![append(1)]);
        let _unanswered = company.sends(1);
        assert!(company.join(&mut group, &mut from).is_none());
        assert_eq!(group.len(), 2);
    }

    #[test]
    fn one_alone_and_large_ones_wait_for_nobody() {
        let (_send, mut from) = ready(1);
        let mut group = vec![append(1)];
        assert!(after(1).join(&mut group, &mut from).is_none());
        let mut large = vec![append(SMALL)];
        assert!(after(2).join(&mut large, &mut from).is_none());
        assert_eq!((group.len(), large.len(), from.len()), (1, 1, 1));
    }

    #[test]
    fn after_a_wait_in_vain_some_groups_are_not_waited_for() {
        let (send, mut from) = ready(0);
        let (mut company, mut group) = (after(2), vec![append(1)]);
        assert!(company.join(&mut group, &mut from).is_none());
        send.try_send(ToLog::Append(Box::new(append(1)))).unwrap();
        for _ in 0..2 {
            assert!(company.join(&mut group, &mut from).is_none());
            assert_eq!(group.len(), 1);
        }
        assert!(company.join(&mut group, &mut from).is_none());
        assert_eq!(group.len(), 2);
    }

    #[test]
    fn an_act_ends_the_wait_and_so_does_the_end_of_all_senders() {
        let (send, mut from) = ready(0);
        send.try_send(ToLog::Seal).unwrap();
        let mut group = vec![append(1)];
        assert!(matches!(after(2).join(&mut group, &mut from), Some(ToLog::Seal)));
        drop(send);
        assert!(after(2).join(&mut group, &mut from).is_none());
        assert_eq!(group.len(), 1);
    }
}
