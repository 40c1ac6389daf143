//! padtap: parse, run, exit code.

mod cli;
mod command;

fn main() -> std::process::ExitCode {
    command::run(cli::Cli::from_environment())
}
