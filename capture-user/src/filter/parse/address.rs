//! Addresses and networks.

use std::net::{IpAddr, Ipv6Addr};

use super::Parser;
use super::qualifier::{Kind, Protocol, Qualifiers};
use crate::filter::cover::Cover;
use crate::filter::error::ParseError;
use crate::filter::lex::Token;
use crate::filter::program::{Carrier, Test};
use crate::filter::value;

impl<'a> Parser<'a> {
    pub(super) fn address(
        &mut self,
        token: Token<'a>,
        qualifiers: &Qualifiers<'a>,
    ) -> Result<Option<Cover>, ParseError> {
        if let Some((Protocol::Ether, _)) = qualifiers.protocol {
            return self.mac(token, qualifiers);
        }
        if let Ok(address) = token.text.parse::<Ipv6Addr>() {
            return self.v6(token, address, qualifiers);
        }
        if let Some((address, bits)) = value::octets(token.text) {
            return self.v4(token, address, bits, qualifiers);
        }
        let problem = match value::mac(token.text) {
            Some(_) => "an Ethernet address goes behind `ether host`, `ether src` or `ether dst`",
            None => "not an IPv4 or IPv6 address; names are not looked up",
        };
        Err(ParseError::at(&token, problem))
    }

    fn mac(&mut self, token: Token<'a>, qualifiers: &Qualifiers<'a>) -> Result<Option<Cover>, ParseError> {
        if qualifiers.kind != Kind::Host {
            return Err(ParseError::at(&token, "there is no `ether net`"));
        }
        let Some(mac) = value::mac(token.text) else {
            return Err(ParseError::at(&token, "not an Ethernet address such as 00:d9:d1:12:34:56"));
        };
        self.test(Test::Mac { side: qualifiers.side, mac });
        Ok(Some(Cover { macs: vec![mac], ..Cover::default() }))
    }

    fn v4(
        &mut self,
        token: Token<'a>,
        address: u32,
        bits: u32,
        qualifiers: &Qualifiers<'a>,
    ) -> Result<Option<Cover>, ParseError> {
        let carrier = match qualifiers.protocol {
            None => Carrier::Any,
            Some((Protocol::IP, _)) => Carrier::Ip,
            Some((Protocol::ARP, _)) => Carrier::Arp,
            Some((Protocol::RARP, _)) => Carrier::Rarp,
            Some((_, word)) => return Err(ParseError::at(&word, "does not go with an IPv4 address")),
        };
        if qualifiers.kind == Kind::Host && bits < 32 {
            return Err(ParseError::at(&token, "a host has four numbers; for the first ones alone there is `net`"));
        }
        let mask = self.v4_mask(&token, bits, qualifiers.kind)?;
        if address & !mask != 0 {
            return Err(ParseError::at(&token, "has bits outside its mask"));
        }
        self.test(Test::V4 { carrier, side: qualifiers.side, network: address, mask });
        let contiguous = mask.leading_ones() + mask.trailing_zeros() == 32;
        Ok(self
            .prefix(address.to_be_bytes().into(), mask.count_ones())
            .filter(|_| contiguous)
            .map(|cover| Cover { arp: carrier != Carrier::Ip, ..cover }))
    }

    /// `/bits`, `mask address`, or as many bits as were written.
    fn v4_mask(&mut self, token: &Token<'a>, bits: u32, kind: Kind) -> Result<u32, ParseError> {
        if kind == Kind::Net && self.accept_word("mask") {
            let mask = self.take("a mask such as 255.255.255.0")?;
            return value::octets(mask.text)
                .map(|(mask, _)| mask)
                .ok_or_else(|| ParseError::at(&mask, "not a mask such as 255.255.255.0"));
        }
        if let Some(length) = self.prefix_length(32, kind)? {
            return Ok(value::mask_v4(length));
        }
        if token.text == "0" {
            return Err(ParseError::at(token, "ambiguous; write 0.0.0.0/8 or 0.0.0.0/0"));
        }
        Ok(value::mask_v4(bits))
    }

    fn v6(
        &mut self,
        token: Token<'a>,
        address: Ipv6Addr,
        qualifiers: &Qualifiers<'a>,
    ) -> Result<Option<Cover>, ParseError> {
        if let Some((protocol, word)) = qualifiers.protocol
            && protocol != Protocol::IP6
        {
            return Err(ParseError::at(&word, "does not go with an IPv6 address"));
        }
        let bits = self.prefix_length(128, qualifiers.kind)?.unwrap_or(128);
        let (network, mask) = (address.to_bits(), value::mask_v6(bits));
        if network & !mask != 0 {
            return Err(ParseError::at(&token, "has bits outside its mask"));
        }
        self.test(Test::V6 { side: qualifiers.side, network, mask });
        Ok(self.prefix(address.into(), bits))
    }

    fn prefix_length(&mut self, most: u32, kind: Kind) -> Result<Option<u32>, ParseError> {
        let Some(slash) = self.peek().filter(|token| token.text == "/") else { return Ok(None) };
        if kind != Kind::Net {
            return Err(ParseError::at(&slash, "a prefix goes behind `net`"));
        }
        self.next += 1;
        let length = self.take("the length of a prefix")?;
        match value::number(length.text).filter(|bits| *bits <= most) {
            Some(bits) => Ok(Some(bits)),
            None => Err(ParseError::at(&length, format!("not the length of a prefix, 0 to {most}"))),
        }
    }

    /// The cover of one prefix. Behind a VLAN tag that the expression asked for, a primitive may read an untagged
    /// frame at the wrong place, where the XDP program does not, so there is none.
    fn prefix(&self, address: IpAddr, bits: u32) -> Option<Cover> {
        let bits = u8::try_from(bits).ok().filter(|_| self.tags == 0)?;
        Some(Cover { prefixes: vec![(address, bits)], ..Cover::default() })
    }
}
