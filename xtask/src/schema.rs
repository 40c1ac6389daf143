//! The JSON Schema of records, as padtap itself prints it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::run;

const SCHEMA: &str = "docs/records.schema.json";

/// What to do with the schema.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; fail if the committed schema differs from what the types say.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the schema.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(SCHEMA);
    let padtap = Command::new(run::tested_padtap()?).arg("schema").stderr(Stdio::inherit()).output()?;
    ensure!(padtap.status.success(), "padtap schema failed");
    if args.check {
        let committed = std::fs::read(&path).with_context(|| SCHEMA)?;
        ensure!(committed == padtap.stdout, "{SCHEMA} is not what the types say: run `cargo xtask schema`");
    } else {
        std::fs::write(&path, padtap.stdout).with_context(|| SCHEMA)?;
    }
    Ok(())
}
