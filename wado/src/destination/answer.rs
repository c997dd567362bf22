//! The Store Instances Response Module (PS3.18 §10.5.3.4, Annex I) of a service of others.

use std::collections::HashMap;

use dicom_store::model::SopInstanceUid;
use serde_json::Value;
use worker::destination::Sent;

/// Referenced and Failed SOP Sequence, and what stands in their items.
const REFERENCED: &str = "00081199";
const FAILED: &str = "00081198";
const INSTANCE: &str = "00081155";
const FAILURE_REASON: &str = "00081197";
/// Refused: SOP class not supported.
const NO_SUCH_CLASS: u64 = 0x0122;

/// What an answer says of instances, by their UIDs.
pub(super) struct Answer(HashMap<String, Sent>);

impl Answer {
    /// Of a body in the DICOM JSON Model; one that is none names nothing.
    pub(super) fn read(body: &[u8]) -> Self {
        let module = serde_json::from_slice::<Value>(body).unwrap_or_default();
        // Some wrap it in an array, as answers with several data sets are.
        let module = module.get(0).unwrap_or(&module);
        let items = |sequence: &str| {
            let items = module.get(sequence).and_then(|sequence| sequence.get("Value")?.as_array());
            items.cloned().unwrap_or_default()
        };
        let uid = |item: &Value| Some(item.get(INSTANCE)?.get("Value")?.get(0)?.as_str()?.trim().to_owned());
        let mut named: HashMap<String, Sent> = HashMap::new();
        named.extend(items(REFERENCED).iter().filter_map(|item| Some((uid(item)?, Sent::Delivered))));
        // What is in both lists is believed in the worse one.
        named.extend(items(FAILED).iter().filter_map(|item| {
            let reason = item.get(FAILURE_REASON).and_then(|reason| reason.get("Value")?.get(0)?.as_u64());
            let why = match reason {
                Some(reason) => format!("the service has not stored it: Failure Reason {reason:04X}H"),
                None => "the service has not stored it and does not say why".to_owned(),
            };
            let is_final = reason == Some(NO_SUCH_CLASS);
            Some((uid(item)?, if is_final { Sent::Refused(why) } else { Sent::Failed(why) }))
        }));
        Self(named)
    }

    pub(super) fn names_any(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn of(&self, instance: &SopInstanceUid) -> Option<Sent> {
        self.0.get(instance.as_str()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(uid: &str, reason: Option<u64>) -> Value {
        let mut item = json!({ "00081155": { "vr": "UI", "Value": [uid] } });
        if let Some(reason) = reason {
            item["00081197"] = json!({ "vr": "US", "Value": [reason] });
        }
        item
    }

    fn of(answer: &Answer, uid: &str) -> Option<Sent> {
        answer.of(&SopInstanceUid::parse(uid).unwrap())
    }

    #[test]
    fn an_answer_says_what_became_of_each_instance() {
        let module = json!({
            "00081190": { "vr": "UR", "Value": ["http://pacs/studies/1"] },
            "00081199": { "vr": "SQ", "Value": [item("1.1", None), item("1.2", None)] },
            "00081198": { "vr": "SQ", "Value": [item("1.2", None), item("1.3", Some(0x0122)), item("1.4", Some(0xA700))] },
        });
        for module in [module.clone(), json!([module])] {
            let answer = Answer::read(module.to_string().as_bytes());
            assert_eq!(of(&answer, "1.1"), Some(Sent::Delivered));
            assert!(matches!(of(&answer, "1.2"), Some(Sent::Failed(_))));
            assert!(matches!(of(&answer, "1.3"), Some(Sent::Refused(why)) if why.contains("0122H")));
            assert!(matches!(of(&answer, "1.4"), Some(Sent::Failed(why)) if why.contains("A700H")));
            assert_eq!(of(&answer, "1.5"), None);
        }
    }

    #[test]
    fn a_page_of_a_proxy_names_nothing() {
        assert!(!Answer::read(b"<html>").names_any());
        assert!(!Answer::read(b"[]").names_any());
    }
}
