//! What an interface can do.

use capture_user::source::xdp::link::{Link, OperState};

use super::Finding;

/// The most bytes of network layer that one buffer takes, so that larger frames need several.
const ONE_BUFFER: u32 = 3_506;

/// Looks at an interface.
pub fn examine(name: &str) -> Vec<Finding> {
    let link = match Link::find(name) {
        Ok(link) => link,
        Err(error) => return vec![Finding::bad("interface", format!("{name}: {error}"), "`ip link` lists them")],
    };
    let mut findings = vec![state(&link), occupied(&link), driver(&link), queues(&link), mtu(&link)];
    findings.extend(offloads(&link));
    findings
}

fn state(link: &Link) -> Finding {
    let found = format!("{} (index {}), {:?}", link.name, link.index, link.state);
    match (link.up, link.state) {
        (false, _) => Finding::bad("interface", found, format!("ip link set dev {} up", link.name)),
        (true, OperState::Up | OperState::Unknown) => Finding::good("interface", found),
        (true, _) => Finding::fair("interface", found, "no frame can come: is the cable in, the mirror port on?"),
    }
}

fn occupied(link: &Link) -> Finding {
    match link.xdp {
        None => Finding::good("XDP hook", "free"),
        Some(other) => Finding::bad(
            "XDP hook",
            format!("taken by program {}", other.program),
            format!("stop what attached it, or: ip link set dev {} xdp off", link.name),
        ),
    }
}

fn driver(link: &Link) -> Finding {
    let driver = link.driver().unwrap_or_else(|| "unknown driver".into());
    match link.xdp_features() {
        Ok(features) if features.native => {
            let mut found = format!("{driver}: XDP in the driver");
            found += if features.zero_copy { ", zero-copy" } else { ", copy" };
            if features.scatter_gather {
                found += ", scatter-gather";
            }
            Finding::good("driver", found)
        }
        Ok(_) => Finding::fair("driver", format!("{driver}: no XDP in the driver"), "works in the stack, slower"),
        Err(error) => {
            Finding::fair("driver", format!("{driver}: {error}"), "what it can do shows when a capture starts")
        }
    }
}

fn queues(link: &Link) -> Finding {
    let (rx, cores) = (link.queues().rx, std::thread::available_parallelism().map_or(1, |count| count.get()));
    if rx as usize > cores {
        let advice =
            format!("one receive thread each shares {cores} processors: ethtool -L {} combined {cores}", link.name);
        Finding::fair("queues", format!("{rx} receive queues"), advice)
    } else {
        Finding::good("queues", format!("{rx} receive queue{}", if rx == 1 { "" } else { "s" }))
    }
}

fn mtu(link: &Link) -> Finding {
    let found = link.mtu.to_string();
    let scatter = link.xdp_features().is_ok_and(|features| features.scatter_gather);
    if link.mtu > ONE_BUFFER && !scatter {
        Finding::fair(
            "MTU",
            found,
            format!("frames over {ONE_BUFFER} bytes may be lost: ip link set dev {} mtu 1500", link.name),
        )
    } else {
        Finding::good("MTU", found)
    }
}

/// What the card or the kernel does to frames before XDP sees them.
fn offloads(link: &Link) -> Vec<Finding> {
    let offloads = link.offloads();
    let finding = |what, on: Option<bool>, wanted: bool, key: &str, why: &str| {
        let advice = || format!("ethtool -K {} {key} {}: {why}", link.name, if wanted { "on" } else { "off" });
        match on {
            Some(on) if on == wanted => Finding::good(what, if on { "on" } else { "off" }),
            Some(on) => Finding::fair(what, if on { "on" } else { "off" }, advice()),
            None => Finding::good(what, "unknown"),
        }
    };
    vec![
        finding("GRO", offloads.gro, false, "gro", "the packet-socket backend sees joined frames"),
        finding("LRO", offloads.lro, false, "lro", "frames are joined, and XDP may refuse to attach"),
        finding("VLAN offload", offloads.rx_vlan, false, "rxvlan", "XDP does not see the tags"),
    ]
}
