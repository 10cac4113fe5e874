//! The text form that Prometheus reads.

use std::fmt::Write;

use machinery::field::go_quote;

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// Announces a metric; its samples follow.
    pub fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into memory cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample, as it was at that time if it was measured before now.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, at_millis: Option<i64>) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}={}", go_quote(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let at = at_millis.map(|at| format!(" {at}")).unwrap_or_default();
        let _ = writeln!(self.text, "{name}{labels} {value}{at}");
    }

    /// The whole.
    pub fn text(self) -> String {
        self.text
    }
}
