//! Renditions for the web: the frames of a series once more, in a transfer syntax that a browser decodes quickly.
//!
//! They lie one behind the other in *parts*, objects of some MiB each, and the *map* of the series says where each frame is.
//! Parts are named by what they hold and never changed; the map is written behind them. All of it can be made again, so
//! nothing is lost with it, and nothing of it is believed: a frame that is not what was written counts as not there, and an
//! instance whose data set is another one by now as well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::model::{FrameNumber, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::{Error, Result};

/// Bytes behind which a part ends.
pub(crate) const PART: usize = 16 << 20;
/// Memory for maps that were read lately.
const MAPS: u64 = 32 << 20;
/// Maps of a usual size in it.
const USUAL: usize = 1024;
/// A map that has nothing of what was asked for is read again after a while; another node may have written it.
const OLD: Duration = Duration::from_secs(10);

/// By which rules frames are made: a map of others counts as none. The first ones, which had no number, took images that
/// browsers draw with other values.
const RULES: u32 = 1;

/// Where the frames of a series lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RenditionMap {
    #[serde(default)]
    rules: u32,
    /// The names of the parts.
    pub(crate) parts: Vec<String>,
    /// By SOP Instance UID.
    pub(crate) instances: BTreeMap<String, RenderedInstance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RenderedInstance {
    /// BLAKE3 of the data set that they were made of, in hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) frames: Vec<RenderedFrame>,
}

/// Part, offset and length of a frame in it, and a check of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RenderedFrame(pub(crate) usize, pub(crate) u64, pub(crate) u64, pub(crate) u64);

/// The first bytes of BLAKE3.
pub(crate) fn check(bytes: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(bytes).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Default for RenditionMap {
    fn default() -> Self {
        Self { rules: RULES, parts: Vec::new(), instances: BTreeMap::new() }
    }
}

impl RenditionMap {
    /// # Errors
    /// `Corrupt` for what is none, or was made by other rules.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let map: Self = serde_json::from_slice(bytes)
            .map_err(|cause| Error::corrupt("the map of a rendition is broken").with_source(cause))?;
        if map.rules == RULES { Ok(map) } else { Err(Error::corrupt("a rendition was made by other rules")) }
    }

    pub(crate) fn written(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|cause| Error::internal("the map of a rendition is no JSON").with_source(cause))
    }

    /// The frames of an instance, if they were made of that data set.
    pub(crate) fn of(&self, instance: &SopInstanceUid, digest: &str) -> Option<&RenderedInstance> {
        self.instances.get(instance.as_str()).filter(|rendered| rendered.digest == digest)
    }
}

/// The frames of one instance in the rendition of its series.
#[derive(Debug, Clone)]
pub struct Rendition {
    pub(crate) map: Arc<RenditionMap>,
    pub(crate) instance: String,
    pub(crate) study: StudyInstanceUid,
    pub(crate) series: SeriesInstanceUid,
}

impl Rendition {
    /// The name of the part of a frame, and where it lies there.
    pub(crate) fn place(&self, number: FrameNumber) -> Option<(&str, RenderedFrame)> {
        let frames = &self.map.instances.get(&self.instance)?.frames;
        let frame = *frames.get(usize::try_from(number.get()).ok()?.checked_sub(1)?)?;
        Some((self.map.parts.get(frame.0)?, frame))
    }
}

pub(crate) type SeriesKey = (StudyInstanceUid, SeriesInstanceUid);

/// What was read of a series lately.
#[derive(Debug, Clone)]
pub(crate) struct KnownMap {
    /// `None` where it has none.
    pub(crate) map: Option<Arc<RenditionMap>>,
    read: Instant,
}

impl KnownMap {
    pub(crate) fn now(map: Option<Arc<RenditionMap>>) -> Self {
        Self { map, read: Instant::now() }
    }

    pub(crate) fn is_old(&self) -> bool {
        self.read.elapsed() > OLD
    }
}

#[derive(Debug, Clone)]
struct ByFrames;

impl Weighter<SeriesKey, KnownMap> for ByFrames {
    fn weight(&self, _: &SeriesKey, known: &KnownMap) -> u64 {
        let instances = known.map.iter().flat_map(|map| map.instances.values());
        instances.map(|instance| 256 + 32 * instance.frames.len() as u64).sum::<u64>() + 256
    }
}

/// The maps that were read lately.
#[derive(Debug)]
pub(crate) struct Maps(Cache<SeriesKey, KnownMap, ByFrames>);

impl Default for Maps {
    fn default() -> Self {
        Self(Cache::with_weighter(USUAL, MAPS, ByFrames))
    }
}

impl Maps {
    pub(crate) fn known(&self, key: &SeriesKey) -> Option<KnownMap> {
        self.0.get(key)
    }

    pub(crate) fn keep(&self, key: SeriesKey, known: KnownMap) {
        self.0.insert(key, known);
    }

    pub(crate) fn forget(&self, key: &SeriesKey) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_by_other_rules_counts_as_none() {
        let written = RenditionMap::default().written().unwrap();
        assert_eq!(RenditionMap::read(&written).unwrap(), RenditionMap::default());
        let map = |rules: u32| RenditionMap { rules, ..RenditionMap::default() }.written().unwrap();
        assert!(RenditionMap::read(&map(RULES + 1)).is_err());
        assert!(
            RenditionMap::read(br#"{"parts":[],"instances":{}}"#).is_err(),
            "the first ones had no number"
        );
    }
}
