//! A query as SQL that narrows, and matching that decides.
//!
//! | module | what it does |
//! |---|---|
//! | `narrowing` | keys as conditions, which never leave out a row that matches |
//! | `plan` | from where the studies are reached |
//! | `studies` | studies, newest first |
//! | `below` | series and instances, study by study |
//! | `patients` | patients, by name |
//! | `headers` | what only the instances tell |
//! | `answer` | a row as attributes |
//!
//! Whether a row matches is decided by [`Query::matches`] alone; where the conditions say all there is to
//! say it is not asked. A long answer is read page by page, each behind the last row of the one before it,
//! so that nobody who takes his time holds a connection, and no page costs more than the first.

mod answer;
mod below;
mod headers;
mod narrowing;
mod patients;
mod plan;
#[cfg(all(test, feature = "fixtures"))]
pub(in crate::index) mod plans;
mod studies;

use std::fmt;

use super::{Connection, signed};
use crate::Result;
use crate::index::{SearchCursor, SearchPage};
use crate::model::{Attributes, Level};
use crate::query::{Counted, Page, Query, Rank, Row};

use narrowing::Narrowing;
use plan::Driver;

/// Rows that are looked at in one page.
const PAGE: u64 = 256;
/// Rows that are passed over at a time.
const PASSED: u64 = 4096;

/// Rows and headers that are looked at in vain to count those that match, where not all are counted.
const COUNTED: u64 = 2048;

/// How far a search has come.
#[derive(Clone, Default)]
pub(in crate::index) struct Progress {
    /// Of the names that match, those that are given now; `None` when all are one.
    rank: Option<Rank>,
    /// The way to the studies, once it was chosen.
    driver: Option<Driver>,
    /// The last study: its moment and its row.
    study: Option<(i64, i64)>,
    /// A study that is not finished, and the last place in it.
    within: Option<(i64, Vec<i64>)>,
    /// The last patient: folded name and row.
    patient: Option<(String, i64)>,
    /// Matches that are still passed over.
    skip: u64,
    /// Matches that were given.
    given: u64,
    /// Headers that were looked at, and rows that no index led to and that did not match.
    looked: u64,
}

/// How much, not where: names are patient data.
impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Progress({} given, {} looked at)", self.given, self.looked)
    }
}

/// One page in the making.
struct Search<'q> {
    query: &'q Query,
    narrowing: Narrowing,
    progress: Progress,
    rows: Vec<Row>,
    /// The same, of this page alone.
    looked: u64,
    /// As many were looked at as may be.
    is_cut: bool,
}

/// Whether there may be more rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Over,
}

/// The next rows that match, and where the page behind them begins.
pub(in crate::index) async fn page<C: Connection>(
    connection: &mut C,
    query: &Query,
    after: Option<&SearchCursor>,
) -> Result<SearchPage> {
    let mut search = Search::new(query, after);
    let mut step = Step::More;
    while step == Step::More && !search.is_full() && search.rows.is_empty() {
        step = search.next(connection).await?;
        if step == Step::Over && search.next_rank() {
            step = Step::More;
        }
        // What takes many looks is left to another page, which others may come before.
        if search.narrowing.needs_headers || !search.narrowing.is_exact || search.has_looked_enough() {
            break;
        }
    }
    let is_over = step == Step::Over || search.is_full() || search.is_cut;
    let Search { progress, rows, is_cut, .. } = search;
    Ok(SearchPage { rows, next: (!is_over).then_some(SearchCursor(progress)), is_cut })
}

impl<'q> Search<'q> {
    fn new(query: &'q Query, after: Option<&SearchCursor>) -> Self {
        let progress = after.map_or_else(|| Progress::at_start(query), |cursor| cursor.0.clone());
        let narrowing = Narrowing::of(query, progress.rank);
        Self { query, narrowing, progress, rows: Vec::new(), looked: 0, is_cut: false }
    }

    async fn next<C: Connection>(&mut self, connection: &mut C) -> Result<Step> {
        if self.progress.driver.is_none() {
            self.progress.driver = Some(plan::plan(connection, self.query.level, &self.narrowing).await?);
        }
        match self.query.level {
            Level::Patient => self.next_patients(connection).await,
            Level::Study => self.next_studies(connection).await,
            Level::Series | Level::Instance => self.next_below(connection).await,
        }
    }

    /// Goes on to the names without the marks that were typed; `false` when there is no such thing.
    fn next_rank(&mut self) -> bool {
        if self.progress.rank != Some(Rank::Marked) {
            return false;
        }
        let Progress { skip, given, looked, .. } = self.progress;
        self.progress = Progress { rank: Some(Rank::Folded), skip, given, looked, ..Progress::default() };
        self.narrowing = Narrowing::of(self.query, self.progress.rank);
        true
    }

    /// Matches that are still wanted.
    fn wanted(&self) -> u64 {
        self.query.page.limit.unwrap_or(u64::MAX).saturating_sub(self.progress.given)
    }

    fn is_full(&self) -> bool {
        self.wanted() == 0
    }

    /// Rows to ask for: no more than are wanted, where each that comes is one.
    fn size(&self) -> Result<i64> {
        let size = if self.narrowing.is_exact { PAGE.min(self.wanted()) } else { PAGE };
        signed(size)
    }

    /// Whether rows may be passed over unseen, and how many.
    fn passed_unseen(&self) -> Result<Option<i64>> {
        let is_unseen = self.narrowing.is_exact && self.progress.skip > 0;
        is_unseen.then(|| signed(self.progress.skip.min(PASSED))).transpose()
    }

    /// Whether a row is a match, as far as it tells itself.
    fn is_match(&self, attributes: &Attributes) -> bool {
        if self.narrowing.is_exact {
            return true;
        }
        self.query.matches(attributes) && self.is_of_rank(attributes)
    }

    /// The same; one that is no match was looked at in vain. Where headers are looked at, these are counted.
    fn is_match_or_look(&mut self, attributes: &Attributes) -> bool {
        let is_match = self.is_match(attributes);
        if !is_match && !self.narrowing.needs_headers {
            self.look(1);
        }
        is_match
    }

    fn is_of_rank(&self, attributes: &Attributes) -> bool {
        match (self.progress.rank, self.query.name()) {
            (Some(rank), Some(name)) => name.rank_of(attributes) == rank,
            _ => true,
        }
    }

    /// Counts a match, and gives it unless it is passed over.
    fn take(&mut self, attributes: Attributes) {
        if self.progress.skip > 0 {
            self.progress.skip -= 1;
        } else if !self.is_full() {
            self.progress.given += 1;
            self.rows.push(Row { level: self.query.level, attributes });
        }
    }
}

impl Progress {
    fn at_start(query: &Query) -> Self {
        let has_ranks = query.name().is_some_and(crate::query::NameKey::has_ranks);
        Self { rank: has_ranks.then_some(Rank::Marked), skip: query.page.offset, ..Self::default() }
    }
}

/// How many match behind the offset of the query's page, up to its limit. With a limit not everything is looked
/// at where many do not match.
pub(in crate::index) async fn count<C: Connection>(connection: &mut C, query: &Query) -> Result<Counted> {
    let narrowing = Narrowing::of(query, None);
    if narrowing.is_exact && query.level != Level::Patient {
        let driver = plan::plan(connection, query.level, &narrowing).await?;
        if query.level == Level::Study {
            return studies::count(connection, query, &narrowing, &driver).await;
        }
        if narrowing.series.is_empty() && narrowing.instances.is_empty() && query.page == Page::default() {
            let found = studies::count_below(connection, query.level, &narrowing, &driver).await?;
            return Ok(Counted { found, is_all: true });
        }
    }
    let most = if query.page.limit.is_some() { COUNTED } else { u64::MAX };
    let query = Query { max_headers: query.max_headers.min(most), ..query.clone() };
    let (mut found, mut after) = (0, None);
    loop {
        let page = page(connection, &query, after.as_ref()).await?;
        found += page.rows.len() as u64;
        after = page.next;
        if after.is_none() {
            let is_all = !page.is_cut && query.page.limit.is_none_or(|limit| found < limit);
            return Ok(Counted { found, is_all });
        }
    }
}
