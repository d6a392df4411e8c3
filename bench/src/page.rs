//! The part of docs/benchmarks.md that the command writes: between two marks, so that the rest is people's.

use crate::results::{Goal, Outcome, Results};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- begin: written by `cargo xtask bench` -->";
const END: &str = "<!-- end: written by `cargo xtask bench` -->";

/// Puts the results into the page.
pub(crate) fn update(page: &Path, results: &Results) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("{} cannot be read", page.display()))?;
    let marks = || format!("{} has no line `{BEGIN}` before a line `{END}`", page.display());
    let (before, rest) = text.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", render(results));
    std::fs::write(page, text).with_context(|| format!("{} cannot be written", page.display()))
}

/// All results as Markdown: what was to be reached, then each scenario.
pub(crate) fn render(results: &Results) -> String {
    let mut text = String::new();
    let goals = results.scenarios.iter().flat_map(|(letter, outcome)| {
        let with_goal = outcome.verdicts.iter().filter(|verdict| verdict.goal != Goal::None);
        with_goal.map(move |verdict| {
            let reached = if verdict.reached() { "yes" } else { "**no**" };
            vec![
                format!("({letter}) {}", verdict.name),
                verdict.figure.to_string(),
                verdict.goal.to_string(),
                reached.to_owned(),
            ]
        })
    });
    text += &table(&["figure", "measured", "to reach", "reached"], &goals.collect::<Vec<_>>());
    for (letter, outcome) in &results.scenarios {
        text.push('\n');
        text += &section(*letter, outcome);
    }
    text
}

fn section(letter: char, outcome: &Outcome) -> String {
    let Outcome { title, method, columns, rows, verdicts, conditions } = outcome;
    let mut text = format!("### ({letter}) {title}\n\n{method}\n\n");
    let header: Vec<&str> = std::iter::once("").chain(columns.iter().map(String::as_str)).collect();
    let cells =
        |cell: &Option<crate::figures::Figure>| cell.map_or("-".to_owned(), |figure| figure.to_string());
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| std::iter::once(row.name.clone()).chain(row.cells.iter().map(cells)).collect())
        .collect();
    text += &table(&header, &rows);
    text.push('\n');
    for verdict in verdicts {
        let goal = match verdict.goal {
            Goal::None => String::new(),
            goal => format!(" (to reach: {goal})"),
        };
        writeln!(text, "- {}: {}{goal}", verdict.name, verdict.figure).expect("a text takes everything");
    }
    let foreign = conditions.foreign.map_or("nothing".to_owned(), |figure| format!("{figure} of a core"));
    writeln!(
        text,
        "\n{} UTC; {}; {}; {}. Median (lowest .. highest) of {}. Others on the machine took {foreign}; the driver took \
         at most {:.0} % of its core.",
        conditions.date,
        conditions.machine,
        conditions.cores,
        conditions.versions,
        match conditions.rounds {
            1 => "1 round".to_owned(),
            rounds => format!("{rounds} rounds"),
        },
        conditions.driver * 100.0
    )
    .expect("a text takes everything");
    text
}

/// The first column is the names of its rows.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len()));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("a text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figure;
    use crate::results::{Conditions, Row, Verdict};

    fn results() -> Results {
        let figure = |value: f64| Figure { median: value, min: value - 0.5, max: value + 0.5 };
        let outcome = Outcome {
            title: "fan-out".into(),
            method: "Much is sent.".into(),
            columns: vec!["Everplay".into(), "floor".into()],
            rows: vec![Row { name: "CPU".into(), cells: vec![Some(figure(2.0)), None] }],
            verdicts: vec![Verdict {
                name: "against it".into(),
                figure: figure(1.5),
                goal: Goal::AtMost(1.25),
            }],
            conditions: Conditions {
                date: "2026-11-21 09:50".into(),
                machine: "a machine".into(),
                versions: "versions".into(),
                cores: "cores".into(),
                rounds: 3,
                foreign: None,
                driver: 0.25,
            },
        };
        Results { scenarios: [('a', outcome)].into() }
    }

    #[test]
    fn only_the_part_between_the_marks_changes() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        std::fs::write(&page, format!("# Mine\n\n{BEGIN}\nold\n{END}\n\nAlso mine.\n")).unwrap();
        for _ in 0..2 {
            update(&page, &results()).unwrap();
        }
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.starts_with(&format!("# Mine\n\n{BEGIN}\n\n| figure |")), "{text}");
        assert!(text.ends_with(&format!("{END}\n\nAlso mine.\n")), "{text}");
        assert!(text.contains("| (a) against it | 1.50 (1.00 .. 2.00) | <= 1.25 | **no** |"), "{text}");
        assert!(text.contains("| CPU | 2.00 (1.50 .. 2.50) | - |"), "{text}");
        assert!(!text.contains("old"));
        std::fs::write(&page, "no marks").unwrap();
        assert!(update(&page, &results()).is_err());
    }
}
