//! What a normalized instance has to say (types 1 and 2, PS3.5 §7.4), as a table of its SOP class says it.

use crate::model::{Attributes, Tag, VR};

/// What is wanted of the instances of a SOP class.
#[derive(Debug)]
pub(crate) struct Requirements {
    /// Type 1 of a creation.
    pub(crate) creation: &'static [Required],
    /// Type 2 of a creation: there in any case, empty where nobody says more.
    pub(crate) empty: &'static [(Tag, VR)],
    /// What only this archive says, or nobody changes later.
    pub(crate) fixed: &'static [Tag],
}

/// An attribute that needs a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Required {
    pub(crate) tag: Tag,
    pub(crate) name: &'static str,
    /// Those that it may have, where they are few; none where it may have any.
    pub(crate) terms: &'static [&'static str],
}

/// What is wrong with an attribute that needs a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    Missing,
    Empty,
    /// None that it may have.
    Value,
}

impl Requirements {
    /// What is wrong with the first attribute of type 1 with which anything is.
    pub(crate) fn lack_of_creation(&self, attributes: &Attributes) -> Option<(Required, Lack)> {
        lack_of(self.creation, attributes)
    }

    /// The same of those that come with a change.
    pub(crate) fn lack_of_change(&self, changes: &Attributes) -> Option<(Required, Lack)> {
        let changed = self.creation.iter().filter(|required| changes.contains(required.tag));
        lack_of(changed, changes)
    }

    /// Puts in what is there in any case; gives whether something was missing.
    pub(crate) fn complete(&self, attributes: &mut Attributes) -> bool {
        let mut was_missing = false;
        for (tag, vr) in self.empty {
            if !attributes.contains(*tag) {
                attributes.put_empty(*tag, *vr);
                was_missing = true;
            }
        }
        was_missing
    }

    pub(crate) fn is_fixed(&self, tag: Tag) -> bool {
        self.fixed.contains(&tag)
    }
}

/// What is wrong with the first of these with which anything is.
pub(crate) fn lack_of<'a>(
    required: impl IntoIterator<Item = &'a Required>,
    attributes: &Attributes,
) -> Option<(Required, Lack)> {
    required.into_iter().find_map(|required| required.lack(attributes).map(|lack| (*required, lack)))
}

impl Required {
    /// Any value will do.
    pub(crate) const fn any(tag: Tag, name: &'static str) -> Self {
        Self { tag, name, terms: &[] }
    }

    pub(crate) const fn one_of(tag: Tag, name: &'static str, terms: &'static [&'static str]) -> Self {
        Self { tag, name, terms }
    }

    pub(crate) fn lack(&self, attributes: &Attributes) -> Option<Lack> {
        if !attributes.contains(self.tag) {
            Some(Lack::Missing)
        } else if !has_value(attributes, self.tag) {
            Some(Lack::Empty)
        } else {
            let is_one = |text: String| self.terms.contains(&text.as_str());
            let is_allowed = self.terms.is_empty() || attributes.text(self.tag).is_some_and(is_one);
            (!is_allowed).then_some(Lack::Value)
        }
    }
}

pub(crate) fn has_value(attributes: &Attributes, tag: Tag) -> bool {
    !attributes.items(tag).is_empty() || attributes.text(tag).is_some()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TABLE: Requirements = Requirements {
        creation: &[
            Required::one_of(Tag(0x0074, 0x1200), "Priority", &["HIGH", "LOW"]),
            Required::any(Tag(0x0074, 0x1204), "Label"),
        ],
        empty: &[(Tag(0x0010, 0x0010), VR::PN), (Tag(0x0010, 0x0020), VR::LO)],
        fixed: &[Tag(0x0010, 0x0020)],
    };

    #[rstest]
    #[case::all_is_there(&[(0x1200, "LOW"), (0x1204, "x")], None, None)]
    #[case::nothing_is_there(&[], Some((0x1200, Lack::Missing)), None)]
    #[case::one_is_missing(&[(0x1200, "LOW")], Some((0x1204, Lack::Missing)), None)]
    #[case::one_is_empty(&[(0x1200, "LOW"), (0x1204, "")], Some((0x1204, Lack::Empty)), Some((0x1204, Lack::Empty)))]
    #[case::no_term(&[(0x1200, "SOON")], Some((0x1200, Lack::Value)), Some((0x1200, Lack::Value)))]
    fn the_first_that_lacks_something_is_told(
        #[case] said: &[(u16, &str)],
        #[case] of_creation: Option<(u16, Lack)>,
        #[case] of_change: Option<(u16, Lack)>,
    ) {
        let mut attributes = Attributes::new();
        for (element, text) in said {
            attributes.put_text(Tag(0x0074, *element), VR::LO, text);
        }
        let told = |lack: Option<(Required, Lack)>| lack.map(|(required, lack)| (required.tag.1, lack));
        assert_eq!(told(TABLE.lack_of_creation(&attributes)), of_creation);
        assert_eq!(told(TABLE.lack_of_change(&attributes)), of_change);
    }

    #[test]
    fn what_is_missing_of_type_2_is_put_in_empty() {
        let mut attributes = Attributes::new();
        attributes.put_text(Tag(0x0010, 0x0020), VR::LO, "1");
        assert!(TABLE.complete(&mut attributes) && !TABLE.complete(&mut attributes));
        assert_eq!(attributes.text(Tag(0x0010, 0x0020)).as_deref(), Some("1"));
        assert!(attributes.contains(Tag(0x0010, 0x0010)) && TABLE.is_fixed(Tag(0x0010, 0x0020)));
    }
}
