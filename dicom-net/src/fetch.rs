//! A study of a peer comes here: what the peer has, what of it is here, and the rest by C-GET or C-MOVE.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use dicom::dictionary_std::tags;
use dicom_store::model::{
    Attributes, ErrorKind, Resource, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, VR,
};
use dicom_store::{Peer, Session};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use worker::remote::Fetched;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::peers::Peers;
use crate::scu::{Found, Inquiry, Retrieval, Retrieved};

/// Instances that one study may have.
const MOST_INSTANCES: usize = 200_000;
/// Series of a study.
const MOST_SERIES: usize = 10_000;
/// UIDs that one request names.
const NAMED: usize = 200;
/// Times that what is missing is asked for, as long as each brings something.
const ROUNDS: usize = 3;

/// An instance that the peer has.
#[derive(Debug, Clone)]
struct Listed {
    series: SeriesInstanceUid,
    instance: SopInstanceUid,
    class: Option<SopClassUid>,
}

/// What the peer says it has of a study.
#[derive(Debug, Default)]
struct Inventory {
    /// Number of Study Related Instances, where it says so.
    count: Option<u64>,
    /// Each of them that it lists; `None` when it does not list instances. Some answer no more than so many times and say
    /// nothing of the rest: then it has fewer than the count.
    instances: Option<Vec<Listed>>,
}

impl Inventory {
    /// Instances that the peer has, as far as it says: as many as it counts, and as many as it lists.
    fn expected(&self) -> Option<u64> {
        let listed = self.instances.as_ref().map(|instances| instances.len() as u64);
        listed.max(self.count)
    }

    /// What is not here; `None` when that cannot be named: the peer lists no instances, or counts more than it lists and
    /// all of those are here.
    fn missing(&self, here: &HashSet<SopInstanceUid>) -> Option<Vec<Listed>> {
        let listed = self.instances.as_ref()?;
        let missing: Vec<Listed> =
            listed.iter().filter(|listed| !here.contains(&listed.instance)).cloned().collect();
        let is_whole = self.expected().is_none_or(|expected| expected == listed.len() as u64);
        (is_whole || !missing.is_empty()).then_some(missing)
    }
}

/// Fetches from one peer.
pub(crate) struct Fetch<'a> {
    pub config: &'a Config,
    pub peers: &'a Peers,
    pub peer: Arc<Peer>,
    /// Keeps what comes by C-GET, and says what is here.
    pub session: &'a Session,
    pub stop: &'a CancellationToken,
}

impl Fetch<'_> {
    /// Has the peer send what of a study is not here yet, and tells what is then.
    ///
    /// # Errors
    /// When the peer cannot be asked, or an association fails: what came is kept.
    pub(crate) async fn study(&self, study: &StudyInstanceUid) -> Result<Fetched> {
        let _place = self.peers.lane(&self.peer).enter(self.config.response()).await?;
        let inventory = self.inventory(study).await?;
        let mut here = self.here(study).await?;
        for round in 0..ROUNDS {
            let before = here.len();
            let missing = inventory.missing(&here);
            let is_whole = match &missing {
                Some(missing) => missing.is_empty(),
                // What is here may be others than the peer has: it is asked once at least.
                None => inventory.expected().is_some_and(|count| here.len() as u64 >= count) && round > 0,
            };
            if is_whole || self.stop.is_cancelled() {
                break;
            }
            self.bring(study, &inventory, missing.as_deref(), round).await?;
            here = self.here(study).await?;
            if here.len() == before && round > 0 {
                break;
            }
        }
        let missing = inventory.missing(&here).unwrap_or_default();
        Ok(Fetched {
            expected: inventory.expected(),
            here: here.len() as u64,
            missing: missing.into_iter().map(|listed| listed.instance).collect(),
        })
    }

    /// What is shown of the study.
    async fn here(&self, study: &StudyInstanceUid) -> Result<HashSet<SopInstanceUid>> {
        match self.session.instances(&Resource::Study(study.clone())).await {
            Ok(instances) => Ok(instances.into_iter().map(|instance| instance.sop_instance).collect()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(HashSet::new()),
            Err(error) => Err(Error::GivenUp(error.what)),
        }
    }

    async fn inventory(&self, study: &StudyInstanceUid) -> Result<Inventory> {
        let mut inquiry = Inquiry::open(self.config, &self.peer).await?;
        let inventory = ask(&mut inquiry, study).await;
        inquiry.close(inventory.as_ref().err()).await;
        inventory
    }

    /// Has it sent: by C-GET, or by C-MOVE to us where the peer does not take that; in later rounds, where it brought
    /// nothing, the other way.
    async fn bring(
        &self,
        study: &StudyInstanceUid,
        inventory: &Inventory,
        missing: Option<&[Listed]>,
        round: usize,
    ) -> Result<()> {
        let classes: Vec<SopClassUid> = {
            let listed = missing.or(inventory.instances.as_deref()).unwrap_or_default();
            let mut seen = HashSet::new();
            let classes = listed.iter().filter_map(|listed| listed.class.clone());
            classes.filter(|class| seen.insert(class.clone())).collect()
        };
        for identifier in identifiers(study, inventory, missing) {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let retrieval =
                Retrieval { config: self.config, peer: &self.peer, identifier: &identifier, stop: self.stop };
            let got = if round < ROUNDS - 1 { retrieval.get(self.session, &classes).await? } else { None };
            let retrieved = match got {
                // What a C-GET could not bring (no context of ours) a C-MOVE may.
                Some(retrieved) if round == 0 || retrieved.stored > 0 => Some(retrieved),
                _ => retrieval.move_to(&self.config.ae_title).await?,
            };
            self.tell(study, retrieved);
        }
        Ok(())
    }

    fn tell(&self, study: &StudyInstanceUid, retrieved: Option<Retrieved>) {
        let peer = &self.peer.ae_title;
        match retrieved {
            Some(Retrieved { status, counts, failed, .. }) => {
                let (completed, failures) = (counts.completed, counts.failed.max(failed.len()));
                info!(%peer, %study, %status, completed, failed = failures, "asked a peer for a study");
            }
            None => warn!(%peer, %study, "a peer takes neither C-GET nor C-MOVE of the Study Root"),
        }
    }
}

async fn ask(inquiry: &mut Inquiry<'_>, study: &StudyInstanceUid) -> Result<Inventory> {
    let mut keys = identifier("STUDY", study);
    keys.put_empty(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS);
    let found = inquiry.ask(&keys, 2).await?;
    let count = found.rows.first().and_then(|row| row.int(tags::NUMBER_OF_STUDY_RELATED_INSTANCES));
    let count = count.and_then(|count| u64::try_from(count).ok());
    if found.rows.is_empty() {
        let none = Inventory { count: Some(0), instances: Some(Vec::new()) };
        // A peer that says that there is more has it, whatever it is.
        return Ok(if found.is_all { none } else { Inventory::default() });
    }
    let mut keys = identifier("SERIES", study);
    keys.put_empty(tags::SERIES_INSTANCE_UID, VR::UI);
    keys.put_empty(tags::MODALITY, VR::CS);
    let series = inquiry.ask(&keys, MOST_SERIES).await?;
    if !series.is_all {
        return Ok(Inventory { count, instances: None });
    }
    let mut instances = Vec::new();
    for series in series.rows.iter().filter_map(|row| row.uid(tags::SERIES_INSTANCE_UID)) {
        let Ok(series) = SeriesInstanceUid::parse(series) else { continue };
        let mut keys = identifier("IMAGE", study);
        keys.put_text(tags::SERIES_INSTANCE_UID, VR::UI, series.as_str());
        keys.put_empty(tags::SOP_INSTANCE_UID, VR::UI);
        keys.put_empty(tags::SOP_CLASS_UID, VR::UI);
        match inquiry.ask(&keys, MOST_INSTANCES).await {
            Ok(Found { rows, is_all: true }) => {
                instances.extend(rows.iter().filter_map(|row| listed(&series, row)))
            }
            // A peer that lists no instances is believed in its counts.
            Ok(Found { is_all: false, .. }) | Err(Error::Refused { .. }) => {
                return Ok(Inventory { count, instances: None });
            }
            Err(error) => return Err(error),
        }
    }
    let mut seen = HashSet::new();
    instances.retain(|listed| seen.insert(listed.instance.clone()));
    // A peer that lists nothing at all of what it has does not list instances.
    if instances.is_empty() && count.is_none_or(|count| count > 0) {
        return Ok(Inventory { count, instances: None });
    }
    Ok(Inventory { count, instances: Some(instances) })
}

fn listed(series: &SeriesInstanceUid, row: &Attributes) -> Option<Listed> {
    let instance = SopInstanceUid::parse(row.uid(tags::SOP_INSTANCE_UID)?).ok()?;
    let class = row.uid(tags::SOP_CLASS_UID).and_then(|class| SopClassUid::parse(class).ok());
    Some(Listed { series: series.clone(), instance, class })
}

/// The keys that name a study at a level.
pub(crate) fn identifier(level: &str, study: &StudyInstanceUid) -> Attributes {
    let mut keys = Attributes::new();
    keys.put_text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, level);
    keys.put_text(tags::STUDY_INSTANCE_UID, VR::UI, study.as_str());
    keys
}

/// The identifiers that ask for what is missing and for little else: the study where nothing of it is here, otherwise
/// whole series, otherwise instances by their UIDs.
fn identifiers(
    study: &StudyInstanceUid,
    inventory: &Inventory,
    missing: Option<&[Listed]>,
) -> Vec<Attributes> {
    let (Some(missing), Some(all)) = (missing, inventory.instances.as_ref()) else {
        return vec![identifier("STUDY", study)];
    };
    if missing.len() == all.len() {
        return vec![identifier("STUDY", study)];
    }
    let count = |listed: &[Listed]| {
        let mut counts: BTreeMap<SeriesInstanceUid, usize> = BTreeMap::new();
        for one in listed {
            *counts.entry(one.series.clone()).or_default() += 1;
        }
        counts
    };
    let (of_all, of_missing) = (count(all), count(missing));
    let mut identifiers = Vec::new();
    for (series, count) in of_missing {
        let with_series = |level: &str| {
            let mut keys = identifier(level, study);
            keys.put_text(tags::SERIES_INSTANCE_UID, VR::UI, series.as_str());
            keys
        };
        if of_all.get(&series) == Some(&count) {
            identifiers.push(with_series("SERIES"));
            continue;
        }
        let uids: Vec<&str> =
            missing.iter().filter(|one| one.series == series).map(|one| one.instance.as_str()).collect();
        for uids in uids.chunks(NAMED) {
            let mut keys = with_series("IMAGE");
            keys.put_texts(tags::SOP_INSTANCE_UID, VR::UI, uids);
            identifiers.push(keys);
        }
    }
    identifiers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(series: &str, instance: &str) -> Listed {
        let (series, instance) = (SeriesInstanceUid::parse(series), SopInstanceUid::parse(instance));
        Listed { series: series.unwrap(), instance: instance.unwrap(), class: None }
    }

    /// Four instances in two series, of a peer that counts so many.
    fn inventory(count: Option<u64>) -> Inventory {
        let instances = [("1.1", "1.1.1"), ("1.1", "1.1.2"), ("1.2", "1.2.1"), ("1.2", "1.2.2")];
        let instances = instances.iter().map(|(series, instance)| listed(series, instance)).collect();
        Inventory { count, instances: Some(instances) }
    }

    fn uids(here: &[&str]) -> HashSet<SopInstanceUid> {
        here.iter().map(|uid| SopInstanceUid::parse(uid).unwrap()).collect()
    }

    fn asked(count: u64, here: &[&str]) -> Vec<(String, String)> {
        let study = StudyInstanceUid::parse("1").unwrap();
        let inventory = inventory(Some(count));
        let missing = inventory.missing(&uids(here));
        identifiers(&study, &inventory, missing.as_deref())
            .iter()
            .map(|keys| {
                let level = keys.text(tags::QUERY_RETRIEVE_LEVEL).unwrap();
                let named = match level.as_str() {
                    "IMAGE" => keys.texts(tags::SOP_INSTANCE_UID).join(","),
                    "SERIES" => keys.text(tags::SERIES_INSTANCE_UID).unwrap(),
                    _ => keys.text(tags::STUDY_INSTANCE_UID).unwrap(),
                };
                (level, named)
            })
            .collect()
    }

    fn pair(level: &str, uids: &str) -> (String, String) {
        (level.to_owned(), uids.to_owned())
    }

    const ALL: [&str; 4] = ["1.1.1", "1.1.2", "1.2.1", "1.2.2"];

    #[test]
    fn what_is_here_is_not_asked_for_again() {
        assert_eq!(asked(4, &[]), [pair("STUDY", "1")]);
        assert_eq!(asked(4, &ALL[..2]), [pair("SERIES", "1.2")]);
        assert_eq!(asked(4, &ALL[..1]), [pair("IMAGE", "1.1.2"), pair("SERIES", "1.2")]);
        assert_eq!(asked(4, &ALL), []);
    }

    #[test]
    fn a_peer_that_lists_fewer_than_it_counts_is_not_taken_for_complete() {
        assert_eq!(asked(9, &ALL[..2]), [pair("SERIES", "1.2")]);
        // What it does not list cannot be named, so the study is asked for.
        assert_eq!(asked(9, &ALL), [pair("STUDY", "1")]);
        assert_eq!(inventory(Some(9)).expected(), Some(9));
        let fetched = Fetched { expected: inventory(Some(9)).expected(), here: 4, missing: Vec::new() };
        assert!(!fetched.is_complete() && fetched.lacks() == 5);
    }

    #[test]
    fn a_peer_that_counts_fewer_than_it_lists_or_does_not_count_is_believed_in_its_list() {
        for count in [Some(3), None] {
            assert_eq!(inventory(count).expected(), Some(4), "{count:?}");
            assert_eq!(inventory(count).missing(&uids(&ALL)).map(|missing| missing.len()), Some(0));
        }
    }
}
