//! One console, one match or one flow out of a capture.

use std::net::IpAddr;
use std::str::FromStr;

use super::comments::Comments;
use crate::dissect::{Mac, MacError, Packet};
use crate::flow::{CommunityId, CommunityIdError, Key};
use crate::time::Timestamp;

/// The two addresses of a flow.
pub type Ends = (IpAddr, IpAddr);

/// What alone is to be written, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// `console=MAC`: the frames from and to it.
    Console(Mac),
    /// `match=N`: the console's frames from the search that led to its N-th match until what followed it is over.
    Number(usize),
    /// `match=TIME`: the same, by the beginning of a match record's `start`.
    Start(String),
    /// `flow=COMMUNITY_ID`: all flows of that name.
    Flow(CommunityId),
}

/// A choice that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnlyError {
    /// There is no such kind of choice.
    #[error("`{0}`: expected console=MAC, match=N, match=TIME or flow=COMMUNITY_ID")]
    Unknown(String),
    /// The MAC is none.
    #[error(transparent)]
    Console(#[from] MacError),
    /// The flow's name is none.
    #[error(transparent)]
    Flow(#[from] CommunityIdError),
    /// The match is not there.
    #[error("there is no match {wanted}: {}", matches(.there))]
    NoMatch {
        /// As it was named.
        wanted: String,
        /// When those that are there began.
        there: Vec<Timestamp>,
    },
    /// The flow is not there.
    #[error("there is no flow {0}: `padtap read --json` lists flows with their community_id")]
    NoFlow(CommunityId),
}

fn matches(there: &[Timestamp]) -> String {
    if there.is_empty() {
        return "none was found".to_owned();
    }
    let list = there.iter().enumerate().map(|(place, start)| format!("{} began {start}", place + 1));
    list.collect::<Vec<_>>().join(", ")
}

impl FromStr for Only {
    type Err = OnlyError;

    fn from_str(text: &str) -> Result<Self, OnlyError> {
        match text.split_once('=') {
            Some(("console", mac)) => Ok(Self::Console(mac.parse()?)),
            Some(("flow", id)) => Ok(Self::Flow(id.parse()?)),
            Some(("match", start)) if start.contains('-') => Ok(Self::Start(start.to_owned())),
            Some(("match", number)) => match number.parse() {
                Ok(number @ 1..) => Ok(Self::Number(number)),
                _ => Err(OnlyError::Unknown(text.to_owned())),
            },
            _ => Err(OnlyError::Unknown(text.to_owned())),
        }
    }
}

/// A match that was played, with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// Who played.
    pub console: IpAddr,
    /// Its first tick.
    pub start: Timestamp,
    /// When the search for it began.
    pub from: Timestamp,
    /// When what followed it was over.
    pub to: Timestamp,
}

/// Which packets are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All.
    All,
    /// Those from and to this MAC.
    Console(Mac),
    /// Those of a match.
    Match(Played),
    /// Those of a flow; of datagrams in pieces, all between its ends.
    Flow(CommunityId, Ends),
}

impl Selection {
    /// What `only` means in a capture that was read.
    ///
    /// # Errors
    /// [`OnlyError::NoMatch`] and [`OnlyError::NoFlow`].
    pub fn of(only: Option<&Only>, comments: &Comments) -> Result<Self, OnlyError> {
        let Some(only) = only else { return Ok(Self::All) };
        let played = comments.played();
        let found = match only {
            Only::Console(mac) => return Ok(Self::Console(*mac)),
            Only::Flow(id) => {
                let ends = comments.ends().ok_or(OnlyError::NoFlow(*id))?;
                return Ok(Self::Flow(*id, ends));
            }
            Only::Number(number) => played.get(number - 1),
            Only::Start(start) => played.iter().find(|played| played.start.to_string().starts_with(start)),
        };
        let wanted = match only {
            Only::Start(start) => start.clone(),
            Only::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let there = || played.iter().map(|played| played.start).collect();
        found.copied().map(Self::Match).ok_or_else(|| OnlyError::NoMatch { wanted, there: there() })
    }

    /// Whether a packet is wanted.
    pub fn wants(&self, packet: &Packet<'_>, time: Timestamp) -> bool {
        match self {
            Self::All => true,
            Self::Console(mac) => packet.macs.is_some_and(|(source, destination)| [source, destination].contains(mac)),
            Self::Match(played) => {
                let its = |(source, destination)| [source, destination].contains(&played.console);
                (played.from..=played.to).contains(&time) && packet.addresses().is_some_and(its)
            }
            Self::Flow(id, (one, other)) => {
                let Some(ends) = packet.addresses() else { return false };
                if packet.ip.as_ref().is_some_and(|ip| ip.fragment.is_some()) {
                    return ends == (*one, *other) || ends == (*other, *one);
                }
                Key::of(packet).is_some_and(|(key, _)| CommunityId::of(&key) == *id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        assert_eq!("match=3".parse(), Ok(Only::Number(3)));
        assert_eq!("match=2016-09-10T19".parse(), Ok(Only::Start("2016-09-10T19".to_owned())));
        assert_eq!("console=bc:60:a7:00:00:40".parse(), Ok(Only::Console(Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40]))));
        for text in ["", "match", "match=0", "match=x", "console=bc:60:a7", "flow=1:x", "device=1"] {
            let error = text.parse::<Only>().expect_err(text).to_string();
            let value = text.split_once('=').map_or(text, |(_, value)| value);
            assert!(error.contains(value) && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn what_is_there_is_said() {
        let comments = Comments::default();
        let error = Selection::of(Some(&Only::Number(2)), &comments).expect_err("no match").to_string();
        assert_eq!(error, "there is no match 2: none was found");
        assert_eq!(matches(&[Timestamp::new(1, 0)]), "1 began 1970-01-01T00:00:01.000000000Z");
    }
}
