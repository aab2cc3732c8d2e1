//! ASAP over TCP: users at a registrar (RFC 5352 §2.1, §3.3).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use bytes::{Bytes, BytesMut};
use rserpool_core::wire::asap::{self, Message};
use rserpool_core::wire::{Deframer, frame};
use rserpool_core::{Action, AssocId, End, Ppid};
use tokio::sync::oneshot;

use super::pool::{HOME, at};
use super::probe::{PORT, Peer, Seen, free_port, user, within_patience};
use super::scope::{Element, User, start_registrar};
use crate::runtime::block_on;
use crate::runtime::driver::{MAX_MESSAGE_SIZE, Options};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A TCP port that nobody else uses.
pub(super) fn free_tcp_port() -> u16 {
    loop {
        let port = free_port(LOCALHOST);
        if TcpListener::bind((LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// One that is called by TCP, and where.
fn called() -> (Peer, SocketAddr) {
    let mut options = user(LOCALHOST, 9899);
    options.asap_tcp_port = Some(free_tcp_port());
    let remote = SocketAddr::new(LOCALHOST, options.asap_tcp_port.unwrap_or_default());
    (Peer::start(&options), remote)
}

fn caller() -> Peer {
    let mut options = user(LOCALHOST, 9899);
    options.registrar_over_tcp = true;
    Peer::start(&options)
}

async fn call(caller: &Peer, remote: SocketAddr) {
    let (ppid, remote) = (Ppid::ASAP, vec![remote]);
    caller.act(Action::Connect { ppid, remote }).await;
}

/// A message of so many bytes.
fn message(length: usize) -> Bytes {
    let mut bytes: Vec<_> = (0..length).map(|n| n.to_le_bytes()[0]).collect();
    let field = u16::try_from(length).expect("it has 16 bits");
    bytes[2..4].copy_from_slice(&field.to_be_bytes());
    bytes.into()
}

async fn next_message(peer: &mut Peer) -> (AssocId, Bytes) {
    match peer.next().await {
        Seen::Message(association, Ppid::ASAP, 0, bytes) => (association, bytes),
        other => panic!("no message but {other:?}"),
    }
}

/// A program that has nothing to do with ours talks to `remote`.
async fn stranger<T: Send + 'static>(
    remote: SocketAddr,
    talk: impl FnOnce(&mut TcpStream) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (end, result) = oneshot::channel();
    std::thread::spawn(move || {
        let talked = TcpStream::connect(remote).and_then(|mut stream| talk(&mut stream));
        // Who waits for it may have failed.
        let _ = end.send(talked);
    });
    within_patience(result).await.expect("the thread runs")
}

#[test]
fn a_user_asks_its_registrar_over_tcp_and_talks_to_elements_over_sctp() {
    block_on(async {
        let udp_port = free_port(LOCALHOST);
        let mut registrar = at(Options::registrar(), 1, udp_port);
        registrar.asap_tcp_port = Some(free_tcp_port());
        let over_tcp = SocketAddr::new(LOCALHOST, registrar.asap_tcp_port.unwrap_or_default());
        let _registrar = start_registrar(&registrar);
        let element = Element::start(&at(Options::element(PORT), 2, udp_port), HOME).await;
        let mut options = at(Options::user(), 2, udp_port);
        options.registrar_over_tcp = true;
        let mut user = User::start(&options, over_tcp).await;
        assert_eq!(user.ask("hello").await, Some(element.id));
    });
}

#[test]
fn messages_arrive_whole_whatever_their_length() {
    block_on(async {
        let (mut called, remote) = called();
        let mut caller = caller();
        call(&caller, remote).await;
        let to_called = caller.connected().await;
        let to_caller = called.connected().await;
        assert!(to_called.is_tcp() && to_caller.is_tcp());
        let lengths = [4, 5, 6, 7, 8, MAX_MESSAGE_SIZE - 1, 4, 30_000];
        for (from, association) in [(&caller, to_called), (&called, to_caller)] {
            for length in lengths {
                from.act(Action::Send {
                    association,
                    ppid: Ppid::ASAP,
                    stream: 0,
                    unordered: false,
                    bytes: message(length),
                })
                .await;
            }
        }
        for (to, association) in [(&mut caller, to_called), (&mut called, to_caller)] {
            for length in lengths {
                let (from, bytes) = next_message(to).await;
                assert_eq!(from, association);
                assert_eq!(bytes.len(), length.next_multiple_of(4));
                assert_eq!(bytes[..length], message(length));
            }
        }
        let association = to_called;
        caller.act(Action::Disconnect { association }).await;
        let end = Seen::Disconnected(to_called, End::Closed);
        assert_eq!(caller.next().await, end);
        let end = Seen::Disconnected(to_caller, End::Closed);
        assert_eq!(called.next().await, end);
    });
}

#[test]
fn nobody_at_the_port_is_a_failed_connect_and_sctp_is_for_everything_else() {
    block_on(async {
        let mut caller = caller();
        let nobody = SocketAddr::new(LOCALHOST, free_tcp_port());
        call(&caller, nobody).await;
        assert_eq!(caller.next().await, Seen::ConnectFailed(nobody));
        let listener = TcpListener::bind((LOCALHOST, 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("it can be");
        let remote = listener.local_addr().expect("it is bound");
        let (ppid, to) = (Ppid::UNSPECIFIED, vec![remote]);
        caller.act(Action::Connect { ppid, remote: to }).await;
        call(&caller, nobody).await;
        assert_eq!(caller.next().await, Seen::ConnectFailed(nobody));
        let error = listener.accept().expect_err("nobody has called");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn the_end_of_the_one_that_is_called_closes_its_connections() {
    block_on(async {
        let (mut called, remote) = called();
        let mut caller = caller();
        call(&caller, remote).await;
        let association = caller.connected().await;
        called.connected().await;
        drop(called.handle);
        let end = Seen::Disconnected(association, End::Closed);
        assert_eq!(caller.next().await, end);
        while called.events.recv().await.is_some() {}
    });
}

#[test]
fn messages_come_however_they_are_cut() {
    block_on(async {
        let (mut called, remote) = called();
        let talk = stranger(remote, |stream| {
            for byte in message(7) {
                stream.write_all(&[byte])?;
            }
            stream.write_all(&[&[0][..], &message(8), &message(4)].concat())?;
            stream.shutdown(Shutdown::Write)?;
            stream.read(&mut [0])
        });
        let serve = async {
            let association = called.connected().await;
            for length in [8, 8, 4] {
                let (_, bytes) = next_message(&mut called).await;
                assert_eq!(bytes.len(), length);
            }
            let end = Seen::Disconnected(association, End::Closed);
            assert_eq!(called.next().await, end);
        };
        let (read, ()) = futures_lite::future::zip(talk, serve).await;
        assert_eq!(read.expect("it is closed in order"), 0);
    });
}

#[test]
fn a_program_that_asks_and_says_that_there_is_no_more_is_answered() {
    // RFC 5352 §3.3
    block_on(async {
        let mut options = at(Options::registrar(), 1, free_port(LOCALHOST));
        options.asap_tcp_port = Some(free_tcp_port());
        let remote = SocketAddr::new(LOCALHOST, options.asap_tcp_port.unwrap_or_default());
        let _registrar = start_registrar(&options);
        let question = Message::HandleResolution {
            subscribe: false,
            pool_handle: b"Nobody",
            items: None,
        };
        let question = question.to_bytes().expect("it is short");
        let talk = stranger(remote, move |stream| {
            let mut asked = BytesMut::new();
            for _ in 0..50 {
                frame(&mut asked, &question);
            }
            stream.write_all(&asked)?;
            stream.shutdown(Shutdown::Write)?;
            let mut answers = Vec::new();
            stream.read_to_end(&mut answers)?;
            Ok(answers)
        });
        let mut answers = Deframer::default();
        answers.push(&talk.await.expect("it is closed in order"));
        for _ in 0..50 {
            let answer = answers.poll_message().unwrap().expect("there is one more");
            let decoded = asap::decode(&answer).expect("our own").message;
            assert!(matches!(decoded, Message::HandleResolutionResponse { .. }));
        }
        assert!(answers.pending().is_empty());
    });
}

#[test]
fn what_is_no_asap_is_given_up() {
    block_on(async {
        let (mut called, remote) = called();
        for (bytes, cut_off) in [(&[5, 0, 0, 3][..], false), (&[5, 0, 0, 8, 1], true)] {
            let talk = stranger(remote, move |stream| {
                stream.write_all(bytes)?;
                if cut_off {
                    stream.shutdown(Shutdown::Write)?;
                }
                stream.read(&mut [0])
            });
            let serve = async {
                let association = called.connected().await;
                let end = Seen::Disconnected(association, End::Lost);
                assert_eq!(called.next().await, end);
            };
            let (read, ()) = futures_lite::future::zip(talk, serve).await;
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        }
    });
}
