//! The forms in which lists are printed: `-o table|json|yaml|name`.

use clap::ValueEnum;
use serde::Serialize;

use crate::error::{Error, Result};

/// Spaces between two columns, as kubectl prints them.
const COLUMN_GAP: usize = 3;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
    /// YAML.
    Yaml,
    /// Only the names, one a line.
    Name,
}

/// A thing that can be listed.
pub trait Listed: Serialize {
    /// The column headers.
    const HEADERS: &'static [&'static str];
    /// One row, as many cells as there are headers.
    fn row(&self) -> Vec<String>;
    /// What `-o name` prints.
    fn name(&self) -> &str;
}

/// Renders a list, a table of it without headers.
pub fn render_rows<T: Listed>(items: &[T], format: Format) -> Result<String> {
    let text = render(items, format)?;
    let rows = text.split_once('\n').filter(|_| format == Format::Table);
    Ok(rows.map_or_else(|| text.clone(), |(_, rows)| rows.to_owned()))
}

/// Renders a list.
pub fn render<T: Listed>(items: &[T], format: Format) -> Result<String> {
    match format {
        Format::Table => Ok(table(T::HEADERS, items.iter().map(Listed::row))),
        Format::Name => Ok(items.iter().map(|item| format!("{}\n", item.name())).collect()),
        Format::Json => json(&items),
        Format::Yaml => yaml(&items),
    }
}

/// Renders one value as JSON with a line break at its end.
pub fn json<T: Serialize>(value: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| Error::failure("encode the output as JSON").because(source))?;
    Ok(text + "\n")
}

/// Renders one value as YAML.
pub fn yaml<T: Serialize>(value: &T) -> Result<String> {
    serde_yaml::to_string(value)
        .map_err(|source| Error::failure("encode the output as YAML").because(source))
}

fn table(headers: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let header: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width + COLUMN_GAP - cell.chars().count();
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', padding));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Item {
        name: &'static str,
        size: u32,
    }

    impl Listed for Item {
        const HEADERS: &'static [&'static str] = &["NAME", "SIZE"];

        fn row(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.size.to_string()]
        }

        fn name(&self) -> &str {
            self.name
        }
    }

    const ITEMS: &[Item] = &[Item { name: "a-long-name", size: 1 }, Item { name: "b", size: 20 }];

    #[test]
    fn every_format() {
        let text = |format| render(ITEMS, format).unwrap();
        assert_eq!(text(Format::Table), "NAME          SIZE\na-long-name   1\nb             20\n");
        assert_eq!(text(Format::Name), "a-long-name\nb\n");
        assert_eq!(text(Format::Yaml), "- name: a-long-name\n  size: 1\n- name: b\n  size: 20\n");
        let parsed: serde_json::Value = serde_json::from_str(&text(Format::Json)).unwrap();
        assert_eq!(parsed[1]["size"], 20);
    }

    #[test]
    fn an_empty_list_is_valid_in_every_format() {
        let none: &[Item] = &[];
        assert_eq!(render(none, Format::Json).unwrap(), "[]\n");
        assert_eq!(render(none, Format::Table).unwrap(), "NAME   SIZE\n");
        assert_eq!(render(none, Format::Name).unwrap(), "");
    }
}
