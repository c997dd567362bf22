//! One digest over instances.

use dicom_store::Session;
use dicom_store::model::SopInstanceUid;

use crate::Result;

/// BLAKE3 over the UIDs of these instances and the digests of their data sets, in the order of their UIDs: the same for the
/// same instances, however they came and wherever they lie.
pub(crate) async fn digest_of(session: &Session, instances: &[SopInstanceUid]) -> Result<String> {
    let mut digests = session.digests(instances).await?;
    digests.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for (uid, digest) in &digests {
        hasher.update(format!("{uid} {digest}\n").as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}
