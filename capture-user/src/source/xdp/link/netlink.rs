//! As much of netlink as a question with one answer takes.

use std::io;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// Links, and how they are set.
pub(in crate::source::xdp) const ROUTE: Option<Protocol> = None;
/// Everything that has a family's name.
pub(in crate::source::xdp) const GENERIC: Option<Protocol> = Some(netlink::GENERIC);

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// The kernel shall make what the request speaks of, and it may not be there yet.
pub(in crate::source::xdp) const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// A request in the making.
pub(in crate::source::xdp) struct Request(Vec<u8>);

impl Request {
    /// A request of a type, with the fixed part that the type asks for.
    pub(in crate::source::xdp) fn new(kind: u16, fixed: &[u8]) -> Self {
        let mut message = vec![0; HEADER];
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
        message.extend_from_slice(fixed);
        Self(message)
    }

    /// Sets flags of the message's header, beside NLM_F_REQUEST.
    pub(in crate::source::xdp) fn flags(mut self, flags: u16) -> Self {
        let set = u16::from_ne_bytes([self.0[6], self.0[7]]) | flags;
        self.0[6..8].copy_from_slice(&set.to_ne_bytes());
        self
    }

    /// What follows the message's header.
    pub(in crate::source::xdp) fn into_body(mut self) -> Vec<u8> {
        self.0.split_off(HEADER)
    }

    /// A request to a generic netlink family.
    pub(in crate::source::xdp) fn generic(family: u16, command: u8) -> Self {
        Self::new(family, &[command, 1, 0, 0])
    }

    /// Adds an attribute. Values are short: names and numbers.
    pub(in crate::source::xdp) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let len = (ATTRIBUTE + value.len()) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// Asks the kernel, and gives the answer's payload.
///
/// # Errors
/// What the kernel answers instead, as an OS error.
pub(in crate::source::xdp) fn exchange(protocol: Option<Protocol>, request: &Request) -> io::Result<Vec<u8>> {
    /// The answer to one question about one interface; a virtual function list would not fit, and is not asked for.
    const ANSWER: usize = 32 * 1024;
    let kernel = SocketAddrNetlink::new(0, 0);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    let mut message = request.0.clone();
    let len = message.len() as u32;
    message[0..4].copy_from_slice(&len.to_ne_bytes());
    sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut answer = vec![0; ANSWER];
    let (got, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
    answer.truncate(got);
    payload(&answer)
}

/// Has the kernel do something.
///
/// # Errors
/// Why it did not, as an OS error.
pub(in crate::source::xdp) fn command(request: &Request) -> io::Result<()> {
    let request = Request(request.0.clone()).flags(libc::NLM_F_ACK as u16);
    match exchange(ROUTE, &request) {
        // Success is "error" 0.
        Err(error) if error.raw_os_error() == Some(0) => Ok(()),
        other => other.map(drop),
    }
}

/// What the first message of an answer carries.
fn payload(answer: &[u8]) -> io::Result<Vec<u8>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a damaged netlink answer");
    let len = number(answer.get(0..4).ok_or_else(damaged)?) as usize;
    let kind = number(answer.get(4..6).ok_or_else(damaged)?);
    let body = answer.get(HEADER..len).ok_or_else(damaged)?;
    if kind == libc::NLMSG_ERROR as u64 {
        let negative = number(body.get(0..4).ok_or_else(damaged)?) as u32 as i32;
        return Err(io::Error::from_raw_os_error(negative.wrapping_neg()));
    }
    Ok(body.to_vec())
}

/// The number of a generic netlink family.
///
/// # Errors
/// ENOENT when this kernel has none of that name.
pub(in crate::source::xdp) fn family(name: &str) -> io::Result<u16> {
    let mut name = name.as_bytes().to_vec();
    name.push(0);
    let request = Request::generic(libc::GENL_ID_CTRL as u16, libc::CTRL_CMD_GETFAMILY as u8)
        .attribute(libc::CTRL_ATTR_FAMILY_NAME as u16, &name);
    let answer = exchange(GENERIC, &request)?;
    attributes(answer.get(4..).unwrap_or_default())
        .find(|(kind, _)| *kind == libc::CTRL_ATTR_FAMILY_ID as u16)
        .map(|(_, value)| number(value) as u16)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

/// `struct nlattr`: length, type.
const ATTRIBUTE: usize = 4;

/// The attributes in `bytes`, up to where they are damaged.
pub(in crate::source::xdp) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The two upper bits say "nested" and "big endian".
    const TYPE: u64 = 0x3fff;
    std::iter::from_fn(move || {
        let len = number(bytes.get(0..2)?) as usize;
        let kind = number(bytes.get(2..4)?) & TYPE;
        let value = bytes.get(ATTRIBUTE..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind as u16, value))
    })
}

/// A number of up to eight bytes in the machine's order.
pub(in crate::source::xdp) fn number(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    let len = bytes.len().min(8);
    let place = if cfg!(target_endian = "big") { 8 - len } else { 0 };
    wide[place..place + len].copy_from_slice(&bytes[..len]);
    u64::from_ne_bytes(wide)
}

/// A string that ends with a zero byte.
pub(in crate::source::xdp) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_four_bytes() {
        let request = Request::new(1, &[]).attribute(5, b"abc").attribute(6, &7_u32.to_ne_bytes());
        let read: Vec<_> = attributes(&request.0[HEADER..]).collect();
        assert_eq!(read, [(5, b"abc".as_slice()), (6, &7_u32.to_ne_bytes())]);
    }

    #[test]
    fn damage_ends_the_list_wherever_it_is() {
        let request = Request::new(1, &[]).attribute(5, b"abcd").attribute(6, b"efgh");
        let bytes = &request.0[HEADER..];
        for end in 0..bytes.len() {
            assert_eq!(attributes(&bytes[..end]).count(), end / 8, "cut at {end}");
        }
        assert_eq!(attributes(&[0; 64]).count(), 0, "a length of nothing must not loop");
    }

    #[test]
    fn an_error_is_an_os_error() {
        let mut answer = vec![0; HEADER + 4];
        answer[0] = 20;
        answer[4] = libc::NLMSG_ERROR as u8;
        answer[HEADER..].copy_from_slice(&(-libc::ENODEV).to_ne_bytes());
        assert_eq!(payload(&answer).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        for end in 0..answer.len() {
            assert_eq!(payload(&answer[..end]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
