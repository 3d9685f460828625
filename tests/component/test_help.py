"""Help, the manual page and the completion are renderings of one table, and agree."""

import re
import shutil
import subprocess

import pytest
import service

BERTH = service.binary()
WIDTH = 100


def berth(*argv, **env):
    return subprocess.run([BERTH, *argv], capture_output=True, text=True, timeout=10, env=env)


def printed(*argv):
    made = berth(*argv)
    assert (made.returncode, made.stderr) == (0, ""), made
    return made.stdout


def commands():
    return re.findall(r"^  (\w+) +\S", printed("help"), re.M)


COMMANDS = commands()


def flags_in_help(command):
    """{flag: (letter or None, default or None)}"""
    text = printed("help", command).split("\nOptions:\n")[1]
    found = {}
    for entry in re.split(r"\n(?=  (?:-\w, |    )--)", "\n" + text):
        match = re.match(r"  (?:-(\w), |    )--([a-z-]+)", entry)
        if match:
            body = " ".join(entry.split("\n\n")[0].split())
            default = re.search(r" \[([^]]*)\]$", body)
            found[match.group(2)] = (match.group(1), default and default.group(1))
    return found


def manual():
    return printed("help", "--man")


def plain(roff):
    return re.sub(r"\\\(ga", "`", roff.replace(r"\-", "-").replace(r"\e", "\\").replace(r"\&", ""))


def options_in_manual():
    """{flag: (letters, text, commands, commands of the letter)}"""
    section = re.search(r"^\.SH OPTIONS\n(.*?)^\.SH", plain(manual()), re.M | re.S).group(1)
    found = {}
    for entry in section.split(".TP\n.B ")[1:]:
        heading, _, text = entry.partition("\n")
        text = " ".join(text.split())
        match = re.fullmatch(r"(?:-(\w), )?--([a-z-]*)(?: .*)?", heading)
        takers = re.search(r"For: ([a-z, ]+?)(?: \(-\w: ([a-z, ]+)\))?\.$", text)
        takers_of = (takers.group(2) or takers.group(1)) if match.group(1) else ""
        found[match.group(2)] = (
            match.group(1), text, set(takers.group(1).split(", ")), set(filter(None, takers_of.split(", ")))
        )  # fmt: skip
    return found


def completed(*words):
    """What bash offers for the last word."""
    script = 'source <("$1" help --bash-completion); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _berth; '
    script += 'printf "%s\\n" "${COMPREPLY[@]}"'
    made = subprocess.run(["bash", "-euc", script, "-", BERTH, *words], capture_output=True, text=True, timeout=10)
    assert (made.returncode, made.stderr) == (0, ""), made
    return made.stdout.split()


def test_help_names_the_commands():
    assert {"up", "pull", "status", "version", "help"} <= set(COMMANDS)
    for argv in (["help"], ["--help"], ["-h"], []):
        assert printed(*argv) == printed("help")
    assert "75 temporary" in printed("help") and "78 wrong configuration" in printed("help")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    text = printed("help", command)
    assert text.startswith(f"Usage: berth {command}")
    assert printed(command, "--help") == text
    assert "\n\n\n" not in text
    for line in text.splitlines():
        assert len(line) <= WIDTH
        assert line == line.rstrip()


def test_help_of_nothing_is_a_usage_error():
    made = berth("help", "nonsense")
    assert (made.returncode, made.stdout) == (2, "")
    assert "there is no command 'nonsense'" in made.stderr


def test_help_works_where_the_configuration_does_not(tmp_path):
    assert berth("up", "--help", BERTH_PULL="nonsense", BERTH_CONFIG=str(tmp_path)).returncode == 0


def test_a_full_disk_is_not_success():
    with open("/dev/full", "w") as full:
        assert subprocess.run([BERTH, "help"], stdout=full, stderr=subprocess.DEVNULL, timeout=10).returncode == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_manual_and_completion_have_each_flag_of_the_help(command):
    helped = flags_in_help(command)
    assert "help" in helped
    manual_has = options_in_manual()
    assert {flag for flag, row in manual_has.items() if flag and command in row[2]} == set(helped)
    assert {word[2:] for word in completed("berth", command, "--")} == set(helped)
    for flag, (letter, default) in helped.items():
        letters, text, _, takers_of_letter = manual_has[flag]
        assert (letter is not None) == (command in takers_of_letter), flag
        assert letter in (None, letters)
        assert default is None or f"default {default}." in text, flag


def test_v_is_volume_for_up_and_verbose_elsewhere():
    manual_has = options_in_manual()
    assert manual_has["volume"][0] == manual_has["verbose"][0] == "v"
    assert manual_has["volume"][3] == {"up"}
    assert "up" in manual_has["verbose"][2] - manual_has["verbose"][3]


def test_manual_names_the_variable_of_each_option():
    for flag, (_, text, takers, _) in options_in_manual().items():
        variable = re.search(r"Variable: \.BR (\w+) \.", text)
        if variable and flag not in ("docker-host", "containerd-socket", ""):
            assert variable.group(1) == "BERTH_" + flag.upper().replace("-", "_")
        assert variable or takers <= {"status", "pull", "version", "help"} or flag == "help", flag


def test_manual_renders_without_a_warning(tmp_path):
    page = tmp_path / "berth.8"
    page.write_text(manual())
    made = subprocess.run(
        ["groff", "-man", "-ww", "-rLL=78n", "-Tutf8", "-P-c", page], capture_output=True, text=True, timeout=30
    )
    assert (made.returncode, made.stderr) == (0, "")
    text = re.sub(r".\x08", "", made.stdout)
    assert "berth up [IMAGE] [OPTIONS] [-- COMMAND...]" in text
    assert "--health-listen [IP]:PORT" in text
    if shutil.which("mandoc"):
        lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True, timeout=30)
        # Pages of reproducible builds have no date.
        assert [line for line in lint.stdout.splitlines() if "missing date" not in line] == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["berth", "p"], {"pull"}),
        (["berth", ""], set(COMMANDS)),
        (["berth", "up", "--probe-"], {"--probe-interval", "--probe-timeout", "--probe-rise", "--probe-fall"}),
        (["berth", "up", "--pull", ""], {"newer", "missing", "always", "never"}),
        (["berth", "up", "--pull", "n"], {"newer", "never"}),
        (["berth", "up", "--pull", "=", "n"], {"newer", "never"}),
        (["berth", "up", "--pull", "="], {"newer", "missing", "always", "never"}),
        (["berth", "up", "--env-file", ""], set()),  # bash offers file names then
        (["berth", "up", "img", "--", "--"], set()),
        (["berth", "pull", "--publ"], set()),
        (["berth", "help", "u"], {"up"}),
        (["berth", "help", "--m"], {"--man"}),
        (["berth", "nonsense", ""], set()),
    ],
)
def test_bash_offers(words, offered):
    assert set(completed(*words)) == offered
