//! Notifications by hand, as the kernel lays them out.

use alloc::vec::Vec;

use super::*;

/// A notification with its header.
fn notification(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + body.len()).expect("it is short");
    let mut bytes = kind.to_ne_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(body);
    bytes
}

fn halves(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

fn words(values: &[i32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

/// Each one with what it must decode to.
fn all() -> Vec<(Vec<u8>, Notification)> {
    let association = AssociationId(7);
    let mut change = halves(&[0, 0, 16, 10]);
    change.extend(words(&[7]));
    let peer: SocketAddr = "192.0.2.1:3863".parse().expect("an address");
    let mut paddr = address::encode_storage(peer).to_vec();
    paddr.extend(words(&[1, 0, 7]));
    let mut remote = 6_u16.to_be_bytes().to_vec();
    remote.extend([0, 0]);
    remote.extend(words(&[7]));
    let mut failed = words(&[0]);
    failed.extend(halves(&[3, 3]));
    failed.extend(11_u32.to_be_bytes());
    failed.extend(words(&[9, 7, 7]));
    failed.extend(b"message");
    [
        (
            notification(0x8001, &change),
            Notification::AssociationChange {
                association,
                state: AssociationState::Up,
                error: 0,
                outbound_streams: 16,
                inbound_streams: 10,
            },
        ),
        (
            notification(0x8002, &paddr),
            Notification::PeerAddressChange {
                association,
                address: peer,
                state: AddressState::Unreachable,
            },
        ),
        (
            notification(0x8004, &remote),
            Notification::RemoteError {
                association,
                cause: 6,
            },
        ),
        (
            notification(0x800d, &failed),
            Notification::SendFailed {
                association,
                stream: 3,
                ppid: 11,
                context: 9,
                first: true,
                last: true,
                bytes: Bytes::from_static(b"message"),
            },
        ),
        (
            notification(0x8005, &words(&[7])),
            Notification::Shutdown { association },
        ),
        (
            notification(0x8006, &words(&[0, 7, 4, 0])),
            Notification::PartialDeliveryAborted {
                association,
                stream: Some(4),
            },
        ),
        (
            notification(0x8009, &words(&[7])),
            Notification::SenderDry { association },
        ),
        (
            notification(0x8fff, b"news"),
            Notification::Unknown { kind: 0x8fff },
        ),
    ]
    .into()
}

#[test]
fn every_type_is_decoded() {
    for (bytes, expected) in all() {
        assert_eq!(decode(&bytes), Some(expected));
    }
}

#[test]
fn what_is_cut_is_nothing() {
    for (bytes, expected) in all() {
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "{expected:?} cut to {cut}");
        }
    }
}

/// The length says that it ends earlier: fields beyond it are not read.
#[test]
fn a_length_that_is_too_short_hides_the_rest() {
    for (bytes, expected) in all() {
        for length in 0..bytes.len() {
            let mut bytes = bytes.clone();
            let short = u32::try_from(length).expect("it is short");
            bytes[4..8].copy_from_slice(&short.to_ne_bytes());
            let decoded = decode(&bytes);
            match &expected {
                Notification::SendFailed { .. } if length >= 32 => {
                    assert!(matches!(
                        decoded,
                        Some(Notification::SendFailed { bytes, .. }) if bytes.len() == length - 32
                    ));
                }
                // What an older kernel says.
                Notification::PartialDeliveryAborted { association, .. } if length >= 16 => {
                    let stream = (length >= 20).then_some(4);
                    let association = *association;
                    let old = Notification::PartialDeliveryAborted {
                        association,
                        stream,
                    };
                    assert_eq!(decoded, Some(old));
                }
                Notification::Unknown { .. } => assert_eq!(decoded, Some(expected.clone())),
                _ => assert_eq!(decoded, None, "{expected:?} with length {length}"),
            }
        }
    }
}

#[test]
fn values_without_a_meaning_are_refused() {
    let mut change = halves(&[5, 0, 1, 1]);
    change.extend(words(&[7]));
    assert_eq!(decode(&notification(0x8001, &change)), None);
    let mut paddr = address::encode_storage(([127, 0, 0, 1], 1).into()).to_vec();
    paddr.extend(words(&[7, 0, 7]));
    assert_eq!(decode(&notification(0x8002, &paddr)), None);
    assert_eq!(
        decode(&notification(0x8006, &words(&[1, 7, 4, 0]))),
        Some(Notification::Unknown { kind: 0x8006 })
    );
}
