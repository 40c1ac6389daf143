//! The record `sip`: one message.

use schemars::JsonSchema;
use serde::Serialize;

use super::message::{Head, Start};
use super::uri::{Uri, Vivox, clip};
use crate::dissect::app::People;
use crate::dissect::app::sdp::Description;

/// Members of a list field that records show.
const MAX_LISTED: usize = 8;

/// What a `sip` record tells.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Facts {
    /// Which way of the flow it went: `out` from the side that sent the flow's first packet, or `in`.
    direction: &'static str,
    /// The method of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// To whom a request goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_uri: Option<String>,
    /// The code of a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Its reason, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What all messages of a call, or of a registration, share.
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    /// Number and method: `1 INVITE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cseq: Option<String>,
    /// Who began the dialog; a person's name, so hashed unless names are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// With whom; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Where the sender can be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contact: Vec<String>,
    /// The elements a request passed, the latest first: transport, host and port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    via: Vec<String>,
    /// The elements a request is to pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    route: Vec<String>,
    /// The program that sends a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    /// The program that answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// Present and true where an address is one of Vivox.
    #[serde(skip_serializing_if = "Option::is_none")]
    vivox: Option<bool>,
    /// What shows that it is Vivox.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vivox_why: Vec<&'static str>,
    /// The media that its body offers or accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    sdp: Option<Description>,
}

impl Facts {
    pub(super) fn new(head: &Head<'_>, direction: &'static str, sdp: Option<Description>, people: &People) -> Self {
        let (method, uri, status, reason) = match head.start {
            Start::Request { method, uri } => (Some(clip(method)), Uri::parse(uri), None, None),
            Start::Response { status, reason } => (None, None, Some(status), Some(clip(reason))),
        };
        let (from, to) = (head.field("from").and_then(Uri::in_field), head.field("to").and_then(Uri::in_field));
        let mut vivox_why: Vec<_> = [uri, to, from].iter().flatten().filter_map(Uri::vivox).map(Vivox::why).collect();
        vivox_why.sort_unstable();
        vivox_why.dedup();
        let shown = |uri: Option<Uri<'_>>| uri.map(|uri| uri.shown(people));
        Self {
            direction,
            method,
            request_uri: shown(uri),
            status,
            reason: reason.filter(|reason| !reason.is_empty()),
            call_id: head.field("call-id").map(clip),
            cseq: head.field("cseq").map(cseq),
            from: shown(from),
            to: shown(to),
            contact: addresses(head, "contact", people),
            via: head.list("via").take(MAX_LISTED).filter_map(via).collect(),
            route: addresses(head, "route", people),
            user_agent: head.field("user-agent").map(clip),
            server: head.field("server").map(clip),
            vivox: (!vivox_why.is_empty()).then_some(true),
            vivox_why,
            sdp,
        }
    }
}

fn addresses(head: &Head<'_>, name: &'static str, people: &People) -> Vec<String> {
    head.list(name).take(MAX_LISTED).filter_map(Uri::in_field).map(|uri| uri.shown(people)).collect()
}

/// `SIP/2.0/UDP 192.0.2.1:5060;branch=…` as `UDP 192.0.2.1:5060`.
fn via(value: &str) -> Option<String> {
    let (protocol, sent_by) = value.split_once(char::is_whitespace)?;
    let transport = protocol.rsplit('/').next()?;
    let sent_by = sent_by.split(';').next()?.trim();
    Some(format!("{} {}", clip(transport), clip(sent_by)))
}

/// Number and method with one space between.
fn cseq(value: &str) -> String {
    clip(&value.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "))
}
