# SPDX-License-Identifier: GPL-2.0-or-later
"""The manuals: well-formed, installed, and true of the programs as they are."""

import os
import re
import shutil
import subprocess

import pytest

from harness.build import TOP

PAGES = {
    "portctl": "portctl.1",
    "portwatch.conf": "portwatch.conf.5",
    "portwatch.rules": "portwatch.rules.5",
    "io.portwatch": "io.portwatch.7",
    "portwatchd": "portwatchd.8",
}
DOCUMENTS = ("COPYING", "README.md")


def path(page):
    return os.path.join(TOP, "man", page)


def source(page):
    with open(path(page)) as f:
        return f.read()


def text(page):
    """As a reader sees it, in one line: words are apart by one blank."""
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc: package mandoc")
    done = subprocess.run(
        ["mandoc", "-T", "ascii", path(page)], check=True, stdout=subprocess.PIPE, text=True
    )
    return " ".join(re.sub(r".\x08", "", done.stdout).split())


def section(page, name):
    """The source of a section or subsection, up to the next one of its rank."""
    head = re.compile(rf"^\.(Sh|Ss) \"?{re.escape(name)}\"?$", re.M)
    begin = head.search(source(page))
    assert begin, f"{page} has no section {name}"
    rest = source(page)[begin.end() :]
    end = re.search(r"^\.Sh " if begin[1] == "Sh" else r"^\.S[hs] ", rest, re.M)
    return rest[: end.start()] if end else rest


def items(mdoc):
    """The words of the tags of its lists: `.It Cm a , b` is a and b."""
    words = set()
    for line in re.findall(r"^\.It (.+)$", mdoc, re.M):
        tag = re.split(r" (?:Ns|Ta|Pq|Ar)\b", line.replace("Pq reload", ""))[0]
        words |= {w for w in tag.split() if w not in (",", "Cm", "Fl", "Ev", "Pa", "Fn")}
    return words


# Well-formed


def test_there_is_a_page_for_each():
    assert sorted(os.listdir(os.path.join(TOP, "man"))) == sorted(PAGES.values())


@pytest.mark.parametrize("page", PAGES.values())
def test_mandoc_has_nothing_to_say(page):
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc: package mandoc")
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", path(page)], stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES.values())
def test_man_has_nothing_to_say(page):
    """Its exit status is always 0; what it does not like is on standard error."""
    if not shutil.which("man"):
        pytest.skip("no man: package man-db")
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path(page)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"},
    )
    assert done.stderr == ""


@pytest.mark.parametrize("page", PAGES.values())
def test_each_page_has_examples(page):
    assert len(section(page, "EXAMPLES").splitlines()) > 5


def test_pages_and_documents_are_installed():
    with open(os.path.join(TOP, "Makefile.am")) as f:
        makefile = f.read().replace("\\\n", " ")
    pages = re.search(r"^dist_man_MANS *=(.*)$", makefile, re.M)[1].split()
    assert sorted(pages) == sorted("man/" + p for p in PAGES.values())
    documents = re.search(r"^dist_doc_DATA *=(.*)$", makefile, re.M)[1].split()
    assert set(DOCUMENTS) <= set(documents)
    for name in (*pages, *documents):
        assert os.path.getsize(os.path.join(TOP, name)) > 0
    assert "HACKING.md" in makefile


# portctl and portwatchd


def help_of(program):
    return subprocess.run([program, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout


def options_of_help(text):
    """Each option at the beginning of a line; not those that the text beside it mentions."""
    found = set()
    for line in text.splitlines():
        m = re.match(r" +((?:-\w)?(?:, )?(?:--[\w-]+)?)(?:=\S+)?(?: |$)", line)
        if m and m[1]:
            found |= set(m[1].split(", "))
    return found


def options_of_page(page):
    found = set()
    for line in re.findall(r"^\.It (Fl .+)$", source(page), re.M):
        found |= {"-" + word for word in re.findall(r"\bFl ([\w-]+)", line)}
    return found


@pytest.mark.parametrize("program", ("portctl", "portwatchd"))
def test_options_are_those_of_the_help(build, program):
    of_help = options_of_help(help_of(getattr(build, program)))
    assert len(of_help) > 5 and "--help" in of_help
    assert options_of_page(PAGES[program]) == of_help


def test_options_of_the_daemon_are_in_the_synopsis():
    synopsis = section("portwatchd.8", "SYNOPSIS")
    assert options_of_page("portwatchd.8") == {
        "-" + o for o in re.findall(r"Fl ([\w-]+)", synopsis)
    }


def test_verbs_are_those_of_the_help(build):
    verbs = re.search(r"\nVerbs:\n(.*?)\n\n", help_of(build.portctl), re.S)[1]
    of_help = {line.split()[0] for line in verbs.splitlines()}
    assert len(of_help) > 5
    assert items(section("portctl.1", "Verbs")) == of_help


def columns(build, verb):
    done = subprocess.run(
        [build.portctl, verb, "--columns=help"], check=True, stdout=subprocess.PIPE, text=True
    )
    return {line.split()[0] for line in done.stdout.splitlines()}


def test_columns_are_those_of_the_verbs(build):
    """Each with the letters of the tables that have it."""
    tables = {"L": "listeners", "C": "connections", "E": "history"}
    have = {letter: columns(build, verb) for letter, verb in tables.items()}
    page = section("portctl.1", "COLUMNS")
    found = {}
    for name, letters in re.findall(r"^\.It Cm (\S+) Ta ([LCE ]+) Ta ", page, re.M):
        found[name] = set(letters.split())
    assert found == {
        name: {letter for letter in tables if name in have[letter]}
        for name in set().union(*have.values())
    }
    assert set(re.findall(r"^\.It Cm (\S+) Ta (?![LCE ]+ Ta )", page, re.M)) == columns(
        build, "counts"
    )


def test_variables_are_those_that_the_programs_ask_for():
    for page, room in (("portctl.1", "cli"), ("portwatchd.8", "daemon")):
        asked = set()
        for folder, _, files in os.walk(os.path.join(TOP, room)):
            for name in files:
                with open(os.path.join(folder, name)) as f:
                    asked |= set(re.findall(r'getenv\("(\w+)"\)', f.read()))
        assert asked and asked <= items(section(page, "ENVIRONMENT"))


def examples():
    return re.findall(r"^\.Dl (portctl\b.*)$", section("portctl.1", "EXAMPLES"), re.M)


def test_examples_work(shared):
    """Those that end by themselves, on this machine, each as it stands; without rules."""
    ran = 0
    for command in examples():
        if re.search(r" (-f|-H \S+|follow|check)\b", command):
            continue
        done = shared.namespace.run(
            ["sh", "-c", command.replace("\\e", "\\")],
            check=False,
            env={
                **os.environ,
                "PATH": os.path.dirname(shared.build.portctl) + ":" + os.environ["PATH"],
                "PORTWATCH_SOCKET": shared.socket_path,
            },
        )
        # grep finds nothing where nothing is.
        assert done.returncode == 0 or ("grep" in command and done.returncode == 1), command
        assert done.stderr == "", command
        ran += 1
    assert ran >= 8


# portwatch.conf


def keys_of_file():
    """From the file as it is shipped, which is checked against the program's table elsewhere."""
    with open(os.path.join(TOP, "etc", "portwatch.conf")) as f:
        lines = f.read()
    found = {}
    for takes, key, value in re.findall(r"# Takes ([^\n]+)\.\n#(\w+)=(.*)", lines):
        found[key] = (takes, value)
    assert len(found) == len(re.findall(r"^#\w+=", lines, re.M)) > 10
    return found


def test_keys_are_those_of_the_file():
    assert items(section("portwatch.conf.5", "DESCRIPTION")) >= set(keys_of_file())
    assert set(re.findall(r"^\.It Cm (\w+) Ns =", source("portwatch.conf.5"), re.M)) == set(
        keys_of_file()
    )


def test_keys_have_their_defaults_and_bounds():
    page = text("portwatch.conf.5")
    # A key's paragraph reaches from its tag to its default.
    for key, (takes, default) in keys_of_file().items():
        about = re.search(rf" {key}= .*?Default: (\S+?)\.? ", page)
        assert about and about[1].rstrip(".") == (default or "nothing"), key
        bounds = re.search(r"from (\w+) to (\w+)", takes)
        if bounds:
            assert bounds[0] in about[0], key
        else:
            words = re.findall(r"\w+", takes) if " or " in takes and "name" not in takes else []
            assert all(w in about[0] for w in words if w != "or"), key


# portwatch.rules


def check_rules(build, folder, rules):
    """What portctl says of a file of rules."""
    file = os.path.join(folder, "manual.rules")
    with open(file, "w") as f:
        f.write(rules)
    return subprocess.run(
        [build.portctl, "expect", "--check", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_keys_of_rules_are_those_there_are(build, tmp_path):
    said = check_rules(build, tmp_path, "tcp/1 nothing=1\n")
    assert said.returncode == 1
    keys = re.search(r"expected a key: (.*)", said.stdout)[1].replace(" or ", ", ").split(", ")
    assert len(keys) > 5
    assert re.findall(r"^\.It Cm (\w+) Ns =", source("portwatch.rules.5"), re.M) == keys


def test_examples_of_rules_are_rules(build, tmp_path):
    found = re.findall(
        r"^\.Bd -literal.*?\n(.*?)^\.Ed$",
        section("portwatch.rules.5", "EXAMPLES"),
        re.M | re.S,
    )
    assert len(found) > 3
    for rules in found:
        said = check_rules(build, tmp_path, rules.replace("\\(dq", '"'))
        assert said.returncode == 0, (rules, said.stdout)


def test_bounds_of_rules_are_those_of_the_program():
    page = text("portwatch.rules.5")
    with open(os.path.join(TOP, "lib", "rules.h")) as f:
        header = f.read()
    longest = int(re.search(r"RULE_TEXT_SIZE +(\d+)", header)[1]) - 1
    assert f"in its shortest form, at most {longest};" in page
    assert f"at most {re.search(r'RULES_MAX +([0-9]+)', header)[1]} rules" in page


# io.portwatch


def fields_of(t):
    kind, *rest = t
    if kind == "struct":
        return set(rest[0])
    return set()


def test_the_interface_is_explained(interface):
    page = source("io.portwatch.7")
    for name in interface.methods:
        assert re.search(rf"^\.It Fn {name}\b", page, re.M), name
    for name in interface.errors:
        assert f"io.portwatch.{name}" in page, name
    words = set(re.findall(r"\w+", page))
    for name, t in interface.types.items():
        for field in fields_of(t):
            assert field in words, f"{name}.{field}"
        if t[0] == "enum":
            assert set(t[1]) <= words, name


def test_parameters_of_methods_are_named(interface):
    page = source("io.portwatch.7")
    for name, (takes, gives) in interface.methods.items():
        line = re.search(rf"^\.It Fn {name}\b(.*)$", page, re.M)[1].split()
        assert set(line) == fields_of(takes), name
        assert all(re.search(rf"\b{f}\b", page) for f in fields_of(gives)), name


def test_types_are_explained_field_by_field(interface):
    types = ("Filter", "Endpoint", "Owner", "Listener", "Connection", "Event", "Count", "Biography")
    for name in types:
        assert items(section("io.portwatch.7", name)) == fields_of(interface.types[name]), name


def test_status_is_explained(shared):
    status = shared.call("Status")
    losses = {loss["where"] for loss in status["losses"]}
    assert losses and items(section("io.portwatch.7", "STATUS")) == set(status) | losses
