//! A pool in one loop over UDP sockets of the standard library, without a runtime and without threads: a registrar, two elements
//! that echo, and a user. The element that has answered dies without a word; then the other one has to answer.

#[path = "common/node.rs"]
mod node;

use std::net::UdpSocket;

fn main() -> Result<(), node::Failure> {
    // The UDP port of the scope is any that is free.
    let scope = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut registrar = node::registrar(scope)?;
    let mut elements = vec![node::element(2, scope)?, node::element(3, scope)?];
    let mut user = node::user(scope)?;
    for _ in 0..20_000 {
        let mut answered = None;
        registrar.settle(|_, event| println!("registrar: {event:?}"));
        elements.iter_mut().for_each(|node| node.settle(node::echo));
        user.settle(|user, event| answered = answered.or(node::ask(user, &event)));
        if let Some(element) = answered {
            if elements.len() == 1 {
                println!("ok");
                return Ok(());
            }
            elements.retain(|node| node.endpoint.machine().id() != element);
        }
        // The standard library waits for one socket at a time; several are looked at in turns.
        std::thread::sleep(core::time::Duration::from_millis(1));
        registrar.receive();
        elements.iter_mut().for_each(|node| _ = node.receive());
        user.receive();
    }
    Err("no answer in time".into())
}
