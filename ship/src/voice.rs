//! What is said on standard error: a line for each change, and none in between.

/// What went to the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Batches that the stream had already.
    pub duplicates: u64,
}

/// Who speaks.
pub struct Voice {
    quiet: bool,
    last: String,
}

impl Voice {
    /// One that says nothing, or what is to say.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, last: String::new() }
    }

    /// How things are; said when it has changed.
    pub fn say(&mut self, line: String) {
        if self.last != line {
            self.last = line;
            self.print(&self.last);
        }
    }

    /// The end.
    pub fn sum_up(&self, shipped: &Shipped, waiting: usize) {
        let Shipped { batches, records, duplicates } = shipped;
        self.print(&format!(
            "shipped {batches} batches with {records} records; the stream knew {duplicates} of them already; {waiting} wait"
        ));
    }

    fn print(&self, line: &str) {
        if !self.quiet {
            eprintln!("padtap-ship: {line}");
        }
    }
}
