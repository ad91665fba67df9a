//! Against a primary made of the same parts; `control/node/tests` has a real one.

use super::*;

const NOW: u64 = 1_800_000_000;

fn key(secret: &str) -> TsigKey {
    TsigKey::new(b"\x03Key\x07example\0", TsigAlgorithm::HmacSha256, secret).unwrap()
}

fn message(id: u16) -> Vec<u8> {
    let mut message = Vec::new();
    for field in [id, 0, 1, 0, 0, 0] {
        message.extend_from_slice(&field.to_be_bytes());
    }
    message.extend_from_slice(b"\x07example\0\0\xfc\0\x01");
    message
}

/// Signs messages of a response as a primary does: a signature behind each that `is_signed` names.
fn respond(key: &TsigKey, query_mac: &[u8], is_signed: &[bool], unix_secs: u64) -> Vec<Vec<u8>> {
    let times = Times {
        unix_secs,
        fudge_secs: FUDGE_SECS,
    };
    let (mut mac, mut pending, mut is_first) = (query_mac.to_vec(), Vec::new(), true);
    let sign = |&signs: &bool| {
        let mut out = message(7);
        pending.extend_from_slice(&out);
        if !signs {
            return out;
        }
        let mut signed = u16::try_from(mac.len()).unwrap().to_be_bytes().to_vec();
        signed.extend_from_slice(&mac);
        signed.append(&mut pending);
        if is_first {
            signed.extend(key.variables(&times, 0, &[]));
        } else {
            times.write(&mut signed);
        }
        is_first = false;
        mac = hmac::sign(&key.hmac(), &signed).as_ref().to_vec();
        append(&mut out, key, &times, &mac);
        out
    };
    is_signed.iter().map(sign).collect()
}

fn check(key: &TsigKey, by: &TsigKey, is_signed: &[bool], at: u64) -> Result<(), TsigError> {
    let mut query = message(7);
    let mut session = TsigSession::sign(key, &mut query, NOW);
    let own_mac = session.mac.clone();
    for message in respond(by, &own_mac, is_signed, at) {
        session.check(&message, NOW)?;
    }
    session.finish()
}

#[test]
fn signatures_hold_over_all_messages_and_must_come_first_last_and_often() {
    let key = key("c2VjcmV0");
    assert_eq!(check(&key, &key, &[true], NOW - 300), Ok(()));
    assert_eq!(
        check(&key, &key, &[true, true, false, false, true], NOW),
        Ok(())
    );
    let unsigned = Err(TsigError::Unsigned { rcode: 0 });
    assert_eq!(check(&key, &key, &[false, true], NOW), unsigned);
    assert_eq!(check(&key, &key, &[true, false], NOW), unsigned);
    let mut rare = vec![false; UNSIGNED_MAX + 2];
    rare[0] = true;
    rare.push(true);
    assert_eq!(check(&key, &key, &rare, NOW), unsigned);
    rare.remove(1);
    assert_eq!(check(&key, &key, &rare, NOW), Ok(()));
    let late = Err(TsigError::Time { differ_secs: 301 });
    assert_eq!(check(&key, &key, &[true], NOW + 301), late);
}

#[test]
fn other_secrets_keys_and_changed_messages_are_refused() {
    let key = key("c2VjcmV0");
    let other = self::key("b3RoZXI=");
    assert_eq!(check(&key, &other, &[true], NOW), Err(TsigError::Bad));
    let name = b"\x05other\0";
    let renamed = TsigKey::new(name, TsigAlgorithm::HmacSha256, "c2VjcmV0").unwrap();
    assert_eq!(check(&key, &renamed, &[true], NOW), Err(TsigError::Key));
    let name = b"\x03key\x07example\0";
    let long = TsigKey::new(name, TsigAlgorithm::HmacSha512, "c2VjcmV0").unwrap();
    assert_eq!(check(&key, &long, &[true], NOW), Err(TsigError::Key));
    let mut query = message(7);
    let session = TsigSession::sign(&key, &mut query, NOW);
    let good = respond(&key, &session.mac, &[true], NOW).remove(0);
    for at in 0..good.len() {
        let mut query = message(7);
        let mut session = TsigSession::sign(&key, &mut query, NOW);
        let mut bad = good.clone();
        bad[at] ^= 1;
        // The id is replaced by the original one; class and TTL of the record are constants.
        let is_free = at < 2 || (40..46).contains(&at);
        assert_eq!(session.check(&bad, NOW).is_ok(), is_free, "byte {at}");
    }
}

#[test]
fn a_primary_that_knows_no_such_key_is_quoted() {
    let key = key("c2VjcmV0");
    let mut query = message(7);
    let mut session = TsigSession::sign(&key, &mut query, NOW);
    let times = Times {
        unix_secs: NOW,
        fudge_secs: FUDGE_SECS,
    };
    let mut refusal = message(7);
    append(&mut refusal, &key, &times, &[]);
    let error = refusal.len() - 3;
    refusal[error] = 17;
    let refused = Err(TsigError::Refused { code: 17 });
    assert_eq!(session.check(&refusal, NOW), refused);
    for secret in ["", "c2VjcmV", "c2Vj cmV0", "?"] {
        let key = TsigKey::new(b"\0", TsigAlgorithm::HmacSha256, secret);
        assert!(key.is_err(), "{secret}");
    }
    assert!(!format!("{:?}", self::key("c2VjcmV0")).contains("115"));
}

#[test]
fn no_message_makes_it_panic() {
    let key = key("c2VjcmV0");
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut query = message(7);
        let mut session = TsigSession::sign(&key, &mut query, NOW);
        let _ = session.check(bytes, NOW);
        // Behind a good beginning, too.
        let mut changed = respond(&key, &session.mac, &[true], NOW).remove(0);
        for (place, byte) in changed.iter_mut().rev().zip(bytes) {
            *place ^= byte;
        }
        let _ = session.check(&changed, NOW);
    });
}
