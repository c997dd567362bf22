//! How the text of each sender is read, and what is told of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use dicom::dictionary_std::tags;
use tracing::{info, warn};

use crate::config::TextSource;
use crate::model::{AeTitle, Attributes, TextReading, TextRule};
use crate::{Error, Result};

/// Kinds of repair that are remembered as told.
const MAX_TOLD: usize = 1000;

/// The rules of the settings, and what the log has heard already.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    rules: HashMap<String, TextRule>,
    told: Mutex<HashSet<(String, String, TextReading)>>,
}

impl Sources {
    /// # Errors
    /// `Invalid` when a sender is named twice, or by what is no AE title.
    pub(crate) fn new(sources: &[TextSource]) -> Result<Self> {
        let mut rules = HashMap::new();
        for TextSource { ae_title, character_set } in sources {
            let ae_title = AeTitle::parse(ae_title).map_err(|cause| {
                Error::invalid(format!("ae-title \"{ae_title}\" in store.sources: {}", cause.what))
            })?;
            if rules.insert(ae_title.to_string(), *character_set).is_some() {
                return Err(Error::invalid(format!("source {ae_title} is in store.sources twice")));
            }
        }
        Ok(Self { rules, told: Mutex::default() })
    }

    /// How the text of a data set from this sender is read. What is not read as it is declared is logged, once
    /// for each sender and kind.
    pub(crate) fn reading(&self, sender: &str, attributes: &Attributes) -> TextReading {
        let rule = self.rules.get(sender).copied().unwrap_or_default();
        let reading = TextReading::of(attributes, rule);
        if !reading.is_declared() {
            self.tell(sender, attributes.texts(tags::SPECIFIC_CHARACTER_SET).join("\\"), reading);
        }
        reading
    }

    fn tell(&self, sender: &str, declared: String, reading: TextReading) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = (sender.to_owned(), declared, reading);
        if told.len() >= MAX_TOLD || told.contains(&news) {
            return;
        }
        let (_, declared, _) = &news;
        if let Some(repair) = reading.repair() {
            info!(
                sender,
                declared,
                read_as = repair.name(),
                "text: it is not in the character set that it names"
            );
        }
        if reading.is_unsure() {
            warn!(
                sender,
                declared,
                "text: some is not in the character set that it names, and it is not clear in which; \
                 store.sources can say it"
            );
        }
        told.insert(news);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TextEncoding, VR};

    fn source(ae_title: &str, character_set: TextRule) -> TextSource {
        TextSource { ae_title: ae_title.to_owned(), character_set }
    }

    #[test]
    fn each_sender_has_its_own_rule() {
        let sources = Sources::new(&[source("OLD_US", TextRule::Tcvn3), source("CT", TextRule::Declared)]);
        let sources = sources.unwrap();
        let mut set = Attributes::read(bytes::Bytes::new(), crate::model::Encoding::ExplicitLittle).unwrap();
        set.put_bytes(tags::PATIENT_NAME, VR::PN, &b"H\xb5"[..]);
        assert_eq!(sources.reading("OLD_US", &set).repair(), Some(TextEncoding::Tcvn3));
        assert!(sources.reading("CT", &set).is_declared());
        let unknown = sources.reading("MR", &set);
        assert!(unknown.repair().is_none() && unknown.is_unsure());
    }

    #[test]
    fn a_sender_has_one_rule_only() {
        assert!(Sources::new(&[source("A", TextRule::Vni), source("A ", TextRule::Auto)]).is_err());
        for wrong in ["", " ", "SEVENTEEN_LETTERS", "A\\B"] {
            let error = Sources::new(&[source(wrong, TextRule::Vni)]).unwrap_err();
            assert!(error.what.contains("store.sources: AE title"), "{error}");
        }
    }
}
