//! The block coder of Part 15: a cleanup pass that codes four samples at a time (ISO/IEC 15444-15 §7).

mod codes;
mod decode;
mod encode;
mod readers;
mod streams;
mod tables;

pub(super) use decode::BlockDecoder;
pub(super) use encode::BlockEncoder;
