//! Registrar, element and user as an application holds them, over UDP.

pub(crate) mod bad;
mod flow;
mod life;

use core::net::Ipv4Addr;
use core::pin::pin;
use std::io;

use futures_lite::future::{or, poll_once};
use rserpool_core::{element, user};
use tokio::sync::oneshot;

use super::probe::{free_port, within_patience};
use crate::runtime::driver::{
    Builder, ElementSession, Options, PoolElement, PoolUser, Registrar, Session, TransportKind,
};
use crate::runtime::{Runtime, spawn};

pub(crate) const POOL: &str = "EchoPool";

/// A scope with its registrar.
struct Scope {
    udp_port: u16,
    registrar: Registrar,
}

impl Scope {
    fn new() -> Self {
        let udp_port = free_port(Ipv4Addr::LOCALHOST.into());
        Self {
            udp_port,
            registrar: Self::start(udp_port).expect("the ports are free"),
        }
    }

    fn start(udp_port: u16) -> io::Result<Registrar> {
        let registrar = Registrar::builder().options(|options| place(options, 1, udp_port));
        let (registrar, run) = registrar.start()?;
        spawn(run);
        Ok(registrar)
    }

    /// An element at that host of 127/8.
    fn element(&self, host: u8) -> Builder<Runtime, element::Config> {
        PoolElement::builder(POOL)
            .options(|options| place(options, host, self.udp_port))
            .registrar(self.registrar.address())
    }

    fn user(&self) -> Builder<Runtime, user::Config> {
        PoolUser::builder()
            .options(|options| {
                place(options, 1, self.udp_port);
                options.udp_port = 0;
            })
            .registrar(self.registrar.address())
    }
}

fn place(options: &mut Options, host: u8, udp_port: u16) {
    options.transport = TransportKind::Udp;
    options.local = vec![Ipv4Addr::new(127, 0, 0, host).into()];
    options.udp_port = udp_port;
    options.peer_udp_port = udp_port;
}

/// It is a member when this returns.
pub(crate) async fn register(builder: Builder<Runtime, element::Config>) -> PoolElement {
    let (element, run) = builder.start().expect("the address is free");
    spawn(run);
    let registered = within_patience(element.register()).await;
    assert_eq!(registered, Ok(()));
    element
}

/// An element whose endpoint can be dropped, without a word to anybody.
struct Mortal {
    element: PoolElement,
    crash: oneshot::Sender<()>,
    gone: oneshot::Receiver<()>,
}

impl Mortal {
    pub(crate) async fn register(builder: Builder<Runtime, element::Config>) -> Self {
        let (element, run) = builder.start().expect("the address is free");
        let (crash, crashed) = oneshot::channel();
        let (end, gone) = oneshot::channel();
        spawn(async move {
            let crashed = async {
                if crashed.await.is_err() {
                    core::future::pending::<()>().await;
                }
            };
            or(run, crashed).await;
            // Who waits for it may have gone.
            let _ = end.send(());
        });
        let registered = within_patience(element.register()).await;
        assert_eq!(registered, Ok(()));
        Self {
            element,
            crash,
            gone,
        }
    }

    async fn crash(self) {
        self.crash.send(()).expect("it runs");
        self.gone.await.expect("it ends");
    }
}

pub(crate) fn start(builder: Builder<Runtime, user::Config>) -> PoolUser {
    let (user, run) = builder.start().expect("any port is free");
    spawn(run);
    user
}

async fn connect(user: &PoolUser) -> Session {
    within_patience(user.connect(POOL))
        .await
        .expect("there is an element")
}

/// The two ends of a session; the user has sent "hello", and the element read it.
async fn pair(element: &PoolElement, user: &PoolUser) -> (Session, ElementSession) {
    let session = connect(user).await;
    session.send("hello").await.expect("it is up");
    let served = within_patience(element.accept()).await.expect("it runs");
    let hello = within_patience(served.recv()).await;
    assert_eq!(hello.expect("it is up").bytes, "hello");
    (session, served)
}

async fn echo(session: ElementSession) {
    while let Ok(message) = session.recv().await {
        if session.send(message).await.is_err() {
            return;
        }
    }
}

/// Polls the future once, as far as it gets, and drops it.
async fn touch<T>(future: impl Future<Output = T>) -> Option<T> {
    poll_once(pin!(future)).await
}
