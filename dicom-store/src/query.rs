//! One question to the archive, for C-FIND and QIDO-RS alike (PS3.4 §C.2.2.2, PS3.18 §8.3.4).

mod date_time;
mod key;
mod levels;
mod matching;
mod wildcard;

use std::pin::Pin;

use dicom::dictionary_std::tags;
use futures_util::Stream;

use crate::Result;
use crate::model::{Attributes, Level};

pub use key::{Key, Matching};
pub(crate) use levels::COMPUTED;
pub use levels::{attributes_of, level_of};
pub(crate) use wildcard::Pattern;

/// What is asked for. Keys are joined by "and".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub level: Level,
    pub keys: Vec<Key>,
    pub page: Page,
    pub options: Options,
}

/// Which of the matches: `limit` of them behind the first `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    pub offset: u64,
    pub limit: Option<u64>,
}

/// What was negotiated, or is always so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A date range and a time range of the same thing are one period (PS3.4 §C.2.2.2.5.4).
    pub combined_date_time: bool,
}

/// Everything known at a level and the levels above it, in UTF-8: kept attributes and counted
/// ones. The protocol picks what was asked.
#[derive(Debug, Clone)]
pub struct Row {
    pub level: Level,
    pub attributes: Attributes,
}

/// Matches as they are found.
pub struct Rows(Pin<Box<dyn Stream<Item = Result<Row>> + Send>>);

impl Rows {
    pub fn new(rows: impl Stream<Item = Result<Row>> + Send + 'static) -> Self {
        Self(Box::pin(rows))
    }
}

impl Stream for Rows {
    type Item = Result<Row>;
    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl Query {
    pub fn new(level: Level) -> Self {
        Self { level, keys: Vec::new(), page: Page::default(), options: Options::default() }
    }

    /// The keys of a C-FIND identifier. Keys of levels below the query's, and attributes that the index does
    /// not keep at its level, do not match anything and are left out.
    ///
    /// # Errors
    /// `Invalid` when a value is not one of its kind, a date range for example.
    pub fn from_identifier(level: Level, identifier: &Attributes, options: Options) -> Result<Self> {
        let mut query = Self { options, ..Self::new(level) };
        let not_keys =
            [tags::SPECIFIC_CHARACTER_SET, tags::QUERY_RETRIEVE_LEVEL, tags::TIMEZONE_OFFSET_FROM_UTC];
        for element in identifier.iter().filter(|e| !not_keys.contains(&e.tag) && e.tag.0 % 2 == 0) {
            let key = Key::from_element(identifier, element)?;
            if can_match(level, &key) {
                query.keys.push(key);
            }
        }
        Ok(query)
    }

    /// Whether a row satisfies every key.
    pub fn matches(&self, row: &Attributes) -> bool {
        matching::matches(self, row)
    }
}

/// Whether the index can match a key at a level: it is kept there or above, or with the instances.
pub fn can_match(level: Level, key: &Key) -> bool {
    if key.matching == Matching::Universal {
        return false;
    }
    match key.path.first().and_then(|tag| level_of(*tag)) {
        Some(kept) => kept <= level,
        None => level == Level::Instance,
    }
}
