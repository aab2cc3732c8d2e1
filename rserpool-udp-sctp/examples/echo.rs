//! A peer to try things with, over a real UDP socket.
//!
//! ```text
//! echo listen 127.0.0.1:9900 3863                      echoes every message on SCTP port 3863
//! echo call 127.0.0.1:9900 127.0.0.1:3863 9899 10 100  sends 10 messages of 100 bytes to a peer at
//!                                                      UDP port 9899, waits for the echoes, closes
//! ```

use core::net::SocketAddr;
use rserpool_udp_sctp::{AssociationId, Config, Event, Stack};
use std::io::Read as _;
use std::net::UdpSocket;
use std::time::Instant;

type Failure = Box<dyn core::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[1..] {
        ["listen", udp, port] => listen(udp.parse()?, port.parse()?),
        ["call", udp, remote, port, count, size] => {
            let message = vec![b'x'; size.parse()?];
            call(
                udp.parse()?,
                remote.parse()?,
                port.parse()?,
                count.parse()?,
                &message,
            )
        }
        _ => Err("see the comment at the top of this example".into()),
    }
}

fn listen(udp: SocketAddr, port: u16) -> Result<(), Failure> {
    let mut stack = Stack::new(udp.ip(), Config::default(), seed()?);
    stack.listen(port)?;
    drive(&mut stack, &UdpSocket::bind(udp)?, &mut |stack, event| {
        if let Event::Message {
            id,
            stream,
            ppid,
            bytes,
        } = event
        {
            println!("message {} bytes, PPID {ppid:#x}", bytes.len());
            if let Err(error) = stack.send(Instant::now(), id, stream, ppid, &bytes) {
                println!("not echoed: {error}");
            }
        } else {
            println!("{event:?}");
        }
        true
    })
}

fn call(
    udp: SocketAddr,
    remote: SocketAddr,
    port: u16,
    count: usize,
    message: &[u8],
) -> Result<(), Failure> {
    let mut config = Config::default();
    config.udp_port = port;
    let mut stack = Stack::new(udp.ip(), config, seed()?);
    let id: AssociationId = stack.connect(Instant::now(), 5000, remote)?;
    for _ in 0..count {
        stack.send(Instant::now(), id, 0, 11, message)?;
    }
    let mut left = count;
    drive(
        &mut stack,
        &UdpSocket::bind(udp)?,
        &mut |stack, event| match event {
            Event::Message {
                id, ppid, bytes, ..
            } => {
                println!("echo {} bytes, PPID {ppid:#x}", bytes.len());
                left -= 1;
                if left == 0 {
                    stack.close(Instant::now(), id);
                }
                true
            }
            other => {
                println!("{other:?}");
                !matches!(
                    other,
                    Event::Disconnected { .. } | Event::ConnectFailed { .. }
                )
            }
        },
    )
}

fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// The loop of a driver. `on_event` says whether to go on.
fn drive(
    stack: &mut Stack,
    socket: &UdpSocket,
    on_event: &mut dyn FnMut(&mut Stack, Event) -> bool,
) -> Result<(), Failure> {
    let mut buffer = vec![0; 65_536];
    loop {
        let mut go_on = true;
        while let Some(event) = stack.poll_event() {
            go_on &= on_event(stack, event);
        }
        while let Some(datagram) = stack.poll_transmit() {
            // A datagram that cannot be sent is one that got lost.
            let _ = socket.send_to(&datagram.payload, datagram.to);
        }
        if !go_on {
            println!("{:?}", stack.counters());
            return Ok(());
        }
        let wait = stack
            .poll_timeout()
            .map(|at| at.saturating_duration_since(Instant::now()))
            .map(|wait| wait.max(core::time::Duration::from_millis(1)));
        socket.set_read_timeout(wait)?;
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            stack.handle_datagram(Instant::now(), from, &buffer[..length]);
        }
        stack.handle_timeout(Instant::now());
    }
}
