//! User identity (PS3.7 §D.3.3.7): who a requestor says that it is, and whether it is let in.

use std::path::Path;

use dicom_ul::pdu::{AssociationRQ, UserIdentity, UserIdentityType, UserVariableItem};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::config::{Config, User, UserIdentityPolicy};
use crate::ul::Rejection;

/// A file with a passcode may be this long.
const LONGEST_PASSCODE: u64 = 1024;

/// Whether the requestor of an association is let in, and whether it is told that its identity was taken.
///
/// # Errors
/// The rejection.
pub(super) async fn admit(config: &Config, request: &AssociationRQ) -> Result<bool, Rejection> {
    let identity = request.user_variables.iter().find_map(|variable| match variable {
        UserVariableItem::UserIdentityItem(identity) => Some(identity),
        _ => None,
    });
    let is_taken = match (identity, config.user_identity) {
        (_, UserIdentityPolicy::Ignored) => true,
        (None, UserIdentityPolicy::Checked) => true,
        (None, UserIdentityPolicy::Required) => false,
        (Some(identity), UserIdentityPolicy::Checked | UserIdentityPolicy::Required) => {
            is_of_a_user(&config.users, identity).await
        }
    };
    if !is_taken {
        return Err(Rejection::NO_REASON_GIVEN);
    }
    // What a ticket, an assertion or a token means is not known here, so nothing is said of it.
    Ok(identity.is_some_and(|identity| identity.positive_response_requested() && is_by_name(identity)))
}

fn is_by_name(identity: &UserIdentity) -> bool {
    matches!(identity.identity_type(), UserIdentityType::Username | UserIdentityType::UsernamePassword)
}

async fn is_of_a_user(users: &[User], identity: &UserIdentity) -> bool {
    if !is_by_name(identity) {
        return false;
    }
    let name = String::from_utf8(identity.primary_field()).unwrap_or_default();
    let Some(user) = users.iter().find(|user| user.name == name) else { return false };
    let Some(path) = &user.passcode_file else { return true };
    match passcode(path).await {
        // Compared by digests, so that the time it takes tells nothing of the passcode.
        Some(passcode) => {
            identity.identity_type() == UserIdentityType::UsernamePassword
                && Sha256::digest(passcode) == Sha256::digest(identity.secondary_field())
        }
        None => false,
    }
}

/// The passcode of a file, without the end of its line.
async fn passcode(path: &Path) -> Option<Vec<u8>> {
    let read = async {
        if tokio::fs::metadata(path).await?.len() > LONGEST_PASSCODE {
            return Err(std::io::Error::other("it is too long"));
        }
        tokio::fs::read(path).await
    };
    match read.await {
        Ok(bytes) => Some(bytes.trim_ascii_end().to_vec()),
        Err(error) => {
            warn!(path = %path.display(), %error, "a passcode cannot be read, its user is not let in");
            None
        }
    }
}
