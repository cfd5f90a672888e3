# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/ACCURACY.md from what the runs have found."""

import os
import platform
import re
import time

from judge import ATTRIBUTIONS

# Of the document; each is written by a command of its own.
PARTS = ("here", "debian")

HEAD = """# What is recorded, and how truly

Made by `make accuracy` (`tests/accuracy/accuracy.py`), the second part by `make check-vm` too
(`tests/vm/run`); do not edit. Each line is a situation that a helper program makes on purpose, so that
what there is to record, and whose it is, is known exactly.

- **recorded**: of what was made, how much is in the history with its beginning and its end.
- **more**: events in the history for which nothing was made.
- **pid, executable, unit**: the owner in the last record of each listener, end and attempt is the
  right one. Right for an inbound connection is who accepted it or who it was handed to.
- **exact / listener / lookup / unknown**: the attribution that this record has.
- **wrong exact**: of those that were ever called exact, how many named a wrong process, executable or
  unit. That must be 0.

A situation passes as fast as it can unless its line says otherwise: nothing waits for the recorder.
"""

TITLES = {
    "here": "The machine of `make accuracy`",
    "debian": "Debian's kernel, under emulation",
}


def marker(part):
    return f"<!-- part: {part} -->\n"


def put(path, part, text):
    """Writes a part of the document; what it has of the others stays."""
    before = ""
    if os.path.exists(path):
        with open(path) as f:
            before = f.read()
    pieces = re.split(r"^<!-- part: (\w+) -->\n", before, flags=re.M)
    parts = dict(zip(pieces[1::2], pieces[2::2]))
    parts[part] = text
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as f:
        f.write(HEAD + "".join("\n" + marker(p) + parts[p].strip("\n") + "\n" for p in PARTS if p in parts))


def take(text, part):
    """A part out of a whole document."""
    return text.partition(marker(part))[2]


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((l.partition(":")[2].strip() for l in f if l.startswith("model name")), "?")
    name = "?"
    with open("/etc/os-release") as f:
        for line in f:
            if line.startswith("PRETTY_NAME="):
                name = line.partition("=")[2].strip().strip('"')
    return (
        f"Linux {platform.release()} on {name}, {os.cpu_count()} processors ({model}), "
        f"{time.strftime('%Y-%m-%d')}."
    )


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" for _ in head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


class Notes:
    """Footnotes, numbered as they come; the same text once."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"

    def text(self):
        return "".join(f"{i}. {t}\n" for i, t in enumerate(self.texts, 1))


def explain_netlink(case, r):
    if not case.netlink:
        yield "netlink does not see these sockets, as it says."
        return
    if case.name.startswith("UDP"):
        if r.recorded < r.expected:
            yield "netlink sees UDP sockets by looking, every 500 ms, and refused attempts not at all."
    elif case.name in ("refused", "timed out"):
        if r.recorded < r.expected:
            yield (
                "netlink: the kernel has wiped the addresses of a failed attempt before it tells of its "
                "end, and a refused one has no socket."
            )
    elif case.name == "in another network namespace" and r.recorded < r.expected:
        yield "netlink finds a namespace by looking; this one was gone before."
    elif r.recorded < r.expected:
        yield "netlink finds listeners by looking, every 500 ms: one that lives shorter is not seen."
    wiped = sum(key[3] == 0 for _, key, _ in r.strange)
    if wiped:
        yield (
            "netlink: of a connection that was reset the kernel has wiped the other side's address before "
            "it tells of the end. It is recorded without, and counts as missing and as more."
        )
    if r.extra > wiped:
        yield (
            "netlink: nothing told who had opened the connection, so the direction was guessed, and one "
            "end guessed wrong counts as missing and as more."
        )
    if r.pid < r.owners:
        yield "netlink knows a process only if a look finds it while it has the socket open."


def explain_ebpf(case, r):
    stand_ins = r.attributions["listener"]
    if stand_ins and r.looks:
        yield (
            f"Others looked at these descriptors {r.looks:,} times meanwhile. Where the owner closed its "
            "own just then, the last one to let go was the looker, and the listener's owner, the parent "
            "of who accepted, stands for it; the looker never."
        )
    elif stand_ins:
        yield (
            "Reset, or closed without its process having a part in it: nobody's call showed the acceptor, "
            "so the listener's owner stands for it."
        )
    if case.by_look:
        yield (
            "Nothing tells of it: the recorder finds it, and that it is gone, as it looks at what is open, "
            "some seconds after something else has happened."
        )
    if r.recorded < r.expected or r.extra or r.wrong_exact:
        yield "Not as it should be: " + "; ".join(r.remarks[:3])
    elif r.pid + stand_ins < r.owners or r.executable < r.owners:
        yield "An owner is not whole: " + "; ".join(x for x in r.remarks if x.startswith("owner"))[:300]
    if r.late and r.seconds:
        yield late(r)


def late(r):
    return (
        f"{r.late} of them came with the recorder's next look at what is open, within some seconds: the "
        "kernel of this machine does not call tracing programs in every task."
    )


def section(run, cases, notes):
    explain = explain_netlink if run.name == "netlink" else explain_ebpf
    rows = []
    for case in cases:
        if case.name in run.skipped:
            rows.append([case.name, case.made, "not made here" + notes.mark(f"{case.name}: {run.skipped[case.name]}")] + [""] * 6)
            continue
        r = run.results.get(case.name)
        if not r:
            continue
        marks = "".join(notes.mark(t) for t in explain(case, r))
        unit = "-" if r.unit is None else f"{r.unit}/{r.owners}"
        name = case.name
        if case.name.startswith(("process gone", "command")):
            name += f" (lived {r.median_usec / 1000:.2f} ms, median)"
        rows.append(
            [name, case.made, f"{r.recorded}/{r.expected}{marks}", r.extra or "", f"{r.pid}/{r.owners}",
             f"{r.executable}/{r.owners}", unit, " / ".join(str(r.attributions[a]) for a in ATTRIBUTIONS), r.wrong_exact]
        )  # fmt: skip
    head = ["situation", "made", "recorded", "more", "pid", "executable", "unit", " / ".join(ATTRIBUTIONS), "wrong exact"]
    said = f"Lost, as the recorder says: {run.lost}. What it says it cannot see: {run.limits or 'nothing.'}"
    return f"\n### {run.name}\n\n" + table(head, rows) + "\n" + said + "\n"


def peers_section(run, cases, notes):
    text = (
        "\n### Other tools, the same situations\n\n"
        "TCP connections alone. tcplife and `ss -E` run all the time and print a line at each end;\n"
        "`ss -Htnp` is run by hand at the moment when all the sockets of a situation are open, which is\n"
        "the best that it can do; for crowds every 0.5 s. recorded / expected, then right and wrong pids.\n\n"
    )
    rows = []
    for case in cases:
        found = run.results.get(case.name)
        if not found:
            continue
        row = [case.name]
        for tool in ("tcplife", "ss -E", "ss -Htnp"):
            if tool not in found:
                row.append("not here" + notes.mark(f"{tool} is not installed or does not start."))
                continue
            if found[tool] is None:
                row.append("gave up" + notes.mark(f"{tool} ends when it is told more than its buffer holds."))
                continue
            n, recorded, right, wrong = found[tool]
            row.append(f"{recorded}/{n}" + ("" if tool == "ss -E" else f", {right} right, {wrong} wrong"))
        rows.append(row)
    return text + table(["situation", "tcplife (bcc)", "ss -E (tells no process)", "ss -Htnp"], rows)


def million_line(r):
    said = ", ".join(f"{a} {r.attributions[a]:,}" for a in ATTRIBUTIONS if r.attributions[a])
    return (
        f"{r.connections:,} connections by 200 processes at once in {r.seconds:.1f} s "
        f"({r.connections / max(r.seconds, 0.001):,.0f} a second), both ends each: "
        f"{r.recorded:,} of {r.expected:,} recorded, {r.extra} more, {r.pid:,} with the right pid, "
        f"{r.wrong_exact} wrong exact ({said}); lost, as the recorder says: {r.lost}. "
        f"{r.events:,} events were recorded in all, those of other namespaces included; "
        f"HistorySize={r.history_mib}M."
    )


def compose(part, cases, runs, beside, million):
    notes = Notes()
    text = f"## {TITLES[part]}\n\n{machine()}\n"
    for run in runs:
        text += section(run, cases, notes)
    if beside:
        text += peers_section(beside, cases, notes)
    if million:
        text += "\n### A million (ebpf)\n\n" + million_line(million) + "\n"
        if million.late:
            text += "\n" + late(million) + "\n"
        if million.failed():
            text += "\nNot as it should be: " + "; ".join(million.remarks[:5]) + "\n"
    if notes.texts:
        text += "\n### Notes\n\n" + notes.text()
    return text
