//! Under which terms the crates that are built in may be used.

use serde_json::Value;

/// Terms that ask for no more than a notice.
const ALLOWED: [&str; 12] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
];

/// Terms for one package only: what it is, and why it may stay.
const EXCEPTIONS: [(&str, &str); 1] = [
    // The notice of the JPEG group, whose tables the encoder holds; no more than a notice either.
    ("jpeg-encoder", "IJG"),
];

/// Packages of `cargo metadata` under other terms.
pub(crate) fn faults(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let foreign = packages.iter().filter(|package| !package["source"].is_null());
    foreign.filter_map(|package| fault(&package["name"], &package["license"])).collect()
}

fn fault(name: &Value, licence: &Value) -> Option<String> {
    let name = name.as_str().unwrap_or_default();
    let licence = licence.as_str().unwrap_or_default();
    (!is_allowed(name, licence))
        .then(|| format!("{name}: {licence:?} is not among the terms that we ship under"))
}

/// Whether an SPDX expression leaves a way that is allowed; the old `A/B` means `A OR B`.
fn is_allowed(name: &str, expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().collect::<Vec<_>>().into_iter().peekable();
    let allowed = alternatives(name, &mut words);
    allowed && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::vec::IntoIter<&'a str>>;

fn alternatives(name: &str, words: &mut Words<'_>) -> bool {
    let mut allowed = together(name, words);
    while words.next_if_eq(&"OR").is_some() {
        // Read to the end, whatever is known already.
        allowed |= together(name, words);
    }
    allowed
}

fn together(name: &str, words: &mut Words<'_>) -> bool {
    let mut allowed = one(name, words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(name, words);
    }
    allowed
}

fn one(name: &str, words: &mut Words<'_>) -> bool {
    match words.next() {
        Some("(") => {
            let allowed = alternatives(name, words);
            words.next_if_eq(&")").is_some() && allowed
        }
        Some(licence) => {
            // An exception only adds rights.
            if words.next_if_eq(&"WITH").is_some() {
                words.next();
            }
            ALLOWED.contains(&licence) || EXCEPTIONS.contains(&(name, licence))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{faults, is_allowed};

    #[test]
    fn accepts_terms_with_a_permissive_way_through() {
        for good in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR (MIT AND Zlib)", "Apache-2.0 WITH LLVM-exception"] {
            assert!(is_allowed("a", good), "{good}");
        }
        assert!(is_allowed("jpeg-encoder", "(MIT OR Apache-2.0) AND IJG"));
    }

    #[test]
    fn refuses_terms_that_ask_for_more() {
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND MPL-2.0",
            "MIT MIT",
            "SEE LICENSE",
            "IJG",
        ] {
            assert!(!is_allowed("a", bad), "{bad}");
        }
    }

    #[test]
    fn looks_at_what_is_not_ours() {
        let metadata = json!({"packages": [
            {"name": "ours", "license": "Ours", "source": null},
            {"name": "theirs", "license": "AGPL-3.0", "source": "registry"},
        ]});
        assert_eq!(faults(&metadata), ["theirs: \"AGPL-3.0\" is not among the terms that we ship under"]);
    }
}
