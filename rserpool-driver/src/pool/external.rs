//! A session that is not held by SCTP: the machine selects elements, reports and fails over, and the connections are made here.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Mutex;

use rserpool_core::user::{PoolUser as Machine, SessionId};
use rserpool_core::wire::Transport;
use rserpool_core::{End, Instant, PeId};

use super::session::{Session, SessionEvent};
use super::{Ended, lock};
use crate::Runtime;

/// A session, and the connection that it has by a socket `S`.
pub(super) struct External<S> {
    pub(super) session: Session,
    /// The element to connect to.
    selected: Option<(PeId, SocketAddr)>,
    pub(super) link: Option<Link<S>>,
    /// The end of the last connection, as long as the machine does not know of it.
    lost: Arc<Mutex<Option<Lost>>>,
}

pub(super) struct Link<S> {
    pub(super) socket: S,
    pub(super) element: PeId,
    /// Whether the element has said anything, and whether it has said that there is no more.
    pub(super) heard: bool,
    pub(super) ended: bool,
}

struct Lost {
    element: PeId,
    end: End,
    heard: bool,
}

/// Tells the machine of the end of a connection, unless that was done.
fn tell(user: &mut Machine, now: Instant, session: SessionId, lost: &Mutex<Option<Lost>>) {
    if let Some(lost) = lock(lost).take() {
        user.end_connection(now, session, lost.element, lost.end, lost.heard);
    }
}

impl<S> External<S> {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            selected: None,
            link: None,
            lost: Arc::default(),
        }
    }

    pub(super) fn element(&self) -> Option<PeId> {
        self.link.as_ref().map(|link| link.element)
    }

    pub(super) fn link(&mut self) -> io::Result<&mut Link<S>> {
        self.link
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Leaves the element, if there is one, for another one.
    pub(super) async fn leave(&mut self) -> Result<(), Ended> {
        if self.link.as_ref().is_some_and(|link| link.ended) {
            self.lose();
        }
        self.link = None;
        let (id, lost) = (self.session.id(), self.lost.clone());
        let leave = move |user: &mut Machine, now| {
            tell(user, now, id, &lost);
            user.fail_over(now, id);
        };
        self.session.call(leave).await
    }

    /// Connects to whatever element is selected, until one answers. A future that is dropped can be made anew.
    pub(super) async fn attach<R: Runtime, F>(
        &mut self,
        connect: impl Fn(SocketAddr) -> F,
    ) -> Result<(), Ended>
    where
        F: Future<Output = io::Result<S>>,
    {
        /// Before another attempt where this host had no means for one.
        const PAUSE: Duration = Duration::from_millis(100);
        let pause = || R::timer(std::time::Instant::now() + PAUSE);
        loop {
            let selected = self.selected;
            let attempt = async {
                match selected {
                    Some((element, remote)) => (element, persist(|| connect(remote), pause).await),
                    None => core::future::pending().await,
                }
            };
            let (element, result) = tokio::select! {
                event = self.session.next() => {
                    if let SessionEvent::Selected { element, transport } = event? {
                        let remote = remote(&transport.as_transport());
                        self.selected = remote.map(|remote| (element, remote));
                    }
                    continue;
                }
                attempt = attempt => attempt,
            };
            self.selected = None;
            match result {
                Ok(socket) if self.session.confirm_connection(element).await? => {
                    self.link = Some(Link {
                        socket,
                        element,
                        heard: false,
                        ended: false,
                    });
                    return Ok(());
                }
                // The machine has another one in mind.
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%element, %error, "cannot connect");
                    let end = End::Lost;
                    self.session.end_connection(element, end, false).await?;
                }
            }
        }
    }

    /// The connection is no more. It is lost, unless the element had said that there is no more.
    pub(super) fn lose(&mut self) {
        let Some(link) = self.link.take() else {
            return;
        };
        *lock(&self.lost) = Some(Lost {
            element: link.element,
            end: if link.ended { End::Closed } else { End::Lost },
            heard: link.heard,
        });
        let (id, lost) = (self.session.id(), self.lost.clone());
        self.session
            .leave_behind(move |user, now| tell(user, now, id, &lost));
    }
}

/// Connects. The element is not to blame where this host has no means to: then it is tried again, as long as the machine waits.
async fn persist<S, F, P>(connect: impl Fn() -> F, pause: impl Fn() -> P) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
    P: Future<Output = ()>,
{
    loop {
        match connect().await {
            Err(error) if is_shortage(&error) => {
                tracing::debug!(%error, "cannot try to connect");
                pause().await;
            }
            result => return result,
        }
    }
}

/// Whether this host lacks something: descriptors, memory, or ports.
fn is_shortage(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS) = error.raw_os_error() {
        return true;
    }
    matches!(
        error.kind(),
        io::ErrorKind::OutOfMemory | io::ErrorKind::AddrNotAvailable
    )
}

/// Where an element serves that has one address.
fn remote(transport: &Transport<'_>) -> Option<SocketAddr> {
    Some(SocketAddr::new(
        transport.addresses().next()?,
        transport.port()?,
    ))
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::future::ready;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn where_this_host_has_no_means_to_connect_it_tries_again() {
        #[cfg(unix)]
        let shortage = || io::Error::from_raw_os_error(libc::EMFILE);
        #[cfg(not(unix))]
        let shortage = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let (attempts, pauses) = (Cell::new(0), Cell::new(0));
        let connect = || {
            attempts.set(attempts.get() + 1);
            ready(match attempts.get() {
                1 | 2 => Err(shortage()),
                3 => Err(io::ErrorKind::AddrNotAvailable.into()),
                _ => Err::<(), _>(io::ErrorKind::ConnectionRefused.into()),
            })
        };
        let pause = || {
            pauses.set(pauses.get() + 1);
            ready(())
        };
        let mut context = Context::from_waker(Waker::noop());
        let attempt = pin!(persist(connect, pause));
        let Poll::Ready(Err(refused)) = attempt.poll(&mut context) else {
            panic!("the element has refused");
        };
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!((attempts.get(), pauses.get()), (4, 3));
    }
}
