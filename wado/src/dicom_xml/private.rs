//! Private elements of the Native DICOM Model: they are told with their creator, and with nothing of the block that it has
//! in a data set (PS3.19 Table A.1.5-2: the tag is gggg00ee; PS3.5 §7.8.1).

use std::collections::{BTreeMap, BTreeSet};

use dicom_store::model::{Attributes, Tag};
use dicom_store::{Error, Result};
use serde_json::{Value, json};

use crate::dicom_json::read::Object;

/// Elements that a Private Creator may be, and with them the blocks.
const BLOCKS: std::ops::RangeInclusive<u16> = 0x10..=0xFF;

/// The Private Creator that reserves the block of a private element.
pub(super) fn creator(attributes: &Attributes, tag: Tag) -> Option<String> {
    let block = tag.1 >> 8;
    let is_private = tag.0 % 2 == 1 && BLOCKS.contains(&block);
    is_private.then(|| attributes.text(Tag(tag.0, block))).flatten().filter(|creator| !creator.is_empty())
}

/// A private element whose creator is known, and its place not yet.
pub(super) struct Private {
    pub(super) group: u16,
    /// As the document has it: `00ee`, or with a block, as some programs write it.
    pub(super) element: u16,
    pub(super) creator: String,
    pub(super) attribute: Value,
}

impl Private {
    /// Group and element, and the creator, where a tag is that of a private element that names one.
    pub(super) fn named(tag: &str, creator: Option<&str>) -> Option<(u16, u16, String)> {
        let Tag(group, element) = parse(tag)?;
        let creator = creator?.trim_matches([' ', '\0']);
        (group % 2 == 1 && !creator.is_empty()).then(|| (group, element, creator.to_owned()))
    }
}

fn parse(tag: &str) -> Option<Tag> {
    let number = u32::from_str_radix(tag, 16).ok().filter(|_| tag.len() == 8)?;
    let [a, b, c, d] = number.to_be_bytes();
    Some(Tag(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// Puts private elements into the blocks of their creators. Of a creator without a block the one that the tag names is
/// reserved, or the first that is free.
///
/// # Errors
/// `Invalid` when all blocks of a group are taken.
pub(super) fn place(object: &mut Object, elements: Vec<Private>) -> Result<()> {
    if elements.is_empty() {
        return Ok(());
    }
    let mut blocks = Blocks::of(object);
    for Private { group, element, creator, attribute } in elements {
        let tag = blocks.place(object, group, element, &creator)?;
        object.insert(key(tag), attribute);
    }
    Ok(())
}

fn key(tag: Tag) -> String {
    format!("{:04X}{:04X}", tag.0, tag.1)
}

/// Who has which block of which group.
#[derive(Default)]
struct Blocks {
    creators: BTreeMap<(u16, u16), String>,
    /// Elements of blocks.
    elements: BTreeSet<(u16, u16)>,
}

impl Blocks {
    fn of(object: &Object) -> Self {
        let mut blocks = Self::default();
        for (name, attribute) in object {
            let Some(Tag(group, element)) = parse(name).filter(|tag| tag.0 % 2 == 1) else { continue };
            if BLOCKS.contains(&element) {
                let creator = attribute.get("Value").and_then(|values| values.get(0)?.as_str());
                let creator = creator.unwrap_or_default().trim_matches([' ', '\0']);
                blocks.creators.insert((group, element), creator.to_owned());
            } else {
                blocks.elements.insert((group, element));
            }
        }
        blocks
    }

    /// Where an element stands; the block is reserved when it is nobody's.
    fn place(&mut self, object: &mut Object, group: u16, element: u16, creator: &str) -> Result<Tag> {
        let (stated, low) = (element >> 8, element & 0xFF);
        let is_there = |block: &u16| self.elements.contains(&(group, block << 8 | low));
        let stated_first = || BLOCKS.filter(|block| *block == stated).chain(BLOCKS);
        let is_own = |block: &u16| self.creators.get(&(group, *block)).is_some_and(|own| own == creator);
        let own = stated_first().find(|block| is_own(block) && !is_there(block));
        let block = match own {
            Some(block) => block,
            None => {
                let is_free = |block: &u16| {
                    let mut elements = self.elements.range((group, block << 8)..=(group, block << 8 | 0xFF));
                    !self.creators.contains_key(&(group, *block)) && elements.next().is_none()
                };
                let block = stated_first().find(is_free).ok_or_else(|| {
                    Error::invalid(format!("all blocks of the private group {group:04X} are taken"))
                })?;
                self.creators.insert((group, block), creator.to_owned());
                object.insert(key(Tag(group, block)), json!({"vr": "LO", "Value": [creator]}));
                block
            }
        };
        self.elements.insert((group, block << 8 | low));
        Ok(Tag(group, block << 8 | low))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn placed(object: Value, elements: &[(&str, &str)]) -> Object {
        let Value::Object(mut object) = object else { panic!("an object") };
        let element = |(tag, creator): &(&str, &str)| {
            let (group, element, creator) = Private::named(tag, Some(creator)).unwrap();
            Private { group, element, creator, attribute: json!(tag) }
        };
        place(&mut object, elements.iter().map(element).collect()).unwrap();
        object
    }

    fn creator(name: &str) -> Value {
        json!({"vr": "LO", "Value": [name]})
    }

    #[rstest]
    #[case::own_block(
        json!({"00090010": creator("A"), "00090011": creator("B")}),
        &[("00090001", "B"), ("00090002", "A")],
        json!({"00090010": creator("A"), "00090011": creator("B"), "00091101": "00090001", "00091002": "00090002"})
    )]
    #[case::reserved(
        json!({"00090010": creator("A"), "000911AA": 1}),
        &[("00090001", "B"), ("00090002", "B")],
        json!({
            "00090010": creator("A"), "000911AA": 1, "00090012": creator("B"),
            "00091201": "00090001", "00091202": "00090002",
        })
    )]
    #[case::with_its_block(
        json!({"00090010": creator("A")}),
        &[("00091501", "B"), ("00091001", "A"), ("00091002", "C")],
        json!({
            "00090010": creator("A"), "00091001": "00091001",
            "00090015": creator("B"), "00091501": "00091501",
            "00090011": creator("C"), "00091102": "00091002",
        })
    )]
    #[case::two_blocks_of_one(
        json!({"00090010": creator("A"), "00090020": creator("A")}),
        &[("00090001", "A"), ("00090001", "A")],
        json!({
            "00090010": creator("A"), "00090020": creator("A"), "00091001": "00090001", "00092001": "00090001",
        })
    )]
    #[case::an_element_like_a_creator(
        json!({}),
        &[("00090010", "A")],
        json!({"00090010": creator("A"), "00091010": "00090010"})
    )]
    fn an_element_stands_in_a_block_of_its_creator(
        #[case] object: Value,
        #[case] elements: &[(&str, &str)],
        #[case] expected: Value,
    ) {
        let Value::Object(expected) = expected else { panic!("an object") };
        assert_eq!(placed(object, elements), expected);
    }

    #[test]
    fn a_group_has_as_many_blocks_as_there_are() {
        let taken = BLOCKS.map(|block| (key(Tag(9, block)), creator("A"))).collect::<Object>();
        let (group, element, creator) = Private::named("00090001", Some("B")).unwrap();
        let one = Private { group, element, creator, attribute: json!(1) };
        assert!(place(&mut taken.clone(), vec![one]).is_err());
    }

    #[rstest]
    #[case("00100010", Some("A"))]
    #[case("00090001", None)]
    #[case("00090001", Some(" "))]
    #[case("0009000", Some("A"))]
    fn others_stand_where_they_say(#[case] tag: &str, #[case] creator: Option<&str>) {
        assert!(Private::named(tag, creator).is_none());
    }
}
