//! Tables as kubectl prints them: columns three spaces apart, headings in capitals.

use machinery::Value;

/// Spaces between columns.
const PADDING: usize = 3;

/// A table, row by row.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// What of a server's table is shown, and what beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Show<'a> {
    /// Columns of lower priority too.
    pub wide: bool,
    /// The namespace, first.
    pub namespace: bool,
    /// All labels, last.
    pub labels: bool,
    /// These labels, each a column.
    pub label_columns: &'a [String],
    /// `pod/` before each name, where kinds are mixed.
    pub prefix: &'a str,
}

impl Table {
    /// Without rows.
    pub fn new(headings: &[&str]) -> Table {
        Table { headings: headings.iter().map(|heading| (*heading).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// From a `meta.k8s.io/v1` Table.
    pub fn from_server(document: &Value, show: Show<'_>) -> Table {
        let columns: Vec<(usize, &Value)> = document
            .get("columnDefinitions")
            .items()
            .iter()
            .enumerate()
            .filter(|(_, column)| show.wide || column.get("priority").as_int().unwrap_or(0) == 0)
            .collect();
        let mut table = Table::default();
        if show.namespace {
            table.headings.push("NAMESPACE".to_owned());
        }
        table
            .headings
            .extend(columns.iter().map(|(_, column)| column.get("name").str_or_empty().to_uppercase()));
        table.headings.extend(show.label_columns.iter().map(|label| label_heading(label)));
        if show.labels {
            table.headings.push("LABELS".to_owned());
        }
        for row in document.get("rows").items() {
            table.rows.push(server_row(row, &columns, show));
        }
        table
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As text, as `get` prints it.
    pub fn print(&self, with_headings: bool) -> String {
        self.print_apart(PADDING, with_headings)
    }

    /// As text, with so many spaces between columns.
    pub fn print_apart(&self, padding: usize, with_headings: bool) -> String {
        let headings = with_headings.then_some(&self.headings);
        let lines: Vec<&Vec<String>> = headings.into_iter().chain(&self.rows).collect();
        let columns = lines.iter().map(|line| line.len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
            })
            .map(|widest| widest.unwrap_or(0) + padding)
            .collect();
        lines.iter().map(|line| print_line(line, &widths)).collect()
    }
}

fn print_line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (position, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text.push_str(cell);
        // As upstream's tab writer does: the last cell is not padded.
        if position + 1 < cells.len() {
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
    }
    text.push('\n');
    text
}

fn server_row(row: &Value, columns: &[(usize, &Value)], show: Show<'_>) -> Vec<String> {
    let metadata = row.at(&["object", "metadata"]);
    let mut cells = Vec::new();
    if show.namespace {
        cells.push(metadata.get("namespace").str_or_empty().to_owned());
    }
    for (position, (index, _)) in columns.iter().enumerate() {
        let text = row.get("cells").items().get(*index).map(cell).unwrap_or_default();
        cells.push(if position == 0 { format!("{}{text}", show.prefix) } else { text });
    }
    let labels = metadata.get("labels");
    for label in show.label_columns {
        let value = labels.get(label).as_str().unwrap_or("<none>");
        cells.push(if value.is_empty() { "<none>".to_owned() } else { value.to_owned() });
    }
    if show.labels {
        let pairs: Vec<String> =
            labels.members().map(|(name, value)| format!("{name}={}", value.str_or_empty())).collect();
        cells.push(if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") });
    }
    cells
}

/// `app.kubernetes.io/name` is headed `NAME`.
fn label_heading(label: &str) -> String {
    label.rsplit('/').next().unwrap_or(label).to_uppercase()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        // A cell with several lines shows its first.
        Value::String(text) => match text.split_once(['\n', '\r']) {
            Some((first, _)) => format!("{first}..."),
            None => text.to_string(),
        },
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Value {
        let column =
            |name: &str, priority: i64| Value::from([("name", name.into()), ("priority", priority.into())]);
        let labels = Value::from([("app", Value::from("web"))]);
        let metadata = Value::from([("namespace", Value::from("default")), ("labels", labels)]);
        let row = Value::from([
            ("cells", Value::from(vec![Value::from("web-1"), Value::from("1/1"), Value::from("node-a")])),
            ("object", Value::from([("metadata", metadata)])),
        ]);
        Value::from([
            (
                "columnDefinitions",
                Value::from(vec![column("Name", 0), column("Ready", 0), column("Node", 1)]),
            ),
            ("rows", Value::from(vec![row])),
        ])
    }

    #[test]
    fn columns_are_three_spaces_apart() {
        let narrow = Table::from_server(&pods(), Show::default());
        assert_eq!(narrow.print(true), "NAME    READY\nweb-1   1/1\n");
        assert_eq!(narrow.print(false), "web-1   1/1\n");
    }

    #[test]
    fn more_is_shown_when_asked_for() {
        let columns = ["app".to_owned(), "x/tier".to_owned()];
        let show =
            Show { wide: true, namespace: true, labels: true, label_columns: &columns, prefix: "pod/" };
        assert_eq!(
            Table::from_server(&pods(), show).print(true),
            "NAMESPACE   NAME        READY   NODE     APP   TIER     LABELS\n\
             default     pod/web-1   1/1     node-a   web   <none>   app=web\n"
        );
    }
}
