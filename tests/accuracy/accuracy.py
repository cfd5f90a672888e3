#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes every situation of the table, and says how much of it was recorded and how truly.

Exits with 1 when, on ebpf, anything was missing, anything was there that was not made, or an owner
called exact was wrong.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

from harness.build import TOP, Build  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.idl import Interface  # noqa: E402
from harness.namespace import Namespace  # noqa: E402
from harness.waiting import DeadlinePassed, wait_until  # noqa: E402

import cases  # noqa: E402
import document  # noqa: E402
import judge  # noqa: E402
import peers  # noqa: E402

# A packet that was dropped is sent again 200 ms later, and the connection ends then. What a tracing
# program was not called for comes with the recorder's look at what is open, after the activity.
RECORDED_WITHIN = {"ebpf": 10.0, "netlink": 1.0}
LOOK_EVERY = 0.25
BEGAN = time.monotonic()


def raw_events(d, netns, after_seq):
    """Every event of a namespace after a number, unchecked: there may be millions."""
    with d.client(deadline=60) as c:
        c.send("io.portwatch.History", {"filter": {"netns": netns}, "after_seq": after_seq}, more=True)
        continues = True
        while continues:
            reply = json.loads(c.receive_bytes())
            if "error" in reply:
                raise AssertionError(reply)
            continues = reply.get("continues", False)
            # Other namespaces' events are in the same record, and may push these out.
            if reply["parameters"]["oldest_seq"] > after_seq + 1:
                raise AssertionError("the history does not reach back to what was made")
            yield from reply["parameters"]["events"]


def last_seq(d):
    return d.status()["next_seq"] - 1


def record(case, stage, d):
    """Plays a case before a recorder; its Result."""
    mark = last_seq(d)
    made = case.play(stage)
    watch = made.swarm or judge.Items(made.items)

    def look():
        nonlocal mark
        for event in raw_events(d, made.netns, mark):
            watch.see(event)
            mark = event["seq"]
        return watch.judge()

    d.settle()
    result = look()
    at_once = result.recorded
    # Only reading from here on: what the recorder does when all is quiet must get its quiet.
    end = time.monotonic() + RECORDED_WITHIN[d.source]
    while not case.told and result.recorded < result.expected and time.monotonic() < end:
        time.sleep(LOOK_EVERY)
        result = look()
    result.late = result.recorded - at_once
    if stage.unit is None:
        result.unit = None
    result.looks = made.looks
    return result


class Run:
    """One pass through the cases: results by the case's name, or the reason why there is none."""

    def __init__(self, name):
        self.name = name
        self.results, self.skipped = {}, {}
        self.limits = ""

    def failures(self):
        return [name for name, r in self.results.items() if r.failed()]


class Unchecked(Interface):
    """The interface as it is answered: whether its forms are kept is asked in tests/integration."""

    def check_reply(self, method, parameters):
        pass


def open_daemon(build, ns, source, configuration="", state=None):
    with open(os.path.join(TOP, "wire", "io.portwatch.varlink")) as f:
        d = Daemon(build, Unchecked(f.read()), ns, source)
    if state:
        d.state = state
    if configuration:
        d.configure(configuration)
    return d.start()


def prepare(ns):
    ns.sysctl("net.ipv4.ip_local_port_range", "32768 60999")


def run_source(build, source, chosen, tell):
    run, ns = Run(source), Namespace()
    prepare(ns)
    d = open_daemon(build, ns, source, "[Recorder]\nHistorySize=128M\n")
    stage = cases.Stage(build, ns, recorder=d)
    try:
        for case in chosen:
            try:
                run.results[case.name] = record(case, stage, d)
            except cases.Unavailable as e:
                run.skipped[case.name] = str(e).splitlines()[0]
            tell(run, case)
        status = d.status()
        run.lost, run.limits = status["lost"], status["source_detail"]
        d.stop()
    finally:
        stage.close()
        d.discard()
        ns.close()
    return run


def run_peers(build, chosen, tell):
    run, ns = Run("peers"), Namespace()
    prepare(ns)
    tools = peers.start(ns)
    look_now = next((t for t in tools if isinstance(t, peers.Look)), None)
    stage = cases.Stage(build, ns, hook=look_now)
    run.tools = [t.name for t in tools]
    try:
        for case in chosen:
            try:
                made = case.play(stage)
                if peers.ends(made):
                    run.results[case.name] = {t.name: peers.judge(t.take(), made) for t in tools}
            except (cases.Unavailable, DeadlinePassed) as e:
                run.skipped[case.name] = str(e).splitlines()[0]
            tell(run, case)
    finally:
        stage.close()
        for t in tools:
            t.close()
        ns.close()
    return run


def run_million(build, connections, processes=200):
    """So many connections by 200 processes at once, on ebpf, in a history that holds them all."""
    each = -(-connections // processes)
    ns = Namespace()
    prepare(ns)
    ns.sysctl("net.ipv4.tcp_max_tw_buckets", 4096)
    state = tempfile.mkdtemp(prefix="portwatch-accuracy-", dir="/dev/shm")
    # Records of 128 bytes, four for a connection; and as many of others, who are not kept out.
    size = max(64, each * processes * 4 * 128 * 2 >> 20)
    d = open_daemon(build, ns, "ebpf", f"[Recorder]\nHistorySize={size}M\n", state)
    stage = cases.Stage(build, ns)
    case = cases.Case("", "", cases.swarm(21010, processes=processes, connections=each, seconds=600))
    try:
        result = record(case, stage, d)
        status = d.status()
        result.lost, result.events = status["lost"], status["events"]
        result.connections = each * processes
        result.history_mib = size
        d.stop()
        return result
    finally:
        stage.close()
        d.discard()
        shutil.rmtree(state, ignore_errors=True)
        ns.close()


def tell(run, case):
    """A line for who waits."""
    r = run.results.get(case.name)
    line = f"{time.monotonic() - BEGAN:5.1f} s {run.name:8} {case.name:34}"
    if case.name in run.skipped:
        print(f"{line} skipped: {run.skipped[case.name]}", flush=True)
    elif isinstance(r, judge.Result):
        said = " ".join(f"{a} {r.attributions[a]}" for a in judge.ATTRIBUTIONS if r.attributions[a])
        print(
            f"{line} recorded {r.recorded}/{r.expected} extra {r.extra} pid {r.pid}/{r.owners} exe "
            f"{r.executable} unit {r.unit} wrong-exact {r.wrong_exact} late {r.late} [{said}]",
            flush=True,
        )
        # What netlink falls short of is known; its lines would bury the others.
        for remark in r.remarks[:6] if run.name == "ebpf" else []:
            print(f"         {remark}", flush=True)
    elif r:
        print(f"{line} {r}", flush=True)


def parse():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--source", action="append", choices=("ebpf", "netlink"), help="(both)")
    p.add_argument("--quick", action="store_true", help="the short cases only, and no other tools")
    p.add_argument("--case", action="append", default=[], help="those with this in their names")
    p.add_argument("--million", nargs="?", type=int, const=1_000_000, metavar="N", help="so many connections, too")
    p.add_argument("--no-peers", action="store_true", help="no other tools")
    p.add_argument("--no-crowds", action="store_true", help="other tools: not with crowds")
    p.add_argument("--output", metavar="FILE", help="writes this part of the document (docs/ACCURACY.md)")
    p.add_argument("--part", choices=document.PARTS, default=document.PARTS[0], help="which part that is")
    return p.parse_args()


def main():
    arguments = parse()
    build = Build()
    chosen = [
        c
        for c in cases.CASES
        if (c.quick or not arguments.quick)
        and (not arguments.case or any(part.lower() in c.name.lower() for part in arguments.case))
    ]
    runs, failed = [], []
    for source in arguments.source or ("ebpf", "netlink"):
        why = build.why_no_ebpf() if source == "ebpf" else None
        if why:
            print(f"ebpf     skipped: {why}")
            continue
        runs.append(run_source(build, source, chosen, tell))
        if source == "ebpf":
            failed += runs[-1].failures()
    beside = None
    if not (arguments.no_peers or arguments.quick):
        beside = run_peers(build, [c for c in chosen if not (c.crowd and arguments.no_crowds)], tell)
    million = None
    if arguments.million:
        million = run_million(build, arguments.million)
        print(document.million_line(million), flush=True)
        if million.failed() or million.lost:
            failed.append("a million")
            print("\n".join(million.remarks[:10]))
    if arguments.output:
        text = document.compose(arguments.part, cases.CASES, runs, beside, million)
        document.put(arguments.output, arguments.part, text)
    build.close()
    ran = sum(len(r.results) for r in runs)
    skipped = sum(len(r.skipped) for r in runs)
    print(f"{ran} results, {skipped} not made here, on ebpf not as they should be: {', '.join(failed) or 'none'}")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
