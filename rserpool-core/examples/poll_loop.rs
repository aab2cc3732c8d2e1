//! A pool in one loop over UDP sockets of the standard library, without a runtime and without threads: a registrar, two elements
//! that echo, and a user. The element that has answered dies without a word; then the other one has to answer.

#[path = "common/node.rs"]
mod node;

use core::time::Duration;
use std::time::Instant;

fn main() -> Result<(), node::Failure> {
    // The UDP port of the scope is any that is free.
    let scope = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let mut registrar = node::registrar(scope.port())?;
    let element = |host| node::element(host, scope.port());
    let mut elements = vec![element(2)?, element(3)?];
    let mut user = node::user(scope.port())?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
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
        // The standard library waits for one socket at a time: there the read time-out is the deadline. Several of them are
        // looked at in turns.
        std::thread::sleep(Duration::from_millis(1));
        registrar.receive();
        for element in &mut elements {
            element.receive();
        }
        user.receive();
    }
    Err("no answer in time".into())
}
