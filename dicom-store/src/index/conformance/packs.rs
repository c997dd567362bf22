//! Packs through their life.

use dicom::dictionary_std::tags;

use super::acts::{entry, key};
use super::{RECEIVED, find, known, new};
use crate::ErrorKind;
use crate::fixture::{Sample, ct};
use crate::index::{
    Compared, Damage, DamageQuery, DamagedInstance, DeadCopy, Index, InstanceState, Mark, OPEN, PackEntry,
    PackRow, Replacement, Stage,
};
use crate::ledger::{Act, Entry};
use crate::model::{Level, Location, PackId, Resource, VR};

async fn commit(index: &dyn Index, pack: u64, samples: &[Sample]) {
    let group: Vec<_> = samples
        .iter()
        .zip(1..)
        .map(|(sample, n)| {
            let mut new = new(sample, n * 1024);
            new.location.pack = PackId(pack);
            new
        })
        .collect();
    index.commit(&group, &[Mark { pack: PackId(pack), offset: 8192 }], OPEN).await.unwrap();
}

async fn stages(index: &dyn Index) -> Vec<(u64, Stage)> {
    let rows: Vec<PackRow> = index.packs(None, 100).await.unwrap();
    rows.iter().map(|row| (row.pack.0, row.stage)).collect()
}

fn moved(entries: &[PackEntry]) -> Vec<(PackId, u64, u64)> {
    let places = entries.iter().zip(0..);
    places.map(|(entry, n)| (entry.location.pack, entry.location.offset, 512 + 2048 * n)).collect()
}

pub async fn puts_one_pack_in_the_place_of_others(index: &dyn Index) {
    let first = ct();
    commit(index, 1, &[first.clone(), first.next(2)]).await;
    let gone = first.next(3);
    commit(index, 2, &[first.clone().name("OTHER^NAME"), gone.clone()]).await;
    let mut entries = index.pack_entries(PackId(1), 0, 100).await.unwrap();
    entries.extend(index.pack_entries(PackId(2), 0, 100).await.unwrap());
    assert_eq!(entries.len(), 4, "what is kept aside lies in a pack as well");
    assert_eq!(index.pack_entries(PackId(1), 1024, 1).await.unwrap(), entries[1..2]);
    let dropped = entries.pop().unwrap();
    assert_eq!(index.pack_entries_of(&[gone.sop_instance()]).await.unwrap(), std::slice::from_ref(&dropped));

    index.begin_pack(PackId(3)).await.unwrap();
    let whole = Replacement {
        inputs: vec![PackId(1), PackId(2)],
        output: Some((PackId(3), 9000)),
        moves: moved(&entries),
        dropped: vec![dropped.row],
    };
    let lacking = Replacement { moves: whole.moves[1..].to_vec(), ..whole.clone() };
    assert_eq!(index.replace_packs(&lacking).await.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(stages(index).await, [(1, Stage::InUse), (2, Stage::InUse), (3, Stage::InTheMaking)]);
    assert_eq!(index.marks().await.unwrap().len(), 2, "what is in the making is not read from");

    index.replace_packs(&whole).await.unwrap();
    assert_eq!(stages(index).await, [(1, Stage::Retired), (2, Stage::Retired), (3, Stage::InUse)]);
    let found = index.instances(&Resource::Study(first.study())).await.unwrap();
    let places: Vec<_> =
        found.iter().map(|instance| (instance.location.pack.0, instance.location.offset)).collect();
    assert_eq!(places, [(3, 512), (3, 2560)]);
    assert_eq!(index.pack_entries(PackId(3), 0, 100).await.unwrap().len(), 3);
    assert_eq!(find(index, Level::Study, &[], tags::NUMBER_OF_STUDY_RELATED_INSTANCES).await, ["2"]);
    assert!(known(index, &gone).await.is_none());
    assert_eq!(index.replace_packs(&whole).await.unwrap_err().kind, ErrorKind::Conflict, "not twice");
    for pack in [1, 2, 3] {
        index.forget_pack(PackId(pack)).await.unwrap();
    }
    assert_eq!(stages(index).await, [(3, Stage::InUse)]);
}

pub async fn never_gives_the_number_of_the_last_pack_again(index: &dyn Index) {
    index.begin_pack(PackId(7)).await.unwrap();
    index.forget_pack(PackId(7)).await.unwrap();
    assert_eq!(stages(index).await, [(7, Stage::Gone)]);
    index.begin_pack(PackId(8)).await.unwrap();
    index.forget_pack(PackId(8)).await.unwrap();
    assert_eq!(stages(index).await, [(8, Stage::Gone)]);
}

pub async fn hides_what_is_damaged_until_it_comes_again(index: &dyn Index) {
    let (first, at) = (ct(), 1_700_000_000_000);
    commit(index, 1, &[first.clone(), first.next(2)]).await;
    let entries = index.pack_entries(PackId(1), 0, 100).await.unwrap();
    let damage = Damage { row: entries[0].row, since: at, reason: "another byte".to_owned() };
    let compared = Compared { pack: PackId(1), at, damaged: vec![damage.clone()], sound: Vec::new() };
    index.pack_verified(&compared).await.unwrap();
    assert_eq!(index.packs(None, 1).await.unwrap()[0].verified, at);
    assert_eq!(known(index, &first).await.unwrap().state, InstanceState::Damaged);
    assert_eq!(find(index, Level::Study, &[], tags::NUMBER_OF_STUDY_RELATED_INSTANCES).await, ["1"]);
    // The same bytes at the same place are still damaged; at another they are not.
    commit(index, 1, std::slice::from_ref(&first)).await;
    assert_eq!(known(index, &first).await.unwrap().state, InstanceState::Damaged);
    commit(index, 2, std::slice::from_ref(&first)).await;
    let healed = known(index, &first).await.unwrap();
    assert_eq!(healed.state, InstanceState::Shown);
    let Location { pack, offset, .. } = healed.instance.location;
    assert_eq!((pack, offset), (PackId(2), 1024));
    assert_eq!(find(index, Level::Study, &[], tags::NUMBER_OF_STUDY_RELATED_INSTANCES).await, ["2"]);
    assert!(index.packs(None, 1).await.unwrap()[0].dead > 0);
}

async fn damaged(index: &dyn Index, of: Option<Resource>) -> Vec<DamagedInstance> {
    index.all_damaged(&DamageQuery { of, before: None, limit: 10 }).await.unwrap()
}

pub async fn tells_what_is_damaged_until_it_reads_right_again(index: &dyn Index) {
    let (first, other) = (ct(), ct());
    commit(index, 1, &[first.clone(), first.next(2), other.clone()]).await;
    let entries = index.pack_entries(PackId(1), 0, 100).await.unwrap();
    let found = |reason: &str, since| {
        entries.iter().map(|entry| Damage { row: entry.row, since, reason: reason.to_owned() }).collect()
    };
    let compared = |damaged, sound| Compared { pack: PackId(1), at: 9, damaged, sound };
    index.pack_verified(&compared(found("another byte", 5), Vec::new())).await.unwrap();
    index.pack_verified(&compared(found("another bit", 6), Vec::new())).await.unwrap();
    let told = damaged(index, None).await;
    assert_eq!(told.len(), 3);
    assert_eq!((told[2].instance.clone(), told[2].study.clone()), (first.sop_instance(), first.study()));
    assert_eq!((told[0].pack, told[0].since, told[0].reason.as_str()), (PackId(1), Some(5), "another bit"));
    let behind = DamageQuery { of: None, before: Some(told[0].place), limit: 10 };
    assert_eq!(index.all_damaged(&behind).await.unwrap(), told[1..]);
    assert_eq!(damaged(index, Some(Resource::Study(first.study()))).await, told[1..]);
    // What is deleted is not missed.
    index.act(&entry(1, Act::Delete { instances: vec![other.sop_instance()] })).await.unwrap();
    assert_eq!(damaged(index, None).await, told[1..]);
    let sound = entries.iter().map(|entry| entry.row).collect();
    index.pack_verified(&compared(Vec::new(), sound)).await.unwrap();
    assert!(damaged(index, None).await.is_empty());
    assert_eq!(known(index, &first).await.unwrap().state, InstanceState::Shown);
    assert_eq!(known(index, &other).await.unwrap().state, InstanceState::Deleted);
    assert_eq!(find(index, Level::Study, &[], tags::NUMBER_OF_STUDY_RELATED_INSTANCES).await, ["2"]);
}

pub async fn counts_anew_what_was_healed(index: &dyn Index) {
    let first = ct();
    let report = first.next_series(2).with(tags::MODALITY, VR::CS, "SR");
    commit(index, 1, &[first.clone(), report.clone()]).await;
    let entries = index.pack_entries(PackId(1), 0, 100).await.unwrap();
    index.damaged(&[Damage::found(entries[1].row, "another byte")]).await.unwrap();
    assert_eq!(find(index, Level::Study, &[], tags::MODALITIES_IN_STUDY).await, ["CT"]);
    let values = serde_json::from_str(r#"{"StudyDate":"20200304"}"#).unwrap();
    index.act(&entry(1, Act::CorrectStudy { study: first.study(), values })).await.unwrap();
    // Now the writer remembers the study, without the modality of what is damaged.
    commit(index, 2, &[first.next(2)]).await;
    commit(index, 3, &[report, first.next_series(3).with(tags::MODALITY, VR::CS, "MR")]).await;
    commit(index, 4, &[first.next_series(4).with(tags::MODALITY, VR::CS, "PR")]).await;
    assert_eq!(find(index, Level::Study, &[], tags::MODALITIES_IN_STUDY).await, ["CT\\MR\\PR\\SR"]);
    assert_eq!(find(index, Level::Study, &[], tags::NUMBER_OF_STUDY_RELATED_SERIES).await, ["4"]);
    // Found where the words of modalities lead.
    let keys =
        [(tags::MODALITIES_IN_STUDY, VR::CS, "SR\\US"), (tags::STUDY_DATE, VR::DA, "20200304-20200304")];
    assert_eq!(find(index, Level::Study, &keys, tags::STUDY_DATE).await, ["20200304"]);
}

/// Drops everything of a pack that it has to itself.
async fn destroy(index: &dyn Index, pack: u64) {
    let entries = index.pack_entries(PackId(pack), 0, 100).await.unwrap();
    let dropped = entries.iter().map(|entry| entry.row).collect();
    let all = Replacement { inputs: vec![PackId(pack)], output: None, moves: Vec::new(), dropped };
    index.replace_packs(&all).await.unwrap();
}

/// Of a study, and of a patient, nothing is told when the last instance is gone; acts hold for what comes again.
pub async fn tells_nothing_of_what_was_destroyed(index: &dyn Index) {
    let (gone, kept) = (ct().patient_id("1").name("GONE^A"), ct().patient_id("1").name("KEPT^A"));
    let merged = ct().patient_id("2").name("MERGED^B");
    commit(index, 1, &[gone.clone(), gone.next_series(2)]).await;
    commit(index, 2, std::slice::from_ref(&merged)).await;
    commit(index, 3, std::slice::from_ref(&kept)).await;
    let act = Act::MergePatients { from: key("2"), into: key("1") };
    index.act(&entry(1, act)).await.unwrap();
    let patients = async || find(index, Level::Patient, &[], tags::PATIENT_ID).await;
    assert_eq!(patients().await, ["1"]);
    for pack in [1, 2] {
        destroy(index, pack).await;
    }
    let names = async |word| {
        let keys = [(tags::PATIENT_NAME, VR::PN, word)];
        find(index, Level::Study, &keys, tags::STUDY_INSTANCE_UID).await
    };
    assert_eq!((names("gone").await, names("merged").await), (vec![], vec![]));
    assert_eq!(
        find(index, Level::Study, &[], tags::STUDY_INSTANCE_UID).await,
        [kept.uid(tags::STUDY_INSTANCE_UID)]
    );
    destroy(index, 3).await;
    assert_eq!(patients().await, [""; 0]);
    let values = serde_json::from_str(r#"{"PatientName":"CORRECTED^A"}"#).unwrap();
    let correct = Act::CorrectPatient { patient: key("3"), values };
    // It is as if it had never come; what was decided of the patient is.
    commit(index, 4, &[merged.clone(), gone.clone()]).await;
    assert_eq!(patients().await, ["1"]);
    let mut studies = find(index, Level::Study, &[], tags::STUDY_INSTANCE_UID).await;
    studies.sort();
    let mut expected = [&merged, &gone].map(|sample| sample.uid(tags::STUDY_INSTANCE_UID));
    expected.sort();
    assert_eq!(studies, expected);
    assert!(known(index, &gone).await.is_some());
    // A correction is as well.
    let third = ct().patient_id("3").name("THIRD^C");
    commit(index, 5, std::slice::from_ref(&third)).await;
    index.act(&entry(2, correct)).await.unwrap();
    destroy(index, 5).await;
    commit(index, 6, &[ct().patient_id("3").name("AGAIN^C")]).await;
    for level in [Level::Patient, Level::Study] {
        let names = find(index, level, &[(tags::PATIENT_ID, VR::LO, "3")], tags::PATIENT_NAME).await;
        assert_eq!(names, ["CORRECTED^A"]);
    }
}

/// Of a patient whose studies all came as somebody else's, what came of the patient is not told any more.
pub async fn tells_nothing_of_whoever_was_destroyed(index: &dyn Index) {
    let (owner, moved) = (ct().patient_id("A").name("OWNER^A"), ct().patient_id("B").name("OTHER^B"));
    commit(index, 1, std::slice::from_ref(&owner)).await;
    commit(index, 2, std::slice::from_ref(&moved)).await;
    index.act(&entry(1, Act::MoveStudy { study: moved.study(), to: key("A") })).await.unwrap();
    destroy(index, 1).await;
    assert_eq!(find(index, Level::Study, &[], tags::PATIENT_ID).await, ["A"]);
    assert_eq!(find(index, Level::Study, &[], tags::PATIENT_NAME).await, [""]);
    assert_eq!(
        find(index, Level::Study, &[(tags::PATIENT_NAME, VR::PN, "owner")], tags::PATIENT_ID).await,
        [""; 0]
    );
    commit(index, 3, &[ct().patient_id("A").name("BACK^A")]).await;
    assert_eq!(find(index, Level::Study, &[], tags::PATIENT_NAME).await, ["BACK^A", "BACK^A"]);
}

pub async fn says_what_is_to_leave_the_packs(index: &dyn Index) {
    let (first, at) = (ct(), 1_000_000);
    let all = [first.clone(), first.next(2), first.next(3), first.next(4)];
    commit(index, 1, &all).await;
    commit(index, 2, &[first.clone().name("OTHER^NAME")]).await;
    let uids = |n: usize| vec![all[n].sop_instance()];
    let aside = index.kept_aside(None, 10).await.unwrap().remove(0);
    let acts = [
        Act::Delete { instances: uids(1) },
        Act::Destroy { instances: uids(2) },
        Act::Delete { instances: uids(3) },
        Act::Restore { instances: uids(3) },
        Act::Discard { instance: first.sop_instance(), digest: aside.digest },
    ];
    for (n, act) in acts.into_iter().enumerate() {
        let number = n as u64 + 1;
        index.act(&Entry { at: at + number, ..entry(number, act) }).await.unwrap();
    }
    let due = async |before| {
        let due = index.pack_entries_due(before, 10).await.unwrap();
        due.iter().map(|entry| (entry.location.pack.0, entry.sop_instance.clone())).collect::<Vec<_>>()
    };
    let [deleted, destroyed, discarded] =
        [(1, &all[1]), (1, &all[2]), (2, &first)].map(|(pack, sample)| (pack, sample.sop_instance()));
    assert_eq!(due(at).await, std::slice::from_ref(&destroyed));
    assert_eq!(due(at + 2).await, [deleted.clone(), destroyed.clone()]);
    let mut everything = due(at + 100).await;
    everything.sort();
    let mut expected = [deleted, destroyed, discarded];
    expected.sort();
    assert_eq!(everything, expected);
    let entries = index.pack_entries(PackId(1), 0, 10).await.unwrap();
    let found = entries.iter().map(|entry| Damage::found(entry.row, "another byte")).collect();
    index.pack_verified(&Compared::now(PackId(1), found, Vec::new())).await.unwrap();
    let mut damaged_too = due(at + 100).await;
    damaged_too.sort();
    assert_eq!(damaged_too, expected);
}

pub async fn says_which_data_sets_aside_are_to_leave_the_packs(index: &dyn Index) {
    let (first, at) = (ct(), 1000 * RECEIVED + 10_000);
    commit(index, 1, std::slice::from_ref(&first)).await;
    for (pack, name) in [(2, "EARLY^NAME"), (3, "LATE^NAME"), (4, "NOW^NAME")] {
        commit(index, pack, &[first.clone().name(name)]).await;
    }
    let aside = index.kept_aside(None, 10).await.unwrap();
    let digests: Vec<String> = aside.into_iter().rev().map(|aside| aside.digest).collect();
    let due = async |before| {
        let due = index.pack_entries_due(before, 10).await.unwrap();
        due.iter().map(|entry| entry.location.pack.0).collect::<Vec<_>>()
    };
    let instance = first.sop_instance();
    let discard = |n: usize| Act::Discard { instance: instance.clone(), digest: digests[n].clone() };
    index.act(&Entry { at, ..entry(1, discard(0)) }).await.unwrap();
    index.act(&Entry { at: at + 5000, ..entry(2, discard(1)) }).await.unwrap();
    assert_eq!(due(at).await, [0; 0]);
    assert_eq!(due(at + 1).await, [2], "the other one was discarded later");
    assert_eq!(due(at + 5001).await, [2, 3]);
    let destroy = Act::DestroyAside { instance: instance.clone(), digest: digests[2].clone() };
    index.act(&Entry { at, ..entry(3, destroy) }).await.unwrap();
    assert_eq!(due(0).await, [4], "it goes at once");
    assert!(index.kept_aside(None, 10).await.unwrap().is_empty());
}

pub async fn says_where_copies_lie_that_nothing_refers_to(index: &dyn Index) {
    let (first, twice, other) = (ct(), ct(), ct());
    let aside = first.clone().name("OTHER^NAME");
    commit(index, 1, &[first.clone(), twice.clone(), aside.clone()]).await;
    // What is read from the log again is no copy.
    commit(index, 1, &[first.clone(), twice.clone(), aside.clone()]).await;
    commit(index, 2, &[aside.clone(), twice.clone()]).await;
    commit(index, 3, std::slice::from_ref(&other)).await;
    let of = async |sample: &Sample| {
        let packs = index.dead_copies_of(&[sample.sop_instance()]).await.unwrap();
        packs.iter().map(|pack| pack.0).collect::<Vec<_>>()
    };
    let due = async |before| {
        index.dead_copies_due(before).await.unwrap().iter().map(|pack| pack.0).collect::<Vec<_>>()
    };
    let dead = async || {
        let rows = index.packs(None, 10).await.unwrap();
        rows.iter().map(|row| (row.pack.0, row.dead > 0)).collect::<Vec<_>>()
    };
    assert_eq!((of(&first).await, of(&twice).await, of(&other).await), (vec![2], vec![2], vec![]));
    assert_eq!(dead().await, [(1, false), (2, true), (3, false)]);
    assert_eq!((due(0).await, due(u64::MAX >> 1).await), (vec![], vec![2]));
    // It is read from the other place.
    let entries = index.pack_entries_of(&[twice.sop_instance()]).await.unwrap();
    index.damaged(&[Damage::found(entries[0].row, "another byte")]).await.unwrap();
    commit(index, 2, &[aside.clone(), twice.clone()]).await;
    assert_eq!((of(&first).await, of(&twice).await), (vec![2], vec![1]));
    let location = Location { offset: 7 * 1024, ..entries[0].location };
    let copy = |is_same| [DeadCopy { instance: other.sop_instance(), location, is_same }];
    let length = async || index.packs(None, 1).await.unwrap()[0].dead;
    let before = length().await;
    index.dead_copies(&copy(false)).await.unwrap();
    assert_eq!((of(&other).await, length().await), (vec![1], before), "it may be another data set");
    index.dead_copies(&copy(true)).await.unwrap();
    index.dead_copies(&copy(false)).await.unwrap();
    assert!(length().await > before);

    let [uid, of_other] = [&twice, &other].map(Sample::sop_instance);
    index.act(&entry(1, Act::Destroy { instances: vec![uid.clone(), of_other.clone()] })).await.unwrap();
    index.act(&entry(2, Act::Restore { instances: vec![of_other.clone()] })).await.unwrap();
    assert_eq!(due(0).await, [1]);
    assert!(index.is_unwanted(&uid, None).await.unwrap());
    assert!(!index.is_unwanted(&of_other, None).await.unwrap());
    let instance = first.sop_instance();
    let digest = index.kept_aside(Some(&instance), 1).await.unwrap().remove(0).digest;
    let beginning = digest[..20].to_owned();
    assert!(!index.is_unwanted(&instance, Some(&beginning)).await.unwrap());
    index.act(&entry(3, Act::Discard { instance: instance.clone(), digest })).await.unwrap();
    assert!(index.is_unwanted(&instance, Some(&beginning)).await.unwrap());
    assert!(!index.is_unwanted(&instance, None).await.unwrap());

    destroy(index, 1).await;
    assert_eq!((of(&twice).await, due(u64::MAX >> 1).await), (vec![], vec![2]));
}
