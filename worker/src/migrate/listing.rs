//! Which studies a peer has, though it cuts long answers off without a word, or refuses questions that are too broad.
//!
//! No answer says that it is whole. But one that is clearly shorter than the longest that the peer has ever given was not cut
//! off. Any other is asked for again in parts: by halves of the time between two dates, within a day by halves of the hours,
//! within a minute by how the name of the patient begins. What has no Study Time is found by the name, too, and so is what has
//! no Study Date. Where the parts bring nothing that the whole did not have, it was whole; once that was otherwise, no answer
//! that is as long is believed before all its parts are.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use dicom::dictionary_std::tags;
use dicom_store::model::{AeTitle, Attributes, Phi, StudyInstanceUid, VR};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{REST, TRIES};
use crate::remote::Remotes;

/// Answers to one question, at the most.
const MOST: usize = 100_000;
/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Characters of a name that are asked for, and questions about names for one day, at the most.
const DEEPEST: usize = 16;
const ABOUT_NAMES: usize = 2000;
/// A peer that refuses so many questions one after the other, however narrow, answers none.
const MOST_REFUSED: u32 = 200;

/// What the peer said of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(super) study: StudyInstanceUid,
    pub(super) instances: Option<u64>,
    /// In memory, to ask for names that begin so.
    name: Phi<String>,
}

/// Which studies are asked for: all of these at once.
#[derive(Clone, Debug, Default)]
struct Question {
    dates: Option<(NaiveDate, NaiveDate)>,
    /// Minutes of the day, the last one excluded.
    minutes: Option<(u32, u32)>,
    /// How the patient's name begins.
    name: String,
}

impl Question {
    fn keys(&self) -> Attributes {
        let mut keys = Attributes::new();
        let dates = self.dates.map(|(from, to)| format!("{}-{}", from.format("%Y%m%d"), to.format("%Y%m%d")));
        keys.put_text(tags::STUDY_DATE, VR::DA, &dates.unwrap_or_default());
        if let Some((from, to)) = self.minutes {
            let last = to.saturating_sub(1);
            let range = format!("{:02}{:02}-{:02}{:02}59.999999", from / 60, from % 60, last / 60, last % 60);
            keys.put_text(tags::STUDY_TIME, VR::TM, &range);
        }
        keys.put_text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "STUDY");
        let name = if self.name.is_empty() { String::new() } else { format!("{}*", self.name) };
        keys.put_text(tags::PATIENT_NAME, VR::PN, &name);
        keys.put_empty(tags::STUDY_INSTANCE_UID, VR::UI);
        keys.put_empty(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS);
        keys
    }

    fn of_day(day: NaiveDate) -> Self {
        Self { dates: Some((day, day)), ..Self::default() }
    }
}

/// What came of a question.
#[derive(Clone, Debug, Default)]
struct Answer {
    studies: BTreeSet<StudyInstanceUid>,
    rows: usize,
    /// There is nothing else that matches.
    is_whole: bool,
    /// There is something else, or there may well be: it was refused, or is as long as one that was cut off.
    is_cut: bool,
}

impl Answer {
    fn has_all(&self, studies: &BTreeSet<StudyInstanceUid>) -> bool {
        studies.is_subset(&self.studies)
    }

    /// Two parts that have nothing in common are answered alike: the peer does not look at what tells them apart.
    fn is_like(&self, other: &Self) -> bool {
        !self.studies.is_empty() && self.studies == other.studies
    }
}

/// Asks a peer.
pub(super) struct Listing<'a> {
    peer: &'a AeTitle,
    remotes: &'a dyn Remotes,
    stop: &'a CancellationToken,
    found: BTreeMap<StudyInstanceUid, Listed>,
    /// Questions that were not answered, or of which it could not be shown that they were answered in full.
    unanswered: u64,
    asked: u64,
    /// Studies of the longest answer.
    longest: usize,
    /// The shortest answer that is known to have been cut off.
    cut_at: Option<usize>,
    /// Questions that were refused since one was answered.
    refused: u32,
    /// The peer is not there any more, or answers nothing.
    is_gone: bool,
}

impl<'a> Listing<'a> {
    pub(super) fn new(peer: &'a AeTitle, remotes: &'a dyn Remotes, stop: &'a CancellationToken) -> Self {
        let found = BTreeMap::new();
        let (unanswered, asked, longest, cut_at, refused, is_gone) = (0, 0, 0, None, 0, false);
        Self { peer, remotes, stop, found, unanswered, asked, longest, cut_at, refused, is_gone }
    }

    /// Everything that was found, and how many questions may hide more.
    pub(super) fn end(self) -> (Vec<Listed>, u64) {
        let Self { peer, found, unanswered, asked, .. } = self;
        info!(%peer, studies = found.len(), questions = asked, unanswered, "studies of the old archive listed");
        (found.into_values().collect(), unanswered)
    }

    /// What has a Study Date from the first to the last of these.
    pub(super) async fn dates(&mut self, first: NaiveDate, last: NaiveDate) {
        let of = |(from, to)| Question { dates: Some((from, to)), ..Question::default() };
        let answer = self.ask(&of((first, last))).await;
        let mut open = vec![((first, last), answer)];
        while let Some(((from, to), answer)) = open.pop() {
            if answer.is_whole || self.is_over() {
                continue;
            }
            if from >= to {
                self.day(from, &answer).await;
                continue;
            }
            let half = u64::try_from((to - from).num_days() / 2).unwrap_or(0);
            let middle = from + Days::new(half);
            let halves = [(from, middle), (middle + Days::new(1), to)];
            let [one, other] = [self.ask(&of(halves[0])).await, self.ask(&of(halves[1])).await];
            if one.is_like(&other) {
                warn!(peer = %self.peer, "the peer does not look at Study Date");
                self.unanswered += 1;
                continue;
            }
            self.compare(&answer, [&one, &other]);
            open.extend(halves.into_iter().zip([one, other]));
        }
    }

    /// A day with too many: by the time, and by names what has none.
    async fn day(&mut self, day: NaiveDate, answer: &Answer) {
        let of = |minutes| Question { minutes: Some(minutes), ..Question::of_day(day) };
        let (mut timed, mut open) = (BTreeSet::new(), vec![((0, DAY), answer.clone())]);
        while let Some(((from, to), answer)) = open.pop() {
            if answer.is_whole || self.is_over() {
                continue;
            }
            if to - from <= 1 {
                timed.extend(self.names(&of((from, to)), &answer).await);
                continue;
            }
            let middle = u32::midpoint(from, to);
            let halves = [(from, middle), (middle, to)];
            let [one, other] = [self.ask(&of(halves[0])).await, self.ask(&of(halves[1])).await];
            if one.is_like(&other) {
                warn!(peer = %self.peer, "the peer does not look at Study Time");
                break;
            }
            self.compare(&answer, [&one, &other]);
            timed.extend(one.studies.iter().chain(&other.studies).cloned());
            open.extend(halves.into_iter().zip([one, other]));
        }
        let is_cut = answer.is_cut || !answer.has_all(&timed);
        self.names(&Question::of_day(day), &Answer { is_cut, ..answer.clone() }).await;
    }

    /// What has no Study Date, as far as everything that there is can be asked for at once, or by names.
    pub(super) async fn without_date(&mut self) {
        if self.is_over() {
            return;
        }
        let dated: BTreeSet<StudyInstanceUid> = self.found.keys().cloned().collect();
        let answer = self.ask(&Question::default()).await;
        let is_cut = answer.is_cut || !answer.has_all(&dated);
        self.compare(&answer, [&Answer { studies: dated, ..Answer::default() }]);
        if is_cut || !answer.is_whole {
            self.names(&Question::default(), &Answer { is_cut, ..answer }).await;
        }
    }

    /// The same by how names begin, as far as that brings something; gives what there is. What begins with a character that
    /// nobody would guess and that no answer has shown, or has no name at all, is found otherwise or not. Where nothing speaks
    /// for an answer having been cut off, parts that bring nothing new are proof enough.
    async fn names(&mut self, whole: &Question, answer: &Answer) -> BTreeSet<StudyInstanceUid> {
        let mut all = answer.studies.clone();
        let (most, begun) = (ABOUT_NAMES.max(self.found.len() / 4) as u64, self.asked);
        let mut open = vec![(whole.name.clone(), answer.clone())];
        while let Some((begins, answer)) = open.pop() {
            if self.is_over() {
                break;
            }
            if begins.chars().count() >= DEEPEST || self.asked - begun > most {
                self.unanswered += 1;
                continue;
            }
            let (mut parts, mut in_parts): (Vec<(String, Answer)>, _) = (Vec::new(), BTreeSet::new());
            let mut is_any = false;
            for next in self.next_characters(&begins, &answer) {
                let question = Question { name: format!("{begins}{next}"), ..whole.clone() };
                let part = self.ask(&question).await;
                in_parts.extend(part.studies.iter().cloned());
                self.compare(&answer, [&part]);
                is_any |= part.is_whole || !part.studies.is_empty();
                // One that does not tell small letters from capital ones has answered that already.
                let is_new = parts.iter().all(|(_, known)| !known.is_like(&part));
                if !part.is_whole && (is_new || !next.is_lowercase()) {
                    parts.push((question.name, part));
                }
            }
            let is_cut = answer.is_cut || self.is_suspect(answer.rows) || !answer.has_all(&in_parts);
            let is_divided = answer.studies.is_subset(&in_parts);
            all.append(&mut in_parts);
            if !is_cut {
                continue;
            }
            let are_alike =
                parts.iter().zip(parts.iter().skip(1)).any(|((_, one), (_, next))| one.is_like(next));
            if are_alike || !is_any {
                warn!(peer = %self.peer, "the peer does not look at Patient's Name");
                self.unanswered += 1;
                continue;
            }
            // Names that end here, or have a character that cannot be asked for; those without any are found by their time.
            if !is_divided && (whole.minutes.is_some() || !begins.is_empty()) {
                self.unanswered += 1;
            }
            open.extend(parts);
        }
        all
    }

    /// Looks whether an answer lacks what was found in parts of what it was about.
    fn compare<const PARTS: usize>(&mut self, answer: &Answer, parts: [&Answer; PARTS]) {
        if answer.rows > 0 && parts.iter().any(|part| !answer.has_all(&part.studies)) {
            self.cut_at = Some(self.cut_at.unwrap_or(answer.rows).min(answer.rows));
        }
    }

    /// Whether an answer of so many rows is nearly as long as one that was cut off.
    fn is_suspect(&self, rows: usize) -> bool {
        self.cut_at.is_some_and(|cut_at| rows > 1 && is_nearly(rows, cut_at))
    }

    /// How names may go on: as any may, and as those do that are known.
    fn next_characters(&self, begins: &str, answer: &Answer) -> BTreeSet<char> {
        let known = answer
            .studies
            .iter()
            .filter_map(|study| self.found.get(study)?.name.expose().strip_prefix(begins));
        let known = known.filter_map(|rest| rest.chars().next());
        let known = known.filter(|next| !next.is_control() && !matches!(next, '*' | '?' | '\\' | '='));
        let any = ('A'..='Z').chain('0'..='9');
        let within = if begins.is_empty() { "" } else { "^ -'." };
        any.chain(within.chars()).chain(known).collect()
    }

    fn is_over(&self) -> bool {
        self.is_gone || self.stop.is_cancelled()
    }

    async fn ask(&mut self, question: &Question) -> Answer {
        let keys = question.keys();
        for attempt in 1..=TRIES {
            if self.is_over() {
                break;
            }
            self.asked += 1;
            let error = match self.remotes.search(self.peer, &keys, MOST).await {
                Ok(answer) => {
                    let listed: Vec<Listed> = answer.rows.iter().filter_map(listed).collect();
                    let studies = listed.iter().map(|listed| listed.study.clone()).collect();
                    self.found.extend(listed.into_iter().map(|listed| (listed.study.clone(), listed)));
                    return self.judge(answer.rows.len(), answer.is_all, studies);
                }
                Err(error) => error,
            };
            warn!(peer = %self.peer, %error, attempt, "a question was not answered");
            // Whoever is there finds it too broad: its parts may be answered.
            if self.remotes.echo(self.peer).await.is_ok() {
                self.refused += 1;
                if self.refused > MOST_REFUSED {
                    break;
                }
                return Answer { is_cut: true, ..Answer::default() };
            }
            if attempt < TRIES {
                tokio::time::sleep(REST).await;
            }
        }
        if !self.is_over() {
            self.is_gone = true;
            self.unanswered += 1;
        }
        Answer { is_cut: true, ..Answer::default() }
    }

    /// Whether an answer of so many rows is all there is. Some peers count otherwise than we do, so one that is nearly as long
    /// as the longest is looked at more closely.
    fn judge(&mut self, rows: usize, is_all: bool, studies: BTreeSet<StudyInstanceUid>) -> Answer {
        (self.longest, self.refused) = (self.longest.max(rows), 0);
        let (is_short, is_suspect) = (rows <= 1 || !is_nearly(rows, self.longest), self.is_suspect(rows));
        Answer { studies, rows, is_whole: is_all && is_short && !is_suspect, is_cut: !is_all || is_suspect }
    }
}

fn is_nearly(rows: usize, longest: usize) -> bool {
    rows.saturating_mul(5) >= longest.saturating_mul(4)
}

fn listed(row: &Attributes) -> Option<Listed> {
    let study = StudyInstanceUid::parse(row.uid(tags::STUDY_INSTANCE_UID)?).ok()?;
    let instances = row.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES);
    let instances = instances.and_then(|count| u64::try_from(count).ok());
    let name = Phi::new(row.person(tags::PATIENT_NAME).unwrap_or_default().alphabetic);
    Some(Listed { study, instances, name })
}

#[cfg(test)]
mod tests;
