//! What a stranger can have of a registrar's TCP port, by a clock of its own. The sockets are real, and nobody waits for them.

use core::net::Ipv4Addr;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream as Std};

use super::*;
use crate::{Interest, Watched};

/// A runtime that watches nothing: each look tries.
enum Bare {}

/// What it does not have.
struct No;

struct Bound(std::net::TcpListener);

struct Stream(Std);

impl Runtime for Bare {
    type Udp = No;
    #[cfg(target_os = "linux")]
    type Sctp = No;
    type Tcp = Stream;
    type TcpListener = Bound;
    type Timer = core::future::Pending<()>;

    fn timer(_: Instant) -> Self::Timer {
        core::future::pending()
    }
}

impl Watched for No {
    async fn ready(&self, _: Interest) -> io::Result<()> {
        core::future::pending().await
    }
}

impl crate::UdpSocket for No {
    fn watch(_: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self)
    }

    fn try_recv_from(&self, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_recv(&self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_send(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_send_to(&self, _: &[u8], _: SocketAddr) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(target_os = "linux")]
impl crate::SctpSocket for No {
    fn watch(_: rserpool_sctp::Socket) -> io::Result<Self> {
        Ok(Self)
    }

    fn get_ref(&self) -> &rserpool_sctp::Socket {
        unreachable!("there is no SCTP here")
    }

    fn try_io<T>(
        &self,
        _: Interest,
        _: impl FnOnce(&rserpool_sctp::Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

fn poll<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl TcpListener for Bound {
    type Stream = Stream;

    fn watch(listener: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self(listener))
    }

    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        poll(self.0.accept().and_then(|(stream, remote)| {
            stream.set_nonblocking(true)?;
            Ok((Stream(stream), remote))
        }))
    }
}

impl TcpStream for Stream {
    fn watch(stream: Std) -> io::Result<Self> {
        Ok(Self(stream))
    }

    fn poll_connected(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll(self.0.peer_addr().map(|_| ()))
    }

    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll(self.0.read(buffer))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll(self.0.write(bytes))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll(self.0.shutdown(Shutdown::Write))
    }
}

struct Port {
    tcp: Tcp<Bare>,
    at: SocketAddr,
    now: Instant,
}

impl Port {
    fn new() -> Self {
        let mut options = Options::user();
        options.asap_tcp_port = Some(0);
        let tcp = Tcp::<Bare>::bind(&options, &[Ipv4Addr::LOCALHOST.into()]);
        let tcp = tcp.expect("a port is free").expect("it listens");
        let at = tcp.listeners[0].0.0.local_addr().expect("it is bound");
        let now = Instant::now();
        Self { tcp, at, now }
    }

    /// A stranger that has been let in.
    fn call(&mut self) -> (Std, AssocId) {
        let stream = Std::connect(self.at).expect("it listens");
        match self.next() {
            Arrival::Connected { association, .. } => (stream, association),
            other => panic!("{other:?}"),
        }
    }

    /// Looks at all sockets until something has arrived.
    fn next(&mut self) -> Arrival {
        within_patience(|| self.look())
    }

    fn look(&mut self) -> Option<Arrival> {
        self.tcp.ready.raise(Socket::Listener(0));
        for association in self.tcp.connections.keys() {
            self.tcp.ready.raise(Socket::Connection(*association));
        }
        self.tcp.receive(self.now, true);
        let arrival = self.tcp.poll_arrival(self.now);
        self.tcp.flush(self.now);
        arrival
    }

    /// Lets time pass up to the next deadline.
    fn wait(&mut self) -> Duration {
        let next = self.tcp.poll_timeout().expect("something is due");
        let waited = next - self.now;
        self.now = next;
        self.tcp.handle_timeout(next);
        waited
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.tcp.handle_timeout(self.now);
    }

    /// Sends until the peer's buffers are full, and so many bytes wait at least; says how many were sent.
    fn fill(&mut self, association: AssocId, waiting: usize) -> usize {
        const LENGTH: usize = 10_000;
        // The kernel makes more room for a while, and a little later: acknowledgements are delayed.
        const STUCK: Duration = Duration::from_millis(100);
        let (mut sent, mut last) = (0, Instant::now());
        while last.elapsed() < STUCK {
            self.tcp.flush(self.now);
            while self.tcp.connections[&association].connection.waiting() <= waiting {
                assert!(self.send(association, LENGTH));
                sent += LENGTH;
                last = Instant::now();
            }
        }
        sent
    }

    fn send(&mut self, association: AssocId, length: usize) -> bool {
        let message = Outgoing {
            ppid: Ppid::ASAP,
            stream: 0,
            unordered: false,
            bytes: vec![1; length].into(),
        };
        self.tcp.send(association, &message)
    }
}

/// What comes of it, in the end.
fn within_patience<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < end, "it takes too long");
    }
}

fn is_end(arrival: &Arrival, of: AssocId, how: End) -> bool {
    matches!(arrival, Arrival::Disconnected { association, end } if (*association, *end) == (of, how))
}

#[test]
fn a_message_that_has_begun_has_ten_seconds_however_many_bytes_come() {
    let mut port = Port::new();
    let (mut stream, association) = port.call();
    stream.write_all(&[5, 0, 0]).expect("it is taken");
    within_patience(|| {
        assert!(port.look().is_none());
        let known = &port.tcp.connections[&association];
        known.connection.is_owed().then_some(())
    });
    for _ in 0..9 {
        port.pass(1);
        stream.write_all(&[16]).expect("it is taken");
        assert!(port.look().is_none());
    }
    assert_eq!(port.wait(), Duration::from_secs(1));
    assert!(is_end(&port.next(), association, End::Lost));
    assert!(port.tcp.connections.is_empty() && port.tcp.hosts.is_empty());
    assert!(port.tcp.due.is_empty());
}

#[test]
fn one_who_says_nothing_for_five_minutes_is_closed_in_order() {
    let mut port = Port::new();
    let (mut stream, association) = port.call();
    port.pass(200);
    stream.write_all(&[5, 0, 0, 4]).expect("it is taken");
    assert!(matches!(port.next(), Arrival::Message { .. }));
    while port.look().is_some() {}
    assert_eq!(port.wait(), Duration::from_secs(300));
    assert!(port.look().is_none(), "it may have something to say");
    assert_eq!(stream.read(&mut [0]).expect("it is closed in order"), 0);
    // It stays all the same, and has no more time than others.
    assert_eq!(port.wait(), Duration::from_secs(10));
    assert!(is_end(&port.next(), association, End::Lost));
}

#[test]
fn one_who_takes_nothing_is_not_read_from_and_given_up() {
    let mut port = Port::new();
    let (mut stream, association) = port.call();
    port.fill(association, 8 * Tcp::<Bare>::MAX_UNSENT);
    stream.write_all(&[5, 0, 0, 4]).expect("it is taken");
    for _ in 0..100 {
        assert!(port.look().is_none(), "it could not be answered");
    }
    // It goes on where the peer does.
    stream.set_nonblocking(true).expect("it can be");
    let mut sink = vec![0; 1 << 16];
    within_patience(|| {
        // There may be nothing to read at the moment.
        let _ = stream.read(&mut sink);
        port.look()
            .filter(|arrival| matches!(arrival, Arrival::Message { .. }))
    });
    while port.send(association, 60_000) {}
    assert!(is_end(&port.next(), association, End::Lost));
    assert!(!port.tcp.is_full(), "nobody else has to wait for it");
}

#[test]
fn one_who_takes_nothing_has_ten_seconds() {
    let mut port = Port::new();
    let (_stream, association) = port.call();
    while !port.tcp.is_full() {
        assert!(port.send(association, 60_000));
        port.tcp.flush(port.now);
    }
    port.pass(9);
    assert!(port.send(association, 4));
    assert!(port.look().is_none());
    assert_eq!(port.wait(), Duration::from_secs(1));
    assert!(is_end(&port.next(), association, End::Lost));
}

#[test]
fn one_who_takes_nothing_has_no_more_time_because_it_asks_on() {
    let mut port = Port::new();
    let (mut stream, association) = port.call();
    let mut ask = |port: &mut Port| {
        stream.write_all(&[5, 0, 0, 4]).expect("it is taken");
        assert!(matches!(port.next(), Arrival::Message { .. }));
    };
    for _ in 0..2 {
        // Few enough to go on with reading. What is asked first tells of the last room that there is.
        port.fill(association, Tcp::<Bare>::MAX_UNSENT - 10_000);
        ask(&mut port);
    }
    for _ in 0..9 {
        port.pass(1);
        ask(&mut port);
    }
    assert_eq!(port.wait(), Duration::from_secs(1));
    assert!(is_end(&port.next(), association, End::Lost));
}

#[test]
fn what_waits_is_sent_to_one_who_closes_after_this_side() {
    let mut port = Port::new();
    let (mut stream, association) = port.call();
    let sent = port.fill(association, 8 * Tcp::<Bare>::MAX_UNSENT);
    port.tcp.close(association);
    stream.shutdown(Shutdown::Write).expect("it can be");
    for _ in 0..100 {
        assert!(port.look().is_none(), "not all is sent");
    }
    stream.set_nonblocking(true).expect("it can be");
    let mut read = 0;
    let mut sink = vec![0; 1 << 16];
    within_patience(|| {
        port.look();
        match poll(stream.read(&mut sink)) {
            Poll::Pending => None,
            Poll::Ready(length) => {
                read += length.expect("it is closed in order");
                (read == sent).then_some(())
            }
        }
    });
}

#[test]
fn one_host_has_so_many_connections_and_no_more() {
    let mut port = Port::new();
    let mut streams: Vec<_> = (0..Tcp::<Bare>::MAX_HOST_CONNECTIONS)
        .map(|_| port.call())
        .collect();
    let mut refused = Std::connect(port.at).expect("it listens");
    refused.set_nonblocking(true).expect("it can be");
    let end = within_patience(|| {
        assert!(port.look().is_none());
        match poll(refused.read(&mut [0])) {
            Poll::Pending => None,
            Poll::Ready(end) => Some(end),
        }
    });
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let (gone, association) = streams.pop().expect("there are some");
    drop(gone);
    assert!(is_end(&port.next(), association, End::Closed));
    port.call();
}

#[test]
fn nobody_is_let_in_who_cannot_be_announced() {
    let mut port = Port::new();
    let _stream = Std::connect(port.at).expect("it listens");
    for _ in 0..100 {
        port.tcp.ready.raise(Socket::Listener(0));
        port.tcp.receive(port.now, false);
        assert!(port.tcp.connections.is_empty());
    }
    assert_eq!(port.wait(), Duration::from_millis(100));
    assert!(matches!(port.next(), Arrival::Connected { .. }));
}

#[test]
fn a_host_is_a_network_of_ipv6() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    assert_eq!(host(ip("fd00::1")), host(ip("fd00::ffff:0:0:1")));
    assert_ne!(host(ip("fd00::1")), host(ip("fd00:0:0:1::1")));
    assert_eq!(host(ip("::ffff:10.0.0.1")), host(ip("10.0.0.1")));
    assert_ne!(host(ip("10.0.0.1")), host(ip("10.0.0.2")));
}
