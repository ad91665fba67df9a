//! Trust anchors: all of them into one zone file.

use std::fmt::Write as _;
use std::path::Path;

use config::{Dnssec, Source};

use super::mapper::Mapper;
use super::report::Verdict;
use super::source::Setting;

/// States in which Unbound trusts a key that it follows (RFC 5011 §4.2): VALID and MISSING.
const TRUSTED_STATES: [&str; 2] = [";;state=2", ";;state=3"];

impl Mapper {
    /// Writes the trust anchors to `file` and names it in the configuration as `name`. Without any
    /// anchor Unbound checks no signature.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write_anchors(&mut self, file: &Path, name: &str) -> anyhow::Result<()> {
        let settings = std::mem::take(&mut self.anchors);
        if !self.validates {
            for setting in &settings {
                let verdict = Verdict::default("without the validator module it has no effect");
                self.report.add(setting, verdict);
            }
            return Ok(());
        }
        if settings.is_empty() {
            self.config.resolver.dnssec = Dnssec::Off;
            let note =
                "No trust anchor is given, so Unbound checks no signature: resolver.dnssec is off";
            self.report.notes.push(note.to_owned());
            return Ok(());
        }
        let mut text = String::new();
        let mut verdicts = Vec::new();
        for setting in &settings {
            let verdict = match self.records(setting) {
                Ok(records) => {
                    let _ = writeln!(text, "{records}"); // Strings take everything.
                    Verdict::taken("resolver.trust_anchors")
                }
                Err(why) => Verdict::lost(format!("{why}; the built-in anchors of the root stand")),
            };
            verdicts.push(verdict);
        }
        if !text.is_empty() {
            std::fs::write(file, &text)?;
            match node::anchors::read_anchor_file(file) {
                Ok(_) => {
                    self.config.resolver.trust_anchors = Source::File(name.into());
                    self.report.written.push(file.display().to_string());
                }
                Err(why) => {
                    std::fs::remove_file(file)?;
                    verdicts.fill(Verdict::lost(format!(
                        "{why}; the built-in anchors of the root stand"
                    )));
                }
            }
        }
        for (setting, verdict) in settings.iter().zip(verdicts) {
            self.report.add(setting, verdict);
        }
        Ok(())
    }

    fn records(&self, setting: &Setting) -> Result<String, String> {
        if setting.option == "trust-anchor" {
            return Ok(setting.value().to_owned());
        }
        let path = self.path(setting.value());
        node::anchors::read_anchor_file(&path)?;
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let is_trusted = |line: &&str| {
            !line.contains(";;state=") || TRUSTED_STATES.iter().any(|state| line.contains(state))
        };
        let lines: Vec<_> = text.lines().filter(is_trusted).collect();
        let has_record = lines
            .iter()
            .any(|line| !line.trim_start().starts_with(';') && !line.trim().is_empty());
        match has_record {
            true => Ok(lines.join("\n")),
            false => Err(format!("{}: no key in it is valid now", path.display())),
        }
    }
}
