//! One pass over a message, for all that its conversation has to know of it.

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::message::{Entries, Entry, Fingerprint, Header, Malformed, Record, Section, Type};
use super::name::Name;

/// Names in a chain of aliases that are followed.
const MAX_CHAIN: usize = 8;
/// Aliases of one message that are looked at.
const MAX_ALIASES: usize = 16;
/// Addresses learned from one message.
const MAX_LEARNED: usize = 32;

/// What a message says. It is large, and so filled where it stands.
#[derive(Default)]
pub(super) struct Scan<'m> {
    /// The fingerprint of its questions.
    pub questions: u64,
    /// The high bits of the response code, which an OPT record holds (RFC 6891 section 6.1.3).
    pub high_rcode: u16,
    pub malformed: Option<Malformed>,
    /// The addresses in it.
    pub addresses: ArrayVec<Address<'m>, MAX_LEARNED>,
    /// The name that its first entry is about.
    first: Option<Name<'m>>,
    /// Names and what they are aliases of.
    aliases: ArrayVec<(Name<'m>, Name<'m>), MAX_ALIASES>,
}

/// A record that says where a name is.
pub(super) struct Address<'m> {
    pub name: Name<'m>,
    pub address: IpAddr,
    pub ttl: u32,
    pub section: Section,
}

impl<'m> Scan<'m> {
    /// Reads all of a message.
    pub fn read(&mut self, message: &'m [u8], header: Header) {
        let mut questions = Fingerprint::default();
        for entry in Entries::new(message, header) {
            let name = match entry {
                Ok(Entry::Question(question)) => {
                    questions.add(&question);
                    question.name
                }
                Ok(Entry::Record(record)) => {
                    self.record(&record);
                    record.name
                }
                Err(fault) => {
                    self.malformed = Some(fault);
                    continue;
                }
            };
            self.first.get_or_insert(name);
        }
        self.questions = questions.finish();
    }

    fn record(&mut self, record: &Record<'m>) {
        // Of too many, the first are enough.
        match record.rtype {
            Type::OPT => self.high_rcode = (record.ttl >> 24) as u16,
            Type::CNAME => {
                if let Some(target) = record.name_at(0) {
                    let _ = self.aliases.try_push((record.name, target));
                }
            }
            Type::A | Type::AAAA => {
                if let Some(address) = record.address() {
                    let Record { name, ttl, section, .. } = *record;
                    let _ = self.addresses.try_push(Address { name, address, ttl, section });
                }
            }
            _ => {}
        }
    }

    /// The addresses of the name that was asked for or of those that it is an alias of, in whatever order the records
    /// stand, with the name that was asked for.
    pub fn answers(&self) -> impl Iterator<Item = (Arc<str>, &Address<'m>)> {
        let chain = self.chain();
        let answers = self.addresses.iter().filter(|address| address.section == Section::Answer);
        let mut shared: Option<Arc<str>> = None;
        answers.filter_map(move |answer| {
            let asked = chain.first().filter(|_| chain.contains(&answer.name))?;
            Some((shared.get_or_insert_with(|| asked.host()).clone(), answer))
        })
    }

    /// The name that was asked for and the names it is an alias of.
    fn chain(&self) -> ArrayVec<Name<'m>, MAX_CHAIN> {
        let mut chain: ArrayVec<_, MAX_CHAIN> = self.first.into_iter().collect();
        loop {
            let known = chain.len();
            for (name, target) in &self.aliases {
                if chain.contains(name) && !chain.contains(target) {
                    let _ = chain.try_push(*target);
                }
            }
            if chain.len() == known || chain.is_full() {
                return chain;
            }
        }
    }
}
