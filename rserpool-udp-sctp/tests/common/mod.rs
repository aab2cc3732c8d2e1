//! A network in memory and in virtual time: stacks, a link with faults, nothing that sleeps.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of several tests, none of which needs all of it"
)]

extern crate alloc;

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use rserpool_udp_sctp::packet::{Chunk, Header, Packet, PacketBuilder, kind};
use rserpool_udp_sctp::{AssociationId, Config, Event, Reason, Stack};
use std::time::Instant;

pub const PORT: u16 = 9901;

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn percent(&mut self, p: u64) -> bool {
        self.next() % 100 < p
    }
}

/// Drops a datagram of a node.
pub type Filter = Box<dyn FnMut(usize, &[u8]) -> bool>;

pub struct Link {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay: Duration,
    pub rng: Rng,
    pub filter: Filter,
}

pub struct Node {
    pub stack: Stack,
    pub udp: SocketAddr,
    pub events: Vec<Event>,
    pub dead: bool,
    /// Does not ask for events.
    pub deaf: bool,
}

pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub nodes: Vec<Node>,
    pub link: Link,
    /// Datagrams to addresses of no node.
    pub stray: Vec<(SocketAddr, Vec<u8>)>,
    pub sent: Vec<(usize, Vec<u8>)>,
    pub log: bool,
    flight: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sequence: u64,
}

pub fn ip(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(node).unwrap() + 1))
}

impl World {
    pub fn new(nodes: usize) -> World {
        World::with_config(nodes, &Config::default())
    }

    pub fn with_config(nodes: usize, config: &Config) -> World {
        let now = Instant::now();
        let nodes = (0..nodes)
            .map(|i| Node {
                stack: Stack::new(ip(i), config.clone(), [u8::try_from(i).unwrap() + 1; 32]),
                udp: SocketAddr::new(ip(i), 9899),
                events: Vec::new(),
                dead: false,
                deaf: false,
            })
            .collect();
        World {
            now,
            start: now,
            nodes,
            link: Link {
                loss: 0,
                duplicate: 0,
                reorder: 0,
                delay: Duration::from_millis(1),
                rng: Rng::new(7),
                filter: Box::new(|_, _| false),
            },
            stray: Vec::new(),
            sent: Vec::new(),
            log: false,
            flight: BTreeMap::new(),
            sequence: 0,
        }
    }

    pub fn inject(&mut self, from: SocketAddr, node: usize, bytes: &[u8]) {
        let now = self.now;
        self.nodes[node].stack.handle_datagram(now, from, bytes);
        self.collect();
    }

    fn put(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let mut delay = self.link.delay;
        if self.link.rng.percent(self.link.reorder) {
            delay += Duration::from_millis(self.link.rng.next() % 20);
        }
        self.sequence += 1;
        self.flight
            .insert((self.now + delay, self.sequence), (from, to, bytes));
    }

    pub fn collect(&mut self) {
        for i in 0..self.nodes.len() {
            while let Some(t) = self.nodes[i].stack.poll_transmit() {
                if self.log {
                    self.sent.push((i, t.payload.clone()));
                }
                let from = self.nodes[i].udp;
                let lost = self.link.rng.percent(self.link.loss);
                if self.nodes[i].dead || (self.link.filter)(i, &t.payload) || lost {
                    continue;
                }
                if self.link.rng.percent(self.link.duplicate) {
                    self.put(from, t.to, t.payload.clone());
                }
                self.put(from, t.to, t.payload);
            }
            if !self.nodes[i].deaf {
                while let Some(event) = self.nodes[i].stack.poll_event() {
                    self.nodes[i].events.push(event);
                }
            }
        }
        // Reading may have opened a window.
        for i in 0..self.nodes.len() {
            while let Some(t) = self.nodes[i].stack.poll_transmit() {
                if !self.nodes[i].dead && !(self.link.filter)(i, &t.payload) {
                    self.put(self.nodes[i].udp, t.to, t.payload);
                }
            }
        }
    }

    pub fn step(&mut self, limit: Instant) -> bool {
        self.collect();
        let timer = self
            .nodes
            .iter_mut()
            .filter(|n| !n.dead)
            .filter_map(|n| n.stack.poll_timeout())
            .min();
        let packet = self.flight.keys().next().map(|k| k.0);
        let Some(next) = timer
            .into_iter()
            .chain(packet)
            .min()
            .filter(|n| *n <= limit)
        else {
            self.now = limit;
            return false;
        };
        self.now = self.now.max(next);
        let now = self.now;
        while let Some(entry) = self.flight.first_entry().filter(|e| e.key().0 <= now) {
            let (from, to, bytes) = entry.remove();
            match self.nodes.iter_mut().find(|n| n.udp == to) {
                Some(node) if node.dead => {}
                Some(node) => node.stack.handle_datagram(now, from, &bytes),
                None => self.stray.push((to, bytes)),
            }
        }
        for node in &mut self.nodes {
            if !node.dead {
                node.stack.handle_timeout(now);
            }
        }
        true
    }

    pub fn run(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
    }

    pub fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// Connects node 0 to node 1; both ids.
    pub fn connected(&mut self) -> (AssociationId, AssociationId) {
        self.nodes[1].stack.listen(PORT).unwrap();
        let now = self.now;
        let a = self.nodes[0]
            .stack
            .connect(now, PORT, SocketAddr::new(ip(1), PORT))
            .unwrap();
        self.run_ms(10);
        let ups = (self.up(0), self.up(1));
        assert_eq!(ups.0, [a]);
        assert_eq!(ups.1.len(), 1);
        self.nodes[0].events.clear();
        self.nodes[1].events.clear();
        (a, ups.1[0])
    }

    pub fn up(&self, node: usize) -> Vec<AssociationId> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|e| match e {
                Event::Connected { id, .. } => Some(*id),
                _ => None,
            })
            .collect()
    }

    pub fn down(&self, node: usize) -> Vec<(AssociationId, Reason)> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|e| match e {
                Event::Disconnected { id, reason } => Some((*id, *reason)),
                _ => None,
            })
            .collect()
    }

    pub fn messages(&self, node: usize) -> Vec<(u16, u32, Vec<u8>)> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|e| match e {
                Event::Message {
                    stream,
                    ppid,
                    bytes,
                    ..
                } => Some((*stream, *ppid, bytes.to_vec())),
                _ => None,
            })
            .collect()
    }

    pub fn send(&mut self, node: usize, id: AssociationId, ppid: u32, message: &[u8]) {
        let now = self.now;
        self.nodes[node]
            .stack
            .send(now, id, 0, ppid, message)
            .unwrap();
    }

    /// Sends, waiting for room as long as needed.
    pub fn push(&mut self, node: usize, id: AssociationId, message: &[u8]) {
        loop {
            let now = self.now;
            match self.nodes[node].stack.send(now, id, 0, 11, message) {
                Ok(()) => return,
                Err(rserpool_udp_sctp::SendError::BufferFull) => self.run_ms(5),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A peer made by hand: it knows the tags of an association with node 1 of a world.
pub struct Puppet {
    pub udp: SocketAddr,
    pub sctp: u16,
    pub tag: u32,
    pub tsn: u32,
    pub peer_tag: u32,
    pub peer_tsn: u32,
}

pub fn init_value(tag: u32, tsn: u32) -> Vec<u8> {
    let mut value = tag.to_be_bytes().to_vec();
    value.extend_from_slice(&65_536_u32.to_be_bytes());
    value.extend_from_slice(&[0, 10, 0, 10]);
    value.extend_from_slice(&tsn.to_be_bytes());
    value
}

impl Puppet {
    pub fn new(last: u8, tag: u32) -> Puppet {
        Puppet {
            udp: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 9, last)), 9899),
            sctp: PORT,
            tag,
            tsn: 1000,
            peer_tag: 0,
            peer_tsn: 0,
        }
    }

    pub fn header(&self) -> Header {
        Header {
            source_port: self.sctp,
            destination_port: PORT,
            tag: self.peer_tag,
        }
    }

    pub fn send(&self, world: &mut World, node: usize, kind: u8, flags: u8, value: &[u8]) {
        let mut b = PacketBuilder::new(self.header());
        b.chunk(kind, flags, value);
        world.inject(self.udp, node, &b.finish());
        world.run_ms(5);
    }

    /// Sends INIT with parameters; the value of the INIT ACK.
    pub fn init(&mut self, world: &mut World, node: usize, params: &[u8]) -> Option<Vec<u8>> {
        let mut value = init_value(self.tag, self.tsn);
        value.extend_from_slice(params);
        self.peer_tag = 0;
        world.stray.clear();
        self.send(world, node, kind::INIT, 0, &value);
        let ack = self.take(world, kind::INIT_ACK)?;
        self.peer_tag = u32::from_be_bytes(ack[0..4].try_into().unwrap());
        self.peer_tsn = u32::from_be_bytes(ack[12..16].try_into().unwrap());
        Some(ack)
    }

    pub fn cookie(ack: &[u8]) -> Vec<u8> {
        rserpool_udp_sctp::packet::params(ack, 16)
            .find(|(kind, _)| *kind == 7)
            .map(|(_, body)| body.to_vec())
            .unwrap()
    }

    pub fn connect(&mut self, world: &mut World, node: usize) {
        let ack = self.init(world, node, &[]).expect("INIT ACK");
        self.send(world, node, kind::COOKIE_ECHO, 0, &Puppet::cookie(&ack));
        self.take(world, kind::COOKIE_ACK).expect("COOKIE ACK");
    }

    pub fn data(&mut self, world: &mut World, node: usize, ppid: u32, message: &[u8]) {
        let value = self.data_value(ppid, message);
        self.send(world, node, kind::DATA, 3, &value);
    }

    pub fn data_value(&mut self, ppid: u32, message: &[u8]) -> Vec<u8> {
        let mut value = self.tsn.to_be_bytes().to_vec();
        let ssn = u16::try_from(self.tsn - 1000).unwrap();
        value.extend_from_slice(&[0, 0]);
        value.extend_from_slice(&ssn.to_be_bytes());
        value.extend_from_slice(&ppid.to_be_bytes());
        value.extend_from_slice(message);
        self.tsn += 1;
        value
    }

    /// Everything received, chunk by chunk.
    pub fn chunks(&self, world: &World) -> Vec<(u8, u8, Vec<u8>)> {
        world
            .stray
            .iter()
            .filter(|(to, _)| *to == self.udp)
            .flat_map(|(_, bytes)| {
                let packet = Packet::parse(bytes).expect("well-formed");
                packet
                    .chunks()
                    .map(|Chunk { kind, flags, value }| (kind, flags, value.to_vec()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// First chunk of a kind received since, and forgets the rest.
    pub fn take(&self, world: &mut World, kind: u8) -> Option<Vec<u8>> {
        let found = self.chunks(world).into_iter().find(|c| c.0 == kind);
        world.stray.clear();
        found.map(|c| c.2)
    }
}
