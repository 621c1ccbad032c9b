//! Aligned columns: no borders, at least two spaces between columns, podman's widths.

/// The narrowest column, the spaces after it included.
const NARROWEST: usize = 12;
/// Spaces between a column's longest cell and the next column.
const GAP: usize = 2;

/// Rows whose cells are separated by tabs, aligned: every column but a row's last is as wide as its longest cell. Each
/// row ends with a line feed.
pub fn align(rows: &[String]) -> String {
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.split('\t').collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate().take(row.len() - 1) {
            let width = (cell.chars().count() + GAP).max(NARROWEST);
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < row.len() {
                out.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count()));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = ["ID\tNAME\tLAST", "0123456789ab\té\t", "\t\tx"].map(String::from);
        assert_eq!(
            align(&rows),
            "ID            NAME        LAST\n0123456789ab  é           \n                          x\n"
        );
        assert_eq!(align(&["one".into(), "a\tb".into()]), "one\na           b\n");
        assert_eq!(align(&[]), "");
        assert_eq!(align(&[String::new()]), "\n");
    }
}
