//! Tables for people: columns as wide as what is in them, blanks between them, no frames.

use unicode_width::UnicodeWidthStr;

/// A table with its headings.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; control characters in it cannot reach the terminal.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.headings.len(), "a cell for each heading");
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// The table as text, without a line end at its end; `empty` when there are no rows.
    pub(super) fn render(&self, empty: &str) -> String {
        if self.rows.is_empty() {
            return empty.to_owned();
        }
        let width_of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
            cells.chain(self.headings.get(column).map(|heading| heading.width())).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width_of).collect();
        let headings: Vec<String> = self.headings.iter().map(|heading| heading.to_uppercase()).collect();
        let lines: Vec<String> =
            std::iter::once(&headings).chain(&self.rows).map(|row| line(row, &widths)).collect();
        lines.join("\n")
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
    }
    line.truncate(line.trim_end().len());
    line
}

/// A text whose control characters are shown as `?`: what a device or a caller wrote must not steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(&["id", "name"]);
        table.row(["hotel-1".into(), "海景酒店".into()]);
        table.row(["b".into(), String::new()]);
        assert_eq!(table.render("none"), "ID       NAME\nhotel-1  海景酒店\nb");
        let mut wide = Table::new(&["name", "x"]);
        wide.row(["海景".into(), "1".into()]);
        wide.row(["abcde".into(), "2".into()]);
        assert_eq!(wide.render(""), "NAME   X\n海景   1\nabcde  2");
    }

    #[test]
    fn an_empty_table_says_so_and_controls_are_shown_as_marks() {
        assert_eq!(Table::new(&["id"]).render("no devices yet"), "no devices yet");
        let mut table = Table::new(&["id"]);
        table.row(["\u{1b}[2Jx".into()]);
        assert_eq!(table.render(""), "ID\n?[2Jx");
    }
}
