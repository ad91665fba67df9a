//! A configuration as YAML: only what differs from the defaults.

use std::fmt::Write as _;

use config::Config;
use serde_json::Value;

/// The text of a configuration file, without what is the default anyway.
///
/// # Errors
/// When a value has no form in JSON.
pub(super) fn to_yaml(config: &Config) -> serde_json::Result<String> {
    let default = serde_json::to_value(Config::default())?;
    let mut text = String::new();
    if let Some(value) = without(serde_json::to_value(config)?, Some(&default)) {
        write_value(&mut text, &value, 0);
    }
    Ok(escape(&text))
}

/// JSON may have characters, all of them inside strings, that YAML must not have or takes for ends of
/// lines (YAML 1.2 §5.1, §5.4).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c)); // Strings take everything.
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// What of `value` differs; lists differ whole.
fn without(value: Value, default: Option<&Value>) -> Option<Value> {
    if Some(&value) == default {
        return None;
    }
    let Value::Object(members) = value else {
        return Some(shorten(value));
    };
    let members = members.into_iter().filter_map(|(key, value)| {
        let default = default.and_then(|default| default.get(&key));
        Some((key, without(value, default)?))
    });
    Some(Value::Object(members.collect()))
}

/// Without members that are null, which is what is left out.
fn shorten(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(shorten).collect(),
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            let members = members.map(|(key, value)| (key, shorten(value)));
            Value::Object(members.collect())
        }
        value => value,
    }
}

/// Maps in block style, one item of a list a line, and all else as JSON, which is YAML, too.
fn write_value(text: &mut String, value: &Value, indent: usize) {
    let Value::Object(members) = value else {
        return;
    };
    for (key, value) in members {
        let _ = write!(text, "{:indent$}{key}:", ""); // Strings take everything.
        match value {
            Value::Object(members) if !members.is_empty() => {
                text.push('\n');
                write_value(text, value, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                for item in items {
                    let _ = writeln!(text, "{:indent$}  - {item}", "");
                }
            }
            value => {
                let _ = writeln!(text, " {value}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new("nexus.yaml"))
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn defaults_are_left_out_and_everything_else_is_read_back() {
        assert_eq!(to_yaml(&Config::default()).unwrap(), "");
        let text = "\
node: {user: \"a b: #c\"}
dataplane: {interface: eth1, ports: {dns: 5353}, queues: [0, 1], cache_bytes: 1GiB}
resolver:
  listen: [127.0.0.1, '::1']
  allow: [10.0.0.0/8]
  forward: ['192.0.2.1', '[2001:db8::1]:54']
  negative_trust_anchors: [broken.example]
  validation_time: 1800000000
  cookies: {secret: '00112233445566778899001122334455'}
  identity: ''
zones:
- {name: example.com, file: \"a \\\"b\\\" \\n c\"}
";
        let config = parse(text);
        let written = to_yaml(&config).unwrap();
        assert_eq!(parse(&written), config, "{written}");
        assert!(!written.contains("table_bytes"), "{written}");
    }
}
