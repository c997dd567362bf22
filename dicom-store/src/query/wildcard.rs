//! Wild cards: `*` for any characters, `?` for exactly one (PS3.4 §C.2.2.2.4).

/// A value with wild cards, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
}

impl Pattern {
    /// Reads a value with wild cards; without any it is the only text that matches.
    pub fn new(text: &str) -> Self {
        let part = |c| match c {
            '*' => Part::Any,
            '?' => Part::One,
            other => Part::Literal(other),
        };
        Self { parts: text.chars().map(part).collect() }
    }

    /// Whether the whole of a text matches. Takes time in proportion to both lengths at the worst.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut part) = (0, 0);
        // Where to go on when a guess fails: behind the last `*`, one character further.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    part += 1;
                    retry = Some((part, at));
                }
                Some(Part::One) => (at, part) = (at + 1, part + 1),
                Some(Part::Literal(c)) if text.get(at) == Some(c) => (at, part) = (at + 1, part + 1),
                _ => match retry {
                    Some((after, from)) => {
                        (part, at) = (after, from + 1);
                        retry = Some((after, from + 1));
                    }
                    None => return false,
                },
            }
        }
        self.parts.get(part..).unwrap_or_default().iter().all(|part| *part == Part::Any)
    }

    /// The characters before the first wild card: every match begins with them.
    pub(crate) fn prefix(&self) -> String {
        self.parts.iter().map_while(literal).collect()
    }

    /// Whether it is a beginning and one `*`: the beginning is all there is to match.
    pub(crate) fn is_prefix(&self) -> bool {
        let literals = self.parts.iter().filter(|part| literal(part).is_some()).count();
        self.parts.last() == Some(&Part::Any) && literals + 1 == self.parts.len()
    }

    /// The characters behind the last wild card: every match ends with them.
    pub(crate) fn suffix(&self) -> String {
        let literals = self.parts.iter().rev().map_while(literal);
        literals.collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// Whether it is one `*` and an end: the end is all there is to match.
    pub(crate) fn is_suffix(&self) -> bool {
        let literals = self.parts.iter().filter(|part| literal(part).is_some()).count();
        self.parts.first() == Some(&Part::Any) && literals + 1 == self.parts.len()
    }

    /// The longest run without a wild card: every match holds it.
    pub(crate) fn longest_literal(&self) -> String {
        self.parts
            .split(|part| literal(part).is_none())
            .max_by_key(|run| run.len())
            .map(|run| run.iter().filter_map(literal).collect())
            .unwrap_or_default()
    }
}

fn literal(part: &Part) -> Option<char> {
    match part {
        Part::Literal(c) => Some(*c),
        Part::Any | Part::One => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("SM?TH*", "SMITH^JOHN", true)]
    #[case("SM?TH*", "SMTH", false)]
    #[case("*nguyen*", "nguyen^van an", true)]
    #[case("*a*b*", "xxaxxbxx", true)]
    #[case("*a*b", "xxaxxbxx", false)]
    #[case("???", "Đức", true)]
    #[case("[AB]_%", "[AB]_%", true)]
    #[case("", "", true)]
    #[case("*", "", true)]
    fn stand_for_characters_and_nothing_else_does(
        #[case] pattern: &str,
        #[case] text: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(Pattern::new(pattern).matches(text), expected);
    }

    #[test]
    fn many_stars_cost_no_more_than_both_lengths() {
        let pattern = Pattern::new(&"*a".repeat(2_000));
        assert!(!pattern.matches(&"b".repeat(20_000)));
    }
}
