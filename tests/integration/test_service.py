# SPDX-License-Identifier: GPL-2.0-or-later
"""portwatchd as a service: configuration, sources, confinement, who sees what."""

import contextlib
import grp
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from harness.build import capabilities
from harness.varlink import Closed
from harness.waiting import wait_until

STRANGER = 4242


def as_user(uid, *groups):
    g = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", g, "--inh-caps=-all"]


# Configuration


@pytest.mark.parametrize(
    "text, line, column",
    [
        ("[Recorder]\nSource=nothing\n", 2, 8),
        ("[Recorder]\nHistorySize=-1\n", 2, 13),
        ("[Recorder]\nHistorySize=1\n", 2, 13),
        ("[Recorder]\n\n# a comment\nMaxListeners = many\n", 4, 16),
        ("[Recorder]\nNothing=1\n", 2, 1),
        ("[Nothing]\n", 1, None),
        ("Source=netlink\n", 1, 1),
        ("[Recorder]\nSource\n", 2, None),
        ("[Recorder\nSource=netlink\n", 1, None),
        ("[Answerer]\nMaxClients=0\n", 2, 12),
        ("[Answerer]\nUser=no such user\n", 2, 6),
    ],
)
def test_errors_in_the_configuration(make_daemon, text, line, column):
    d = make_daemon(start=False)
    path = d.configure(text)
    status, log = d.start_failing()
    assert status == 1
    place = f"{path}:{line}:" + (f"{column}: " if column else "")
    assert place in log, log
    assert "expected" in log


def test_an_error_in_a_drop_in(make_daemon):
    d = make_daemon(start=False)
    d.configure("[Recorder]\nSource=netlink\n")
    path = d.configure("[Recorder]\nStorage=paper\n", "portwatch.conf.d/10-test.conf")
    status, log = d.start_failing()
    assert status == 1 and f"{path}:2:9: expected" in log


def test_drop_ins_override(make_daemon):
    d = make_daemon(start=False)
    d.configure("[Recorder]\nHistorySize=64M\n")
    d.configure("[Recorder]\nHistorySize=16M\n", "portwatch.conf.d/10-a.conf")
    d.configure("[Recorder]\nHistorySize=24M\n", "portwatch.conf.d/20-b.conf")
    d.start()
    assert d.status()["capacity_bytes"] == 24 << 20


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--nothing"], 2),
        (["--source=nothing"], 2),
        (["more"], 2),
        (["--runtime=/nowhere/at/all"], 1),
    ],
)
def test_command_lines_that_make_no_sense(make_daemon, arguments, expected):
    d = make_daemon(start=False, arguments=arguments)
    status, log = d.start_failing()
    assert status == expected and log.strip()


def test_a_state_folder_that_cannot_be_used(make_daemon, situations):
    """It goes on without, and says so."""
    d = make_daemon(start=False, arguments=["--state=/nowhere/at/all"])
    d.start()
    status = d.status()
    assert status["state"] == "degraded" and "/nowhere/at/all" in status["degraded_reason"]
    assert "/nowhere/at/all" in d.log()
    s = situations(d, "listen")
    d.wait_event("listen", s.port)
    text = d.portctl("status").stdout
    assert "degraded" in text and "/nowhere/at/all" in text


def test_a_config_folder_that_is_not_there(make_daemon):
    d = make_daemon(start=False)
    os.rmdir(d.config)
    status, log = d.start_failing()
    assert status == 1 and d.config in log


def test_reload(make_daemon, situations):
    d = make_daemon()
    d.process.send_signal(signal.SIGHUP)
    s = situations(d, "listen")
    d.wait_event("listen", s.port)
    path = d.configure("[Recorder]\nSource=broken\n")
    d.process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"{path}:2:8: expected" in d.log(), "the complaint")
    # What was in force stays in force.
    assert d.status()["state"] in ("running", "degraded")
    s.next()
    d.wait_event("unlisten", s.port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_everything_written(make_daemon, situations, number):
    d = make_daemon()
    s = situations(d, "listen")
    d.wait_event("listen", s.port)
    answerer = d.answerer_pid()
    d.process.send_signal(number)
    assert d.process.wait(15) == 0
    d.stop()
    assert "STOPPING=1" in d.notified
    assert (
        not os.path.exists(f"/proc/{answerer}")
        or open(f"/proc/{answerer}/stat").read().split()[2] == "Z"
    )
    d.start()
    assert [e["kind"] for e in d.marks()] == ["start", "stop", "start"]


# Sources


def test_ready_says_which_source(make_daemon):
    d = make_daemon()
    assert d.source in d.status_text
    assert d.status()["source"] == d.source


def test_auto_takes_the_best(make_daemon, build):
    d = make_daemon(start=False)
    d.source = "auto"
    d.start()
    assert d.status()["source"] == ("netlink" if build.why_no_ebpf() else "ebpf")


WITHOUT_BPF = ["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon", "--inh-caps=-all"]
WITHOUT_ANYTHING = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def can_drop(wrapper):
    return subprocess.run([*wrapper, "true"], stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    "wrapper", [WITHOUT_BPF, WITHOUT_ANYTHING], ids=["no CAP_BPF", "no capability"]
)
def test_without_bpf_it_is_netlink_and_says_so(make_daemon, situations, build, wrapper, source):
    if source == "ebpf":
        pytest.skip("ebpf: this is about not having it")
    if not can_drop(wrapper):
        pytest.skip("setpriv cannot drop these capabilities here")
    d = make_daemon(start=False, wrapper=wrapper)
    d.source = "auto"
    d.start()
    assert not capabilities(pid=d.process.pid) & (1 << 39)
    assert "netlink" in d.status_text
    status = d.status()
    assert status["source"] == "netlink" and status["source_detail"]
    text = d.portctl("status").stdout
    assert "netlink" in text
    s = situations(d, "pair")
    port = s.port
    d.wait_event("listen", port)
    s.finish()
    d.wait_event("close", port, direction="inbound")
    d.wait_event("close", port, direction="outbound")
    if build.has_ebpf:
        assert "ebpf" in d.log(), "why it is not ebpf"


def test_ebpf_that_was_asked_for_and_cannot_be(make_daemon, source):
    if source == "netlink":
        pytest.skip("netlink: this is about ebpf")
    if not can_drop(WITHOUT_BPF):
        pytest.skip("setpriv cannot drop these capabilities here")
    d = make_daemon(start=False, wrapper=WITHOUT_BPF)
    status, log = d.start_failing()
    assert status == 1 and "ebpf" in log


def test_without_btf(make_daemon, source):
    """The kernel's types hidden behind an empty folder, in a mount namespace of its own."""
    if source == "netlink":
        pytest.skip("netlink: this is about ebpf")
    hide = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs none /sys/kernel/btf && exec "$0" "$@"',
    ]
    d = make_daemon(start=False, wrapper=hide)
    d.source = "auto"
    d.start()
    assert d.status()["source"] == "netlink"
    assert "BTF" in d.log()


# The answerer's confinement


def proc_status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def test_the_answerer_has_nothing(daemon):
    d = daemon
    d.status()
    status = proc_status(d.answerer_pid())
    for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[which], 16) == 0, which
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split() and len(set(status["Uid"].split())) == 1
    assert "0" not in status["Gid"].split() and len(set(status["Gid"].split())) == 1
    assert "0" not in status.get("Groups", "").split()


def descriptors(pid):
    """What a process has open; what it closes meanwhile it does not hold."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield fd, os.readlink(f"/proc/{pid}/fd/{fd}")


def test_what_the_answerer_holds(daemon):
    pid = daemon.answerer_pid()
    daemon.status()
    mapped = set()
    for fd, target in descriptors(pid):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}") as f:
                flags = int(next(line for line in f if line.startswith("flags:")).split()[1], 8)
        except FileNotFoundError:
            continue  # the connection of the call above, closed meanwhile
        # The log that this test gave to both is the one file it can write to.
        if target.startswith(daemon.folder) and target != daemon.log_path:
            assert flags & os.O_ACCMODE == os.O_RDONLY, target
        assert not target.startswith(("anon_inode:bpf", "/proc", "anon_inode:[perf")), target
        assert "bpf" not in target
    # Once mapped, the tables need no descriptor.
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            if daemon.folder in line:
                assert "w" not in line.split()[1], line
                mapped.add(os.path.basename(line.split()[5]))
    assert {"history", "live"} <= mapped


def test_limits_of_the_answerer(daemon):
    with open(f"/proc/{daemon.answerer_pid()}/limits") as f:
        limits = {line[:26].strip(): line[26:47].strip() for line in f}
    assert limits["Max core file size"] == "0"
    assert limits["Max processes"] != "unlimited"
    assert limits["Max open files"] != "unlimited" and int(limits["Max open files"]) < 10000


def test_the_recorder_reads_no_client_byte(daemon):
    """It has the listening socket, to hand it on, and none that was accepted from it."""
    with daemon.client() as c:
        c.call("io.portwatch.Status")
        # The accepted one is in the namespace of the client, which is this process's.
        inodes = set()
        for process in ("self", daemon.process.pid):
            with open(f"/proc/{process}/net/unix") as f:
                inodes |= {line.split()[6] for line in f if daemon.socket_path in line}
        held = set()
        for _, target in descriptors(daemon.process.pid):
            if target.startswith("socket:["):
                held.add(target[8:-1])
        # Of the server's sockets (the listening one and one for this client) one alone.
        assert len(inodes) == 2 and len(inodes & held) == 1


def test_a_stopped_answerer_does_not_stop_the_recorder(daemon, churn):
    pid = daemon.answerer_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        made = churn(daemon, count=5000, port=20000, processes=2, addresses=8)
    finally:
        os.kill(pid, signal.SIGCONT)
    daemon.wait_connections([20000, 20001], made["accepted"], made["connected"])
    assert daemon.status()["lost"] == 0


# Who sees what


def test_anybody_may_ask(daemon, situations):
    mode = os.stat(daemon.socket_path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) & 0o666 == 0o666
    done = daemon.portctl("status", "-j", wrapper=as_user(STRANGER))
    assert done.rows[0]["view"] == "limited"
    assert daemon.portctl("status", "-j").rows[0]["view"] == "full"


def test_the_limited_view(daemon, situations, interface):
    mine = situations(daemon, "pair", uid=STRANGER)
    theirs = situations(daemon, "pair")
    for s in (mine, theirs):
        s.next()
        wait_until(lambda: len(daemon.connections(ports=[s.port])) == 2)
        wait_until(
            lambda: {c["owner"]["uid"] for c in daemon.connections(ports=[s.port])}
            == {STRANGER if s is mine else 0}
        )
        wait_until(lambda: daemon.listeners(ports=[s.port])[0]["owner"]["pid"] is not None)
    ended = situations(daemon, "pair")
    ended.finish()
    own = situations(daemon, "pair", uid=STRANGER)
    own.finish()
    for s in (ended, own):
        daemon.wait_event("close", s.port, direction="outbound")
    daemon.settle()
    ask = lambda *a: daemon.portctl(*a, "-j", wrapper=as_user(STRANGER)).rows

    listeners = {l["local"]["port"]: l["owner"] for l in ask("listeners")}
    assert {mine.port, theirs.port} <= set(listeners)
    assert listeners[mine.port]["pid"] == mine["listener"]["pid"]
    assert listeners[mine.port]["executable"] == mine.executable
    assert listeners[theirs.port]["pid"] is None and listeners[theirs.port]["executable"] is None
    for c in ask("connections"):
        interface.check_named("Connection", c)
        if c["owner"]["uid"] != STRANGER:
            assert c["owner"]["pid"] is None and c["owner"]["executable"] is None
    for e in ask("history"):
        interface.check_named("Event", e)
        subject = e["listener"] or e["connection"]
        assert subject is None or subject["owner"]["uid"] == STRANGER, e
    ports = {
        (e["listener"] or e["connection"] or {"local": {"port": 0}})["local"]["port"]
        for e in ask("history")
    }
    assert mine.port in ports and theirs.port not in ports and ended.port not in ports
    assert ask("history", f"--port={ended.port}") == []
    # That a port is used anybody may see; what has used it before is not told whose it was.
    for s in (mine, theirs):
        (port,) = ask("port", str(s.port))
        assert port["known"] == [] and len(port["listeners"]) == 1
        assert daemon.call("Port", {"port": s.port})["known"]


def test_other_namespaces_are_not_for_strangers(daemon, situations):
    from harness.namespace import Namespace

    other = Namespace()
    try:
        situations(other, "listen", port=7300, uid=STRANGER)
        wait_until(
            lambda: [
                l
                for r in daemon.stream("Listeners", {"filter": {"ports": [7300]}})
                for l in r["listeners"]
            ],
            deadline=15,
        )
        assert (
            daemon.portctl("listeners", "-j", "--port=7300", wrapper=as_user(STRANGER)).rows == []
        )
    finally:
        other.close()


def test_members_of_the_group_see_all(make_daemon, situations):
    d = make_daemon(start=False)
    group = next(
        (
            g
            for g in grp.getgrall()
            if g.gr_gid not in (0, STRANGER) and g.gr_name in ("daemon", "games", "mail")
        ),
        None,
    )
    if not group:
        pytest.skip("no group to try it with")
    d.configure(f"[Answerer]\nGroup={group.gr_name}\n")
    d.start()
    s = situations(d, "listen")
    d.wait_event("listen", s.port)
    wait_until(lambda: d.listeners(ports=[s.port])[0]["owner"]["pid"] is not None)
    wrapper = as_user(STRANGER, group.gr_gid)
    assert d.portctl("status", "-j", wrapper=wrapper).rows[0]["view"] == "full"
    (row,) = d.portctl("listeners", "-j", f"--port={s.port}", wrapper=wrapper).rows
    assert row["owner"]["pid"] == s["listener"]["pid"]


def test_following_in_the_limited_view(daemon, situations):
    process = daemon.namespace.popen(
        [
            *as_user(STRANGER),
            daemon.build.portctl,
            f"--socket={daemon.socket_path}",
            "follow",
            "-j",
            f"--netns={daemon.namespace.inode}",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        wait_until(lambda: daemon.status()["followers"] == 1)
        theirs = situations(daemon, "listen")
        daemon.wait_event("listen", theirs.port)
        mine = situations(daemon, "listen", uid=STRANGER)
        assert select.select([process.stdout], [], [], 10)[0]
        row = json.loads(process.stdout.readline())
        assert row["listener"]["local"]["port"] == mine.port
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_one_stranger_cannot_lock_out_the_others(make_daemon):
    d = make_daemon(start=False)
    d.configure("[Answerer]\nMaxClients=64\nMaxClientsPerUser=4\n")
    d.start()
    hog = d.namespace.popen(
        [
            *as_user(STRANGER),
            "/usr/bin/python3",
            "-c",
            "import socket,sys\n"
            "held=[]\n"
            "for i in range(30):\n"
            "    s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); held.append(s)\n"
            "print('held', flush=True); sys.stdin.read()",
            d.socket_path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert hog.stdout.readline() == b"held\n"
        assert d.status()["clients"] <= 5
    finally:
        hog.communicate(timeout=10)


def test_socket_activation(make_daemon, namespace):
    """The listening socket given as systemd gives it: used as it is, and not removed."""
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("no systemd-socket-activate here")
    d = make_daemon(start=False)
    listen = os.path.join(d.runtime, "portwatch.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(listen)
    s.listen()
    os.chmod(listen, 0o666)
    inode = os.stat(listen).st_ino
    os.set_inheritable(s.fileno(), True)

    # LISTEN_PID must be the pid of the process itself: a shell that becomes it sets both.
    d.wrapper = ["sh", "-c", 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"']
    popen = namespace.popen

    def with_socket(argv, preexec_fn, **kwargs):
        def before():
            preexec_fn()
            os.dup2(s.fileno(), 3)

        return popen(argv, preexec_fn=before, pass_fds=[3], **kwargs)

    d.namespace = type(
        "N",
        (),
        {
            "popen": staticmethod(with_socket),
            "inode": namespace.inode,
            "run": namespace.run,
            "entered": namespace.entered,
        },
    )()
    try:
        # A client that comes before the daemon is answered when it is there.
        early = d.client()
        early.send("io.portwatch.Status")
        d.start()
        early.receive("io.portwatch.Status")
        early.close()
        assert os.stat(listen).st_ino == inode
        d.stop()
        assert os.stat(listen).st_ino == inode, "the socket is systemd's"
        waiting = d.client()
        waiting.send("io.portwatch.Status")
        d.start()
        waiting.receive("io.portwatch.Status")
        waiting.close()
    except Closed:
        pytest.fail("a client was turned away over the restart")
    finally:
        d.stop()
        d.namespace = namespace
        s.close()
