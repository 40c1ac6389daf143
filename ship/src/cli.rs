//! The command line: nothing else knows clap. Its doc comments are the help.

use std::path::PathBuf;

use async_nats::ServerAddr;
use clap::Parser;

/// Ship a spool's batches to NATS JetStream.
///
/// `padtap capture --spool DIR` leaves records in DIR as numbered batches. This program publishes each of them as one
/// message, waits until the stream has it, and only then removes it: nothing is lost while the broker is away, full or
/// killed, until the spool reaches its limit. Every message has a `Nats-Msg-Id` (sensor:boot:sequence), by which the
/// server recognises what it has already.
#[derive(Debug, Parser)]
#[command(name = "padtap-ship", bin_name = "padtap ship", version, max_term_width = 100, after_long_help = AFTER)]
pub struct Cli {
    /// The folder that `padtap --spool` writes to.
    #[arg(long, value_name = "DIR")]
    pub spool: PathBuf,
    /// The broker: `nats://[USER:PASSWORD@]HOST[:PORT]`, or `tls://…` to insist on encryption. A USER alone is a token.
    #[arg(long, value_name = "URL")]
    pub nats: ServerAddr,
    /// The stream that must take the batches.
    #[arg(long, value_name = "NAME", value_parser = stream)]
    pub stream: String,
    /// The subject to publish to; the stream must listen to it.
    #[arg(long, value_name = "SUBJECT", value_parser = subject)]
    pub subject: String,
    /// Make the stream where it does not exist: this subject, on disk, copies recognised for ten minutes.
    #[arg(long)]
    pub create: bool,
    /// Credentials: a file with JWT and key, as `nsc` makes it.
    #[arg(long, value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// Certificates of authorities to trust beside the system's, in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// End when the spool is empty, instead of waiting for more.
    #[arg(long)]
    pub drain: bool,
    /// Say nothing on standard error but errors.
    #[arg(short, long)]
    pub quiet: bool,
}

const AFTER: &str = "\
Examples:
  padtap capture -i eth1 --spool /var/spool/padtap &
  padtap ship --spool /var/spool/padtap --nats nats://broker --stream PADTAP --subject padtap.records --create

Exit codes:
  0  done (SIGINT or SIGTERM, or --drain and nothing left)
  1  failed: the spool, the credentials, or a stream that is not there
  2  wrong usage";

/// A name that JetStream takes: nothing that means something in a subject or a path.
fn stream(text: &str) -> Result<String, String> {
    let wrong = |character: char| character.is_whitespace() || character.is_control() || ".*>/\\".contains(character);
    if text.is_empty() || text.contains(wrong) {
        return Err("a stream's name has no spaces, and none of . * > / \\".to_owned());
    }
    Ok(text.to_owned())
}

/// A subject that can be published to.
fn subject(text: &str) -> Result<String, String> {
    let wrong = |token: &str| token.is_empty() || token.contains(|c: char| c.is_whitespace() || "*>".contains(c));
    if text.split('.').any(wrong) {
        return Err("a subject is words joined by dots, without spaces, * and >".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn names_that_the_broker_would_refuse_are_refused_here() {
        for wrong in ["", "a b", "a.b", "*", "a/b"] {
            assert!(stream(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "a..b", "a.*", ">", "a b", ".a"] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            (stream("PADTAP").as_deref(), subject("padtap.records").as_deref()),
            (Ok("PADTAP"), Ok("padtap.records"))
        );
    }
}
