//! Reads Rust sources just far enough to ask which paths they name.

/// The source with comments and the insides of literals blanked, line for line and column for column.
pub(crate) fn code_of(source: &str) -> String {
    let mut blanked = Blanking { rest: source, out: String::with_capacity(source.len()) };
    while let Some(next) = blanked.rest.chars().next() {
        match next {
            '/' if blanked.rest.starts_with("//") => blanked.blank(line_length(blanked.rest)),
            '/' if blanked.rest.starts_with("/*") => blanked.blank(block_comment_length(blanked.rest)),
            '"' => blanked.blank(1 + quoted_length(&blanked.rest[1..], '"')),
            '\'' => match char_literal_length(blanked.rest) {
                Some(length) => blanked.blank(length),
                None => blanked.keep(1),
            },
            'r' | 'b' | 'c' if !blanked.ends_in_a_name() => match raw_string_length(blanked.rest) {
                Some(length) => blanked.blank(length),
                None => blanked.keep(1),
            },
            _ => blanked.keep(next.len_utf8()),
        }
    }
    blanked.out
}

struct Blanking<'a> {
    rest: &'a str,
    out: String,
}

impl Blanking<'_> {
    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    fn ends_in_a_name(&self) -> bool {
        self.out.chars().next_back().is_some_and(is_of_a_name)
    }
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(inside) = rest.strip_prefix("/*") {
            depth += 1;
            rest = inside;
        } else if let Some(behind) = rest.strip_prefix("*/") {
            depth -= 1;
            rest = behind;
            if depth == 0 {
                break;
            }
        } else {
            rest = &rest[next.len_utf8()..];
        }
    }
    text.len() - rest.len()
}

/// Length up to and with the closing quote.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `None` for a lifetime or a label.
fn char_literal_length(text: &str) -> Option<usize> {
    let mut inside = text[1..].chars();
    let first = inside.next()?;
    if first == '\\' {
        return Some(1 + quoted_length(&text[1..], '\''));
    }
    (inside.next()? == '\'').then(|| 2 + first.len_utf8())
}

/// `r"…"`, `br#"…"#` and the like; the plain prefixes `b"…"` and `c"…"` go on to the quote by themselves.
fn raw_string_length(text: &str) -> Option<usize> {
    let after_r =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    let body = after_r[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(text.len() - body.len() + end)
}

/// A path that starts at a given root, `dicom_store::model` with the root `dicom_store`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// 1-based.
    pub(crate) line: usize,
    /// The segment after the root; `*` for a glob and for the root taken whole (`use dicom_store as store`).
    pub(crate) segment: String,
}

/// What the code takes from directly under `root`, groups (`root::{a, b::c}`) resolved.
pub(crate) fn named_under(root: &str, code: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].trim_end();
        let after = &code[at + root.len()..];
        let part_of_a_longer_name =
            code[..at].ends_with(is_of_a_name) || after.starts_with(is_of_a_name) || before.ends_with('$');
        // `a::root` is another item of the same name, `root!` and `root:` are not paths, `self.root` is a field.
        let elsewhere = (before.ends_with("::") && !is_absolute(before)) || before.ends_with('.');
        if part_of_a_longer_name || elsewhere {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let after = after.trim_start();
        let taken = after.strip_prefix("::").map(segments).or_else(|| is_imported_whole(before, after));
        found.extend(taken.into_iter().flatten().map(|segment| Named { line, segment }));
    }
    found
}

/// `::dicom_store` at the start of a path.
fn is_absolute(before: &str) -> bool {
    !before.trim_end_matches(':').ends_with(|c: char| is_of_a_name(c) || c == '>')
        || before.trim_end_matches(':').ends_with("use")
}

fn is_imported_whole(before: &str, after: &str) -> Option<Vec<String>> {
    let imported = before.ends_with("use") || before.ends_with("crate");
    let whole = after.starts_with(';') || after.starts_with("as ");
    (imported && whole).then(|| vec!["*".to_owned()])
}

fn segments(path: &str) -> Vec<String> {
    let path = path.trim_start();
    match path.strip_prefix('{') {
        Some(group) => items_of(group).iter().flat_map(|item| segments(item)).collect(),
        None if path.starts_with('*') => vec!["*".to_owned()],
        None => {
            let name: String = path.chars().take_while(|c| is_of_a_name(*c)).collect();
            if name.is_empty() { Vec::new() } else { vec![name] }
        }
    }
}

/// The items of a group whose opening brace has been read.
fn items_of(group: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

/// Lines on which `super::` climbs above the module that the file belongs to.
///
/// `depth` is how many modules deep the file itself lies under that module: 0 for `model.rs`, 1 for `model/uid.rs`.
pub(crate) fn climbs_out(depth: usize, code: &str) -> Vec<usize> {
    let mut out = Vec::new();
    let mut inline: Vec<bool> = Vec::new();
    let mut opened_by_mod = false;
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let starts_a_word = is_of_a_name(c) && !line[..line.len() - rest.len()].ends_with(is_of_a_name);
            if starts_a_word
                && rest.starts_with("super")
                && !line[..line.len() - rest.len()].ends_with("super::")
            {
                let climbed = count_of_supers(rest);
                if climbed > depth + inline.iter().filter(|is_mod| **is_mod).count() {
                    out.push(number + 1);
                }
            }
            if starts_a_word && rest.starts_with("mod ") {
                opened_by_mod = true;
            }
            match c {
                '{' => {
                    inline.push(opened_by_mod);
                    opened_by_mod = false;
                }
                '}' => {
                    inline.pop();
                }
                ';' => opened_by_mod = false,
                _ => {}
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn count_of_supers(mut path: &str) -> usize {
    let mut count = 0;
    while let Some(rest) = path.strip_prefix("super") {
        count += 1;
        path = rest.strip_prefix("::").unwrap_or("");
    }
    count
}

#[cfg(test)]
mod tests {
    use super::{Named, climbs_out, code_of, named_under};

    fn names(root: &str, code: &str) -> Vec<String> {
        named_under(root, &code_of(code)).into_iter().map(|named| named.segment).collect()
    }

    #[test]
    fn blanks_comments_and_literals_and_nothing_else() {
        let source = "a /* b /* c */ */ d // e\n\"f \\\" g\" h r#\"i \" j\"# k '\\'' 'l' &'m b\"n\" for\"o\"";
        let code: Vec<String> = code_of(source).split_whitespace().map(str::to_owned).collect();
        assert_eq!(code, ["a", "d", "h", "k", "&'m", "b", "for"]);
        assert_eq!(code_of(source).matches('\n').count(), 1);
    }

    #[test]
    fn finds_what_is_named_under_a_crate() {
        assert_eq!(names("store", "use store::model::Uid;"), ["model"]);
        assert_eq!(names("store", "use store::{model::{Uid, AeTitle}, Session};"), ["model", "Session"]);
        assert_eq!(names("store", "fn f() { ::store::query::fold() }"), ["query"]);
        assert_eq!(names("store", "use ::store::query;"), ["query"]);
        assert_eq!(names("store", "use store as s;"), ["*"]);
        assert_eq!(names("store", "use store::*;"), ["*"]);
    }

    #[test]
    fn takes_no_comment_string_or_longer_name_for_a_path() {
        assert!(names("store", "// store::Session\nlet a = \"store::Session\";").is_empty());
        assert!(names("store", "use my_store::A; use store_x::B; self.store.open(); x::store::C").is_empty());
    }

    #[test]
    fn says_on_which_line_a_name_stands() {
        let found = named_under("crate", "use a;\nuse crate::session::Session;\n");
        assert_eq!(found, [Named { line: 2, segment: "session".to_owned() }]);
    }

    #[test]
    fn notices_a_super_that_leaves_the_module() {
        assert_eq!(climbs_out(0, "use super::session;"), [1]);
        assert_eq!(climbs_out(1, "use super::super::session;"), [1]);
        assert_eq!(climbs_out(0, "mod tests {\n    use super::super::session;\n}"), [2]);
        assert!(climbs_out(1, "use super::uid::Uid;").is_empty());
        assert!(climbs_out(0, "mod tests {\n    fn a() {}\n    use super::Uid;\n}").is_empty());
    }
}
