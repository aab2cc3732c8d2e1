//! The two dialects of RSerPool that are spoken, and all the points in which they differ.

use core::time::Duration;

use crate::ids::ServerId;

/// How long a registration is valid without a re-registration (RFC 5354 §3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// This long after the last registration.
    For(Duration),
    /// Until it is withdrawn.
    Forever,
}

/// A wire dialect. All registrars and elements of an operational scope speak the same one.
///
/// ```
/// use core::time::Duration;
/// use rserpool_core::{Dialect, Life};
///
/// let life = Life::For(Duration::from_secs(300));
/// assert_eq!(Dialect::Rfc.life_to_wire(life), 300);
/// assert_eq!(Dialect::Rsplib.life_to_wire(life), 300_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dialect {
    /// As RFC 5352–5356 say.
    #[default]
    Rfc,
    /// As the deployed reference implementation, rsplib, speaks.
    Rsplib,
}

impl Dialect {
    /// The Registration Life field for `life`. The RFC counts seconds and has -1 for "for ever"; rsplib counts
    /// milliseconds and knows no end. A life is rounded up, and longer than the field can say becomes the longest it can.
    pub fn life_to_wire(self, life: Life) -> i32 {
        match (self, life) {
            (_, Life::Forever) => -1,
            (Self::Rfc, Life::For(life)) => {
                let seconds = life
                    .as_secs()
                    .saturating_add((life.subsec_nanos() > 0).into());
                i32::try_from(seconds).unwrap_or(i32::MAX)
            }
            (Self::Rsplib, Life::For(life)) => {
                let millis = life.as_nanos().div_ceil(1_000_000);
                u32::try_from(millis).unwrap_or(u32::MAX - 1).cast_signed()
            }
        }
    }

    /// What a Registration Life field says. In the RFC's dialect every negative value other than -1 is no life at all:
    /// `None`.
    pub fn life_from_wire(self, field: i32) -> Option<Life> {
        match (self, field) {
            (_, -1) => Some(Life::Forever),
            (Self::Rfc, seconds) => {
                Some(Life::For(Duration::from_secs(u64::try_from(seconds).ok()?)))
            }
            (Self::Rsplib, millis) => Some(Life::For(Duration::from_millis(
                millis.cast_unsigned().into(),
            ))),
        }
    }

    /// Whether ASAP_ENDPOINT_KEEP_ALIVE carries the PE identifier. Without it a host with several elements cannot tell
    /// which one is meant; both dialects accept the message with and without.
    pub fn keep_alive_names_element(self) -> bool {
        self == Self::Rsplib
    }

    /// Whether the registrar `own` gives way to `other` where both want to take over the same target. By the RFC the higher
    /// identifier wins (RFC 5353 §3.5.1 2A), with the reference implementation the lower one.
    pub fn takeover_yields(self, own: ServerId, other: ServerId) -> bool {
        match self {
            Self::Rfc => own < other,
            Self::Rsplib => own > other,
        }
    }

    /// How long a page of the handle table may be, in bytes, and how many elements it may have. The reference implementation
    /// reads no longer ones.
    pub(crate) fn table_page(self) -> (usize, usize) {
        match self {
            Self::Rfc => (crate::wire::MAX_MESSAGE, 1024),
            Self::Rsplib => (1400, 128),
        }
    }

    /// Whether an announcement without a transport means the datagram's source port instead of the ASAP port 3863
    /// (RFC 5352 §3.6).
    pub fn announces_source_port(self) -> bool {
        self == Self::Rsplib
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_is_seconds_by_the_rfc_and_milliseconds_for_rsplib() {
        let life = Life::For(Duration::from_millis(90_500));
        assert_eq!(Dialect::Rfc.life_to_wire(life), 91);
        assert_eq!(Dialect::Rsplib.life_to_wire(life), 90_500);
        assert_eq!(Dialect::Rsplib.life_from_wire(90_500), Some(life));
        for dialect in [Dialect::Rfc, Dialect::Rsplib] {
            assert_eq!(dialect.life_to_wire(Life::Forever), -1);
            assert_eq!(dialect.life_from_wire(-1), Some(Life::Forever));
        }
        assert_eq!(Dialect::Rfc.life_from_wire(-2), None);
        assert_eq!(
            Dialect::Rfc.life_to_wire(Life::For(Duration::MAX)),
            i32::MAX
        );
        let long = Dialect::Rsplib.life_to_wire(Life::For(Duration::MAX));
        assert_ne!(Dialect::Rsplib.life_from_wire(long), Some(Life::Forever));
    }
}
