//! From the options about records to open sinks.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use capture_user::output::Sink;
use capture_user::output::destination::{Destination, Format, Target};
use capture_user::output::eve::Eve;
use capture_user::output::ipfix::{Collector, Ipfix};
use capture_user::output::lines::{Encode, Files, FilesConfig, Lines, Medium, OnFull, Socket, SocketConfig};
use capture_user::output::ndjson::Ndjson;
use capture_user::output::pcapng::Limits;
use capture_user::output::spool::{self, Spool};
use capture_user::output::story::Story;
use capture_user::output::text::{Style, Text};

use super::limits;
use crate::cli;
use crate::command::Usage;

/// What the outputs of a run have in common, and where they go.
pub struct Sinks {
    targets: Vec<Target>,
    format: Format,
    sensor: Arc<str>,
    rotate: Limits,
    live: bool,
    on_full: OnFull,
}

impl Sinks {
    /// What the options ask for; nothing is opened yet. `live`: whether records are of the present.
    ///
    /// # Errors
    /// What cannot be meant.
    pub fn new(options: &cli::Output, live: bool) -> anyhow::Result<Self> {
        let json = options.json.then_some(Target { format: None, destination: Destination::Stdout });
        let targets: Vec<_> = json.into_iter().chain(options.output.iter().cloned()).collect();
        check(&targets, options)?;
        Ok(Self {
            format: options.format,
            sensor: options.sensor.clone().unwrap_or_else(host_name).into(),
            rotate: rotation(&targets, options)?,
            live,
            on_full: match options.on_full {
                cli::OnFull::Stop => OnFull::Stop,
                cli::OnFull::Drop => OnFull::Drop,
                cli::OnFull::Ring => OnFull::Ring,
            },
            targets,
        })
    }

    /// Whether records are of the present.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Where records go.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The name of the place where records are made.
    pub fn sensor(&self) -> &Arc<str> {
        &self.sensor
    }

    /// Opens one of them.
    pub fn open(&self, Target { format, destination }: &Target) -> io::Result<Box<dyn Sink>> {
        let encoder: Box<dyn Encode> = match format.unwrap_or(self.format) {
            Format::Ndjson => Box::new(Ndjson::new(self.sensor.clone())),
            Format::Eve => Box::new(Eve::new(self.sensor.clone())),
        };
        let (live, on_full) = (self.live, self.on_full);
        let medium: Box<dyn Medium> = match destination {
            Destination::Stdout => Box::new(Files::create(FilesConfig { live, ..FilesConfig::default() })?),
            Destination::File(path) => {
                let path = Some(path.clone());
                Box::new(Files::create(FilesConfig { path, rotate: self.rotate, live, on_full })?)
            }
            _ => Box::new(Socket::new(SocketConfig { destination: destination.clone(), live })),
        };
        Ok(Box::new(Lines::new(encoder, medium)))
    }

    /// An exporter of flows.
    pub fn export(&self, collector: &Collector) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(Ipfix::open(collector, &self.sensor, self.live)?))
    }

    /// Opens a spool.
    pub fn open_spool(&self, folder: &Path, limit: u64) -> io::Result<Box<dyn Sink>> {
        let config = spool::Config { folder: folder.to_owned(), limit, sensor: self.sensor.clone() };
        Ok(Box::new(Spool::open(config)?))
    }

    /// Lines for people, or their story, on standard output.
    pub fn for_people(&self, story: bool) -> io::Result<Box<dyn Sink>> {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let style = if colour { Style::COLOUR } else { Style::PLAIN };
        if story {
            return Ok(Box::new(Story::new(io::stdout(), style)));
        }
        let text = Text::new(style);
        let medium = Files::create(FilesConfig { live: self.live, ..FilesConfig::default() })?;
        Ok(Box::new(Lines::new(Box::new(text), Box::new(medium))))
    }
}

/// No two outputs may go to the same place.
fn check(targets: &[Target], options: &cli::Output) -> Result<(), Usage> {
    let frames = options.write.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if frames && targets.iter().any(|target| target.destination == Destination::Stdout) {
        return Err(Usage("standard output takes records (--json, -o -) or frames (-w -), not both".into()));
    }
    for (index, Target { destination, .. }) in targets.iter().enumerate() {
        if targets.iter().take(index).any(|other| other.destination == *destination) {
            return Err(Usage(format!("{destination} is named twice as an output of records")));
        }
    }
    Ok(())
}

/// The conditions of `--rotate`.
fn rotation(targets: &[Target], options: &cli::Output) -> anyhow::Result<Limits> {
    let rotate = limits("--rotate", &options.rotate)?;
    let files = targets.iter().any(|target| matches!(target.destination, Destination::File(_)));
    let wrong = if rotate.packets.is_some() {
        "--rotate packets:N counts packets, and files of records have none: filesize:KB, duration:SECONDS or files:N"
    } else if rotate != Limits::default() && !files {
        "--rotate is about files of -o, and there is none"
    } else if rotate.files.is_some() && rotate.size.is_none() && rotate.duration.is_none() {
        "--rotate files:N needs filesize or duration to say when a file is full"
    } else if matches!(options.on_full, cli::OnFull::Ring) && rotate == Limits::default() {
        "--on-full ring deletes files of --rotate, and there are none"
    } else {
        return Ok(rotate);
    };
    Err(Usage(wrong.into()).into())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
