//! What the XDP program counts, per CPU, in packets and bytes.

/// Declares the counters once: number, name, and meaning.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One thing that the program counts. The groups add up; see [`Counters::balances`].
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Counter {
            /// All of them, in the order of the map.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Its name in the ledger.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

counters! {
    /// Frames the program was run on.
    Seen = "seen",

    /// Verdict: left to the kernel's stack.
    Passed = "passed",
    /// Verdict: dropped, because no filter asked for it.
    Filtered = "filtered",
    /// Verdict: dropped, and counted in the map of shunted flows.
    Shunted = "shunted",
    /// Verdict: sent to a socket.
    Redirected = "redirected",
    /// Verdict: dropped, because the queue has no socket.
    RedirectErrors = "redirect_errors",

    /// Cause of passed or filtered: neither a console's nor discovery.
    NoConsole = "no_console",
    /// Cause of passed or filtered: a port that is excluded.
    ExcludedPort = "excluded_port",
    /// Cause of passed or filtered: an address that is excluded.
    ExcludedPrefix = "excluded_prefix",
    /// Cause of passed or filtered: shorter than an Ethernet header.
    Runt = "runt",

    /// Class of redirected or redirect_errors: a console's frame.
    Console = "console",
    /// Class of redirected or redirect_errors: traffic that discovers consoles.
    Discovery = "discovery",
    /// Class of redirected or redirect_errors: caught because everything is.
    Other = "other",

    /// Beside the verdict: cut to the snap length of its class.
    Snapped = "snapped",
    /// Beside the verdict: a header was cut short or impossible.
    Malformed = "malformed",
    /// Beside the verdict: the driver gave no room for metadata, so the frame was sent without.
    NoMeta = "no_meta",
    /// Beside the verdict: the driver refused to cut the frame, so it was sent whole.
    SnapErrors = "snap_errors",
}

/// Packets, and their bytes as they were on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Their lengths before snapping, without the frame check sequence.
    pub bytes: u64,
}

impl Count {
    /// Adds one frame of `bytes`.
    #[inline(always)]
    pub fn add(&mut self, bytes: u32) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
    }
}

impl core::ops::Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { packets: self.packets.wrapping_add(other.packets), bytes: self.bytes.wrapping_add(other.bytes) }
    }
}

/// All counters of one CPU, or their sum.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([Count; Counter::COUNT]);

impl Counters {
    /// Adds one frame of `bytes` to `counter`.
    #[inline(always)]
    pub fn add(&mut self, counter: Counter, bytes: u32) {
        if let Some(count) = self.0.get_mut(counter as usize) {
            count.add(bytes);
        }
    }

    /// What `counter` has come to.
    pub fn of(&self, counter: Counter) -> Count {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Adds another CPU's counters.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = *mine + *theirs;
        }
    }

    /// Whether every frame has exactly one verdict, and every verdict its cause or class:
    /// seen = passed + filtered + shunted + redirected + redirect_errors,
    /// passed + filtered = no_console + excluded_port + excluded_prefix + runt, and
    /// redirected + redirect_errors = console + discovery + other.
    ///
    /// Holds when no frame is being processed at the moment of reading.
    pub fn balances(&self) -> bool {
        use Counter::*;
        let sum = |counters: &[Counter]| counters.iter().fold(Count::default(), |sum, &counter| sum + self.of(counter));
        sum(&[Seen]) == sum(&[Passed, Filtered, Shunted, Redirected, RedirectErrors])
            && sum(&[Passed, Filtered]) == sum(&[NoConsole, ExcludedPort, ExcludedPrefix, Runt])
            && sum(&[Redirected, RedirectErrors]) == sum(&[Console, Discovery, Other])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_the_order_of_the_map() {
        for (index, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter as usize, index);
            assert_eq!(Counter::ALL.iter().filter(|other| other.name() == counter.name()).count(), 1);
        }
    }

    #[test]
    fn balance_needs_verdict_and_cause() {
        let mut counters = Counters::default();
        counters.add(Counter::Seen, 60);
        assert!(!counters.balances());
        counters.add(Counter::Filtered, 60);
        assert!(!counters.balances());
        counters.add(Counter::NoConsole, 60);
        assert!(counters.balances());

        let mut sum = Counters::default();
        sum.merge(&counters);
        sum.merge(&counters);
        assert_eq!(sum.of(Counter::Seen), Count { packets: 2, bytes: 120 });
        assert!(sum.balances());
    }
}
