//! The words that tables and records share.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Signing in.
    Login,
    /// The platform's own services.
    Platform,
    /// Looking for a match.
    Matchmaking,
    /// What goes on around a match.
    Lobby,
    /// Latency probes before a match.
    Probe,
    /// The match itself.
    Game,
    /// Setting up voice, and keeping it reachable.
    VoiceSignalling,
    /// Voice.
    VoiceMedia,
    /// What is reported of a match.
    Result,
    /// Games and other content.
    Download,
    /// New versions.
    Update,
    /// Buying.
    Store,
    /// Friends, presence, chat.
    Social,
    /// What the console reports of itself.
    Telemetry,
    /// How the console is seen from outside.
    NatCheck,
    /// Who else is on the local network.
    Discovery,
    /// The console's screen elsewhere.
    RemotePlay,
    /// Names of hosts.
    NameService,
    /// The time of day.
    Time,
    /// Addresses of hosts.
    Address,
    /// Web pages.
    Web,
    /// Something that is none of these.
    Other,
}

impl Role {
    /// Whether it says little: what is known of the flow beside it says more.
    pub const fn is_vague(self) -> bool {
        matches!(self, Self::Platform | Self::Web | Self::Other)
    }

    /// Whether every device of a network does it alike, so that no payload of it tells of a service.
    pub const fn is_infrastructure(self) -> bool {
        matches!(self, Self::NameService | Self::Address | Self::Time)
    }
}

/// How well an entry is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// It is our reading of other facts.
    Inferred,
    /// It was seen in traffic or in public code.
    Observed,
    /// Who makes it says so. A user's own entries count as this unless they say otherwise.
    #[default]
    Documented,
}

/// How much a mark of a device decides alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// Many other devices have it.
    Weak,
    /// Some other devices have it.
    #[default]
    Medium,
    /// Only such devices have it.
    Strong,
}

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Sony's.
    Playstation,
    /// Microsoft's.
    Xbox,
    /// Nintendo's.
    Nintendo,
    /// Valve's.
    SteamDeck,
    /// No console.
    Other,
}

/// What carries payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Prints a word as records write it.
macro_rules! display {
    ($($word:ty),*) => {$(
        impl fmt::Display for $word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}

display!(Role, Confidence, Strength, Family, Transport);
