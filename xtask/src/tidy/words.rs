//! Texts that do not belong into a repository.

use super::{Files, Finding, per_line};

/// Written in halves, because this file is read too.
const FOREIGN: [(&str, &str); 11] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/fa", "rm/"),
    ("/ho", "me/"),
    ("/tm", "p/"),
    ("sha", "red/"),
    ("registry.npm", "js"),
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("files.python", "hosted"),
    ("deb.deb", "ian.org"),
];

/// Notes to oneself.
const UNFINISHED: [(&str, &str); 4] = [("TO", "DO"), ("FIX", "ME"), ("todo", "!("), ("unimplemented", "!(")];

/// Paths that exist on one machine only, and hosts that are one mirror of many.
pub(super) fn foreign(files: &Files) -> Vec<Finding> {
    per_line(files.iter(), |line| {
        let word = FOREIGN
            .iter()
            .map(|(head, tail)| format!("{head}{tail}"))
            .find(|word| contains_path(line, word))?;
        Some(format!("{word:?} means something on one machine only: name the thing, not the place"))
    })
}

/// `word` where a path or a host begins, not in the middle of a longer one.
fn contains_path(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| {
            !(before.is_alphanumeric() || matches!(before, '_' | '-' | '.' | '/' | '}' | '*'))
        })
    })
}

/// A change is whole or it waits; what stays undone stands in the documents, with its reason.
pub(super) fn unfinished(files: &Files) -> Vec<Finding> {
    let sources = files.with_ending(&["rs", "ts", "mjs", "js", "css", "html", "toml", "md", "sh", "yml"]);
    per_line(sources, |line| {
        let word = UNFINISHED
            .iter()
            .map(|(head, tail)| format!("{head}{tail}"))
            .find(|word| contains_word(line, word))?;
        Some(format!("{word:?}: finish it, or say in a document why it stays"))
    })
}

fn contains_word(line: &str, word: &str) -> bool {
    let joins = |other: Option<char>| {
        other.is_some_and(|other| other.is_alphanumeric() || other == '_' || other == '-')
    };
    line.match_indices(word).any(|(at, _)| {
        let after = if word.ends_with('(') { None } else { line[at + word.len()..].chars().next() };
        !joins(line[..at].chars().next_back()) && !joins(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_machine_is_found_where_it_begins() {
        let text = format!("see {}{}main\nnet{}{}a\n", "/wo", "rk/", "/wo", "rk/");
        let findings = foreign(&Files::of([("a.md", &text)]));
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("a.md", 1));
    }

    #[test]
    fn unfinished_work_is_found_as_a_word() {
        let text = format!("// {}{}: later\nlet TO{}NT = 1;\n", "TO", "DO", "DO");
        assert_eq!(unfinished(&Files::of([("a.rs", &text)])).len(), 1);
    }
}
