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

/// Searches of one kind: what is asked in one of them, of so many studies.
struct Question {
    label: &'static str,
    level: Level,
    /// Asked each so many times.
    every: u64,
    asked: fn(u64, u64) -> Asked,
}

const fn studies(label: &'static str, asked: fn(u64, u64) -> Asked) -> Question {
    Question { label, level: Level::Study, every: 1, asked }
}

const QUESTIONS: &[Question] = &[
    studies("the newest", |_, _| Vec::new()),
    studies("name, a common word", |n, _| name(FAMILIES[place(n, FAMILIES.len())])),
    studies("name, a common word with *", |n, _| name(&format!("{}*", FAMILIES[place(n, FAMILIES.len())]))),
    studies("name, a short beginning", |n, _| name(["ng", "th", "h", "tr", "d"][place(n, 5)])),
    studies("name, a rare word", |n, _| name(RARE[place(n, RARE.len())])),
    studies("name, two words", |n, _| {
        let (family, given) = PAIRS[place(n, PAIRS.len())];
        name(&format!("{family} {given}"))
    }),
    studies("name, two words swapped", |n, _| {
        let (family, given) = PAIRS[place(n, PAIRS.len())];
        name(&format!("{given} {family}"))
    }),
    studies("name, all of it", |n, of| name(&Person::new(Numbers::new(n).below(of * 6 / 10 + 1)).name)),
    studies("name that nobody has", |n, _| name(&format!("khong{n}"))),
    studies("name and modality", |n, _| {
        let mut asked = name(FAMILIES[place(n, FAMILIES.len())]);
        asked.push((tags::MODALITIES_IN_STUDY, VR::CS, ["CT", "MG", "PT"][place(n, 3)].to_owned()));
        asked
    }),
    studies("accession number", |n, of| accession(format!("A{:09}", Numbers::new(n).below(of)))),
    studies("accession number, beginning", |n, of| {
        accession(format!("A{:06}*", Numbers::new(n).below(of / 1000 + 1)))
    }),
    studies("accession number, short beginning", |n, of| {
        accession(format!("A{:05}*", Numbers::new(n).below(of / 10_000 + 1)))
    }),
    studies("accession number, last 5", |n, of| {
        accession(format!("*{:05}", Numbers::new(n).below(of.min(100_000))))
    }),
    studies("accession number, last 3", |n, _| accession(format!("*{:03}", Numbers::new(n).below(1000)))),
    Question {
        every: 10,
        ..studies("accession number, 3 within", |n, _| {
            accession(format!("*{:03}*", Numbers::new(n).below(1000)))
        })
    },
    Question {
        every: 40,
        ..studies("accession number, 6 within", |n, of| {
            accession(format!("*{:06}*", Numbers::new(n).below(of)))
        })
    },
    studies("patient ID", |n, of| patient_id(Person::new(Numbers::new(n).below(of * 6 / 10 + 1)).id)),
    studies("patient ID, last 4", |n, _| patient_id(format!("*{:04}", Numbers::new(n).below(10_000)))),
    studies("a day", |n, of| dates(n, of, 1, None)),
    studies("a day and CT", |n, of| dates(n, of, 1, Some("CT"))),
    studies("a month", |n, of| dates(n, of, 30, None)),
    studies("a month and CT", |n, of| dates(n, of, 30, Some("CT"))),
    studies("a month and PT", |n, of| dates(n, of, 30, Some("PT"))),
    studies("ten years and PT", |_, _| {
        vec![
            (tags::STUDY_DATE, VR::DA, "20160101-20261231".to_owned()),
            (tags::MODALITIES_IN_STUDY, VR::CS, "PT".to_owned()),
        ]
    }),
    Question {
        level: Level::Patient,
        ..studies("patients, a common word", |n, _| name(FAMILIES[place(n, FAMILIES.len())]))
    },
    Question {
        level: Level::Patient,
        ..studies("patients, two words", |n, _| {
            let (family, given) = PAIRS[place(n, PAIRS.len())];
            name(&format!("{family} {given}"))
        })
    },
];

fn place(n: u64, of: usize) -> usize {
    usize::try_from(n % of as u64).unwrap()
}

fn name(typed: &str) -> Asked {
    vec![(tags::PATIENT_NAME, VR::PN, typed.to_owned())]
}

fn accession(pattern: String) -> Asked {
    vec![(tags::ACCESSION_NUMBER, VR::SH, pattern)]
}

fn patient_id(pattern: String) -> Asked {
    vec![(tags::PATIENT_ID, VR::LO, pattern)]
}

/// As many studies, whatever there are: those of so many days where there are a million.
fn dates(n: u64, of: u64, days: u64, modality: Option<&str>) -> Asked {
    let days = days * 1_000_000 / of.max(1);
    let first = Numbers::new(n).below(3650_u64.saturating_sub(days).max(1));
    let date =
        |day: u64| format!("{}{:02}{:02}", 2016 + day / 365, 1 + day % 365 / 31, 1 + day % 365 % 31 % 28);
    let dates = match days {
        1 => date(first),
        days => format!("{}-{}", date(first), date(first + days)),
    };
    let modality = modality.map(|modality| (tags::MODALITIES_IN_STUDY, VR::CS, modality.to_owned()));
    [(tags::STUDY_DATE, VR::DA, dates)].into_iter().chain(modality).collect()
}

/// All kinds in turn, so that each finds in memory what the others left there.
pub(crate) async fn measure(index: &dyn Index, studies: u64) {
    let mut times: Vec<Times> = QUESTIONS.iter().map(|_| Times::default()).collect();
    for n in 0..TIMES {
        for (question, times) in QUESTIONS.iter().zip(&mut times).filter(|(q, _)| n % q.every == 0) {
            times.take(index, query(question, n, studies)).await;
        }
    }
    println!("{:34}{:>14}{:>16}{:>20}", "page of 25 by", "passed", "worked", "counting more");
    for (question, times) in QUESTIONS.iter().zip(times) {
        let Times { waited, worked, counted, rows } = times;
        let rows = rows as f64 / waited.len() as f64;
        let [waited, worked, counted] = [waited, worked, counted].map(quantiles);
        println!("{:34}{waited:>14}{worked:>16}{counted:>20}{rows:8.1} rows", question.label);
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
        if rows as u64 > PAGE && query.level == Level::Study {
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
pub(crate) fn processor_time() -> Duration {
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

fn query(question: &Question, n: u64, studies: u64) -> Query {
    let asked = (question.asked)(n, studies);
    let keys = asked.iter().map(|(tag, vr, value)| Key::parse(&[*tag], *vr, value).unwrap());
    Query { keys: keys.collect(), ..Query::new(question.level) }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
