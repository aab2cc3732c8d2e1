//! Pools over TCP (RFC 5354 §3.5).

use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;

use futures_lite::future::zip;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use rserpool_core::PeId;
use rserpool_core::user::SessionError;
use rserpool_core::wire::{Transport, TransportUse};
use tokio::io::ReadBuf;
use tokio::sync::oneshot;

use super::super::tcp::free_tcp_port;
use super::{POOL, Scope, connect, movable, register, start, touch};
use crate::runtime::driver::{ConnectError, Ended, PoolElement, PoolUser, TcpSession};
use crate::runtime::{block_on, sleep};
use crate::suite::probe::within_patience;

/// An element whose users are served by a thread: it answers `?` with its number, closes in order after `.`, and dies of `!`.
struct Served {
    element: PoolElement,
    port: u16,
}

impl Served {
    async fn start(scope: &Scope, number: u8, serves: bool) -> Self {
        let (served, listener) = Self::listen(scope, number).await;
        if serves {
            std::thread::spawn(move || serve(&listener, number));
        }
        served
    }

    /// Whoever calls it waits for somebody to accept.
    async fn listen(scope: &Scope, number: u8) -> (Self, TcpListener) {
        let address = IpAddr::from(Ipv4Addr::new(127, 0, 0, number));
        let listener = TcpListener::bind((address, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let transport = Transport::Tcp {
            port,
            transport_use: TransportUse::DATA_ONLY,
            address,
        };
        let builder = scope
            .element(number)
            .config(|config| config.user_transport = (&transport).into());
        let element = register(builder).await;
        (Self { element, port }, listener)
    }

    fn id(&self) -> PeId {
        self.element.id()
    }
}

fn serve(listener: &TcpListener, number: u8) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut byte = [0];
        while stream.read(&mut byte)? > 0 {
            match byte[0] {
                b'?' => stream.write_all(&[number])?,
                b'.' => break,
                // What is left unread makes the end a loss.
                _ => return Ok(()),
            }
        }
    }
}

async fn connect_tcp(user: &PoolUser) -> TcpSession {
    within_patience(movable(user.connect_tcp(POOL)))
        .await
        .expect("there is an element")
}

/// Which element is at the other end.
async fn ask(session: &mut TcpSession) -> u8 {
    let mut number = [0];
    session.write_all(b"?").await.expect("it is connected");
    within_patience(session.read_exact(&mut number))
        .await
        .expect("it answers");
    number[0]
}

async fn reports(scope: &Scope) -> u64 {
    let reports = scope.registrar.handle();
    let reports = reports.call(|registrar, _| registrar.counters().reports);
    reports.await.expect("it runs")
}

/// Goes on with the other element after the first one has died.
async fn go_on(scope: &Scope, user: &PoolUser) {
    let elements = [
        Served::start(scope, 2, true).await,
        Served::start(scope, 3, true).await,
    ];
    let mut session = connect_tcp(user).await;
    let first = ask(&mut session).await;
    let (dead, other) = if first == 2 { (0, 1) } else { (1, 0) };
    assert_eq!(session.element(), Some(elements[dead].id()));
    session.write_all(b"!!").await.expect("it is connected");
    let error = within_patience(session.read(&mut [0])).await;
    assert!(error.is_err(), "{error:?}");
    assert_eq!(session.element(), None);
    let error = session.write(b"?").await.expect_err("there is nobody");
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    // Nobody has to ask for it.
    within_patience(async { while reports(scope).await == 0 {} }).await;
    within_patience(movable(session.reconnect()))
        .await
        .expect("another one");
    assert_eq!(session.element(), Some(elements[other].id()));
    assert_ne!(ask(&mut session).await, first);
    assert_eq!(reports(scope).await, 1);
}

#[test]
fn a_stream_begins_anew_with_another_element() {
    block_on(async {
        let scope = Scope::new();
        go_on(&scope, &start(scope.user())).await;
    });
}

#[test]
fn all_of_it_over_tcp() {
    block_on(async {
        let port = free_tcp_port();
        let scope = Scope::with(|options| options.asap_tcp_port = Some(port));
        let home = SocketAddr::new(scope.registrar.address().ip(), port);
        let user = scope
            .user()
            .options(|options| options.registrar_over_tcp = true)
            .config(|config| config.hunt.registrars = vec![home]);
        go_on(&scope, &start(user)).await;
    });
}

#[test]
fn an_element_that_cannot_be_reached_is_passed_over() {
    block_on(async {
        let scope = Scope::new();
        let dead = Served::start(&scope, 2, false).await;
        let alive = Served::start(&scope, 3, true).await;
        let user = start(scope.user());
        // Round Robin begins with either of them.
        for _ in 0..2 {
            let mut session = connect_tcp(&user).await;
            assert_eq!(session.element(), Some(alive.id()), "not {}", dead.port);
            assert_eq!(ask(&mut session).await, 3);
        }
        within_patience(async { while reports(&scope).await == 0 {} }).await;
    });
}

#[test]
fn an_element_that_reads_late_is_waited_for() {
    const LENGTH: usize = 32 << 20;
    block_on(async {
        let scope = Scope::new();
        let (element, listener) = Served::listen(&scope, 2).await;
        let mut session = connect_tcp(&start(scope.user())).await;
        let write = async {
            session.write_all(&vec![1; LENGTH]).await?;
            AsyncWriteExt::close(&mut session).await
        };
        let read = async {
            // Longer than TCP may wait for an acknowledgement of ASAP.
            sleep(Duration::from_secs(7)).await;
            let (length, read) = oneshot::channel();
            std::thread::spawn(move || {
                let read = listener
                    .accept()
                    .and_then(|(mut stream, _)| io::copy(&mut stream, &mut io::sink()));
                // Who waits for it may have failed.
                let _ = length.send(read);
            });
            read.await.expect("the thread runs")
        };
        let (written, read) = within_patience(zip(write, read)).await;
        written.expect("it is up");
        assert_eq!(read.expect("it is up"), LENGTH as u64);
        assert_eq!(session.element(), Some(element.id()));
        assert_eq!(reports(&scope).await, 0);
    });
}

#[test]
fn one_that_closes_in_order_is_at_its_end_and_not_reported() {
    block_on(async {
        let scope = Scope::new();
        let _elements = [
            Served::start(&scope, 2, true).await,
            Served::start(&scope, 3, true).await,
        ];
        let user = start(scope.user());
        let mut session = connect_tcp(&user).await;
        let first = ask(&mut session).await;
        session.write_all(b".").await.expect("it is connected");
        let mut end = [0];
        let mut end = ReadBuf::new(&mut end);
        let read = poll_fn(|context| {
            tokio::io::AsyncRead::poll_read(Pin::new(&mut session), context, &mut end)
        });
        within_patience(read).await.expect("it is no error");
        assert!(end.filled().is_empty());
        within_patience(async { while session.write_all(b"?").await.is_ok() {} }).await;
        assert_eq!(session.element(), None);
        within_patience(session.reconnect())
            .await
            .expect("another one");
        assert_ne!(ask(&mut session).await, first);
        // The application may leave at will, and change its mind at any time.
        touch(session.reconnect()).await;
        within_patience(session.reconnect())
            .await
            .expect("another one");
        ask(&mut session).await;
        assert_eq!(reports(&scope).await, 0);
    });
}

#[test]
fn a_pool_of_another_kind_says_so() {
    block_on(async {
        let scope = Scope::new();
        let _element = register(scope.element(2)).await;
        let user = scope.user().config(|config| {
            config.failover_timeout = Duration::from_millis(50);
        });
        let user = start(user);
        let said = async {
            loop {
                match user.connect_tcp(POOL).await.map(|_| ()) {
                    Err(ConnectError::Ended(Ended::Failed(error))) => match error {
                        SessionError::OtherTransport => break,
                        // The registrar may take its time.
                        SessionError::Unreachable => {}
                        error => panic!("{error:?}"),
                    },
                    other => panic!("{other:?}"),
                }
            }
        };
        within_patience(said).await;
        connect(&start(scope.user())).await;
    });
}
