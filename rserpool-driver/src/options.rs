//! Where a machine's endpoint sits.

use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::io;

use rserpool_core::{ASAP_PORT, Dialect, ENRP_PORT};

use crate::{Bound, Runtime};

/// The UDP port of SCTP over UDP (RFC 6951 §5.1).
const SCTP_OVER_UDP_PORT: u16 = 9899;

/// What carries SCTP. All who talk to each other need the same.
///
/// ```
/// use rserpool_tokio::{Options, TransportKind};
///
/// let mut options = Options::user();
/// assert_eq!(options.transport, TransportKind::Auto);
/// options.transport = TransportKind::Udp;
/// assert_eq!(options.transport.to_string(), "SCTP over UDP");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// The Linux kernel.
    Kernel,
    /// UDP, with SCTP in this process (RFC 6951).
    Udp,
    /// The kernel where it has SCTP, else UDP.
    Auto,
}

impl core::fmt::Display for TransportKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel SCTP",
            Self::Udp => "SCTP over UDP",
            Self::Auto => "kernel SCTP or SCTP over UDP",
        })
    }
}

/// Where an endpoint sits.
///
/// ```
/// use core::time::Duration;
/// use rserpool_tokio::Options;
///
/// // A registrar with two networks, whose peers do not wait for its farewell.
/// let mut options = Options::registrar();
/// options.local = vec!["192.0.2.1".parse()?, "198.51.100.1".parse()?];
/// options.closing_timeout = Duration::from_millis(500);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options<R: Runtime> {
    /// What carries SCTP.
    pub transport: TransportKind,
    /// The local addresses, the preferred one first; SCTP over UDP has one. None takes the first loopback address from
    /// `first_loopback` on whose port is free.
    pub local: Vec<IpAddr>,
    /// The first address to try where `local` is empty: 127.0.0.1 for registrars, 127.0.0.2 for others.
    pub first_loopback: Ipv4Addr,
    /// With SCTP over UDP, the local UDP port: 9899 for those who are called, 0 (any) for users.
    pub udp_port: u16,
    /// With SCTP over UDP, the peers' UDP port (9899). No RSerPool parameter can carry it, so that it is one for the whole scope.
    pub peer_udp_port: u16,
    /// The SCTP port to be called at, and to call from. `None`: the endpoint is not called, and each of its associations has a
    /// port of its own, with kernel SCTP all of them a free one.
    pub sctp_port: Option<u16>,
    /// A registrar's SCTP port for ENRP, to be called at by its peers and to call them from; `None` where it has no peers.
    pub enrp_port: Option<u16>,
    /// A registrar's TCP port for ASAP, at each of the local addresses; only users come there (RFC 5352 §2.1). `None` (the default):
    /// they have to use SCTP, which is enough (§3.3). Users find the port by their configuration, or where it is the one of SCTP.
    pub asap_tcp_port: Option<u16>,
    /// Whether a user reaches its registrars over TCP (no). Elements are reached by their pool's transport all the same. Not for an
    /// element: all that it says to a registrar MUST use SCTP (RFC 5352 §2.1).
    pub registrar_over_tcp: bool,
    /// Whether to take part in multicast announcements, and in which dialect's groups: ASAP's, and ENRP's with an `enrp_port`.
    pub multicast: Option<Dialect>,
    /// How many events may wait for their reader; then peers have to wait with their messages until there is room (1,024).
    pub event_capacity: usize,
    /// How long the associations have to close in order when the endpoint ends (2 s); then they are left as they are.
    pub closing_timeout: Duration,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> Options<R> {
    fn new(udp_port: u16, sctp_port: Option<u16>) -> Self {
        Self {
            transport: TransportKind::Auto,
            local: Vec::new(),
            first_loopback: Ipv4Addr::new(127, 0, 0, 2),
            udp_port,
            peer_udp_port: SCTP_OVER_UDP_PORT,
            sctp_port,
            enrp_port: None,
            asap_tcp_port: None,
            registrar_over_tcp: false,
            multicast: None,
            event_capacity: 1024,
            closing_timeout: Duration::from_secs(2),
            runtime: PhantomData,
        }
    }

    /// A registrar's endpoint: the ports of ASAP, 3863, and of ENRP, 9901 (RFC 5352 §8.2, RFC 5353 §5.3).
    ///
    /// ```
    /// use rserpool_tokio::Options;
    ///
    /// let mut options = Options::registrar();
    /// assert_eq!((options.sctp_port, options.enrp_port), (Some(3863), Some(9901)));
    /// // It also serves users that have no SCTP.
    /// options.asap_tcp_port = Some(3863);
    /// ```
    pub fn registrar() -> Self {
        Self {
            first_loopback: Ipv4Addr::LOCALHOST,
            enrp_port: Some(ENRP_PORT),
            ..Self::new(SCTP_OVER_UDP_PORT, Some(ASAP_PORT))
        }
    }

    /// A pool element's endpoint. At `sctp_port` it serves its users, and a registrar that takes over calls it.
    ///
    /// ```
    /// use core::net::Ipv4Addr;
    /// use rserpool_tokio::Options;
    ///
    /// let options = Options::element(4000);
    /// assert_eq!(options.sctp_port, Some(4000));
    /// assert_eq!(options.udp_port, 9899);
    /// // The registrar of this host has 127.0.0.1.
    /// assert_eq!(options.first_loopback, Ipv4Addr::new(127, 0, 0, 2));
    /// ```
    pub fn element(sctp_port: u16) -> Self {
        Self::new(SCTP_OVER_UDP_PORT, Some(sctp_port))
    }

    /// A pool user's endpoint, which nobody calls.
    ///
    /// ```
    /// use rserpool_tokio::Options;
    ///
    /// let mut options = Options::user();
    /// assert_eq!((options.sctp_port, options.udp_port), (None, 0));
    /// // Where nothing but TCP gets through to the registrars.
    /// options.registrar_over_tcp = true;
    /// ```
    pub fn user() -> Self {
        Self::new(0, None)
    }

    /// Binds the endpoint, before its machine is made. With tokio, it must be called within the runtime.
    ///
    /// Fails with [`AddrInUse`](io::ErrorKind::AddrInUse) where a port is taken at the addresses in `local`, or at every loopback
    /// address, with [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) where one of `local` is not this host's, and with
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the kernel shall have SCTP and has none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use rserpool_tokio::Options;
    ///
    /// let first = Options::element(4000).bind()?;
    /// let mut options = Options::element(4000);
    /// options.local = first.addresses();
    /// let error = options.bind().err().expect("the first one is there");
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok(()) }
    /// ```
    pub fn bind(&self) -> io::Result<Bound<R>> {
        Bound::new(self)
    }

    /// The local addresses to try, in order.
    pub(crate) fn candidates(&self) -> Vec<Vec<IpAddr>> {
        if !self.local.is_empty() {
            return vec![self.local.clone()];
        }
        let [a, b, c, first] = self.first_loopback.octets();
        (first..=254)
            .map(|host| vec![Ipv4Addr::new(a, b, c, host).into()])
            .collect()
    }
}
