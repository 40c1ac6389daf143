//! One primitive: the words, the value, the tests they become.

use super::Parser;
use super::qualifier::{Kind, Protocol, Qualifiers, ip_protocol};
use crate::dissect::Mac;
use crate::filter::cover::Cover;
use crate::filter::error::ParseError;
use crate::filter::lex::Token;
use crate::filter::program::{Side, Test, Versions};
use crate::filter::value;

/// What an unknown word is told.
const UNDERSTOOD: &str = "not understood here; the primitives are: host, net, port, portrange, proto (after src, dst, \
                          ip, ip6, arp, rarp, tcp, udp, sctp, ether), ip, ip6, arp, rarp, tcp, udp, sctp, icmp, \
                          icmp6, igmp, esp, ah, pim, vrrp, vlan, broadcast, multicast, less, greater, len";

impl<'a> Parser<'a> {
    pub(super) fn primitive(&mut self) -> Result<Option<Cover>, ParseError> {
        let token = self.take("a primitive or a value")?;
        match token.text {
            _ if self.values_only => self.alone(token),
            "less" => self.at_most(),
            "greater" => self.at_least(),
            "len" => self.length(),
            "vlan" => self.vlan(),
            "broadcast" | "multicast" => self.group_address(None, token),
            word => {
                if let Some(protocol) = Protocol::from_word(word) {
                    return self.of_protocol((protocol, token));
                }
                if matches!(word, "src" | "dst") || Kind::from_word(word).is_some() {
                    self.next -= 1;
                    return self.qualified(None);
                }
                self.alone(token)
            }
        }
    }

    /// A protocol word: the start of a primitive, or one by itself.
    fn of_protocol(&mut self, protocol: (Protocol, Token<'a>)) -> Result<Option<Cover>, ParseError> {
        let Some(following) = self.peek() else { return self.abbreviation(protocol) };
        match following.text {
            "src" | "dst" => self.qualified(Some(protocol)),
            "broadcast" | "multicast" => {
                self.next += 1;
                self.group_address(Some(protocol), following)
            }
            word if Kind::from_word(word).is_some() => self.qualified(Some(protocol)),
            _ => self.abbreviation(protocol),
        }
    }

    fn abbreviation(&mut self, (protocol, token): (Protocol, Token<'a>)) -> Result<Option<Cover>, ParseError> {
        self.recent = None;
        self.test(match protocol {
            Protocol::Ether => {
                return Err(ParseError::at(&token, "needs host, src, dst, proto, broadcast or multicast behind it"));
            }
            Protocol::Network(ether_type) => Test::EtherType(ether_type),
            Protocol::Transport(protocol, versions) => Test::IpProtocol { versions, protocol },
        });
        Ok(None)
    }

    /// Direction and kind, then values.
    fn qualified(&mut self, protocol: Option<(Protocol, Token<'a>)>) -> Result<Option<Cover>, ParseError> {
        let side = self.side();
        let kind = self.peek().and_then(|token| Kind::from_word(token.text));
        if kind == Some(Kind::Proto) && side.is_some() {
            let token = self.take("proto")?;
            return Err(ParseError::at(&token, "a protocol has no direction"));
        }
        self.next += usize::from(kind.is_some());
        let side = side.unwrap_or(Side::Either);
        self.values(Qualifiers { protocol, side, kind: kind.unwrap_or(Kind::Host) })
    }

    /// `src`, `dst`, or both with a word between them.
    fn side(&mut self) -> Option<Side> {
        let first = self.end_word(0)?;
        self.next += 1;
        let joint = self.peek();
        match (joint, self.end_word(1)) {
            (Some(joint), Some(second)) if second != first && (joint.is_and() || joint.is_or()) => {
                self.next += 2;
                Some(if joint.is_and() { Side::Both } else { Side::Either })
            }
            _ => Some(first),
        }
    }

    fn end_word(&self, ahead: usize) -> Option<Side> {
        match self.tokens.get(self.next + ahead)?.text {
            "src" => Some(Side::Source),
            "dst" => Some(Side::Destination),
            _ => None,
        }
    }

    /// A value, read by the qualifiers before it or those of the primitive before it.
    fn alone(&mut self, token: Token<'a>) -> Result<Option<Cover>, ParseError> {
        if token.text.contains(['[', ']']) {
            return Err(ParseError::at(&token, "bytes of a packet (`proto[offset]`) are not understood"));
        }
        let Some(qualifiers) = self.recent else { return Err(ParseError::at(&token, UNDERSTOOD)) };
        match qualifiers.kind {
            Kind::Host | Kind::Net => self.address(token, &qualifiers),
            Kind::Port | Kind::PortRange => self.ports(token, &qualifiers),
            Kind::Proto => self.protocol_number(token, &qualifiers),
        }
    }

    fn ports(&mut self, token: Token<'a>, qualifiers: &Qualifiers<'a>) -> Result<Option<Cover>, ParseError> {
        let protocol = match qualifiers.protocol {
            None => None,
            Some((Protocol::Transport(number @ (6 | 17 | 132), _), _)) => Some(number),
            Some((_, word)) => {
                return Err(ParseError::at(
                    &word,
                    format!("has no {}: tcp, udp and sctp have", qualifiers.kind.word()),
                ));
            }
        };
        let Some((low, high)) = value::ports(token.text) else {
            return Err(ParseError::at(
                &token,
                "not a port, 0 to 65535, in digits; names of services are not looked up",
            ));
        };
        if qualifiers.kind == Kind::Port && token.text.contains('-') {
            return Err(ParseError::at(&token, "a range of ports goes behind `portrange`"));
        }
        self.test(Test::Port { protocol, side: qualifiers.side, low, high });
        Ok(None)
    }

    fn protocol_number(&mut self, token: Token<'a>, qualifiers: &Qualifiers<'a>) -> Result<Option<Cover>, ParseError> {
        let versions = match qualifiers.protocol {
            None => Versions::Both,
            Some((Protocol::IP, _)) => Versions::V4,
            Some((Protocol::IP6, _)) => Versions::V6,
            Some((Protocol::Ether, _)) => return self.ether_type(token),
            Some((_, word)) => return Err(ParseError::at(&word, "`proto` goes behind ip, ip6, ether or nothing")),
        };
        let name = token.text.trim_start_matches('\\');
        let number = value::number(token.text).map_or_else(|| ip_protocol(name), |number| u8::try_from(number).ok());
        let Some(protocol) = number else {
            let known = "not a protocol number, 0 to 255, nor one of: icmp, igmp, tcp, udp, gre, esp, ah, icmp6, \
                         ipv6-icmp, pim, vrrp, sctp";
            return Err(ParseError::at(&token, known));
        };
        self.test(Test::IpProtocol { versions, protocol });
        Ok(None)
    }

    /// Smaller numbers are lengths (IEEE 802.3) and mean an LLC service to libpcap; two larger ones mean a SNAP header
    /// too.
    fn ether_type(&mut self, token: Token<'a>) -> Result<Option<Cover>, ParseError> {
        const SMALLEST: u16 = 0x600;
        const ALSO_SNAP: [u16; 2] = [0x809b, 0x80f3];
        let number = match Protocol::from_word(token.text.trim_start_matches('\\')) {
            Some(Protocol::Network(number)) => Some(number),
            _ => value::number(token.text).and_then(|number| u16::try_from(number).ok()),
        };
        let Some(number) = number.filter(|number| *number >= SMALLEST && !ALSO_SNAP.contains(number)) else {
            let known = "not an EtherType, 0x600 to 0xffff without AppleTalk's, nor one of: ip, ip6, arp, rarp";
            return Err(ParseError::at(&token, known));
        };
        self.test(Test::EtherType(number));
        Ok(None)
    }

    fn group_address(
        &mut self,
        protocol: Option<(Protocol, Token<'a>)>,
        word: Token<'a>,
    ) -> Result<Option<Cover>, ParseError> {
        self.recent = None;
        self.test(match (protocol.map_or(Protocol::Ether, |(protocol, _)| protocol), word.text) {
            (Protocol::Ether, "broadcast") => Test::Mac { side: Side::Destination, mac: Mac([0xff; 6]) },
            (Protocol::Ether, _) => Test::EtherMulticast,
            (Protocol::IP, "broadcast") => Test::V4Broadcast,
            (Protocol::IP, _) => Test::V4Multicast,
            (Protocol::IP6, "multicast") => Test::V6Multicast,
            _ => return Err(ParseError::at(&word, "goes behind ether or ip, `multicast` behind ip6 too")),
        });
        Ok(None)
    }

    /// A tag; every primitive behind it looks behind the tag, whether or not it was there.
    fn vlan(&mut self) -> Result<Option<Cover>, ParseError> {
        self.recent = None;
        let id = match self.peek().filter(|token| token.text.starts_with(|first: char| first.is_ascii_digit())) {
            Some(token) => {
                self.next += 1;
                let id = value::number(token.text).and_then(|id| u16::try_from(id).ok()).filter(|id| *id <= 4095);
                Some(id.ok_or_else(|| ParseError::at(&token, "not a VLAN identifier, 0 to 4095"))?)
            }
            None => None,
        };
        self.test(Test::Vlan(id));
        self.tags += 1;
        Ok(None)
    }

    fn at_most(&mut self) -> Result<Option<Cover>, ParseError> {
        let most = self.byte_count()?;
        self.within(0, most)
    }

    fn at_least(&mut self) -> Result<Option<Cover>, ParseError> {
        let least = self.byte_count()?;
        self.within(least, u32::MAX)
    }

    fn length(&mut self) -> Result<Option<Cover>, ParseError> {
        let relation = self.take("one of <, <=, =, ==, !=, >=, >")?;
        if !matches!(relation.text, "<" | "<=" | "=" | "==" | "!=" | ">=" | ">") {
            return Err(ParseError::at(&relation, "behind len goes one of <, <=, =, ==, !=, >=, >"));
        }
        let count = self.byte_count()?;
        match relation.text {
            "<" => match count.checked_sub(1) {
                Some(most) => self.within(0, most),
                None => self.within(1, 0),
            },
            "<=" => self.within(0, count),
            ">=" => self.within(count, u32::MAX),
            ">" => match count.checked_add(1) {
                Some(least) => self.within(least, u32::MAX),
                None => self.within(1, 0),
            },
            "!=" => {
                let _ = self.within(count, count)?;
                self.program.not();
                Ok(None)
            }
            _ => self.within(count, count),
        }
    }

    fn within(&mut self, least: u32, most: u32) -> Result<Option<Cover>, ParseError> {
        self.recent = None;
        self.test(Test::Length(least, most));
        Ok(None)
    }

    fn byte_count(&mut self) -> Result<u32, ParseError> {
        let token = self.take("a number of bytes")?;
        value::number(token.text).ok_or_else(|| ParseError::at(&token, "not a number of bytes"))
    }
}
