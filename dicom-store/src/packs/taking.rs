//! A group of the log into the index, whatever is in it.
//!
//! The log has no way back: what stands there has been written, and the groups behind it wait. So an
//! instance that the index refuses for good (a value that one of its columns cannot hold) must not
//! hold up the others: it is left out and told, its bytes stay in the pack.

use tracing::error;

use crate::change::Cursor;
use crate::index::{Committed, Gate, Index, Mark, NewInstance, Outcome};
use crate::{Error, ErrorKind, Result};

/// What became of a group.
pub(super) struct Taken {
    pub(super) cursor: Cursor,
    /// One for each of the group, in its order.
    pub(super) outcomes: Vec<Result<Outcome>>,
    /// [`Committed::has_acts`].
    pub(super) has_acts: bool,
}

/// Gives a group and the marks behind it to the index; one by one, when it does not take them together and nothing
/// else stands against it.
///
/// # Errors
/// What passes by itself: the index cannot be reached, or its disk is full. Nothing is lost by asking again.
pub(super) async fn take(
    index: &dyn Index,
    group: &[NewInstance],
    marks: &[Mark],
    gate: Gate<'_>,
) -> Result<Taken> {
    match index.commit(group, marks, gate).await {
        Ok(Committed { cursor, outcomes, has_acts }) => {
            Ok(Taken { cursor, outcomes: outcomes.into_iter().map(Ok).collect(), has_acts })
        }
        Err(cause) if passes(&cause) || group.is_empty() || gate().is_err() => Err(cause),
        Err(_) => take_each(index, group, marks, gate).await,
    }
}

async fn take_each(
    index: &dyn Index,
    group: &[NewInstance],
    marks: &[Mark],
    gate: Gate<'_>,
) -> Result<Taken> {
    let mut outcomes = Vec::with_capacity(group.len());
    for new in group {
        outcomes.push(match index.commit(std::slice::from_ref(new), &[], gate).await {
            Ok(committed) => committed.outcomes.into_iter().next().ok_or_else(|| Error::internal("no outcome")),
            Err(cause) if passes(&cause) => return Err(cause),
            Err(cause) => {
                let (instance, pack, offset) = (&new.sop_instance, new.location.pack, new.location.offset);
                error!(%instance, %pack, offset, error = %cause.chain(), "index: an instance of the log is refused for good and left out; its bytes stay in the pack");
                Err(cause)
            }
        });
    }
    let Committed { cursor, has_acts, .. } = index.commit(&[], marks, gate).await?;
    Ok(Taken { cursor, outcomes, has_acts })
}

/// Whether the same may succeed later.
fn passes(cause: &Error) -> bool {
    matches!(cause.kind, ErrorKind::Unavailable | ErrorKind::Exhausted)
}
