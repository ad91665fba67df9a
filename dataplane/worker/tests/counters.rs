//! A counter that nothing increments is a lie on a dashboard.

#[test]
fn every_shared_counter_has_a_writer_in_the_worker() {
    let tally = include_str!("../src/tally.rs");
    let batch = include_str!("../src/batch.rs");
    let replies = include_str!("../src/replies.rs");
    let worker = include_str!("../src/worker.rs");
    let gate = include_str!("../src/gate.rs");
    let samples = include_str!("../src/samples.rs");
    for counter in exchange::COUNTERS {
        let field = counter.field;
        let tallied = tally.contains(&format!("\n    {field};\n"));
        let counted = [tally, batch, gate, replies, samples, worker]
            .iter()
            .any(|source| {
                source.contains(&format!("tally.{field} +="))
                    || source.contains(&format!("self.{field} +="))
            });
        let set = worker.contains(&format!("counters.{field}.set("));
        assert!((tallied && counted) || set, "{field} ({})", counter.metric);
    }
}
