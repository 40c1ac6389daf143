//! The record `rtcp`: one compound packet.

use schemars::JsonSchema;
use serde::Serialize;

use super::packet::{APP, BYE, CNAME, Compound, EXTENDED_REPORT, Packet, ReportBlock, SOURCE_DESCRIPTION, TOOL};
use super::xr::VoipMetrics;
use crate::dissect::app::People;
use crate::dissect::app::sdp::Negotiated;

/// Report blocks told of one compound packet.
const MAX_REPORTS: usize = 31;

/// One compound packet.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Facts {
    /// Which way of the flow it went: `out` from the side that sent the flow's first packet, or `in`.
    direction: &'static str,
    /// Its packets: `SR`, `RR`, `SDES`, `BYE`, `APP`, `XR`…
    types: Vec<&'static str>,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ssrc: Option<u32>,
    /// SRTCP: what follows its header cannot be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    encrypted: bool,
    /// Of a sender report: packets sent so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    packets_sent: Option<u32>,
    /// Of a sender report: payload bytes sent so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_sent: Option<u32>,
    /// How the sender receives the streams it hears.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reports: Vec<Report>,
    /// Between the two ends, once both sides' reports passed by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// The name its source has in the session: often `user@host`, so a person's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<String>,
    /// The program that sends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    /// Why its source leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    bye_reason: Option<String>,
    /// Of an APP packet: its four-letter name.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<String>,
    /// Voice quality, as the sender measured it (RFC 3611, section 4.7).
    #[serde(skip_serializing_if = "Option::is_none")]
    voip_metrics: Option<VoipMetrics>,
    /// The call that announced the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
}

/// What the sender reports of one stream it receives.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    /// The stream that is heard.
    ssrc: u32,
    /// Share lost since the previous report, 0 to 1.
    fraction_lost: f64,
    /// Packets lost since it began; below zero where more came than were sent.
    cumulative_lost: i32,
    /// The highest sequence number received, with the count of its cycles above.
    highest_sequence: u32,
    /// In units of the stream's clock.
    jitter: u32,
    /// Between the place of the capture and who reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    sensor_rtt_ms: Option<f64>,
}

impl Facts {
    pub fn new(compound: &Compound<'_>, direction: &'static str, negotiated: Option<&Negotiated>) -> Self {
        Self {
            direction,
            types: compound.packets().map(|packet| packet.name()).collect(),
            ssrc: compound.packets().next().and_then(|packet| packet.ssrc()),
            encrypted: compound.encrypted,
            call_id: negotiated.map(|media| media.call_id.to_string()),
            ..Self::default()
        }
    }

    /// Adds what a packet other than its report blocks says.
    pub fn add(&mut self, packet: &Packet<'_>, people: &People) {
        if let Some(sender) = packet.sender_info() {
            self.packets_sent = Some(sender.packets);
            self.bytes_sent = Some(sender.bytes);
        }
        match packet.kind {
            SOURCE_DESCRIPTION => {
                self.cname = self.cname.take().or_else(|| packet.item(CNAME).map(|name| people.show(&text(name))));
                self.tool = self.tool.take().or_else(|| packet.item(TOOL).map(text));
            }
            BYE => self.bye_reason = packet.bye_reason().map(text),
            APP => self.app_name = packet.body.get(4..8).map(text),
            EXTENDED_REPORT => self.voip_metrics = self.voip_metrics.or_else(|| VoipMetrics::find(packet.body)),
            _ => {}
        }
    }

    /// Adds a report block, and the round trip it proves.
    pub fn report(&mut self, block: &ReportBlock, sensor_rtt_ms: Option<f64>) {
        if self.reports.len() < MAX_REPORTS {
            self.reports.push(Report {
                ssrc: block.ssrc,
                fraction_lost: f64::from(block.fraction_lost) / 256.0,
                cumulative_lost: block.cumulative_lost,
                highest_sequence: block.highest_sequence,
                jitter: block.jitter,
                sensor_rtt_ms,
            });
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
