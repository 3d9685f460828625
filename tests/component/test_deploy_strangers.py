"""What strangers do beside a service: names that are taken, containers started by hand, a Docker that answers with
nonsense, rules that drop. The one that serves goes on serving, and only one does."""

import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time

import pytest
from deploy_steps import answer, check, moved, names, until, version
from deploy_steps import berth, docker, registry, web  # noqa: F401 (fixtures)
from service import binary

PORTS = ("-p", "80:3000", "--drain-timeout", "1s")


def deploy(berth, web, *argv):
    return berth.run("deploy", web, *PORTS, "--json", *argv)


def test_a_stranger_called_next_is_in_nobodys_way_but_a_deployments(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS)
    service.ready()
    answer(deploy(berth, web, "--force"))
    docker.docker("create", "--name", "web-next", web)
    service.stop()
    service = berth.up(web, *PORTS)
    service.ready()
    before = docker.inspect("web")["State"]
    moved(registry)
    for done in (deploy(berth, web), berth.run("rollback", "--name", "web")):
        assert done.code == 1 and "a container called web-next exists that berth did not make" in done.last_line
    assert docker.inspect("web")["State"] == before and service.health()[0] == 200
    assert names(docker, "--all") == ["web", "web-next", "web-prev"]
    docker.docker("rename", "web-next", "other")
    answer(deploy(berth, web))
    assert version(ns) == "v2"


def test_what_cannot_be_settled_is_not_tried_without_a_pause(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS, "--verbose")
    service.ready()
    answer(deploy(berth, web, "--force"))
    time.sleep(3)  # until `up` has looked after what the deployment has left
    record = berth.run_dir / "switch/web.json"
    broken = json.loads(record.read_text()) | {"flavour": "iptables-none"}
    (other := record.with_suffix(".other")).write_text(json.dumps(broken))
    other.rename(record)
    docker.docker("create", "--name", "web-next", web)  # the name of something that has to be looked after
    lines = service.lines
    began, warned = len(lines), "iptables-none-save is not installed"
    time.sleep(6)
    assert len(lines) - began < 120, "\n".join(lines[began:][:40])
    assert len([line for line in lines if "warning" in line and warned in line]) == 1
    assert service.health()[0] == 200


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
@pytest.mark.parametrize("hand", ["started", "removed"])
def test_the_old_one_is_what_it_is_when_its_turn_comes(ns, docker, berth, registry, web, strategy, hand):
    first = answer(deploy(berth, web))["digest"]
    moved(registry)
    if hand == "started":
        docker.docker("stop", "--time", "1", "web")
    argv = [binary(), "deploy", web, *PORTS, "--strategy", strategy]
    process = ns.run(argv, env=berth.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert "resolving" in process.stderr.readline()  # it has looked at the old one
    process.send_signal(signal.SIGSTOP)
    docker.docker(*(("rm", "--force", "web") if hand == "removed" else ("start", "web")))
    process.send_signal(signal.SIGCONT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert names(docker) == ["web"] and docker.inspect("web")["Config"]["Labels"]["io.berth.digest"] != first


def test_docker_does_not_start_the_generation_before_on_its_failure(ns, docker, berth, registry, web, tmp_path):
    (tmp_path / "hasty").write_text('{"StopTimeout": 1}')
    own = ("--restart", "on-failure:7", "-e", "IGNORE_TERM=1", "--container-json", tmp_path / "hasty")
    answer(deploy(berth, web, *own))
    moved(registry)
    answer(deploy(berth, web, *own))
    assert docker.inspect("web-prev")["State"]["ExitCode"] == 137
    os.kill(docker.pid, signal.SIGTERM)
    docker._daemon.wait()
    docker.start()
    until(lambda: "web" in names(docker))
    time.sleep(2)
    assert names(docker) == ["web"]
    answer(berth.run("rollback", "--name", "web", "--drain-timeout", "1s", "--json"))
    policies = [docker.inspect(name)["HostConfig"]["RestartPolicy"] for name in ("web", "web-prev")]
    assert policies == [{"Name": "on-failure", "MaximumRetryCount": 7}, {"Name": "no", "MaximumRetryCount": 0}]


class Proxy(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Between berth and Docker: answers what matches `bad` with 500 once `left` is set, so many times."""

    daemon_threads = True

    def __init__(self, path, docker, bad):
        self.docker, self.bad, self.left = docker, re.compile(bad), 0
        super().__init__(str(path), Relay)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Relay(socketserver.BaseRequestHandler):
    BODY = b'{"message": "open hostconfig.json: too many open files"}'
    SAYS = b"HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)

    def handle(self):
        with socket.socket(socket.AF_UNIX) as docker:
            docker.connect(str(self.server.docker))
            threading.Thread(target=self.copy, args=(docker, self.request), daemon=True).start()
            self.copy(self.request, docker)

    def copy(self, source, to):
        try:
            while data := source.recv(65536):
                if source is self.request and self.server.left and self.server.bad.match(data):
                    self.server.left -= 1
                    self.request.sendall(self.SAYS)
                else:
                    to.sendall(data)
            to.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_a_docker_that_fails_to_say_how_the_container_is_is_asked_again(ns, docker, berth, registry, web):
    proxy = Proxy(ns.run_dir / "proxy.sock", docker.socket, rb"GET /v[0-9.]+/containers/web/json")
    berth.env["DOCKER_HOST"] = f"unix://{ns.run_dir}/proxy.sock"
    seen = []
    service = berth.up(web, *PORTS)
    service.ready()
    for times in (1, 4):
        seen.clear()
        proxy.left = times
        until(lambda: not proxy.left or service.process.poll() is not None)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            word = service.health()[1]["status"]
            seen += [word] if seen[-1:] != [word] else []
            time.sleep(0.02)
        assert seen == ["ready"], f"{seen}\n{service.err}"  # the app itself was asked
    proxy.shutdown()


def test_a_firewall_that_drops_holds_up_no_deployment(ns, docker, berth, registry, web):
    berth.up(web, *PORTS).ready()
    moved(registry)
    check(*ns.enter, "iptables", "-I", "INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP")
    done = berth.run("deploy", web, *PORTS, "--json", timeout=40)
    assert answer(done)["strategy"] == "blue-green" and names(docker) == ["web"]


def test_status_is_for_who_can_see(ns, docker, berth, registry, web):
    berth.up(web, *PORTS).ready()
    program = os.open(binary(), os.O_PATH)  # whose directory nobody may have to search
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"/proc/self/fd/{program}")
    argv = [*nobody, "status", "--name", "web"]
    process = ns.run(argv, env=berth.env, stderr=subprocess.PIPE, text=True, pass_fds=[program])
    said = process.communicate(timeout=30)[1]
    os.close(program)
    assert process.returncode == 1 and "is for root to see" in said and "unattended" not in said


def test_down_with_purge_leaves_no_volume_of_the_images_own(ns, docker, berth, registry, web, tmp_path):
    (tmp_path / "more").write_text('{"Volumes": {"/data": {}}}')
    own = ("-v", "kept:/kept:ro", "--container-json", tmp_path / "more")
    answer(deploy(berth, web, *own))
    answer(deploy(berth, web, *own, "--force"))
    assert berth.run("down", "--name", "web", "--purge").code == 0
    assert docker.docker("volume", "ls", "--quiet").split() == ["kept"]
