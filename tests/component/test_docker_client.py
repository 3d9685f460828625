"""berth's Docker client against engines that misbehave by script."""

import contextlib
import json
import os
import threading
import time

import pytest
from docker_driver import *  # noqa: F403 its fixtures too
from docker_driver import drive
from fake_docker import FakeDocker, answer, chunked, stale_socket

WAIT_MS = 1500


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
