//! Workitems, as anybody may work with them who is let in: lines of the register, each changed only from what was read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::broadcast;

use super::Session;
use crate::access::Action;
use crate::index::act_time;
use crate::model::{AeTitle, Attributes, SopInstanceUid};
use crate::outbox::{OUTBOX, Outbox};
use crate::query::Query;
use crate::register::{Entry, Registered};
use crate::subscriber::{SUBSCRIBER, Subscriber, Subscription};
use crate::workitem::{Reached, StepRefusal, StepReport, StepState, WORKITEM, Workitem};
use crate::{Error, ErrorKind};

type Result<T> = std::result::Result<T, StepRefusal>;

/// Lines that are read at a time.
const PAGE: u32 = 200;
/// Workitems that there may be, and subscribers.
const MOST: usize = 20_000;
const MOST_SUBSCRIBERS: usize = 200;
/// How often a change is tried anew that somebody else was quicker with.
const TRIES: u32 = 20;
/// Room is made so often at the most, in milliseconds.
const PAUSE: u64 = 60_000;
/// A workitem that is completed or canceled is kept so long, in milliseconds, and longer under a deletion lock.
const KEPT: u64 = 30 * 24 * 3_600_000;
/// Wake-ups that a subscriber may be behind: it looks after them all the same.
pub(crate) const BEHIND: usize = 64;
/// How often a subscriber's reports are looked for that another node has written.
const LOOK: Duration = Duration::from_secs(2);

impl Session {
    /// N-CREATE: puts a workitem on the list; gives whether something was added that the request left out.
    ///
    /// # Errors
    /// `Exists`, `Invalid`, `Archive`.
    pub async fn create_workitem(&self, uid: &SopInstanceUid, attributes: Attributes) -> Result<bool> {
        self.check_audited(Action::Store).await?;
        let (workitem, was_completed) = Workitem::create(uid.clone(), attributes, act_time())?;
        self.make_room().await?;
        let entry = Entry::new(WORKITEM, uid.as_str(), workitem.body()?);
        let by = self.audited("create workitem", uid.to_string());
        if !self.archive.inner.index.register_if(&entry, 0, Some(&by)).await? {
            return Err(StepRefusal::Exists);
        }
        self.archive.inner.index.sync().await?;
        for (name, subscriber) in self.subscribers().await? {
            if let Some(lock) = subscriber.wants(&workitem.attributes) {
                self.alter_subscriber(&name, |subscriber| Ok(subscriber.add(uid, lock)?)).await?;
            }
        }
        self.tell(vec![workitem.state_report()]).await?;
        Ok(was_completed)
    }

    /// N-GET.
    ///
    /// # Errors
    /// `Unknown`, `Archive`.
    pub async fn workitem(&self, uid: &SopInstanceUid) -> Result<Workitem> {
        self.caller.check(Action::Search)?;
        let row = self.archive.inner.index.registered_as(WORKITEM, uid.as_str()).await?;
        let row = row.ok_or(StepRefusal::Unknown)?;
        Ok(Workitem::read(&row.name, &row.body)?)
    }

    /// N-SET.
    ///
    /// # Errors
    /// Every [`StepRefusal`] but `Exists`.
    pub async fn update_workitem(
        &self,
        uid: &SopInstanceUid,
        changes: &Attributes,
        transaction: Option<&str>,
    ) -> Result<()> {
        let (_, reports) = self
            .alter("update workitem", uid, |workitem| {
                Ok((Reached::Now, workitem.update(changes, transaction, act_time())?))
            })
            .await?;
        self.tell(reports).await
    }

    /// N-ACTION, Change UPS State.
    ///
    /// # Errors
    /// As [`Session::update_workitem`].
    pub async fn change_workitem_state(
        &self,
        uid: &SopInstanceUid,
        to: StepState,
        transaction: Option<&str>,
    ) -> Result<Reached> {
        let action = format!("workitem {}", to.term());
        let change = |workitem: &mut Workitem| workitem.change_state(to, transaction, act_time());
        let (reached, reports) = self.alter(&action, uid, change).await?;
        self.tell(reports).await?;
        Ok(reached)
    }

    /// N-ACTION, Request UPS Cancel.
    ///
    /// # Errors
    /// As [`Session::update_workitem`].
    pub async fn request_workitem_cancellation(
        &self,
        uid: &SopInstanceUid,
        asked: &Attributes,
        by: &str,
    ) -> Result<Reached> {
        let request = |workitem: &mut Workitem| workitem.request_cancellation(asked, by, act_time());
        let (reached, reports) = self.alter("request workitem cancellation", uid, request).await?;
        self.tell(reports).await?;
        Ok(reached)
    }

    /// C-FIND: those that match, by UID, offset and limit applied.
    ///
    /// # Errors
    /// `Archive`.
    pub async fn find_workitems(
        &self,
        query: &Query,
    ) -> Result<impl Stream<Item = Result<Workitem>> + Send + use<>> {
        self.caller.check(Action::Search)?;
        let (session, matching) = (self.clone(), query.clone());
        let all = session.lines(WORKITEM).filter_map(move |row| {
            let workitem = row.and_then(|row| Workitem::read(&row.name, &row.body));
            let is_found = workitem.as_ref().map_or(true, |workitem| matching.matches(&workitem.attributes));
            std::future::ready(is_found.then_some(workitem.map_err(StepRefusal::from)))
        });
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Ok(all.skip(number(query.page.offset)).take(query.page.limit.map_or(usize::MAX, number)).boxed())
    }

    /// N-ACTION, Subscribe to Receive UPS Event Reports. What is subscribed to is told at once.
    ///
    /// # Errors
    /// `Unknown`, `Archive`.
    pub async fn subscribe(&self, to: &Subscription, subscriber: &AeTitle, lock: bool) -> Result<()> {
        self.check_audited(Action::Search).await?;
        let mut found = Vec::new();
        if let Subscription::Workitem(uid) = to {
            found.push(self.workitem(uid).await?);
        } else {
            let mut all = std::pin::pin!(self.clone().lines(WORKITEM));
            while let Some(row) = all.next().await {
                let row = row?;
                found.push(Workitem::read(&row.name, &row.body)?);
            }
        }
        let mut wanted = Subscriber::default();
        match to {
            Subscription::Worklist => wanted.set_worklist(lock),
            Subscription::Filtered(filter) => wanted.add_filter(filter.clone(), lock)?,
            Subscription::Workitem(_) => {}
        }
        let is_one = matches!(to, Subscription::Workitem(_));
        found.retain(|workitem| is_one || wanted.wants(&workitem.attributes).is_some());
        self.alter_subscriber(subscriber.as_str(), |subscriber| {
            match to {
                Subscription::Worklist => subscriber.set_worklist(lock),
                Subscription::Filtered(filter) => subscriber.add_filter(filter.clone(), lock)?,
                Subscription::Workitem(_) => {}
            }
            Ok(found.iter().try_for_each(|workitem| subscriber.add(&workitem.uid, lock))?)
        })
        .await?;
        let reports: Vec<StepReport> = found.iter().map(Workitem::state_report).collect();
        self.send(subscriber.as_str(), &reports).await;
        Ok(())
    }

    /// N-ACTION, Unsubscribe from Receiving UPS Event Reports: from one, or from the list and every one on it.
    ///
    /// # Errors
    /// `NotSubscribed`, `Archive`.
    pub async fn unsubscribe(&self, from: &Subscription, subscriber: &AeTitle) -> Result<()> {
        self.check_audited(Action::Search).await?;
        self.alter_subscriber(subscriber.as_str(), |known| {
            let was_there = match from {
                Subscription::Workitem(uid) => known.remove(uid),
                _ => {
                    let was_there = !known.is_empty();
                    known.clear();
                    was_there
                }
            };
            if was_there { Ok(()) } else { Err(StepRefusal::NotSubscribed) }
        })
        .await?;
        if !matches!(from, Subscription::Workitem(_)) {
            self.alter_outbox(subscriber.as_str(), Outbox::forget).await?;
        }
        Ok(())
    }

    /// N-ACTION, Suspend Global Subscription: of what comes nothing is told any more.
    ///
    /// # Errors
    /// `NotSubscribed`, `Archive`.
    pub async fn suspend(&self, subscriber: &AeTitle, is_filtered: bool) -> Result<()> {
        self.check_audited(Action::Search).await?;
        self.alter_subscriber(subscriber.as_str(), |known| {
            if known.suspend(is_filtered) { Ok(()) } else { Err(StepRefusal::NotSubscribed) }
        })
        .await
    }

    /// What a subscriber has not been told yet, and what comes, by whatever node it is said. A report counts as told when
    /// the next one is asked for.
    ///
    /// # Errors
    /// `Archive`.
    pub async fn workitem_reports(
        &self,
        subscriber: &AeTitle,
    ) -> Result<impl Stream<Item = StepReport> + Send + use<>> {
        self.check_audited(Action::Search).await?;
        let wakes = self.archive.inner.notices.subscribe();
        let name = subscriber.to_string();
        let told = self.outbox(&name).await?.0.heard();
        let listener = Listener { session: self.clone(), name, wakes, told, waiting: VecDeque::new() };
        Ok(stream::unfold(listener, |mut listener| async move {
            let report = listener.next().await?;
            Some((report, listener))
        })
        .boxed())
    }

    /// Changes a workitem from what it is, anew when somebody else was quicker.
    async fn alter<T>(
        &self,
        action: &str,
        uid: &SopInstanceUid,
        mut change: impl FnMut(&mut Workitem) -> Result<T>,
    ) -> Result<T> {
        self.check_audited(Action::Store).await?;
        let index = &self.archive.inner.index;
        for _ in 0..TRIES {
            let row = index.registered_as(WORKITEM, uid.as_str()).await?.ok_or(StepRefusal::Unknown)?;
            let mut workitem = Workitem::read(&row.name, &row.body)?;
            let changed = change(&mut workitem)?;
            let entry = Entry::new(WORKITEM, uid.as_str(), workitem.body()?);
            let by = self.audited(action, uid.to_string());
            if index.register_if(&entry, row.times, Some(&by)).await? {
                index.sync().await?;
                return Ok(changed);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "others change the workitem all the time").into())
    }

    async fn alter_subscriber(
        &self,
        name: &str,
        mut change: impl FnMut(&mut Subscriber) -> Result<()>,
    ) -> Result<()> {
        let index = &self.archive.inner.index;
        for _ in 0..TRIES {
            let row = index.registered_as(SUBSCRIBER, name).await?;
            if row.is_none() && self.subscribers().await?.len() >= MOST_SUBSCRIBERS {
                return Err(
                    Error::conflict(format!("there are {MOST_SUBSCRIBERS} subscribers already")).into()
                );
            }
            let times = row.as_ref().map_or(0, |row| row.times);
            let mut subscriber =
                row.map(|row| Subscriber::read(&row.name, &row.body)).transpose()?.unwrap_or_default();
            change(&mut subscriber)?;
            let entry = Entry::new(SUBSCRIBER, name, subscriber.body()?);
            if index.register_if(&entry, times, None).await? {
                return Ok(index.sync().await?);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "others change the subscription all the time").into())
    }

    async fn subscribers(&self) -> Result<Vec<(String, Subscriber)>> {
        let rows = self.archive.inner.index.registered(SUBSCRIBER, "", u32::MAX >> 1).await?;
        let read = |row: &Registered| Ok((row.name.clone(), Subscriber::read(&row.name, &row.body)?));
        rows.iter().map(read).collect()
    }

    /// Tells whoever wants to hear of these workitems.
    async fn tell(&self, reports: Vec<StepReport>) -> Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        for (name, subscriber) in self.subscribers().await? {
            let wanted = reports.iter().filter(|report| subscriber.is_told_of(&report.workitem));
            let wanted: Vec<StepReport> = wanted.cloned().collect();
            self.send(&name, &wanted).await;
        }
        Ok(())
    }

    /// Puts reports where a subscriber finds them. What they tell of is done already: that they are missed is no failure
    /// of it.
    async fn send(&self, subscriber: &str, reports: &[StepReport]) {
        if reports.is_empty() {
            return;
        }
        let added = self.alter_outbox(subscriber, |outbox| {
            outbox.add(reports, act_time());
            true
        });
        if let Err(error) = added.await {
            tracing::warn!(%subscriber, %error, "a subscriber misses reports of workitems");
        }
        // Nobody may listen here.
        let _ = self.archive.inner.notices.send(subscriber.into());
    }

    /// What a subscriber has not heard, and how often that was written.
    async fn outbox(&self, name: &str) -> Result<(Outbox, u64)> {
        let row = self.archive.inner.index.registered_as(OUTBOX, name).await?;
        let Some(row) = row else { return Ok((Outbox::default(), 0)) };
        Ok((Outbox::read(&row.name, &row.body)?, row.times))
    }

    /// Changes it, where `change` says that something is new, anew when somebody else was quicker.
    async fn alter_outbox(&self, name: &str, mut change: impl FnMut(&mut Outbox) -> bool) -> Result<()> {
        // Within this node one after the other.
        let _turn = self.archive.inner.outboxes.lock().await;
        for _ in 0..TRIES {
            let (mut outbox, times) = self.outbox(name).await?;
            if !change(&mut outbox) {
                return Ok(());
            }
            let entry = Entry::new(OUTBOX, name, outbox.body()?);
            if self.archive.inner.index.register_if(&entry, times, None).await? {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "others tell the subscriber all the time").into())
    }

    /// Forgets what came to its end long ago and nobody locks, now and then.
    async fn make_room(&self) -> Result<()> {
        let (mut count, mut old) = (0, Vec::new());
        let now = act_time();
        let last = self.archive.inner.room_made.fetch_max(now, Ordering::Relaxed);
        if now.saturating_sub(last) < PAUSE {
            return Ok(());
        }
        let mut all = std::pin::pin!(self.clone().lines(WORKITEM));
        while let Some(row) = all.next().await {
            let row = row?;
            count += 1;
            if row.written + KEPT < now && Workitem::read(&row.name, &row.body)?.state.is_final() {
                old.push(SopInstanceUid::parse(&row.name)?);
            }
        }
        for uid in old {
            let all = self.subscribers().await?;
            if all.iter().any(|(_, subscriber)| subscriber.locks(&uid)) {
                continue;
            }
            for (name, _) in all.iter().filter(|(_, subscriber)| subscriber.is_told_of(&uid)) {
                self.alter_subscriber(name, |subscriber| {
                    subscriber.remove(&uid);
                    Ok(())
                })
                .await?;
            }
            count -= usize::from(self.archive.inner.index.unregister(WORKITEM, uid.as_str(), None).await?);
        }
        if count >= MOST {
            let what = format!("there are {MOST} workitems that are not at their end, or not for long");
            return Err(Error::new(ErrorKind::Exhausted, what).into());
        }
        Ok(())
    }

    /// The lines of a kind, a page at a time.
    fn lines(self, kind: &'static str) -> impl Stream<Item = crate::Result<Registered>> + Send {
        let pages = stream::try_unfold((self, Some(String::new())), move |(session, after)| async move {
            let Some(after) = after else { return Ok::<_, Error>(None) };
            let rows = session.archive.inner.index.registered(kind, &after, PAGE).await?;
            let is_last = rows.len() < PAGE as usize;
            let next = rows.last().filter(|_| !is_last).map(|row| row.name.clone());
            Ok(Some((stream::iter(rows.into_iter().map(Ok::<_, Error>)), (session, next))))
        });
        pages.try_flatten()
    }
}

/// One connection of a subscriber.
struct Listener {
    session: Session,
    name: String,
    /// Whose reports were added to, on this node.
    wakes: broadcast::Receiver<Arc<str>>,
    /// The number of the last one that was given.
    told: u64,
    waiting: VecDeque<(u64, StepReport)>,
}

impl Listener {
    /// Waits for the next report; `None` once the archive is closed.
    async fn next(&mut self) -> Option<StepReport> {
        loop {
            if let Some((number, report)) = self.waiting.pop_front() {
                self.told = number;
                return Some(report);
            }
            match self.look().await {
                Ok(()) if !self.waiting.is_empty() => continue,
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(subscriber = %self.name, %error, "reports of workitems are not found")
                }
            }
            if !self.wait().await {
                return None;
            }
        }
    }

    /// Notes what was told, and looks for what there is behind it.
    async fn look(&mut self) -> Result<()> {
        let (outbox, _) = self.session.outbox(&self.name).await?;
        if self.told > outbox.heard() {
            let told = self.told;
            self.session.alter_outbox(&self.name, |outbox| outbox.hear(told)).await?;
        }
        self.waiting = outbox.behind(self.told)?.into();
        Ok(())
    }

    /// Waits until there may be more; `false` once the archive is closed.
    async fn wait(&mut self) -> bool {
        let (name, wakes) = (&self.name, &mut self.wakes);
        let woken = async {
            loop {
                match wakes.recv().await {
                    Ok(subscriber) if *subscriber == **name => return true,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => return true,
                    Err(broadcast::error::RecvError::Closed) => return false,
                }
            }
        };
        tokio::time::timeout(LOOK, woken).await.unwrap_or(true)
    }
}
