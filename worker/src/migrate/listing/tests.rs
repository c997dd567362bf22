use std::sync::Mutex;

use dicom_store::model::Tag;

use super::*;
use crate::remote::Found;
use crate::remote::fake::FakeRemotes;
use crate::{Error, Result};

/// What an old archive has: study, date, time, name.
type Row = (String, &'static str, String, String);

/// How an old archive behaves.
#[derive(Clone, Copy)]
enum Manner {
    /// It gives no more than so many and says nothing.
    Cuts(usize),
    /// It refuses what has more.
    Refuses(usize),
}

fn is_in(value: &str, range: &str) -> bool {
    match range.split_once('-') {
        _ if range.is_empty() => true,
        Some((from, to)) => !value.is_empty() && value >= from && value <= to,
        None => value == range,
    }
}

fn answer(rows: &[Row], manner: Manner, ignored: &[Tag], keys: &Attributes) -> Result<Found> {
    let key = |tag| if ignored.contains(&tag) { None } else { keys.text(tag) }.unwrap_or_default();
    let name = key(tags::PATIENT_NAME);
    let is_meant = |(_, date, time, of): &&Row| {
        is_in(date, &key(tags::STUDY_DATE))
            && is_in(time, &key(tags::STUDY_TIME))
            && of.starts_with(name.trim_end_matches('*'))
    };
    let matching: Vec<&Row> = rows.iter().filter(is_meant).collect();
    let most = match manner {
        Manner::Refuses(most) if matching.len() > most => {
            return Err(Error::Remote("the peer answered A700H to a C-FIND".to_owned()));
        }
        Manner::Cuts(most) | Manner::Refuses(most) => most,
    };
    let row = |(study, _, _, name): &Row| {
        let mut row = Attributes::new();
        row.put_text(tags::PATIENT_NAME, VR::PN, name);
        row.put_text(tags::STUDY_INSTANCE_UID, VR::UI, study);
        row
    };
    Ok(Found { rows: matching.into_iter().take(most).map(row).collect(), is_all: true })
}

/// So many studies are found, with so many doubts, by so many questions.
async fn listed(rows: Vec<Row>, manner: Manner, ignored: &'static [Tag]) -> (usize, u64, u64) {
    let asked = std::sync::Arc::new(Mutex::new(0));
    let count = std::sync::Arc::clone(&asked);
    let search = move |keys: &Attributes| {
        *count.lock().unwrap() += 1;
        answer(&rows, manner, ignored, keys)
    };
    let remotes = FakeRemotes { search: Box::new(search), ..FakeRemotes::default() };
    let (peer, stop) = ("OLDPACS".parse().unwrap(), CancellationToken::new());
    let mut listing = Listing::new(&peer, &remotes, &stop);
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
    listing.dates(day(1970, 1, 1), day(2026, 11, 30)).await;
    listing.without_date().await;
    let (found, unanswered) = listing.end();
    let questions = *asked.lock().unwrap();
    (found.len(), unanswered, questions)
}

fn names() -> impl Iterator<Item = String> {
    let first = ["NGUYEN", "NGUYEN", "TRAN", "LE", "PHAM", "HOANG", "VU", "DANG"];
    let given = ["AN", "BINH", "CHI", "DUNG", "HOA", "LAN", "MAI", "SON", "TAM"];
    (0..).map(move |n| format!("{}^{}", first[n % first.len()], given[n / first.len() % given.len()]))
}

/// A day on which 150 came within one hour and 20 without a time, and five other days.
fn a_full_hour() -> Vec<Row> {
    let timed = (0..150).map(|n| (format!("1.1.{n}"), "20250310", format!("10{:02}{:02}", n % 60, n / 60)));
    let without = (0..20).map(|n| (format!("1.2.{n}"), "20250310", String::new()));
    let days = ["20240101", "20240201", "20240301", "20240401", "20240501"];
    let others = days.iter().enumerate().map(|(n, day)| (format!("1.3.{n}"), *day, "090000".to_owned()));
    let all = timed.chain(without).chain(others).zip(names());
    all.map(|((study, date, time), name)| (study, date, time, name)).collect()
}

#[tokio::test]
async fn everything_is_found_though_long_answers_are_cut_off_at_whatever_number() {
    for most in [15, 40, 99, 100, 150, 174, 175] {
        let (found, unanswered, questions) = listed(a_full_hour(), Manner::Cuts(most), &[]).await;
        assert_eq!((found, unanswered), (175, 0), "cut off at {most}");
        assert!(questions < 4000, "{questions} at {most}");
    }
}

#[tokio::test]
async fn questions_that_are_refused_as_too_broad_are_asked_in_parts() {
    for most in [15, 100] {
        let (found, unanswered, _) = listed(a_full_hour(), Manner::Refuses(most), &[]).await;
        assert_eq!((found, unanswered), (175, 0), "refused above {most}");
    }
}

#[tokio::test]
async fn a_peer_that_says_all_it_has_is_asked_little() {
    let rows = |count: usize| {
        let days = ["20200101", "20210303", "20220505", "20230707", "20240909", "20251111"];
        let row = |(n, name)| (format!("1.{n}"), days[n % 6], format!("{:02}3000", n % 24), name);
        (0..count).zip(names()).map(row).collect::<Vec<_>>()
    };
    let (found, unanswered, questions) = listed(rows(6000), Manner::Cuts(usize::MAX), &[]).await;
    assert_eq!((found, unanswered), (6000, 0));
    assert!(questions < 60, "{questions}");
}

#[tokio::test]
async fn a_handful_that_nothing_tells_apart_is_no_reason_to_doubt() {
    let rows = (0..4).map(|n| (format!("1.{n}"), "20260301", "1015".to_owned(), "NGUYEN^AN".to_owned()));
    let (found, unanswered, questions) = listed(rows.collect(), Manner::Cuts(500), &[]).await;
    assert_eq!((found, unanswered), (4, 0));
    assert!(questions < 300, "{questions}");
}

#[tokio::test]
async fn what_has_no_date_is_found_though_everything_at_once_is_cut_off() {
    let mut rows = a_full_hour();
    rows.extend((0..3).map(|n| (format!("1.4.{n}"), "", String::new(), format!("XA^{n}"))));
    let (found, unanswered, _) = listed(rows, Manner::Cuts(100), &[]).await;
    assert_eq!((found, unanswered), (178, 0));
}

#[tokio::test]
async fn a_peer_that_does_not_look_at_a_key_is_told_as_one_that_may_have_more() {
    for ignored in
        [&[tags::PATIENT_NAME] as &[Tag], &[tags::STUDY_DATE], &[tags::STUDY_TIME, tags::PATIENT_NAME]]
    {
        let (found, unanswered, questions) = listed(a_full_hour(), Manner::Cuts(100), ignored).await;
        assert!(unanswered > 0, "{ignored:?}: {found} found");
        assert!(questions < 300, "{ignored:?}: {questions}");
    }
}

#[tokio::test]
async fn a_peer_that_goes_away_is_not_asked_for_ever() {
    let remotes = FakeRemotes { answers_echo: false, ..FakeRemotes::default() };
    let (peer, stop) = ("OLDPACS".parse().unwrap(), CancellationToken::new());
    let mut listing = Listing::new(&peer, &remotes, &stop);
    let day = NaiveDate::from_ymd_opt(2025, 3, 10).unwrap();
    listing.dates(day, day).await;
    listing.without_date().await;
    assert_eq!(listing.asked, u64::from(TRIES));
    assert_eq!(listing.end(), (Vec::new(), 1));
}

#[tokio::test]
async fn a_peer_that_answers_nothing_is_not_asked_for_ever() {
    let remotes = FakeRemotes::default();
    let (peer, stop) = ("OLDPACS".parse().unwrap(), CancellationToken::new());
    let mut listing = Listing::new(&peer, &remotes, &stop);
    let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
    listing.dates(day(1970), day(2026)).await;
    assert!(listing.asked < 300, "{}", listing.asked);
    assert!(listing.end().1 > 0);
}

#[test]
fn a_question_is_asked_by_dates_minutes_and_how_a_name_begins() {
    let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
    let question =
        Question { minutes: Some((7 * 60, 8 * 60)), name: "NG".to_owned(), ..Question::of_day(day) };
    let keys = question.keys();
    assert_eq!(keys.text(tags::STUDY_DATE).as_deref(), Some("20260301-20260301"));
    // What has no seconds lies within, also where values are compared as text.
    assert_eq!(keys.text(tags::STUDY_TIME).as_deref(), Some("0700-075959.999999"));
    assert_eq!(keys.text(tags::PATIENT_NAME).as_deref(), Some("NG*"));
}
