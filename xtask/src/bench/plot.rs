//! Tables as pictures.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::report::Table;

const WIDTH: u32 = 760;
/// Of a row, and of what is above and below all rows.
const ROW: u32 = 30;
const MARGINS: u32 = 100;
/// For the names.
const NAMES: u32 = 220;

/// Draws a table as bars: the median, and a line from one end of its interval to the other.
///
/// # Errors
/// Those of the file.
pub fn bars(table: &Table, path: &Path) -> Result<()> {
    draw(table, path).map_err(|error| anyhow!("draw {}: {error}", path.display()))
}

fn draw(table: &Table, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let count = i32::try_from(table.rows.len())?;
    let height = MARGINS + ROW * table.rows.len() as u32;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let most = table
        .rows
        .iter()
        .map(|row| row.value.high)
        .fold(0.0, f64::max);
    let title = format!("{}, {}", table.title, table.unit);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..most * 1.05, (0..count).into_segmented())?;
    // The first row at the top.
    let place = |at: usize| count - 1 - at as i32;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(table.rows.len())
        .y_label_formatter(&|segment| match segment {
            SegmentValue::CenterOf(at) => {
                let row = usize::try_from(count - 1 - at).ok();
                row.and_then(|row| table.rows.get(row))
                    .map_or(String::new(), |row| row.name.clone())
            }
            _ => String::new(),
        })
        .draw()?;
    chart.draw_series(table.rows.iter().enumerate().map(|(at, row)| {
        let ours = row.name.starts_with("ftpfw");
        let color = if ours {
            RGBColor(31, 119, 180)
        } else {
            RGBColor(170, 170, 170)
        };
        let (low, high) = (
            SegmentValue::Exact(place(at)),
            SegmentValue::Exact(place(at) + 1),
        );
        let mut bar = Rectangle::new([(0.0, low), (row.value.median, high)], color.filled());
        bar.set_margin(5, 5, 0, 0);
        bar
    }))?;
    chart.draw_series(table.rows.iter().enumerate().map(|(at, row)| {
        let end = |value| (value, SegmentValue::CenterOf(place(at)));
        PathElement::new(vec![end(row.value.low), end(row.value.high)], BLACK)
    }))?;
    root.present()?;
    Ok(())
}
