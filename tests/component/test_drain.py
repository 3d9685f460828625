"""An instance on its way out: signals, the group's wish, a spot notice. And a restart of berth, which is none of these."""

import http.client
import json
import signal
import time

import pytest
from deploy_steps import HOST, moved, names, until
from deploy_steps import berth, docker, outside, registry, web  # noqa: F401 (fixtures)
from lab.cloud.imds import IPV4, Imds
from service import binary, request

PORTS = ("-p", "8080:3000")  # the metadata service has 80
STATE, SPOT = "meta-data/autoscaling/target-lifecycle-state", "meta-data/spot/instance-action"


@pytest.fixture
def imds(ns):
    with Imds(netns=ns.path, listen=[(IPV4, 80)]) as imds:
        yield imds


def version(ns):
    return json.loads(request(ns, 8080, "/")[1])["version"]


def held(ns, port=8080):
    """A connection that is kept alive."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.sock = ns.connect(HOST, port)
    connection.sock.sendall(b"GET / HTTP/1.1\r\n")
    return connection.sock


def running(docker):
    return docker.inspect("web")["State"]["Running"]


def test_stop_on_exit_waits_for_the_connections_and_no_longer(ns, docker, berth, web, outside):
    service = berth.up(web, *PORTS, "--stop-on-exit", "--drain-timeout", "15s")
    service.ready()
    began, client = time.monotonic(), held(ns)
    service.process.terminate()
    said = service.wait_health("draining", timeout=2)
    assert "told to stop" in said["reason"]
    time.sleep(3)
    assert service.process.poll() is None and running(docker)
    client.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
    assert b"v1" in b"".join(iter(lambda: client.recv(4096), b""))
    client.close()
    assert service.wait(20) == 0
    assert 3 + 5 <= time.monotonic() - began < 15
    assert not running(docker)


def test_a_connection_that_stays_is_waited_for_until_the_timeout(ns, docker, berth, web, outside):
    service = berth.up(web, *PORTS, "--stop-on-exit", "--drain-timeout", "3s")
    service.ready()
    client, began = held(ns), time.monotonic()
    service.process.terminate()
    assert service.wait(20) == 0
    assert 3 <= time.monotonic() - began < 10 and not running(docker)
    client.close()


def test_connections_that_cannot_be_counted_are_waited_for(ns, docker, berth, web):
    service = berth.up(
        web,
        *PORTS,
        "--stop-on-exit",
        "--drain-timeout",
        "5s",
        before=["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"],
    )
    service.ready()
    began = time.monotonic()
    service.process.terminate()
    assert service.wait(20) == 0
    assert 5 <= time.monotonic() - began < 12 and not running(docker)
    assert service.err.count("connections cannot be counted") == 1


def test_a_second_signal_cuts_the_drain_short(ns, docker, berth, web):
    service = berth.up(web, *PORTS, "--stop-on-exit", "--drain-timeout", "60s")
    service.ready()
    service.process.terminate()
    service.wait_health("draining", timeout=2)
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 5 and not running(docker)


def test_sigusr1_begins_a_drain_and_sigusr2_ends_it(ns, docker, berth, web):
    service = berth.up(web, *PORTS, "--drain-timeout", "1s")
    service.ready()
    service.process.send_signal(signal.SIGUSR1)
    assert "SIGUSR1" in service.wait_health("draining", timeout=1)["reason"]
    service.wait_line("is drained")
    time.sleep(1)
    assert running(docker) and version(ns) == "v1" and service.health()[0] == 503
    service.process.send_signal(signal.SIGUSR2)
    service.wait_health(200, timeout=1)


def test_what_was_drained_and_stopped_is_started_again(ns, docker, berth, web):
    service = berth.up(web, *PORTS, "--drain-timeout", "1s", "--stop-on-exit")
    service.ready()
    service.process.send_signal(signal.SIGUSR1)
    until(lambda: not running(docker), 5)
    time.sleep(2)
    assert not running(docker) and service.health()[1]["status"] == "draining"
    service.process.send_signal(signal.SIGUSR2)
    service.wait_health(200, timeout=5)
    assert running(docker)


def test_the_end_of_a_drain_waits_for_a_deploy_and_stops_what_it_made(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS, "--drain-timeout", "1s", "--stop-on-exit")
    service.ready()
    first = docker.inspect("web")["Id"]
    moved(registry)
    slow = ns.run([binary(), "deploy", web, *PORTS, "--strategy", "recreate", "-e", "START_DELAY=5"], env=berth.env)
    until(lambda: docker.docker("ps", "--quiet", "--filter", "name=web-next"))
    service.process.terminate()
    service.wait_line("waiting for berth deploy")
    assert slow.wait(20) == 0 and service.wait(20) == 0
    assert docker.inspect("web")["Id"] != first and not running(docker)
    assert not docker.docker("ps", "--quiet").split()


@pytest.mark.parametrize(
    "path, gone, back",
    [(STATE, "Terminated", "InService"), (STATE, "Warmed:Stopped", "InService"), (SPOT, '{"action":"stop"}', None)],
)
def test_what_the_metadata_says_ends_the_service(ns, docker, berth, web, imds, path, gone, back):
    service = berth.up(web, *PORTS, "--drain-timeout", "1s")
    service.ready()
    imds.tree[path] = gone
    said = service.wait_health("draining", timeout=8)
    assert gone[2:8] in said["reason"] and running(docker)
    imds.tree[path] = back
    if back:
        service.wait_health(200, timeout=8)
    else:
        service.process.send_signal(signal.SIGUSR2)
        service.wait_health(200, timeout=2)


def test_a_warm_pool_is_prepared_for_service_and_never_says_so(ns, docker, berth, web, imds):
    imds.tree[STATE] = "Warmed:Running"
    service, seen = berth.up(web, *PORTS), set()
    service.wait_line("web is ready")
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        code, said = service.health()
        seen.add((code, said["status"], "Warmed:Running" in said["reason"]))
    assert seen == {(503, "starting", True)} and version(ns) == "v1"
    imds.tree[STATE] = "InService"
    service.wait_health(200, timeout=8)


def test_a_metadata_service_that_hangs_holds_up_nothing(ns, docker, berth, web):
    with ns.listen(IPV4, 80):
        service = berth.up(web, *PORTS)
        service.ready()
        assert service.stop() == 0
        began = time.monotonic()
        service = berth.up(web, *PORTS)
        service.ready()
        assert time.monotonic() - began < 1.5
        for _ in range(20):
            began = time.monotonic()
            assert service.health()[0] == 200 and time.monotonic() - began < 0.5
            time.sleep(0.05)


def test_a_restart_of_berth_is_no_drain(ns, docker, berth, web):
    """The endpoint is gone for the restart only."""
    service = berth.up(web, *PORTS)
    service.ready()
    first, gaps = docker.inspect("web")["Id"], []
    for _ in range(5):
        assert service.stop() == 0
        began = time.monotonic()
        service = berth.up(web, *PORTS)
        while (service.health() or (0,))[0] != 200:
            assert time.monotonic() - began < 5
        gaps.append(time.monotonic() - began)
        assert docker.inspect("web")["Id"] == first and names(docker) == ["web"]
    print("gaps", [f"{gap * 1e3:.0f} ms" for gap in gaps])
    assert min(gaps) < 0.3  # 50 ms where nothing else runs


def test_the_signals_mean_nothing_to_other_commands(ns, docker, berth, web):
    process = ns.run([binary(), "deploy", web, *PORTS, "-e", "START_DELAY=2"], env=berth.env)
    until(lambda: "web-next" in names(docker))
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(20) == 0
    assert version(ns) == "v1"
