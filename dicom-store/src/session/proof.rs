//! Whether an instance is kept as it came: read again, byte for byte.

use tracing::error;

use super::Session;
use crate::access::Action;
use crate::archive::Inner;
use crate::index::{Damage, EntryRow, InstanceState};
use crate::model::{SopClassUid, SopInstanceUid};
use crate::packs::place::known;
use crate::packs::proof::what_is_wrong;
use crate::{Error, ErrorKind, Result};

/// How often an instance is looked for again when its pack was rewritten meanwhile.
const LOOKS: usize = 3;

/// What an instance is found to be when its bytes are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Every byte is what came.
    Kept,
    /// Nothing is shown under the UID: it never came, or it was deleted or rejected.
    Absent,
    /// It is of another SOP class.
    OtherClass,
    /// Another data set came under the UID and is kept aside: nobody can tell which of them is meant.
    Contested,
    /// Its bytes are not what came. It is not given out until it comes again.
    Damaged,
}

impl Session {
    /// Reads an instance again from where it is kept and compares it with its digest, in bounded memory. One that is
    /// found damaged is hidden, as by [`crate::Upkeep::verify_all`].
    ///
    /// # Errors
    /// `Forbidden` to all but parts of this server; `Unavailable` when it cannot be read now.
    pub async fn prove(&self, instance: &SopInstanceUid, class: &SopClassUid) -> Result<Proof> {
        self.caller.check(Action::Maintain)?;
        let Inner { packs, index, .. } = &*self.archive.inner;
        for _ in 0..LOOKS {
            let Some(known) = known(index.clone(), instance.clone()).await? else { return Ok(Proof::Absent) };
            match known.state {
                InstanceState::Shown => {}
                InstanceState::Deleted | InstanceState::Rejected => return Ok(Proof::Absent),
                InstanceState::Damaged => return Ok(Proof::Damaged),
            }
            if known.instance.sop_class != *class {
                return Ok(Proof::OtherClass);
            }
            if !index.kept_aside(Some(instance), 1).await?.is_empty() {
                return Ok(Proof::Contested);
            }
            let entries = index.pack_entries_of(std::slice::from_ref(instance)).await?;
            let is_instance = |row: &EntryRow| matches!(row, EntryRow::Instance(_));
            let Some(entry) = entries.into_iter().find(|entry| is_instance(&entry.row)) else { continue };
            match what_is_wrong(packs, &entry).await {
                Ok(None) => return Ok(Proof::Kept),
                Ok(Some(reason)) => {
                    error!(pack = %entry.location.pack, %instance, reason, "an instance is damaged and is not given out any more; send it again");
                    index.damaged(&[Damage::found(entry.row, reason)]).await?;
                    return Ok(Proof::Damaged);
                }
                // Its pack was rewritten meanwhile, and the index says where it is now.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let what = format!("the pack of instance {instance} cannot be found");
        Err(Error::new(ErrorKind::Unavailable, what))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use super::*;
    use crate::fixture::{self, Bucket, ct, store, system};
    use crate::model::VR;
    use crate::{Archive, Config, Durability, Order, Part};

    #[tokio::test]
    async fn an_instance_is_kept_until_one_byte_of_it_changes() {
        let (archive, _folder) = fixture::archive().await;
        let session = system(&archive);
        let sample = ct();
        let location = store(&session, &sample).await.unwrap().instance().location;
        let (uid, class) = (sample.sop_instance(), sample.sop_class());
        assert_eq!(session.prove(&uid, &class).await.unwrap(), Proof::Kept);
        let file = archive.inner.packs.open_in_log(location.pack).unwrap();
        let (mut byte, place) = ([0], location.offset + location.length - 1);
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 1], place).unwrap();
        assert_eq!(session.prove(&uid, &class).await.unwrap(), Proof::Damaged);
        assert_eq!(session.prove(&uid, &class).await.unwrap(), Proof::Damaged);
        store(&session, &sample).await.unwrap();
        assert_eq!(session.prove(&uid, &class).await.unwrap(), Proof::Kept);
    }

    #[tokio::test]
    async fn what_is_not_shown_or_not_what_is_meant_is_not_kept() {
        let (archive, _folder) = fixture::archive().await;
        let session = system(&archive);
        let (sample, gone) = (ct(), ct());
        let (uid, class) = (sample.sop_instance(), sample.sop_class());
        assert_eq!(session.prove(&uid, &class).await.unwrap(), Proof::Absent);
        store(&session, &sample).await.unwrap();
        let other = SopClassUid::parse("1.2.840.10008.5.1.4.1.1.4").unwrap();
        assert_eq!(session.prove(&uid, &other).await.unwrap(), Proof::OtherClass);
        store(&session, &sample.clone().with(dicom::dictionary_std::tags::SERIES_DESCRIPTION, VR::LO, "b"))
            .await
            .unwrap();
        assert_eq!(session.prove(&uid, &class).await.unwrap(), Proof::Contested);
        store(&session, &gone).await.unwrap();
        let of = Part { study: gone.study(), series: None, instance: None };
        session.act(&Order::Delete { of }, "").await.unwrap();
        assert_eq!(session.prove(&gone.sop_instance(), &class).await.unwrap(), Proof::Absent);
    }

    #[tokio::test]
    async fn an_instance_in_a_bucket_is_read_from_there() {
        let bucket = Bucket::new(Duration::ZERO).await;
        let folder = tempfile::tempdir().unwrap();
        let config = Config { durability: Some(Durability::Remote), ..bucket.config(&folder) };
        let archive = Archive::open(&config).await.unwrap();
        let session = system(&archive);
        let sample = ct().size(1600, 1600);
        store(&session, &sample).await.unwrap();
        let proof = session.prove(&sample.sop_instance(), &sample.sop_class()).await.unwrap();
        assert_eq!(proof, Proof::Kept);
    }

    #[tokio::test]
    async fn only_a_part_of_this_server_may_ask() {
        let (archive, _folder) = fixture::archive().await;
        let web = crate::Caller::Web { subject: crate::Subject::Open, address: None };
        let sample = ct();
        let refused = archive.acting_as(web).prove(&sample.sop_instance(), &sample.sop_class()).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Forbidden);
    }
}
