# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make install` puts where, before anything runs."""

import os
import re
import stat

PROGRAMS = ["/usr/sbin/portwatchd", "/usr/libexec/portwatch/portwatch-answer", "/usr/bin/portctl"]
UNITS = ["portwatchd.service", "portwatch.socket"]
FILES = PROGRAMS + [
    "/etc/portwatch/portwatch.conf",
    "/usr/lib/systemd/system/portwatchd.service",
    "/usr/lib/systemd/system/portwatch.socket",
    "/usr/lib/sysusers.d/portwatch.conf",
    "/usr/lib/tmpfiles.d/portwatch.conf",
    "/usr/lib/systemd/catalog/portwatch.catalog",
    "/usr/share/portwatch/service-names.tsv",
    "/usr/share/man/man8/portwatchd.8",
    "/usr/share/man/man1/portctl.1",
    "/usr/share/man/man5/portwatch.conf.5",
    "/usr/share/man/man7/io.portwatch.7",
    "/usr/share/bash-completion/completions/portctl",
]


def test_files(installed):
    missing = [f for f in FILES if not os.path.isfile(installed.path(f))]
    assert not missing
    for program in PROGRAMS:
        assert stat.S_IMODE(os.stat(installed.path(program)).st_mode) == 0o755


def test_programs_know_their_version(installed):
    for program in ("portwatchd", "portctl"):
        assert re.fullmatch(rf"{program} \d+\.\d+\.\d+\n", installed.run(program, "--version").stdout)


def test_users(installed):
    for user in ("portwatch", "portwatch-answer"):
        name, _, uid, _, _, _, shell = installed.run("getent", "passwd", user).stdout.strip().split(":")
        assert name == user and 0 < int(uid) < 1000 and shell.endswith("nologin")
    assert installed.run("getent", "group", "portwatch").stdout.startswith("portwatch:")
    assert installed.run("id", "-Gn", "portwatch-answer").stdout.split() == ["portwatch-answer"]


def test_runtime_folder(installed):
    done = installed.run("stat", "-c", "%U:%G %a", "/run/portwatch")
    assert done.stdout.strip() == "portwatch:portwatch 755"


def test_units_are_well_formed(installed):
    done = installed.run("systemd-analyze", "verify", *UNITS)
    assert done.stdout + done.stderr == ""


def test_exposure_is_low(installed):
    """What it needs of the host is worth 3.5 points of systemd's; a line lost from the unit shows."""
    done = installed.run(
        "systemd-analyze", "security", "--threshold=35", "portwatchd.service", check=False
    )
    assert done.returncode == 0, done.stdout


def test_no_service_yet(installed):
    """Installing starts nothing, and portctl says what to do."""
    done = installed.portctl("status", check=False)
    assert done.returncode == 3
    assert "systemctl start portwatch" in done.stderr


def test_installing_again_keeps_the_configuration(installed):
    path = installed.path("/etc/portwatch/portwatch.conf")
    with open(path) as f:
        shipped = f.read()
    installed.write("/etc/portwatch/portwatch.conf", "# mine\n" + shipped)
    installed.make("install")
    with open(path) as f:
        assert f.read() == "# mine\n" + shipped
    installed.write("/etc/portwatch/portwatch.conf", shipped)
