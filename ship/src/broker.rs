//! The broker: a connection, and the stream on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::{Context, ErrorCode, stream};
use async_nats::{ConnectErrorKind, ConnectOptions, Event};
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;

use crate::cli::Cli;

/// How long the stream of `--create` recognises copies.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nothing can be shipped at the moment.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It may pass: broker and stream come and go.
    #[error("{0}")]
    Passing(String),
    /// It will not pass by waiting, unless it has worked before.
    #[error("{0:#}")]
    Lasting(anyhow::Error),
    /// Here, not there.
    #[error("{0:#}")]
    Own(anyhow::Error),
}

impl Trouble {
    /// Wraps what may pass.
    pub fn passing(error: impl std::fmt::Display) -> Self {
        Self::Passing(error.to_string())
    }
}

/// A connection to the broker, on which the stream was found.
pub struct Broker {
    /// Where to publish.
    pub context: Context,
    lost: Arc<Notify>,
}

impl Broker {
    /// Connects, and finds the stream or makes it.
    pub async fn connect(options: &Cli) -> Result<Self, Trouble> {
        let lost = Arc::new(Notify::new());
        let connect = connect_options(options, lost.clone()).await.map_err(Trouble::Own)?;
        let client = connect.connect(options.nats.clone()).await.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Trouble::Lasting(anyhow!("the broker refuses the credentials: {error}"))
            }
            ConnectErrorKind::ServerParse => Trouble::Own(error.into()),
            _ => Trouble::passing(error),
        })?;
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(PATIENCE);
        let broker = Self { context, lost };
        broker.find_stream(options).await?;
        Ok(broker)
    }

    async fn find_stream(&self, options: &Cli) -> Result<(), Trouble> {
        let Cli { stream: name, subject, .. } = options;
        let found = match self.context.get_stream(name).await {
            Ok(found) => found.cached_info().config.clone(),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(reason) if reason.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    if !options.create {
                        let advice = "make it, or let --create make it";
                        return Err(Trouble::Lasting(anyhow!("there is no stream {name}: {advice}")));
                    }
                    return self.create_stream(name, subject).await;
                }
                _ => return Err(Trouble::passing(error)),
            },
        };
        if found.no_ack {
            let reason = "acknowledges nothing (no_ack): padtap could never know what has arrived";
            return Err(Trouble::Lasting(anyhow!("the stream {name} {reason}")));
        }
        Ok(())
    }

    async fn create_stream(&self, name: &str, subject: &str) -> Result<(), Trouble> {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            duplicate_window: DUPLICATE_WINDOW,
            ..stream::Config::default()
        };
        match self.context.create_stream(config).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                CreateStreamErrorKind::JetStream(reason) => {
                    Trouble::Lasting(anyhow!("the stream {name} cannot be made: {reason}"))
                }
                _ => Trouble::passing(error),
            }),
        }
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }
}

async fn connect_options(options: &Cli, lost: Arc<Notify>) -> anyhow::Result<ConnectOptions> {
    let mut connect = ConnectOptions::new()
        .name("padtap-ship")
        .connection_timeout(PATIENCE)
        // Every round has a connection of its own: what a lost one still had to send must not come later.
        .max_reconnects(1)
        .event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed) {
                lost.notify_one();
            }
            std::future::ready(())
        });
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    connect = match (options.nats.username().map(plain), options.nats.password().map(plain)) {
        (Some(user), Some(password)) => connect.user_and_password(user, password),
        (Some(token), None) => connect.token(token),
        _ => connect,
    };
    if let Some(path) = &options.creds {
        let loaded = connect.credentials_file(path).await;
        connect = loaded.map_err(|error| anyhow!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &options.ca {
        // Looked at here, for a clear error; the library reads it at every connection.
        std::fs::File::open(path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        connect = connect.add_root_certificates(path.clone());
    }
    Ok(connect)
}
