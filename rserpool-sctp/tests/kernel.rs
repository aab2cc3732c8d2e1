//! On a kernel with SCTP: two sockets and an association. On one without: the error that says so, unless
//! `RSERPOOL_KERNEL_SCTP=required` is set.
#![cfg(target_os = "linux")]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::time::Instant;

use rserpool_sctp::cmsg::SendInfo;
use rserpool_sctp::{
    AssociationId, AssociationState, Error, Family, Inbox, Init, Message, Notification, Received,
    Rto, Socket, probe,
};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const MAX: usize = 65_536;
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether there is something to test here.
fn has_sctp() -> bool {
    match probe() {
        Ok(()) => true,
        Err(Error::Unsupported) => {
            let required = std::env::var("RSERPOOL_KERNEL_SCTP").is_ok_and(|it| it == "required");
            assert!(!required, "this kernel has no SCTP");
            assert!(matches!(Socket::new(Family::Both), Err(Error::Unsupported)));
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// A socket with its inbox.
struct End {
    socket: Socket,
    inbox: Inbox,
    address: SocketAddr,
}

impl End {
    fn new(ips: &[IpAddr]) -> Self {
        let addresses: Vec<_> = ips.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        let socket = Socket::new(Family::of(&addresses)).expect("there is SCTP");
        socket.bind(&addresses).expect("the addresses are ours");
        socket.listen().expect("it can listen");
        socket.set_nodelay(true).expect("it can be set");
        let address = SocketAddr::new(ips[0], socket.port().expect("it is bound"));
        Self {
            socket,
            inbox: Inbox::new(MAX),
            address,
        }
    }

    /// What comes next, without what only tells of addresses and empty buffers.
    fn next(&mut self) -> Received {
        loop {
            match self.any() {
                Received::Notification {
                    notification:
                        Notification::PeerAddressChange { .. } | Notification::SenderDry { .. },
                    ..
                } => {}
                other => return other,
            }
        }
    }

    fn any(&mut self) -> Received {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(received) = self.inbox.next() {
                return received;
            }
            match self.socket.receive(&mut self.inbox) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    assert!(Instant::now() < end, "nothing comes");
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn change(&mut self) -> (AssociationId, AssociationState) {
        match self.next() {
            Received::Notification {
                notification:
                    Notification::AssociationChange {
                        association, state, ..
                    },
                ..
            } => (association, state),
            other => panic!("no change but {other:?}"),
        }
    }

    /// The end, after what comes before it.
    fn end(&mut self) -> AssociationState {
        loop {
            if let Received::Notification {
                notification: Notification::AssociationChange { state, .. },
                ..
            } = self.next()
            {
                return state;
            }
        }
    }

    fn send(&self, association: AssociationId, ppid: u32, bytes: &[u8]) -> io::Result<usize> {
        let info = SendInfo {
            association,
            stream: 3,
            ppid,
            unordered: false,
            sack_immediately: false,
            context: 77,
        };
        self.socket.send(&[Message { info, bytes }])
    }

    fn connect(&mut self, to: &mut Self) -> (AssociationId, AssociationId) {
        let id = self.socket.connect(&[to.address]).expect("it can call");
        assert_eq!(self.change(), (id, AssociationState::Up));
        let (other, state) = to.change();
        assert_eq!(state, AssociationState::Up);
        (id, other)
    }
}

fn pair(ip: IpAddr) -> (End, End, AssociationId, AssociationId) {
    let (mut a, mut b) = (End::new(&[ip]), End::new(&[ip]));
    let (to_b, to_a) = a.connect(&mut b);
    (a, b, to_b, to_a)
}

#[test]
fn messages_of_all_lengths_come_back() {
    if !has_sctp() {
        return;
    }
    for ip in [V4, V6] {
        let (mut a, mut b, to_b, to_a) = pair(ip);
        for ppid in [11, 12, 0x2909_7603] {
            for length in [1, 2, 3, 1_000, 16_384, 16_385, 60_000, MAX] {
                let message: Vec<u8> = (0..=255).cycle().take(length).collect();
                assert_eq!(a.send(to_b, ppid, &message).ok(), Some(1));
                for (end, from) in [(&mut b, to_a), (&mut a, to_b)] {
                    let expected = Received::Message {
                        association: from,
                        stream: 3,
                        ppid,
                        bytes: message.clone().into(),
                    };
                    assert!(end.next() == expected, "{ip} {ppid} {length}");
                    if from == to_a {
                        assert_eq!(end.send(from, ppid, &message).ok(), Some(1));
                    }
                }
            }
        }
    }
}

#[test]
fn a_batch_goes_out_and_comes_in_by_one_call() {
    if !has_sctp() {
        return;
    }
    let (a, mut b, to_b, _) = pair(V4);
    let bytes = [9; 100];
    let message = |context: u32| Message {
        info: SendInfo {
            association: to_b,
            stream: 0,
            ppid: context,
            unordered: false,
            sack_immediately: false,
            context,
        },
        bytes: &bytes,
    };
    let messages: Vec<_> = (0..).take(Socket::BATCH).map(message).collect();
    assert_eq!(a.socket.send(&messages).ok(), Some(Socket::BATCH));
    for expected in (0..).take(Socket::BATCH) {
        assert!(matches!(b.next(), Received::Message { ppid, .. } if ppid == expected));
    }
}

#[test]
fn a_message_over_the_cap_ends_the_association() {
    if !has_sctp() {
        return;
    }
    let (mut a, mut b, to_b, _) = pair(V4);
    assert_eq!(a.send(to_b, 11, b"before").ok(), Some(1));
    assert!(matches!(b.next(), Received::Message { bytes, .. } if bytes == "before"));
    assert_eq!(a.send(to_b, 11, &[0; MAX + 1]).ok(), Some(1));
    assert_eq!(b.end(), AssociationState::Lost);
    assert_eq!(a.end(), AssociationState::Lost);
    assert_eq!(b.inbox.counters().oversized, 1);
}

/// It comes in parts (partial delivery), which are put together; parts of one whose rest does not come are dropped.
#[test]
fn a_message_longer_than_the_receive_buffer_arrives() {
    if !has_sctp() {
        return;
    }
    let (mut a, mut b) = (End::new(&[V4]), End::new(&[V4]));
    b.socket.set_buffers(4096, 4096).expect("it can be set");
    let (to_b, to_a) = a.connect(&mut b);
    let message: Vec<u8> = (0..=255).cycle().take(MAX).collect();
    for _ in 0..3 {
        assert_eq!(a.send(to_b, 11, &message).ok(), Some(1));
        let expected = Received::Message {
            association: to_a,
            stream: 3,
            ppid: 11,
            bytes: message.clone().into(),
        };
        assert!(b.next() == expected);
    }
    assert_eq!(a.send(to_b, 11, &message).ok(), Some(1));
    let end = Instant::now() + PATIENCE;
    // The first part: it is nothing yet.
    while b.socket.receive(&mut b.inbox).is_err() {
        assert!(Instant::now() < end, "nothing comes");
    }
    a.socket.abort(to_b).expect("it is up");
    assert_eq!(b.end(), AssociationState::Lost);
    assert_eq!(b.inbox.counters().aborted, 1);
}

#[test]
fn an_abort_is_seen_by_both() {
    if !has_sctp() {
        return;
    }
    let (mut a, mut b, to_b, to_a) = pair(V6);
    a.socket.abort(to_b).expect("it is up");
    assert_eq!(a.change(), (to_b, AssociationState::Lost));
    assert_eq!(b.change(), (to_a, AssociationState::Lost));
    let gone = a.send(to_b, 11, b"late").expect_err("it has ended");
    assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_close_comes_after_what_was_sent() {
    if !has_sctp() {
        return;
    }
    let (mut a, mut b, to_b, to_a) = pair(V4);
    assert_eq!(a.send(to_b, 11, b"last").ok(), Some(1));
    a.socket.close(to_b).expect("it is up");
    assert!(matches!(b.next(), Received::Message { bytes, .. } if bytes == "last"));
    let shutdown = Notification::Shutdown { association: to_a };
    assert!(
        matches!(b.next(), Received::Notification { notification, .. }
        if notification == shutdown)
    );
    assert_eq!(b.change(), (to_a, AssociationState::Closed));
    assert_eq!(a.change(), (to_b, AssociationState::Closed));
}

#[test]
fn nobody_listens() {
    if !has_sctp() {
        return;
    }
    let mut a = End::new(&[V4]);
    let nobody = SocketAddr::new(V4, 9);
    let id = a.socket.connect(&[nobody]).expect("it can call");
    assert_eq!(a.change(), (id, AssociationState::CannotStart));
}

#[test]
fn a_second_call_finds_the_first() {
    if !has_sctp() {
        return;
    }
    let (a, b, to_b, _) = pair(V4);
    let again = a.socket.connect(&[b.address]).expect_err("it is up");
    assert_eq!(again.raw_os_error(), Some(libc::EISCONN));
    assert_eq!(a.socket.association(b.address).ok(), Some(to_b));
    assert!(a.socket.association(SocketAddr::new(V4, 9)).is_err());
}

/// What the peer has not acknowledged when the association ends comes back.
#[test]
fn what_was_not_delivered_comes_back() {
    if !has_sctp() {
        return;
    }
    let (mut a, b, to_b, _) = pair(V4);
    b.socket.set_buffers(4096, 4096).expect("it can be set");
    // Nobody reads: the window closes, and the rest waits here.
    let mut taken = 0;
    while a.send(to_b, 12, &[7; 1000]).is_ok() {
        taken += 1;
    }
    let full = a.send(to_b, 12, b"more").expect_err("it is full");
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    assert!(taken > 10);
    a.socket.abort(to_b).expect("it is up");
    let mut failed = 0;
    let mut lost = false;
    while !(lost && failed > 0) {
        match a.next() {
            Received::Notification { notification, .. } => match notification {
                Notification::SendFailed {
                    association,
                    stream: 3,
                    ppid: 12,
                    context: 77,
                    first: true,
                    last: true,
                    bytes,
                } if association == to_b => {
                    assert_eq!(bytes, [7; 1000][..]);
                    failed += 1;
                }
                Notification::AssociationChange { state, .. } => {
                    assert_eq!(state, AssociationState::Lost);
                    lost = true;
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_empty_buffer_is_told() {
    if !has_sctp() {
        return;
    }
    let (mut a, mut b, to_b, to_a) = pair(V4);
    // Unasked, nothing is told: the answer acknowledges the question, and comes alone.
    assert_eq!(a.send(to_b, 11, b"question").ok(), Some(1));
    assert!(matches!(b.next(), Received::Message { .. }));
    assert_eq!(b.send(to_a, 11, b"answer").ok(), Some(1));
    loop {
        match a.any() {
            Received::Message { .. } => break,
            Received::Notification { notification, .. } => assert!(
                !matches!(notification, Notification::SenderDry { .. }),
                "told unasked"
            ),
        }
    }
    a.socket.set_sender_dry(to_b, true).expect("it is up");
    assert_eq!(a.send(to_b, 11, b"message").ok(), Some(1));
    loop {
        if let Received::Notification {
            notification: Notification::SenderDry { association },
            ..
        } = a.any()
        {
            break assert_eq!(association, to_b);
        }
    }
}

#[test]
fn all_addresses_are_seen() {
    if !has_sctp() {
        return;
    }
    let second = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let third = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    let (mut a, mut b) = (End::new(&[V4, second]), End::new(&[V4, second]));
    a.socket
        .add_addresses(&[SocketAddr::new(third, a.address.port())])
        .expect("it is ours");
    a.socket
        .remove_addresses(&[SocketAddr::new(second, a.address.port())])
        .expect("it is one of ours");
    let to_a = b
        .socket
        .connect(&[a.address, SocketAddr::new(third, a.address.port())]);
    let to_a = to_a.expect("it can call");
    assert_eq!(b.change(), (to_a, AssociationState::Up));
    let (to_b, _) = a.change();
    let at = |end: &End, ips: [IpAddr; 2]| {
        let port = end.address.port();
        ips.map(|ip| SocketAddr::new(ip, port)).to_vec()
    };
    let sorted = |addresses: io::Result<Vec<SocketAddr>>| {
        let mut addresses = addresses.expect("it is up");
        addresses.sort();
        addresses
    };
    assert_eq!(sorted(b.socket.peer_addresses(to_a)), at(&a, [V4, third]));
    assert_eq!(sorted(a.socket.peer_addresses(to_b)), at(&b, [V4, second]));
    assert_eq!(
        sorted(a.socket.local_addresses(AssociationId::FUTURE)),
        at(&a, [V4, third])
    );
    let first = b.socket.peer_addresses(to_a).expect("it is up")[0];
    assert_eq!(first, a.address);
}

/// A socket for both versions shows IPv4 addresses as such.
#[test]
fn one_socket_takes_both_versions() {
    if !has_sctp() {
        return;
    }
    let mut both = End::new(&[V6, V4]);
    let at = |ip| SocketAddr::new(ip, both.address.port());
    let (v4, v6) = (at(V4), at(V6));
    let mut callers = Vec::new();
    for (ip, address) in [(V4, v4), (V6, v6)] {
        let mut caller = End::new(&[ip]);
        let id = caller.socket.connect(&[address]).expect("it can call");
        assert_eq!(caller.change(), (id, AssociationState::Up));
        let (id, _) = both.change();
        let peer = both.socket.peer_addresses(id).expect("it is up");
        assert_eq!(peer, [caller.address]);
        // Its association must not end before the next one is seen.
        callers.push(caller);
    }
}

#[test]
fn settings_are_taken() {
    if !has_sctp() {
        return;
    }
    for family in [Family::V4, Family::V6, Family::Both] {
        let socket = Socket::new(family).expect("there is SCTP");
        let rto = Rto {
            initial: Duration::from_millis(500),
            min: Duration::from_millis(250),
            max: Duration::from_millis(600),
        };
        let future = AssociationId::FUTURE;
        socket.set_rto(future, rto).expect("it can be set");
        assert_eq!(socket.rto(future).ok(), Some(rto));
        socket
            .set_max_retransmissions(future, 5)
            .expect("it can be set");
        assert_eq!(socket.max_retransmissions(future).ok(), Some(5));
        socket
            .set_heartbeat(future, Duration::from_millis(400), 5)
            .expect("it can be set");
        let init = Init {
            outbound_streams: 16,
            inbound_streams: 16,
            attempts: 7,
            max_timeout: Duration::from_millis(600),
        };
        socket.set_init(init).expect("it can be set");
        socket
            .set_sack_delay(future, Duration::from_millis(20), 2)
            .expect("it can be set");
        socket
            .set_autoclose(Duration::from_secs(60))
            .expect("it can be set");
        let any = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        socket
            .set_udp_encapsulation(future, SocketAddr::new(any, 0), 9899)
            .expect("it can be set");
        socket.set_buffers(1 << 16, 1 << 16).expect("it can be set");
    }
}
