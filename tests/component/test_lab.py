"""The lab itself: what the other component tests stand on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lab
import pytest
from lab import images, paths
from lab.cloud.ca import CA


def get(ns, url, timeout_s=5):
    """GET, waiting for the server to be there."""
    return ns.check(
        ["curl", "-sSf", "--retry-connrefused", "--retry", "20", "--retry-delay", "0"]
        + ["--retry-max-time", str(timeout_s), url]
    )


class TestNamespace:
    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "203.0.113.30"]
    )
    def test_owns_the_clouds_addresses(self, ns, address):
        with ns.listen(address, 80), ns.connect(address, 80) as client:
            assert client.getpeername()[0] == address

    def test_has_no_way_out(self, ns):
        with pytest.raises(OSError):
            ns.connect("192.0.2.1", 80, timeout=2)

    def test_gives_a_process_private_names_and_trust(self, ns, tmp_path):
        ns.hosts["api.ecr.eu-west-1.amazonaws.com"] = "203.0.113.7"
        (tmp_path / "ca.pem").write_text("trust\n")
        see = "getent hosts api.ecr.eu-west-1.amazonaws.com; cat /etc/ssl/certs/ca-certificates.crt"
        out = ns.check(["sh", "-c", see], ca=tmp_path / "ca.pem")
        assert out.split() == ["203.0.113.7", "api.ecr.eu-west-1.amazonaws.com", "trust"]
        assert "amazonaws" not in Path("/etc/hosts").read_text()

    def test_an_unknown_name_fails_at_once(self, ns):
        start = time.monotonic()
        with pytest.raises(paths.LabError):
            ns.check(["getent", "hosts", "nobody.example"])
        assert time.monotonic() - start < 2

    def test_a_killed_run_leaves_nothing(self):
        program = (
            f"import sys; sys.path.insert(0, {str(Path(lab.__file__).parents[1])!r})\n"
            "import lab, os, signal\n"
            "ns = lab.Namespace()\n"
            "lab.Engine('docker20').start(ns)\n"
            "print(ns.name, flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        name = done.stdout.strip()
        assert os.path.exists(f"/run/netns/{name}")
        lab.Namespace().close()
        for place in (f"/run/netns/{name}", paths.RUN / name, paths.data_root() / name):
            assert not os.path.exists(place)
        assert name not in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout


class TestRegistry:
    def test_asks_for_basic(self, ns):
        with lab.Registry(ns, auth="basic") as registry:
            head = ns.check(["curl", "-sSi", f"{registry.url}/v2/"])
            assert " 401 " in head and 'Www-Authenticate: Basic realm="lab"' in head
            allowed = f"{registry.user}:{registry.password}"
            assert ns.check(["curl", "-sSf", "-u", allowed, f"{registry.url}/v2/"]) == "{}"
            assert registry.requests == [("GET", "/v2/", 401), ("GET", "/v2/", 200)]

    def test_asks_for_a_token(self, ns):
        with lab.Registry(ns, auth="token") as registry:
            images.push("webapp:v1", registry, "team/app")
            url = f"{registry.url}/v2/team/app/manifests/v1"
            assert f'Bearer realm="{registry.tokens.realm}"' in ns.check(["curl", "-sSi", url])
            assert registry.tokens.requests[-1]["user"] == registry.user

    def test_speaks_tls_by_the_labs_authority(self, ns, tmp_path):
        ca = CA(tmp_path)
        certificate = ca.certificate("ghcr.io")
        where = {"address": "203.0.113.9", "name": "ghcr.io"}
        with lab.Registry(ns, tls=certificate, ca=ca.pem, **where) as registry:
            assert registry.host == "ghcr.io"
            assert ns.check(["curl", "-sSf", "https://ghcr.io/v2/"], ca=ca.pem) == "{}"
            images.push("webapp:v1", registry, "team/app")


class TestEngine:
    def test_pulls_and_publishes(self, ns, engine):
        with lab.Registry(ns, auth="basic") as registry:
            engine.login(registry)
            engine.docker("pull", images.push("webapp:v1", registry, "app"))
            engine.docker("run", "-d", "--name", "app", "-p", "8080:3000", f"{registry.host}/app:v1")
        assert get(ns, f"http://{engine.address('app')}:3000/") == '{"version":"v1"}\n'
        assert get(ns, "http://127.0.0.1:8080/") == '{"version":"v1"}\n'

    def test_pulls_over_tls_with_a_token(self, ns, engine_kind, tmp_path):
        ca = CA(tmp_path)
        ns.ca = ca.pem
        where = {"address": "203.0.113.9", "name": "ghcr.io"}
        with lab.Registry(
            ns, auth="token", tls=ca.certificate("ghcr.io"), ca=ca.pem, **where
        ) as registry, lab.Engine(engine_kind) as engine:
            engine.start(ns)
            engine.login(registry)
            engine.docker("pull", images.push("webapp:v1", registry, "team/app"))

    def test_survives_the_death_of_its_daemon(self, ns, engine):
        with lab.Registry(ns) as registry:
            reference = images.push("small", registry, "small")
            engine.docker("pull", reference)
        engine.kill()
        engine.start()
        assert "small" in engine.docker("images")

    def test_keeps_nothing_when_stopped(self, ns, engine):
        init = engine._init_pid
        engine.stop()
        assert not engine.data_dir.exists()
        assert not os.path.exists(f"/proc/{init}"), "its pid namespace lives"
        assert engine.name not in Path("/proc/self/mountinfo").read_text()

    def test_shows_its_log_when_it_does_not_start(self, ns):
        broken = lab.Engine("docker20", config={"storage-driver": "no-such-driver"})
        with pytest.raises(paths.LabError, match="no-such-driver"):
            broken.start(ns)
