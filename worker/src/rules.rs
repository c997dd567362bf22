//! What is done with studies that have come: table `[[rules]]` of the settings.

use dicom_store::model::{AeTitle, DayTimes, fold};
use dicom_store::query::Pattern;
use serde::{Deserialize, Serialize};

use crate::jobs::complete::EvidenceKind;

/// When something is done, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// For people; what is done says by which rule.
    pub name: String,
    /// Which studies. Default all.
    #[serde(default)]
    pub when: When,
    /// In any order, each by itself.
    pub then: Vec<Action>,
}

/// Which studies a rule is about: those for which all of this holds. Of a list one is enough; an empty one says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct When {
    /// Modalities in Study; case does not matter.
    pub modality: Vec<String>,
    /// AE titles that any of it came from; `web` for STOW-RS, `import` for filmless import.
    pub sender: Vec<String>,
    /// Study Description, with wild cards; case and marks do not matter.
    pub description: Vec<String>,
    /// Its age: Study Date is today, or so many days before at the most. One that lies ahead is as young. A study without a
    /// date has no age: neither of these two holds.
    pub studied_within_days: Option<u32>,
    /// Study Date is more than so many days before today.
    pub studied_before_days: Option<u32>,
    /// The time of the day at which it is complete, by the clock of this machine: `"19:00-06:00"`.
    pub between: DayTimes,
    /// What has to speak for it being complete: `association-ended`, `quiet`, `commitment`, `expected-count`, `mpps`. Default
    /// whatever comes first.
    pub evidence: Vec<EvidenceKind>,
}

/// Something that is done with a study.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Action {
    /// It is sent to a peer, or to a STOW-RS service.
    Route(Route),
    /// What a peer has of the same patient from before is fetched.
    Prefetch(Prefetch),
    /// Its frames are kept once more as a browser decodes them best.
    WebRendition(WebRendition),
    /// A program of the hospital is told by HTTP.
    Webhook(Webhook),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// AE title of the peer, or the name of one of `web.destinations`.
    pub to: AeTitle,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Webhook {
    /// The name of one of `web.hooks`.
    pub to: String,
}

/// Which priors are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prefetch {
    /// AE title of the peer that has them.
    pub from: AeTitle,
    /// Modalities that they have. Default empty: any.
    #[serde(default)]
    pub modality: Vec<String>,
    /// Not older than so many years. Default 5.
    #[serde(default = "years")]
    pub years: u16,
    /// So many at the most, the newest first. Default 5.
    #[serde(default = "most")]
    pub most: u16,
}

/// Which images get a rendition for the web, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebRendition {
    /// Images whose native frames have so many KiB at least. Default 64.
    pub at_least_kib: u64,
    /// So many hours after the study is complete. Default 0.
    pub after_hours: u64,
}

impl Default for WebRendition {
    fn default() -> Self {
        Self { at_least_kib: 64, after_hours: 0 }
    }
}

fn years() -> u16 {
    5
}

fn most() -> u16 {
    5
}

/// What is known of a study when a rule is asked about it.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub modalities: Vec<String>,
    pub senders: Vec<String>,
    pub description: String,
    /// Days from Study Date to today, by the clock of this machine.
    pub age: Option<i64>,
    /// Minutes since midnight, by the clock of this machine.
    pub minute: u16,
    /// What has spoken for it being complete before, with as many instances.
    pub known: Vec<EvidenceKind>,
    /// What does now.
    pub new: Vec<EvidenceKind>,
}

impl When {
    /// Whether the rule is about this study.
    pub fn holds(&self, of: &Subject) -> bool {
        let one_of = |wanted: &[String], there: &[String], is_it: fn(&str, &str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|wanted| there.iter().any(|one| is_it(one, wanted)))
        };
        let age = |holds: &dyn Fn(i64) -> bool| of.age.is_some_and(holds);
        let is_young = self.studied_within_days.is_none_or(|days| age(&|age| age <= i64::from(days)));
        let is_old = self.studied_before_days.is_none_or(|days| age(&|age| age > i64::from(days)));
        let description = fold(&of.description);
        let is_described = self.description.is_empty()
            || self.description.iter().any(|wanted| Pattern::new(&fold(wanted)).matches(&description));
        // Once for each time that it is complete: with the first piece that is of one of these kinds.
        let counts = |kind: &EvidenceKind| self.evidence.is_empty() || self.evidence.contains(kind);
        of.new.iter().any(counts)
            && !of.known.iter().any(counts)
            && one_of(&self.modality, &of.modalities, is_modality)
            && one_of(&self.sender, &of.senders, str::eq)
            && is_described
            && is_young
            && is_old
            && self.between.contains(of.minute)
    }
}

/// Whether a modality is the one that somebody wrote: there are none that differ by case.
pub(crate) fn is_modality(one: &str, wanted: &str) -> bool {
    one.trim().eq_ignore_ascii_case(wanted.trim())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn subject() -> Subject {
        Subject {
            modalities: vec!["CT".to_owned(), "SR".to_owned()],
            senders: vec!["CT1".to_owned()],
            description: "CT Ngực có thuốc".to_owned(),
            age: Some(30),
            minute: 20 * 60,
            known: Vec::new(),
            new: vec![EvidenceKind::AssociationEnded],
        }
    }

    fn list(one: &str) -> Vec<String> {
        vec![one.to_owned()]
    }

    #[rstest]
    #[case::anything(When::default(), true)]
    #[case::modality(When { modality: list("SR"), ..When::default() }, true)]
    #[case::other_modality(When { modality: list("MR"), ..When::default() }, false)]
    #[case::modality_in_lower_case(When { modality: list("ct"), ..When::default() }, true)]
    #[case::one_of_two(When { modality: vec!["MR".to_owned(), "CT".to_owned()], ..When::default() }, true)]
    #[case::sender(When { sender: list("CT1"), ..When::default() }, true)]
    #[case::sender_in_lower_case(When { sender: list("ct1"), ..When::default() }, false)]
    #[case::other_sender(When { sender: list("CT2"), ..When::default() }, false)]
    #[case::description(When { description: list("*nguc*"), ..When::default() }, true)]
    #[case::other_description(When { description: list("*so nao*"), ..When::default() }, false)]
    #[case::young(When { studied_within_days: Some(30), ..When::default() }, true)]
    #[case::not_so_young(When { studied_within_days: Some(29), ..When::default() }, false)]
    #[case::old(When { studied_before_days: Some(29), ..When::default() }, true)]
    #[case::not_so_old(When { studied_before_days: Some(30), ..When::default() }, false)]
    #[case::between_ages(
        When { studied_before_days: Some(7), studied_within_days: Some(365), ..When::default() },
        true
    )]
    #[case::at_night(When { between: "19:00-06:00".parse().unwrap(), ..When::default() }, true)]
    #[case::by_day(When { between: "06:00-19:00".parse().unwrap(), ..When::default() }, false)]
    #[case::evidence(When { evidence: vec![EvidenceKind::AssociationEnded], ..When::default() }, true)]
    #[case::other_evidence(When { evidence: vec![EvidenceKind::Commitment], ..When::default() }, false)]
    #[case::all_have_to_hold(When { modality: list("CT"), sender: list("CT2"), ..When::default() }, false)]
    fn a_rule_is_about_those_for_which_all_of_it_holds(#[case] when: When, #[case] expected: bool) {
        assert_eq!(when.holds(&subject()), expected);
    }

    #[test]
    fn a_study_without_a_date_has_no_age_and_one_that_lies_ahead_is_young() {
        let of = |age| Subject { age, ..subject() };
        let young = When { studied_within_days: Some(0), ..When::default() };
        let old = When { studied_before_days: Some(0), ..When::default() };
        assert!(!young.holds(&of(None)) && !old.holds(&of(None)));
        assert!(young.holds(&of(Some(-1))) && !old.holds(&of(Some(-1))));
        assert!(young.holds(&of(Some(0))) && old.holds(&of(Some(1))));
    }

    #[test]
    fn a_rule_names_every_kind_of_evidence() {
        let kinds = r#"["association-ended", "quiet", "commitment", "expected-count", "mpps"]"#;
        let when: When = serde_json::from_str(&format!(r#"{{"evidence": {kinds}}}"#)).unwrap();
        assert_eq!(when.evidence.last(), Some(&EvidenceKind::PerformedProcedureStep));
        assert_eq!(when.evidence.len(), 5);
    }

    #[test]
    fn a_rule_holds_once_with_the_first_evidence_that_counts_for_it() {
        let further = Subject {
            known: vec![EvidenceKind::AssociationEnded],
            new: vec![EvidenceKind::Commitment],
            ..subject()
        };
        let when = |evidence: &[EvidenceKind]| When { evidence: evidence.to_vec(), ..When::default() };
        assert!(!when(&[]).holds(&further), "the first piece counted");
        assert!(when(&[EvidenceKind::Commitment]).holds(&further));
        assert!(!when(&[EvidenceKind::AssociationEnded, EvidenceKind::Commitment]).holds(&further));
        assert!(!when(&[EvidenceKind::Quiet]).holds(&further));
    }
}
