//! One registrar with very many elements, and a second one that comes, follows it and takes over from it when it dies.
//!
//! ```sh
//! cargo run --release -p rserpool-sim --example scale                  # 1,000,000 elements in 10,000 pools
//! cargo run --release -p rserpool-sim --example scale -- 100000 1      # elements, pools
//! ```
//!
//! Time is virtual, the links have no latency, and what is measured is the CPU time of the registrars: that of each request or
//! element on average, and, where calls are timed one by one, that of the longest one. Requests are encoded before, answers are
//! encoded by the registrar.

use core::hint::black_box;
use core::net::SocketAddr;
use core::time::Duration;
use std::process::ExitCode;

use bytes::Bytes;
use rserpool_core::registrar::{Config, Event, Rate, Registrar};
use rserpool_core::wire::asap::{self, Message};
use rserpool_core::wire::enrp;
use rserpool_core::wire::{List, Policy, PoolElement, SctpTransport, Transport, TransportUse};
use rserpool_core::{
    ASAP_PORT, Action, AssocId, Dialect, ENRP_PORT, End, Input, Instant, Machine, PeId, Ppid,
    ServerId,
};
use rustix::time::{ClockId, clock_gettime};

/// The elements of one host, all on one association.
const PER_HOST: u32 = 1000;
/// The association of the two registrars, at both ends.
const LINK: AssocId = AssocId(1);
const USER: AssocId = AssocId(2);
/// The first association of a host.
const HOSTS: u64 = 1000;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn address(number: u32, port: u16) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([10, a, b, c], port))
}

fn registrar(number: u32, elements: usize, peers: Vec<SocketAddr>) -> Registrar {
    // Keep-alives name their elements, which hosts with many elements of one pool need.
    let mut config = Config::for_dialect(Dialect::Rsplib);
    config.server_id = Some(ServerId(number));
    config.enrp_addresses = vec![address(number, ENRP_PORT)];
    config.peers = peers;
    config.keep_alive_interval = Duration::from_secs(30);
    config.default_items = 5;
    let limits = &mut config.limits;
    (limits.elements, limits.pools, limits.elements_per_pool) = (elements, elements, elements);
    // One user asks for all.
    config.rates.resolutions = Rate {
        per_second: 1_000_000,
        burst: u32::MAX,
    };
    Registrar::new(config, Instant::EPOCH, [1; 32])
}

/// Who registers where: element `number` is on host `number / PER_HOST` and in pool `number % pools`.
#[derive(Clone, Copy)]
struct Population {
    elements: u32,
    pools: u32,
}

impl Population {
    fn pool(self, number: u32) -> String {
        format!("Pool-{:08}", number % self.pools)
    }

    fn registration(self, number: u32, load: u32) -> (AssocId, Bytes) {
        let host = number / PER_HOST;
        let addresses = [address(0x1_0000 + host, ASAP_PORT).ip()];
        let pool = self.pool(number);
        let message = Message::Registration {
            pool_handle: pool.as_bytes(),
            pool_element: PoolElement {
                id: PeId(number + 1),
                home_id: ServerId(0),
                life: 3_600_000,
                user_transport: Transport::Sctp(SctpTransport {
                    port: 7,
                    transport_use: TransportUse::DATA_ONLY,
                    addresses: List::Slice(&addresses),
                }),
                policy: Policy::LeastUsed { load },
                asap_transport: None,
            },
        };
        let bytes = message.to_bytes().expect("it is short");
        (AssocId(HOSTS + u64::from(host)), bytes)
    }

    fn resolution(self, number: u32) -> (AssocId, Bytes) {
        let pool = self.pool(number);
        let message = Message::HandleResolution {
            subscribe: false,
            pool_handle: pool.as_bytes(),
            items: None,
        };
        (USER, message.to_bytes().expect("it is short"))
    }
}

/// A registrar, and the time that it has taken.
struct Side {
    machine: Registrar,
    alive: bool,
    busy: Duration,
    longest: Duration,
}

impl Side {
    fn new(machine: Registrar) -> Self {
        Self {
            machine,
            alive: true,
            busy: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }

    /// One call of the machine.
    fn call(&mut self, call: impl FnOnce(&mut Registrar)) {
        let time = self.calls(call);
        self.longest = self.longest.max(time);
    }

    /// Many of them.
    fn calls(&mut self, calls: impl FnOnce(&mut Registrar)) -> Duration {
        let begin = cpu_time();
        calls(&mut self.machine);
        let time = cpu_time().saturating_sub(begin);
        self.busy += time;
        time
    }
}

/// Two registrars, one of which need not be there yet or any more, and hosts that are always there.
struct World {
    sides: Vec<Side>,
    now: Instant,
}

impl World {
    fn input(&mut self, side: usize, input: Input<'_>) {
        let now = self.now;
        self.sides[side].call(|machine| machine.handle_input(now, input));
    }

    fn connect(&mut self, side: usize, association: AssocId, remote: SocketAddr) {
        let remote = &[remote];
        self.input(
            side,
            Input::Connected {
                association,
                remote,
            },
        );
    }

    fn act(&mut self, side: usize, action: Action<Event>) {
        match action {
            Action::Send {
                association,
                ppid,
                bytes,
                ..
            } if association == LINK => {
                let other = 1 - side;
                if self.sides[other].alive {
                    self.message(other, LINK, ppid, &bytes);
                }
            }
            Action::Send {
                association, bytes, ..
            } => self.answer(side, association, &bytes),
            Action::Connect { remote, .. } if remote[0].port() == ENRP_PORT => {
                let remote = remote[0];
                self.input(side, Input::ConnectFailed { remote });
            }
            Action::Connect { remote, .. } => {
                let host = (0..).find(|host| address(0x1_0000 + host, ASAP_PORT) == remote[0]);
                let host = host.expect("a host was called");
                self.connect(side, AssocId(HOSTS + u64::from(host)), remote[0]);
            }
            _ => {}
        }
    }

    fn message(&mut self, side: usize, association: AssocId, ppid: Ppid, bytes: &[u8]) {
        self.input(
            side,
            Input::Message {
                association,
                ppid,
                stream: 0,
                bytes,
            },
        );
    }

    /// A host acknowledges the keep-alives of its elements.
    fn answer(&mut self, side: usize, association: AssocId, bytes: &[u8]) {
        let message = asap::decode(bytes).map(|decoded| decoded.message);
        if let Ok(Message::EndpointKeepAlive {
            pool_handle,
            pe_id: Some(pe_id),
            ..
        }) = message
        {
            let answer = Message::EndpointKeepAliveAck { pool_handle, pe_id };
            let bytes = answer.to_bytes().expect("it is short");
            self.message(side, association, Ppid::ASAP, &bytes);
        }
    }

    /// Carries all messages until nobody has anything to say.
    fn carry(&mut self) {
        let mut quiet = 0;
        while quiet < self.sides.len() {
            quiet = 0;
            for side in 0..self.sides.len() {
                match self.sides[side].machine.poll_action() {
                    Some(action) if self.sides[side].alive => self.act(side, action),
                    Some(_) => {}
                    None => quiet += 1,
                }
            }
        }
    }

    /// Lets time go by.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.carry();
            let alive = self.sides.iter().filter(|side| side.alive);
            let next = alive.filter_map(|side| side.machine.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            let now = self.now;
            for side in self.sides.iter_mut().filter(|side| side.alive) {
                side.call(|machine| machine.handle_timeout(now));
            }
        }
    }

    /// Prints what was done `count` times since the last row, and by whom.
    fn report(&mut self, what: &str, count: u32) {
        for (side, name) in self.sides.iter_mut().zip(["first", "second"]) {
            if side.busy.is_zero() {
                continue;
            }
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            let each = millis(side.busy) * 1e6 / f64::from(count);
            let all = millis(side.busy);
            print!("{what:<14} {name:<7} {count:>9} {each:>9.0} ns each {all:>9.1} ms in all");
            if !side.longest.is_zero() {
                let longest = millis(side.longest);
                print!(" {longest:>7.3} ms the longest call");
            }
            println!();
            (side.busy, side.longest) = (Duration::ZERO, Duration::ZERO);
        }
    }
}

/// Functions of their own, so that callgrind can count each kind of request.
#[inline(never)]
fn counted_registrations(side: &mut Side, now: Instant, requests: &[(AssocId, Bytes)]) {
    handle(side, now, requests);
}

#[inline(never)]
fn counted_reregistrations(side: &mut Side, now: Instant, requests: &[(AssocId, Bytes)]) {
    handle(side, now, requests);
}

#[inline(never)]
fn counted_resolutions(side: &mut Side, now: Instant, requests: &[(AssocId, Bytes)]) {
    handle(side, now, requests);
}

#[inline(always)]
fn handle(side: &mut Side, now: Instant, requests: &[(AssocId, Bytes)]) {
    side.calls(|machine| {
        for (association, bytes) in requests {
            let message = Input::Message {
                association: *association,
                ppid: Ppid::ASAP,
                stream: 0,
                bytes,
            };
            machine.handle_input(now, message);
            while let Some(action) = machine.poll_action() {
                black_box(action);
            }
        }
    });
    // The call before this is not the last thing, and so not a jump that leaves the function early.
    black_box(());
}

/// All elements register, host by host.
fn register(world: &mut World, population: Population, (load, new): (u32, bool)) {
    for first in (0..population.elements).step_by(PER_HOST as usize) {
        let last = population.elements.min(first + PER_HOST);
        let requests: Vec<_> = (first..last)
            .map(|number| population.registration(number, load ^ number.wrapping_mul(0x9e37_79b1)))
            .collect();
        let (side, now) = (&mut world.sides[0], world.now);
        match new {
            true => counted_registrations(side, now, &requests),
            false => counted_reregistrations(side, now, &requests),
        }
    }
}

fn presence(number: u32) -> Bytes {
    let message = enrp::Message {
        sender: ServerId(number),
        receiver: ServerId(0),
        body: enrp::MessageBody::Presence {
            reply_required: false,
            checksum: None,
            server: None,
        },
    };
    message.to_bytes().expect("it is short")
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse());
    let (elements, pools) = match (numbers.next(), numbers.next()) {
        (None, _) => (1_000_000, 10_000),
        (Some(Ok(elements)), Some(Ok(pools))) if elements > 0 && pools > 0 => (elements, pools),
        _ => {
            eprintln!("usage: scale [ELEMENTS POOLS]");
            return ExitCode::FAILURE;
        }
    };
    let population = Population { elements, pools };
    let mut world = World {
        sides: vec![Side::new(registrar(1, elements as usize, Vec::new()))],
        now: Instant::EPOCH,
    };
    world.run(Duration::from_secs(10));
    world.connect(0, USER, address(0xffff, ASAP_PORT));
    for host in 0..elements.div_ceil(PER_HOST) {
        let remote = address(0x1_0000 + host, ASAP_PORT);
        world.connect(0, AssocId(HOSTS + u64::from(host)), remote);
    }
    world.report("connect", elements.div_ceil(PER_HOST));

    register(&mut world, population, (0, true));
    assert_eq!(
        world.sides[0].machine.handlespace().len(),
        elements as usize
    );
    world.report("register", elements);

    let requests: Vec<_> = (0..elements.min(100_000))
        .map(|number| population.resolution(number.wrapping_mul(0x9e37_79b1)))
        .collect();
    counted_resolutions(&mut world.sides[0], world.now, &requests);
    let resolved = world.sides[0].machine.counters().resolutions;
    assert_eq!(resolved, requests.len() as u64);
    world.report("resolve 5", elements.min(100_000));

    // Every element is asked within 45 s.
    let before = world.sides[0].machine.counters().keep_alives;
    world.run(Duration::from_secs(46));
    let asked = world.sides[0].machine.counters().keep_alives - before;
    assert!(asked >= u64::from(elements));
    world.report("keep alive", u32::try_from(asked).unwrap_or(u32::MAX));

    let peer = address(1, ENRP_PORT);
    world
        .sides
        .push(Side::new(registrar(2, elements as usize, vec![peer])));
    let now = world.now;
    world.sides[1].machine.handle_timeout(now);
    while world.sides[1].machine.poll_action().is_some() {}
    world.connect(0, LINK, address(2, ENRP_PORT));
    world.connect(1, LINK, peer);
    world.carry();
    assert!(world.sides[1].machine.is_running());
    assert_eq!(
        world.sides[1].machine.handlespace().len(),
        elements as usize
    );
    world.report("synchronise", elements);
    world.run(Duration::from_secs(60));
    world.report("follow, 60 s", elements);

    // Updates go to the second registrar, and to a third one that only listens.
    world.connect(0, AssocId(3), address(3, ENRP_PORT));
    world.message(0, AssocId(3), Ppid::ENRP, &presence(3));
    world.carry();
    world.report("a third comes", 1);
    register(&mut world, population, (1, false));
    world.report("re-register", elements);

    world.sides[0].alive = false;
    world.input(
        1,
        Input::Disconnected {
            association: LINK,
            end: End::Lost,
        },
    );
    world.run(Duration::from_secs(60));
    let taken = world.sides[1]
        .machine
        .handlespace()
        .owned_count(ServerId(2));
    assert_eq!(taken, elements as usize);
    world.report("take over", elements);
    ExitCode::SUCCESS
}
