//! Which keys of a configuration wait for the next start: all that changed, but what a reload takes in.

use config::Config;
use serde_json::Value;

/// Keys in which `fresh` differs from `running`, dotted: `resolver.allow`.
pub(crate) fn pending_keys(running: &Config, fresh: &Config) -> Vec<String> {
    let tree = |config: &Config| {
        let config = Config {
            tsig_keys: Vec::new(),
            zones: Vec::new(), // These are taken into service at once, as the policy is.
            resolver: without_policy(&config.resolver),
            ct: without_judging(&config.ct),
            ..config.clone()
        };
        serde_json::to_value(config).unwrap_or_default()
    };
    let mut keys = Vec::new();
    compare(&tree(running), &tree(fresh), "", &mut keys);
    keys
}

/// Of the policy only the clients of views wait: the dataplane reads them at its start.
fn without_policy(from: &config::Resolver) -> config::Resolver {
    let none = config::Resolver::default();
    let clients = |view: &config::View| config::View {
        clients: view.clients.clone(),
        ..config::View::default()
    };
    config::Resolver {
        local_data: none.local_data,
        local_zones: none.local_zones,
        special_names: none.special_names,
        special_names_except: none.special_names_except,
        block_lists: none.block_lists,
        allow_names: none.allow_names,
        rpz: none.rpz,
        dns64: none.dns64,
        rebinding: none.rebinding,
        any: none.any,
        views: from.views.iter().map(clients).collect(),
        ..from.clone()
    }
}

/// By what certificates are judged is taken into service at once.
fn without_judging(from: &config::Ct) -> config::Ct {
    let none = config::Ct::default();
    config::Ct {
        trust_anchors: none.trust_anchors,
        private_anchors: none.private_anchors,
        log_list: none.log_list,
        revocation: none.revocation,
        ..from.clone()
    }
}

/// Both have the same keys at each level: those of [`Config`].
fn compare(running: &Value, fresh: &Value, key: &str, keys: &mut Vec<String>) {
    match (running, fresh) {
        (Value::Object(running), Value::Object(fresh)) => {
            for (name, value) in running {
                let key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                compare(value, fresh.get(name).unwrap_or(&Value::Null), &key, keys);
            }
        }
        _ if running != fresh => keys.push(key.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_key_that_changed_is_named_and_zones_are_not() {
        let parse = |text: &str| Config::parse(text, Path::new("nexus.yaml")).unwrap();
        let running = parse("{}");
        let fresh = parse(
            "resolver: {allow: [any], tcp: {idle_ms: 500}, identity: x}\n\
             dataplane: {mode: socket}\n\
             ct: {refresh_secs: 7, log_list: y, revocation: {fetch: false}}\n\
             zones: [{name: example.com., file: x}]\n",
        );
        let expected = [
            "ct.refresh_secs",
            "dataplane.mode",
            "resolver.allow",
            "resolver.identity",
            "resolver.tcp.idle_ms",
        ];
        let mut keys = pending_keys(&running, &fresh);
        keys.sort();
        assert_eq!(keys, expected);
        assert!(pending_keys(&fresh, &fresh.clone()).is_empty());
        let policy = parse("resolver: {any: full, views: [{clients: [any], any: full}]}");
        assert_eq!(pending_keys(&running, &policy), ["resolver.views"]);
        let other = parse("resolver: {views: [{clients: [any], local_data: []}]}");
        assert!(pending_keys(&policy, &other).is_empty());
    }
}
