"""What berth's Docker client makes of what an engine says about containers."""

import pytest
from docker_driver import *  # noqa: F403 its fixtures too
from docker_driver import drive
from fake_docker import answer, chunked


def inspect_of(**changes):
    """A container's inspect with some parts replaced; NAME__MEMBER goes one level down."""
    found = {
        "Id": "0" * 64,
        "Name": "/web",
        "Image": "sha256:" + "1" * 64,
        "RestartCount": 2,
        "State": {"Status": "running", "Running": True, "ExitCode": 0, "StartedAt": "2024-05-06T07:08:09.5Z"},
        "Config": {"Labels": {"io.berth.name": "web", "io.berth.generation": "3", "other": "x"}, "Tty": False},
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}},
    }
    for name, value in changes.items():
        part, _, member = name.partition("__")
        found[part] = found[part] | {member: value} if member else value
    return found


def networks(**addresses):
    return {"Networks": {name: dict(zip(("IPAddress", "GlobalIPv6Address"), pair)) for name, pair in addresses.items()}}


# Changes to the inspect above, and what berth makes of it.
INSPECTS = {
    "as it is": ({}, {"name": "web", "address": "172.17.0.2", "label_name": "web", "label_generation": "3"}),
    "times and counts": ({}, {"started_ms": 1714979289500, "restart_count": 2, "running": True, "status": "running"}),
    "never started": ({"State__StartedAt": "0001-01-01T00:00:00Z"}, {"started_ms": 0}),
    "network of the mode": (
        {
            "HostConfig__NetworkMode": "own",
            "NetworkSettings": networks(aaa=("10.0.0.9", ""), own=("10.1.0.2", "")),
        },
        {"address": "10.1.0.2"},
    ),
    "another network": (
        {"HostConfig__NetworkMode": "gone", "NetworkSettings": networks(x=("", ""), y=("10.0.0.9", ""))},
        {"address": "10.0.0.9"},
    ),
    "IPv6 only": ({"NetworkSettings": networks(bridge=("", "2001:db8::2"))}, {"address": "2001:db8::2"}),
    "host network": (
        {"HostConfig__NetworkMode": "host", "NetworkSettings": networks(host=("", ""))},
        {"address": "", "host_network": True},
    ),
    "no network": ({"NetworkSettings": {"Networks": None}}, {"address": "", "host_network": False}),
    "no labels": ({"Config__Labels": None}, {"label_name": None}),
    "Podman's ID": ({"Image": "2" * 64}, {"image_id": "sha256:" + "2" * 64}),
    "healthy": (
        {"State__Health": {"Status": "healthy", "Log": [{"Output": "old"}, {"Output": "\nfine\nmore"}]}},
        {"health": "healthy", "health_log": "fine"},
    ),
    "no healthcheck": ({"State__Health": {"Status": "none", "Log": None}}, {"health": "", "health_log": ""}),
    "NUL in the health log": (
        {"State__Health": {"Status": "unhealthy", "Log": [{"Output": "a\0b"}]}},
        {"health": "unhealthy", "health_log": "a\ufffdb"},
    ),
    "long health log": ({"State__Health": {"Log": [{"Output": "x" * 4096}]}}, {"health_log": "x" * 255}),
}
BAD_INSPECTS = [
    {"State": None},
    {"State__Running": "yes"},
    {"State__ExitCode": 1.5},
    {"State__Status": 1},
    {"Id": None},
    {"Config": []},
    {"HostConfig__NetworkMode": 1},
]


LOGS = {
    "two streams": (b"\1\0\0\0\0\0\0\6hello\n\2\0\0\0\0\0\0\6world\n", "hello\nworld\n"),
    "nothing": (b"", ""),
    "ends after a head": (b"\1\0\0\0\0\0\0\1", ""),
    "escape sequences": (b"\2\0\0\0\0\0\0\5\x1b[2Jx", "?[2Jx"),
    "a frame of 4 GiB": (b"\1\0\0\0\xff\xff\xff\xff" + b"y" * 300_000, "y" * 65536),
}


class TestContainer:
    @pytest.mark.parametrize("row", INSPECTS)
    def test_inspect(self, fake, row):
        changes, want = INSPECTS[row]
        found = drive(fake({"/containers/web/json": (200, inspect_of(**changes))}).host, "inspect", "web").json
        assert {key: found[key] for key in want} == want

    @pytest.mark.parametrize("changes", BAD_INSPECTS)
    def test_inspect_that_makes_no_sense(self, fake, changes):
        result = drive(fake({"/containers/web/json": (200, inspect_of(**changes))}).host, "inspect", "web")
        assert (result.kind, result.code) == ("protocol", 1)

    def test_the_address_of_another_container(self, fake):
        docker = fake(
            {
                "/containers/web/json": (
                    200,
                    inspect_of(HostConfig__NetworkMode="container:db", NetworkSettings=networks()),
                ),
                "/containers/db/json": (200, inspect_of(Name="/db")),
            }
        )
        assert drive(docker.host, "inspect", "web").json["address"] == "172.17.0.2"

    def test_names_are_escaped(self, fake):
        docker = fake({"/containers/..%2Finfo/json": (404, {"message": "none"})})
        assert drive(docker.host, "inspect", "../info").kind == "not-found"

    @pytest.mark.parametrize("row", LOGS)
    def test_logs(self, fake, row):
        frames, want = LOGS[row]
        docker = fake(
            {"/containers/web/json": (200, inspect_of()), "/containers/web/logs": chunked(*([frames] if frames else []))}
        )
        assert drive(docker.host, "logs", "web", 10).json == want

    def test_logs_keep_the_last_whole_lines(self, fake):
        line = b"\1\0\0\0\0\0\0\x64" + b"z" * 99 + b"\n"
        docker = fake(
            {"/containers/web/json": (200, inspect_of()), "/containers/web/logs": chunked(line * 3000, line)}
        )
        text = drive(docker.host, "logs", "web", 5000).json
        assert 60_000 < len(text) <= 65536 and text.startswith("z" * 99 + "\n")

    def test_logs_of_a_terminal_have_no_frames(self, fake):
        docker = fake(
            {"/containers/web/json": (200, inspect_of(Config__Tty=True)), "/containers/web/logs": chunked("hello\r\n")}
        )
        assert drive(docker.host, "logs", "web", 10).json == "hello\n"

    def test_logs_without_frames(self, fake):
        docker = fake({"/containers/web/json": (200, inspect_of()), "/containers/web/logs": chunked("hello there")})
        assert drive(docker.host, "logs", "web", 10).kind == "protocol"

    def test_exec_waits_for_the_end(self, fake):
        left = [True, True, False]
        docker = fake(
            {
                "/containers/web/exec": (201, {"Id": "e1"}),
                "/exec/e1/start": chunked(b"\1\0\0\0\0\0\0\2ok"),
                "/exec/e1/json": lambda h: h.reply(answer(200, {"Running": left.pop(0), "ExitCode": 7})),
            }
        )
        assert drive(docker.host, "exec", "web", 5000, 100, "true").json == {"exit_code": 7, "output": "ok"}

    def test_exec_that_never_ends(self, fake):
        docker = fake(
            {
                "/containers/web/exec": (201, {"Id": "e1"}),
                "/exec/e1/start": chunked(),
                "/exec/e1/json": (200, {"Running": True, "ExitCode": None}),
            }
        )
        result = drive(docker.host, "exec", "web", 500, 100, "true")
        assert result.kind == "timeout" and result.seconds < 2

    @pytest.mark.parametrize("body", [{}, {"Id": ""}, {"Id": "x" * 65}, {"Id": 1}], ids=str)
    def test_create_answers_nonsense(self, fake, body):
        docker = fake({"/containers/create": (201, body)})
        assert drive(docker.host, "create", "web", "{}").kind == "protocol"
