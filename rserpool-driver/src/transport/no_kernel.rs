//! Systems without the SCTP of Linux: there is no such transport.

use core::convert::Infallible;
use core::marker::PhantomData;
use core::net::{IpAddr, SocketAddr};
use std::io;

use rserpool_core::{AssocId, Ppid};

use super::{Arrival, Outgoing};
use crate::{Options, Runtime};

/// There is none.
pub(crate) struct Kernel<R>(Infallible, PhantomData<fn() -> R>);

impl<R: Runtime> Kernel<R> {
    pub(super) fn probe() -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "kernel SCTP is for Linux: use SCTP over UDP (--transport udp)",
        ))
    }

    pub(super) fn bind(_: &Options<R>, _: &[IpAddr]) -> io::Result<Self> {
        Self::probe().and(Err(io::ErrorKind::Unsupported.into()))
    }

    pub(super) fn addresses(&self) -> &[IpAddr] {
        match self.0 {}
    }

    pub(super) fn local(&self) -> SocketAddr {
        match self.0 {}
    }

    pub(super) fn connect(&mut self, _: Ppid, _: &[SocketAddr]) {
        match self.0 {}
    }

    pub(super) fn send(&mut self, _: AssocId, _: &Outgoing) -> bool {
        match self.0 {}
    }

    pub(super) fn is_full(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn is_full_for(&self, _: AssocId) -> bool {
        match self.0 {}
    }

    pub(super) fn relieved(&self) -> u64 {
        match self.0 {}
    }

    pub(super) fn close(&mut self, _: AssocId) {
        match self.0 {}
    }

    pub(super) fn abort(&mut self, _: AssocId) {
        match self.0 {}
    }

    pub(super) fn is_open(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn close_all(&mut self) {
        match self.0 {}
    }

    pub(super) fn poll_arrival(&mut self) -> Option<Arrival> {
        match self.0 {}
    }

    pub(super) fn flush(&mut self) {
        match self.0 {}
    }

    pub(super) async fn ready(&mut self, _: bool) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn receive(&mut self, _: bool) {
        match self.0 {}
    }
}
