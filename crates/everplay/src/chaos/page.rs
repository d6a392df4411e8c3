//! The report as one page that needs nothing else: pure.
//!
//! For each fault three drawings: frames shown around the moment it was done, the pauses as a distribution beside what is
//! promised, and each time by itself, which shows whether it gets worse the longer a region runs.

use super::report::{Figures, Picture, Promise, Report};
use std::fmt::Write;

/// Of one drawing, in pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 190.0;
/// Room for the numbers at its left and below.
const LEFT: f64 = 44.0;
const BELOW: f64 = 24.0;
/// Slots before the moment in a picture, and their length in seconds.
const BEFORE: f64 = 20.0;
const SLOT: f64 = 0.05;
/// Milliseconds at both ends of the axis of pauses.
const SHORTEST: f64 = 20.0;
const LONGEST: f64 = 20_000.0;
/// Told apart also by those who do not see all colours.
const COLOURS: [&str; 8] =
    ["#39ff88", "#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#d55e00", "#ffffff", "#8c9c92"];

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1480px;padding:0 1rem;\
color:#d7e5dc;background:#050805}h1{font-size:1.6rem}h2{font-size:1.2rem;margin:2.5rem 0 .3rem}pre{white-space:pre-wrap}\
.table{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}td,th{padding:.2rem .7rem;text-align:right;\
border-bottom:1px solid #1b2a20}td:nth-child(-n+2),th:nth-child(-n+2){text-align:left}.missed{color:#ff6b6b;\
font-weight:600}.kept{color:#39ff88}.row{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:100%}\
svg{max-width:100%;height:auto}figcaption{font-size:.85rem;color:#8fa697}svg text{font:11px system-ui,sans-serif;\
fill:#8fa697}.key{font-size:.85rem;margin:.2rem 0}.key i{display:inline-block;width:.8em;height:.8em;\
margin:0 .3em 0 .9em;border-radius:2px}.good,.bad{padding:.7rem 1rem;border-radius:6px;border:1px solid}\
.good{background:#08160d;border-color:#39ff88}.bad{background:#2a0d0d;border-color:#ff6b6b}";

/// The whole page.
pub(super) fn render(report: &Report) -> String {
    let (header, rows) = report.rows();
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>everplay chaos</title><style>{STYLE}</style>\
         <h1>A region, broken on purpose</h1><pre>{}</pre><pre class=\"{}\">{}</pre><div class=\"table\"><table><tr>",
        escape(&report.head()),
        if report.is_clean() { "good" } else { "bad" },
        escape(&report.verdict()),
    );
    for cell in header {
        push(&mut page, format_args!("<th>{cell}</th>"));
    }
    for row in rows {
        page.push_str("</tr><tr>");
        for cell in row {
            let class = match cell.as_str() {
                "kept" => " class=\"kept\"",
                "MISSED" => " class=\"missed\"",
                _ => "",
            };
            push(&mut page, format_args!("<td{class}>{}</td>", escape(&cell)));
        }
    }
    page.push_str("</tr></table></div>");
    let mut faults: Vec<&str> = Vec::new();
    for figures in &report.figures {
        if !faults.contains(&figures.fault.as_str()) {
            faults.push(&figures.fault);
        }
    }
    for fault in faults {
        let rows: Vec<&Figures> = report
            .figures
            .iter()
            .filter(|figures| figures.fault == fault && !figures.pauses.is_empty())
            .collect();
        let pictures: Vec<&Picture> =
            report.pictures.iter().filter(|picture| picture.fault == fault).collect();
        push(&mut page, format_args!("<h2>{}</h2><div class=\"key\">", escape(fault)));
        for (row, colour) in rows.iter().zip(COLOURS.iter().cycle()) {
            push(&mut page, format_args!("<i style=\"background:{colour}\"></i>{}", escape(&row.who)));
        }
        page.push_str("</div><div class=\"row\">");
        if !pictures.is_empty() {
            page.push_str(&timeline(&pictures));
        }
        page.push_str(&distribution(&rows));
        if rows.iter().any(|row| row.times.len() > 1) {
            page.push_str(&times(&rows));
        }
        page.push_str("</div>");
    }
    page.push_str("</html>\n");
    page
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a text takes whatever is written to it");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A drawing with its frame and its words.
fn figure(words: &str, inside: &str) -> String {
    let (right, bottom) = (WIDTH - 6.0, HEIGHT - BELOW);
    format!(
        "<figure><svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{words}\"><path d=\"M{LEFT} 6V{bottom}H{right}\" fill=\"none\" stroke=\"#3c5646\"/>{inside}</svg>\
         <figcaption>{words}</figcaption></figure>"
    )
}

/// Where a share of the width is, and of the height.
fn at(x: f64, y: f64) -> (f64, f64) {
    (LEFT + x * (WIDTH - 6.0 - LEFT), HEIGHT - BELOW - y * (HEIGHT - BELOW - 6.0))
}

fn line(points: impl Iterator<Item = (f64, f64)>, colour: &str, more: &str) -> String {
    let points: Vec<String> = points.map(|(x, y)| at(x, y)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let points = points.join(" ");
    format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" {more}/>")
}

fn word(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
}

/// Frames a second, each time faintly and all of them together.
fn timeline(pictures: &[&Picture]) -> String {
    let slots = pictures.iter().map(|picture| picture.frames.len()).max().unwrap_or(1).max(2);
    let most = pictures.iter().flat_map(|picture| &picture.frames).max().copied().unwrap_or(1).max(1);
    let place = |slot: usize, frames: f64| (slot as f64 / (slots - 1) as f64, frames / f64::from(most));
    let mut inside = String::new();
    for picture in pictures.iter().take(60) {
        let points = picture.frames.iter().enumerate().map(|(slot, frames)| place(slot, f64::from(*frames)));
        inside += &line(points, COLOURS[0], "stroke-opacity=\".15\"");
    }
    let mean = |slot: usize| {
        let sum: f64 =
            pictures.iter().filter_map(|picture| picture.frames.get(slot)).map(|n| f64::from(*n)).sum();
        sum / pictures.len() as f64
    };
    inside += &line((0..slots).map(|slot| place(slot, mean(slot))), COLOURS[0], "stroke-width=\"1.6\"");
    let moment = BEFORE / (slots - 1) as f64;
    inside += &line([(moment, 0.0), (moment, 1.0)].into_iter(), "#ff6b6b", "stroke-dasharray=\"4 3\"");
    let last = (slots as f64 - BEFORE) * SLOT;
    for second in [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0] {
        if second <= last {
            let (x, y) = at((second / SLOT + BEFORE) / (slots - 1) as f64, 0.0);
            inside += &word(x, y + 15.0, "middle", &format!("{second} s"));
        }
    }
    let (x, y) = at(0.0, 1.0);
    inside += &word(x - 5.0, y + 8.0, "end", &format!("{:.0}", f64::from(most) / SLOT));
    figure("frames shown a second, to all players together, around the moment", &inside)
}

/// The place of a pause on an axis of powers.
fn share(ms: f64) -> f64 {
    ((ms.clamp(SHORTEST, LONGEST) / SHORTEST).ln() / (LONGEST / SHORTEST).ln()).clamp(0.0, 1.0)
}

fn distribution(rows: &[&Figures]) -> String {
    let mut inside = String::new();
    for (row, colour) in rows.iter().zip(COLOURS.iter().cycle()) {
        let count = row.pauses.len();
        // As many points as there are pixels show all there is.
        let step = (count / 400).max(1);
        let points = (0..count).step_by(step).chain(count.checked_sub(1));
        let points =
            points.map(|n| (share(row.pauses[n].as_secs_f64() * 1e3), (n + 1) as f64 / count as f64));
        inside += &line(points, colour, "stroke-width=\"1.6\"");
        let Promise { p50_ms, p99_ms, max_ms } = row.promise;
        for (bound, height) in [(p50_ms, 0.5), (p99_ms, 0.99), (max_ms, 1.0)] {
            if let Some(bound) = bound {
                let (x, y) = at(share(f64::from(bound)), height);
                inside += &format!(
                    "<path d=\"M{x:.1} {:.1}v14m-4 -7h8\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                    y - 7.0
                );
            }
        }
    }
    for (ms, text) in
        [(20.0, "20 ms"), (100.0, "100 ms"), (500.0, "0.5 s"), (2_000.0, "2 s"), (10_000.0, "10 s")]
    {
        let (x, y) = at(share(ms), 0.0);
        inside += &word(x, y + 15.0, "middle", text);
    }
    for (height, text) in [(0.5, "50 %"), (0.99, "99 %")] {
        let (x, y) = at(0.0, height);
        inside += &word(x - 5.0, y + 4.0, "end", text);
    }
    figure("share of pauses up to this long; crosses are what is promised", &inside)
}

fn times(rows: &[&Figures]) -> String {
    let most = rows.iter().map(|row| row.times.len()).max().unwrap_or(1).max(2);
    let place = |n: usize, ms: f64| (n as f64 / (most - 1) as f64, share(ms));
    let mut inside = String::new();
    for (row, colour) in rows.iter().zip(COLOURS.iter().cycle()) {
        let of = |value: fn(&super::report::Time) -> Option<f64>| {
            row.times.iter().enumerate().filter_map(move |(n, time)| Some(place(n, value(time)?)))
        };
        inside += &line(of(|time| time.p50_ms), colour, "stroke-width=\"1.6\"");
        inside += &line(of(|time| time.p99_ms), colour, "stroke-dasharray=\"3 3\"");
    }
    for (ms, text) in [(100.0, "0.1 s"), (1_000.0, "1 s"), (10_000.0, "10 s")] {
        let (x, y) = at(0.0, share(ms));
        inside += &word(x - 5.0, y + 4.0, "end", text);
    }
    for (n, text) in [(0, "first time"), (most - 1, "last")] {
        let (x, y) = at(n as f64 / (most - 1) as f64, 0.0);
        inside += &word(x, y + 15.0, if n == 0 { "start" } else { "end" }, text);
    }
    figure("each time by itself: p50, and p99 broken", &inside)
}

#[cfg(test)]
mod tests {
    use super::super::report::{Row, Scale, Sum};
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_fault_has_its_drawings_and_nothing_is_loaded() {
        let row = |who: &str, ms: u64| Row {
            fault: "a <fault>".to_owned(),
            who: who.to_owned(),
            times: vec![vec![Duration::from_millis(ms); 3], vec![Duration::from_millis(2 * ms)]],
            full: 0,
            promise: Promise { p50_ms: Some(150), p99_ms: Some(500), max_ms: None },
        };
        let pictures = vec![Picture { fault: "a <fault>".to_owned(), frames: vec![3; 120] }];
        let rows = vec![row("near", 90), row("far", 700)];
        let scale = Scale { nodes: 3, rooms: 1, clients: 2, sdk: 0, arenas: 0, faults: 2 };
        let page = render(&Report::new(scale, Sum { rows, pictures, frames: 10, ..Sum::default() }));
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("<h2>a &lt;fault&gt;</h2>").count(), 1);
        assert!(page.contains("class=\"kept\">kept") && page.contains("class=\"missed\">MISSED"), "{page}");
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn the_axis_of_pauses_holds_all_of_them() {
        assert_eq!(share(1.0), 0.0);
        assert_eq!(share(1e9), 1.0);
        assert!((share(632.5) - 0.5).abs() < 0.01);
    }
}
