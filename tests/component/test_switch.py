"""The switch in a network of its own: moved under load, flushed, in another's way. No engine."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest
import switch_net
from switch_net import BRIDGE, CONTAINERS, DOCKER_20, DOCKER_28, HOST, INSIDE, PORT

pytestmark = pytest.mark.skipif(not switch_net.DRIVER.exists(), reason=f"{switch_net.DRIVER} is not built")

V1, V2 = CONTAINERS["v1"], CONTAINERS["v2"]
# Who comes in which way: from outside by the rules, the others by the listener.
WAYS = [("outside", HOST), ("host", "127.0.0.1"), ("host", "::1"), ("host", HOST), ("neighbour", BRIDGE)]


@pytest.fixture
def net(request):
    if lacking := switch_net.missing():
        pytest.skip(f"not installed: {', '.join(lacking)}")
    try:
        started = switch_net.Net(*getattr(request, "param", ())).open()
    except subprocess.CalledProcessError as e:
        if "iptables-legacy-restore" in e.cmd:
            pytest.skip("this kernel has no legacy iptables")
        raise
    with started:
        started.serve("v1")
        started.serve("v2")
        yield started


def result(client):
    client.stdin.close()
    return json.loads(switch_net.line(client))


HOSTS = {
    "docker20": (DOCKER_20,),
    "docker28": (DOCKER_28,),
    "nft": (DOCKER_20, "iptables-nft"),
    "legacy": (DOCKER_20, "iptables-legacy"),
}


@pytest.mark.parametrize("net", HOSTS.values(), ids=HOSTS.keys(), indirect=True)
def test_every_way_leads_to_the_target_and_moves(net):
    up = net.switch("listen")
    deploy = net.switch("plain")
    for name, address in [("v1", V1), ("v2", V2)]:
        deploy.ok(f"move {address} {name}")
        assert {way: net.ask(*way) for way in WAYS} == dict.fromkeys(WAYS, name)
    assert up.listed() == {
        "exists": "",
        "container": "v2",
        "address": V2,
        "endpoints": "1",
        "nat": "leads",
        "flavour": net.flavour.replace("iptables-nft", "iptables"),
        "chain": "BERTH-web",
        "listening": "yes",
        "problem": "",
    }


@pytest.mark.parametrize("net", [(DOCKER_20,), (DOCKER_28,)], ids=["docker20", "docker28"], indirect=True)
def test_only_what_is_rewritten_is_let_through(net):
    """Who routes to a container's address is dropped as without berth."""
    net.switch("plain").ok(f"move {V1} v1")
    net.run("host", "iptables", "-F", "DOCKER")
    net.run("outside", "ip", "route", "add", "172.30.0.0/16", "via", HOST)
    assert net.ask("outside", V1, INSIDE, command="dropped") == "dropped"
    assert net.ask("outside", HOST) == "v1"


def test_moves_under_load_fail_no_request(net):
    net.switch("listen")
    deploy = net.switch("plain")
    deploy.ok(f"move {V1} v1")
    clients = [net.load(*way) for way in WAYS[:3]]
    for round in range(10):
        time.sleep(0.1)
        deploy.ok(f"move {V2} v2" if round % 2 == 0 else f"move {V1} v1")
    for client in clients:
        said = result(client)
        assert said["failures"] == []
        assert set(said["answers"]) == {"v1", "v2"}


@pytest.mark.parametrize("way", [("outside", HOST), ("host", "127.0.0.1")])
def test_established_connections_stay_and_are_counted(net, way):
    net.switch("listen")
    deploy = net.switch("plain")
    deploy.ok(f"move {V1} v1")
    kept = net.peer(way[0], "hold", way[1], PORT)
    kept.stdin.write("/\n/slow/0.5\n")
    kept.stdin.flush()
    assert switch_net.line(kept) == "v1"
    deploy.ok(f"move {V2} v2")
    assert deploy.ok(f"connections {V1}") == "1"
    assert deploy.ok(f"connections {V2}") == "0"
    assert switch_net.line(kept) == "v1"
    kept.kill()
    deadline = time.monotonic() + 3
    while deploy.ok(f"connections {V1}") != "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_conntrack_that_cannot_be_read_is_no_count(net):
    net.switch("listen").ok(f"move {V1} v1")
    kept = net.peer("outside", "hold", HOST, PORT)
    kept.stdin.write("/\n")
    kept.stdin.flush()
    assert switch_net.line(kept) == "v1"
    assert net.switch("plain").ok(f"connections {V1} rewritten") == "1"
    denied = net.switch("plain", before=("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"))
    assert denied.say(f"connections {V1} rewritten").startswith("error denied")
    assert denied.ok(f"connections {V1}") == "0"  # where the listener serves all there is nothing else to count


@pytest.mark.parametrize("flush", [["-F"], ["-t", "nat", "-F"], ["-t", "nat", "-X", "BERTH-web"]])
def test_a_strangers_flush_is_mended(net, flush):
    up = net.switch("listen")
    up.ok(f"move {V1} v1")
    if "-X" in flush:
        net.run("host", "iptables", "-t", "nat", "-F")
    net.run("host", "iptables", *flush)
    assert up.listed()["nat"] == "astray"
    assert up.ok(f"check {V1}") == "the rules were missing or changed"
    assert up.listed()["nat"] == "leads"
    assert net.ask("outside", HOST) == "v1"
    assert up.ok(f"check {V1}") == "nothing"


def test_new_clients_find_the_listener_while_the_rules_are_gone(net):
    up = net.switch("listen")
    up.ok(f"move {V1} v1")
    client = net.load("outside", HOST)
    time.sleep(0.1)
    net.run("host", "iptables", "-t", "nat", "-F")
    time.sleep(0.3)
    up.ok(f"check {V1}")
    time.sleep(0.1)
    assert result(client)["failures"] == []


def test_a_container_with_another_address_and_one_that_is_gone(net):
    up = net.switch("listen")
    up.ok(f"move {V1} v1")
    assert up.ok(f"check {V2}") == "the container has another address"
    assert net.ask("outside", HOST) == net.ask("host", "127.0.0.1") == "v2"
    assert up.ok("check ") == "the container does not run"
    assert "BERTH" not in net.run("host", "iptables-save")
    assert up.ok(f"check {V1}") == "the container has another address"
    assert net.ask("outside", HOST) == net.ask("host", "127.0.0.1") == "v1"


def test_a_busy_port_names_its_holder_and_nothing_moves(net):
    net.peer("host", "occupy", PORT)
    up = net.switch("listen")
    for command in ("free", f"move {V1} v1"):
        answer = up.say(command)
        assert answer.startswith("error conflict:") and f"port {PORT} is held by python3 (pid " in answer
    assert "BERTH" not in net.run("host", "iptables-save")
    assert up.listed()["container"] == ""


def test_a_busy_port_is_taken_as_soon_as_it_is_free(net):
    holder = net.peer("host", "occupy", PORT)
    up = net.switch("listen")
    up.ok(f"move {V1} v1 waits")
    assert net.ask("outside", HOST) == "v1"
    assert "is held by python3" in up.listed()["problem"]
    holder.kill()
    holder.wait()
    time.sleep(0.1)
    assert net.ask("host", "127.0.0.1") == "v1"


def test_udp_peers_are_forgotten(net):
    deploy = net.switch("plain", f"{PORT}:{INSIDE}/udp")
    deploy.ok(f"move {V1} v1")
    peer = net.peer("outside", "udp", HOST, PORT)

    def send():
        peer.stdin.write("hello\n")
        peer.stdin.flush()
        return switch_net.line(peer)

    assert send() == "v1"
    deploy.ok(f"move {V2} v2")
    assert send() == "v1"
    deploy.ok(f"forget {V1}")
    assert send() == "v2"


def test_halves_close_one_by_one(net):
    net.switch("listen").ok(f"move {V1} v1")
    client = net.peer("host", "half", "127.0.0.1", PORT, 3_000_000)
    assert client.first == "v1 3000000"


def test_a_large_answer_to_a_slow_reader(net):
    net.switch("listen").ok(f"move {V1} v1")
    assert net.ask("host", "127.0.0.1", PORT, 20_000_000, command="fetch") == "20000000"


def test_beyond_the_descriptors_clients_wait(net):
    net.switch("listen", before=("prlimit", "--nofile=316:316", "--")).ok(f"move {V1} v1")
    assert net.ask("host", "127.0.0.1", PORT, 50, command="crowd") == "50"


def test_two_services_do_not_touch_each_other(net):
    net.switch("listen").ok(f"move {V1} v1")
    other = net.switch("listen", f"{PORT + 1}:{INSIDE}", name="web2")
    other.ok(f"move {V2} v2")
    assert [net.ask("outside", HOST, PORT + i) for i in (0, 1)] == ["v1", "v2"]
    other.ok("remove")
    assert net.ask("outside", HOST) == net.ask("host", "127.0.0.1") == "v1"
    assert "web2" not in net.run("host", "iptables-save")


def test_a_listener_that_does_not_follow_is_told_of(net):
    up, deploy = net.switch("listen"), net.switch("plain")
    deploy.ok(f"move {V1} v1")
    up.process.send_signal(signal.SIGSTOP)
    assert deploy.say(f"move {V2} v2").startswith("error timeout: the running `berth up` does not follow")
    up.process.send_signal(signal.SIGCONT)
    deploy.ok(f"move {V2} v2")
    assert net.ask("host", "127.0.0.1") == "v2"


def test_a_restart_under_systemd_refuses_nobody(net):
    """systemd here is this test: it keeps the socket and hands it to the next process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(net.directory / "notify"))
        notify.settimeout(5)
        environment = {**os.environ, "NOTIFY_SOCKET": str(net.directory / "notify")}
        up = net.switch("listen", env=environment)
        up.ok(f"move {V1} v1")
        message, kept, _, _ = socket.recv_fds(notify, 4096, 4)
        assert message.startswith(b"FDSTORE=1\nFDNAME=berth-") and b":" not in message
    up.process.terminate()
    up.process.wait()
    client = net.start("host", "python3", switch_net.PEER, "ask", "127.0.0.1", PORT)
    time.sleep(0.3)
    assert client.poll() is None
    handed = ("bash", "-c", 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" 3<&"$0"', str(kept[0]))
    net.switch("listen", before=handed, pass_fds=kept)
    assert switch_net.line(client) == "v1"
    os.close(kept[0])


def test_without_rules_of_docker_the_listener_serves_all(net):
    net.run("host", "iptables", "-t", "nat", "-F")
    net.run("host", "iptables", "-t", "nat", "-X")
    up = net.switch("listen")
    up.ok(f"move {V1} v1")
    assert {way: net.ask(*way) for way in WAYS} == dict.fromkeys(WAYS, "v1")
    assert up.listed()["nat"] == "none"
    deploy = net.switch("plain", f"{PORT}:{INSIDE}/udp")
    assert deploy.say(f"move {V1} v1").startswith("error configuration: move the switch: UDP port")


def test_after_a_kill_the_next_one_listens_at_once(net):
    up = net.switch("listen")
    up.ok(f"move {V1} v1")
    assert net.switch("listen").first.startswith("error conflict: ")
    up.kill()
    assert net.ask("outside", HOST) == "v1"
    up = net.switch("listen")
    assert net.ask("host", "127.0.0.1") == "v1"
    up.ok("remove")
    assert "BERTH" not in net.run("host", "iptables-save")
    assert up.listed()["none"] == ""
    with pytest.raises(Exception, match="non-zero exit status"):
        net.ask("host", "127.0.0.1")
