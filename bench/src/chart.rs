//! The figures that were to be reached as a picture: for each, how much better than the other side we are.
//!
//! Black with neon green, as the arcade; no fonts and no scripts of anybody else, so that it shows wherever Markdown does.

use crate::figures::{Figure, short};
use crate::results::{Goal, Results, Verdict};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

const WIDTH: f64 = 880.0;
const LEFT: f64 = 490.0;
const BAR: f64 = 290.0;
const ROW: f64 = 44.0;
const TOP: f64 = 92.0;

const BLACK: &str = "#000000";
const GREEN: &str = "#39ff14";
const DIM: &str = "#1c7a0c";
const AMBER: &str = "#ffb000";
const WHITE: &str = "#e8ffe4";
const GREY: &str = "#7f9a7a";

/// Writes the picture.
pub(crate) fn write(path: &Path, results: &Results) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, draw(results)).with_context(|| format!("{} cannot be written", path.display()))
}

/// How far a figure is to the good side of its goal: 1 is the goal, 2 twice as good.
fn margin(verdict: &Verdict) -> Option<Figure> {
    let Figure { median, min, max } = verdict.figure;
    match verdict.goal {
        Goal::AtMost(limit) => Some(Figure { median: limit / median, min: limit / max, max: limit / min }),
        Goal::AtLeast(limit) => Some(Figure { median: median / limit, min: min / limit, max: max / limit }),
        Goal::None => None,
    }
}

fn draw(results: &Results) -> String {
    let rows: Vec<(char, &Verdict, Figure)> = results
        .scenarios
        .iter()
        .flat_map(|(letter, outcome)| outcome.verdicts.iter().map(move |verdict| (*letter, verdict)))
        .filter_map(|(letter, verdict)| Some((letter, verdict, margin(verdict)?)))
        .collect();
    // The goal stands at a third of the width; what is better than three times as good is cut there and says so.
    let scale = |value: f64| (value.min(3.0) / 3.0) * BAR;
    let height = TOP + rows.len() as f64 * ROW + 34.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" role=\"img\" \
         aria-label=\"Everplay beside the floor and Colyseus: figures and goals\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{BLACK}\"/>\n\
         <text x=\"24\" y=\"36\" font-size=\"20\" font-weight=\"bold\" fill=\"{GREEN}\">Everplay, measured</text>\n\
         <text x=\"24\" y=\"60\" font-size=\"12\" fill=\"{GREY}\">one driver, one machine, rounds in turns; the line is \
         what was to be reached: longer is better, amber is short of it</text>\n"
    );
    for (at, (letter, verdict, margin)) in rows.iter().enumerate() {
        let y = TOP + at as f64 * ROW;
        let color = if verdict.reached() { GREEN } else { AMBER };
        let parts = [
            text(24.0, y + 13.0, 13, color, &format!("({letter})")),
            text(60.0, y + 13.0, 12, WHITE, &verdict.name),
            text(60.0, y + 29.0, 11, GREY, &format!("to reach {}", verdict.goal)),
            format!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"{color}\"/>\n",
                scale(margin.median)
            ),
            format!(
                "<path d=\"M{:.1} {:.1}H{:.1}\" stroke=\"{DIM}\" stroke-width=\"3\"/>\n",
                LEFT + scale(margin.min),
                y + 24.0,
                LEFT + scale(margin.max)
            ),
            text(LEFT + BAR + 14.0, y + 14.0, 14, color, &short(verdict.figure.median)),
        ];
        svg.extend(parts);
    }
    let goal = LEFT + scale(1.0);
    writeln!(
        svg,
        "<path d=\"M{goal:.1} {:.1}V{:.1}\" stroke=\"{WHITE}\" stroke-dasharray=\"4 4\"/>\n</svg>",
        TOP - 10.0,
        height - 24.0
    )
    .expect("a text takes everything");
    svg
}

fn text(x: f64, y: f64, size: u32, color: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{color}\">{text}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_is_better_whatever_the_goal_says() {
        let verdict = |median, goal| Verdict {
            name: "a < b".into(),
            figure: Figure { median, min: median, max: median },
            goal,
        };
        let median = |verdict| margin(&verdict).unwrap().median;
        assert_eq!(median(verdict(0.5, Goal::AtMost(1.0))), 2.0);
        assert_eq!(median(verdict(8.0, Goal::AtLeast(4.0))), 2.0);
        assert!(margin(&verdict(1.0, Goal::None)).is_none());
        assert!(text(0.0, 0.0, 1, GREEN, "a < b").contains("a &lt; b"));
    }
}
