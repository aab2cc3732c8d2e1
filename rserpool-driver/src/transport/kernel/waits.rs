//! Which sockets are ready, without a look at all of them for each one that is.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use std::io;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::{Interest, Watched};

/// A socket by its index, and what it is ready for.
type Ready = (usize, Interest, io::Result<()>);

/// The sockets that are waited for.
#[derive(Default)]
pub(super) struct Waits {
    futures: FuturesUnordered<Pin<Box<dyn Future<Output = Ready> + Send>>>,
    /// What has come, and is not looked at yet.
    readable: Vec<usize>,
    writable: Vec<usize>,
}

impl Waits {
    /// Waits for that once.
    pub(super) fn add<S: Watched>(&mut self, index: usize, socket: &Arc<S>, interest: Interest) {
        let socket = Arc::clone(socket);
        let ready = async move { (index, interest, socket.ready(interest).await) };
        self.futures.push(Box::pin(ready));
    }

    /// Waits until something can be done: without `room` for what comes, only sending can.
    pub(super) async fn ready(&mut self, room: bool) -> io::Result<()> {
        while self.writable.is_empty() && (self.readable.is_empty() || !room) {
            let Some((index, interest, result)) = self.futures.next().await else {
                return core::future::pending().await;
            };
            result?;
            match interest {
                Interest::Readable => self.readable.push(index),
                _ => self.writable.push(index),
            }
        }
        Ok(())
    }

    pub(super) fn take_readable(&mut self) -> Vec<usize> {
        core::mem::take(&mut self.readable)
    }

    pub(super) fn take_writable(&mut self) -> Vec<usize> {
        core::mem::take(&mut self.writable)
    }
}
