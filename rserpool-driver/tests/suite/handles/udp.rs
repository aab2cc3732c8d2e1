//! Pools over UDP (RFC 5354 §3.6).

use core::net::{IpAddr, Ipv4Addr};
use std::io::ErrorKind;
use std::net::UdpSocket;

use futures_lite::future::zip;
use rserpool_core::wire::Transport;

use super::{POOL, Scope, movable, register, start, touch};
use crate::runtime::block_on;
use crate::runtime::driver::{PoolElement, UdpSession};
use crate::suite::probe::within_patience;

/// An element, and the socket at which it serves.
async fn serve(scope: &Scope, number: u8) -> (PoolElement, UdpSocket) {
    let address = IpAddr::from(Ipv4Addr::new(127, 0, 0, number));
    let socket = UdpSocket::bind((address, 0)).expect("a port is free");
    let port = socket.local_addr().expect("it is bound").port();
    let transport = Transport::Udp { port, address };
    let builder = scope
        .element(number)
        .config(|config| config.user_transport = (&transport).into());
    (register(builder).await, socket)
}

/// A datagram to and fro.
async fn exchange(session: &mut UdpSession, socket: &UdpSocket) {
    let mut buffer = [0; 16];
    assert!(touch(session.recv(&mut buffer)).await.is_none());
    session.send(b"ping").await.expect("it is there");
    let (length, user) = socket.recv_from(&mut buffer).expect("it comes");
    assert_eq!(&buffer[..length], b"ping");
    let answer = async { socket.send_to(b"pong", user).expect("it goes") };
    let (received, _) = zip(within_patience(session.recv(&mut buffer)), answer).await;
    assert_eq!(&buffer[..received.expect("it is there")], b"pong");
}

#[test]
fn a_user_goes_on_with_another_element_where_nobody_is_there() {
    block_on(async {
        let scope = Scope::new();
        let mut elements = [serve(&scope, 2).await, serve(&scope, 3).await];
        let user = start(scope.user());
        let mut session = within_patience(movable(user.connect_udp(POOL)))
            .await
            .expect("there is an element");
        if session.element() == Some(elements[1].0.id()) {
            elements.reverse();
        }
        let [(first, socket), (other, other_socket)] = elements;
        assert_eq!(session.element(), Some(first.id()));
        exchange(&mut session, &socket).await;
        let long = vec![0; 70_000];
        assert!(session.send(&long).await.is_err());
        exchange(&mut session, &socket).await;
        // The host says so to the next one who asks.
        drop(socket);
        session.send(b"ping").await.expect("nobody knows yet");
        let error = within_patience(session.recv(&mut [0])).await;
        assert_eq!(
            error.expect_err("nobody is there").kind(),
            ErrorKind::ConnectionRefused
        );
        assert_eq!(session.element(), None);
        let error = session.send(b"ping").await.expect_err("there is nobody");
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        within_patience(movable(session.reconnect()))
            .await
            .expect("another one");
        assert_eq!(session.element(), Some(other.id()));
        exchange(&mut session, &other_socket).await;
        let reports = scope.registrar.handle();
        let reports = reports.call(|registrar, _| registrar.counters().reports);
        assert_eq!(reports.await, Ok(1));
    });
}
