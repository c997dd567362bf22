//! The block coder of Part 1: bit planes in three passes, coded arithmetically (ISO/IEC 15444-1 Annexes C, D).

mod contexts;
mod encode;
mod states;
mod writer;

pub(super) use encode::BlockEncoder;
