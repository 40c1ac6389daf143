//! What was measured, as a page and a chart.

use std::fmt::Write as _;

use super::live::Held;
use super::offline::Measured;

/// The machine, for whoever compares pages.
pub fn machine() -> String {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = text("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split(": ").nth(1));
    let processors = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = text("/proc/meminfo");
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse().ok());
    let gigabytes = kilobytes.unwrap_or(0.0_f64) / 1e6;
    let kernel = text("/proc/sys/kernel/osrelease");
    format!("{processors} × {}, {gigabytes:.0} GB, Linux {}", model.unwrap_or("unknown"), kernel.trim())
}

/// A table of what each tool needed for a file.
pub fn offline(page: &mut String, title: &str, measured: &[Measured]) {
    let own = measured.first().map_or(f64::NAN, Measured::ns_per_packet);
    let _ = write!(
        page,
        "\n## {title}\n\n| | ns a packet | packets/s | padtap is so many times as fast | CPU seconds | memory, MB | it did |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for tool in measured {
        let ns = tool.ns_per_packet();
        let _ = writeln!(
            page,
            "| {} | {ns:.0} | {:.0} | {:.1} | {:.2} of {:.2} | {:.0} | {} |",
            tool.name,
            1e9 / ns,
            ns / own,
            tool.cpu_seconds,
            tool.seconds,
            tool.memory_mb,
            tool.done
        );
    }
}

/// The commands behind a table.
pub fn commands<'a>(page: &mut String, commands: impl Iterator<Item = (&'a str, String)>) {
    page.push_str("\n```text\n");
    for (_, command) in commands {
        let _ = writeln!(page, "{command}");
    }
    page.push_str("```\n");
}

/// A table of what was lost at each offered rate.
pub fn live(page: &mut String, held: &[Held]) {
    let Some(first) = held.first() else { return };
    page.push_str("\n| | highest rate without loss, packets/s |");
    for run in &first.runs {
        let _ = write!(page, " lost at {:.0} k |", run.wanted / 1e3);
    }
    page.push_str("\n|---|---|");
    page.push_str(&"---|".repeat(first.runs.len()));
    page.push('\n');
    for tool in held {
        let _ = write!(page, "| {} | {:.0} |", tool.name, tool.lossless());
        for place in 0..first.runs.len() {
            match tool.runs.get(place) {
                Some(run) => {
                    let _ = write!(page, " {} of {} |", run.sent.saturating_sub(run.received), run.sent);
                }
                None => page.push_str(" |"),
            }
        }
        page.push('\n');
    }
}

/// Nanoseconds a packet as bars, on a logarithmic scale.
pub fn chart(title: &str, measured: &[Measured]) -> String {
    const ROW: usize = 28;
    const LEFT: f64 = 150.0;
    const WIDTH: f64 = 420.0;

    let most = measured.iter().map(Measured::ns_per_packet).fold(1.0, f64::max);
    let scale = |ns: f64| (ns.max(10.0) / 10.0).log10() / (most / 10.0).log10().max(1.0) * WIDTH;
    let height = 50 + measured.len() * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"680\" height=\"{height}\" fill=\"white\"/>\n<text x=\"10\" y=\"22\" \
         font-size=\"15\">{title}</text>\n"
    );
    for (row, tool) in measured.iter().enumerate() {
        let (y, ns) = (40 + row * ROW, tool.ns_per_packet());
        let colour = if row == 0 { "#1a7f5a" } else { "#8a94a6" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.0}\" \
             height=\"18\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{}\">{ns:.0} ns</text>",
            LEFT - 8.0,
            y + 14,
            tool.name,
            scale(ns),
            LEFT + scale(ns) + 6.0,
            y + 14
        );
    }
    svg.push_str("</svg>\n");
    svg
}
