//! Structured reports for people: the content tree as HTML or plain text (PS3.3 §C.17.3, PS3.18 §8.7.4).
//!
//! Each content item is a line: what it is about, and what it says. Nothing is interpreted, nothing left out but
//! graphics. The page needs no script and loads nothing.

use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Tag, Value};

/// Items below items that are shown; deeper ones are not made by anybody and would be there to break readers.
const MAX_DEPTH: usize = 64;

/// A content item.
struct Line {
    depth: usize,
    /// Concept Name Code Sequence (0040,A043), by its meaning.
    concept: String,
    value: String,
    is_container: bool,
}

/// Whether the data set is a document with content: its root is a container.
pub(crate) fn is_report(attributes: &Attributes) -> bool {
    attributes.text(tags::VALUE_TYPE).as_deref() == Some("CONTAINER")
}

/// What stands above the content.
fn head(attributes: &Attributes) -> Vec<(&'static str, String)> {
    let text = |tag| attributes.text(tag).unwrap_or_default();
    let date =
        |date: Tag, time: Tag| format!("{} {}", readable_date(&text(date)), readable_time(&text(time)));
    let observers = attributes.items(tags::VERIFYING_OBSERVER_SEQUENCE).iter();
    let observers: Vec<_> = observers.map(|item| name(item, tags::VERIFYING_OBSERVER_NAME)).collect();
    let all = [
        ("Patient", name(attributes, tags::PATIENT_NAME)),
        ("Patient ID", text(tags::PATIENT_ID)),
        ("Birth date", readable_date(&text(tags::PATIENT_BIRTH_DATE))),
        ("Sex", text(tags::PATIENT_SEX)),
        ("Study", date(tags::STUDY_DATE, tags::STUDY_TIME)),
        ("Description", text(tags::STUDY_DESCRIPTION)),
        ("Accession number", text(tags::ACCESSION_NUMBER)),
        ("Referring physician", name(attributes, tags::REFERRING_PHYSICIAN_NAME)),
        ("Institution", text(tags::INSTITUTION_NAME)),
        ("Document", date(tags::CONTENT_DATE, tags::CONTENT_TIME)),
        ("Completion", text(tags::COMPLETION_FLAG)),
        ("Verification", text(tags::VERIFICATION_FLAG)),
        ("Verified by", observers.join("; ")),
    ];
    all.into_iter()
        .map(|(label, value)| (label, value.trim().to_owned()))
        .filter(|(_, v)| !v.is_empty())
        .collect()
}

fn title(attributes: &Attributes) -> String {
    let title = meaning(attributes, tags::CONCEPT_NAME_CODE_SEQUENCE);
    if title.is_empty() { "Structured report".into() } else { title }
}

fn lines(attributes: &Attributes) -> Vec<Line> {
    let mut lines = Vec::new();
    add(attributes, 0, &mut lines);
    lines
}

fn add(within: &Attributes, depth: usize, lines: &mut Vec<Line>) {
    if depth >= MAX_DEPTH {
        return;
    }
    for item in within.items(tags::CONTENT_SEQUENCE) {
        let kind = item.text(tags::VALUE_TYPE).unwrap_or_default();
        lines.push(Line {
            depth,
            concept: meaning(item, tags::CONCEPT_NAME_CODE_SEQUENCE),
            value: value(item, &kind),
            is_container: kind == "CONTAINER",
        });
        add(item, depth + 1, lines);
    }
}

/// What an item says (PS3.3 Table C.17.3-7).
fn value(item: &Attributes, kind: &str) -> String {
    let text = |tag| item.text(tag).unwrap_or_default();
    match kind {
        "TEXT" => match item.get(tags::TEXT_VALUE).map(|element| &element.value) {
            Some(Value::Bulk(bulk)) => format!("(text of {} bytes: see the instance)", bulk.length),
            _ => text(tags::TEXT_VALUE),
        },
        "CODE" => meaning(item, tags::CONCEPT_CODE_SEQUENCE),
        "NUM" => {
            let Some(measured) = item.items(tags::MEASURED_VALUE_SEQUENCE).first() else {
                return meaning(item, tags::NUMERIC_VALUE_QUALIFIER_CODE_SEQUENCE);
            };
            let number = measured.text(tags::NUMERIC_VALUE).unwrap_or_default();
            let unit = measured.items(tags::MEASUREMENT_UNITS_CODE_SEQUENCE).first();
            let unit = unit.and_then(|unit| unit.text(tags::CODE_VALUE)).filter(|unit| unit != "1");
            format!("{number} {}", unit.unwrap_or_default()).trim().to_owned()
        }
        "DATE" => readable_date(&text(tags::DATE)),
        "TIME" => readable_time(&text(tags::TIME)),
        "DATETIME" => {
            let stamp = text(tags::DATE_TIME);
            let (date, time) = stamp.split_at_checked(8).unwrap_or((&stamp, ""));
            format!("{} {}", readable_date(date), readable_time(time)).trim().to_owned()
        }
        "PNAME" => name(item, tags::PERSON_NAME),
        "UIDREF" => text(tags::UID),
        "IMAGE" | "COMPOSITE" | "WAVEFORM" => {
            let referenced = item.items(tags::REFERENCED_SOP_SEQUENCE).first();
            let uid = referenced.and_then(|one| one.uid(tags::REFERENCED_SOP_INSTANCE_UID));
            let frames = referenced.and_then(|one| one.text(tags::REFERENCED_FRAME_NUMBER));
            let frames = frames.map(|frames| format!(", frame {}", frames.replace('\\', ", ")));
            format!("{} {}{}", kind.to_lowercase(), uid.unwrap_or_default(), frames.unwrap_or_default())
        }
        "SCOORD" | "SCOORD3D" | "TCOORD" => {
            let shape = item.text(tags::GRAPHIC_TYPE).or(item.text(tags::TEMPORAL_RANGE_TYPE));
            format!("({})", shape.unwrap_or_default().to_lowercase())
        }
        _ => String::new(),
    }
}

/// The meaning of a code, or else its value.
fn meaning(of: &Attributes, sequence: Tag) -> String {
    let code = of.items(sequence).first();
    let told = code.and_then(|code| code.text(tags::CODE_MEANING).filter(|text| !text.is_empty()));
    told.or_else(|| code?.text(tags::CODE_VALUE)).unwrap_or_default()
}

/// A person's name as it is read: the family name first, without the marks of its parts.
fn name(of: &Attributes, tag: Tag) -> String {
    let groups = of.text(tag).unwrap_or_default();
    let readable = |group: &str| {
        group.split('^').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    groups.split('=').map(readable).filter(|group| !group.is_empty()).collect::<Vec<_>>().join(" / ")
}

/// `20260131` as `2026-01-31`; anything else as it stands.
fn readable_date(text: &str) -> String {
    let is_date = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    match (text.get(..4), text.get(4..6), text.get(6..)) {
        (Some(year), Some(month), Some(day)) if is_date => format!("{year}-{month}-{day}"),
        _ => text.to_owned(),
    }
}

/// `101530.5` as `10:15`; anything else as it stands.
fn readable_time(text: &str) -> String {
    let is_time = text.len() >= 4 && text.bytes().take(4).all(|byte| byte.is_ascii_digit());
    match (text.get(..2), text.get(2..4)) {
        (Some(hour), Some(minute)) if is_time => format!("{hour}:{minute}"),
        _ => text.to_owned(),
    }
}

/// As a page of its own.
pub(crate) fn html(attributes: &Attributes) -> String {
    let title = escaped(&title(attributes));
    let mut page = format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title><style>body{{font:1rem/1.5 system-ui,\
         sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}}th{{text-align:left;padding-right:1rem;\
         font-weight:normal;color:#555}}ul{{list-style:none;padding-left:1.25rem}}p{{margin:0;white-space:pre-wrap}}\
         b{{font-weight:600}}</style></head>\n<body>\n<h1>{title}</h1>\n<table>\n"
    );
    for (label, value) in head(attributes) {
        page.push_str(&format!("<tr><th>{label}</th><td>{}</td></tr>\n", escaped(&value)));
    }
    page.push_str("</table>\n");
    let mut depth = 0;
    for line in lines(attributes) {
        let to = line.depth + 1;
        page.push_str(&"<ul>".repeat(to.saturating_sub(depth)));
        page.push_str(&"</ul>".repeat(depth.saturating_sub(to)));
        depth = to;
        let concept = escaped(&line.concept);
        let value = escaped(&line.value);
        page.push_str(&match (line.is_container, concept.is_empty()) {
            (true, _) => format!("<li><b>{concept}</b></li>\n"),
            (false, true) => format!("<li><p>{value}</p></li>\n"),
            (false, false) => format!("<li><p>{concept}: {value}</p></li>\n"),
        });
    }
    page.push_str(&"</ul>".repeat(depth));
    page.push_str("\n</body></html>\n");
    page
}

/// As plain text, a line an item.
pub(crate) fn plain(attributes: &Attributes) -> String {
    let mut page = format!("{}\n\n", title(attributes));
    for (label, value) in head(attributes) {
        page.push_str(&format!("{label}: {value}\n"));
    }
    page.push('\n');
    for Line { depth, concept, value, .. } in lines(attributes) {
        let colon = if concept.is_empty() || value.is_empty() { "" } else { ": " };
        page.push_str(&format!("{}{concept}{colon}{value}\n", "  ".repeat(depth)));
    }
    page
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use dicom_store::model::VR;

    use super::*;

    fn coded(meaning: &str) -> Vec<Attributes> {
        let mut code = Attributes::new();
        code.put_text(tags::CODE_VALUE, VR::SH, "1");
        code.put_text(tags::CODE_MEANING, VR::LO, meaning);
        vec![code]
    }

    fn item(kind: &str, concept: &str) -> Attributes {
        let mut item = Attributes::new();
        item.put_text(tags::VALUE_TYPE, VR::CS, kind);
        item.put_items(tags::CONCEPT_NAME_CODE_SEQUENCE, coded(concept));
        item
    }

    fn report() -> Attributes {
        let mut text = item("TEXT", "Finding");
        text.put_text(tags::TEXT_VALUE, VR::UT, "a < b & <script>alert(1)</script>\r\nsecond line");
        let mut unit = Attributes::new();
        unit.put_text(tags::CODE_VALUE, VR::SH, "mm");
        let mut measured = Attributes::new();
        measured.put_text(tags::NUMERIC_VALUE, VR::DS, "12.5");
        measured.put_items(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![unit]);
        let mut number = item("NUM", "Diameter");
        number.put_items(tags::MEASURED_VALUE_SEQUENCE, vec![measured]);
        let mut section = item("CONTAINER", "Findings");
        section.put_items(tags::CONTENT_SEQUENCE, vec![text, number]);
        let mut report = item("CONTAINER", "Chest X-ray report");
        report.put_text(tags::PATIENT_NAME, VR::PN, "Nguyễn^Văn An");
        report.put_text(tags::STUDY_DATE, VR::DA, "20260131");
        report.put_items(tags::CONTENT_SEQUENCE, vec![section]);
        report
    }

    #[test]
    fn a_page_says_all_that_the_tree_does_and_runs_nothing() {
        let page = html(&report());
        for said in [
            "<h1>Chest X-ray report</h1>",
            "Nguyễn Văn An",
            "2026-01-31",
            "<b>Findings</b>",
            "Diameter: 12.5 mm",
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
        assert_eq!(page.matches("<ul>").count(), page.matches("</ul>").count());
    }

    #[test]
    fn plain_text_is_indented_by_the_depth_of_the_tree() {
        let text = plain(&report());
        assert!(text.starts_with("Chest X-ray report\n\nPatient: Nguyễn Văn An\n"), "{text}");
        assert!(text.contains("\nFindings\n  Finding: a < b"), "{text}");
    }

    #[test]
    fn a_tree_without_end_is_cut() {
        let mut deep = item("CONTAINER", "end");
        for _ in 0..200 {
            let mut above = item("CONTAINER", "more");
            above.put_items(tags::CONTENT_SEQUENCE, vec![deep]);
            deep = above;
        }
        assert_eq!(lines(&deep).len(), MAX_DEPTH);
    }
}
