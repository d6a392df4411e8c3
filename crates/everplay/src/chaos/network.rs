//! Where a region's parts can be reached: all on loopback, or each node in a network namespace of its own.
//!
//! ```text
//! one private namespace: balancer, players, stores at 10.77.0.1 -- bridge -- cable n -- node n at 10.77.0.(10 + n)
//! ```
//!
//! The namespaces belong to processes, so nothing of them is left when those end, and nothing of the machine's own network
//! is touched: the whole run is inside one (`partition.rs`).

use super::child::{find, run, wait_until};
use crate::Result;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

const INSTALL: &str = "apt-get install iproute2 util-linux";
const BRIDGE: &str = "everplay0";
/// A node waits until its end of the cable is there, and becomes the program.
const ENTER: &str = "until ip link show eth0 >/dev/null 2>&1; do sleep 0.01; done; \
    ip link set lo up && ip addr add \"$0\" dev eth0 && ip link set eth0 up && exec \"$@\"";

/// How parts reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// 127.0.0.1.
    Loopback,
    /// A namespace for each node. This process is in one of its own already.
    Namespaces,
}

impl Network {
    /// Where everything but the nodes listens.
    pub(super) fn host(self) -> IpAddr {
        match self {
            Network::Loopback => Ipv4Addr::LOCALHOST.into(),
            Network::Namespaces => Ipv4Addr::new(10, 77, 0, 1).into(),
        }
    }

    /// Where a node listens.
    pub(super) fn node(self, n: usize) -> IpAddr {
        match self {
            Network::Loopback => Ipv4Addr::LOCALHOST.into(),
            Network::Namespaces => {
                let last = u8::try_from(10 + n).expect("the command line bounds the nodes");
                Ipv4Addr::new(10, 77, 0, last).into()
            }
        }
    }

    /// Makes what the cables end in.
    pub(super) fn prepare(self) -> Result {
        if self == Network::Loopback {
            return Ok(());
        }
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{}/24", self.host()), "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])
    }

    /// The command that becomes a node.
    pub(super) fn command(self, n: usize, program: &Path) -> Result<Command> {
        if self == Network::Loopback {
            return Ok(Command::new(program));
        }
        let mut command = Command::new(find("unshare", INSTALL)?);
        command
            .args(["--net", "--", "/bin/sh", "-c", ENTER])
            .arg(format!("{}/24", self.node(n)))
            .arg(program);
        Ok(command)
    }

    /// Plugs a node in that was just started.
    pub(super) fn join(self, n: usize, process: u32) -> Result {
        if self == Network::Loopback {
            return Ok(());
        }
        let ours = std::fs::read_link("/proc/self/ns/net").ok();
        wait_until("a node has its own network", || {
            let theirs = std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
            theirs.is_some() && theirs != ours
        })?;
        // The cable of the process before goes with it, a moment after it.
        wait_until("the old cable is gone", || ip(&["link", "show", &cable(n)]).is_err())?;
        let process = process.to_string();
        ip(&["link", "add", &cable(n), "type", "veth", "peer", "name", "eth0", "netns", &process])?;
        ip(&["link", "set", &cable(n), "master", BRIDGE])?;
        self.plug(n, true)
    }

    /// Pulls the cable of a node, or puts it back.
    pub(super) fn plug(self, n: usize, plugged: bool) -> Result {
        ip(&["link", "set", &cable(n), if plugged { "up" } else { "down" }])
    }
}

fn cable(n: usize) -> String {
    format!("everplay{}", n + 1)
}

fn ip(arguments: &[&str]) -> Result {
    run(Command::new(find("ip", INSTALL)?).args(arguments))
}
