//! The Pool Element and Server Information parameters (RFC 5354 §3.10, §3.11).

use alloc::vec::Vec;

use super::error::DecodeError;
use super::list::ListItem;
use super::param::{Param, Params, kind};
use super::policy::Policy;
use super::reader::Walk;
use super::transport::{SctpTransport, Transport};
use super::writer::{Writer, pair, write_to};
use crate::ids::{PeId, ServerId};

/// A pool element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolElement<'a> {
    /// Its identifier within the pool.
    pub id: PeId,
    /// Its home registrar; 0 while it has none.
    pub home_id: ServerId,
    /// The Registration Life field; what it means is a matter of the [dialect](crate::Dialect::life_from_wire).
    pub life: i32,
    /// Where it serves users.
    pub user_transport: Transport<'a>,
    /// The pool's policy and its values for it.
    pub policy: Policy<'a>,
    /// Where its registrar reaches it by ASAP. Elements leave it out, registrars fill it in.
    pub asap_transport: Option<SctpTransport<'a>>,
}

impl<'a> PoolElement<'a> {
    /// How many bytes it is in a message, with its padding.
    pub(crate) fn encoded_len(&self) -> usize {
        write_to(&mut [], |writer| self.write(writer))
    }

    /// Decodes the parameter. The first transport is the user's; a second one must be SCTP and is ASAP's.
    #[inline(always)]
    pub(crate) fn decode<W: Walk>(param: &Param<'a>, walk: &mut W) -> Result<Self, DecodeError> {
        let (fields, reader) = param.fixed::<12>()?;
        let &[id, home_id, life] = fields.as_chunks().0 else {
            return Err(param.invalid());
        };
        let mut element = Self {
            id: PeId(u32::from_be_bytes(id)),
            home_id: ServerId(u32::from_be_bytes(home_id)),
            life: i32::from_be_bytes(life),
            user_transport: Transport::Opaque(&[]),
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        let (mut has_transport, mut has_policy) = (false, false);
        let mut params = Params::of(reader);
        while let Some(inner) = params.step()? {
            if inner.kind == kind::POLICY {
                if !W::CHECKED && has_policy {
                    return Err(inner.duplicate());
                }
                element.policy = Policy::decode(&inner)?;
                has_policy = true;
                continue;
            }
            match Transport::decode(&inner, walk)? {
                None if W::CHECKED => {}
                None => inner.pass_over(walk)?,
                Some(transport) if !has_transport => {
                    element.user_transport = transport;
                    has_transport = true;
                }
                Some(_) if !W::CHECKED && element.asap_transport.is_some() => {
                    return Err(inner.duplicate());
                }
                Some(Transport::Sctp(sctp)) => element.asap_transport = Some(sctp),
                Some(_) => return Err(inner.invalid()),
            }
        }
        if !W::CHECKED && !has_transport {
            return Err(param.lacks(kind::SCTP_TRANSPORT));
        }
        if !W::CHECKED && !has_policy {
            return Err(param.lacks(kind::POLICY));
        }
        Ok(element)
    }

    /// The parameter's bytes, for the information of an error cause.
    pub fn to_param(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.encoded_len()];
        write_to(&mut bytes, |writer| self.write(writer));
        bytes
    }
}

impl<'a> ListItem<'a> for PoolElement<'a> {
    #[inline]
    fn next<W: Walk>(params: &mut Params<'a>, walk: &mut W) -> Result<Option<Self>, DecodeError> {
        // The message's own decoder has looked at what stands between the elements.
        while let Some(param) = params.step()? {
            if param.kind == kind::POOL_ELEMENT {
                return Self::decode(&param, walk).map(Some);
            }
        }
        Ok(None)
    }

    #[inline(always)]
    fn write(&self, writer: &mut Writer<'_>) {
        let life = self.life.cast_unsigned();
        let element = writer.open([pair(kind::POOL_ELEMENT, 0), self.id.0, self.home_id.0, life]);
        self.user_transport.write(writer);
        self.policy.write(writer);
        if let Some(sctp) = &self.asap_transport {
            sctp.write(writer);
        }
        writer.close_unpadded(element);
    }
}

/// What a registrar tells of itself or of a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerInformation<'a> {
    /// The registrar.
    pub id: ServerId,
    /// Where it speaks ENRP.
    pub transport: SctpTransport<'a>,
}

impl<'a> ServerInformation<'a> {
    /// Decodes the parameter, which has one transport, SCTP.
    pub(crate) fn decode<W: Walk>(param: &Param<'a>, walk: &mut W) -> Result<Self, DecodeError> {
        let (id, reader) = param.fixed()?;
        let mut params = Params::of(reader);
        let mut transport = None;
        while let Some(inner) = params.step()? {
            match Transport::decode(&inner, walk)? {
                None => inner.pass_over(walk)?,
                Some(Transport::Sctp(_)) if transport.is_some() => return Err(inner.duplicate()),
                Some(Transport::Sctp(sctp)) => transport = Some(sctp),
                Some(_) => return Err(inner.invalid()),
            }
        }
        Ok(Self {
            id: ServerId(u32::from_be_bytes(*id)),
            transport: transport.ok_or_else(|| param.lacks(kind::SCTP_TRANSPORT))?,
        })
    }
}

impl<'a> ListItem<'a> for ServerInformation<'a> {
    fn next<W: Walk>(params: &mut Params<'a>, walk: &mut W) -> Result<Option<Self>, DecodeError> {
        while let Some(param) = params.step()? {
            if param.kind == kind::SERVER_INFORMATION {
                return Self::decode(&param, walk).map(Some);
            }
        }
        Ok(None)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let server = writer.open([pair(kind::SERVER_INFORMATION, 0), self.id.0]);
        self.transport.write(writer);
        writer.close(server);
    }
}
