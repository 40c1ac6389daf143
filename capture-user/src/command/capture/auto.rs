//! `--console auto`: consoles are captured from when they show themselves on.

use std::collections::BTreeSet;

use capture_common::config::mac_key;
use capture_user::dissect::Mac;
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::policy::rule::Console;

/// What recognises consoles: all that were recognised so far.
pub type Known = Box<dyn Fn() -> Vec<Mac>>;

/// The consoles that were added to the filter.
pub struct Auto {
    known: Known,
    learned: BTreeSet<Mac>,
    quiet: bool,
    full: bool,
}

impl Auto {
    /// Learns from `known`; says whom it adds unless it is to be quiet.
    pub fn new(known: Known, quiet: bool) -> Self {
        Self { known, learned: BTreeSet::new(), quiet, full: false }
    }

    /// Whether consoles have become known that [`Auto::add`] was not told of yet.
    pub fn has_news(&self) -> bool {
        (self.known)().iter().any(|mac| !self.learned.contains(mac))
    }

    /// Adds all consoles that are known to a filter.
    pub fn add(&mut self, filter: &mut ConsoleFilter) {
        for mac in (self.known)() {
            let new = self.learned.insert(mac);
            match filter.add_console(key(mac)) {
                Ok(()) if new && !self.quiet => eprintln!("padtap: console {mac}: captured from now on"),
                Ok(()) => {}
                Err(error) if !std::mem::replace(&mut self.full, true) => {
                    eprintln!("padtap: console {mac} and others are not captured: {error}");
                }
                Err(_) => {}
            }
        }
    }
}

fn key(Mac(bytes): Mac) -> Console {
    Console::Mac(mac_key(bytes.into_iter().fold(0, |mac, byte| mac << 8 | u64::from(byte)), 48))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    const FIRST: Mac = Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40]);

    #[test]
    fn consoles_are_news_once_and_hold_for_every_filter() {
        let known = Rc::new(RefCell::new(Vec::new()));
        let mut auto = Auto::new(
            Box::new({
                let known = known.clone();
                move || known.borrow().clone()
            }),
            true,
        );
        let mut filter = ConsoleFilter::new();
        assert!(!auto.has_news());
        known.borrow_mut().push(FIRST);
        assert!(auto.has_news());
        auto.add(&mut filter);
        assert!(!auto.has_news());
        assert_eq!("bc:60:a7:00:00:40".parse(), Ok(key(FIRST)));
        let mut expected = ConsoleFilter::new();
        expected.add_console(key(FIRST)).expect("room");
        assert_eq!(filter, expected);
        let mut anew = ConsoleFilter::new();
        auto.add(&mut anew);
        assert_eq!(anew, expected);
    }
}
