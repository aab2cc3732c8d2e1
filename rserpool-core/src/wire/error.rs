//! What can be wrong with a peer's bytes, and what a peer is told about it (RFC 5354 §3.12).

use core::fmt;

use super::list::ListItem;
use super::param::Params;
use super::reader::{Span, Walk};
use super::writer::Writer;

/// A cause code of an Operation Error.
///
/// ```
/// use rserpool_core::wire::CauseCode;
///
/// assert_eq!(CauseCode::UNKNOWN_POOL_HANDLE.name(), "Unknown Pool Handle");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseCode(pub u16);

impl CauseCode {
    /// Unspecified error; no information.
    pub const UNSPECIFIED: Self = Self(0x0);
    /// Unrecognized parameter; the parameter.
    pub const UNRECOGNIZED_PARAMETER: Self = Self(0x1);
    /// Unrecognized message; the message.
    pub const UNRECOGNIZED_MESSAGE: Self = Self(0x2);
    /// Invalid values; the parameter with the invalid value.
    pub const INVALID_VALUES: Self = Self(0x3);
    /// Non-unique PE identifier; no information.
    pub const NON_UNIQUE_PE_ID: Self = Self(0x4);
    /// Inconsistent pooling policy; the pool's policy parameter.
    pub const INCONSISTENT_POLICY: Self = Self(0x5);
    /// Lack of resources; no information.
    pub const LACK_OF_RESOURCES: Self = Self(0x6);
    /// Inconsistent transport type; the pool's transport parameter.
    pub const INCONSISTENT_TRANSPORT: Self = Self(0x7);
    /// Inconsistent data/control configuration; no information.
    pub const INCONSISTENT_USE: Self = Self(0x8);
    /// Unknown pool handle; no information.
    pub const UNKNOWN_POOL_HANDLE: Self = Self(0x9);
    /// Rejected due to security considerations; no information.
    pub const SECURITY: Self = Self(0xa);

    /// Its name by RFC 5354 §3.12.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UNSPECIFIED => "Unspecified Error",
            Self::UNRECOGNIZED_PARAMETER => "Unrecognized Parameter",
            Self::UNRECOGNIZED_MESSAGE => "Unrecognized Message",
            Self::INVALID_VALUES => "Invalid Values",
            Self::NON_UNIQUE_PE_ID => "Non-unique PE Identifier",
            Self::INCONSISTENT_POLICY => "Inconsistent Pooling Policy",
            Self::LACK_OF_RESOURCES => "Lack of Resources",
            Self::INCONSISTENT_TRANSPORT => "Inconsistent Transport Type",
            Self::INCONSISTENT_USE => "Inconsistent Data/Control Configuration",
            Self::UNKNOWN_POOL_HANDLE => "Unknown Pool Handle",
            Self::SECURITY => "Rejected due to security considerations",
            _ => "Unassigned",
        }
    }
}

impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.name(), self.0)
    }
}

impl fmt::Debug for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One cause of an Operation Error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    /// What went wrong.
    pub code: CauseCode,
    /// Cause-specific information, by the code: nothing, a whole parameter or a whole message.
    pub info: &'a [u8],
}

impl<'a> ListItem<'a> for Cause<'a> {
    /// Causes have codes where parameters have types; the rule for unrecognized types is not for them.
    fn next<W: Walk>(params: &mut Params<'a>, _: &mut W) -> Result<Option<Self>, DecodeError> {
        Ok(params.step()?.map(|param| Self {
            code: CauseCode(param.kind),
            info: param.value,
        }))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.param(self.code.0, self.info);
    }
}

/// Why bytes are no message. It knows the cause code to answer with, and where in the bytes the fault is.
///
/// ```
/// use rserpool_core::wire::{CauseCode, asap};
///
/// // A handle resolution without a pool handle.
/// let error = asap::decode(&[0x05, 0, 0, 4]).expect_err("something is missing");
/// assert_eq!(error.cause(), Some(CauseCode::INVALID_VALUES));
/// println!("{error}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {}", self.span.offset)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    span: Span,
}

/// The kinds of [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Fewer than the four bytes of the common header.
    #[error("shorter than a message header")]
    ShortHeader,
    /// The message length is below 4 or beyond the received bytes.
    #[error("message length does not fit the received bytes")]
    MessageLength,
    /// A fixed field of the message lies beyond its end.
    #[error("message ends within its fixed fields")]
    Truncated,
    /// A parameter length is below 4 or beyond the end of what it stands in.
    #[error("parameter length does not fit")]
    ParameterLength,
    /// A parameter that this message, or the parameter around it, must not have here.
    #[error("parameter {0:#06x} does not belong here")]
    UnexpectedParameter(u16),
    /// A parameter stands twice where one is allowed.
    #[error("parameter {0:#06x} stands twice")]
    DuplicateParameter(u16),
    /// A mandatory parameter is missing. The fault is at the parameter that lacks it, or at the end of the message.
    #[error("parameter {0:#06x} is missing")]
    MissingParameter(u16),
    /// A parameter of a known type has a value that it cannot have.
    #[error("parameter {0:#06x} has an invalid value")]
    InvalidValue(u16),
    /// A fixed field of the message has a value that it cannot have.
    #[error("a fixed field has an invalid value")]
    InvalidField,
    /// A parameter of an unknown type whose upper bits forbid to go on (RFC 5354 §3).
    #[error("unrecognized parameter {kind:#06x}")]
    UnknownParameter {
        /// Its type.
        kind: u16,
        /// Whether the sender wants to hear of it.
        report: bool,
    },
    /// A message of an unknown type (RFC 5354 §4).
    #[error("unrecognized message type {kind:#04x}")]
    UnknownMessage {
        /// Its type.
        kind: u8,
        /// Whether the sender wants to hear of it.
        report: bool,
    },
}

impl DecodeError {
    pub(crate) const fn at(kind: DecodeErrorKind, offset: usize) -> Self {
        Self::span(kind, Span { offset, length: 0 })
    }

    pub(crate) const fn span(kind: DecodeErrorKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// The error with its place as an offset in `message`.
    #[cold]
    pub(crate) fn within(self, message: &[u8]) -> Self {
        let span = self.span.within(message);
        Self { span, ..self }
    }

    /// What is wrong.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// Offset of the fault in the bytes.
    pub const fn offset(&self) -> usize {
        self.span.offset
    }

    /// The cause code to answer with; `None` where the bytes are to be discarded in silence.
    pub const fn cause(&self) -> Option<CauseCode> {
        match self.kind {
            DecodeErrorKind::ShortHeader
            | DecodeErrorKind::UnknownParameter { report: false, .. }
            | DecodeErrorKind::UnknownMessage { report: false, .. } => None,
            DecodeErrorKind::UnknownParameter { .. } => Some(CauseCode::UNRECOGNIZED_PARAMETER),
            DecodeErrorKind::UnknownMessage { .. } => Some(CauseCode::UNRECOGNIZED_MESSAGE),
            _ => Some(CauseCode::INVALID_VALUES),
        }
    }

    /// The information for the cause: the offending parameter or message out of `bytes`, where it is whole and not longer
    /// than [`DecodeError::ECHO_CAP`]; else nothing, because a cut one would itself be malformed.
    pub fn offender<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let whole = !matches!(
            self.kind,
            DecodeErrorKind::ParameterLength | DecodeErrorKind::MessageLength
        );
        if whole && self.span.length <= Self::ECHO_CAP {
            self.span.of(bytes)
        } else {
            &[]
        }
    }

    /// The most bytes of an offender that an answer repeats.
    pub const ECHO_CAP: usize = 1024;
}

/// Why a message cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the message would be {length} bytes long, more than the 65535 that its length field can say"
)]
pub struct EncodeError {
    /// The length it would have.
    pub length: usize,
}
