//! Data sets as bytes (PS3.5 §7.1): sequences and items with explicit lengths.

use dicom::core::{Tag, VR};

use super::element::{is_long, is_text, swap, unit};
use super::{Attributes, Element, Encoding, Value};

const ITEM: Tag = Tag(0xFFFE, 0xE000);

/// Appends a data set. Values that were left in the object are written empty.
pub(super) fn data_set(attributes: &Attributes, encoding: Encoding, out: &mut Vec<u8>) {
    for element in attributes.iter() {
        write_element(element, encoding, out);
    }
}

pub(super) fn write_element(element: &Element, encoding: Encoding, out: &mut Vec<u8>) {
    let mut value = Vec::new();
    match &element.value {
        Value::Bytes(bytes) => {
            value.extend_from_slice(bytes);
            if encoding == Encoding::ExplicitBig {
                swap(&mut value, unit(element.vr));
            }
            if value.len() % 2 == 1 {
                let is_space = is_text(element.vr) && element.vr != VR::UI;
                value.push(if is_space { b' ' } else { 0 });
            }
        }
        Value::Items(items) => items.iter().for_each(|item| {
            let mut content = Vec::new();
            data_set(item, encoding, &mut content);
            tag(ITEM, encoding, &mut value);
            word(whole(content.len()), encoding, &mut value);
            value.append(&mut content);
        }),
        Value::Bulk(_) => {}
    }
    element_head(element.tag, element.vr, value.len(), encoding, out);
    out.append(&mut value);
}

/// Tag, VR and length of an element.
pub(super) fn element_head(of: Tag, vr: VR, bytes: usize, encoding: Encoding, out: &mut Vec<u8>) {
    match u16::try_from(bytes) {
        Ok(short) if !is_long(vr) && encoding != Encoding::ImplicitLittle => {
            tag(of, encoding, out);
            out.extend_from_slice(&vr.to_bytes());
            match encoding {
                Encoding::ExplicitBig => out.extend_from_slice(&short.to_be_bytes()),
                _ => out.extend_from_slice(&short.to_le_bytes()),
            }
        }
        _ => {
            // What does not fit a length of 16 bits goes as UN (PS3.5 §6.2.2).
            let vr = if is_long(vr) { vr } else { VR::UN };
            long_head(of, vr, whole(bytes), encoding, out);
        }
    }
}

/// The same with a length of 32 bits.
pub(super) fn long_head(of: Tag, vr: VR, length: u32, encoding: Encoding, out: &mut Vec<u8>) {
    tag(of, encoding, out);
    if encoding != Encoding::ImplicitLittle {
        out.extend_from_slice(&vr.to_bytes());
        out.extend_from_slice(&[0, 0]);
    }
    word(length, encoding, out);
}

pub(super) fn tag(tag: Tag, encoding: Encoding, out: &mut Vec<u8>) {
    for half in [tag.0, tag.1] {
        match encoding {
            Encoding::ExplicitBig => out.extend_from_slice(&half.to_be_bytes()),
            _ => out.extend_from_slice(&half.to_le_bytes()),
        }
    }
}

fn whole(length: usize) -> u32 {
    u32::try_from(length).expect("a value of a data set built in memory is smaller than 4 GiB")
}

pub(super) fn word(number: u32, encoding: Encoding, out: &mut Vec<u8>) {
    match encoding {
        Encoding::ExplicitBig => out.extend_from_slice(&number.to_be_bytes()),
        _ => out.extend_from_slice(&number.to_le_bytes()),
    }
}
