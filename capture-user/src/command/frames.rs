//! Which frames the user wants, from the options' texts.

use std::sync::Arc;

use capture_common::config::Class;
use capture_user::filter::{Cover, Filter};
use capture_user::pipeline::Wanted;
use capture_user::source::policy::{ConsoleFilter, Snap};

use super::Usage;
use crate::cli;

/// What is given instead of a console to have consoles found.
const AUTO: &str = "auto";

/// Whether consoles are to be found while capturing.
pub fn is_auto(options: &cli::Filter) -> bool {
    options.console.iter().any(|console| console == AUTO)
}

/// The consoles and exclusions.
///
/// # Errors
/// [`Usage`], naming the text that is wrong and what would be right.
pub fn consoles(options: &cli::Filter) -> anyhow::Result<ConsoleFilter> {
    let mut filter = if options.console.is_empty() { ConsoleFilter::everything() } else { ConsoleFilter::new() };
    filter.set_discovery(!options.no_discovery);
    if is_auto(options) && options.no_discovery {
        return Err(Usage("--console auto finds consoles by discovery traffic: not with --no-discovery".into()).into());
    }
    for console in options.console.iter().filter(|console| *console != AUTO) {
        filter.add_console(console.parse().map_err(Usage::new)?).map_err(Usage::new)?;
    }
    for exclusion in &options.exclude {
        filter.exclude(exclusion.parse().map_err(Usage::new)?).map_err(Usage::new)?;
    }
    Ok(filter)
}

/// What the XDP program selects: the consoles, or where none are named as little as covers the expression. User space
/// still evaluates that: a cover may hold more than matches.
///
/// # Errors
/// As for [`consoles`] and [`expression`].
pub fn selection(options: &cli::Filter) -> anyhow::Result<ConsoleFilter> {
    let filter = consoles(options)?;
    let parsed = parse(options)?;
    let Some(cover) = parsed.as_ref().and_then(Filter::console_rules).filter(|_| options.console.is_empty()) else {
        return Ok(filter);
    };
    // A cover that does not fit the program's tables is no use: then it selects everything.
    Ok(covering(&filter, cover).unwrap_or(filter))
}

fn covering(everything: &ConsoleFilter, cover: &Cover) -> Option<ConsoleFilter> {
    let mut filter = everything.clone();
    filter.set_capture_all(false);
    filter.set_discovery(cover.arp);
    let macs = cover.macs.iter().map(ToString::to_string);
    let prefixes = cover.prefixes.iter().map(|(address, bits)| format!("{address}/{bits}"));
    for console in macs.chain(prefixes) {
        filter.add_console(console.parse().ok()?).ok()?;
    }
    Some(filter)
}

/// The filter expression.
///
/// # Errors
/// [`Usage`], naming the token that is not understood.
pub fn expression(options: &cli::Filter) -> anyhow::Result<Option<Wanted>> {
    let wanted = |filter: Filter| -> Wanted { Arc::new(move |frame| filter.matches(frame)) };
    Ok(parse(options)?.map(wanted))
}

fn parse(options: &cli::Filter) -> anyhow::Result<Option<Filter>> {
    let parse = |text: &String| Filter::parse(text).map_err(|error| Usage(format!("-f: {error}")));
    Ok(options.expression.as_ref().map(parse).transpose()?)
}

/// Sets how much of each frame is kept.
pub fn snap(filter: &mut ConsoleFilter, snap: cli::Snap) {
    let snap = match snap {
        cli::Snap::Full => Snap::Full,
        cli::Snap::Headers => Snap::Headers,
        cli::Snap::Bytes(bytes) => Snap::Bytes(bytes),
    };
    for class in [Class::Other, Class::Console, Class::Discovery] {
        filter.set_snap(class, snap);
    }
}

#[cfg(test)]
mod tests {
    use capture_user::source::route::route;
    use capture_user::source::{Frame, LinkType};
    use capture_user::time::Timestamp;

    use super::*;

    fn selects(expression: &str, frame: &[u8]) -> bool {
        let options = cli::Filter { expression: Some(expression.to_owned()), ..cli::Filter::default() };
        let filter = selection(&options).expect("an expression");
        let length = frame.len() as u32;
        let (number, time) = (1, Timestamp::default());
        route(&Frame { number, time, length, link: LinkType::Ethernet, interface: 0, data: frame }, &filter).is_some()
    }

    #[test]
    fn the_program_selects_what_covers_the_expression() {
        let frame = |last: u8| {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, last, 8, 0];
            frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 1, last, 203, 0, 113, 1]);
            frame.extend([0, 53, 0, 53, 0, 8, 0, 0]);
            frame
        };
        for expression in ["host 192.168.1.40", "host 192.168.1.40 and port 80", "ether host 02:00:00:00:00:28"] {
            assert!(selects(expression, &frame(40)), "{expression}");
            assert!(!selects(expression, &frame(41)), "{expression}");
        }
        assert!(selects("port 80 or host 192.168.1.40", &frame(41)), "it does not bound the addresses");
    }
}
