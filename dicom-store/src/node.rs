//! A server of the archive, among others or alone.
//!
//! The numbers of the packs that it makes begin with its own, so that no two nodes make the same
//! one and none has to ask. It keeps its number, with a token that tells it from every other node,
//! in its data folder; which numbers are given away stands in the index.

use std::path::Path;

use crate::Result;
use crate::index::Index;
use crate::model::PackId;
use crate::objects::{new_identifier, write_whole};

const FILE: &str = "node";
/// Packs that a node can make.
const PACKS: u64 = 1_000_000_000;

/// A node that is about to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    pub token: String,
    /// The one that it had, if it had one.
    pub number: Option<u64>,
    /// Numbers below this one are in use by packs.
    pub first_free: u64,
    /// What it acknowledges is on its own disk, and nowhere else.
    pub is_alone: bool,
}

/// A node that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub number: u64,
    /// Token of the first node there was, which tells this archive from every other.
    pub founder: String,
}

/// The number of the node that made a pack.
pub(crate) fn of(pack: PackId) -> u64 {
    pack.0 / PACKS
}

/// The first number of a pack that a node may make.
pub(crate) fn first_pack(node: u64) -> u64 {
    node.saturating_mul(PACKS).saturating_add(1)
}

/// Lets this node in; it keeps its number from its first start on.
///
/// # Errors
/// `Conflict` when the other nodes of the archive do not let it in.
pub(crate) async fn join(data: &Path, index: &dyn Index, packs: &[PackId], is_alone: bool) -> Result<Joined> {
    let file = data.join(FILE);
    let kept = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        text => Some(text?),
    };
    let kept = kept.as_deref().and_then(|text| text.trim_end().split_once(' '));
    let joining = Joining {
        token: kept.map_or_else(|| new_identifier(data), |(_, token)| token.to_owned()),
        number: kept.and_then(|(number, _)| number.parse().ok()),
        first_free: packs.iter().map(|pack| of(*pack) + 1).max().unwrap_or_default(),
        is_alone,
    };
    let joined = index.join(&joining).await?;
    if joining.number != Some(joined.number) {
        write_whole(&file, format!("{} {}\n", joined.number, joining.token).as_bytes())?;
    }
    Ok(joined)
}
