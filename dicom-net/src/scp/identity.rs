//! User identity (PS3.7 §D.3.3.7): who a requestor says that it is, and whether it is let in.

use std::fs;
use std::path::Path;

use dicom_ul::pdu::{AssociationRQ, UserIdentity, UserIdentityType, UserVariableItem};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::config::{Config, User, UserIdentityPolicy};
use crate::error::Error;
use crate::ul::Rejection;

/// A file with a passcode may be this long.
const LONGEST_PASSCODE: u64 = 1024;

/// Whether the requestor of an association is let in, and whether it is told that its identity was taken.
///
/// # Errors
/// The rejection; the log says why.
pub(super) async fn admit(config: &Config, request: &AssociationRQ) -> Result<bool, Rejection> {
    let identity = request.user_variables.iter().find_map(|variable| match variable {
        UserVariableItem::UserIdentityItem(identity) => Some(identity),
        _ => None,
    });
    let admitted = match (identity, config.user_identity) {
        (_, UserIdentityPolicy::Ignored) => Ok(()),
        (None, UserIdentityPolicy::Checked) => Ok(()),
        (None, UserIdentityPolicy::Required) => Err("it sends none"),
        (Some(identity), UserIdentityPolicy::Checked | UserIdentityPolicy::Required) => {
            of_a_user(&config.users, identity).await
        }
    };
    if let Err(why) = admitted {
        // Neither the name nor the passcode: whoever mistypes puts one into the place of the other.
        warn!(
            calling = request.calling_ae_title.trim(),
            why, "a user identity was refused (dimse.user-identity)"
        );
        return Err(Rejection::NO_REASON_GIVEN);
    }
    // What a ticket, an assertion or a token means is not known here, so nothing is said of it.
    Ok(identity.is_some_and(|identity| identity.positive_response_requested() && is_by_name(identity)))
}

fn is_by_name(identity: &UserIdentity) -> bool {
    matches!(identity.identity_type(), UserIdentityType::Username | UserIdentityType::UsernamePassword)
}

/// # Errors
/// Why it is of none.
async fn of_a_user(users: &[User], identity: &UserIdentity) -> Result<(), &'static str> {
    if !is_by_name(identity) {
        return Err("it is none by name, but a ticket, an assertion or a token");
    }
    let name = String::from_utf8(identity.primary_field()).unwrap_or_default();
    let user = users.iter().find(|user| user.name == name).ok_or("dimse.users has no such name")?;
    let Some(path) = user.passcode_file.clone() else { return Ok(()) };
    let read = tokio::task::spawn_blocking(move || {
        passcode(&path)
            .inspect_err(|error| warn!(%error, "a passcode cannot be read, its user is not let in"))
    });
    let Ok(Ok(passcode)) = read.await else { return Err("the passcode of this name cannot be read") };
    if identity.identity_type() != UserIdentityType::UsernamePassword {
        return Err("this name has a passcode, and none was sent");
    }
    // Compared by digests, so that the time it takes tells nothing of the passcode.
    if Sha256::digest(passcode) == Sha256::digest(identity.secondary_field()) {
        Ok(())
    } else {
        Err("the passcode is wrong")
    }
}

/// The passcode of a file, without the end of its line. Blocks while it reads.
fn passcode(path: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |what: &dyn std::fmt::Display| Error::Settings(format!("{}: {what}", path.display()));
    if fs::metadata(path).map_err(|error| wrong(&error))?.len() > LONGEST_PASSCODE {
        return Err(wrong(&"it is too long for a passcode"));
    }
    let passcode = fs::read(path).map_err(|error| wrong(&error))?.trim_ascii_end().to_vec();
    if passcode.is_empty() { Err(wrong(&"there is no passcode in it")) } else { Ok(passcode) }
}

/// Whether identities can be looked at as the settings want it. Blocks while it reads.
///
/// # Errors
/// `Settings`, with what is wrong.
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    if config.user_identity == UserIdentityPolicy::Required && config.users.is_empty() {
        let what = "dimse.user-identity is required, and dimse.users has nobody: nobody would be let in";
        return Err(Error::Settings(what.to_owned()));
    }
    let files = config.users.iter().filter_map(|user| user.passcode_file.as_deref());
    files.map(passcode).try_for_each(|read| read.map(drop))
}
