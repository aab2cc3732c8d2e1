//! One association of sctp-proto, reduced to reliable transfer.
//!
//! It is made established (both INITs "exchanged out of band"), sees DATA and SACK and nothing else,
//! and has an `Endpoint` to itself: a shared one routes by tags that peers choose and refuses two peers
//! that choose the same. Can be thinner when upstream lets an association be driven without `Endpoint`.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::net::SocketAddr;
use core::time::Duration;
use sctp_proto::{
    Association, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, StreamEvent, TransportConfig,
};
use std::time::Instant;

use super::init::Terms;
use super::ppid::{MAX_IN_PREFIX, OUT_PREFIX, Unwrapped, unwrap};
use crate::config::Config;
use crate::packet::{Header, PacketBuilder};

/// Bytes that sctp-proto does not count when it fills a packet: a DATA chunk header and padding.
const UNCOUNTED: usize = 20;

/// The engine of one association.
pub(crate) struct Engine {
    endpoint: Endpoint,
    association: Association,
    remote: SocketAddr,
    inward: Header,
    written: Vec<u16>,
    readable: VecDeque<u16>,
    max_message_size: usize,
    failed: bool,
}

impl Engine {
    /// An engine for an association both sides agreed on; `header` is that of packets to the peer.
    pub(crate) fn new(
        header: Header,
        remote: SocketAddr,
        local: &Terms,
        peer: &Terms,
        config: &Config,
    ) -> Option<Engine> {
        let transport = TransportConfig::default()
            .with_local_port(header.source_port)
            .with_remote_port(header.destination_port)
            .with_max_receive_buffer_size(saturated(config.max_receive_buffer))
            .with_max_receive_message_size(saturated(config.max_message_size + MAX_IN_PREFIX))
            .with_max_send_message_size(saturated(config.max_message_size + OUT_PREFIX))
            .with_max_num_inbound_streams(config.streams)
            .with_max_num_outbound_streams(config.streams)
            .with_max_data_retransmits(None)
            .with_rto_initial_ms(millis(config.rto_initial))
            .with_rto_min_ms(millis(config.rto_min))
            .with_rto_max_ms(millis(config.data_rto_max));
        let mut client = ClientConfig::new();
        client.transport = Arc::new(transport);
        let client = client.with_snap(local.init_chunk().into(), peer.init_chunk().into());
        let mut endpoint_config = EndpointConfig::new();
        // 28: common header and DATA chunk header, which sctp-proto adds again.
        endpoint_config.max_payload_size(saturated(config.mtu - UNCOUNTED - 28));
        let mut endpoint = Endpoint::new(Arc::new(endpoint_config), None);
        // The address is only looked at for a zero port.
        let (_, association) = endpoint.connect(client, remote).ok()?;
        let mut engine = Engine {
            endpoint,
            association,
            remote,
            inward: Header {
                source_port: header.destination_port,
                destination_port: header.source_port,
                tag: local.tag,
            },
            written: Vec::new(),
            readable: VecDeque::new(),
            max_message_size: config.max_message_size,
            failed: false,
        };
        engine.take_events();
        Some(engine)
    }

    /// A packet to fill for [`Engine::feed`].
    pub(crate) fn packet(&self, capacity: usize) -> PacketBuilder {
        PacketBuilder::with_capacity(self.inward, capacity)
    }

    /// Takes a packet of DATA and SACK chunks.
    pub(crate) fn feed(&mut self, now: Instant, packet: PacketBuilder) {
        if packet.is_empty() {
            return;
        }
        let bytes = Bytes::from(packet.finish());
        if let Some((_, DatagramEvent::AssociationEvent(event))) =
            self.endpoint.handle(now, self.remote, None, None, bytes)
        {
            self.association.handle_event(event);
        }
        self.take_events();
    }

    /// The next packets to put on the wire. Empty when there is nothing to send.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Bytes> {
        match self.association.poll_transmit(now).map(|t| t.payload) {
            Some(Payload::RawEncode(packets)) => packets,
            _ => Vec::new(),
        }
    }

    /// Queues a message, and gives it back with the PPID in front. None if the engine refuses, which it
    /// does only when it failed.
    pub(crate) fn write(&mut self, stream: u16, ppid: u32, message: &[u8]) -> Option<Bytes> {
        let mut bytes = BytesMut::with_capacity(OUT_PREFIX + message.len());
        bytes.extend_from_slice(&ppid.to_be_bytes());
        bytes.extend_from_slice(message);
        let bytes = bytes.freeze();
        if !self.written.contains(&stream) {
            self.written.push(stream);
        }
        // An error means that the peer opened the stream already.
        let _ = self
            .association
            .open_stream(stream, PayloadProtocolIdentifier::Binary);
        let written = self
            .association
            .stream(stream)
            .and_then(|mut s| s.write_sctp(&bytes, PayloadProtocolIdentifier::Binary));
        written.is_ok().then_some(bytes)
    }

    /// Bytes written and not yet acknowledged.
    pub(crate) fn buffered(&mut self) -> usize {
        let mut sum = 0;
        for stream in &self.written {
            let amount = self
                .association
                .stream(*stream)
                .and_then(|s| s.buffered_amount());
            sum += amount.unwrap_or(0);
        }
        sum
    }

    /// The next whole message and its stream.
    pub(crate) fn read(&mut self) -> Option<(u16, Unwrapped)> {
        while let Some(stream) = self.readable.front().copied() {
            let read = self
                .association
                .stream(stream)
                .and_then(|mut s| s.read_sctp());
            let Ok(Some(chunks)) = read else {
                self.readable.pop_front();
                continue;
            };
            let mut bytes = vec![0; chunks.len()];
            let complete = chunks.read(&mut bytes).is_ok();
            if let (true, Some(message)) = (complete, unwrap(&Bytes::from(bytes))) {
                // sctp-proto's own limit allows for what may stand in front.
                if message.bytes.len() > self.max_message_size {
                    self.failed = true;
                    return None;
                }
                return Some((stream, message));
            }
        }
        self.take_events();
        None
    }

    /// Whether [`Engine::read`] has something.
    pub(crate) fn is_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// Whether it gave up because the peer broke the protocol.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Repeats now what waits for its time-out: the peer's window has opened again.
    ///
    /// Gap in sctp-proto 0.10.8: DATA that a full receiver dropped fills the congestion window until
    /// T3-rtx ends, whose interval has doubled all the while. So its timers are let run at their own
    /// time; twice, for the first may be that of the delayed acknowledgement.
    pub(crate) fn expedite(&mut self) {
        for _ in 0..2 {
            if let Some(at) = self.association.poll_timeout() {
                self.association.handle_timeout(at);
            }
        }
        self.take_events();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
        self.take_events();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }

    fn take_events(&mut self) {
        while let Some(event) = self.association.poll() {
            match event {
                Event::Stream(StreamEvent::Readable { id }) if !self.readable.contains(&id) => {
                    self.readable.push_back(id);
                }
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => self.failed = true,
                _ => {}
            }
        }
        while self.association.accept_stream().is_some() {}
    }
}

fn saturated(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn millis(value: Duration) -> u64 {
    u64::try_from(value.as_millis()).unwrap_or(u64::MAX).max(1)
}
