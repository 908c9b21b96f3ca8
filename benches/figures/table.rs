//! Figures as the rows of a Markdown table.

/// A figure.
pub struct Row {
    pub figure: &'static str,
    pub measured: String,
    /// What it is compared with, from the same run.
    pub beside: String,
    pub bar: &'static str,
    pub holds: bool,
}

const HEADERS: [&str; 5] = ["figure", "measured", "beside, same run", "bar", ""];

/// The table, its columns aligned.
pub fn render(rows: &[Row]) -> String {
    let cells = rows.iter().map(|row| {
        let verdict = if row.holds { "holds" } else { "missed" };
        [row.figure, &row.measured, &row.beside, row.bar, verdict].map(str::to_owned)
    });
    let lines: Vec<[String; 5]> =
        std::iter::once(HEADERS.map(str::to_owned)).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADERS.len()).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
        if index == 0 {
            let rules = widths.iter().map(|width| format!("|{}", "-".repeat(width + 2)));
            text.extend(rules);
            text.push_str("|\n");
        }
    }
    text
}
