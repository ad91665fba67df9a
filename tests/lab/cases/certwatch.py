"""Certificates that programs are shown: judged as they come, and what a bad one does to a connection."""

from __future__ import annotations

import re
import resource
import signal
import statistics
import time

from ..certificates import to_pem
from ..process import Process, cpu_seconds, wait_until
from ..run import Run
from ..runner import case, expect
from ..tls import PAGE_TEXT, PATIENCE_S, SERVER_V4, Bed, Client, Site

CURL_TIMED_OUT = 28
HOLD_MS = 700
# Bad certificates for the figure, each of them seen for the first time.
FIGURE_SITES = 20
# From the probe to the alert, nexus-control having judged: half of all at least are that quick.
ALERT_MS_MAX = 10.0
FIGURE_S, FIGURE_ROUNDS = 2, 3


def _alerts(process: Process) -> list[dict[str, str]]:
    """The lines about bad certificates, field by field."""
    lines = [line for line in process.log_text().splitlines() if " ERROR " in line and "bad certificate" in line]
    return [dict(re.findall(r'(\w+)="?([^" ]*)"?', line.split("bad certificate")[1])) for line in lines]


def _expect_page(client: Client) -> float:
    """The client got the page of a site; the seconds it took."""
    status, output, took_s = client.finish()
    expect(status == 0 and PAGE_TEXT in output, f"status {status}: {output[-300:]}")
    return took_s


def _expect_silence(client: Client) -> None:
    """The client got nothing until its time was over."""
    status, output, _ = client.finish()
    expect(status == CURL_TIMED_OUT and PAGE_TEXT not in output, f"status {status}: {output[-300:]}")


def _expect_alert(process: Process, site: Site, count: int = 1) -> dict[str, str]:
    def mine() -> list[dict[str, str]]:
        return [alert for alert in _alerts(process) if alert["fingerprint"] == site.fingerprint]

    wait_until(lambda: len(mine()) >= count, PATIENCE_S, f"{count} alerts about {site.name}")
    expect(len(mine()) == count, f"{len(mine())} alerts instead of {count}: {mine()}")
    return mine()[-1]


@case
def good_certificate_passes_and_is_judged_once(run: Run) -> str:
    """It is in the log, as control finds out by itself; later connections ask nobody."""
    with Bed.open(run) as bed:
        site = bed.add_site("good.example")
        bed.watch("block", without_verdict="closed")
        first_s = _expect_page(bed.curl(site))
        later_s = [_expect_page(bed.curl(site)) for _ in range(10)]
        judged = bed.judged()
        expect(judged == {"valid": 1, "invalid": 0, "unknown": 0}, f"judged {judged}")
        metrics = bed.metrics()
        expect(metrics['certificates_total{verdict="known"}'] == 10, metrics)
        expect(metrics['segments_total{action="blocked"}'] == 0, metrics)
        held = metrics['segments_total{action="held"}']
        return (
            f"curl: first sight {first_s * 1000:.0f} ms ({held} segments held), then "
            f"{statistics.median(later_s) * 1000:.0f} ms with a known verdict"
        )


@case
def bad_certificate_is_an_alert_in_time_and_nothing_else(run: Run) -> str:
    """In alert mode each of many certificates that no log has makes one line, with program and name, in time:
    whether control has to judge, has kept its verdict, or need not be asked."""
    with Bed.open(run) as bed:
        sites = [bed.add_site(f"bad{index}.example", is_logged=False) for index in range(FIGURE_SITES)]
        figures = []
        # nexus-certwatch forgets all verdicts when it ends, and control does not.
        for asked in ("control judges", "control has judged"):
            process = bed.watch("alert")
            for site in sites:
                _expect_page(bed.curl(site))
                alert = _expect_alert(process, site)
                expected = {"host": site.name, "comm": "curl", "action": "none", "reason": "no_scts"}
                expect(expected.items() <= alert.items(), f"{alert}")
            latencies_ms = sorted(int(alert["latency_us"]) / 1000 for alert in _alerts(process))
            median_ms = statistics.median(latencies_ms)
            expect(median_ms < ALERT_MS_MAX, f"{asked}: {latencies_ms} ms")
            figures.append(f"{asked}: median {median_ms:.2f} ms, most {latencies_ms[-1]:.2f} ms of {len(sites)}")
            _expect_page(bed.curl(sites[0]))
            known = int(_expect_alert(process, sites[0], 2)["latency_us"]) / 1000
            expect(process.stop() == 0, process.log_tail())
        judged = bed.judged()
        expect(judged == {"valid": 0, "invalid": 2 * FIGURE_SITES, "unknown": 0}, f"judged {judged}")
        figures.append(f"nobody is asked: {known:.2f} ms")
        return f"seen to alert: {'; '.join(figures)}"


@case
def bad_certificate_is_blocked_while_other_flows_live(run: Run) -> str:
    """curl gets no answer, at first sight and later; the request never comes to the server."""
    with Bed.open(run) as bed:
        good, bad = bed.add_site("good.example"), bed.add_site("bad.example", is_logged=False)
        process = bed.watch("block", hold_ms=10_000)
        blocked = bed.curl(bad)
        for _ in range(10):
            _expect_page(bed.curl(good))
        _expect_silence(blocked)
        expect(_expect_alert(process, bad)["action"] == "blocked", "not blocked")
        requests = (good.requests(), bad.requests())
        expect(requests == (10, 0), f"requests to the good and the bad server: {requests}")
        judged = bed.judged()
        bed.restart(bad)
        blocked = bed.spawn("openssl", "s_client", "-connect", f"{SERVER_V4}:{bad.port}", "-servername", bad.name)
        _expect_alert(process, bad, 2)
        expect(bed.judged() == judged, "a known certificate was judged again")
        blocked.popen.kill()
        blocked.popen.communicate()
        expect(bad.requests() == 0, "a request came to the bad server")
        dropped = bed.metrics()['segments_total{action="blocked"}']
        expect(dropped > 0, "nothing was dropped")
        return f"{dropped} segments dropped"


@case
def certificate_that_is_good_but_for_the_name_is_refused_for_that_name_alone(run: Run) -> None:
    """The next connection under another name is judged for itself."""
    with Bed.open(run) as bed:
        site = bed.add_site("good.example")
        process = bed.watch("block")
        # A program that does not look at the name itself.
        _expect_silence(bed.curl(site, "--insecure", name="other.example"))
        alert = _expect_alert(process, site)
        expect((alert["host"], alert["reason"]) == ("other.example", "host_mismatch:"), f"{alert}")
        bed.restart(site)
        _expect_page(bed.curl(site))


@case
def leaf_shown_in_a_bad_chain_blocks_that_connection_alone(run: Run) -> None:
    """Whoever shows another's certificate with something wrong behind it harms nobody else."""
    with Bed.open(run) as bed:
        site = bed.add_site("good.example")
        process = bed.watch("block", hold_ms=10_000, without_verdict="closed")
        # A precertificate is no certificate, wherever it stands.
        site.issuer = run.path("junk.pem")
        site.issuer.write_text(to_pem(bed.mesh.authority.issue("junk.example", is_precertificate=True)))
        bed.restart(site)
        _expect_silence(bed.curl(site))
        expect(_expect_alert(process, site)["reason"] == "poison:", "blocked for something else")
        site.issuer = bed.root
        bed.restart(site)
        _expect_page(bed.curl(site))
        judged = bed.judged()
        expect(judged == {"valid": 1, "invalid": 1, "unknown": 0}, f"judged {judged}")


@case
def trust_stores_make_no_events_outside_a_handshake_or_inside(run: Run) -> str:
    """openssl loads a store by itself, curl while it connects; only the server's chain is judged."""
    with Bed.open(run) as bed:
        site = bed.add_site("good.example")
        store = bed.root.read_text() * 500
        run.path("store.pem").write_text(store)
        bed.watch("alert")
        verify = bed.spawn("openssl", "verify", "-CAfile", str(run.path("store.pem")), str(run.path("good.example.pem")))
        expect(verify.finish()[0] == 0, "openssl verify failed")
        metrics = bed.metrics()
        outside = metrics['ignored_certificates_total{reason="outside"}']
        expect(outside >= 500, metrics)
        expect(sum(bed.judged().values()) == 0, f"judged {bed.judged()}")
        _expect_page(bed.curl(site, "--cacert", str(run.path("store.pem"))))
        wait_until(lambda: bed.judged()["valid"], PATIENCE_S, "control is asked")
        metrics = bed.metrics()
        own = metrics['ignored_certificates_total{reason="own"}']
        seen = metrics['certificates_total{verdict="asked"}']
        expect((seen, sum(bed.judged().values())) == (2, 1), metrics)
        return f"{outside} parsed outside, {own} of a store inside a handshake, {seen} of the server"


@case
def libraries_of_the_system_are_found(run: Run) -> None:
    """With `auto`, and without the right to look at programs of others."""
    with Bed.open(run) as bed:
        site = bed.add_site("bad.example", is_logged=False)
        process = bed.watch_found("alert")
        expect(bed.metrics()["libraries"] == 2, process.log_text())
        _expect_page(bed.curl(site))
        expect(_expect_alert(process, site)["comm"] == "curl", "not seen by a probe")


@case
def certificate_on_the_wire_is_judged_without_probes(run: Run) -> str:
    """TLS 1.2 with libraries that nobody watches: the bad one is blocked, the good one passes."""
    with Bed.open(run) as bed:
        good, bad = bed.add_site("good.example"), bed.add_site("bad.example", is_logged=False)
        process = bed.watch("block", hold_ms=10_000, without_verdict="closed")
        old = ("--tls-max", "1.2")
        _expect_silence(bed.curl(bad, *old, watched=False))
        alert = _expect_alert(process, bad)
        expect("comm" not in alert and alert["action"] == "blocked", f"{alert}")
        first_s = _expect_page(bed.curl(good, *old, watched=False))
        _expect_page(bed.curl(good, *old))
        later_s = _expect_page(bed.curl(good, *old, watched=False))
        # One connection that both have seen is one alert.
        bed.restart(bad)
        _expect_silence(bed.curl(bad, *old))
        cookie = _expect_alert(process, bad, 2)["socket_cookie"]
        named = [line for line in process.log_text().splitlines() if f"socket_cookie={cookie} " in line]
        expect(any('comm="curl"' in line for line in named), f"{named}")
        bed.restart(bad)
        # TLS 1.3 hides the certificate: nothing is seen, and nothing held.
        _expect_page(bed.curl(bad, "--tlsv1.3", watched=False))
        return f"alert after {int(alert['latency_us']) / 1000:.2f} ms; good: {first_s * 1000:.0f}, later {later_s * 1000:.0f} ms"


@case
def silent_control_holds_a_flow_for_the_bound_and_then_it_fails_as_configured(run: Run) -> str:
    """It is stopped. Open: the page comes late. Closed: it does not come, and comes again when control goes on."""
    with Bed.open(run) as bed:
        site = bed.add_site("good.example")
        control = bed.mesh.node.control
        assert control is not None
        control.signal(signal.SIGSTOP)
        process = bed.watch("block", hold_ms=HOLD_MS)
        late_s = _expect_page(bed.curl(site))
        expect(late_s >= HOLD_MS / 1000, f"after {late_s:.3f} s")
        expect(process.stop() == 0, process.log_tail())
        process = bed.watch("block", hold_ms=HOLD_MS, without_verdict="closed")
        _expect_silence(bed.curl(site))
        control.signal(signal.SIGCONT)
        bed.restart(site)
        process.stop()
        process = bed.watch("block", hold_ms=HOLD_MS, without_verdict="closed")
        _expect_page(bed.curl(site))
        return f"the page came after {late_s * 1000:.0f} ms with a bound of {HOLD_MS}"


@case
def certwatch_that_dies_or_stops_lets_everything_go(run: Run) -> str:
    """SIGKILL detaches probes and gate; a stopped process holds no flow longer than the bound."""
    with Bed.open(run) as bed:
        bad, good = bed.add_site("bad.example", is_logged=False), bed.add_site("good.example")
        process = bed.watch("block", hold_ms=HOLD_MS)
        _expect_silence(bed.curl(bad))
        process.signal(signal.SIGSTOP)
        stopped_s = _expect_page(bed.curl(good))
        process.kill()
        bed.restart(bad)
        killed_s = _expect_page(bed.curl(bad))
        process = bed.watch("block", hold_ms=HOLD_MS)
        _expect_silence(bed.curl(bad))
        started = time.monotonic()
        expect(process.stop() == 0, process.log_tail())
        expect(time.monotonic() - started < PATIENCE_S, "it took too long to stop")
        bed.restart(bad)
        _expect_page(bed.curl(bad))
        return f"stopped: {stopped_s * 1000:.0f} ms, killed: {killed_s * 1000:.0f} ms"


def _handshakes(bed: Bed, site: Site, watched: bool) -> tuple[int, float]:
    """How many openssl makes one after the other, and its CPU time for each in microseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = bed.spawn(
        "openssl", "s_time", "-connect", f"{SERVER_V4}:{site.port}", "-new", "-time", str(FIGURE_S), watched=watched
    )  # fmt: skip
    status, output, _ = client.finish(FIGURE_S + PATIENCE_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    match = re.search(r"(\d+) connections in \d+ real seconds", output)
    expect(status == 0 and match, f"status {status}: {output[-300:]}")
    assert match is not None
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(match[1]), spent_s * 1e6 / int(match[1])


@case
def handshakes_with_a_known_certificate_are_all_seen_and_none_is_held(run: Run) -> str:
    """One after the other under `block`, beside libraries that nobody watches."""
    with Bed.open(run) as bed:
        site = bed.add_site("good.example")
        bed.watch("block", hold_ms=10_000, without_verdict="closed")
        _handshakes(bed, site, watched=True)
        before = bed.metrics()
        count, costs_us = 0, {True: [], False: []}
        for _ in range(FIGURE_ROUNDS):
            for watched, costs in costs_us.items():
                made, cost_us = _handshakes(bed, site, watched)
                costs.append(cost_us)
                count += made if watched else 0
        metrics = bed.metrics()
        known, held = (
            metrics[name] - before[name]
            for name in ('certificates_total{verdict="known"}', 'segments_total{action="held"}')
        )
        expect(known >= count and held == 0, f"{known} of {count} seen, {held} segments held")
        with_probes, without = (statistics.median(costs_us[watched]) for watched in (True, False))
        return f"the client's CPU time a handshake: {with_probes:.0f} µs watched, {without:.0f} µs not"


@case
def process_gives_up_privileges_and_sleeps_when_nothing_happens(run: Run) -> str:
    """User, capabilities and CPU time after the start."""
    with Bed.open(run) as bed:
        process = bed.watch("alert")
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{process.pid}/status") if ":\t" in line)
        kept = int(status["CapEff"], 16)
        # CAP_SYS_PTRACE, CAP_PERFMON, CAP_BPF.
        expect(kept == 1 << 19 | 1 << 38 | 1 << 39, f"{kept:x}")
        expect(status["Uid"].split()[0] != "0", status["Uid"])
        before = cpu_seconds(process.pid)
        time.sleep(2.0)
        spent = cpu_seconds(process.pid) - before
        expect(spent <= 0.05, f"{spent} s of CPU in 2 s")
        return f"{spent * 1000:.0f} ms of CPU in 2 s"
