//! Registrar, element and user as an application holds them.

use core::net::{IpAddr, Ipv4Addr};

use super::{has_sctp, kernel, port};
use crate::runtime::driver::{Options, PoolElement, PoolUser, Registrar};
use crate::runtime::{block_on, spawn};
use crate::suite::handles::bad::keep_nobody_else_waiting;
use crate::suite::handles::{POOL, register, start};

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn a_user_that_reads_nothing_keeps_nobody_else_waiting() {
    block_on(async {
        if !has_sctp() {
            return;
        }
        let at_kernel = |options: &mut Options| *options = kernel(options.clone(), &[IP]);
        let registrar = Registrar::builder().options(at_kernel).options(|options| {
            options.sctp_port = Some(port());
            options.enrp_port = Some(port());
        });
        let (registrar, run) = registrar.start().expect("the ports are free");
        spawn(run);
        let element = PoolElement::builder(POOL)
            .options(at_kernel)
            .port(port())
            .registrar(registrar.address());
        let element = register(element).await;
        let user = || {
            let user = PoolUser::builder().options(at_kernel);
            start(user.registrar(registrar.address()))
        };
        keep_nobody_else_waiting(element, user(), user()).await;
    });
}
