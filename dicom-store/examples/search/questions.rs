//! What is asked, and how long the answers take.

use std::time::{Duration, Instant};

use dicom::dictionary_std::tags;
use dicom_store::index::Index;
use dicom_store::model::{Level, Tag, VR};
use dicom_store::query::{Key, Page, Query};

use crate::people::{Numbers, Person};

/// Searches of one kind.
const TIMES: u64 = 400;
/// Studies of a page.
const PAGE: u64 = 25;
/// Further ones that are counted, at the most.
const COUNTED: u64 = 250;
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
    ("a day", |n, _| dates(n, true, None)),
    ("a day and CT", |n, _| dates(n, true, Some("CT"))),
    ("a month", |n, _| dates(n, false, None)),
    ("a month and CT", |n, _| dates(n, false, Some("CT"))),
    ("a month and PT", |n, _| dates(n, false, Some("PT"))),
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

fn dates(n: u64, is_day: bool, modality: Option<&str>) -> Asked {
    let mut numbers = Numbers::new(n);
    let month = format!("{}{:02}", 2016 + numbers.below(10), 1 + numbers.below(12));
    let dates = match is_day {
        true => format!("{month}{:02}", 1 + numbers.below(28)),
        false => format!("{month}01-{month}31"),
    };
    let modality = modality.map(|modality| (tags::MODALITIES_IN_STUDY, VR::CS, modality.to_owned()));
    [(tags::STUDY_DATE, VR::DA, dates)].into_iter().chain(modality).collect()
}

/// All kinds in turn, so that each finds in memory what the others left there.
pub(crate) async fn measure(index: &dyn Index, studies: u64) {
    let mut times: Vec<Times> = QUESTIONS.iter().map(|_| Times::default()).collect();
    for n in 0..TIMES {
        for ((_, asked), times) in QUESTIONS.iter().zip(&mut times) {
            times.take(index, query(&asked(n, studies))).await;
        }
    }
    println!("{:32}{:>14}{:>16}{:>20}", "page of 25 of the studies by", "passed", "worked", "counting more");
    for ((label, _), times) in QUESTIONS.iter().zip(times) {
        let Times { waited, worked, counted, rows } = times;
        let [waited, worked, counted] = [waited, worked, counted].map(quantiles);
        println!("{label:32}{waited:>14}{worked:>16}{counted:>20}{:8.1} rows", rows as f64 / TIMES as f64);
    }
}

/// What the searches of one kind took.
#[derive(Default)]
struct Times {
    waited: Vec<Duration>,
    worked: Vec<Duration>,
    counted: Vec<Duration>,
    rows: usize,
}

impl Times {
    /// As QIDO-RS asks: one more than a page, and where there is one, how many more there are.
    async fn take(&mut self, index: &dyn Index, mut query: Query) {
        query.page = Page { offset: 0, limit: Some(PAGE + 1) };
        let (begun, before) = (Instant::now(), processor_time());
        let rows = first_page(index, &query).await;
        self.waited.push(begun.elapsed());
        self.worked.push(processor_time().saturating_sub(before));
        self.rows += rows;
        if rows as u64 > PAGE {
            query.page = Page { offset: PAGE, limit: Some(COUNTED) };
            let before = processor_time();
            index.count(&query).await.unwrap();
            self.counted.push(processor_time().saturating_sub(before));
        }
    }
}

/// The half and all but a hundredth are below these, in milliseconds.
fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let quantile = |share| times.get(times.len().saturating_sub(1) * share / 100).copied().map(milliseconds);
    match (quantile(50), quantile(99)) {
        (Some(half), Some(most)) => format!("{half:.2} / {most:.2}"),
        _ => "-".to_owned(),
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
    Query { keys: keys.collect(), ..Query::new(Level::Study) }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
