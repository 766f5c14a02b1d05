//! A plot as SVG: lines over a logarithmic axis, in panels one above the other.
//!
//! Decides the drawing: colours that are told apart by eyes of every kind, on light and on dark, and marks that are told apart
//! without colour. What is drawn is its caller's.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const PANEL: f64 = 220.0;
const GAP: f64 = 72.0;

/// One panel: lines of (x, y) over axes.
pub(super) struct Panel {
    /// What the upright axis is, with its unit.
    pub label: String,
    /// Whether it is logarithmic; else it begins at 0.
    pub logarithmic: bool,
    pub lines: Vec<Line>,
}

/// A line and its marks.
pub(super) struct Line {
    /// Which colour and mark, by number.
    pub style: usize,
    pub dashed: bool,
    pub points: Vec<(f64, f64)>,
}

/// Panels over one axis of x, with a title and the names of the styles.
pub(super) struct Plot {
    pub title: String,
    pub axis: String,
    pub names: Vec<String>,
    pub panels: Vec<Panel>,
    /// Marks on the axis of x, all above 0.
    pub ticks: Vec<f64>,
}

// No variables: not every viewer knows them.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-size:15px;font-weight:600}.p{fill:#fff}
.g{stroke:#d8dee4}.a{stroke:#1f2328;fill:none}.l{fill:none;stroke-width:2}.d{stroke-dasharray:5 4;stroke-width:1.5}
.c0{stroke:#0072b2}.c1{stroke:#d55e00}.c2{stroke:#008a63}.c3{stroke:#b0498a}
.m0{fill:#0072b2}.m1{fill:#d55e00}.m2{fill:#008a63}.m3{fill:#b0498a}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.p{fill:#0d1117}.g{stroke:#30363d}.a{stroke:#e6edf3}
.c0{stroke:#56b4e9}.c1{stroke:#f0a35e}.c2{stroke:#3ad6a4}.c3{stroke:#e79fc8}
.m0{fill:#56b4e9}.m1{fill:#f0a35e}.m2{fill:#3ad6a4}.m3{fill:#e79fc8}}";

/// The plot as a file.
pub(super) fn svg(plot: &Plot) -> String {
    let panels = plot.panels.len() as f64;
    let height = TOP + panels * PANEL + (panels - 1.0) * GAP + 64.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
         <rect class=\"p\" width=\"100%\" height=\"100%\"/>\n<text class=\"t\" x=\"{LEFT}\" y=\"22\">{title}</text>\n",
        title = escape(&plot.title)
    );
    let step = (WIDTH - LEFT - RIGHT) / plot.names.len().max(1) as f64;
    for (style, name) in plot.names.iter().enumerate() {
        let x = LEFT + step * style as f64;
        mark(&mut out, style, (x + 6.0, 42.0));
        text(&mut out, (x + 18.0, 47.0), "start", name);
    }
    for (number, panel) in plot.panels.iter().enumerate() {
        let top = TOP + number as f64 * (PANEL + GAP);
        draw(&mut out, plot, panel, top);
    }
    out.push_str("</svg>\n");
    out
}

/// One panel, whose upper end is there.
fn draw(out: &mut String, plot: &Plot, panel: &Panel, top: f64) {
    let bottom = top + PANEL;
    let (first, last) = (plot.ticks.first().copied().unwrap_or(1.0), plot.ticks.last().copied().unwrap_or(10.0));
    let across =
        |x: f64| LEFT + 24.0 + (WIDTH - LEFT - RIGHT - 48.0) * (x / first).ln() / (last / first).max(1.001).ln();
    let all = || panel.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let most = all().fold(0.0, f64::max);
    let ticks = if panel.logarithmic { decades(all().fold(f64::INFINITY, f64::min), most) } else { steps(most) };
    let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
    let up = |y: f64| {
        let part = if panel.logarithmic { (y / low).ln() / (high / low).ln() } else { (y - low) / (high - low) };
        bottom - PANEL * part.clamp(0.0, 1.0)
    };
    for &tick in &ticks {
        let y = up(tick);
        let _ = writeln!(out, "<path class=\"g\" d=\"M{LEFT} {y:.1}H{}\"/>", WIDTH - RIGHT);
        text(out, (LEFT - 8.0, y + 4.5), "end", &number(tick));
    }
    for &tick in &plot.ticks {
        let x = across(tick);
        let _ = writeln!(out, "<path class=\"a\" d=\"M{x:.1} {bottom}v5\"/>");
        text(out, (x, bottom + 20.0), "middle", &number(tick));
    }
    let _ = writeln!(out, "<path class=\"a\" d=\"M{LEFT} {top}V{bottom}H{}\"/>", WIDTH - RIGHT);
    text(out, ((LEFT + WIDTH - RIGHT) / 2.0, bottom + 40.0), "middle", &plot.axis);
    let middle = f64::midpoint(top, bottom);
    let _ = writeln!(
        out,
        "<text text-anchor=\"middle\" transform=\"translate(18 {middle}) rotate(-90)\">{}</text>",
        escape(&panel.label)
    );
    for line in &panel.lines {
        let at = |&(x, y): &(f64, f64)| (across(x), up(y));
        let path: Vec<String> = line.points.iter().map(at).map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let dashed = if line.dashed { " d" } else { "" };
        let _ = writeln!(out, "<path class=\"l c{}{dashed}\" d=\"M{}\"/>", line.style, path.join("L"));
        if !line.dashed {
            line.points.iter().map(at).for_each(|place| mark(out, line.style, place));
        }
    }
}

/// A mark of its own shape for each style.
fn mark(out: &mut String, style: usize, (x, y): (f64, f64)) {
    let shape = match style {
        0 => "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        1 => "m-4.5 -4.5h9v9h-9z",
        2 => "m0 -6l5.5 10h-11z",
        _ => "m0 -6l6 6l-6 6l-6 -6z",
    };
    let _ = writeln!(out, "<path class=\"m{style}\" d=\"M{x:.1} {y:.1}{shape}\"/>");
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(out, "<text text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(words));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Powers of ten around these two.
fn decades(least: f64, most: f64) -> Vec<f64> {
    if !(least > 0.0 && least.is_finite() && most.is_finite()) {
        return vec![1.0, 10.0];
    }
    let low = 10_f64.powf(least.log10().floor());
    let mut ticks = vec![low, low * 10.0];
    while ticks[ticks.len() - 1] < most {
        ticks.push(ticks[ticks.len() - 1] * 10.0);
    }
    ticks
}

/// From 0 by even steps to what is not exceeded.
fn steps(most: f64) -> Vec<f64> {
    let most = if most > 0.0 && most.is_finite() { most } else { 1.0 };
    let unit = 10_f64.powf((most / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * unit).find(|step| step * 4.0 >= most).unwrap_or(most);
    (0..5).map(|n| f64::from(n) * step).collect()
}

/// As short as it can be said.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if value >= 1000.0 { super::page::thousands(value as u64) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_what_is_drawn() {
        assert_eq!(decades(0.03, 4.0), [0.01, 0.1, 1.0, 10.0]);
        assert_eq!(decades(f64::INFINITY, 0.0), [1.0, 10.0]);
        assert_eq!(steps(7.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(steps(0.0).len(), 5);
        assert_eq!([0.01, 0.5, 20.0, 1000.0].map(number), ["0.01", "0.5", "20", "1,000"]);
    }

    #[test]
    fn names_cannot_break_out() {
        let plot =
            Plot { title: "a<b".into(), axis: "x".into(), names: vec!["\"&".into()], panels: vec![], ticks: vec![] };
        let text = svg(&plot);
        assert!(text.contains("a&lt;b") && text.contains("&quot;&amp;"), "{text}");
    }
}
