//! Patients and names (PS3.5 §6.2.1, PS3.3 §C.7.1.1).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fold::{fold, is_apostrophe, marked, parts_words};

/// A Person Name value: its three component groups, `^` between components.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PersonName {
    pub alphabetic: String,
    pub ideographic: String,
    pub phonetic: String,
}

impl PersonName {
    /// Splits at `=`; trailing empty components mean nothing and are dropped.
    pub fn parse(text: &str) -> Self {
        let mut groups =
            text.splitn(3, '=').map(|group| group.trim().trim_end_matches('^').trim().to_owned());
        let mut next = || groups.next().unwrap_or_default();
        Self { alphabetic: next(), ideographic: next(), phonetic: next() }
    }

    pub fn groups(&self) -> [&str; 3] {
        [&self.alphabetic, &self.ideographic, &self.phonetic]
    }

    /// Every word of every group, folded and, where it has marks, with them as well; sorted, each once.
    ///
    /// These are what names are found by: a folded word never equals one with marks.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.groups().into_iter().flat_map(words).collect();
        words.sort_unstable();
        words.dedup();
        words
    }

    /// Whether two names may be one person's: each component group that both have consists of the same words,
    /// however these are written and in whatever order.
    pub fn may_be_one(one: &Self, other: &Self) -> bool {
        let pairs = one.groups().into_iter().zip(other.groups());
        pairs
            .filter(|(one, other)| !one.is_empty() && !other.is_empty())
            .all(|(one, other)| folded_words(one) == folded_words(other))
    }

    /// All groups folded, `=` between them: what names are put in order by.
    pub fn folded(&self) -> String {
        let text = self.groups().map(fold).join("=");
        text.trim_end_matches('=').to_owned()
    }
}

/// The words of one component group, folded and sorted.
fn folded_words(group: &str) -> Vec<String> {
    let mut words: Vec<String> =
        group.split(parts_words).map(|word| fold(&bare(word))).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

fn bare(word: &str) -> String {
    word.chars().filter(|c| !is_apostrophe(*c)).collect()
}

/// The words of one component group, in both forms.
fn words(group: &str) -> impl Iterator<Item = String> {
    group.split(parts_words).flat_map(|word| {
        let bare = bare(word);
        let (folded, marked) = (fold(&bare), marked(&bare));
        let marked = (marked != folded).then_some(marked);
        [Some(folded), marked].into_iter().flatten().filter(|word| !word.is_empty())
    })
}

/// What makes a patient one patient: the identifier and who issued it (PS3.3 §C.7.1.1).
///
/// Both empty for an instance without Patient ID; such patients are kept apart by study.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatientKey {
    pub issuer: String,
    pub id: String,
}

impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonName(«phi»)")
    }
}

impl fmt::Debug for PatientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientKey(«phi»)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_empty_components_do_not_make_another_name() {
        assert_eq!(PersonName::parse("DOE^JOHN^^^"), PersonName::parse("DOE^JOHN"));
    }

    #[test]
    fn words_are_there_with_and_without_marks() {
        let name = PersonName::parse("NGUYỄN^HÒA=阮^和");
        assert_eq!(name.words(), ["hoa", "hòa", "nguyen", "nguyễn", "和", "阮"]);
        assert_eq!(PersonName::parse("O'Neil-Smith^^").words(), ["oneil", "smith"]);
    }

    #[test]
    fn keeps_the_three_groups_apart() {
        let name = PersonName::parse("Yamada^Tarou=山田^太郎=やまだ^たろう");
        assert_eq!(name.ideographic, "山田^太郎");
        assert_eq!(name.phonetic, "やまだ^たろう");
        assert_eq!(name.folded(), "yamada^tarou=山田^太郎=やまた^たろう");
    }
}
