//! The pool of `poll_loop` in a loop of `mio`: it sleeps until a datagram comes or something is due.

#[path = "common/node.rs"]
mod node;

use core::time::Duration;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rserpool_core::Machine;
use std::os::fd::AsRawFd as _;
use std::time::Instant;

/// Waits for a node's socket. The token is of no use here: all nodes are looked at, whichever woke the loop up.
fn watch<M: Machine>(poll: &Poll, node: &node::Node<M>) -> std::io::Result<()> {
    let socket = node.socket.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&socket), Token(0), Interest::READABLE)
}

fn main() -> Result<(), node::Failure> {
    let scope = std::net::UdpSocket::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let mut registrar = node::registrar(scope)?;
    let mut elements = vec![node::element(2, scope)?, node::element(3, scope)?];
    let mut user = node::user(scope)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(64));
    watch(&poll, &registrar)?;
    for element in &elements {
        watch(&poll, element)?;
    }
    watch(&poll, &user)?;
    let (start, mut all) = (Instant::now(), true);
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
            // The socket goes with it, and out of the poll.
            elements.retain(|node| node.endpoint.machine().id() != element);
        }
        let mut deadlines = vec![
            registrar.endpoint.poll_timeout(),
            user.endpoint.poll_timeout(),
        ];
        deadlines.extend(elements.iter_mut().map(|node| node.endpoint.poll_timeout()));
        let deadline = deadlines.into_iter().flatten().min();
        let wait = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // It tells once of what has come. What a batch has left there is not told again.
        poll.poll(&mut events, if all { wait } else { Some(Duration::ZERO) })?;
        all = registrar.receive();
        for element in &mut elements {
            all &= element.receive();
        }
        all &= user.receive();
    }
    Err("no answer in time".into())
}
