//! Why the program cannot be loaded, attached or fed, with what to do about it.

use std::io;

use aya::maps::MapError;
use capture_common::traffic::{LARGEST, SMALLEST};

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not privileged enough.
    #[error(
        "the kernel does not permit it: run as root, or grant CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK"
    )]
    Permission,
    /// Loading failed.
    #[error("cannot load the XDP program: {0}")]
    Load(String),
    /// A test run, or the injection of frames, failed.
    #[error("the kernel does not run the XDP program on that frame: {0}")]
    Run(String),
    /// No frames to send, or more than a map holds.
    #[error("{0} frames cannot be sent: there must be one, and no more than a map holds")]
    Frames(usize),
    /// A frame is too short or too long to be sent.
    #[error("a frame of {0} bytes cannot be sent: frames have {SMALLEST} to {LARGEST} bytes")]
    Size(usize),
    /// The embedded object is not what this binary was built for.
    #[error("the embedded XDP object is unusable: {0}; rebuild it with `cargo xtask bpf`")]
    Object(&'static str),
    /// There is an XDP program already.
    #[error(
        "another XDP program is attached to the interface: stop what attached it, or remove it with \
         `ip link set dev IF xdp off` and `ip link set dev IF xdpgeneric off`"
    )]
    Occupied,
    /// The interface refused.
    #[error("cannot attach the XDP program to the interface: {}", hint(.0))]
    Attach(#[source] io::Error),
    /// A map refused.
    #[error("{map} map: {reason}")]
    Map {
        /// Its name.
        map: &'static str,
        /// What the kernel said.
        reason: String,
    },
}

impl Error {
    /// A failure of aya, with everything that led to it.
    pub(super) fn load(error: &(dyn std::error::Error + 'static)) -> Self {
        if is_permission(error) { Self::Permission } else { Self::Load(chain(error)) }
    }

    /// A failure to run the program on a frame of ours.
    pub(super) fn run(error: &(dyn std::error::Error + 'static)) -> Self {
        if is_permission(error) { Self::Permission } else { Self::Run(chain(error)) }
    }

    pub(super) fn map(map: &'static str, error: &MapError) -> Self {
        if is_permission(error) { Self::Permission } else { Self::Map { map, reason: chain(error) } }
    }

    pub(super) fn attach(reason: io::Error) -> Self {
        match reason.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Permission,
            // A program of the same mode, or of the other.
            Some(libc::EBUSY | libc::EEXIST) => Self::Occupied,
            _ => Self::Attach(reason),
        }
    }
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    })
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1).map(ToString::to_string) {
        // Some errors of aya print their source themselves.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// What a refusal by the driver usually means.
fn hint(error: &io::Error) -> String {
    let hint = match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => "its driver has no native XDP",
        Some(libc::ERANGE | libc::EINVAL) => "is its MTU too large for XDP in this driver, or LRO on?",
        Some(libc::ENOMEM | libc::ENOSPC) => "too few hardware queues: lower them with `ethtool -L IF combined N`",
        Some(libc::ENODEV) => "the interface is gone",
        _ => return error.to_string(),
    };
    format!("{error} ({hint})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32) -> Error {
        Error::attach(io::Error::from_raw_os_error(code))
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (code, part) in [
            (libc::EPERM, "CAP_NET_ADMIN"),
            (libc::EBUSY, "another XDP program"),
            (libc::EEXIST, "another XDP program"),
            (libc::EOPNOTSUPP, "no native XDP"),
            (libc::ERANGE, "MTU"),
            (libc::EIO, "cannot attach"),
        ] {
            let error = refused(code).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn permission_is_found_below_other_errors() {
        let io_error = io::Error::from_raw_os_error(libc::EPERM);
        let error = MapError::CreateError { name: "MACS".into(), io_error };
        assert!(matches!(Error::load(&aya::EbpfError::MapError(error)), Error::Permission));
    }
}
