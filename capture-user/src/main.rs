//! padtap: parse, run, exit code.

mod allocations;
mod cli;
mod command;

fn main() -> std::process::ExitCode {
    match cli::Cli::from_environment() {
        Ok(cli) => command::run(cli),
        Err(error) => error.exit(),
    }
}
