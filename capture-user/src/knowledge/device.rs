//! How a device shows what it is.

use std::sync::Arc;

use serde::Deserialize;

use super::file::Text;
use super::{Confidence, Error, Family, Strength};

/// What the entries of all kinds say: which device, and how sure that is.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The kind of device.
            pub family: Family,
            /// Which of them.
            pub model: Option<Arc<str>>,
            /// How much this decides alone.
            #[serde(default)]
            pub strength: Strength,
            /// How well that is known.
            #[serde(default)]
            pub confidence: Confidence,
            #[serde(default, rename = "src")]
            _src: Vec<String>,
            #[serde(default, rename = "note")]
            _note: Option<String>,
            $($(#[$field_doc])* pub $field: $type,)*
        }
    };
}

entry! {
    /// What a device asks for an address with. All that is given must hold.
    Dhcp {
        /// Option 60, whole.
        vendor_class: Option<String>,
        /// Option 55, in its order.
        parameter_list: Option<Vec<u8>>,
        /// Codes of all options in their order: one of these.
        option_order: Option<Vec<Vec<u8>>>,
        /// How option 12 begins, whatever its case.
        hostname: Option<String>,
    }
}

entry! {
    /// How a device opens a TCP connection. All that is given must hold.
    Syn {
        /// Time to live at the device.
        ttl: u8,
        /// Window as it stands in the header.
        window: u16,
        /// Window scale.
        scale: Option<u8>,
        /// Maximum segment size.
        mss: Option<u16>,
        /// Order of options.
        options: Vec<SynOption>,
    }
}

entry! {
    /// What a device's programs call themselves.
    Agent {
        /// A part of the name.
        contains: String,
    }
}

entry! {
    /// What a device answers to a search for it.
    HostType {
        /// The whole answer.
        name: String,
    }
}

/// An option of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SynOption {
    /// Maximum segment size.
    Mss,
    /// Padding.
    Nop,
    /// Window scale.
    Ws,
    /// Selective acknowledgements.
    Sok,
    /// Timestamps.
    Ts,
    /// End of options.
    Eol,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    dhcp: Vec<Dhcp>,
    #[serde(default)]
    syn: Vec<Syn>,
    #[serde(default)]
    user_agent: Vec<Agent>,
    #[serde(default)]
    host_type: Vec<HostType>,
    #[serde(default, rename = "schema")]
    _schema: Option<u32>,
}

/// All marks of devices.
#[derive(Debug, Default)]
pub struct Fingerprints {
    dhcp: Vec<Dhcp>,
    syn: Vec<Syn>,
    agents: Vec<Agent>,
    host_types: Vec<HostType>,
}

/// What a SYN shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynShape<'a> {
    /// Time to live, as it arrived.
    pub ttl: u8,
    /// Window as it stands in the header.
    pub window: u16,
    /// The options, not decoded.
    pub options: &'a [u8],
}

impl Fingerprints {
    pub(super) fn from_texts<'a>(texts: impl Iterator<Item = &'a Text>) -> Result<Self, Error> {
        let mut all = Self::default();
        for text in texts {
            let File { dhcp, syn, user_agent, host_type, .. } = text.toml()?;
            all.dhcp.extend(dhcp);
            all.syn.extend(syn);
            all.agents.extend(user_agent);
            all.host_types.extend(host_type);
        }
        Ok(all)
    }

    /// Entries that a DHCP message of a client fits.
    pub fn dhcp<'a>(
        &'a self,
        vendor_class: Option<&'a str>,
        hostname: Option<&'a str>,
        parameter_list: &'a [u8],
        option_order: &'a [u8],
    ) -> impl Iterator<Item = &'a Dhcp> {
        let begins = move |start: &String| {
            let start_of = |name: &str| name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
            hostname.is_some_and(start_of)
        };
        self.dhcp.iter().filter(move |entry| {
            entry.vendor_class.as_ref().is_none_or(|class| vendor_class == Some(class))
                && entry.parameter_list.as_ref().is_none_or(|list| list == parameter_list)
                && entry.option_order.as_ref().is_none_or(|orders| orders.iter().any(|order| order == option_order))
                && entry.hostname.as_ref().is_none_or(begins)
        })
    }

    /// Entries that a SYN fits. It may have passed routers: its time to live is at most that of the entry.
    pub fn syn<'a>(&'a self, shape: &SynShape<'_>) -> impl Iterator<Item = &'a Syn> + use<'a> {
        let options = options(shape.options);
        let (ttl, window) = (shape.ttl, shape.window);
        self.syn.iter().filter(move |entry| {
            window == entry.window
                && (ttl <= entry.ttl && entry.ttl - ttl < 32)
                && *options.order == *entry.options
                && entry.scale.is_none_or(|scale| options.scale == Some(scale))
                && entry.mss.is_none_or(|mss| options.mss == Some(mss))
        })
    }

    /// Entries that the name of a program fits.
    pub fn agent<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = &'a Agent> {
        self.agents.iter().filter(move |entry| agent.contains(&entry.contains))
    }

    /// The entry for a host type.
    pub fn host_type(&self, name: &str) -> Option<&HostType> {
        self.host_types.iter().rev().find(|entry| entry.name == name)
    }

    /// Entries known.
    pub fn len(&self) -> usize {
        self.dhcp.len() + self.syn.len() + self.agents.len() + self.host_types.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Default)]
struct Options {
    order: arrayvec::ArrayVec<SynOption, 40>,
    scale: Option<u8>,
    mss: Option<u16>,
}

/// The options of a SYN (RFC 9293 section 3.1), up to the first that is none of those known.
fn options(mut bytes: &[u8]) -> Options {
    let mut found = Options::default();
    loop {
        let (option, length) = match bytes {
            [0, ..] => (SynOption::Eol, 0),
            [1, ..] => (SynOption::Nop, 1),
            [2, 4, high, low, ..] => {
                found.mss = Some(u16::from_be_bytes([*high, *low]));
                (SynOption::Mss, 4)
            }
            [3, 3, scale, ..] => {
                found.scale = Some(*scale);
                (SynOption::Ws, 3)
            }
            [4, 2, ..] => (SynOption::Sok, 2),
            [8, 10, ..] => (SynOption::Ts, 10),
            _ => return found,
        };
        if found.order.try_push(option).is_err() || length == 0 {
            return found;
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;

    const PS4: [u8; 20] = [2, 4, 5, 0xb4, 1, 3, 3, 6, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0];

    #[test]
    fn devices_by_their_addresses_requests() {
        let knowledge = Knowledge::embedded();
        let models = |class, list: &'static [u8], order: &'static [u8]| {
            let found = knowledge.devices.dhcp(class, None, list, order);
            found.map(|entry| (entry.family, entry.model.clone())).collect::<Vec<_>>()
        };
        let ps4 = (Family::Playstation, Some("ps4".into()));
        assert_eq!(models(Some("PS4"), &[], &[53, 50, 61, 60]), std::slice::from_ref(&ps4));
        let request: &[u8] = &[53, 50, 54, 55, 61, 60];
        assert_eq!(models(Some("PS4"), &[1, 3, 15, 6], request), [ps4, (Family::Playstation, None)]);
        assert_eq!(models(None, &[1, 3, 6, 28], &[53, 57, 55]), [(Family::Nintendo, Some("switch".into()))]);
        assert!(models(Some("PS40"), &[1, 3, 6], &[53]).is_empty());
        let named: Vec<_> = knowledge.devices.dhcp(None, Some("XBOX-Living"), &[], &[]).collect();
        assert_eq!(named.iter().map(|entry| entry.family).collect::<Vec<_>>(), [Family::Xbox]);
        assert_eq!(knowledge.devices.dhcp(None, Some("xb"), &[], &[]).count(), 0);
    }

    #[test]
    fn devices_by_their_syn() {
        let knowledge = Knowledge::embedded();
        let models = |ttl, window, options: &[u8]| {
            let found = knowledge.devices.syn(&SynShape { ttl, window, options });
            found.map(|entry| entry.model.as_deref().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(models(64, 65535, &PS4), [Some("ps4".to_owned())]);
        assert_eq!(models(60, 65535, &PS4), [Some("ps4".to_owned())]);
        assert!(models(128, 65535, &PS4).is_empty());
        assert!(models(64, 65535, &PS4[..8]).is_empty());
        assert!(models(64, 65535, &[]).is_empty());
        for cut in 0..PS4.len() {
            models(64, 65535, &PS4[..cut]);
        }
    }

    #[test]
    fn devices_by_what_they_call_themselves() {
        let knowledge = Knowledge::embedded();
        let agents: Vec<_> = knowledge.devices.agent("Mozilla/5.0 (PlayStation 4 5.05) AppleWebKit").collect();
        assert_eq!(agents.iter().map(|entry| entry.model.as_deref()).collect::<Vec<_>>(), [Some("ps4")]);
        assert_eq!(knowledge.devices.agent("curl/8").count(), 0);
        let model = |name| knowledge.devices.host_type(name).and_then(|entry| entry.model.as_deref());
        assert_eq!((model("PS5"), model("Phone")), (Some("ps5"), None));
    }
}
