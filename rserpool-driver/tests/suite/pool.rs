//! The three roles together over UDP.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use rserpool_core::ASAP_PORT;

use super::probe::{PORT, free_port};
use super::scope::{Element, User, fail_over, send_again, start_registrar};
use crate::runtime::block_on;
use crate::runtime::driver::{Options, TransportKind};

pub(super) const HOME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ASAP_PORT);

/// At an address of the scope that has this UDP port.
pub(super) fn at(mut options: Options, host: u8, udp_port: u16) -> Options {
    options.transport = TransportKind::Udp;
    options.local = vec![Ipv4Addr::new(127, 0, 0, host).into()];
    options.peer_udp_port = udp_port;
    if options.sctp_port.is_some() {
        options.udp_port = udp_port;
    }
    options
}

#[test]
fn a_user_finds_an_element_and_talks_to_it() {
    block_on(async {
        let udp_port = free_port(HOME.ip());
        let _registrar = start_registrar(&at(Options::registrar(), 1, udp_port));
        let element = Element::start(&at(Options::element(PORT), 2, udp_port), HOME).await;
        let mut user = User::start(&at(Options::user(), 2, udp_port), HOME).await;
        assert_eq!(user.ask("hello").await, Some(element.id));
        assert_eq!(user.ask("again").await, None);
    });
}

/// Two elements at hosts of their own.
async fn start(udp_port: u16) -> [Element; 2] {
    let element = |host| at(Options::element(PORT), host, udp_port);
    [
        Element::start(&element(2), HOME).await,
        Element::start(&element(3), HOME).await,
    ]
}

#[test]
fn a_user_goes_on_with_the_next_element() {
    block_on(async {
        let udp_port = free_port(HOME.ip());
        let _registrar = start_registrar(&at(Options::registrar(), 1, udp_port));
        let elements = start(udp_port).await;
        let user = User::start(&at(Options::user(), 2, udp_port), HOME).await;
        fail_over(elements, user).await;
    });
}

#[test]
fn what_a_dead_element_did_not_get_goes_to_the_next_one() {
    block_on(async {
        let udp_port = free_port(HOME.ip());
        let _registrar = start_registrar(&at(Options::registrar(), 1, udp_port));
        let elements = start(udp_port).await;
        let user = User::start_resending(&at(Options::user(), 2, udp_port), HOME).await;
        send_again(elements, user).await;
    });
}
