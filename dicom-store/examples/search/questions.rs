//! What is asked, and how long the answers take.

use std::time::{Duration, Instant};

use dicom::dictionary_std::tags;
use dicom_store::index::Index;
use dicom_store::model::{Level, Tag, VR};
use dicom_store::query::{Key, Page, Query};

use crate::people::{Numbers, Person};

/// Searches of one kind.
const TIMES: u64 = 400;
const FAMILIES: &[&str] = &["nguyen", "Nguyễn", "tran", "le", "pham"];
const RARE: &[&str] = &["quach", "gam", "luu", "Mận", "thom"];
const PAIRS: &[(&str, &str)] = &[
    ("nguyen", "hoa"),
    ("tran", "minh"),
    ("le", "phuong"),
    ("ly", "nga"),
    ("pham", "tuan"),
    ("Đặng", "Hòa"),
];

type Asked = Vec<(Tag, VR, String)>;
type Question = (&'static str, fn(u64, u64) -> Asked);

const QUESTIONS: &[Question] = &[
    ("the newest", |_, _| Vec::new()),
    ("name, a common word", |n, _| name(FAMILIES[place(n, FAMILIES.len())])),
    ("name, a common word with *", |n, _| name(&format!("{}*", FAMILIES[place(n, FAMILIES.len())]))),
    ("name, a short beginning", |n, _| name(["ng", "th", "h", "tr", "d"][place(n, 5)])),
    ("name, a rare word", |n, _| name(RARE[place(n, RARE.len())])),
    ("name, two words", |n, _| {
        let (family, given) = PAIRS[place(n, PAIRS.len())];
        name(&format!("{family} {given}"))
    }),
    ("name, two words swapped", |n, _| {
        let (family, given) = PAIRS[place(n, PAIRS.len())];
        name(&format!("{given} {family}"))
    }),
    ("name, all of it", |n, of| name(&Person::new(Numbers::new(n).below(of * 6 / 10 + 1)).name)),
    ("name that nobody has", |n, _| name(&format!("khong{n}"))),
    ("name and modality", |n, _| {
        let mut asked = name(FAMILIES[place(n, FAMILIES.len())]);
        asked.push((tags::MODALITIES_IN_STUDY, VR::CS, ["CT", "MG", "PT"][place(n, 3)].to_owned()));
        asked
    }),
    ("accession number", |n, of| {
        vec![(tags::ACCESSION_NUMBER, VR::SH, format!("A{:09}", Numbers::new(n).below(of)))]
    }),
    ("accession number, beginning", |n, of| {
        vec![(tags::ACCESSION_NUMBER, VR::SH, format!("A{:06}*", Numbers::new(n).below(of / 1000 + 1)))]
    }),
    ("patient ID", |n, of| {
        vec![(tags::PATIENT_ID, VR::LO, Person::new(Numbers::new(n).below(of * 6 / 10 + 1)).id)]
    }),
    ("a month and CT", |n, _| month(n, "CT")),
    ("a month and PT", |n, _| month(n, "PT")),
    ("ten years and PT", |_, _| {
        vec![
            (tags::STUDY_DATE, VR::DA, "20160101-20261231".to_owned()),
            (tags::MODALITIES_IN_STUDY, VR::CS, "PT".to_owned()),
        ]
    }),
];

fn place(n: u64, of: usize) -> usize {
    usize::try_from(n % of as u64).unwrap()
}

fn name(typed: &str) -> Asked {
    vec![(tags::PATIENT_NAME, VR::PN, typed.to_owned())]
}

fn month(n: u64, modality: &str) -> Asked {
    let mut numbers = Numbers::new(n);
    let month = format!("{}{:02}", 2016 + numbers.below(10), 1 + numbers.below(12));
    vec![
        (tags::STUDY_DATE, VR::DA, format!("{month}01-{month}31")),
        (tags::MODALITIES_IN_STUDY, VR::CS, modality.to_owned()),
    ]
}

pub(crate) async fn measure(index: &dyn Index, studies: u64) {
    println!(
        "{:32}{:>8}{:>8}{:>8}{:>8}  rows",
        "page of 25 of the studies by", "p50", "p99", "CPU p50", "CPU p99"
    );
    for (label, asked) in QUESTIONS {
        let (mut waited, mut worked, mut rows) = (Vec::new(), Vec::new(), 0);
        for n in 0..TIMES {
            let query = query(&asked(n, studies));
            let (begun, before) = (Instant::now(), processor_time());
            rows += first_page(index, &query).await;
            waited.push(begun.elapsed());
            worked.push(processor_time().saturating_sub(before));
        }
        let [waited, worked] = [waited, worked].map(|mut times| {
            times.sort_unstable();
            [50, 99].map(|share| milliseconds(times[(times.len() - 1) * share / 100]))
        });
        let rows = rows as f64 / TIMES as f64;
        println!("{label:32}{:8.2}{:8.2}{:8.2}{:8.2}  {rows:.1}", waited[0], waited[1], worked[0], worked[1]);
    }
}

/// What all threads of the program have worked (Linux): on a busy machine, what is left of a time when others
/// are taken away.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// As many pages of the index as one of the answer takes.
async fn first_page(index: &dyn Index, query: &Query) -> usize {
    let mut rows = 0;
    let mut after = None;
    loop {
        let page = index.search(query, after.as_ref()).await.unwrap();
        rows += page.rows.len();
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

fn query(asked: &Asked) -> Query {
    let keys = asked.iter().map(|(tag, vr, value)| Key::parse(&[*tag], *vr, value).unwrap());
    Query { keys: keys.collect(), page: Page { offset: 0, limit: Some(25) }, ..Query::new(Level::Study) }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
