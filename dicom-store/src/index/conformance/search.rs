//! Searching: what is found, in which order, and how it is paged.

use dicom::dictionary_std::tags;

use super::{commit, new};
use crate::fixture::{Sample, ct};
use crate::index::{Index, Mark, OPEN};
use crate::model::{Attributes, Level, PackId, Tag, VR};
use crate::query::{Counted, Key, NameKey, Page, Query};

/// A private block and an attribute in it (PS3.5 §7.8.1).
const CREATOR: Tag = Tag(0x0009, 0x0010);
const PRIVATE: Tag = Tag(0x0009, 0x1001);

fn query(level: Level, keys: &[(Tag, VR, &str)]) -> Query {
    let keys = keys.iter().map(|(tag, vr, value)| Key::parse(&[*tag], *vr, value).unwrap()).collect();
    let mut query = Query { keys, ..Query::new(level) };
    assert!(query.name_creators().is_empty());
    query
}

/// All rows, and whether the search ended before all was looked at.
async fn search(index: &dyn Index, query: &Query) -> (Vec<Attributes>, bool) {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = index.search(query, after.as_ref()).await.unwrap();
        rows.extend(page.rows.into_iter().map(|row| row.attributes));
        after = page.next;
        if after.is_none() {
            return (rows, page.is_cut);
        }
    }
}

async fn rows(index: &dyn Index, query: &Query) -> Vec<Attributes> {
    search(index, query).await.0
}

async fn uids(index: &dyn Index, query: &Query, tag: Tag) -> Vec<String> {
    rows(index, query).await.iter().map(|row| row.uid(tag).unwrap().to_owned()).collect()
}

fn counted(found: usize) -> Counted {
    Counted { found: found as u64, is_all: true }
}

fn study_uids(samples: &[&Sample]) -> Vec<String> {
    samples.iter().map(|sample| sample.study().to_string()).collect()
}

pub async fn puts_names_with_the_marks_that_were_typed_first(index: &dyn Index) {
    let study = |name: &str, id: &str, date: &str| {
        ct().name(name).patient_id(id).with(tags::STUDY_DATE, VR::DA, date)
    };
    let samples = [
        study("NGUYỄN^HÒA", "1", "20260101"),
        study("Nguyễn Thị Hoà", "2", "20260102"),
        study("Nguyên^Hoa", "3", "20260103"),
        study("NGUYEN^HOA", "4", "20260104"),
        study("TRAN^HOA", "5", "20260105"),
    ];
    commit(index, &samples).await;
    for (typed, expected) in [
        ("Nguyễn Hòa", &[1, 0, 3, 2][..]),
        ("hòa", &[1, 0, 4, 3, 2]),
        ("nguyen hoa", &[3, 2, 1, 0]),
        ("Nguyễn*", &[1, 0, 3, 2]),
    ] {
        let expected = study_uids(&expected.iter().map(|n: &usize| &samples[*n]).collect::<Vec<_>>());
        let mut query = query(Level::Study, &[(tags::PATIENT_NAME, VR::PN, typed)]);
        assert_eq!(uids(index, &query, tags::STUDY_INSTANCE_UID).await, expected, "{typed}");
        for offset in 0..5 {
            query.page = Page { offset, limit: Some(2) };
            let page = expected.iter().skip(usize::try_from(offset).unwrap()).take(2).cloned();
            let found = uids(index, &query, tags::STUDY_INSTANCE_UID).await;
            assert_eq!(found, page.collect::<Vec<_>>(), "{typed} from {offset}");
        }
    }
}

/// An instance with what no row of the index has: a number, a code in a sequence, a private attribute.
fn unusual(kvp: &str, code: &str, block: u16, private: &str) -> Sample {
    let mut item = Attributes::new();
    item.put_text(tags::CODE_VALUE, VR::SH, code);
    let mut sample = ct().with(tags::KVP, VR::DS, kvp).with(Tag(CREATOR.0, block), VR::LO, "ACME 1.0").with(
        Tag(PRIVATE.0, (block << 8) | 1),
        VR::LO,
        private,
    );
    sample.attributes.put_items(tags::VIEW_CODE_SEQUENCE, vec![item]);
    sample
}

pub async fn finds_by_what_only_the_instances_tell(index: &dyn Index) {
    let first = unusual("120", "R-1", 0x10, "one");
    let second = unusual("80", "R-2", 0x11, "two");
    let of_first = unusual("80", "R-1", 0x12, "three");
    let third = Sample::clone(&first.next(2));
    commit(index, &[first.clone(), second.clone(), third, of_first.clone()]).await;
    let sequence = Key::parse(&[tags::VIEW_CODE_SEQUENCE, tags::CODE_VALUE], VR::SH, "R-1").unwrap();
    let mut by_code = query(Level::Study, &[]);
    by_code.keys.push(sequence);
    assert_eq!(uids(index, &by_code, tags::STUDY_INSTANCE_UID).await, study_uids(&[&of_first, &first]));
    // One instance has to have both.
    by_code.keys.extend(query(Level::Study, &[(tags::KVP, VR::DS, "120")]).keys);
    assert_eq!(uids(index, &by_code, tags::STUDY_INSTANCE_UID).await, study_uids(&[&first]));
    for level in [Level::Study, Level::Series, Level::Instance] {
        let keys = [(CREATOR, VR::LO, "ACME 1.0"), (PRIVATE, VR::LO, "tw*")];
        let found = uids(index, &query(level, &keys), tags::STUDY_INSTANCE_UID).await;
        assert_eq!(found, study_uids(&[&second]), "{level:?}");
    }
    let by_instance =
        query(Level::Study, &[(tags::SOP_INSTANCE_UID, VR::UI, second.sop_instance().as_str())]);
    assert_eq!(uids(index, &by_instance, tags::STUDY_INSTANCE_UID).await, study_uids(&[&second]));
}

pub async fn compares_numbers_in_text_by_what_they_mean(index: &dyn Index) {
    let sample = ct().with(tags::SERIES_NUMBER, VR::IS, "01").with(tags::INSTANCE_NUMBER, VR::IS, "+7").with(
        tags::KVP,
        VR::DS,
        "120.0",
    );
    let other = ct().with(tags::SERIES_NUMBER, VR::IS, "10").with(tags::KVP, VR::DS, "1200");
    commit(index, &[sample.clone(), other]).await;
    for (tag, vr, written, others) in [
        (tags::SERIES_NUMBER, VR::IS, "01", ["1", "001"]),
        (tags::INSTANCE_NUMBER, VR::IS, "+7", ["7", "07"]),
        (tags::KVP, VR::DS, "120.0", ["120", "1.2E2"]),
    ] {
        for level in [Level::Study, Level::Series, Level::Instance] {
            for key in [&[written][..], &others].concat() {
                let found = uids(index, &query(level, &[(tag, vr, key)]), tags::STUDY_INSTANCE_UID).await;
                assert_eq!(found, study_uids(&[&sample]), "{tag} {key} {level:?}");
            }
        }
        // It is told as it was written.
        let row = rows(index, &query(Level::Instance, &[(tag, vr, written)])).await.remove(0);
        assert_eq!(row.text(tag).as_deref(), Some(written));
    }
}

pub async fn says_when_a_search_ends_before_all_was_looked_at(index: &dyn Index) {
    let samples: Vec<Sample> = (0..5).map(|_| ct().with(tags::KVP, VR::DS, "120")).collect();
    commit(index, &samples).await;
    for (max_headers, found, is_cut) in [(3, 3, true), (5, 5, false)] {
        let query = Query { max_headers, ..query(Level::Study, &[(tags::KVP, VR::DS, "120")]) };
        let (rows, was_cut) = search(index, &query).await;
        assert_eq!((rows.len(), was_cut), (found, is_cut));
        assert_eq!(index.count(&query).await.unwrap(), Counted { found: found as u64, is_all: !is_cut });
    }
}

pub async fn pages_series_and_instances_without_gap(index: &dyn Index) {
    let mut samples = Vec::new();
    for _ in 0..3 {
        let first = ct();
        let second = first.next_series(2);
        samples.extend([first.next(2), second.next(2), first, second]);
    }
    commit(index, &samples).await;
    for (level, tag, count) in
        [(Level::Series, tags::SERIES_INSTANCE_UID, 6), (Level::Instance, tags::SOP_INSTANCE_UID, 12)]
    {
        for keys in
            [&[][..], &[(tags::PATIENT_ID, VR::LO, "P*")], &[(tags::BODY_PART_EXAMINED, VR::CS, "\"\"")]]
        {
            let mut query = query(level, keys);
            let all = uids(index, &query, tag).await;
            assert_eq!((all.len(), index.count(&query).await.unwrap().found), (count, count as u64));
            let mut paged = Vec::new();
            for offset in (0..15).step_by(5) {
                query.page = Page { offset, limit: Some(5) };
                paged.extend(uids(index, &query, tag).await);
            }
            assert_eq!(paged, all);
        }
    }
}

/// Over 2,000 studies, so that words which many have are followed, and those which few have gathered.
pub(in crate::index) async fn many(index: &dyn Index) {
    const NAMES: &[&str] = &[
        "Nguyễn^Hòa^Thị",
        "NGUYEN^HOA^THI",
        "Nguyễn Văn An",
        "Trần^Hoa",
        "NGUYEN^VAN",
        "Lê Thị Nga",
        "O'Neil^Mary-Ann",
        "Nguyễn^Hoàng^Văn",
        "YAMADA^TAROU=山田^太郎",
        "Nguyên^Thị",
        "NGUYEN VAN HOA",
        "Đặng^Hòa",
    ];
    let group: Vec<_> = (0..2200_usize)
        .map(|n| {
            let word = if n % 50 == 0 { format!(" x{n}") } else { String::new() };
            let sample = ct()
                .name(&format!("{}{word}", NAMES[n * 7 % NAMES.len()]))
                .patient_id(&format!("P{n}"))
                .with(tags::ACCESSION_NUMBER, VR::SH, &format!("A{n:04}"))
                .with(tags::STUDY_DATE, VR::DA, &format!("2026{:02}{:02}", 1 + n % 12, 1 + n % 28))
                .with(tags::MODALITY, VR::CS, ["CT", "CT", "MR", "DX"][n % 4]);
            new(&sample, n as u64 * 1024)
        })
        .collect();
    index.commit(&group, &[Mark { pack: PackId(1), offset: 1 << 30 }], OPEN).await.unwrap();
}

pub async fn finds_all_that_matches_and_nothing_else(index: &dyn Index) {
    many(index).await;
    let all = rows(index, &query(Level::Study, &[])).await;
    assert_eq!(all.len(), 2200);
    let names = [
        "nguyen",
        "Nguyễn",
        "n",
        "hoa nguyen",
        "Hòa Nguyễn",
        "thi* van*",
        "x",
        "x*",
        "*an",
        "n*n",
        "nguyen^hoa",
        "nguyen^*",
        "oneil mary",
        "O'Neil^Mary*",
        "山田",
        "=山田^*",
        "van hoa x",
        "khong",
        "?guyen",
        "Nguyễn^Hoàng*",
    ];
    let others = [
        (tags::ACCESSION_NUMBER, VR::SH, "A00*"),
        (tags::ACCESSION_NUMBER, VR::SH, "A*1"),
        (tags::ACCESSION_NUMBER, VR::SH, "A0017"),
        (tags::ACCESSION_NUMBER, VR::SH, "*00?7"),
        (tags::ACCESSION_NUMBER, VR::SH, "*017"),
        (tags::ACCESSION_NUMBER, VR::SH, "*7"),
        (tags::ACCESSION_NUMBER, VR::SH, "*?"),
        (tags::ACCESSION_NUMBER, VR::SH, "A00*7"),
        (tags::PATIENT_ID, VR::LO, "*99*"),
        (tags::PATIENT_ID, VR::LO, "*99"),
        (tags::PATIENT_ID, VR::LO, "*9?1"),
        (tags::PATIENT_ID, VR::LO, "P*"),
        (tags::PATIENT_ID, VR::LO, "P1*"),
        (tags::STUDY_DATE, VR::DA, "20260101-20260315"),
        (tags::STUDY_TIME, VR::TM, "10-11"),
        (tags::MODALITIES_IN_STUDY, VR::CS, "MR\\DX"),
        (tags::STUDY_DESCRIPTION, VR::LO, "\"\""),
    ];
    let by_name = names.map(|name| vec![(tags::PATIENT_NAME, VR::PN, name)]);
    let by_both = names.iter().zip(others.iter().cycle());
    let by_both = by_both.map(|(name, other)| vec![(tags::PATIENT_NAME, VR::PN, *name), *other]);
    for keys in by_name.into_iter().chain(by_both).chain(others.map(|other| vec![other])) {
        let mut query = query(Level::Study, &keys);
        query.options.combined_date_time = true;
        let mut expected: Vec<&Attributes> = all.iter().filter(|row| query.matches(row)).collect();
        if let Some(name) = query.name().filter(|name| NameKey::has_ranks(name)) {
            expected.sort_by_key(|row| name.rank_of(row));
        }
        let expected: Vec<&str> =
            expected.iter().map(|row| row.uid(tags::STUDY_INSTANCE_UID).unwrap()).collect();
        assert_eq!(uids(index, &query, tags::STUDY_INSTANCE_UID).await, expected, "{keys:?}");
        assert_eq!(index.count(&query).await.unwrap(), counted(expected.len()), "{keys:?}");
        query.page = Page { offset: 30, limit: Some(7) };
        let left = expected.len().saturating_sub(30) as u64;
        let Counted { found, is_all } = index.count(&query).await.unwrap();
        assert!(found == left.min(7) || (found < left && !is_all), "{keys:?}: {found} of {left}");
        assert!(!is_all || found == left, "{keys:?}: {found} of {left}");
        let page = expected.iter().skip(30).take(7).copied().collect::<Vec<_>>();
        assert_eq!(uids(index, &query, tags::STUDY_INSTANCE_UID).await, page, "{keys:?}");
        // A patient has one study here.
        query = Query { level: Level::Patient, page: Page::default(), ..query };
        if keys.iter().all(|(tag, ..)| [tags::PATIENT_NAME, tags::PATIENT_ID].contains(tag)) {
            assert_eq!(rows(index, &query).await.len(), expected.len(), "{keys:?}");
            query.page = Page { offset: 30, limit: Some(7) };
            assert_eq!(rows(index, &query).await.len() as u64, left.min(7), "{keys:?}");
        }
    }
}

/// MK-18: what has no value is found by every value, where that is wanted.
pub async fn finds_what_has_no_value_by_any_where_that_is_wanted(index: &dyn Index) {
    use Level::{Instance, Patient, Series, Study};
    // (tag, VR, value of the one, value of nobody, levels at which it is asked)
    let keys = [
        (tags::PATIENT_NAME, VR::PN, "Nguyễn Hòa", "Trần Hòa", &[Patient, Study, Series][..]),
        (tags::PATIENT_ID, VR::LO, "P17", "P1?8", &[Patient, Study]),
        (tags::STUDY_DATE, VR::DA, "20260301", "20260401-", &[Study, Instance]),
        (tags::STUDY_TIME, VR::TM, "0915", "10-", &[Study]),
        (tags::ACCESSION_NUMBER, VR::SH, "A17", "A18", &[Study, Series, Instance]),
        (tags::STUDY_ID, VR::SH, "S17", "*8", &[Study]),
        (tags::MODALITY, VR::CS, "MR", "US", &[Study, Series]),
        (tags::SERIES_NUMBER, VR::IS, "17", "18", &[Study, Series]),
        (tags::INSTANCE_NUMBER, VR::IS, "17", "18", &[Study, Series, Instance]),
    ];
    let with_all = keys.iter().fold(ct(), |sample, (tag, vr, value, ..)| sample.with(*tag, *vr, value));
    commit(index, std::slice::from_ref(&with_all)).await;
    for (tag, vr, value, other, levels) in keys {
        // It has its own value in all but one, which is of a patient of its own.
        let without = keys.iter().filter(|key| key.0 != tag).fold(ct(), |sample, key| {
            let value = format!("{}9", key.2);
            sample.with(key.0, key.1, if key.1 == VR::SH || key.1 == VR::LO { &value } else { key.2 })
        });
        let without = without.without(tag);
        commit(index, std::slice::from_ref(&without)).await;
        for level in levels {
            let found = async |value, unknown_matches| {
                let mut query = query(*level, &[(tag, vr, value)]);
                query.options.unknown_matches = unknown_matches;
                let found = rows(index, &query).await;
                assert!(found.iter().all(|row| *level != Instance || query.matches(row)), "{tag} {value}");
                assert_eq!(index.count(&query).await.unwrap(), counted(found.len()), "{tag} {value}");
                found.len()
            };
            let (own, with_unknown) = (found(value, false).await, found(value, true).await);
            assert!(own > 0, "{tag} at {level:?}");
            assert_eq!(with_unknown, own + 1, "{tag} at {level:?}");
            assert_eq!((found(other, false).await, found(other, true).await), (0, 1), "{tag} at {level:?}");
            assert_eq!(found("\"\"", true).await, 1, "{tag}: that there is none is still to be asked");
        }
    }
    // Dates and times that are one period, in which a date without a time lies anyway.
    let mut period =
        query(Study, &[(tags::STUDY_DATE, VR::DA, "20260301-"), (tags::STUDY_TIME, VR::TM, "09-")]);
    period.options.combined_date_time = true;
    let known = rows(index, &period).await.len();
    period.options.unknown_matches = true;
    assert_eq!(rows(index, &period).await.len(), known + 1);
}

pub async fn tells_where_a_count_and_a_search_end_before_all_was_looked_at(index: &dyn Index) {
    many(index).await;
    // None of them are as many, so that the ones of each are not looked at to the end.
    let others: String = (0..31).map(|n| format!("\\X{n}")).collect();
    let mut of_many = query(Level::Study, &[(tags::MODALITIES_IN_STUDY, VR::CS, &format!("CT{others}"))]);
    assert_eq!(index.count(&of_many).await.unwrap(), counted(1100));
    of_many.page.limit = Some(1000);
    let Counted { found, is_all } = index.count(&of_many).await.unwrap();
    assert!(found < 1000 && !is_all, "{found}");
    of_many.page.limit = Some(100);
    assert_eq!(index.count(&of_many).await.unwrap(), Counted { found: 100, is_all: false });
    // The oldest study is the last that is looked at.
    let all = uids(index, &query(Level::Study, &[]), tags::ACCESSION_NUMBER).await;
    let last = format!("*{}*", all.last().unwrap().trim_start_matches('A'));
    let within = query(Level::Study, &[(tags::ACCESSION_NUMBER, VR::SH, &last)]);
    assert_eq!(search(index, &within).await.0.len(), 1);
    let (rows, is_cut) = search(index, &Query { max_headers: 1000, ..within.clone() }).await;
    assert!(rows.is_empty() && is_cut);
    let page = Page { offset: 0, limit: Some(1) };
    assert!(!index.count(&Query { page, max_headers: 1000, ..within }).await.unwrap().is_all);
}

/// Patients with several studies each, of names that many have, all at one moment.
pub async fn gives_each_patient_of_a_name_once(index: &dyn Index) {
    let group: Vec<_> = (0..2600_usize)
        .map(|n| {
            let name = if n % 2 == 0 { "Trần^Hoa" } else { "TRAN^VAN" };
            let sample = ct().name(name).patient_id(&format!("P{}", n % 1000));
            new(&sample, n as u64 * 1024)
        })
        .collect();
    index.commit(&group, &[Mark { pack: PackId(1), offset: 1 << 30 }], OPEN).await.unwrap();
    for (typed, expected) in [("tran", 1000), ("trần", 1000), ("hoa tran", 500), ("tran x", 0)] {
        let mut query = query(Level::Patient, &[(tags::PATIENT_NAME, VR::PN, typed)]);
        let mut all = uids(index, &query, tags::PATIENT_ID).await;
        let mut paged = Vec::new();
        for offset in (0..1300).step_by(130) {
            query.page = Page { offset, limit: Some(130) };
            paged.extend(uids(index, &query, tags::PATIENT_ID).await);
        }
        assert_eq!(paged, all, "{typed}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), expected, "{typed}");
    }
}
