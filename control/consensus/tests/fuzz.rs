//! Bytes of peers and of the disk: whatever they are, reading them ends with a value or an error, and
//! a value has one byte form.

use consensus::{Configuration, HistoryItem, Message, NodeId, Record, Wire};

/// A flipped or missing byte of something that was whole: more of it gets past the first checks than
/// of random bytes.
fn damage(whole: &[u8], noise: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for pair in noise.chunks_exact(3) {
        let [high, low, value] = *pair else { continue };
        let place = usize::from(u16::from_be_bytes([high, low]));
        match bytes.len().checked_sub(1) {
            Some(last) if value == 0 => bytes.truncate(place.min(last)),
            Some(last) => bytes[place % (last + 1)] ^= value,
            None => {}
        }
    }
    bytes
}

fn samples() -> Vec<Vec<u8>> {
    let samples = std::include_str!("messages.hex").lines();
    let byte =
        |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal");
    samples
        .map(|line| {
            (0..line.len())
                .step_by(2)
                .map(|at| byte(line, at))
                .collect()
        })
        .collect()
}

#[test]
fn a_message_is_refused_or_has_one_byte_form() {
    let samples = samples();
    bolero::check!().for_each(|noise: &[u8]| {
        let (choice, noise) = noise.split_first().unwrap_or((&0, &[]));
        let sample = &samples[usize::from(*choice) % samples.len()];
        for bytes in [damage(sample, noise), noise.to_vec()] {
            let Ok(message) = Message::decode(&bytes) else {
                continue;
            };
            let sender = NodeId(u64::from_be_bytes(bytes[9..17].try_into().unwrap()));
            assert_eq!(message.encode(sender), bytes);
        }
    });
}

#[test]
fn records_history_and_configurations_are_refused_or_have_one_byte_form() {
    fn check<T: Wire>(bytes: &[u8]) {
        if let Ok(value) = T::from_bytes(bytes) {
            assert_eq!(value.to_bytes(), bytes);
        }
    }
    bolero::check!().for_each(|bytes: &[u8]| {
        check::<Record>(bytes);
        check::<HistoryItem>(bytes);
        check::<Configuration>(bytes);
    });
}
