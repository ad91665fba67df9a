//! Tests of the server's side, held against the client's.

use super::*;
use crate::zone::{TsigAlgorithm, TsigSession};

const NOW: u64 = 1_900_000_000;

fn key(name: &[u8], algorithm: TsigAlgorithm, secret: &str) -> TsigKey {
    TsigKey::new(name, algorithm, secret).unwrap()
}

fn good(algorithm: TsigAlgorithm) -> TsigKey {
    key(b"\x03Key\x07example\0", algorithm, "c2VjcmV0")
}

fn message(id: u8) -> Vec<u8> {
    let mut message = vec![0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(b"\x07example\0\x00\xfc\x00\x01");
    message
}

fn keys(algorithm: TsigAlgorithm) -> TsigKeys {
    let other = key(b"\x05other\0", algorithm, "b3RoZXI=");
    [good(algorithm), other].into_iter().collect()
}

#[test]
fn what_a_key_has_signed_is_answered_message_for_message() {
    for algorithm in [
        TsigAlgorithm::HmacSha256,
        TsigAlgorithm::HmacSha384,
        TsigAlgorithm::HmacSha512,
    ] {
        let key = good(algorithm);
        let mut query = message(7);
        let mut session = TsigSession::sign(&key, &mut query, NOW);
        let signer = keys(algorithm).check(&query, NOW + 300).unwrap();
        let mut signer = signer.expect("it is signed");
        assert_eq!(signer.key_name(), b"\x03key\x07example\0");
        for index in 0..5 {
            if index == 3 {
                signer.leave_unsigned(&message(7));
                session.check(&message(7), NOW).unwrap();
                continue;
            }
            let mut response = message(7);
            let bytes = response.len() + signer.signature_bytes();
            signer.sign(&mut response, NOW);
            assert_eq!(response.len(), bytes);
            session.check(&response, NOW).unwrap();
        }
        session.finish().unwrap();
    }
}

#[test]
fn what_is_not_signed_is_nobodys() {
    let keys = keys(TsigAlgorithm::HmacSha256);
    assert!(keys.check(&message(7), NOW).unwrap().is_none());
}

/// The refusal of a request, its code in the record, and what its client makes of the response.
fn refused(
    key: &TsigKey,
    unix_secs: u64,
    change: impl FnOnce(&mut Vec<u8>),
) -> (u16, Result<(), TsigError>) {
    let mut query = message(7);
    let mut session = TsigSession::sign(key, &mut query, NOW);
    change(&mut query);
    let keys = keys(TsigAlgorithm::HmacSha256);
    let refusal = keys.check(&query, unix_secs).unwrap_err();
    let mut response = message(7);
    refusal.append(&mut response, unix_secs);
    (refusal.rcode(), session.check(&response, unix_secs))
}

#[test]
fn each_fault_has_its_code() {
    let own = good(TsigAlgorithm::HmacSha256);
    let told = |code| (rcode::NOTAUTH, Err(TsigError::Refused { code }));
    let unknown = key(b"\x04none\0", TsigAlgorithm::HmacSha256, "c2VjcmV0");
    assert_eq!(refused(&unknown, NOW, |_| {}), told(BADKEY));
    let algorithm = good(TsigAlgorithm::HmacSha512);
    assert_eq!(refused(&algorithm, NOW, |_| {}), told(BADKEY));
    let secret = key(
        b"\x03key\x07example\0",
        TsigAlgorithm::HmacSha256,
        "b3RoZXI=",
    );
    assert_eq!(refused(&secret, NOW, |_| {}), told(BADSIG));
    assert_eq!(refused(&own, NOW, |query| query[22] ^= 1), told(BADSIG));
    assert_eq!(refused(&own, NOW + 301, |_| {}), told(BADTIME));
    assert_eq!(refused(&own, NOW - 301, |_| {}), told(BADTIME));
    for (mac_bytes, expected) in [
        (31, told(BADTRUNC)),
        (16, told(BADTRUNC)),
        (15, (rcode::FORMERR, Err(TsigError::Unsigned { rcode: 0 }))),
        (0, (rcode::FORMERR, Err(TsigError::Unsigned { rcode: 0 }))),
    ] {
        let cut = |query: &mut Vec<u8>| {
            // The MAC ends 6 bytes before the end; its length stands before it, that of all data 23 bytes before that.
            let mac_start = query.len() - 6 - 32;
            query.drain(mac_start + mac_bytes..mac_start + 32);
            query[mac_start - 1] = u8::try_from(mac_bytes).unwrap();
            query[mac_start - 24] -= u8::try_from(32 - mac_bytes).unwrap();
        };
        assert_eq!(refused(&own, NOW, cut), expected, "{mac_bytes}");
    }
}

#[test]
fn the_time_of_the_server_is_signed() {
    let own = good(TsigAlgorithm::HmacSha256);
    let mut query = message(7);
    let session = TsigSession::sign(&own, &mut query, NOW);
    let keys = keys(TsigAlgorithm::HmacSha256);
    let refusal = keys.check(&query, NOW + 1_000).unwrap_err();
    let mut response = message(7);
    refusal.append(&mut response, NOW + 1_000);
    let found = find(&response).unwrap().unwrap();
    let [_, _, time @ ..] = (NOW + 1_000).to_be_bytes();
    assert_eq!((found.other, found.times.unix_secs), (&time[..], NOW));
    let mut signed = to_u16(32).to_be_bytes().to_vec();
    signed.extend_from_slice(find(&query).unwrap().unwrap().mac);
    strip(&response, &found, &mut signed).unwrap();
    signed.extend_from_slice(&own.variables(&found.times, BADTIME, &time));
    hmac::verify(&own.hmac(), &signed, found.mac).unwrap();
    drop(session);
}

#[test]
fn no_message_makes_it_panic() {
    let keys = keys(TsigAlgorithm::HmacSha256);
    let mut signed = message(7);
    TsigSession::sign(&good(TsigAlgorithm::HmacSha256), &mut signed, NOW);
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut changed = signed.clone();
        for (place, byte) in changed.iter_mut().rev().zip(bytes) {
            *place ^= byte;
        }
        for request in [bytes, &changed] {
            if let Err(refusal) = keys.check(request, NOW) {
                let mut response = message(7);
                refusal.append(&mut response, NOW);
                assert!(response.len() <= message(7).len() + TSIG_BYTES_MAX);
                assert!(find(&response).is_ok());
            }
        }
    });
}
