"""Where the health endpoint listens, and what is said when it cannot."""

import socket
import subprocess
import time

import pytest
from health_clients import DRIVER, LIVEZ, Endpoint, needs_driver, until_closed

pytestmark = needs_driver


@pytest.mark.parametrize(
    ("listen", "hosts"),
    [
        (":PORT", {"127.0.0.1", "::1"}),
        ("127.0.0.1:PORT", {"127.0.0.1"}),
        ("0.0.0.0:PORT", {"127.0.0.1"}),
        ("[::1]:PORT", {"::1"}),
        ("[::]:PORT", {"::1"}),
    ],
)
def test_listens_where_it_is_told(listen, hosts):
    with Endpoint(listen) as endpoint:
        for host in ("127.0.0.1", "::1"):
            if host in hosts:
                assert endpoint.ask(LIVEZ, host).status == 200
            else:
                with pytest.raises(ConnectionRefusedError):
                    endpoint.connect(host)


def refused(listen):
    made = subprocess.run([DRIVER, listen], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    assert made.returncode == 78, (listen, made)
    assert made.stderr.count("\n") == 1
    return made.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_a_port_in_use_is_a_matter_of_configuration(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        holder.bind((host, 0))
        holder.listen()
        port = holder.getsockname()[1]
        said = refused(f":{port}")
    assert f":{port}" in said and "Address already in use" in said and "ss -ltnp" in said


@pytest.mark.parametrize(
    "listen",
    ["", "8642", "127.0.0.1", ":", ":0", ":65536", ":-1", ":+80", ": 80", ":80x", "localhost:80", "::1:8642", ":::80",
     "[]:80", "[127.0.0.1]:80", "127.0.0.1.1:80", "*:80", "[::1]80", ":99999999999999999999"],
)  # fmt: skip
def test_a_bad_address_is_a_matter_of_configuration(listen):
    assert "--health-listen" in refused(listen)


def test_listens_where_the_kernel_has_ipv6_switched_off(ns):
    script = """
        set -e
        sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        coproc "$0" :8642
        read -r line <&"${COPROC[0]}"
        curl -fsS http://127.0.0.1:8642/livez
    """
    made = subprocess.run([*ns.enter, "bash", "-c", script, DRIVER], capture_output=True, text=True, timeout=10)
    assert "alive" in made.stdout, made.stderr


def test_a_restart_finds_its_port_again():
    """Connections of the last run in TIME_WAIT do not hold the port."""
    with Endpoint() as endpoint:
        port = endpoint.port
        for _ in range(5):
            assert endpoint.ask(LIVEZ).status == 200
        held = endpoint.connect()
    with held:
        assert until_closed(held, time.monotonic()).raw == b""
    again = subprocess.run([DRIVER, f":{port}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    assert (again.returncode, again.stdout) == (0, "listening\n"), again.stderr
