//! The vectors of RFC 9018 appendix A, the bounds of §4.3, and what no cookie must do.

#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::vec::Vec;

use hickory_proto::op::Message;
use wire::answer::write_error;

use super::*;

const SECRET: Secret = 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf_u128.to_be_bytes();
const OTHER: Secret = 0xdd3b_df93_44b6_78b1_85a6_f5cb_60fc_a715_u128.to_be_bytes();
const NEW: Secret = 0x4455_36bc_d251_3298_075a_5d37_9663_c962_u128.to_be_bytes();
const CLIENT: &str = "198.51.100.100";
/// Wed Jun 5 10:53:05 UTC 2019.
const NOW: u32 = 1_559_731_985;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A query for the root's A record with a COOKIE option.
fn message(cookie: &[u8]) -> Vec<u8> {
    let mut message =
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\x01\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0".to_vec();
    let length = u16::try_from(cookie.len()).unwrap();
    message.extend((length + 4).to_be_bytes());
    message.extend([0, 10]);
    message.extend(length.to_be_bytes());
    message.extend(cookie);
    message
}

/// What comes of a COOKIE option: the standing, and the server cookie of the response.
fn check(secrets: Secrets, cookie: &[u8], client: &str, unix_secs: u32) -> (Standing, Vec<u8>) {
    let message = message(cookie);
    let mut query = Query::parse(&message).unwrap();
    let client = client.parse().unwrap();
    let standing = Cookies::new(secrets).check(&mut query, &message, client, unix_secs);
    assert_eq!(query.has_valid_cookie(), standing == Standing::Valid);
    let checked = query.edns.unwrap().checked_cookie.unwrap();
    (standing, checked.server.to_vec())
}

fn only(current: Secret) -> Secrets {
    Secrets {
        current,
        previous: None,
    }
}

#[test]
fn new_cookie_is_that_of_appendix_a_1() {
    let cookie = bytes("2464c4abcf10c957");
    let expected = bytes("010000005cf79f111f8130c3eee29480");
    assert_eq!(
        check(only(SECRET), &cookie, CLIENT, NOW),
        (Standing::ClientOnly, expected)
    );
}

#[test]
fn cookie_of_forty_minutes_is_renewed_as_in_appendix_a_2() {
    let cookie = bytes("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
    let expected = bytes("010000005cf7a871d4a564a1442aca77");
    assert_eq!(
        check(only(SECRET), &cookie, CLIENT, NOW + 2_400),
        (Standing::Valid, expected)
    );
}

#[test]
fn cookie_with_reserved_bits_is_renewed_without_as_in_appendix_a_3() {
    let cookie = bytes("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
    let expected = bytes("010000005cf7a9acf73a7810aca2381e");
    // The appendix renews it more than an hour later, so that it no longer counts.
    assert_eq!(
        check(only(SECRET), &cookie, "203.0.113.203", 0x5cf7_a9ac),
        (Standing::Invalid, expected)
    );
    let (standing, server) = check(only(SECRET), &cookie, "203.0.113.203", 0x5cf7_8f71);
    assert_eq!(standing, Standing::Valid);
    assert_eq!(server[..8], bytes("010000005cf78f71"));
}

#[test]
fn cookie_of_the_previous_secret_is_taken_and_replaced_as_in_appendix_a_4() {
    let client = "2001:db8:220:1:59de:d0f4:8769:82b8";
    let cookie = bytes("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
    let expected = bytes("010000005cf7c609a6bb79d16625507a");
    let rolled = Secrets {
        current: NEW,
        previous: Some(OTHER),
    };
    assert_eq!(
        check(rolled, &cookie, client, 0x5cf7_c609),
        (Standing::Valid, expected.clone())
    );
    assert_eq!(
        check(only(NEW), &cookie, client, 0x5cf7_c609),
        (Standing::Invalid, expected)
    );
}

#[test]
fn cookie_is_kept_for_half_an_hour_taken_for_an_hour_and_five_minutes_early() {
    let client_cookie = [7; 8];
    let (_, made) = check(only(SECRET), &client_cookie, CLIENT, NOW);
    let shown = [client_cookie.as_slice(), &made].concat();
    for (offset_secs, standing, is_kept) in [
        (0, Standing::Valid, true),
        (1_800, Standing::Valid, true),
        (1_801, Standing::Valid, false),
        (3_600, Standing::Valid, false),
        (3_601, Standing::Invalid, false),
        (-300, Standing::Valid, true),
        (-301, Standing::Invalid, false),
        (i32::MIN, Standing::Invalid, false),
    ] {
        let now = NOW.wrapping_add_signed(offset_secs);
        let (found, server) = check(only(SECRET), &shown, CLIENT, now);
        assert_eq!(
            (found, server == made),
            (standing, is_kept),
            "{offset_secs}"
        );
        if !is_kept {
            assert_eq!(server[4..8], now.to_be_bytes(), "{offset_secs}");
        }
    }
}

#[test]
fn time_may_wrap_between_making_and_showing() {
    let (_, made) = check(only(SECRET), &[7; 8], CLIENT, u32::MAX);
    let shown = [[7; 8].as_slice(), &made].concat();
    let (standing, server) = check(only(SECRET), &shown, CLIENT, 60);
    assert_eq!((standing, server), (Standing::Valid, made));
}

#[test]
fn cookie_holds_for_its_client_and_address_alone() {
    let (_, made) = check(only(SECRET), &[7; 8], CLIENT, NOW);
    let shown = [[7; 8].as_slice(), &made].concat();
    let standing = |cookie: &[u8], client: &str| check(only(SECRET), cookie, client, NOW).0;
    assert_eq!(standing(&shown, CLIENT), Standing::Valid);
    assert_eq!(standing(&shown, "::ffff:198.51.100.100"), Standing::Valid);
    assert_eq!(standing(&shown, "198.51.100.101"), Standing::Invalid);
    assert_eq!(standing(&shown, "2001:db8::1"), Standing::Invalid);
    for index in 0..shown.len() {
        let mut forged = shown.clone();
        forged[index] ^= 1;
        assert_eq!(standing(&forged, CLIENT), Standing::Invalid, "{index}");
    }
    for length in (8..16).chain(17..=32) {
        let mut other = shown.clone();
        other.resize(8 + length, 0);
        assert_eq!(standing(&other, CLIENT), Standing::Invalid, "{length}");
    }
}

#[test]
fn query_without_cookie_is_left_as_it_is() {
    for message in [
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01".as_slice(),
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\x01\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0",
    ] {
        let mut query = Query::parse(message).unwrap();
        let before = query.clone();
        let standing =
            Cookies::new(only(SECRET)).check(&mut query, message, CLIENT.parse().unwrap(), NOW);
        assert_eq!((standing, query), (Standing::Absent, before));
    }
}

#[test]
fn any_cookie_gets_a_response_that_hickory_reads_and_none_is_forged() {
    bolero::check!()
        .with_iterations(20_000)
        .with_type::<(Vec<u8>, [u8; 4], u32)>()
        .for_each(|(cookie, address, unix_secs)| {
            let message = message(cookie);
            let Ok(mut query) = Query::parse(&message) else {
                return;
            };
            let client = IpAddr::from(*address);
            let cookies = Cookies::new(only(SECRET));
            let standing = cookies.check(&mut query, &message, client, *unix_secs);
            assert_ne!(standing, Standing::Valid, "a forgery of 64 bits");
            let mut room = message.clone();
            room.resize(512, 0);
            let length = write_error(&mut room, message.len(), Some(&query), 23, None);
            let response = Message::from_vec(&room[..length]).unwrap();
            assert_eq!(u16::from(response.metadata.response_code), 23);
            let edns = response.edns.unwrap();
            let option = Vec::<u8>::try_from(edns.option(10.into()).unwrap()).unwrap();
            assert_eq!(option[..8], cookie[..8]);
            assert_eq!(option.len(), 24);

            let shown = self::message(&option);
            let mut again = Query::parse(&shown).unwrap();
            let standing = cookies.check(&mut again, &shown, client, *unix_secs);
            assert_eq!(standing, Standing::Valid);
        });
}

#[test]
fn secrets_stay_out_of_logs() {
    let cookies = Cookies::new(only([0xab; 16]));
    let text = std::format!("{cookies:?}");
    assert!(!text.contains("ab") && !text.contains("171"), "{text}");
}
