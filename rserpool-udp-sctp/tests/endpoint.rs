//! A machine over a stack: what it asks for happens, and what happens is what it is told.
#![cfg(feature = "machine")]

mod common;

extern crate alloc;

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use common::{PORT, ip};
use rserpool_core::{Action, AssocId, Input, Machine, Ppid};
use rserpool_udp_sctp::{Config, Endpoint, Stack};

/// A machine that does what it is told, and remembers what it was told.
#[derive(Default)]
struct Puppet {
    actions: VecDeque<Action<&'static str>>,
    told: Vec<String>,
}

impl Machine for Puppet {
    type Event = &'static str;

    fn handle_input(&mut self, _: rserpool_core::Instant, input: Input<'_>) {
        self.told.push(match input {
            Input::Connected { association, .. } => format!("up {}", association.0),
            Input::ConnectFailed { remote } => format!("failed {remote}"),
            Input::Disconnected { end, .. } => format!("{end:?}"),
            Input::Message { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
            Input::SendFailed { bytes, .. } => format!("back {}", bytes.len()),
            Input::Announcement { .. } => "announced".into(),
        });
    }

    fn handle_timeout(&mut self, _: rserpool_core::Instant) {}

    fn poll_action(&mut self) -> Option<Action<&'static str>> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<rserpool_core::Instant> {
        None
    }
}

struct Pair {
    now: Instant,
    ends: [Endpoint<Puppet>; 2],
}

impl Pair {
    fn new(config: &Config) -> Self {
        let now = Instant::now();
        let end = |node: usize| {
            let seed = [u8::try_from(node).unwrap() + 1; 32];
            let stack = Stack::new(ip(node), config.clone(), seed);
            Endpoint::new(now, Puppet::default(), stack)
        };
        let mut pair = Self {
            now,
            ends: [end(0), end(1)],
        };
        pair.ends[1].listen(Ppid::ASAP, PORT).unwrap();
        pair
    }

    fn ask(&mut self, action: Action<&'static str>) {
        self.ends[0].call(self.now, |machine, _| machine.actions.push_back(action));
    }

    fn send(&mut self, bytes: &'static [u8]) {
        self.ask(Action::Send {
            association: AssocId(1),
            ppid: Ppid(0),
            stream: 0,
            unordered: false,
            bytes: bytes.into(),
        });
    }

    fn connect(&mut self, to: IpAddr) {
        let remote = vec![SocketAddr::new(to, PORT)];
        let ppid = Ppid::ASAP;
        self.ask(Action::Connect { ppid, remote });
    }

    /// Lets datagrams pass for a second; what the first end was told.
    fn settle(&mut self) -> Vec<String> {
        for turn in 0..40 {
            let (from, to) = (turn % 2, (turn + 1) % 2);
            self.now += Duration::from_millis(25);
            self.ends[from].handle_timeout(self.now);
            while self.ends[from].poll_event(self.now).is_some() {}
            while let Some(datagram) = self.ends[from].poll_transmit() {
                if datagram.to.ip() == ip(to) {
                    let source = SocketAddr::new(ip(from), 9899);
                    self.ends[to].handle_datagram(self.now, source, &datagram.payload);
                }
            }
        }
        self.told(0)
    }

    fn told(&mut self, end: usize) -> Vec<String> {
        self.ends[end].call(self.now, |machine, _| core::mem::take(&mut machine.told))
    }
}

#[test]
fn what_a_machine_asks_for_happens() {
    let mut pair = Pair::new(&Config::default());
    pair.connect(ip(1));
    assert_eq!(pair.settle(), ["up 1"]);
    // It is up: that is the answer again.
    pair.send(b"hello");
    assert_eq!(pair.settle(), [""; 0]);
    assert_eq!(pair.told(1), ["up 1", "hello"]);
    pair.ask(Action::Disconnect {
        association: AssocId(1),
    });
    assert_eq!(pair.settle(), ["Closed"]);
    assert_eq!(pair.told(1), ["Closed"]);
    // An address that cannot be called is an answer at once.
    pair.connect("0.0.0.0".parse().unwrap());
    assert_eq!(pair.settle(), ["failed 0.0.0.0:9901"]);
}

#[test]
fn what_is_sent_too_late_comes_back_after_what_was_sent_before() {
    let mut pair = Pair::new(&Config::default());
    pair.connect(ip(1));
    pair.settle();
    pair.send(b"1");
    // Nothing of it arrives, and the peer stays silent.
    while pair.ends[0].poll_event(pair.now).is_some() {}
    while pair.ends[0].poll_transmit().is_some() {}
    for _ in 0..60 {
        pair.now += Duration::from_millis(500);
        pair.ends[0].handle_timeout(pair.now);
        while pair.ends[0].poll_transmit().is_some() {}
    }
    // The association has ended, and the machine does not know it.
    pair.send(b"22");
    pair.send(b"333");
    assert_eq!(pair.settle(), ["back 1", "back 2", "back 3", "Lost"]);
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut config = Config::default();
    config.max_message_size = 1000;
    config.max_send_buffer = 2000;
    let mut pair = Pair::new(&config);
    pair.connect(ip(1));
    pair.settle();
    for _ in 0..3 {
        pair.send(&[b'x'; 1000]);
    }
    assert_eq!(
        pair.settle(),
        ["back 1000", "back 1000", "back 1000", "Lost"]
    );
    // One that is too long by itself is no reason to do so.
    let mut pair = Pair::new(&config);
    pair.connect(ip(1));
    pair.settle();
    pair.send(&[b'x'; 1001]);
    pair.send(b"hello");
    assert_eq!(pair.settle(), ["back 1001"]);
}
