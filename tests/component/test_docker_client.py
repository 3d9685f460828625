"""berth's Docker client: against engines that misbehave by script, and against real ones."""

import contextlib
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import lab
import pytest
from fake_docker import FakeDocker, answer, chunked, stale_socket
from lab import images

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_docker"
WAIT_MS = 1500


class Result:
    """What one run of the driver came to: its exit code, its JSON lines, its error's kind and text."""

    def __init__(self, done, seconds):
        self.code = done.returncode
        self.lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.json = self.lines[-1] if self.lines else None
        self.kind, _, self.error = done.stderr.strip().partition(": ")
        self.seconds = seconds


def drive(host, *command, prefix=(), timeout=60):
    start = time.monotonic()
    argv = [*prefix, DRIVER, str(host), *map(str, command)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    assert done.returncode in (0, 1, 2, 75, 78), f"{done.returncode}: {done.stderr}"
    return Result(done, time.monotonic() - start)


@pytest.fixture
def socket_path(tmp_path):
    return tmp_path / "docker.sock"


@pytest.fixture
def fake(socket_path):
    """fake({path: answer}) starts a scripted engine."""
    with contextlib.ExitStack() as stack:
        yield lambda script=None: stack.enter_context(FakeDocker(socket_path, script))


class TestSocket:
    def test_absent_while_docker_is_installed_is_waited_for(self, socket_path):
        result = drive(f"unix://{socket_path}", "wait", WAIT_MS)
        assert (result.kind, result.code) == ("network", 75)
        assert "Docker is not running" in result.error and "systemctl enable --now docker" in result.error
        assert 0.5 < result.seconds < 3

    def test_appears_while_waiting(self, socket_path):
        with contextlib.ExitStack() as stack:
            later = threading.Timer(0.7, lambda: stack.enter_context(FakeDocker(socket_path)))
            later.start()
            result = drive(f"unix://{socket_path}", "wait", 10000)
            later.join()
        assert result.code == 0 and result.json["api"] == "1.45"
        assert result.seconds < 4

    def test_no_docker_at_all_is_said_at_once(self, socket_path, tmp_path):
        nothing = tmp_path / "nothing"
        nothing.write_text("")
        hide = "".join(
            f"mount --bind {nothing} {program}\n"
            for directory in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
            for program in (f"{directory}/dockerd", f"{directory}/podman")
            if os.path.exists(program)
        )
        prefix = ["unshare", "--mount", "sh", "-ec", f'{hide}exec "$@"', "sh"]
        result = drive(f"unix://{socket_path}", "wait", 10000, prefix=prefix)
        assert (result.kind, result.code) == ("not-found", 1)
        assert "dnf install -y docker" in result.error
        assert result.seconds < 2

    def test_whose_server_died_is_waited_for(self, socket_path):
        stale_socket(socket_path)
        result = drive(f"unix://{socket_path}", "connect")
        assert (result.kind, result.code) == ("network", 75)
        assert "nobody answers" in result.error

    def test_without_permission(self, fake, socket_path, tmp_path):
        fake()
        os.chmod(socket_path, 0o600)
        for directory in (tmp_path, *tmp_path.parents[:2]):
            os.chmod(directory, 0o755)
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        result = drive(f"unix://{socket_path}", "connect", prefix=prefix)
        assert (result.kind, result.code) == ("denied", 1)
        assert "root" in result.error


# What the first three answers are made of, and what berth says to it.
VERSION = {"Version": "1", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}
UNUSABLE = {
    "hangs": ({"/_ping": None}, "timeout", 75),
    "hangs at info": ({"/info": None}, "timeout", 75),
    "closes without a word": ({"/_ping": lambda handler: None}, "network|protocol", None),
    "speaks no HTTP": ({"/_ping": b"SSH-2.0-OpenSSH_9.2\r\n"}, "protocol", 1),
    "half a head": ({"/_ping": b"HTTP/1.1 200 OK\r\nApi-Ver"}, "network|protocol", None),
    "half a body": (
        {"/version": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"ApiVersion":"1.4'},
        "network|protocol",
        None,
    ),
    "half a chunk": ({"/version": chunked('{"ApiVersion"', end=False)}, "network|protocol", None),
    "endless head": (
        {"/_ping": b"HTTP/1.1 200 OK\r\n" + b"X-Header: value\r\n" * 100000},
        "protocol|limit",
        1,
    ),
    "endless 1xx": ({"/_ping": b"HTTP/1.1 100 Continue\r\n\r\n" * 100000}, "protocol|limit|network", None),
    "not healthy yet": ({"/_ping": (500, {"message": "starting"})}, "failed", 75),
    "a stranger": ({"/_ping": (404, "<html>nginx</html>")}, "not-found", 1),
    "no version": ({"/version": (200, {})}, "protocol", 1),
    "version without sense": ({"/version": (200, {"ApiVersion": "latest"})}, "protocol", 1),
    "version of another type": ({"/version": (200, {"ApiVersion": 1.45})}, "protocol", 1),
    "version too large": ({"/version": (200, {"ApiVersion": "1.99999999999"})}, "protocol", 1),
    "version not JSON": ({"/version": (200, "1.45")}, "protocol", 1),
    "version empty": ({"/version": (200, "")}, "protocol", 1),
    "version a string": ({"/version": (200, '"1.45"')}, "protocol", 1),
    "JSON twice": ({"/version": (200, json.dumps(VERSION) * 2)}, "protocol", 1),
    "name twice": ({"/version": (200, '{"ApiVersion":"1.45","ApiVersion":"1.24"}')}, "protocol", 1),
    "deep JSON": ({"/info": (200, "[" * 1000 + "]" * 1000)}, "limit", 1),
    "many values": ({"/info": (200, '{"a":[' + "0," * 1500000 + "0]}")}, "limit", 1),
    "20 MB": ({"/info": (200, '{"a":"' + "x" * 20_000_000 + '"}')}, "limit", 1),
    "negative memory": ({"/info": (200, {"MemTotal": -1})}, "protocol", 1),
    "a redirect": ({"/info": answer(302, "", [("Location", "http://169.254.169.254/")])}, "protocol", 1),
    "too new": ({"/version": (200, {"ApiVersion": "1.70", "MinAPIVersion": "1.60"})}, "protocol", 1),
}


class TestConnect:
    @pytest.mark.parametrize("row", UNUSABLE)
    def test_an_engine_that_cannot_be_used(self, fake, row):
        script, kinds, code = UNUSABLE[row]
        result = drive(fake(script).host, "wait", WAIT_MS)
        assert result.kind in kinds.split("|"), result.error
        assert result.code == code or (code is None and result.code in (1, 75))
        assert result.seconds < WAIT_MS / 1000 + 2

    def test_too_new_says_what_to_do(self, fake):
        script, _, _ = UNUSABLE["too new"]
        error = drive(fake(script).host, "connect").error
        assert "API 1.60 and newer" in error and "install a newer berth" in error

    @pytest.mark.parametrize(
        "engine, header, agreed",
        [("1.41", None, "1.41"), ("1.55", None, "1.51"), ("1.41", "1.44", "1.44"), ("2.0", None, "1.51")],
    )
    def test_agrees_on_the_older_version(self, fake, engine, header, agreed):
        headers = [("Api-Version", header)] if header else []
        docker = fake(
            {"/_ping": answer(200, "OK", headers), "/version": (200, {"ApiVersion": engine, "MinAPIVersion": "1.24"})}
        )
        assert drive(docker.host, "connect").json["api"] == agreed
        assert docker.requests[-1] == ("GET", f"/v{agreed}/info")

    @pytest.mark.parametrize(
        "script, store",
        [
            ({}, 0),
            ({"/info": (200, {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})}, 1),
            ({"/info": (200, {"DriverStatus": [["driver-type"], [], None, 7, {}]})}, 0),
            ({"/info": (200, {"DriverStatus": "overlay"})}, 0),
            ({"/version": (200, VERSION | {"Components": [{"Name": "Podman Engine"}]})}, 2),
            ({"/_ping": answer(200, "OK", [("Libpod-Api-Version", "4.3.1")])}, 2),
        ],
    )
    def test_knows_the_store(self, fake, script, store):
        assert drive(fake(script).host, "connect").json["store"] == store

    def test_reads_where_containerd_is(self, fake):
        info = {
            "Driver": "overlayfs",
            "DockerRootDir": "/var/lib/docker",
            "MemTotal": 8_000_000_000,
            "NCPU": 2,
            "Containerd": {"Address": "/run/c.sock", "Namespaces": {"Containers": "moby", "Plugins": "p"}},
            "SecurityOptions": ["name=seccomp,profile=default", "name=userns"],
        }
        found = drive(fake({"/info": (200, info)}).host, "connect").json
        assert (found["containerd_address"], found["containerd_namespace"]) == ("/run/c.sock", "moby")
        assert found["userns_or_rootless"] and found["root_dir"] == "/var/lib/docker"
        assert (found["mem_bytes"], found["n_cpu"]) == (8_000_000_000, 2)


# A status and a body, and the kind and text they become.
STATUSES = [
    (400, {"message": "bad parameter"}, "failed", "bad parameter"),
    (401, {"message": "who are you"}, "denied", "who are you"),
    (403, {"message": "no"}, "denied", "no"),
    (404, {"message": "No such thing\n"}, "not-found", "No such thing"),
    (409, {"message": "in use"}, "conflict", "in use"),
    (500, {"message": "driver failed", "cause": "x"}, "failed", "driver failed"),
    (500, {"message": "red \x1b[31malert"}, "failed", "red ?[31malert"),
    (500, {"message": 7}, "failed", "status 500"),
    (500, "plain text", "failed", "plain text"),
    (500, "", "failed", "status 500"),
    (502, "<html>" + "x" * 100_000, "failed", "<html>"),
    (301, "", "protocol", "status 301"),
]


class TestCall:
    @pytest.mark.parametrize("status, body, kind, text", STATUSES)
    def test_an_error(self, fake, status, body, kind, text):
        result = drive(fake({"/x": (status, body)}).host, "call", "GET", "/x", 5000)
        assert (result.kind, result.code) == (kind, 1)
        assert text in result.error and len(result.error) < 800

    @pytest.mark.parametrize("status, body", [(204, ""), (304, ""), (200, "")])
    def test_success_without_an_answer(self, fake, status, body):
        raw = f"HTTP/1.1 {status} Fine\r\n" + ("Content-Length: 0\r\n" if status == 200 else "") + "\r\n"
        assert drive(fake({"/x": raw.encode()}).host, "call", "POST", "/x", 5000).json is None

    def test_a_hang_ends_at_the_deadline(self, fake):
        result = drive(fake({"/x": None}).host, "call", "GET", "/x", 500)
        assert (result.kind, result.code) == ("timeout", 75)
        assert 0.4 < result.seconds < 2

    def test_an_answer_that_trickles_ends_at_the_deadline(self, fake):
        def trickle(handler):
            handler.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(100):
                handler.reply(b" ")
                time.sleep(0.05)

        result = drive(fake({"/x": trickle}).host, "call", "GET", "/x", 500)
        assert result.kind == "timeout" and result.seconds < 2


PROGRESS = '{"status":"Loading layer","progressDetail":{"current":1,"total":2},"id":"abc"}\r\n'
LOADED = '{"stream":"Loaded image: app:v1\\n"}\r\n'

# Chunks of a 200 answer to a load, and the error it is; None: success.
STREAMS = {
    "progress": ([PROGRESS, PROGRESS, LOADED], None),
    "several in one chunk": ([PROGRESS * 3 + LOADED], None),
    "one byte a chunk": (list(PROGRESS + LOADED), None),
    "nothing": ([], None),
    "errorDetail": ([PROGRESS, '{"errorDetail":{"code":1,"message":"no space left on device"},"error":"x"}'], "no space"),
    "errorDetail cut in the middle": ([PROGRESS + '{"errorDetail":{"mess', 'age":"broken layer"}}'], "broken layer"),
    "errorDetail without reason": (['{"errorDetail":{}}'], "no reason"),
    "error alone": (['{"error":"denied"}', PROGRESS], "denied"),
    "error, then more and another": (['{"error":"first"}', PROGRESS, '{"error":"second"}', LOADED], "first"),
    "error unpacking": (
        ['{"stream":"Error unpacking image app:v1: unexpected EOF\\n"}', LOADED],
        "Error unpacking image app:v1: unexpected EOF",
    ),
    "output that speaks of errors": (['{"stream":"Errors: 0, error unpacking: 0\\n"}'], None),
    "NUL in a message": (['{"stream":"a\\u0000b"}'], None),
    "text": (["Loaded image: app:v1\n"], "protocol"),
    "ends in a message": ([PROGRESS + '{"stream":"Loa'], "protocol"),
    "not JSON": (["{loaded}"], "protocol"),
    "2 MB in one message": (['{"stream":"' + "x" * 2_000_000 + '"}'], "limit"),
}


class TestStream:
    @pytest.mark.parametrize("row", STREAMS)
    def test_a_load(self, fake, tmp_path, row):
        chunks, error = STREAMS[row]
        (tmp_path / "tar").write_bytes(b"x" * 3_000_000)
        docker = fake({"/images/load": chunked(*chunks)})
        result = drive(docker.host, "stream", "POST", "/images/load", 5000, tmp_path / "tar")
        if error is None:
            assert result.code == 0, result.error
        else:
            assert error in (result.kind, result.error) or error in result.error
            assert result.code == 1
        if error not in ("protocol", "limit"):
            whole = "".join(chunks)
            assert result.json["messages"] == sum(whole.count(head) for head in ('{"status', '{"stream', '{"error'))

    def test_no_space_says_what_to_do(self, fake):
        docker = fake({"/images/load": chunked(*STREAMS["errorDetail"][0])})
        assert "make room" in drive(docker.host, "stream", "POST", "/images/load", 5000).error

    def test_silence_is_cut(self, fake):
        def stall(handler):
            handler.reply(chunked(PROGRESS, end=False))
            time.sleep(10)

        result = drive(fake({"/images/create": stall}).host, "stream", "POST", "/images/create", 1000)
        assert (result.kind, result.code) == ("timeout", 75)
        assert result.seconds < 5

    def test_an_upload_nobody_reads_is_cut(self, fake, tmp_path):
        (tmp_path / "tar").write_bytes(b"x" * 8_000_000)
        result = drive(
            fake({"/images/load": lambda handler: time.sleep(10)}).host,
            *("stream", "POST", "/images/load", 1000, tmp_path / "tar"),
        )
        assert (result.kind, result.code) == ("timeout", 75)
        assert result.seconds < 6

    def test_refused_before_the_upload_ends(self, fake, tmp_path):
        (tmp_path / "tar").write_bytes(b"x" * 8_000_000)

        def refuse(handler):
            handler.rfile.read(1000)
            handler.reply(answer(500, {"message": "disk is read-only"}, [("Connection", "close")]))
            handler.rfile.read(20_000_000)

        result = drive(fake({"/images/load": refuse}).host, "stream", "POST", "/images/load", 5000, tmp_path / "tar")
        assert result.code == 1 and "disk is read-only" in result.error

    def test_broken_off(self, fake):
        docker = fake({"/images/load": chunked(PROGRESS, end=False)})
        result = drive(docker.host, "stream", "POST", "/images/load", 5000)
        assert result.kind in ("network", "protocol")


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


class TestEvents:
    def test_connects_again(self, fake):
        event = '{"Type":"container","Action":"%s"}\n'
        scripts = [chunked(event % "start", end=False), chunked(event % "die")]
        docker = fake({"/events": lambda handler: handler.reply(scripts.pop(0))})
        result = drive(docker.host, "events", 3, 20000)
        assert [line.get("action") for line in result.lines] == [None, "start", "connected again", "die"]
        assert result.code == 0

    def test_garbage_is_one_more_reason_to_connect_again(self, fake):
        scripts = [b"HTTP/1.1 200 OK\r\n\r\nnoise", answer(500, "no"), chunked('{"Action":"start"}')]
        docker = fake({"/events": lambda handler: handler.reply(scripts.pop(0))})
        result = drive(docker.host, "events", 3, 20000)
        assert [line.get("action") for line in result.lines][-1] == "start"

    def test_asks_for_what_it_may_have_missed(self, fake):
        docker = fake({"/events": chunked('{"Action":"start"}')})
        before = time.time()
        drive(docker.host, "events", 1, 5000)
        query = docker.requests[-1][1]
        since = float(query.partition("since=")[2].partition("&")[0])
        assert before - 1 < since < time.time() + 1
        assert "filters=%7B%22type%22%3A%5B%22container%22%5D%7D" in query


@pytest.fixture(scope="module")
def real():
    """A real engine of a kind with an image that has a HEALTHCHECK."""
    started = {}
    with contextlib.ExitStack() as stack:
        ns = stack.enter_context(lab.Namespace())

        def get(kind):
            if kind not in started:
                engine = stack.enter_context(lab.Engine(kind)).start(ns)
                with lab.Registry(ns) as registry:
                    for name in ("webapp:v1", "webapp:health"):
                        reference = images.push(name, registry, "app")
                        engine.docker("pull", reference)
                        engine.docker("tag", reference, f"app:{name.partition(':')[2]}")
                started[kind] = engine
            return started[kind]

        yield get


@pytest.fixture
def call(real, engine_kind):
    """call(command, ...) drives the real engine; what it made is removed afterwards."""
    engine = real(engine_kind)

    def run(*command):
        return drive(f"unix://{engine.socket}", *command)

    run.engine = engine
    yield run
    for name in engine.docker("ps", "--all", "--quiet").split():
        engine.docker("rm", "--force", name)


class TestRealEngine:
    def test_connect(self, call, engine_kind):
        found = call("connect").json
        want = {"docker20": ("1.41", 0), "docker26": ("1.45", 0), "docker26c": ("1.45", 1)}
        want |= {"docker28": ("1.51", 0), "docker28c": ("1.51", 1), "podman": ("1.41", 2)}
        want |= {"own": (found["api"], 0), "ownc": (found["api"], 1)}  # of any version
        assert (found["api"], found["store"]) == want[engine_kind]
        assert found["n_cpu"] > 0 and found["mem_bytes"] > 1 << 28 and found["driver"].startswith("overlay")

    def test_a_containers_life(self, call):
        body = json.dumps({"Image": "app:v1", "Labels": {"io.berth.name": "web"}})
        made = call("create", "web", body, "linux/amd64")
        assert len(made.json["id"]) == 64 and made.json["warnings"] == []
        assert call("inspect", "web").json["status"] == "created"
        assert call("create", "web", body).kind == "conflict"
        assert call("start", "web").code == 0
        assert call("start", "web").code == 0
        found = call("inspect", "web").json
        assert found["running"] and found["id"] == made.json["id"] and found["label_name"] == "web"
        assert found["address"] == call.engine.address("web")
        assert abs(found["started_ms"] / 1000 - time.time()) < 30
        assert call("rename", "web", "web-prev").code == 0
        assert call("inspect", "web").kind == "not-found"
        assert call("stop", "web-prev", 1).code == 0
        assert call("stop", "web-prev", 1).code == 0
        found = call("inspect", "web-prev").json
        assert not found["running"] and found["address"] == "" and found["name"] == "web-prev"
        assert call("remove", "web-prev").code == 0
        assert call("remove", "web-prev").kind == "not-found"

    def test_a_running_container_is_not_removed_without_force(self, call):
        call.engine.docker("run", "-d", "--name", "web", "app:v1")
        assert call("remove", "web").code == 1
        assert call("remove", "web", "force").code == 0

    def test_without_its_image(self, call):
        result = call("create", "web", '{"Image":"nonexistent:1"}')
        assert result.kind == "not-found" and "nonexistent" in result.error

    def test_exit_and_log_of_a_dead_container(self, call):
        script = "echo out; echo err >&2; exit 7"
        with contextlib.suppress(lab.LabError):
            call.engine.docker("run", "--name", "dead", "--entrypoint", "/bin/sh", "app:v1", "-c", script)
        found = call("inspect", "dead").json
        assert (found["status"], found["exit_code"]) == ("exited", 7)
        assert sorted(call("logs", "dead", 10).json.split()) == ["err", "out"]

    def test_log_of_a_terminal(self, call):
        call.engine.docker("run", "-t", "--name", "tty", "--entrypoint", "/bin/echo", "app:v1", "hello")
        assert call("logs", "tty", 10).json == "hello\n"

    def test_exec(self, call):
        call.engine.docker("run", "-d", "--name", "web", "app:v1")
        done = call("exec", "web", 10000, 1000, "sh", "-c", "echo out; echo err >&2; exit 3").json
        assert done["exit_code"] == 3 and sorted(done["output"].split()) == ["err", "out"]
        assert call("exec", "web", 10000, 5, "echo", "0123456789").json == {"exit_code": 0, "output": "01234"}
        late = call("exec", "web", 500, 5, "sleep", "30")
        assert late.kind == "timeout" and late.seconds < 5
        call("stop", "web", 0)
        assert call("exec", "web", 5000, 5, "true").kind in ("conflict", "failed")

    def test_image(self, call, engine_kind):
        image = images.get("webapp:health")
        found = call("image", "app:health").json
        top = image.digest if engine_kind.endswith("c") else image.config_digest
        assert found["id"] == top
        assert found["diff_ids"] == image.diff_ids
        assert found["exposed"] == ["3000/tcp"]
        if engine_kind != "podman":  # leaves HEALTHCHECK out of OCI images
            assert found["healthcheck"][0] == "CMD-SHELL" and found["healthcheck_timeout_ms"] == 3000
        assert call("image", found["id"]).json["id"] == top
        assert call("image", "app:nope").kind == "not-found"

    def test_load(self, call, tmp_path):
        call.engine.docker("save", "--output", tmp_path / "image.tar", "app:v1")
        assert call("stream", "POST", "/images/load?quiet=0", 20000, tmp_path / "image.tar").code == 0
        whole = (tmp_path / "image.tar").read_bytes()
        (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
        result = call("stream", "POST", "/images/load?quiet=0", 20000, tmp_path / "cut.tar")
        assert (result.kind, result.code) == ("failed", 1)

    def test_a_load_whose_daemon_dies(self, call, tmp_path):
        call.engine.docker("save", "--output", tmp_path / "image.tar", "app:v1")
        whole = (tmp_path / "image.tar").read_bytes()
        os.mkfifo(tmp_path / "fifo")
        host = f"unix://{call.engine.socket}"
        argv = [DRIVER, host, "stream", "POST", "/images/load?quiet=0", "20000", tmp_path / "fifo"]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as loader:
            with open(tmp_path / "fifo", "wb", buffering=0) as feed, contextlib.suppress(BrokenPipeError):
                feed.write(whole[: len(whole) // 2])
                time.sleep(0.5)
                call.engine.kill()
                feed.write(whole[len(whole) // 2 :])
            assert loader.wait(30) == 75
            assert loader.stderr.read().startswith("network: ")
        call.engine.start()
        assert call("stream", "POST", "/images/load?quiet=0", 20000, tmp_path / "image.tar").code == 0

    def test_a_pull_that_fails(self, call):
        result = call("stream", "POST", "/images/create?fromImage=127.0.0.1%3A1%2Fx&tag=1", 20000)
        assert result.kind == "failed" and "127.0.0.1:1" in result.error

    def test_events_over_a_restart_of_the_daemon(self, call, engine_kind):
        argv = [DRIVER, f"unix://{call.engine.socket}", "events", "4", "60000"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watcher:
            assert watcher.stdout.readline() == "{}\n"
            call.engine.docker("create", "--name", "one", "app:v1")
            assert json.loads(watcher.stdout.readline())["action"] == "create"
            call.engine.kill()
            time.sleep(1)
            call.engine.start()
            assert json.loads(watcher.stdout.readline())["action"] == "connected again"
            call.engine.docker("rename", "one", "two")
            call.engine.docker("rm", "two")
            assert json.loads(watcher.stdout.readline())["action"] == "rename"
            assert json.loads(watcher.stdout.readline())["action"] in ("destroy", "remove")  # Podman
            assert watcher.wait(10) == 0
