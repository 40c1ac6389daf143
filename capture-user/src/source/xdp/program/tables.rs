//! The maps that hold the filter and the shunted flows.
#![allow(unsafe_code, reason = "telling aya which of our types are plain bytes, and one system call that aya lacks")]

use std::collections::{HashMap as StdHashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::ptr;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use aya::{Ebpf, Pod};
use capture_common::config::{Config, FlowCount, FlowKey, flag};
use capture_common::counters::Counters;
use capture_common::traffic::Course;

use super::Error;
use crate::source::policy::ConsoleFilter;
use crate::source::policy::rule::Prefix;

/// One of the contract's types, as it lies in a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Plain<T>(pub(super) T);

// SAFETY: repr(C), integers only, no padding (a test of capture-common says so): any bytes are a value.
unsafe impl Pod for Plain<Config> {}
// SAFETY: as above.
unsafe impl Pod for Plain<Counters> {}
// SAFETY: as above.
unsafe impl Pod for Plain<FlowKey> {}
// SAFETY: as above.
unsafe impl Pod for Plain<FlowCount> {}
// SAFETY: repr(C), four integers of 8 bytes: any bytes are a value.
unsafe impl Pod for Plain<Course> {}

/// The maps, and what they hold.
pub(super) struct Tables {
    config_map: Array<MapData, Plain<Config>>,
    macs_map: HashMap<MapData, u64, u8>,
    v4_map: LpmTrie<MapData, u32, u32>,
    v6_map: LpmTrie<MapData, [u8; 16], u32>,
    ports_map: Array<MapData, u64>,
    shunted_map: HashMap<MapData, Plain<FlowKey>, Plain<FlowCount>>,
    /// The same map again, for [`take_count`].
    shunted_fd: OwnedFd,
    config: Config,
    macs: HashSet<u64>,
    prefixes: StdHashMap<Prefix, u32>,
    ports: Vec<u64>,
    /// Whether any flow is shunted, which is a switch in `config` of ours, not of the filter.
    shunting: bool,
}

/// Takes a map out of the object.
pub(super) fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, Error> {
    let map = ebpf.take_map(name).ok_or(Error::Object("a map is missing"))?;
    T::try_from(map).map_err(|error| Error::map(name, &error))
}

impl Tables {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let Some(Map::HashMap(shunted)) = ebpf.map("SHUNTED") else {
            return Err(Error::Object("a map is missing"));
        };
        let shunted_fd = shunted.fd().as_fd().try_clone_to_owned();
        let mut tables = Self {
            shunted_fd: shunted_fd.map_err(|error| Error::map("SHUNTED", &MapError::IoError(error)))?,
            config_map: take(ebpf, "CONFIG")?,
            macs_map: take(ebpf, "MACS")?,
            v4_map: take(ebpf, "PREFIXES_4")?,
            v6_map: take(ebpf, "PREFIXES_6")?,
            ports_map: take(ebpf, "PORTS")?,
            shunted_map: take(ebpf, "SHUNTED")?,
            config: Config::default(),
            macs: HashSet::new(),
            prefixes: StdHashMap::new(),
            ports: Vec::new(),
            shunting: false,
        };
        tables.ports = vec![0; tables.ports_map.len() as usize];
        tables.write_config()?;
        Ok(tables)
    }

    pub(super) fn set_filter(&mut self, filter: &ConsoleFilter) -> Result<(), Error> {
        let prefixes: StdHashMap<Prefix, u32> = filter.prefixes().collect();
        for &key in filter.macs() {
            if !self.macs.contains(&key) {
                self.macs_map.insert(key, 1, 0).map_err(|error| Error::map("MACS", &error))?;
                self.macs.insert(key);
            }
        }
        for (&prefix, &bits) in &prefixes {
            if self.prefixes.get(&prefix) != Some(&bits) {
                self.insert_prefix(prefix, bits)?;
                self.prefixes.insert(prefix, bits);
            }
        }
        for (index, (&new, old)) in (0..).zip(filter.ports().iter().zip(&mut self.ports)) {
            if new != *old {
                self.ports_map.set(index, new, 0).map_err(|error| Error::map("PORTS", &error))?;
                *old = new;
            }
        }
        self.config = *capture_common::steer::Policy::config(filter);
        self.write_config()?;
        for key in self.macs.extract_if(|key| !filter.macs().contains(key)) {
            self.macs_map.remove(&key).map_err(|error| Error::map("MACS", &error))?;
        }
        for (prefix, _) in self.prefixes.extract_if(|prefix, _| !prefixes.contains_key(prefix)) {
            remove_prefix(&mut self.v4_map, &mut self.v6_map, prefix)?;
        }
        Ok(())
    }

    fn insert_prefix(&mut self, prefix: Prefix, bits: u32) -> Result<(), Error> {
        match prefix.address {
            IpAddr::V4(address) => {
                let key = Key::new(prefix.bits.into(), address.to_bits().to_be());
                self.v4_map.insert(&key, bits, 0).map_err(|error| Error::map("PREFIXES_4", &error))
            }
            IpAddr::V6(address) => {
                let key = Key::new(prefix.bits.into(), address.octets());
                self.v6_map.insert(&key, bits, 0).map_err(|error| Error::map("PREFIXES_6", &error))
            }
        }
    }

    fn write_config(&mut self) -> Result<(), Error> {
        let mut config = self.config;
        if self.shunting {
            config.flags |= flag::SHUNT;
        }
        self.config_map.set(0, Plain(config), 0).map_err(|error| Error::map("CONFIG", &error))
    }

    pub(super) fn shunt(&mut self, flow: FlowKey) -> Result<(), Error> {
        match self.shunted_map.insert(Plain(flow), Plain(FlowCount::default()), NO_EXIST) {
            Err(error) if !is_there(&error) => return Err(Error::map("SHUNTED", &error)),
            Ok(()) | Err(_) => {}
        }
        self.set_shunting(true)
    }

    pub(super) fn unshunt(&mut self, flow: &FlowKey) -> Result<Option<FlowCount>, Error> {
        let count = match take_count(&self.shunted_fd, flow) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::map("SHUNTED", &MapError::IoError(error))),
        };
        if self.shunted_map.keys().next().is_none() {
            self.set_shunting(false)?;
        }
        Ok(Some(count))
    }

    fn set_shunting(&mut self, on: bool) -> Result<(), Error> {
        if self.shunting == on {
            return Ok(());
        }
        self.shunting = on;
        self.write_config()
    }

    pub(super) fn shunted(&self) -> Result<Vec<(FlowKey, FlowCount)>, Error> {
        let pair = |entry: Result<(Plain<FlowKey>, Plain<FlowCount>), MapError>| {
            entry.map(|(flow, count)| (flow.0, count.0)).map_err(|error| Error::map("SHUNTED", &error))
        };
        self.shunted_map.iter().map(pair).collect()
    }
}

/// BPF_NOEXIST: insert, never overwrite.
const NO_EXIST: u64 = 1;

/// Reads and removes a flow in one step, so that nothing is counted between the two
/// (BPF_MAP_LOOKUP_AND_DELETE_ELEM, for hash maps since Linux 5.14).
fn take_count(map: &OwnedFd, flow: &FlowKey) -> io::Result<FlowCount> {
    const COMMAND: libc::c_long = 21;
    /// The fields of `union bpf_attr` for commands on one element.
    #[repr(C)]
    struct Attributes {
        map: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let mut count = FlowCount::default();
    let attributes = Attributes {
        map: map.as_raw_fd().cast_unsigned(),
        padding: 0,
        key: ptr::from_ref(flow) as u64,
        value: ptr::from_mut(&mut count) as u64,
        flags: 0,
    };
    // SAFETY: key and value point to live values of the map's key and value size; the kernel writes the value only,
    // and any bytes are a `FlowCount`.
    let result = unsafe { libc::syscall(libc::SYS_bpf, COMMAND, ptr::from_ref(&attributes), size_of::<Attributes>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(count) }
}

fn is_there(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::EEXIST))
}

fn remove_prefix(
    v4: &mut LpmTrie<MapData, u32, u32>,
    v6: &mut LpmTrie<MapData, [u8; 16], u32>,
    prefix: Prefix,
) -> Result<(), Error> {
    let bits = prefix.bits.into();
    match prefix.address {
        IpAddr::V4(address) => {
            v4.remove(&Key::new(bits, address.to_bits().to_be())).map_err(|error| Error::map("PREFIXES_4", &error))
        }
        IpAddr::V6(address) => {
            v6.remove(&Key::new(bits, address.octets())).map_err(|error| Error::map("PREFIXES_6", &error))
        }
    }
}
