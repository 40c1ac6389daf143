//! Fixtures made with real software: recorded on demand, for no two recordings are alike, and committed with what the
//! peers themselves said of it.

mod truth;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A case: what is recorded, with which programs, and how its truth is told from what they said.
struct Case {
    name: &'static str,
    about: &'static str,
    /// Programs, and the Debian packages that they are of.
    peers: &'static [(&'static str, &'static str)],
    truth: fn(&Path) -> Result<Value>,
}

const CASES: [Case; 3] = [
    Case {
        name: "address",
        about: "A client with a PlayStation 4's vendor class and list of options asks for an address, then for three names, \
                of which one does not exist. The truth is dnsmasq's log.",
        peers: &[("dnsmasq", "dnsmasq-base"), ("busybox", "busybox")],
        truth: truth::address,
    },
    Case {
        name: "secure",
        about: "TLS 1.2 to TCP port 1119, with a chain of a leaf, an intermediate and a root made for it, all of the invented \
                \"Test Trust Services\". The truth is what `openssl s_server` said of the handshake, and the digests of the \
                certificates by `openssl x509` and `sha256sum`.",
        peers: &[("openssl", "openssl")],
        truth: truth::secure,
    },
    Case {
        name: "call",
        about: "Two baresips register with kamailio, whose nathelper pings both with four zero bytes every two seconds; the \
                console calls, both send Opus for six seconds, the console hangs up. The truth is kamailio's log of requests \
                and replies, baresip's own summary of the call, and the kernel's count of datagrams that each host sent \
                (/proc/net/snmp). No client that Debian has sends jaK.",
        peers: &[("kamailio", "kamailio"), ("baresip", "baresip-core")],
        truth: truth::call,
    },
];

/// Records all cases into `root`.
///
/// # Errors
/// Without root, where a program is missing, or a recording fails.
pub fn record(root: &Path) -> Result<()> {
    let workspace = root.parent().context("the fixtures are in no workspace")?;
    let built = Command::new(env!("CARGO")).args(["build", "--package", "capture-user", "--bin", "padtap"]).status()?;
    ensure!(built.success(), "padtap does not build");
    for case in &CASES {
        let scratch = tempfile::tempdir()?;
        let status = Command::new(workspace.join("xtask/live/record.sh"))
            .args([Path::new(case.name), scratch.path(), &workspace.join("target/debug/padtap")])
            .status()
            .context("record.sh")?;
        ensure!(status.success(), "{}: not recorded ({status}); it needs root and {}", case.name, case.packages());
        let folder = root.join("live").join(case.name);
        fs::create_dir_all(&folder)?;
        let truth = (case.truth)(scratch.path()).with_context(|| format!("what the peers of {} said", case.name))?;
        fs::write(folder.join("truth.json"), format!("{truth:#}\n"))?;
        fs::write(folder.join("README.md"), case.page()?)?;
        let size = fs::copy(scratch.path().join("capture.pcapng.gz"), folder.join("capture.pcapng.gz"))?;
        println!("live/{}: {size} bytes", case.name);
    }
    Ok(())
}

impl Case {
    fn packages(&self) -> String {
        self.peers.iter().map(|(_, package)| *package).collect::<Vec<_>>().join(", ")
    }

    /// Where the recording comes from.
    fn page(&self) -> Result<String> {
        let mut versions = Vec::new();
        for (_, package) in self.peers {
            let output = Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}", package]).output()?;
            versions.push(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let Self { name, about, .. } = self;
        Ok(format!(
            "# live/{name}\n\n{about}\n\nRecorded by `cargo xtask fixtures --live` (xtask/live/{name}.sh) in network \
             namespaces whose only traffic is this, captured by `padtap capture -w` on a mirror port. Software, from \
             Debian: {}. Addresses are of the documentation ranges (RFC 5737) and private.\n",
            versions.join(", ")
        ))
    }
}
