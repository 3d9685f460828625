"""berth's Docker client against real engines."""

import contextlib
import json
import os
import subprocess
import time

import lab
import pytest
from docker_driver import *  # noqa: F403 its fixtures too
from docker_driver import DRIVER, drive
from lab import images


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
