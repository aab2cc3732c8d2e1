//! Announcements by multicast, on the loopback interface.

use core::net::{IpAddr, Ipv4Addr};

use rserpool_core::{Action, Dialect, Ppid};

use super::probe::{PORT, Peer, Seen, free_port};
use crate::runtime::block_on;
use crate::runtime::driver::{Options, TransportKind};

#[test]
fn an_announcement_reaches_the_members_of_the_group() {
    block_on(async {
        for dialect in [Dialect::Rfc, Dialect::Rsplib] {
            let [mut sender, mut receiver] =
                [1, 2].map(|host| {
                    let ip: IpAddr = Ipv4Addr::new(127, 0, 0, host).into();
                    let mut options = Options::element(PORT);
                    options.transport = TransportKind::Udp;
                    options.local = vec![ip];
                    options.udp_port = free_port(ip);
                    options.multicast = Some(dialect);
                    Peer::over(options.bind().unwrap_or_else(|error| {
                panic!("no multicast group can be joined on the loopback interface here: {error}")
            }))
                });
            // Others may use the group meanwhile.
            let bytes = format!("announcement of process {}", std::process::id());
            let announce = Action::Announce {
                ppid: Ppid::ASAP,
                bytes: bytes.clone().into(),
            };
            sender.act(announce).await;
            for peer in [&mut receiver, &mut sender] {
                while peer.next().await != Seen::Announcement(bytes.clone().into()) {}
            }
        }
    });
}
