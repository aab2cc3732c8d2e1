//! Events in words.

use rserpool_core::wire::{asap, enrp};
use rserpool_core::{Instant, Ppid};

use crate::NodeId;
use crate::kernel::{Delivery, Kernel};

pub(crate) fn delivery(at: Instant, to: NodeId, delivery: &Delivery, kernel: &Kernel) -> String {
    let from = |association| {
        kernel
            .ends
            .get(&(to, association))
            .map_or_else(|| "nobody".into(), |end| format!("{:?}", end.other.0))
    };
    match delivery {
        Delivery::Message {
            association,
            ppid,
            bytes,
            ..
        } => format!(
            "{at:?} {} -> {to:?} {association:?} {}",
            from(*association),
            message(*ppid, bytes)
        ),
        Delivery::Connected { association, .. } => {
            format!("{at:?} {} == {to:?} {association:?} up", from(*association))
        }
        Delivery::ConnectFailed { remote } => format!("{at:?} {to:?} cannot reach {remote}"),
        Delivery::Disconnected { association, end } => format!(
            "{at:?} {} =/= {to:?} {association:?} {end:?}",
            from(*association)
        ),
        Delivery::SendFailed {
            association,
            ppid,
            bytes,
            ..
        } => format!(
            "{at:?} {to:?} {association:?} could not send {}",
            message(*ppid, bytes)
        ),
        Delivery::Announcement {
            source,
            ppid,
            bytes,
        } => format!("{at:?} {source} ->> {to:?} {}", message(*ppid, bytes)),
    }
}

fn message(ppid: Ppid, bytes: &[u8]) -> String {
    match ppid {
        Ppid::ASAP => asap::decode(bytes).map_or_else(
            |error| format!("ASAP {error:?}"),
            |decoded| format!("{:?}", decoded.message),
        ),
        Ppid::ENRP => enrp::decode(bytes).map_or_else(
            |error| format!("ENRP {error:?}"),
            |decoded| {
                let enrp::Message { sender, body, .. } = decoded.message;
                format!("[{:08x}] {body:?}", sender.0)
            },
        ),
        _ => format!("{} bytes of the application", bytes.len()),
    }
}
