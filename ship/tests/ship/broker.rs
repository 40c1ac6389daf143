//! A real nats-server with a stream, on the loopback, in a folder of its own.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use capture_user::output::spool::LEAST_LIMIT;
use tempfile::TempDir;
use tests::tool::{have, wait_until};

/// The stream's name and subject in all tests.
pub const STREAM: &str = "PADTAP";
pub const SUBJECT: &str = "padtap.records";

/// A broker; killed when dropped.
pub struct Broker {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

/// A batch as a consumer gets it.
pub struct Message {
    pub id: String,
    pub records: Vec<String>,
}

impl Broker {
    /// One that runs, with more options for it; `None` where there is no nats-server.
    pub fn start(options: &[&str]) -> Option<Self> {
        let mut broker = Self::absent(options)?;
        broker.run();
        Some(broker)
    }

    /// One that does not run yet.
    pub fn absent(options: &[&str]) -> Option<Self> {
        if !have(&["nats-server"]) {
            return None;
        }
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Some(Self { folder: tempfile::tempdir().expect("a temporary directory"), port, options, child: None })
    }

    /// Runs it, on the port and with the data it had.
    pub fn run(&mut self) {
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--jetstream", "--store_dir"]);
        command.arg(self.folder.path()).args(&self.options).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("nats-server runs"));
        wait_until("the broker", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is there");
        child.wait().expect("it ends");
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What a shipper is told of spool, broker and stream.
    pub fn arguments(&self, spool: &Path) -> Vec<String> {
        let spool = spool.to_str().expect("a plain path");
        ["--spool", spool, "--nats", &self.url(), "--stream", STREAM, "--subject", SUBJECT].map(str::to_owned).to_vec()
    }

    /// Limits the stream to so many bytes, beyond which it refuses; makes it where it is not there.
    pub fn limit(&self, bytes: u64) {
        assert!(bytes >= LEAST_LIMIT);
        block_on(async {
            let config = Config {
                name: STREAM.to_owned(),
                subjects: vec![SUBJECT.to_owned()],
                max_bytes: bytes.cast_signed(),
                discard: DiscardPolicy::New,
                ..Config::default()
            };
            self.context().await.create_or_update_stream(config).await.expect("a stream");
        });
    }

    /// How many messages the stream has; 0 where there is none.
    pub fn count(&self) -> u64 {
        block_on(async {
            let stream = self.context().await.get_stream(STREAM).await;
            stream.map_or(0, |stream| stream.cached_info().state.messages)
        })
    }

    /// All messages of the stream.
    pub fn messages(&self) -> Vec<Message> {
        block_on(async {
            let stream = self.context().await.get_stream(STREAM).await.expect("the stream");
            let mut messages = Vec::new();
            for sequence in 1..=stream.cached_info().state.last_sequence {
                let raw = stream.get_raw_message(sequence).await.expect("no message is missing");
                let header = |name: &str| raw.headers.get(name).expect("a header").as_str().to_owned();
                let text = String::from_utf8(raw.payload.to_vec()).expect("UTF-8");
                let records: Vec<String> = text.lines().map(str::to_owned).collect();
                let gaps = records.iter().filter(|record| record.starts_with("{\"kind\":\"gap\"")).count();
                assert_eq!(header("Padtap-Records"), (records.len() - gaps).to_string());
                messages.push(Message { id: header("Nats-Msg-Id"), records });
            }
            messages
        })
    }

    async fn context(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(self.url()).await.expect("the broker is there"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
