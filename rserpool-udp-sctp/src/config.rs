//! What can be configured, what is counted.

use core::time::Duration;

/// Configuration of a [`Stack`](crate::Stack).
///
/// The defaults detect a silently dead peer within 4.5 seconds, idle or with data outstanding:
/// `heartbeat_interval` plus the time-outs of one heartbeat and `association_max_retransmissions`
/// repetitions.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Config {
    /// UDP port of peers, used to connect. 9899 (RFC 6951 §4.1).
    pub udp_port: u16,
    /// Longest message, sent or received, in bytes. A peer that sends a longer one is aborted.
    pub max_message_size: usize,
    /// Silence after which a heartbeat is sent. Not with RTO and jitter on top, unlike RFC 9260 §8.3.
    pub heartbeat_interval: Duration,
    /// Retransmission time-out before the first measurement.
    pub rto_initial: Duration,
    /// Lower bound of the time-out. Keep it above 200 ms, the delay of a peer's acknowledgement.
    pub rto_min: Duration,
    /// Upper bound of the time-out of INIT, COOKIE ECHO, SHUTDOWN and HEARTBEAT.
    pub rto_max: Duration,
    /// Upper bound of the time-out of DATA.
    pub data_rto_max: Duration,
    /// Unanswered repetitions of a heartbeat or SHUTDOWN before the peer counts as dead.
    pub association_max_retransmissions: u32,
    /// Repetitions of INIT and, separately, of COOKIE ECHO before `ConnectFailed`.
    pub max_init_retransmissions: u32,
    /// Associations at one time. Beyond it, incoming ones are aborted and `connect` fails.
    pub max_associations: usize,
    /// INITs of one source that are answered per `half_open_lifetime` without a COOKIE ECHO coming
    /// back. Guards third parties against reflection: nothing is stored for an INIT.
    pub max_half_open_per_source: u16,
    /// Window of `max_half_open_per_source`.
    pub half_open_lifetime: Duration,
    /// How long a state cookie is good (Valid.Cookie.Life).
    pub valid_cookie_life: Duration,
    /// Largest SCTP packet in bytes, so largest UDP payload.
    pub mtu: usize,
    /// Bytes per association that wait to be sent or acknowledged.
    pub max_send_buffer: usize,
    /// Bytes per association that wait for [`Stack::poll_event`](crate::Stack::poll_event); beyond it
    /// the peer has to wait. Short messages count 64 bytes more. At least four messages of the
    /// longest kind are granted.
    pub max_receive_buffer: usize,
    /// Streams per association in each direction.
    pub streams: u16,
    /// A graceful close that makes no progress for so long becomes an abort (T5-shutdown-guard).
    pub t5_shutdown_guard: Duration,
    /// Answers to out-of-the-blue packets per second, all sources together.
    pub out_of_the_blue_rate: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            udp_port: 9899,
            max_message_size: 65_536,
            heartbeat_interval: Duration::from_secs(1),
            rto_initial: Duration::from_millis(500),
            rto_min: Duration::from_millis(250),
            rto_max: Duration::from_millis(600),
            data_rto_max: Duration::from_secs(3),
            association_max_retransmissions: 5,
            max_init_retransmissions: 7,
            max_associations: 10_000,
            max_half_open_per_source: 256,
            half_open_lifetime: Duration::from_secs(3),
            valid_cookie_life: Duration::from_secs(60),
            mtu: 1_400,
            max_send_buffer: 4 * 1024 * 1024,
            max_receive_buffer: 512 * 1024,
            streams: 16,
            t5_shutdown_guard: Duration::from_secs(5),
            out_of_the_blue_rate: 100,
        }
    }
}

impl Config {
    /// Brings fields that would make the protocol fail into their working range.
    pub(crate) fn sanitized(mut self) -> Config {
        self.mtu = self.mtu.clamp(512, 65_000);
        self.max_message_size = self.max_message_size.clamp(1, 16 * 1024 * 1024);
        self.max_receive_buffer = self
            .max_receive_buffer
            .max(4 * self.max_message_size)
            .min(256 * 1024 * 1024);
        self.max_send_buffer = self.max_send_buffer.max(self.max_message_size);
        self.streams = self.streams.max(1);
        for duration in [
            &mut self.heartbeat_interval,
            &mut self.rto_initial,
            &mut self.rto_min,
            &mut self.rto_max,
            &mut self.data_rto_max,
            &mut self.half_open_lifetime,
            &mut self.valid_cookie_life,
            &mut self.t5_shutdown_guard,
        ] {
            *duration = (*duration).min(Duration::from_secs(86_400));
        }
        self.rto_min = self.rto_min.max(Duration::from_millis(10));
        self.rto_max = self.rto_max.max(self.rto_min);
        self.rto_initial = self.rto_initial.clamp(self.rto_min, self.rto_max);
        self.data_rto_max = self.data_rto_max.max(self.rto_max);
        self.heartbeat_interval = self.heartbeat_interval.max(Duration::from_millis(10));
        self
    }
}

/// What was received and why something was not taken. Numbers since the start.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given to `handle_datagram`.
    pub received: u64,
    /// Dropped: no SCTP packet.
    pub malformed: u64,
    /// Dropped: wrong CRC32c.
    pub bad_checksum: u64,
    /// Dropped: known peer and ports, wrong verification tag.
    pub bad_tag: u64,
    /// Dropped: right verification tag, wrong ports or address.
    pub bad_port: u64,
    /// Packets that belong to no association.
    pub out_of_the_blue: u64,
    /// Answers given to those.
    pub out_of_the_blue_answered: u64,
    /// INITs answered with INIT ACK.
    pub inits_answered: u64,
    /// INITs refused: nobody listens, or invalid.
    pub inits_refused: u64,
    /// INITs dropped because the source has too many open ones.
    pub inits_over_limit: u64,
    /// COOKIE ECHO dropped: not ours, altered, or of no use in this state.
    pub bad_cookies: u64,
    /// COOKIE ECHO refused: too old.
    pub stale_cookies: u64,
    /// Associations refused because there are `max_associations`.
    pub over_limit: u64,
    /// Peers that restarted.
    pub restarts: u64,
    /// ERROR chunks of peers.
    pub errors: u64,
    /// Chunks of unknown types.
    pub unknown_chunks: u64,
    /// Chunks dropped because they are impossible: SACK of what was never sent, DATA far ahead.
    pub impossible_chunks: u64,
    /// Known chunks that have no meaning in the present state.
    pub unexpected_chunks: u64,
    /// Times a peer's UDP port changed.
    pub udp_port_changes: u64,
}
