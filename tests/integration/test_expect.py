# SPDX-License-Identifier: GPL-2.0-or-later
"""portctl expect: rules are added, taken out, shown and checked."""

import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
import threading

import pytest

from harness.waiting import wait_until

OWN = "50-portctl.rules"


def own(d):
    return os.path.join(d.config, "expected.d", OWN)


def text(path):
    with open(path) as f:
        return f.read()


def rules(d):
    """The lines of portctl's own file that are no comments."""
    return [line for line in text(own(d)).splitlines() if not line.startswith("#")]


def expect(d, *arguments, **kwargs):
    return d.portctl("expect", f"--config={d.config}", *arguments, check=False, **kwargs)


def expected(d, *ports):
    return [l["expected"] for port in ports for l in d.listeners(ports=[port])]


@pytest.fixture
def folder(tmp_path):
    """Rules without a daemon."""
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


@pytest.fixture
def run(build, folder):
    """portctl expect on that folder, where no daemon runs."""

    def run(*arguments, **kwargs):
        return subprocess.run(
            [
                build.portctl,
                f"--socket={folder}/nobody",
                "expect",
                f"--config={folder}",
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            **kwargs,
        )

    return run


# With a daemon


def test_a_rule_is_in_force_when_it_returns(daemon, situations):
    situations(daemon, "listen", port=8080)
    wait_until(lambda: expected(daemon, 8080) == [None])
    done = expect(daemon, "tcp/8080", "exposure=loopback")
    assert (done.returncode, done.stdout) == (0, "added: tcp/8080 exposure=loopback\n"), done.stderr
    assert daemon.status()["rules"] == 1
    wait_until(lambda: expected(daemon, 8080) == [True])
    assert rules(daemon) == ["tcp/8080 exposure=loopback"]
    assert stat.S_IMODE(os.stat(own(daemon)).st_mode) == 0o644
    assert os.listdir(os.path.dirname(own(daemon))) == [OWN]


def test_a_duplicate_is_refused(daemon):
    daemon.configure("udp/53 user=0\n", "expected.d/10-base.rules")
    assert expect(daemon, "tcp/8080").returncode == 0
    before = daemon.status()["rules_usec"]
    for words, where in ((["tcp/8080"], OWN), (["udp/53  user=0"], "10-base.rules")):
        done = expect(daemon, *words)
        assert done.returncode == 0 and done.stdout == ""
        assert re.search(rf"is there already, in \S+{where}:\d+\.", done.stderr)
    assert rules(daemon) == ["tcp/8080"]
    assert daemon.status()["rules_usec"] == before, "nothing was to be read again"


def test_remove(daemon, situations):
    situations(daemon, "listen", port=8080)
    assert expect(daemon, "tcp/8080 exposure=loopback").returncode == 0
    assert expect(daemon, "udp/53", "unit=named.service").returncode == 0
    wait_until(lambda: expected(daemon, 8080) == [True])
    done = expect(daemon, "--remove", "--dry-run", "tcp/8080  exposure=loopback")
    assert (done.returncode, done.stdout) == (0, "tcp/8080 exposure=loopback\n")
    assert len(rules(daemon)) == 2
    done = expect(daemon, "--remove", "tcp/8080  exposure=loopback")
    assert (done.returncode, done.stdout) == (
        0,
        "removed: tcp/8080 exposure=loopback\n",
    ), done.stderr
    assert rules(daemon) == ["udp/53 unit=named.service"]
    wait_until(lambda: expected(daemon, 8080) == [False])
    done = expect(daemon, "--remove", "tcp/8080 exposure=loopback")
    assert done.returncode == 1 and "no rule of " in done.stderr
    daemon.configure("# a comment\ntcp/22\n", "expected.d/10-base.rules")
    done = expect(daemon, "--remove", "tcp/22")
    assert done.returncode == 1 and "10-base.rules:2" in done.stderr
    assert "tcp/22" in text(os.path.join(daemon.config, "expected.d", "10-base.rules"))


def test_current(daemon, situations):
    made = [
        situations(daemon, "listen", port=8080),
        situations(daemon, "listen-dual", port=443),
        situations(daemon, "udp-bind", port=5353),
    ]
    wait_until(lambda: len(daemon.listeners()) == 3)
    wait_until(lambda: all(l["owner"]["executable"] for l in daemon.listeners()))
    done = expect(daemon, "--current", "--dry-run")
    assert done.returncode == 0 and not os.path.exists(own(daemon))
    tried = done.stdout.splitlines()
    maker = made[0].executable
    assert {
        f"tcp/8080 executable={maker} exposure=loopback",
        f"tcp/443 executable={maker} exposure=any",
        f"udp/5353 executable={maker} exposure=loopback",
    } <= set(tried)
    assert len(set(tried)) == len(tried)
    assert not re.search(r"\bpid\b", done.stdout)
    done = expect(daemon, "--current")
    assert done.returncode == 0, done.stderr
    assert rules(daemon) == tried
    assert done.stdout.splitlines() == ["added: " + rule for rule in tried]
    wait_until(lambda: expected(daemon, 8080, 443, 5353) == [True] * 3)
    check = daemon.portctl("check", f"--netns={daemon.namespace.inode}")
    assert check.stdout == "3 listeners, all expected.\n"
    # Only what is not expected yet.
    situations(daemon, "listen", port=8081)
    wait_until(lambda: expected(daemon, 8081) == [False])
    wait_until(lambda: [l for l in daemon.listeners(ports=[8081]) if l["owner"]["executable"]])
    done = expect(daemon, "--current", "--dry-run")
    assert f"tcp/8081 executable={maker} exposure=loopback\n" in done.stdout
    assert not set(done.stdout.splitlines()) & set(tried)


def test_current_of_other_transports(daemon, source):
    if source != "ebpf":
        pytest.skip("netlink does not see them")
    with daemon.namespace.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    with raw, packet:
        find = lambda: {l["transport"]: l["expected"] for l in daemon.listeners()}
        wait_until(lambda: set(find()) == {"raw", "packet"})
        wait_until(lambda: all(l["owner"]["executable"] for l in daemon.listeners()))
        assert expect(daemon, "--current").returncode == 0
        assert [r.split()[0] for r in rules(daemon) if r.startswith(("raw", "packet"))]
        wait_until(lambda: find() == {"raw": True, "packet": True})


def test_current_survives_a_restart_of_what_listens(daemon, situations):
    s = situations(daemon, "listen")
    port = s.port
    wait_until(lambda: [l for l in daemon.listeners(ports=[port]) if l["owner"]["executable"]])
    assert expect(daemon, "--current").returncode == 0
    wait_until(lambda: expected(daemon, port) == [True])
    s.next()
    again = situations(daemon, "listen")
    wait_until(lambda: expected(daemon, again.port) == [True])


def test_what_the_daemon_does_not_take(daemon):
    """Another file is wrong: the rule is not added, and told where."""
    daemon.configure("tcp/22\ntcp/http\n", "expected.d/10-base.rules")
    done = expect(daemon, "tcp/8080")
    assert done.returncode == 1
    assert re.search(r"10-base\.rules:2:5: \w", done.stderr)
    assert not os.path.exists(own(daemon))
    assert not os.listdir(os.path.dirname(own(daemon))) == [OWN]


def test_what_the_daemon_alone_finds_wrong(daemon):
    """The configuration of the daemon is elsewhere, and wrong there."""
    daemon.configure("tcp/http\n", "expected.d/10-base.rules")
    other = os.path.join(daemon.folder, "other")
    os.mkdir(other)
    done = daemon.portctl("expect", f"--config={other}", "tcp/8080", check=False)
    assert done.returncode == 1
    assert "did not take the rules" in done.stderr and "10-base.rules:1:5: " in done.stderr


def test_a_daemon_that_stands_still(daemon):
    """It is waited for, but not for ever."""
    daemon.answerer_pid()
    os.kill(daemon.process.pid, signal.SIGSTOP)
    try:
        done = expect(daemon, "tcp/8080")
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)
    assert done.returncode == 1 and "within 5 s" in done.stderr
    assert rules(daemon) == ["tcp/8080"]
    wait_until(lambda: daemon.status()["rules"] == 1)


def test_changes_at_the_same_time(daemon):
    """None is lost."""
    wanted = [f"tcp/{port}" for port in range(8000, 8012)]
    done = []
    threads = [
        threading.Thread(target=lambda r=r: done.append(expect(daemon, r).returncode))
        for r in wanted
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert done == [0] * len(wanted)
    assert sorted(rules(daemon)) == sorted(wanted)
    wait_until(lambda: daemon.status()["rules"] == len(wanted))


def test_it_takes_root(daemon):
    wrapper = ("setpriv", "--reuid=65534", "--regid=65533", "--clear-groups")
    for arguments in (["tcp/8080"], ["--remove", "tcp/8080"], ["--current"]):
        done = expect(daemon, *arguments, wrapper=wrapper)
        assert done.returncode == 4, done.stderr
        assert "not permitted" in done.stderr and "root" in done.stderr
    assert not os.path.exists(own(daemon))
    # Who may write, but not send a signal.
    os.makedirs(os.path.dirname(own(daemon)), exist_ok=True)
    os.chown(os.path.dirname(own(daemon)), 65534, 65534)
    done = expect(daemon, "tcp/8080", wrapper=wrapper)
    assert done.returncode == 4 and "read its rules" in done.stderr
    assert rules(daemon) == ["tcp/8080"]


# Without


def test_no_daemon(run, folder):
    done = run("tcp/8080", "unit=foo.service")
    assert done.returncode == 0
    assert "does not run" in done.stderr and "started" in done.stderr
    lines = text(folder / "expected.d" / OWN).splitlines()
    assert lines[0].startswith("#") and lines[1:] == ["tcp/8080 unit=foo.service"]
    assert run("--current").returncode == 3
    assert run("--current", "--dry-run").returncode == 3


def test_dry_run(run, folder):
    done = run("--dry-run", "tcp/8080  unit=foo.service # why")
    assert (done.returncode, done.stdout) == (0, "tcp/8080 unit=foo.service\n")
    assert not os.listdir(folder)


def test_what_was_there_stays(run, folder):
    """Comments and a last line without its end."""
    (folder / "expected.d").mkdir()
    path = folder / "expected.d" / OWN
    path.write_text("# mine\n\ntcp/22 # ssh\ntcp/25")
    assert run("udp/53").returncode == 0
    assert path.read_text() == "# mine\n\ntcp/22 # ssh\ntcp/25\nudp/53\n"
    assert run("--remove", "tcp/22").returncode == 0
    assert path.read_text() == "# mine\n\ntcp/25\nudp/53\n"
    assert run("--remove", "udp/53").returncode == run("--remove", "tcp/25").returncode == 0
    assert path.read_text() == "# mine\n\n"


def test_an_interrupted_change_is_no_obstacle(run, folder):
    (folder / "expected.d").mkdir()
    (folder / "expected.d" / f".{OWN}.new").write_text("half a ru")
    assert run("tcp/22").returncode == 0
    assert os.listdir(folder / "expected.d") == [OWN]
    assert text(folder / "expected.d" / OWN).splitlines()[1:] == ["tcp/22"]


@pytest.mark.parametrize(
    "words",
    [
        ["tcp/8080", "unit="],
        ["tcp/http"],
        ["tcp"],
        ["tcp/22", "pid=1"],
        ["tcp/99999"],
        [""],
        ["# nothing"],
        ["tcp/22\nudp/22"],
        ["tcp/22 unit=a unit=b"],
    ],
)
def test_wrong_rules(run, folder, words):
    done = run(*words)
    assert done.returncode == 2 and done.stdout == "" and "portctl: " in done.stderr
    assert not os.listdir(folder)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dry-run"],
        ["--current", "tcp/22"],
        ["--current", "--list"],
        ["--list", "--dry-run"],
        ["--list", "tcp/22"],
        ["--remove"],
        ["--check"],
        ["--check", "--dry-run", "/dev/null"],
        ["--json=short", "--list"],
        ["-j", "--list"],
        ["--port=22", "tcp/22"],
    ],
)
def test_usage(run, folder, arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == "" and "portctl: " in done.stderr
    assert not os.listdir(folder)


@pytest.mark.parametrize("what", ["directory", "link", "fifo"])
def test_what_is_no_file(run, folder, what, tmp_path):
    (folder / "expected.d").mkdir()
    path = folder / "expected.d" / OWN
    target = tmp_path / "target"
    target.write_text("tcp/1\n")
    if what == "directory":
        path.mkdir()
    elif what == "link":
        path.symlink_to(target)
    else:
        os.mkfifo(path)
    done = run("tcp/22")
    assert done.returncode == 1 and OWN in done.stderr
    assert target.read_text() == "tcp/1\n"
    assert os.listdir(folder / "expected.d") == [OWN]


def test_no_folder(run, folder):
    os.rmdir(folder)
    done = run("tcp/22")
    assert done.returncode == 1 and str(folder) in done.stderr


# Shown and checked


def test_list(run, folder):
    d = folder / "expected.d"
    assert run("--list").stdout == ""
    d.mkdir()
    (d / "90-last.rules").write_text("any/any   user=0\n")
    (d / "10-first.rules").write_text("# one\n\ntcp/22  exposure=any\nudp/53\n")
    (d / "20-masked.rules").symlink_to("/dev/null")
    (d / "30-other.rule").write_text("nothing of ours\n")
    (d / ".40-hidden.rules").write_text("nothing of ours\n")
    done = run("--list")
    assert done.stdout == (
        f"{d}/10-first.rules:3: tcp/22 exposure=any\n"
        f"{d}/10-first.rules:4: udp/53\n"
        f"{d}/90-last.rules:1: any/any user=0\n"
    )
    (d / "50-wrong.rules").write_text("tcp/22\n\ntcp/22 exposure=all\n")
    done = run("--list")
    assert done.returncode == 1 and f"{d}/50-wrong.rules:3:" in done.stderr


def test_check(run, tmp_path):
    good, bad, empty = (tmp_path / n for n in ("good", "bad", "empty"))
    good.write_text("tcp/22 unit=ssh.service\n# a comment\n\nudp/53 from=10.0.0.0/8")
    bad.write_text("tcp/22\ntcp/\n\nudp/53 colour=red\ntcp/25\nsctp2/1\ntcp/443 exposure=all")
    empty.write_text("")
    done = run("--check", good, empty)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("--check", good, bad, empty)
    assert done.returncode == 1 and done.stderr == ""
    places = [re.fullmatch(rf"{bad}:(\d+):(\d+): (\S.*)", l) for l in done.stdout.splitlines()]
    assert [(int(m[1]), int(m[2])) for m in places] == [(2, 5), (4, 8), (6, 1), (7, 18)]
    assert all("expected" in m[3] for m in places)
    done = run("--check", tmp_path / "missing", bad)
    assert done.returncode == 1 and "missing" in done.stderr and len(done.stdout.splitlines()) == 4


def test_check_takes_anything(run, tmp_path):
    """And ends, whatever it is."""
    for name, content in {
        "binary": bytes(range(256)) * 20,
        "long": b"tcp/22 unit=" + b"a" * 5000 + b"\n",
        "large": b"# filler\n" * 200_000,
        "many": b"".join(b"tcp/%d\n" % (n % 65535 + 1) for n in range(16385)),
        "broken": b"tcp\n" * 5000,
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        done = run("--check", path)
        assert done.returncode == 1 and done.stderr == "", name
        lines = done.stdout.splitlines()
        assert 0 < len(lines) <= 100, name
        assert all(re.match(rf"{path}:\d+:\d+: ", line) for line in lines), name
    assert run("--check", "/dev/zero").returncode == 1
    assert run("--check", tmp_path).returncode == 1


def test_check_is_for_everybody(build):
    """No daemon, no privilege."""
    with tempfile.TemporaryDirectory(dir="/tmp") as d:
        os.chmod(d, 0o755)
        path = os.path.join(d, "some.rules")
        with open(path, "w") as f:
            f.write("tcp/22\ntcp/x\n")
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65533", "--clear-groups"]
            + [build.portctl, "--socket=/nonexistent", "expect", "--check", path],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 1 and done.stdout.startswith(f"{path}:2:5: "), done.stderr
