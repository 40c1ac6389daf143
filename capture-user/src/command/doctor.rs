//! `padtap doctor`: what this machine and an interface can do, and what to change.

mod interface;
mod machine;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Outcome;
use crate::cli;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but slower or with less than it could.
    Fair,
    /// A capture with XDP will not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is to be taken.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, found: found.into(), advice: None }
    }

    fn fair(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Fair, found: found.into(), advice: Some(advice.into()) }
    }

    fn bad(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Bad, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Looks, and reports.
///
/// # Errors
/// When something stands in the way of a capture, once all is reported.
pub fn run(options: &cli::Doctor) -> anyhow::Result<Outcome> {
    let mut findings = machine::examine();
    if let Some(name) = &options.interface {
        findings.extend(interface::examine(name));
    }
    let mut stdout = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut stdout, &findings)?;
        writeln!(stdout)?;
    } else {
        print(&mut stdout, &findings)?;
    }
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    if bad > 0 {
        let things = if bad == 1 { "one thing stands" } else { "several things stand" };
        anyhow::bail!("{things} in the way of a capture with XDP");
    }
    Ok(Outcome::default())
}

fn print(to: &mut (impl Write + IsTerminal), findings: &[Finding]) -> io::Result<()> {
    let colour = to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    for finding in findings {
        let (word, escape) = match finding.verdict {
            Verdict::Good => ("good", "\x1b[32m"),
            Verdict::Fair => ("fair", "\x1b[33m"),
            Verdict::Bad => ("BAD", "\x1b[31m"),
        };
        let (escape, reset) = if colour { (escape, "\x1b[0m") } else { ("", "") };
        writeln!(to, "{escape}{word:<4}{reset}  {:<14} {}", finding.what, finding.found)?;
        if let Some(advice) = &finding.advice {
            writeln!(to, "                      -> {advice}")?;
        }
    }
    Ok(())
}
