//! `view:` and `access-control-view`.

use config::{Networks, View};

use super::access::{self, Prefix};
use super::local::{self, Local, Place};
use super::mapper::Mapper;
use super::report::Verdict;
use super::source::{Clause, Setting};
use super::table;

impl Mapper {
    /// Takes over all views; `global` is what `server:` says. Who is in one may ask: their networks
    /// are returned.
    pub(super) fn take_views(&mut self, clauses: &[Clause], global: &Local) -> Vec<Prefix> {
        let views: Vec<_> = clauses
            .iter()
            .filter(|clause| clause.kind == "view")
            .collect();
        let settings = std::mem::take(&mut self.view_clients);
        let mut members: Vec<(Prefix, &str)> = Vec::new();
        for setting in &settings {
            let name = setting.values.get(1).map_or("", String::as_str);
            let is_known = views.iter().any(|view| view.last("name") == Some(name));
            let verdict = match setting.value().parse::<Prefix>() {
                Err(why) => Verdict::lost(why),
                Ok(_) if !is_known => Verdict::lost("no view of that name"),
                Ok(prefix) if prefix.is_mapped() => {
                    Verdict::default("mapped addresses count as IPv4")
                }
                Ok(prefix) => {
                    members.push((prefix, name));
                    Verdict::taken("resolver.views")
                }
            };
            self.report.add(setting, verdict);
        }
        members.reverse(); // Of two views for one network the last counts.
        // A network with a rule of its own and no view is in none.
        let others: Vec<_> = self
            .access
            .iter()
            .filter_map(|setting| setting.value().parse::<Prefix>().ok())
            .collect();
        for clause in views {
            let own = clause.last("name").unwrap_or_default();
            let rules = members.iter().map(|(prefix, name)| (*prefix, *name == own));
            let rules = rules.chain(others.iter().map(|prefix| (*prefix, false)));
            let clients = access::networks_of_view(rules.collect());
            self.view(clause, clients, global);
        }
        members.into_iter().map(|(prefix, _)| prefix).collect()
    }

    fn view(&mut self, clause: &Clause, clients: Networks, global: &Local) {
        if clients.as_slice().is_empty() {
            return self.add_clause(clause, Verdict::default("no client is in it"));
        }
        self.add_clause(clause, Verdict::taken("resolver.views"));
        let (locals, others): (Vec<Setting>, Vec<Setting>) = clause
            .settings
            .iter()
            .cloned()
            .partition(|setting| local::is_local(&setting.option));
        let mut own = Local::take(&locals, Place::View, &mut self.report);
        let is_first = clause.last("view-first") == Some("yes");
        if is_first {
            own = own.before(global);
        }
        for setting in &others {
            if !["name", "view-first"].contains(&setting.option.as_str()) {
                self.report.add(setting, table::judge(setting));
            }
        }
        self.config.resolver.views.push(View {
            clients,
            local_data: Some(own.texts()),
            local_zones: Some(own.zones),
            // Lists are made of local zones, which are not for this view either.
            block_lists: (!is_first && !self.lists.is_empty()).then(Vec::new),
            ..View::default()
        });
    }
}
