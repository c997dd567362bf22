//! How a key finds a person's name (PS3.4 §C.2.2.2.1, §C.2.2.2.4), the same at every door.
//!
//! | key | finds names |
//! |---|---|
//! | `dang hoa` | with words that begin so, in any order |
//! | `Nguyễn^Hòa` | with these words, whole, in any order: as other programs send them |
//! | `nguyen*`, `hoa* v?n` | with words that match these, in any order, or a group that matches the whole |
//! | `SM?TH^*` | with a component group that matches the whole |
//! | `=山田*` | with these in their group; a key without `=` may find any |
//!
//! All is compared folded. What the standard's single value and wild card matching find is always
//! among it. With fuzzy matching every word of a key is a beginning, in component form too.
//!
//! Of the names found, those whose words have the marks that were typed come first ([`Rank`]).

use dicom::dictionary_std::tags;

use super::Pattern;
use crate::model::{Attributes, PersonName, fold, is_apostrophe, marked, parts_words};

/// How close a name is to what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// With the marks that were typed, where there were some.
    Marked,
    /// Without regard to marks.
    Folded,
}

/// A key of VR PN, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey {
    groups: Groups,
    /// Every word of the key as it was typed, where at least one has marks.
    marked: Vec<Term>,
}

#[derive(Clone, PartialEq, Eq)]
enum Groups {
    /// Whichever group of the name.
    Any(GroupKey),
    /// Each its own; `None` where nothing is asked of it.
    Each([Option<GroupKey>; 3]),
}

#[derive(Clone, PartialEq, Eq)]
struct GroupKey {
    /// The folded value, as a pattern of a whole group.
    whole: Pattern,
    /// What the words have to match, each some word; `None` when only the whole counts.
    words: Option<Vec<Pattern>>,
    /// What has to be true of the words of every name that matches.
    terms: Vec<Term>,
    /// The terms are all there is to it.
    is_exact: bool,
}

/// A word of a name, or a part of one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) text: String,
    pub(crate) part: Part,
}

/// What of a word a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Beginning,
    Anywhere,
}

impl Term {
    fn is_in(&self, words: &[String]) -> bool {
        words.iter().any(|word| match self.part {
            Part::Whole => *word == self.text,
            Part::Beginning => word.starts_with(&self.text),
            Part::Anywhere => word.contains(&self.text),
        })
    }
}

impl NameKey {
    pub(super) fn parse(value: &str, is_fuzzy: bool) -> Self {
        let value = value.trim();
        let groups = if value.contains('=') {
            let mut groups = value.splitn(3, '=').map(|group| {
                let group = group.trim();
                (!group.is_empty()).then(|| GroupKey::parse(group, is_fuzzy))
            });
            let mut next = || groups.next().flatten();
            Groups::Each([next(), next(), next()])
        } else {
            Groups::Any(GroupKey::parse(value, is_fuzzy))
        };
        Self { groups, marked: marked_terms(value, is_fuzzy) }
    }

    pub(super) fn matches(&self, name: &PersonName) -> bool {
        match &self.groups {
            Groups::Any(key) => key.matches(&name.groups()),
            Groups::Each(keys) => keys
                .iter()
                .zip(name.groups())
                .all(|(key, group)| key.as_ref().is_none_or(|key| key.matches(&[group]))),
        }
    }

    /// For a name that matches.
    pub(crate) fn rank(&self, name: &PersonName) -> Rank {
        if self.has_ranks() && self.marked.iter().all(|term| term.is_in(&name.words())) {
            Rank::Marked
        } else {
            Rank::Folded
        }
    }

    /// The closest of a row's values.
    pub(crate) fn rank_of(&self, row: &Attributes) -> Rank {
        let names = row.texts(tags::PATIENT_NAME);
        names.iter().map(|name| self.rank(&PersonName::parse(name))).min().unwrap_or(Rank::Folded)
    }

    /// Whether names can be of more than one rank: something was typed with marks.
    pub(crate) fn has_ranks(&self) -> bool {
        !self.marked.is_empty()
    }

    /// What the words of every name of a rank fulfil, and perhaps of others. Without a rank: of every name
    /// that matches.
    pub(crate) fn terms(&self, rank: Option<Rank>) -> Vec<&Term> {
        match (rank, &self.groups) {
            (Some(Rank::Marked), _) => self.marked.iter().collect(),
            (_, Groups::Any(key)) => key.terms.iter().collect(),
            (_, Groups::Each(keys)) => keys.iter().flatten().flat_map(|key| &key.terms).collect(),
        }
    }

    /// Whether a name matches as soon as its words fulfil the terms.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(&self.groups, Groups::Any(key) if key.is_exact)
    }
}

impl GroupKey {
    fn parse(value: &str, is_fuzzy: bool) -> Self {
        let has_wild_cards = value.contains(is_wild_card);
        let is_in_components = value.contains('^');
        let words: Vec<Word> = words(value).collect();
        let is_wordwise = !words.is_empty() && (is_fuzzy || !has_wild_cards || !is_in_components);
        // Typed by a person, the last word may not be complete yet; any of them may be short for one.
        let is_beginning = is_fuzzy || (!has_wild_cards && !is_in_components);
        let folded = fold(value.trim_end_matches('^').trim());
        Self {
            whole: Pattern::new(&folded),
            terms: words.iter().filter_map(|word| word.term(&word.folded, is_beginning)).collect(),
            is_exact: is_wordwise && words.iter().all(Word::is_plain),
            words: is_wordwise.then(|| words.iter().map(|word| word.pattern(is_beginning)).collect()),
        }
    }

    fn matches(&self, groups: &[&str]) -> bool {
        let is_word = |pattern: &Pattern| {
            let mut words = groups.iter().flat_map(|group| folded_words(group));
            words.any(|word| pattern.matches(&word))
        };
        let has_words = || self.words.as_ref().is_some_and(|words| words.iter().all(is_word));
        // Empty components at the end were dropped, and a key may still ask for them.
        let is_whole = |group: &&str| {
            let group = fold(group.trim_end_matches('^'));
            !group.is_empty() && (self.whole.matches(&group) || self.whole.matches(&format!("{group}^")))
        };
        has_words() || groups.iter().any(is_whole)
    }
}

fn folded_words(group: &str) -> impl Iterator<Item = String> {
    group.split(parts_words).map(bare).map(|word| fold(&word)).filter(|word| !word.is_empty())
}

fn bare(word: &str) -> String {
    word.chars().filter(|c| !is_apostrophe(*c)).collect()
}

fn is_wild_card(c: char) -> bool {
    matches!(c, '*' | '?')
}

/// A word of a key, with its wild cards.
struct Word {
    typed: String,
    folded: String,
}

/// Words without those that are nothing but `*`.
fn words(value: &str) -> impl Iterator<Item = Word> {
    let words = value.split(|c| parts_words(c) && !is_wild_card(c)).map(bare);
    words
        .filter(|word| word.chars().any(|c| c != '*'))
        .map(|typed| Word { folded: fold(&typed), typed })
        .filter(|word| !word.folded.is_empty())
}

impl Word {
    /// Whether a term says all of it: no wild card, or one `*` at the end.
    fn is_plain(&self) -> bool {
        !self.folded.strip_suffix('*').unwrap_or(&self.folded).contains(is_wild_card)
    }

    fn pattern(&self, is_beginning: bool) -> Pattern {
        Pattern::new(&format!("{}{}", self.folded, if is_beginning { "*" } else { "" }))
    }

    /// By what comes before the first wild card, or what is longest between two; `None` when that is nothing.
    fn term(&self, form: &str, is_beginning: bool) -> Option<Term> {
        let head = form.split(is_wild_card).next().unwrap_or_default();
        let (text, part) = if head.is_empty() {
            (form.split(is_wild_card).max_by_key(|run| run.len()).unwrap_or_default(), Part::Anywhere)
        } else if is_beginning || head.len() < form.len() {
            (head, Part::Beginning)
        } else {
            (head, Part::Whole)
        };
        (!text.is_empty()).then(|| Term { text: text.to_owned(), part })
    }
}

/// The words as they were typed; none when no mark was.
fn marked_terms(value: &str, is_fuzzy: bool) -> Vec<Term> {
    let is_beginning = is_fuzzy || !value.contains(|c| is_wild_card(c) || c == '^');
    let words: Vec<Word> = value.split('=').flat_map(words).collect();
    let has_marks = |word: &Word| marked(&word.typed) != word.folded;
    if !words.iter().any(has_marks) {
        return Vec::new();
    }
    words
        .iter()
        .filter_map(|word| {
            // Behind a wild card, marks do not count: where a tone is written depends on the whole word.
            let head = word.typed.split(is_wild_card).next().unwrap_or_default();
            let rest = word.typed.get(head.len()..).unwrap_or_default();
            word.term(&format!("{}{}", marked(head), fold(rest)), is_beginning)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("hoa nguyen", true)]
    #[case("dang hoa", true)]
    #[case("ĐẶNG HOÀ", true)]
    #[case("đa\u{323}\u{306}ng ho\u{300}a", true)]
    #[case("Đang hoa", true)]
    #[case("ng da", true)]
    #[case("nguyen*", true)]
    #[case("hoa* ng*", true)]
    #[case("*hi dang*", true)]
    #[case("Nguyễn^Hòa", true)]
    #[case("HOA^NGUYEN^^", true)]
    #[case("NGUYỄN^HÒA^THỊ ĐẶNG", true)]
    #[case("NG?Y?N^*^THI*", true)]
    #[case("阮*", true)]
    #[case("=阮^和", true)]
    #[case("nguyen=阮", true)]
    #[case("Nguye^Hoa", false)]
    #[case("nguyen tran", false)]
    #[case("hoa^*", false)]
    #[case("guyen", false)]
    #[case("=nguyen", false)]
    #[case("' OR '1'='1", false)]
    fn finds_a_name_however_it_is_typed(#[case] key: &str, #[case] expected: bool) {
        let name = PersonName::parse("NGUYỄN^HÒA^THỊ ĐẶNG=阮^和");
        assert_eq!(NameKey::parse(key, false).matches(&name), expected);
    }

    #[rstest]
    #[case("SMITH^JOHN^^^", "SMITHSON^JOHN", false)]
    #[case("SMITH^JOHN^^^", "Smith^John", true)]
    #[case("SM?TH^*", "SMITHSON^JOHN", false)]
    #[case("DOE^JOHN^*", "DOE^JOHN", true)]
    #[case("oneil", "O'NEIL^MARY", true)]
    #[case("O'NEIL*", "O'NEIL^MARY", true)]
    #[case("^", "DOE", false)]
    fn keeps_to_the_standard(#[case] key: &str, #[case] name: &str, #[case] expected: bool) {
        assert_eq!(NameKey::parse(key, false).matches(&PersonName::parse(name)), expected);
    }

    #[test]
    fn fuzzy_matching_takes_beginnings_in_component_form_too() {
        let name = PersonName::parse("SMITHSON^JOHN");
        assert!(NameKey::parse("smith^jo", true).matches(&name));
        assert!(!NameKey::parse("smith^jo", false).matches(&name));
    }

    #[rstest]
    #[case("Hoà", "NGUYỄN^HÒA", Rank::Marked)]
    #[case("nguyễn h*", "Nguyễn^Hòa", Rank::Marked)]
    #[case("hu\u{31b}o\u{31b}ng", "ĐẶNG^HƯƠNG", Rank::Marked)]
    #[case("HƯƠNG", "Đặng^Hương", Rank::Marked)]
    #[case("đang", "Đặng^Hương", Rank::Folded)]
    #[case("hường", "Đặng^Hương", Rank::Folded)]
    #[case("Nguyễn", "NGUYEN^HOA", Rank::Folded)]
    #[case("hoa", "NGUYỄN^HÒA", Rank::Folded)]
    fn marks_that_were_typed_tell_names_apart(#[case] key: &str, #[case] name: &str, #[case] rank: Rank) {
        assert_eq!(NameKey::parse(key, false).rank(&PersonName::parse(name)), rank);
    }
}
