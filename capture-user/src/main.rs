//! padtap: the command.

mod cli;

fn main() {
    cli::Cli::from_environment();
}
