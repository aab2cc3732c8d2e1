//! Round trips per second of 100-byte messages, and bytes per second of 60 kB messages.
//!
//! `cargo run --release --example throughput`: in memory (processor time of both sides), then over
//! two UDP sockets on loopback with a thread each.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use rserpool_udp_sctp::{AssociationId, Config, Event, Stack};
use std::net::UdpSocket;
use std::time::Instant;

const PORT: u16 = 9901;

fn main() {
    for outstanding in [1, 64] {
        let rate = in_memory(outstanding, Duration::from_secs(2));
        println!("in memory,    {outstanding:2} outstanding: {rate:9.0} round trips/s");
    }
    println!("in memory,    60 kB messages: {:9.0} MB/s", bulk());
    for outstanding in [1, 64] {
        let rate = over_udp(outstanding, Duration::from_secs(3));
        println!("UDP loopback, {outstanding:2} outstanding: {rate:9.0} round trips/s");
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

fn stack(last: u8) -> Stack {
    // A seed for measurements only: a real one comes from the operating system.
    Stack::new(address(last), Config::default(), [last; 32])
}

/// Moves datagrams until both sides are quiet.
fn exchange(now: Instant, a: &mut Stack, b: &mut Stack) {
    let (from_a, from_b) = (
        SocketAddr::new(address(1), 9899),
        SocketAddr::new(address(2), 9899),
    );
    loop {
        let mut idle = true;
        while let Some(t) = a.poll_transmit() {
            b.handle_datagram(now, from_a, &t.payload);
            idle = false;
        }
        while let Some(t) = b.poll_transmit() {
            a.handle_datagram(now, from_b, &t.payload);
            idle = false;
        }
        if idle {
            return;
        }
    }
}

fn connect(now: Instant, a: &mut Stack, b: &mut Stack) -> AssociationId {
    b.listen(PORT).expect("a fresh stack");
    let id = a
        .connect(now, PORT, SocketAddr::new(address(2), PORT))
        .expect("valid address");
    exchange(now, a, b);
    while a.poll_event().is_some() {}
    id
}

fn in_memory(outstanding: usize, time: Duration) -> f64 {
    let (mut a, mut b) = (stack(1), stack(2));
    let start = Instant::now();
    let id = connect(start, &mut a, &mut b);
    let message = [7; 100];
    for _ in 0..outstanding {
        a.send(start, id, 0, 11, &message).expect("room");
    }
    let mut done = 0_u32;
    loop {
        let now = Instant::now();
        if now - start > time {
            return f64::from(done) / (now - start).as_secs_f64();
        }
        a.handle_timeout(now);
        b.handle_timeout(now);
        exchange(now, &mut a, &mut b);
        while let Some(event) = b.poll_event() {
            if let Event::Message {
                id, ppid, bytes, ..
            } = event
            {
                b.send(now, id, 0, ppid, &bytes).expect("room");
            }
        }
        exchange(now, &mut a, &mut b);
        while let Some(event) = a.poll_event() {
            if let Event::Message { .. } = event {
                done += 1;
                a.send(now, id, 0, 11, &message).expect("room");
            }
        }
    }
}

fn bulk() -> f64 {
    let (mut a, mut b) = (stack(1), stack(2));
    let start = Instant::now();
    let id = connect(start, &mut a, &mut b);
    let message = vec![7; 60_000];
    let mut bytes = 0_u32;
    while bytes < 300_000_000 {
        let now = Instant::now();
        while a.send(now, id, 0, 11, &message).is_ok() {}
        exchange(now, &mut a, &mut b);
        while let Some(event) = b.poll_event() {
            if let Event::Message { .. } = event {
                bytes += 60_000;
            }
        }
        a.handle_timeout(now);
        b.handle_timeout(now);
    }
    f64::from(bytes) / start.elapsed().as_secs_f64() / 1e6
}

/// The loop of a driver: send, read events, wait for a datagram or the deadline.
fn drive(
    stack: &mut Stack,
    socket: &UdpSocket,
    until: Instant,
    mut on_event: impl FnMut(&mut Stack, Instant, Event),
) {
    let mut buffer = vec![0; 65_536];
    loop {
        while let Some(event) = stack.poll_event() {
            on_event(stack, Instant::now(), event);
        }
        while let Some(t) = stack.poll_transmit() {
            socket.send_to(&t.payload, t.to).expect("loopback");
        }
        let now = Instant::now();
        if now >= until {
            return;
        }
        let deadline = stack.poll_timeout().unwrap_or(until).min(until);
        let wait = deadline
            .saturating_duration_since(now)
            .max(Duration::from_micros(50));
        socket.set_read_timeout(Some(wait)).expect("not zero");
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let now = Instant::now();
            stack.handle_datagram(now, from, &buffer[..length]);
            socket.set_nonblocking(true).expect("a socket");
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                stack.handle_datagram(now, from, &buffer[..length]);
            }
            socket.set_nonblocking(false).expect("a socket");
        }
        stack.handle_timeout(Instant::now());
    }
}

fn over_udp(outstanding: usize, time: Duration) -> f64 {
    let server = UdpSocket::bind((address(2), 0)).expect("loopback");
    let client = UdpSocket::bind((address(1), 0)).expect("loopback");
    let mut config = Config::default();
    config.udp_port = server.local_addr().expect("bound").port();
    let until = Instant::now() + time;
    let echo = std::thread::spawn(move || {
        let mut b = stack(2);
        b.listen(PORT).expect("a fresh stack");
        drive(&mut b, &server, until, |b, now, event| {
            if let Event::Message {
                id, ppid, bytes, ..
            } = event
            {
                b.send(now, id, 0, ppid, &bytes).expect("room");
            }
        });
    });
    let mut a = Stack::new(address(1), config, [1; 32]);
    let id = a
        .connect(Instant::now(), PORT, SocketAddr::new(address(2), PORT))
        .expect("valid address");
    for _ in 0..outstanding {
        a.send(Instant::now(), id, 0, 11, &[7; 100]).expect("room");
    }
    let mut done = 0_u32;
    drive(&mut a, &client, until, |a, now, event| {
        if let Event::Message { .. } = event {
            done += 1;
            a.send(now, id, 0, 11, &[7; 100]).expect("room");
        }
    });
    echo.join().expect("echo thread");
    f64::from(done) / time.as_secs_f64()
}
