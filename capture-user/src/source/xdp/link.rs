//! What an interface is, and how it is set: asked of the kernel over rtnetlink, generic netlink and the ethtool ioctl.
//!
//! Netlink answers for the network namespace of the calling thread, as the ioctls do; sysfs shows that of whoever
//! mounted it, so it is asked only where nothing else answers, and believed only for the same interface index.

use std::io;

mod ethtool;
pub(super) mod netlink;
mod promiscuous;

pub use ethtool::{Offloads, Queues};
pub use promiscuous::Promiscuous;

use netlink::{GENERIC, ROUTE, Request, attributes, exchange, number, text};

/// One network interface, as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index, which stays when it is renamed.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its other names.
    pub alternative_names: Vec<String>,
    /// Its hardware address, where it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// The most bytes of network layer in one frame.
    pub mtu: u32,
    /// Whether it is set up (IFF_UP).
    pub up: bool,
    /// Whether frames can pass.
    pub state: OperState,
    /// How many users want every frame, whatever its address; 0 when it is not promiscuous.
    pub promiscuity: u32,
    /// The XDP program on it.
    pub xdp: Option<Attached>,
    /// What it received and lost since it exists.
    pub counters: Counters,
    /// Queues it was made with; [`Link::queues`] says how many are in use.
    made_with: Queues,
}

/// RFC 2863 operational state, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperState {
    /// The driver does not say: taken for up.
    Unknown,
    /// Hardware is missing.
    NotPresent,
    /// No carrier, or set down.
    Down,
    /// What it stands on is down.
    LowerLayerDown,
    /// In a test.
    Testing,
    /// Waits for something, 802.1X for example.
    Dormant,
    /// Frames pass.
    Up,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The kernel's number of the program; 0 where there are several.
    pub program: u32,
    /// Whether it runs in the kernel's generic hook, not in the driver.
    pub generic: bool,
}

/// Counters of an interface, in frames (`struct rtnl_link_stats64`). What a driver counts under which name is its own
/// affair; only the change over a capture says something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Good frames.
    pub rx_packets: u64,
    /// Bad frames.
    pub rx_errors: u64,
    /// Dropped by the driver or the kernel for want of room.
    pub rx_dropped: u64,
    /// Came faster than a FIFO was emptied.
    pub rx_fifo_errors: u64,
    /// Missed by the NIC for want of a descriptor.
    pub rx_missed_errors: u64,
    /// Not sent for want of room.
    pub tx_dropped: u64,
}

impl Counters {
    /// Frames lost below XDP between `earlier` and `self`.
    pub fn lost_since(&self, earlier: &Self) -> u64 {
        let lost = |c: &Self| c.rx_dropped.wrapping_add(c.rx_fifo_errors).wrapping_add(c.rx_missed_errors);
        lost(self).wrapping_sub(lost(earlier))
    }
}

/// What the driver can do for XDP (netdev generic netlink, kernel 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpFeatures {
    /// Programs run in the driver, and may redirect to sockets.
    pub native: bool,
    /// The NIC writes into a socket's chunks.
    pub zero_copy: bool,
    /// Frames in several buffers reach a program.
    pub scatter_gather: bool,
    /// The most pieces of one frame with zero-copy; 1 where large frames do not fit it.
    pub zero_copy_pieces: u32,
}

impl Link {
    /// The interface of a name or alternative name, of any length.
    ///
    /// # Errors
    /// ENODEV when there is none, or what netlink says.
    pub fn find(name: &str) -> io::Result<Self> {
        let mut name = name.as_bytes().to_vec();
        name.push(0);
        // IFLA_ALT_IFNAME finds names of either kind (`rtnl_dev_get` in net/core/rtnetlink.c).
        Self::parse(&exchange(ROUTE, &get_link(0).attribute(libc::IFLA_ALT_IFNAME, &name))?)
    }

    /// The interface of an index.
    ///
    /// # Errors
    /// ENODEV when there is none, or what netlink says.
    pub fn by_index(index: u32) -> io::Result<Self> {
        Self::parse(&exchange(ROUTE, &get_link(index))?)
    }

    /// Reads an RTM_NEWLINK message: `struct ifinfomsg` and attributes.
    fn parse(message: &[u8]) -> io::Result<Self> {
        let short = || io::Error::new(io::ErrorKind::InvalidData, "a netlink answer shorter than its header");
        let (head, rest) = message.split_first_chunk::<16>().ok_or_else(short)?;
        let mut link = Self {
            index: number(&head[4..8]) as u32,
            name: String::new(),
            alternative_names: Vec::new(),
            mac: None,
            mtu: 0,
            up: number(&head[8..12]) & libc::IFF_UP as u64 != 0,
            state: OperState::Unknown,
            promiscuity: 0,
            xdp: None,
            counters: Counters::default(),
            made_with: Queues { rx: 1, tx: 1 },
        };
        for (kind, value) in attributes(rest) {
            link.take(kind, value);
        }
        Ok(link)
    }

    fn take(&mut self, kind: u16, value: &[u8]) {
        match kind {
            libc::IFLA_IFNAME => self.name = text(value),
            libc::IFLA_PROP_LIST => {
                let names = attributes(value).filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME);
                self.alternative_names = names.map(|(_, name)| text(name)).collect();
            }
            libc::IFLA_ADDRESS => self.mac = value.try_into().ok(),
            libc::IFLA_MTU => self.mtu = number(value) as u32,
            libc::IFLA_OPERSTATE => self.state = OperState::from_number(number(value)),
            libc::IFLA_PROMISCUITY => self.promiscuity = number(value) as u32,
            libc::IFLA_NUM_RX_QUEUES => self.made_with.rx = number(value) as u32,
            libc::IFLA_NUM_TX_QUEUES => self.made_with.tx = number(value) as u32,
            libc::IFLA_XDP => self.xdp = Attached::parse(value),
            libc::IFLA_STATS64 => self.counters = Counters::parse(value),
            _ => {}
        }
    }

    /// Queues in use. The driver knows, else sysfs, else all it was made with.
    pub fn queues(&self) -> Queues {
        ethtool::channels(&self.name).unwrap_or_else(|_| self.queues_in_sysfs().unwrap_or(self.made_with))
    }

    fn queues_in_sysfs(&self) -> Option<Queues> {
        let directory = std::path::Path::new("/sys/class/net").join(&self.name);
        let index: u32 = std::fs::read_to_string(directory.join("ifindex")).ok()?.trim().parse().ok()?;
        let mut queues = Queues { rx: 0, tx: 0 };
        for entry in std::fs::read_dir(directory.join("queues")).ok()? {
            match entry.ok()?.file_name().to_str()?.split_once('-')?.0 {
                "rx" => queues.rx += 1,
                _ => queues.tx += 1,
            }
        }
        (index == self.index && queues.rx > 0).then_some(queues)
    }

    /// The driver's name, where it has one.
    pub fn driver(&self) -> Option<String> {
        ethtool::driver(&self.name).ok()
    }

    /// What the NIC or the kernel does to frames before XDP or a socket sees them.
    pub fn offloads(&self) -> Offloads {
        ethtool::offloads(&self.name)
    }

    /// What the driver says it can do for XDP.
    ///
    /// # Errors
    /// ENOENT or EOPNOTSUPP where the kernel has no such interface (before 6.3).
    pub fn xdp_features(&self) -> io::Result<XdpFeatures> {
        const NETDEV_CMD_DEV_GET: u8 = 1;
        const NETDEV_A_DEV_IFINDEX: u16 = 1;
        let family = netlink::family("netdev")?;
        let request = Request::generic(family, NETDEV_CMD_DEV_GET);
        let request = request.attribute(NETDEV_A_DEV_IFINDEX, &self.index.to_ne_bytes());
        let answer = exchange(GENERIC, &request)?;
        Ok(XdpFeatures::parse(answer.get(4..).unwrap_or_default()))
    }
}

fn get_link(index: u32) -> Request {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    Request::new(libc::RTM_GETLINK, &head)
}

impl OperState {
    fn from_number(number: u64) -> Self {
        match number {
            1 => Self::NotPresent,
            2 => Self::Down,
            3 => Self::LowerLayerDown,
            4 => Self::Testing,
            5 => Self::Dormant,
            6 => Self::Up,
            _ => Self::Unknown,
        }
    }
}

impl Attached {
    /// Reads the contents of IFLA_XDP.
    fn parse(nested: &[u8]) -> Option<Self> {
        const IFLA_XDP_ATTACHED: u16 = 2;
        const IFLA_XDP_PROG_ID: u16 = 4;
        const XDP_ATTACHED_NONE: u64 = 0;
        const XDP_ATTACHED_SKB: u64 = 2;
        let value = |wanted| attributes(nested).find(|(kind, _)| *kind == wanted).map(|(_, value)| number(value));
        let mode = value(IFLA_XDP_ATTACHED).filter(|&mode| mode != XDP_ATTACHED_NONE)?;
        Some(Self { program: value(IFLA_XDP_PROG_ID).unwrap_or(0) as u32, generic: mode == XDP_ATTACHED_SKB })
    }
}

impl Counters {
    fn parse(stats: &[u8]) -> Self {
        let field = |place: usize| stats.chunks_exact(8).nth(place).map_or(0, number);
        Self {
            rx_packets: field(0),
            rx_errors: field(4),
            rx_dropped: field(6),
            rx_fifo_errors: field(14),
            rx_missed_errors: field(15),
            tx_dropped: field(7),
        }
    }
}

impl XdpFeatures {
    /// Reads the attributes of NETDEV_CMD_DEV_GET's answer (`include/uapi/linux/netdev.h`).
    fn parse(answer: &[u8]) -> Self {
        const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
        const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
        const BASIC_AND_REDIRECT: u64 = 1 | 2;
        const XSK_ZEROCOPY: u64 = 8;
        const RX_SG: u64 = 32;
        let value = |wanted| attributes(answer).find(|(kind, _)| *kind == wanted).map(|(_, value)| number(value));
        let bits = value(NETDEV_A_DEV_XDP_FEATURES).unwrap_or(0);
        Self {
            native: bits & BASIC_AND_REDIRECT == BASIC_AND_REDIRECT,
            zero_copy: bits & XSK_ZEROCOPY != 0,
            scatter_gather: bits & RX_SG != 0,
            zero_copy_pieces: value(NETDEV_A_DEV_XDP_ZC_MAX_SEGS).unwrap_or(1) as u32,
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_what_it_always_is() {
        let link = Link::find("lo").unwrap();
        assert_eq!((link.index, link.name.as_str(), link.mac), (1, "lo", Some([0; 6])));
        assert!(link.mtu > 0 && link.alternative_names.is_empty() && link.xdp.is_none());
        assert_eq!(link.queues().rx, 1);
        assert_eq!(Link::by_index(1).unwrap().name, "lo");
    }

    #[test]
    fn an_interface_that_is_not_there_is_enodev() {
        let no_device = Some(libc::ENODEV);
        assert_eq!(Link::find("padtap-none").unwrap_err().raw_os_error(), no_device);
        assert_eq!(Link::find("an-alternative-name-of-nothing-here").unwrap_err().raw_os_error(), no_device);
        assert_eq!(Link::by_index(u32::MAX / 2).unwrap_err().raw_os_error(), no_device);
    }

    #[test]
    fn a_message_is_read_up_to_where_it_is_damaged() {
        assert!(Link::parse(&[0; 15]).is_err());
        let mut message = vec![0; 16];
        message[4] = 7;
        message.extend([7, 0, 3, 0, b'e', b'0', 0, 0]); // IFLA_IFNAME "e0", padded
        message.extend([200, 0, 4, 0, 0, 5]); // an attribute longer than the message
        let link = Link::parse(&message).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.mtu, link.up), (7, "e0", 0, false));
    }

    #[test]
    fn loss_is_the_change_of_the_counters() {
        let earlier = Counters { rx_dropped: 5, ..Counters::default() };
        let later = Counters { rx_dropped: 7, rx_missed_errors: 10, ..Counters::default() };
        assert_eq!(later.lost_since(&earlier), 12);
    }
}
