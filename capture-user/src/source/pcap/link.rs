//! Link layers by their numbers in capture files.

use crate::source::LinkType;

impl LinkType {
    /// The link layer of a LINKTYPE value. Raw IP has several: 101 is the registered one, 12 and 14 are what BSD
    /// systems call it, 228 and 229 say which IP version follows.
    pub const fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }

    /// The LINKTYPE value of a link layer.
    pub const fn code(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::RawIp => 101,
            Self::Loop => 108,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
            Self::Other(code) => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_layer_comes_back_from_its_code() {
        for code in 0..=u16::MAX {
            let link = LinkType::from_code(code);
            assert_eq!(LinkType::from_code(link.code()), link);
        }
        assert_eq!(LinkType::from_code(12), LinkType::RawIp);
        assert_eq!(LinkType::from_code(147), LinkType::Other(147));
    }
}
