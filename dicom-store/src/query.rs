//! One question to the archive, for C-FIND and QIDO-RS alike (PS3.4 §C.2.2.2, PS3.18 §8.3.4).

mod date_time;
mod key;
mod levels;
mod matching;
mod name;
mod wildcard;

use std::pin::Pin;

use dicom::dictionary_std::tags;
use futures_util::Stream;

use crate::Result;
use crate::model::{Attributes, Level, Tag};

pub(crate) use date_time::moment;
pub use key::{Key, Matching};
pub(crate) use levels::COMPUTED;
pub use levels::{attributes_of, level_of};
pub(crate) use name::{NameKey, Part, Rank, Term};
pub use wildcard::Pattern;

/// What is asked for. Keys are joined by "and".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub level: Level,
    pub keys: Vec<Key>,
    pub page: Page,
    pub options: Options,
    /// Rows of studies also say how much there is of their patient.
    pub with_patient_counts: bool,
    /// What is looked at in vain, at the most: headers, for keys that the index does not keep at the level, and rows of
    /// which no index leads to those that match.
    pub max_headers: u64,
}

/// What [`Query::max_headers`] is where nobody sets it.
pub const MAX_HEADERS: u64 = 100_000;

/// Which of the matches: `limit` of them behind the first `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    pub offset: u64,
    pub limit: Option<u64>,
}

/// How many match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub found: u64,
    /// There are no more: neither did the count come to the limit of the page, nor was as much looked at as may be.
    pub is_all: bool,
}

/// What was negotiated, or is always so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A date range and a time range of the same thing are one period (PS3.4 §C.2.2.2.5.4).
    pub combined_date_time: bool,
    /// Every word of a name may be the beginning of one (PS3.4 §C.2.2.2.1.1).
    pub fuzzy_names: bool,
    /// What has no value for a required key matches whatever is asked of it (PS3.4 §C.2.2.1.2).
    pub unknown_matches: bool,
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
        Self {
            level,
            keys: Vec::new(),
            page: Page::default(),
            options: Options::default(),
            with_patient_counts: false,
            max_headers: MAX_HEADERS,
        }
    }

    /// The keys of a C-FIND identifier. Counted attributes of levels below the query's cannot be matched
    /// and are left out.
    ///
    /// # Errors
    /// `Invalid` when a value is not one of its kind, a date range for example.
    pub fn from_identifier(level: Level, identifier: &Attributes, options: Options) -> Result<Self> {
        let mut query = Self { options, ..Self::new(level) };
        let not_keys =
            [tags::SPECIFIC_CHARACTER_SET, tags::QUERY_RETRIEVE_LEVEL, tags::TIMEZONE_OFFSET_FROM_UTC];
        for element in identifier.iter().filter(|e| !not_keys.contains(&e.tag) && e.tag.1 != 0) {
            query.with_patient_counts |= PATIENT_COUNTS.contains(&element.tag);
            let key = Key::from_element(identifier, element, options)?;
            if can_match(level, &key) {
                query.keys.push(key);
            }
        }
        query.name_creators();
        // In an identifier they say whose the elements beside them are, and ask for nothing (PS3.5 §7.8.1).
        query.keys.retain(|key| private_creator(key).is_none());
        Ok(query)
    }

    /// Tells each private key the creator of its block, where another key names it (PS3.5 §7.8.1): the
    /// block may have another number in every instance, so that such a key says nothing by itself.
    ///
    /// Gives the private attributes whose creator nobody names. What they mean is not known, and they are
    /// not matched.
    pub fn name_creators(&mut self) -> Vec<Tag> {
        let of_block = |key: &Key| Tag(key.tag().0, key.tag().1 >> 8);
        let creators: Vec<(Tag, String)> = self.keys.iter().filter_map(private_creator).collect();
        for key in &mut self.keys {
            let creator = creators.iter().find(|(block, _)| *block == of_block(key));
            key.creator = creator.map(|(_, name)| name.clone());
        }
        let used: Vec<Tag> = self.keys.iter().filter(|key| key.creator.is_some()).map(of_block).collect();
        self.keys.retain(|key| !used.contains(&key.tag()) || private_creator(key).is_none());
        let is_unknown =
            |key: &mut Key| key.tag().0 % 2 == 1 && key.tag().1 >= 0x1000 && key.creator.is_none();
        self.keys.extract_if(.., is_unknown).map(|key| key.tag()).collect()
    }

    /// Whether a row satisfies every key that is matched by it.
    pub fn matches(&self, row: &Attributes) -> bool {
        matching::matches(self, self.keys_of_rows(), row)
    }

    /// Whether an instance satisfies every key that the rows of the level do not tell.
    pub(crate) fn matches_header(&self, header: &Attributes) -> bool {
        matching::matches(self, self.keys_of_headers(), header)
    }

    fn keys_of_rows(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| self.level == Level::Instance || is_kept(self.level, key))
    }

    /// Keys that are matched by the headers of instances: one instance of a row has to satisfy them all.
    pub(crate) fn keys_of_headers(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| self.level != Level::Instance && !is_kept(self.level, key))
    }

    /// Whether what has no value for a key matches it whatever is asked.
    pub(crate) fn lets_unknown_pass(&self, key: &Key) -> bool {
        self.options.unknown_matches && key.matching != Matching::Empty && levels::is_required(key.tag())
    }

    /// The key for Patient's Name by which names are put in order.
    pub(crate) fn name(&self) -> Option<&NameKey> {
        let is_name = |key: &&Key| key.tag() == tags::PATIENT_NAME && !self.lets_unknown_pass(key);
        self.keys.iter().filter(is_name).find_map(|key| match &key.matching {
            Matching::Name(name) => Some(&**name),
            _ => None,
        })
    }
}

/// How much there is of a patient.
pub(crate) const PATIENT_COUNTS: [Tag; 3] = [
    tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
    tags::NUMBER_OF_PATIENT_RELATED_SERIES,
    tags::NUMBER_OF_PATIENT_RELATED_INSTANCES,
];

/// The block and its creator, of a key for (gggg,0010) to (gggg,00FF) of an odd group (PS3.5 §7.8.1).
fn private_creator(key: &Key) -> Option<(Tag, String)> {
    let Tag(group, element) = key.tag();
    match &key.matching {
        Matching::Values(names) if group % 2 == 1 && (0x10..=0xFF).contains(&element) => {
            names.first().map(|name| (key.tag(), name.clone()))
        }
        _ => None,
    }
}

/// Whether the rows of a level hold what a key is about.
pub(crate) fn is_kept(level: Level, key: &Key) -> bool {
    level_of(key.tag()).is_some_and(|kept| kept <= level)
}

/// Whether a key can be matched at a level: by what is kept there or above, or by the instances below.
/// What is counted for lower levels cannot.
pub fn can_match(level: Level, key: &Key) -> bool {
    key.matching != Matching::Universal && (is_kept(level, key) || !COMPUTED.contains(&key.tag()))
}
