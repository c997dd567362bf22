//! Who is told of workitems (PS3.4 §CC.2.3), as a line of the register for each subscriber.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Attributes, Level, SopInstanceUid, Tag, implicit_vr};
use crate::query::{Key, Query};
use crate::{Error, Result};

/// Its kind in the register.
pub(crate) const SUBSCRIBER: &str = "workitem-subscriber";
/// Keys of one filter, filters of one subscriber, and workitems that it is told of.
const MOST_KEYS: usize = 32;
const MOST_FILTERS: usize = 32;
const MOST_WORKITEMS: usize = 20_000;

/// What somebody wants to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// All there are and all that come (UPS Global Subscription, 1.2.840.10008.5.1.4.34.5).
    Worklist,
    /// Those of them that match (1.2.840.10008.5.1.4.34.5.1).
    Filtered(Filter),
    Workitem(SopInstanceUid),
}

/// Matching keys, by the path of an attribute and a value as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(Vec<(Vec<[u16; 2]>, String)>);

impl Filter {
    /// # Errors
    /// `Invalid` when there are none or too many, or a value is none of its kind.
    pub fn new(keys: Vec<(Vec<Tag>, String)>) -> Result<Self> {
        if keys.is_empty() || keys.len() > MOST_KEYS {
            return Err(Error::invalid(format!("a filter has 1 to {MOST_KEYS} keys")));
        }
        let plain = |path: Vec<Tag>| path.into_iter().map(|Tag(group, element)| [group, element]).collect();
        let filter = Self(keys.into_iter().map(|(path, value)| (plain(path), value)).collect());
        filter.query()?;
        Ok(filter)
    }

    fn query(&self) -> Result<Query> {
        let mut query = Query::new(Level::Instance);
        for (path, value) in &self.0 {
            let tags: Vec<Tag> = path.iter().map(|[group, element]| Tag(*group, *element)).collect();
            let vr = tags.last().map(|tag| implicit_vr(*tag, false));
            let vr = vr.ok_or_else(|| Error::invalid("a key names no attribute"))?;
            query.keys.push(Key::parse(&tags, vr, value)?);
        }
        Ok(query)
    }

    fn matches(&self, attributes: &Attributes) -> bool {
        self.query().is_ok_and(|query| query.matches(attributes))
    }
}

/// All that one subscriber wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Subscriber {
    /// It is told of all that come; with a deletion lock or without.
    worklist: Option<bool>,
    filters: Vec<(Filter, bool)>,
    /// Workitems that it is told of, with a deletion lock or without.
    workitems: BTreeMap<String, bool>,
}

impl Subscriber {
    pub(crate) fn read(name: &str, body: &str) -> Result<Self> {
        serde_json::from_str(body)
            .map_err(|cause| Error::corrupt(format!("subscriber {name} of the register")).with_source(cause))
    }

    pub(crate) fn body(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|cause| Error::internal("a subscriber is no JSON").with_source(cause))
    }

    pub(crate) fn is_told_of(&self, workitem: &SopInstanceUid) -> bool {
        self.workitems.contains_key(workitem.as_str())
    }

    pub(crate) fn locks(&self, workitem: &SopInstanceUid) -> bool {
        self.workitems.get(workitem.as_str()).copied().unwrap_or(false)
    }

    /// # Errors
    /// `Conflict` when there are too many.
    pub(crate) fn add_filter(&mut self, filter: Filter, lock: bool) -> Result<()> {
        self.filters.retain(|(known, _)| *known != filter);
        if self.filters.len() >= MOST_FILTERS {
            return Err(Error::conflict(format!("a subscriber has up to {MOST_FILTERS} filters")));
        }
        self.filters.push((filter, lock));
        Ok(())
    }

    pub(crate) fn set_worklist(&mut self, lock: bool) {
        self.worklist = Some(lock);
    }

    /// # Errors
    /// `Conflict` when there are too many.
    pub(crate) fn add(&mut self, workitem: &SopInstanceUid, lock: bool) -> Result<()> {
        if self.workitems.len() >= MOST_WORKITEMS {
            return Err(Error::conflict(format!("a subscriber is told of up to {MOST_WORKITEMS} workitems")));
        }
        self.workitems.insert(workitem.to_string(), lock);
        Ok(())
    }

    pub(crate) fn remove(&mut self, workitem: &SopInstanceUid) -> bool {
        self.workitems.remove(workitem.as_str()).is_some()
    }

    /// Whether a new workitem is one of what it wants; with a deletion lock or without.
    pub(crate) fn wants(&self, attributes: &Attributes) -> Option<bool> {
        self.worklist.or_else(|| {
            let matching = self.filters.iter().find(|(filter, _)| filter.matches(attributes));
            matching.map(|(_, lock)| *lock)
        })
    }

    /// Nothing that comes is told any more, of all or of what filters let through; gives whether anything would have been.
    pub(crate) fn suspend(&mut self, filtered: bool) -> bool {
        if filtered { !std::mem::take(&mut self.filters).is_empty() } else { self.worklist.take().is_some() }
    }

    /// Nothing is told any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
