//! A peer that does what its standard input says, over a real UDP socket: a hand-written driver loop, and one end of the
//! scenarios in `tests/lab`, where the other end is a kernel.
//!
//! ```text
//! peer 127.0.0.1                  at UDP port 9899
//!
//! listen 3863                     takes associations on this SCTP port
//! connect 5000 127.0.0.2 3863     from SCTP port 5000 to 3863 there
//! send 11 100 20                  20 messages of 100 bytes with PPID 11
//! echo                            from now on every message goes back
//! close, abort                    gracefully, at once
//! rebind 9900                     another UDP port
//! counters                        what was received and dropped
//! ```
//!
//! It prints what happens: `listening`, `connected`, `message PPID BYTES`, `closed`, `aborted`, `lost`, `restarted`, `refused`,
//! `unreachable`; and `corrupt …` for a message that is not the next one in the sequence that `send` makes. Commands are for the
//! association that came up last.

extern crate alloc;

use alloc::collections::VecDeque;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use rserpool_udp_sctp::{AssociationId, Config, ConnectFailure, Event, Reason, SendError, Stack};
use std::io::{BufRead as _, Read as _};
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Instant;

type Failure = Box<dyn core::error::Error>;

/// How late a command may be: the socket is what the loop waits for.
const COMMANDS_EVERY: Duration = Duration::from_millis(5);

fn main() -> Result<(), Failure> {
    let address: IpAddr = std::env::args()
        .nth(1)
        .ok_or("usage: peer ADDRESS")?
        .parse()?;
    let config = Config::default();
    let socket = UdpSocket::bind((address, config.udp_port))?;
    let (sender, commands) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let mut peer = Peer {
        stack: Stack::new(address, config, seed),
        socket,
        association: None,
        queue: VecDeque::new(),
        sent: 0,
        received: 0,
        echo: false,
    };
    peer.run(&commands)
}

struct Peer {
    stack: Stack,
    socket: UdpSocket,
    /// The one that commands are for.
    association: Option<AssociationId>,
    /// What waits for room in the send buffer, or behind what does.
    queue: VecDeque<Order>,
    sent: usize,
    received: usize,
    echo: bool,
}

/// What has to wait for the messages before it.
enum Order {
    Message(u16, u32, Vec<u8>),
    Close,
}

impl Peer {
    /// The loop of a driver: everything out, wait for a datagram or a deadline, hand it over, again.
    fn run(&mut self, commands: &Receiver<String>) -> Result<(), Failure> {
        let mut buffer = vec![0; 65_536];
        loop {
            let wait = self.settle();
            self.socket.set_read_timeout(Some(wait))?;
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                self.stack
                    .handle_datagram(Instant::now(), from, &buffer[..length]);
            }
            self.stack.handle_timeout(Instant::now());
            match commands.try_recv() {
                Ok(line) => {
                    if let Err(error) = self.command(&line) {
                        println!("error {error}");
                    }
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Takes all events and sends all datagrams; how long to wait then.
    fn settle(&mut self) -> Duration {
        while let Some(event) = self.stack.poll_event() {
            self.on_event(event);
        }
        self.flush();
        while let Some(datagram) = self.stack.poll_transmit() {
            // A datagram that cannot be sent is one that got lost.
            let _ = self.socket.send_to(&datagram.payload, datagram.to);
        }
        let now = Instant::now();
        self.stack
            .poll_timeout()
            .map_or(COMMANDS_EVERY, |at| at.saturating_duration_since(now))
            .clamp(Duration::from_millis(1), COMMANDS_EVERY)
    }

    fn command(&mut self, line: &str) -> Result<(), Failure> {
        let now = Instant::now();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("listen") => {
                self.stack.listen(next(&mut words)?)?;
                println!("listening");
            }
            Some("connect") => {
                let from = next(&mut words)?;
                let to = SocketAddr::new(next::<IpAddr>(&mut words)?, next(&mut words)?);
                self.stack.connect(now, from, to)?;
            }
            Some("send") => {
                let (ppid, size): (u32, usize) = (next(&mut words)?, next(&mut words)?);
                for _ in 0..next(&mut words).unwrap_or(1) {
                    let bytes = pattern(self.sent, size).collect();
                    // An empty one will be refused.
                    self.sent += usize::from(size > 0);
                    self.queue.push_back(Order::Message(0, ppid, bytes));
                }
            }
            Some("echo") => self.echo = true,
            Some("close") => self.queue.push_back(Order::Close),
            Some("abort") => self.stack.abort(now, self.association()?),
            Some("rebind") => {
                let mut address = self.socket.local_addr()?;
                address.set_port(next(&mut words)?);
                self.socket = UdpSocket::bind(address)?;
            }
            Some("counters") => println!("{:?}", self.stack.counters()),
            _ => return Err(format!("no such command: {line}").into()),
        }
        Ok(())
    }

    fn association(&self) -> Result<AssociationId, Failure> {
        self.association.ok_or_else(|| "not connected".into())
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected { id, .. } => {
                println!("connected");
                self.association = Some(id);
                (self.sent, self.received) = (0, 0);
                self.queue.clear();
            }
            Event::ConnectFailed { reason, .. } => println!("{}", name(reason)),
            Event::Message {
                stream,
                ppid,
                bytes,
                ..
            } => {
                let intact = pattern(self.received, bytes.len()).eq(bytes.iter().copied());
                let word = if intact { "message" } else { "corrupt" };
                println!("{word} {ppid} {}", bytes.len());
                self.received += 1;
                if self.echo {
                    let message = Order::Message(stream, ppid, bytes.to_vec());
                    self.queue.push_back(message);
                }
            }
            Event::Writable { .. } | Event::Undelivered { .. } => {}
            Event::Disconnected { id, reason } => {
                println!("{}", ending(reason));
                if self.association == Some(id) {
                    self.association = None;
                    self.queue.clear();
                }
            }
        }
    }

    /// Hands over what there is room for.
    fn flush(&mut self) {
        let Some(id) = self.association else {
            return;
        };
        while let Some(order) = self.queue.pop_front() {
            match order {
                Order::Close => self.stack.close(Instant::now(), id),
                Order::Message(stream, ppid, bytes) => {
                    match self.stack.send(Instant::now(), id, stream, ppid, &bytes) {
                        Ok(()) => {}
                        Err(SendError::BufferFull) => {
                            let message = Order::Message(stream, ppid, bytes);
                            return self.queue.push_front(message);
                        }
                        Err(error) => println!("error {error}"),
                    }
                }
            }
        }
    }
}

/// The bytes of message `number`: each is one more than the one before, the first one is the number.
fn pattern(number: usize, size: usize) -> impl Iterator<Item = u8> {
    (number..number + size).map(|byte| u8::try_from(byte % 256).unwrap_or_default())
}

fn next<T: FromStr<Err: fmt::Display>>(
    words: &mut core::str::SplitWhitespace<'_>,
) -> Result<T, Failure> {
    let word = words.next().ok_or("a word is missing")?;
    word.parse()
        .map_err(|error| format!("{word}: {error}").into())
}

fn name(reason: ConnectFailure) -> &'static str {
    match reason {
        ConnectFailure::TimedOut => "unreachable",
        ConnectFailure::Refused => "refused",
        ConnectFailure::Aborted => "aborted",
    }
}

fn ending(reason: Reason) -> &'static str {
    match reason {
        Reason::Closed => "closed",
        Reason::Aborted => "aborted",
        Reason::TimedOut => "lost",
        Reason::Restarted => "restarted",
    }
}
