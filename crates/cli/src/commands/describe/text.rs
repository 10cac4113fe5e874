//! Descriptions as kubectl lays them out: names, a colon, and values in one column.

use machinery::Value;

/// A description that grows line by line; a tab ends a name.
#[derive(Debug, Default)]
pub struct Text {
    lines: Vec<(usize, String, String)>,
}

impl Text {
    /// Without lines.
    pub fn new() -> Text {
        Text::default()
    }

    /// `Name:   value`
    pub fn field(&mut self, name: &str, value: &str) {
        self.at(0, name, value);
    }

    /// The same, some levels deep.
    pub fn at(&mut self, depth: usize, name: &str, value: &str) {
        self.lines.push((depth, format!("{name}:"), value.to_owned()));
    }

    /// A line that is no field.
    pub fn line(&mut self, depth: usize, line: &str) {
        self.lines.push((depth, line.to_owned(), String::new()));
    }

    /// Names and values, one a line; `<none>` if there are none.
    pub fn pairs(&mut self, name: &str, pairs: &Value, separator: &str) {
        let mut heading = format!("{name}:");
        for (key, value) in pairs.members() {
            let pair = format!("{key}{separator}{}", value.str_or_empty());
            self.lines.push((0, std::mem::take(&mut heading), pair));
        }
        if !heading.is_empty() {
            self.lines.push((0, heading, "<none>".to_owned()));
        }
    }

    /// Any value, with all below it.
    pub fn tree(&mut self, name: &str, value: &Value) {
        self.branch(0, &title(name), value);
    }

    fn branch(&mut self, depth: usize, name: &str, value: &Value) {
        match value {
            Value::Object(map) => {
                self.line(depth, &format!("{name}:"));
                for (name, value) in map.iter() {
                    self.branch(depth + 1, &title(name), value);
                }
            }
            Value::Array(items) => {
                self.line(depth, &format!("{name}:"));
                for item in items {
                    match item {
                        Value::Object(map) => {
                            for (name, value) in map.iter() {
                                self.branch(depth + 1, &title(name), value);
                            }
                        }
                        plain => self.line(depth + 1, &scalar(plain)),
                    }
                }
            }
            plain => self.at(depth, name, &scalar(plain)),
        }
    }

    /// The whole, with the values of neighbours in one column.
    pub fn finish(self) -> String {
        let mut text = String::new();
        for run in self.lines.chunk_by(|one, other| one.0 == other.0) {
            let width = run.iter().filter(|line| !line.2.is_empty()).map(|line| line.1.chars().count()).max();
            for (depth, name, value) in run {
                text.extend(std::iter::repeat_n("  ", *depth));
                text.push_str(name);
                if !value.is_empty() {
                    text.extend(std::iter::repeat_n(' ', width.unwrap_or(0) - name.chars().count() + 2));
                    text.push_str(value);
                }
                text.push('\n');
            }
        }
        text
    }
}

/// A plain value.
pub fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => "<none>".to_owned(),
    }
}

/// `podCIDR` is shown as `Pod CIDR`.
fn title(name: &str) -> String {
    let mut shown = String::new();
    let mut before_lower = false;
    for (position, letter) in name.chars().enumerate() {
        if position == 0 {
            shown.extend(letter.to_uppercase());
        } else {
            if letter.is_uppercase() && before_lower {
                shown.push(' ');
            }
            shown.push(letter);
        }
        before_lower = letter.is_lowercase();
    }
    shown
}

/// How long ago a time was.
pub fn age(time: &str, now_secs: i64) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => machinery::time::human_duration(now_secs - time.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_a_column() {
        let mut text = Text::new();
        text.field("Name", "web");
        text.pairs("Labels", &Value::from([("a", Value::from("1")), ("b", Value::from("2"))]), "=");
        text.pairs("Annotations", &Value::Null, ": ");
        assert_eq!(
            text.finish(),
            "Name:         web\nLabels:       a=1\n              b=2\nAnnotations:  <none>\n"
        );
    }

    #[test]
    fn names_become_titles() {
        assert_eq!(title("podCIDR"), "Pod CIDR");
        assert_eq!(title("holderIdentity"), "Holder Identity");
    }
}
