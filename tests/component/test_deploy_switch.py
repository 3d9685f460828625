"""`berth deploy` by blue-green: both containers run, and clients from everywhere are led to one of them."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from deploy_steps import HOST, answer, check, moved, names, result, until, version
from deploy_steps import berth, docker, outside, registry, web  # noqa: F401 (fixtures)
from service import binary

PORTS = ("-p", "80:3000", "--drain-timeout", "2s")


def deploy(berth, web, *argv):
    return berth.run("deploy", web, *PORTS, "--json", *argv)


def test_no_request_fails_from_anywhere(ns, docker, berth, registry, web, outside):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    client = outside.load()
    first = answer(deploy(berth, web))
    assert result(client) == ({"v1", "v2"}, [])
    assert first["strategy"] == "blue-green" and first["gap_ms"] < 5000
    assert names(docker) == ["web"] and version(ns) == version(ns, "::1") == "v2"
    assert docker.inspect("web")["HostConfig"]["PortBindings"]["3000/tcp"][0]["HostIp"] == "127.0.0.1"

    clients = [outside.load(), outside.load("127.0.0.1", ns.enter), outside.load("::1", ns.enter)]
    moved(registry, "webapp:v1")
    second = answer(deploy(berth, web))
    assert "gap_ms" not in second
    back = answer(berth.run("rollback", "--name", "web", "--drain-timeout", "2s", "--json"))
    assert back["strategy"] == "blue-green" and "gap_ms" not in back
    for client in clients:
        assert result(client) == ({"v1", "v2"}, [])
    assert service.health()[0] == 200 and names(docker) == ["web"] and version(ns) == "v2"
    said = json.loads(berth.run("status", "--name", "web", "--json").out)["switch"]
    assert said["nat"] == "leads" and said["listening"] and said["container"] == docker.inspect("web")["Id"]
    assert said["ports"] == ["80:3000/tcp"]


def test_a_bad_candidate_costs_no_request(ns, docker, berth, registry, web, outside):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    answer(deploy(berth, web))
    first = docker.inspect("web")["Id"]
    clients = [outside.load(), outside.load("127.0.0.1", ns.enter)]
    done = deploy(berth, web, "--", "sh", "-c", "echo ending with 7 >&2; exit 7")
    assert done.code == 1 and "exit code 7" in done.last_line and "ending with 7" in done.err
    for client in clients:
        assert result(client) == ({"v2"}, [])
    assert docker.inspect("web")["Id"] == first and "web-next" not in names(docker, "--all")
    assert service.health()[0] == 200


def kill_when(ns, berth, web, seen, *argv):
    """Starts a deploy, and kills it as soon as `seen` is true."""
    process = ns.run(
        [binary(), "deploy", web, *PORTS, *argv],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if seen in line:
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "".join(said)


@pytest.mark.parametrize("seen", ["starting web-next", "leading clients", "has the clients", "draining"])
def test_a_killed_deploy_is_ended_by_up(ns, docker, berth, registry, web, outside, seen):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    answer(deploy(berth, web))
    moved(registry, "webapp:v1")
    clients = [outside.load(), outside.load("127.0.0.1", ns.enter)]
    kill_when(ns, berth, web, seen)
    deadline = time.monotonic() + 10
    while (names(docker) != ["web"] or "web-next" in names(docker, "--all")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    for client in clients:
        served, failures = result(client)
        assert failures == [] and served <= {"v1", "v2"}
    assert names(docker) == ["web"] and set(names(docker, "--all")) <= {"web", "web-prev"}
    assert service.health()[0] == 200
    assert json.loads(outside.ask())["version"] == version(ns)


def test_up_restarts_and_reboots_into_the_switch(ns, docker, berth, registry, web, outside):
    berth.up(web, *PORTS).ready()
    moved(registry)
    answer(deploy(berth, web))
    berth.close()
    client = outside.load()
    service = berth.up(web, *PORTS)
    service.ready()
    assert version(ns) == "v2" and result(client) == ({"v2"}, [])
    berth.close()
    shutil.rmtree(berth.run_dir)  # a reboot leaves nothing in /run, no rule, and another address
    check(*ns.enter, "iptables", "-t", "nat", "-F")
    check(*ns.enter, "iptables", "-F")
    docker.docker("restart", "--time", "1", "web")
    service = berth.up(web, *PORTS)
    service.ready()
    assert version(ns) == json.loads(outside.ask())["version"] == "v2"


def test_recreate_and_back_to_docker_own_ports(ns, docker, berth, registry, web, outside):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    answer(deploy(berth, web))
    done = deploy(berth, web, "--strategy", "recreate", "-e", "NEW=1")
    assert answer(done)["strategy"] == "recreate" and "as --strategy says" in done.err
    assert version(ns) == json.loads(outside.ask())["version"] == "v2"
    assert docker.inspect("web")["HostConfig"]["PortBindings"]["3000/tcp"][0]["HostPort"] == "80"
    assert "BERTH" not in check(*ns.enter, "iptables-save")
    back = answer(berth.run("rollback", "--name", "web", "--drain-timeout", "2s", "--json"))
    assert back["strategy"] == "blue-green"
    assert version(ns) == json.loads(outside.ask())["version"] == "v2" and service.health()[0] == 200


@pytest.mark.parametrize(
    "end, argv, serves",
    [
        (("kill", "web"), ("rollback", "--name", "web"), "v1"),
        (("stop", "--time", "1", "web"), ("rollback", "--name", "web"), "v1"),
        (("stop", "--time", "1", "web"), ("deploy", "{web}", *PORTS, "--strategy", "recreate", "-e", "NEW=1"), "v2"),
        (("rm", "--force", "web", "web-prev"), ("deploy", "{web}", *PORTS, "--strategy", "recreate"), "v2"),
    ],
)
def test_what_no_longer_runs_leaves_its_ports(ns, docker, berth, registry, web, outside, end, argv, serves):
    """Docker is to publish them next, and until then the listener of `up` has them for nobody."""
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    answer(deploy(berth, web, "--restart", "no"))
    time.sleep(2)  # until then `up` takes what ends for what the deployment has left
    docker.docker(*end)
    assert names(docker) == [] or "rm" in end
    done = berth.run(*(part.format(web=web) for part in argv))
    assert done.code == 0, done
    assert names(docker) == ["web"]
    assert version(ns) == json.loads(outside.ask())["version"] == serves
    service.wait_health(200, timeout=10)
    assert docker.inspect("web")["HostConfig"]["PortBindings"]["3000/tcp"][0]["HostPort"] == "80"


def test_down_leaves_no_rule(ns, docker, berth, registry, web, outside):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    answer(deploy(berth, web))
    service.stop()
    assert berth.run("down", "--name", "web", "--drain-timeout", "1s").code == 0
    assert names(docker, "--all") == [] and "BERTH" not in check(*ns.enter, "iptables-save")


def test_deploys_one_after_the_other_under_load(ns, docker, berth, registry, web, outside):
    service = berth.up(web, *PORTS)
    service.ready()
    answer(deploy(berth, web, "--force"))
    clients = [outside.load(), outside.load("127.0.0.1", ns.enter)]
    for number in range(6):
        moved(registry, ("webapp:v2", "webapp:v1")[number % 2])
        done = answer(deploy(berth, web))
        assert done["strategy"] == "blue-green" and not done["current"]
    for client in clients:
        assert result(client) == ({"v1", "v2"}, [])
    assert service.health()[0] == 200 and names(docker) == ["web"]


@pytest.mark.parametrize("up", [True, False])
def test_dockerd_dies_while_a_candidate_starts(ns, docker, berth, registry, web, outside, up):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    answer(deploy(berth, web))
    first = docker.inspect("web")["Id"]
    if not up:
        service.stop()
    process = ns.run(
        [binary(), "deploy", web, *PORTS, "-e", "START_DELAY=20"],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "starting web-next" in line:
            break
    time.sleep(0.5)
    docker.kill()
    docker.start()
    said = process.stderr.read()
    assert process.wait(60) == 1, said
    if not up:
        service = berth.up(web, *PORTS)
    service.ready()
    assert docker.inspect("web")["Id"] == first, said
    assert names(docker) == ["web"] and "web-next" not in names(docker, "--all")
    assert json.loads(outside.ask())["version"] == version(ns) == "v2"


SLOW = """
import socket, sys
with socket.create_connection((sys.argv[1], 80), timeout=20) as s:
    s.sendall(b"GET / HTTP/1.0\\r\\n")
    print("begun", flush=True)
    sys.stdin.readline()
    s.sendall(b"\\r\\n")
    print(b"".join(iter(lambda: s.recv(4096), b"")).decode().splitlines()[-1], flush=True)
"""


def test_a_request_that_straddles_the_switch_ends_on_the_old_version(ns, docker, berth, registry, web, outside):
    berth.up(web, *PORTS).ready()
    answer(deploy(berth, web, "--force"))
    moved(registry)
    slow = []
    for enter, host in ((outside.enter, HOST), (ns.enter, "127.0.0.1")):
        slow.append(
            outside.start(
                [sys.executable, "-c", SLOW, host], enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        assert slow[-1].stdout.readline() == "begun\n"
    process = ns.run(
        [binary(), "deploy", web, "-p", "80:3000", "--drain-timeout", "20s"],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while version(ns) != "v2" and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    assert process.poll() is None and names(docker) == ["web", "web-prev"]
    for one in slow:
        said, _ = one.communicate("now\n", timeout=20)
        assert json.loads(said)["version"] == "v1"
    assert process.wait(10) == 0 and names(docker) == ["web"]


def test_up_restarts_while_another_deploys(ns, docker, berth, registry, web, outside):
    service = berth.up(web, *PORTS)
    service.ready()
    answer(deploy(berth, web, "--force"))
    moved(registry)
    process = ns.run(
        [binary(), "deploy", web, *PORTS, "-e", "START_DELAY=5"],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while "web-next" not in names(docker) and time.monotonic() < deadline:
        time.sleep(0.05)
    service.stop()
    service = berth.up(web, *PORTS)
    service.ready(timeout=2)
    assert version(ns) == "v1" and process.poll() is None
    assert process.wait(20) == 0
    time.sleep(1.2)
    assert service.health()[0] == 200 and names(docker) == ["web"]
    assert version(ns) == version(ns, "::1") == json.loads(outside.ask())["version"] == "v2"


@pytest.mark.parametrize("seen, code, serves", [("starting web-next", 1, "v1"), ("draining", 0, "v2")])
def test_sigterm_ends_a_deploy_one_way_or_the_other(ns, docker, berth, registry, web, outside, seen, code, serves):
    service = berth.up(web, *PORTS)
    service.ready()
    answer(deploy(berth, web, "--force"))
    moved(registry)
    client = outside.load()
    process = ns.run(
        [binary(), "deploy", web, "-p", "80:3000", "-e", f"START_DELAY={3 * code}"],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if seen in line:
            break
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait(10) == code, said
    versions, failures = result(client)
    assert failures == [] and versions <= {"v1", "v2"}
    assert names(docker) == ["web"] and "web-next" not in names(docker, "--all")
    assert version(ns) == serves and service.health()[0] == 200


def test_up_with_options_that_do_not_work_goes_back_to_the_switch(ns, docker, berth, registry, web, outside):
    berth.up(web, *PORTS).ready()
    answer(deploy(berth, web, "--force"))
    first = docker.inspect("web")["Id"]
    berth.close()
    service = berth.up(web, *PORTS, "--restart", "no", "--", "sh", "-c", "exit 3")
    service.wait_line("were not carried out")
    service.ready()
    assert docker.inspect("web")["Id"] == first and names(docker, "--all") == ["web", "web-prev"]
    assert version(ns) == version(ns, "::1") == json.loads(outside.ask())["version"] == "v1"


@pytest.mark.parametrize("damage", ["deleted", "cut", "of another berth"])
def test_up_writes_a_lost_record_again(ns, docker, berth, registry, web, outside, damage):
    service = berth.up(web, *PORTS)
    service.ready()
    answer(deploy(berth, web, "--force"))
    time.sleep(3)  # until `up` has looked after what the deployment has left, which settles the switch too
    record = berth.run_dir / "switch/web.json"
    whole = record.read_text()
    if damage == "deleted":
        record.unlink()
    else:
        (other := record.with_suffix(".other")).write_text(whole[:40] if damage == "cut" else '{"version": 99}')
        other.rename(record)
    clients = [outside.load()]
    until(lambda: record.exists() and json.loads(whole)["container"] in record.read_text(), 6, lambda: service.err)
    until(lambda: version(ns) == version(ns, "::1") == "v1")
    for client in clients:
        assert result(client) == ({"v1"}, [])
    said = json.loads(berth.run("status", "--name", "web", "--json").out)["switch"]
    assert said["nat"] == "leads" and said["listening"]
    moved(registry)
    assert answer(deploy(berth, web))["strategy"] == "blue-green" and version(ns) == "v2"


def test_a_deploy_that_nobody_minds_says_so(ns, docker, berth, registry, web, outside):
    said = [deploy(berth, web), deploy(berth, web, "--force"), deploy(berth, web)]
    assert ["no `berth up` runs" in done.err for done in said] == [False, True, True]
    assert json.loads(outside.ask())["version"] == "v1"
    berth.up(web, *PORTS).ready()
    assert "no `berth up` runs" not in deploy(berth, web, "--force").err
    assert version(ns) == version(ns, "::1") == "v1"


def test_up_minds_the_switch(ns, docker, berth, registry, web, outside):
    service = berth.up(web, *PORTS)
    service.ready()
    answer(deploy(berth, web, "--force"))
    check(*ns.enter, "iptables", "-t", "nat", "-F")
    service.wait_line("the rules were missing or changed", 5)
    assert json.loads(outside.ask())["version"] == "v1"
    before = docker.inspect("web")["NetworkSettings"]["IPAddress"]
    docker.docker("stop", "--time", "1", "web")
    for other in ("one", "two", "three"):  # one of them takes the address
        docker.docker("run", "--detach", "--name", other, web, "sleep", "60")
    docker.docker("start", "web")
    assert docker.inspect("web")["NetworkSettings"]["IPAddress"] != before
    service.wait_line("another address", 5)
    service.ready()
    assert version(ns) == json.loads(outside.ask())["version"] == "v1"
