//! The figures as an SVG document: handling speed on the left, utilisation on the right, a row for each figure.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use rserpool_core::wire::PolicyType;

use super::{Estimate, Figure, Row, abbreviation};

/// Draws all figures that the rows are of, with the confidence intervals as bars. Policies that give the same values share
/// a line of alternating colours.
pub fn svg(rows: &[Row]) -> String {
    let mut document = String::new();
    // Writing to a string cannot fail.
    let _ = write_document(&mut document, rows);
    document
}

fn write_document(out: &mut String, rows: &[Row]) -> fmt::Result {
    let mut figures: Vec<&str> = rows.iter().map(|row| row.figure).collect();
    figures.dedup();
    let width = MARGIN + 2.0 * PANEL_STRIDE;
    let height = figures
        .iter()
        .fold(LEGEND, |height, _| height + FIGURE_HEIGHT);
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(
        out,
        r#"<rect width="{width}" height="{height}" fill="white"/>"#
    )?;
    write_legend(out, rows)?;
    for (index, figure) in figures.iter().enumerate() {
        let top = (0..index).fold(LEGEND, |top, _| top + FIGURE_HEIGHT);
        let rows: Vec<&Row> = rows.iter().filter(|row| row.figure == *figure).collect();
        Panel::new(&rows, MARGIN, top).write(out, "Handling speed, % of an element", |row| {
            row.handling_speed
        })?;
        Panel::new(&rows, MARGIN + PANEL_STRIDE, top).write(
            out,
            "Utilisation of the pool, %",
            |row| row.utilisation,
        )?;
    }
    writeln!(out, "</svg>")
}

fn write_legend(out: &mut String, rows: &[Row]) -> fmt::Result {
    let mut left = MARGIN;
    for policy in policies(rows.iter()) {
        let (Style { colour, dashes }, name) = (style(policy), abbreviation(policy));
        let (right, text) = (left + 40.0, left + 46.0);
        writeln!(
            out,
            r#"<path d="M{left} 20H{right}" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"/><text x="{text}" y="24">{name}</text>"#
        )?;
        left += 100.0;
    }
    Ok(())
}

/// The policies in the order of their first rows.
fn policies<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<PolicyType> {
    let mut policies = Vec::new();
    for row in rows {
        if !policies.contains(&row.policy) {
            policies.push(row.policy);
        }
    }
    policies
}

/// One diagram: where it stands, what it shows and the values at both ends of its horizontal axis.
struct Panel<'a> {
    rows: &'a [&'a Row],
    left: f64,
    top: f64,
    first: f64,
    last: f64,
}

impl<'a> Panel<'a> {
    fn new(rows: &'a [&'a Row], left: f64, top: f64) -> Self {
        let values = || rows.iter().map(|row| row.value);
        let first = values().fold(f64::INFINITY, f64::min);
        let last = values().fold(f64::NEG_INFINITY, f64::max);
        Self {
            rows,
            left,
            top,
            first,
            last: if last > first { last } else { first + 1.0 },
        }
    }

    fn write(&self, out: &mut String, title: &str, of: fn(&Row) -> Estimate) -> fmt::Result {
        self.write_axes(out, title)?;
        for policy in policies(self.rows.iter().copied()) {
            let rows = self.rows.iter().filter(|row| row.policy == policy);
            let points: Vec<(f64, Estimate)> =
                rows.map(|row| (self.x(row.value), of(row))).collect();
            self.write_line(out, &points, &style(policy))?;
        }
        Ok(())
    }

    fn write_axes(&self, out: &mut String, title: &str) -> fmt::Result {
        let (left, right) = (self.left, self.left + PANEL_WIDTH);
        let (top, bottom) = (self.top + TITLE, self.y(0.0));
        let middle = f64::midpoint(left, right);
        writeln!(
            out,
            r#"<text x="{middle}" y="{}" text-anchor="middle" font-weight="bold">{title}</text>"#,
            top - 10.0
        )?;
        for percent in (0..=100).step_by(20) {
            let y = self.y(f64::from(percent) / 100.0);
            writeln!(
                out,
                r##"<path d="M{left} {y:.1}H{right}" stroke="#ddd"/><text x="{}" y="{:.1}" text-anchor="end">{percent}</text>"##,
                left - 6.0,
                y + 4.0
            )?;
        }
        let axis = axis(self.rows.first().map_or("", |row| row.figure));
        let step = step((self.last - self.first) * axis.scale);
        let mut label = (self.first * axis.scale / step).ceil() * step;
        while label <= self.last * axis.scale + step / 1000.0 {
            let x = self.x(label / axis.scale);
            writeln!(
                out,
                r##"<path d="M{x:.1} {bottom}v5" stroke="#333"/><text x="{x:.1}" y="{}" text-anchor="middle">{label:.0}</text>"##,
                bottom + 18.0
            )?;
            label += step;
        }
        writeln!(
            out,
            r##"<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#333"/><text x="{middle}" y="{}" text-anchor="middle">{}</text>"##,
            bottom + 36.0,
            axis.title
        )
    }

    fn write_line(
        &self,
        out: &mut String,
        points: &[(f64, Estimate)],
        style: &Style,
    ) -> fmt::Result {
        let Style { colour, dashes } = style;
        let mut line = String::new();
        for (x, estimate) in points {
            let y = self.y(estimate.mean);
            write!(
                line,
                "{}{x:.1} {y:.1}",
                if line.is_empty() { 'M' } else { 'L' }
            )?;
        }
        writeln!(
            out,
            r#"<path d="{line}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>"#
        )?;
        let drawn = points
            .iter()
            .filter(|(_, estimate)| estimate.half_width.is_finite());
        for (x, Estimate { mean, half_width }) in drawn {
            let (low, high) = (self.y(mean - half_width), self.y(mean + half_width));
            writeln!(
                out,
                r#"<path d="M{x:.1} {low:.1}V{high:.1}m-3 0h6M{:.1} {low:.1}h6" stroke="{colour}"/>"#,
                x - 3.0
            )?;
        }
        Ok(())
    }

    fn x(&self, value: f64) -> f64 {
        self.left + (value - self.first) / (self.last - self.first) * PANEL_WIDTH
    }

    /// Shares from 0 to 1 are in the diagram; others stand at its edge.
    fn y(&self, share: f64) -> f64 {
        self.top + TITLE + (1.0 - share.clamp(0.0, 1.0)) * PANEL_HEIGHT
    }
}

/// A horizontal axis; its labels are the values times `scale`.
struct Axis {
    title: &'static str,
    scale: f64,
}

fn axis(figure: &str) -> Axis {
    let is = |other: Figure| other.name() == figure;
    let (title, scale) = if is(Figure::Ratio(Vec::new())) {
        ("Users per element", 1.0)
    } else if is(Figure::Load(Vec::new())) {
        ("Target utilisation, %", 100.0)
    } else if is(Figure::Spread(Vec::new())) {
        ("Capacity of a fast element, in slow ones", 1.0)
    } else {
        ("Delay, ms", 1000.0)
    };
    Axis { title, scale }
}

/// The distance of labels, a whole number: at most 10 of them.
fn step(range: f64) -> f64 {
    let mut step = 1.0;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
        if range / step <= 10.0 || step > f64::MAX / 10.0 {
            break;
        }
        step *= factor;
    }
    step
}

struct Style {
    colour: &'static str,
    /// Lines that may lie on each other have different ones.
    dashes: &'static str,
}

fn style(policy: PolicyType) -> Style {
    let (colour, dashes) = match policy {
        PolicyType::ROUND_ROBIN => ("#d55e00", "none"),
        PolicyType::WEIGHTED_ROUND_ROBIN => ("#e69f00", "9 9"),
        PolicyType::RANDOM => ("#000000", "none"),
        PolicyType::WEIGHTED_RANDOM => ("#56b4e9", "12 12"),
        PolicyType::RANDOMIZED_LEAST_USED => ("#cc79a7", "4 10"),
        PolicyType::LEAST_USED => ("#0072b2", "none"),
        PolicyType::LEAST_USED_DEGRADATION => ("#009e73", "12 12"),
        _ => ("#999999", "4 10"),
    };
    Style { colour, dashes }
}

const MARGIN: f64 = 50.0;
const LEGEND: f64 = 40.0;
const TITLE: f64 = 28.0;
const PANEL_WIDTH: f64 = 370.0;
const PANEL_HEIGHT: f64 = 240.0;
const PANEL_STRIDE: f64 = PANEL_WIDTH + 60.0;
const FIGURE_HEIGHT: f64 = TITLE + PANEL_HEIGHT + 56.0;
