//! What the sources promise, file by file.

use std::path::Path;

use crate::code::{climbs_out, code_of, named_under};

/// A module that may name only some of a crate.
struct Border {
    /// The module is `<folder>.rs` and everything under `<folder>/`.
    folder: &'static str,
    /// The crate that is looked at, `crate` for the module's own.
    root: &'static str,
    allowed: &'static [&'static str],
}

const BORDERS: [Border; 8] = [
    Border { folder: "dicom-net/src/ul", root: "dicom_store", allowed: &["model"] },
    Border { folder: "dicom-net/src/dimse", root: "dicom_store", allowed: &["model"] },
    Border { folder: "dicom-net/src/ul", root: "worker", allowed: &[] },
    Border { folder: "dicom-net/src/dimse", root: "worker", allowed: &[] },
    Border { folder: "his/src/hl7", root: "dicom_store", allowed: &["model"] },
    Border { folder: "his/src/fhir", root: "dicom_store", allowed: &["model"] },
    Border { folder: "pixel/src", root: "dicom_store", allowed: &["model"] },
    Border { folder: "dicom-store/src/model", root: "crate", allowed: &["model"] },
];

/// The folders that have borders.
pub(crate) fn bounded() -> impl Iterator<Item = &'static str> {
    BORDERS.iter().map(|border| border.folder)
}

/// Crates that get everything they need as parameters.
const PURE: [&str; 7] = ["dicom-store/", "pixel/", "worker/", "dicom-net/", "wado/", "his/", "viewer/"];

/// Paths that read the environment or wait for signals.
const AMBIENT: [(&str, &str); 6] = [
    ("std", "env"),
    ("env", "var"),
    ("env", "var_os"),
    ("env", "vars"),
    ("tokio", "signal"),
    ("signal", "unix"),
];

const LONGEST: usize = 600;

/// Everything that is wrong with one file; `path` is relative to the top and uses `/`.
pub(crate) fn faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = of_any_text(path, text);
    match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some("rs") => faults.extend(of_rust(path, text)),
        Some("ts" | "tsx") => faults.extend(of_typescript(path, text)),
        _ => {}
    }
    faults
}

fn of_any_text(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    // Put together here, so that this file does not hold what it looks for.
    for home in [
        concat!("/ho", "me/"),
        concat!("/Use", "rs/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("C:\\Use", "rs"),
    ] {
        for line in lines_with(text, home) {
            faults.push(format!("{path}:{line}: {home} is a path of one machine only"));
        }
    }
    let is_source =
        [".rs", ".ts", ".tsx", ".mjs", ".py", ".css"].iter().any(|extension| path.ends_with(extension));
    let length = text.lines().count();
    if is_source && length > LONGEST {
        faults.push(format!("{path} has {length} lines, the end is {LONGEST}"));
    }
    if is_source {
        for unfinished in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")] {
            for line in lines_with(text, unfinished) {
                faults.push(format!("{path}:{line}: {unfinished} without an issue"));
            }
        }
    }
    faults
}

fn of_rust(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut faults = Vec::new();
    if path.ends_with("/mod.rs") {
        faults.push(format!("{path}: a module is foo.rs and foo/, never mod.rs"));
    }
    faults.extend(attributes_without_reason(path, text, &code));
    for line in lines_with(&code, "#[ignore") {
        faults.push(format!("{path}:{line}: a test that is left out tests nothing"));
    }
    // What measures is not shipped.
    let is_measurement = path.contains("/benches/") || path.contains("/examples/");
    if !path.starts_with("server/") && !is_measurement {
        for line in lines_with(&code, "fn main(") {
            faults.push(format!("{path}:{line}: only server has fn main"));
        }
    }
    // Nor is what a crate's own tests are run over.
    let is_test = path.split('/').nth(1) == Some("tests");
    if PURE.iter().any(|folder| path.starts_with(folder)) && !is_measurement && !is_test {
        for (root, segment) in AMBIENT {
            let named = named_under(root, &code).into_iter().filter(|named| named.segment == segment);
            faults.extend(named.map(|named| {
                format!("{path}:{}: {root}::{segment}: only server reads environment and signals", named.line)
            }));
        }
    }
    faults.extend(sleeps_of_a_test(path, &code));
    faults.extend(across_borders(path, &code));
    faults
}

/// `#[allow(…)]` and `#[expect(…)]` that do not say why.
fn attributes_without_reason(path: &str, text: &str, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for attribute in ["allow(", "expect("] {
        for opening in ["#[", "#![", ", "] {
            let what = format!("{opening}{attribute}");
            // `, expect(` is an attribute only behind a `cfg_attr(…`.
            for (at, _) in code.match_indices(&what) {
                let line_start = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
                if opening == ", " && !code[line_start..at].contains("cfg_attr(") {
                    continue;
                }
                let end = code[at..].find(']').map_or(code.len(), |length| at + length);
                if !text.get(at..end).is_some_and(|whole| whole.contains("reason =")) {
                    let line = code[..at].matches('\n').count() + 1;
                    faults.push(format!("{path}:{line}: {attribute}…) without a reason"));
                }
            }
        }
    }
    faults
}

/// Waiting for a time where one should wait for an event; `tests/src/wait.rs` polls in one place for all.
fn sleeps_of_a_test(path: &str, code: &str) -> Vec<String> {
    let is_of_tests =
        path.starts_with("tests/e2e/") || path.contains("/tests/") || path.starts_with("tests/src/");
    if !is_of_tests || path == "tests/src/wait.rs" {
        return Vec::new();
    }
    lines_with(code, "sleep(")
        .map(|line| format!("{path}:{line}: a test waits for an event, not for a time"))
        .collect()
}

fn across_borders(path: &str, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for Border { folder, root, allowed } in BORDERS {
        let Some(depth) = depth_in(folder, path) else { continue };
        for named in named_under(root, code) {
            if !allowed.contains(&named.segment.as_str()) {
                faults.push(format!(
                    "{path}:{}: {root}::{} is out of bounds for {folder}",
                    named.line, named.segment
                ));
            }
        }
        if root == "crate" {
            for line in climbs_out(depth, code) {
                faults.push(format!("{path}:{line}: super:: leaves {folder}"));
            }
        }
    }
    faults
}

/// How many modules deep the file lies under the module of the folder; `None` when it is not part of it.
fn depth_in(folder: &str, path: &str) -> Option<usize> {
    match path.strip_prefix(folder)? {
        ".rs" => Some(0),
        rest => rest.strip_prefix('/').map(|inside| inside.matches('/').count() + 1),
    }
}

/// What `viewer/test/house.test.ts` does not look at itself.
fn of_typescript(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for loose in [concat!("@ts-", "ignore"), concat!("@ts-", "nocheck")] {
        for line in lines_with(text, loose) {
            faults.push(format!("{path}:{line}: {loose} switches the types off"));
        }
    }
    for skipped in ["it.skip(", "test.skip(", "describe.skip(", "it.only(", "test.only(", "describe.only("] {
        for line in lines_with(text, skipped) {
            faults.push(format!("{path}:{line}: {skipped}: a test that is left out tests nothing"));
        }
    }
    faults
}

fn lines_with<'a>(text: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.lines().enumerate().filter(move |(_, line)| line.contains(what)).map(|(number, _)| number + 1)
}

#[cfg(test)]
mod tests {
    use super::faults;

    #[track_caller]
    fn assert_fault(path: &str, text: &str, expected: &str) {
        let found = faults(path, text);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected:?} is not among {found:?}");
    }

    #[track_caller]
    fn assert_clean(path: &str, text: &str) {
        assert_eq!(faults(path, text), Vec::<String>::new());
    }

    #[test]
    fn refuses_more_than_600_lines() {
        assert_clean("wado/src/store.rs", &"\n".repeat(600));
        assert_fault("wado/src/store.rs", &"\n".repeat(601), "601 lines");
        assert_fault("viewer/src/main.ts", &"\n".repeat(601), "601 lines");
        assert_clean("Cargo.lock", &"\n".repeat(6000));
    }

    #[test]
    fn refuses_mod_rs_and_allow_without_reason() {
        assert_fault("wado/src/retrieve/mod.rs", "", "never mod.rs");
        assert_fault("wado/src/lib.rs", "#[allow(dead_code)]\nfn a() {}", ":1: allow(");
        assert_fault("wado/src/lib.rs", "//! head\n#![expect(unused)]", ":2: expect(");
        assert_fault("wado/src/lib.rs", "#[cfg_attr(test, allow(unused))]", ":1: allow(");
        assert_clean("wado/src/lib.rs", "#[allow(dead_code, reason = \"the standard names it\")]\nfn a() {}");
        assert_clean("wado/src/lib.rs", "fn a() { b.unwrap_or(1).expect(\"never empty\"); }");
    }

    #[test]
    fn refuses_ambient_state_outside_the_server() {
        assert_fault("worker/src/pool.rs", "let a = std::env::var(\"A\");", "std::env");
        assert_fault("worker/src/pool.rs", "use std::{env, fs};", "std::env");
        assert_fault("wado/src/lib.rs", "tokio::signal::ctrl_c().await", "tokio::signal");
        assert_fault("dicom-net/src/lib.rs", "fn main() {}", "only server has fn main");
        assert_clean("server/src/config.rs", "std::env::vars(); tokio::signal::ctrl_c();");
        assert_clean("dicom-store/tests/bucket.rs", "std::env::var_os(\"A\");");
        assert_clean("wado/src/lib.rs", "const VERSION: &str = env!(\"CARGO_PKG_VERSION\");");
    }

    #[test]
    fn refuses_what_crosses_a_border() {
        assert_fault(
            "dicom-net/src/ul/pdu.rs",
            "use dicom_store::Session;",
            "dicom_store::Session is out of bounds",
        );
        assert_fault("dicom-net/src/dimse.rs", "use dicom_store::{model, Archive};", "dicom_store::Archive");
        assert_clean("dicom-net/src/scp.rs", "use dicom_store::Session;");
        assert_clean("dicom-net/src/ul.rs", "use dicom_store::model::AeTitle;");
        assert_fault("pixel/src/decode.rs", "use dicom_store::Session;", "dicom_store::Session");
        assert_fault("dicom-store/src/model/uid.rs", "use super::super::session;", "super:: leaves");
        assert_fault("dicom-store/src/model/uid.rs", "use crate::query::Query;", "crate::query");
        assert_clean("dicom-store/src/model/uid.rs", "use crate::model::Phi;\nuse super::fold;");
    }

    #[test]
    fn refuses_paths_of_one_machine_and_unfinished_work() {
        assert_fault("README.md", concat!("see /ho", "me/anna/filmless"), "one machine only");
        assert_fault("wado/src/lib.rs", concat!("// TO", "DO: later"), "without an issue");
    }

    #[test]
    fn refuses_tests_that_sleep_or_are_left_out() {
        assert_fault("tests/e2e/c_store.rs", "tokio::time::sleep(second).await;", "waits for an event");
        assert_fault("wado/src/lib.rs", "#[test]\n#[ignore]\nfn a() {}", "tests nothing");
        assert_clean("worker/src/runner.rs", "tokio::time::sleep(backoff).await;");
    }

    #[test]
    fn refuses_typescript_that_switches_types_or_tests_off() {
        assert_fault("viewer/src/main.ts", concat!("// @ts-", "ignore"), "switches the types off");
        assert_fault("viewer/test/a.test.ts", "it.only(\"a\", () => {});", "it.only(");
        assert_clean("viewer/test/a.test.ts", "it(\"a\", () => {});");
    }
}
