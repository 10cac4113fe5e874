//! What `-o` asks for, and single objects printed that way.

use machinery::Value;

use super::table::Table;
use crate::Failure;
use machinery::jsonpath::Template;

/// A form of output.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The server's table.
    Table,
    /// The server's table with all its columns.
    Wide,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// `pod/web`
    Name,
    /// A JSONPath template.
    JsonPath(Template),
    /// Columns of the user's own: headings and what stands below them.
    Columns(Vec<(String, Template)>),
}

impl Output {
    /// From the value of `-o`.
    pub fn parse(text: Option<&str>) -> Result<Output, Failure> {
        let (form, argument) =
            text.unwrap_or_default().split_once('=').unwrap_or((text.unwrap_or_default(), ""));
        match form {
            "" => Ok(Output::Table),
            "wide" => Ok(Output::Wide),
            "yaml" => Ok(Output::Yaml),
            "json" => Ok(Output::Json),
            "name" => Ok(Output::Name),
            "jsonpath" => Template::parse(argument)
                .map(Output::JsonPath)
                .map_err(|error| Failure::client(format!("error parsing jsonpath {argument}, {error}"))),
            "custom-columns" => parse_columns(argument).map(Output::Columns),
            _ => Err(Failure::client(format!(
                "unable to match a printer suitable for the output format \"{form}\", allowed formats are: \
                 custom-columns,json,jsonpath,name,wide,yaml"
            ))),
        }
    }

    /// Whether the server's table is what is shown.
    pub fn is_table(&self) -> bool {
        matches!(self, Output::Table | Output::Wide)
    }

    /// One document (a `List` for several) in this form. Not for tables.
    pub fn document(&self, document: &Value, name: &str) -> Result<String, Failure> {
        Ok(match self {
            Output::Yaml => machinery::yaml::encode(document),
            Output::Json => pretty_json(document),
            Output::Name => format!("{name}\n"),
            Output::JsonPath(template) => template.fill(document).map_err(Failure::client)?,
            Output::Columns(columns) => custom_columns(columns, document),
            Output::Table | Output::Wide => unreachable!("tables are the server's"),
        })
    }
}

fn parse_columns(text: &str) -> Result<Vec<(String, Template)>, Failure> {
    text.split(',')
        .map(|column| {
            let (heading, path) = column.split_once(':').ok_or_else(|| {
                Failure::client(format!(
                    "unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>"
                ))
            })?;
            Ok((heading.to_owned(), Template::parse(path).map_err(Failure::client)?))
        })
        .collect()
}

fn custom_columns(columns: &[(String, Template)], document: &Value) -> String {
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| heading.as_str()).collect();
    let mut table = Table::new(&headings);
    let whole = std::slice::from_ref(document);
    let items =
        if matches!(document.get("items"), Value::Array(_)) { document.get("items").items() } else { whole };
    for item in items {
        table.row(columns.iter().map(|(_, template)| {
            let text = template.fill(item).unwrap_or_default();
            if text.is_empty() { "<none>".to_owned() } else { text }
        }));
    }
    table.print(true)
}

/// JSON as kubectl prints it: four spaces deep.
pub fn pretty_json(document: &Value) -> String {
    let mut text = String::new();
    write_json(document, 0, &mut text);
    text.push('\n');
    text
}

fn write_json(value: &Value, depth: usize, text: &mut String) {
    let indent = |depth: usize, text: &mut String| {
        text.push('\n');
        text.extend(std::iter::repeat_n("    ", depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                text.push_str(if position > 0 { "," } else { "" });
                indent(depth + 1, text);
                write_json(item, depth + 1, text);
            }
            indent(depth, text);
            text.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            text.push('{');
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            for (position, (name, member)) in members.into_iter().enumerate() {
                text.push_str(if position > 0 { "," } else { "" });
                indent(depth + 1, text);
                write_json(&Value::String(name.into()), 0, text);
                text.push_str(": ");
                write_json(member, depth + 1, text);
            }
            indent(depth, text);
            text.push('}');
        }
        plain => {
            let mut bytes = Vec::new();
            machinery::json::encode(plain, &mut bytes);
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_sorted() {
        let document = Value::from([("b", Value::from(vec![Value::Int(1)])), ("a", Value::object())]);
        assert_eq!(pretty_json(&document), "{\n    \"a\": {},\n    \"b\": [\n        1\n    ]\n}\n");
    }

    #[test]
    fn forms_are_recognised() {
        assert_eq!(Output::parse(None).expect("known"), Output::Table);
        assert_eq!(Output::parse(Some("wide")).expect("known"), Output::Wide);
        assert!(matches!(Output::parse(Some("jsonpath={.a}")), Ok(Output::JsonPath(_))));
        assert!(Output::parse(Some("nonsense")).is_err());
        let columns = Output::parse(Some("custom-columns=NAME:.n,X:.x")).expect("known");
        let document = Value::from([("n", Value::from("web"))]);
        assert_eq!(columns.document(&document, "").expect("printed"), "NAME   X\nweb    <none>\n");
    }
}
