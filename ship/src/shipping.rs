//! From the spool to the stream: at least once, and in order of numbers.
//!
//! A round is one connection. Up to [`WINDOW`] batches are on their way at once; acknowledgements are waited for from the
//! oldest on, and what is acknowledged leaves the spool. Whatever goes wrong ends the round, and the next one begins
//! with the oldest batch that has not been acknowledged: the server recognises what it has already by its message ID.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use capture_user::output::spool::{Batch, Depot};

use crate::broker::{Broker, Trouble};
use crate::cli::Cli;
use crate::stop::Stop;
use crate::voice::{Shipped, Voice};

/// Batches on their way at once: 4 MiB at most.
const WINDOW: usize = 16;
/// How often an empty spool is looked into.
const LOOK: Duration = Duration::from_millis(200);
/// The first and the longest pause after trouble.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long acknowledgements are waited for at the end.
const LAST_WAIT: Duration = Duration::from_secs(3);

type Acknowledgement = Pin<Box<dyn Future<Output = Result<PublishAck, PublishError>> + Send>>;

/// A batch on its way.
struct Flight {
    sequence: u64,
    records: u64,
    acknowledgement: Acknowledgement,
}

/// Ships until asked to stop, or until the spool is empty if that was wanted.
pub async fn run(options: &Cli, depot: &mut Depot, stop: &Stop, voice: &mut Voice) -> anyhow::Result<Shipped> {
    let mut shipped = Shipped::default();
    let (mut worked, mut pause) = (false, PAUSES.0);
    while !stop.is_asked() {
        let before = shipped;
        let trouble = match round(options, depot, stop, voice, &mut shipped, &mut worked).await {
            Ok(()) => break,
            Err(Trouble::Own(error)) => return Err(error),
            Err(Trouble::Lasting(error)) if !worked => return Err(error),
            Err(trouble) => trouble,
        };
        voice.say(format!("{trouble}; batches stay in the spool, trying again"));
        pause = if shipped == before { (pause * 2).min(PAUSES.1) } else { PAUSES.0 };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.asked() => {}
        }
    }
    Ok(shipped)
}

/// Ships over one connection.
async fn round(
    options: &Cli,
    depot: &mut Depot,
    stop: &Stop,
    voice: &mut Voice,
    shipped: &mut Shipped,
    worked: &mut bool,
) -> Result<(), Trouble> {
    let broker = tokio::select! {
        broker = Broker::connect(options) => broker?,
        () = stop.asked() => return Ok(()),
    };
    *worked = true;
    let mut shipping = Shipping { options, depot, broker: &broker, voice, shipped, flights: VecDeque::new(), sent: 0 };
    tokio::select! {
        outcome = shipping.run(stop) => outcome,
        () = broker.lost() => Err(Trouble::passing("the connection to the broker is lost")),
        () = async { stop.asked().await; tokio::time::sleep(LAST_WAIT).await } => Ok(()),
    }
}

struct Shipping<'a> {
    options: &'a Cli,
    depot: &'a mut Depot,
    broker: &'a Broker,
    voice: &'a mut Voice,
    shipped: &'a mut Shipped,
    flights: VecDeque<Flight>,
    /// The last batch that was sent over this connection.
    sent: u64,
}

impl Shipping<'_> {
    async fn run(&mut self, stop: &Stop) -> Result<(), Trouble> {
        // The stream was found, but takes batches for certain only when it has taken one.
        if self.waiting()?.is_empty() {
            self.say_all_is_well();
        }
        loop {
            if !stop.is_asked() {
                self.send().await?;
            }
            match self.flights.front_mut() {
                Some(oldest) => tokio::select! {
                    answer = &mut oldest.acknowledgement => self.arrived(answer)?,
                    () = tokio::time::sleep(LOOK) => {}
                },
                None if stop.is_asked() || self.options.drain => return Ok(()),
                None => tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = stop.asked() => {}
                },
            }
        }
    }

    /// Sends what waits, as far as the window is open.
    async fn send(&mut self) -> Result<(), Trouble> {
        if self.flights.len() >= WINDOW {
            return Ok(());
        }
        for sequence in self.waiting()? {
            if self.flights.len() >= WINDOW {
                break;
            }
            match self.depot.read(sequence).with_context(|| self.place(sequence)).map_err(Trouble::Own)? {
                Some(Ok(batch)) => self.publish(sequence, batch).await?,
                Some(Err(damage)) => {
                    let set_aside = self.depot.set_aside(sequence).with_context(|| self.place(sequence));
                    set_aside.map_err(Trouble::Own)?;
                    self.voice.say(format!("{}: {damage}: set aside as .damaged", self.place(sequence)));
                }
                None => {}
            }
            self.sent = sequence;
        }
        Ok(())
    }

    /// The batches that were not sent over this connection.
    fn waiting(&self) -> Result<Vec<u64>, Trouble> {
        let place = || self.depot.path().display().to_string();
        let mut waiting = self.depot.waiting().with_context(place).map_err(Trouble::Own)?;
        waiting.retain(|sequence| *sequence > self.sent);
        Ok(waiting)
    }

    async fn publish(&mut self, sequence: u64, batch: Batch) -> Result<(), Trouble> {
        let Batch { header, body } = batch;
        // A header is one line.
        let id = header.id().replace(char::is_control, "_");
        let message = PublishMessage::build()
            .message_id(&id)
            .expected_stream(&self.options.stream)
            .header("Padtap-Records", header.records.to_string().as_str())
            .header("Content-Type", "application/x-ndjson")
            .payload(body.into());
        let sent = self.broker.context.send_publish(self.options.subject.clone(), message).await;
        let acknowledgement = Box::pin(sent.map_err(|error| self.refused(&error))?.into_future());
        self.flights.push_back(Flight { sequence, records: header.records, acknowledgement });
        Ok(())
    }

    /// The oldest batch on its way was answered.
    fn arrived(&mut self, answer: Result<PublishAck, PublishError>) -> Result<(), Trouble> {
        let ack = answer.map_err(|error| self.refused(&error))?;
        let Some(Flight { sequence, records, .. }) = self.flights.pop_front() else { return Ok(()) };
        self.depot.shipped(sequence).with_context(|| self.place(sequence)).map_err(Trouble::Own)?;
        self.shipped.batches += 1;
        self.shipped.records += records;
        self.shipped.duplicates += u64::from(ack.duplicate);
        self.say_all_is_well();
        Ok(())
    }

    fn refused(&self, error: &PublishError) -> Trouble {
        Trouble::Passing(format!("the stream {} takes nothing: {error}", self.options.stream))
    }

    fn say_all_is_well(&mut self) {
        let Cli { spool, stream, .. } = self.options;
        self.voice.say(format!("shipping from {} to the stream {stream}", spool.display()));
    }

    fn place(&self, sequence: u64) -> String {
        format!("{}: batch {sequence}", self.depot.path().display())
    }
}
