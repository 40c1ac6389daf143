//! The text format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::fmt::{self, Write as _};

/// What kind a metric is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Counter,
    Gauge,
    Summary,
}

/// Metrics being written, one family after the other.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn family(&mut self, name: &'static str, kind: Type, help: &str) {
        self.family = name;
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Summary => "summary",
        };
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A value of the metric.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.suffixed("", labels, value);
    }

    /// A value of the metric under a name with an ending, as summaries have them.
    pub fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let name = self.family;
        self.push(format_args!("{name}{suffix}"));
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            self.push(format_args!("{before}{label}=\"{}\"", Escaped(text)));
        }
        self.push(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn push(&mut self, arguments: fmt::Arguments<'_>) {
        // Memory can always be written.
        let _ = self.text.write_fmt(arguments);
    }
}

/// A label's value: backslash, quote and newline are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut to = Exposition::default();
        to.family("m", Type::Gauge, "Help.");
        to.sample(&[], 1);
        to.sample(&[("a", "x\\y\"z\n"), ("b", "é")], 2.5);
        assert_eq!(to.into_text(), "# HELP m Help.\n# TYPE m gauge\nm 1\nm{a=\"x\\\\y\\\"z\\n\",b=\"é\"} 2.5\n");
    }
}
