//! The three roles together: a registrar, two elements that echo, and a user who goes on when one of them dies.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{has_sctp, kernel, port};
use crate::runtime::block_on;
use crate::runtime::driver::Options;
use crate::suite::scope::{Element, User, fail_over, start_registrar};

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn a_user_goes_on_with_the_next_element() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let home = SocketAddr::new(IP, port());
        let mut options = kernel(Options::registrar(), &[IP]);
        options.sctp_port = Some(home.port());
        options.enrp_port = Some(port());
        let _registrar = start_registrar(&options);
        let element = || kernel(Options::element(port()), &[IP]);
        let elements = [
            Element::start(&element(), home).await,
            Element::start(&element(), home).await,
        ];
        let user = User::start(&kernel(Options::user(), &[IP]), home).await;
        fail_over(elements, user).await;
    });
}
