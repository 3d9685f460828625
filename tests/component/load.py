"""What stands before an instance: HAProxy as its load balancer, wrk as the crowd, and clients that check each answer."""

import csv
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

CLIENT = Path(__file__).parent / "load_client.py"
FRONT = 8000

# Nothing is tried twice, and connections to the instance are kept and shared: what goes wrong shows.
HAPROXY = """
global
    stats socket {socket} mode 600 level admin
    maxconn 2000
defaults
    mode http
    retries 0
    http-reuse always
    timeout connect 5s
    timeout check 2s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{front}
    default_backend instance
backend instance
    option httpchk GET /healthz
    server web {host}:80 check port 8642 inter 100ms fall 1 rise 1
"""


class Balancer:
    """HAProxy on the machine outside."""

    def __init__(self, outside, host, directory):
        self.socket = Path(directory) / "haproxy.sock"
        config = Path(directory) / "haproxy.cfg"
        config.write_text(HAPROXY.format(socket=self.socket, front=FRONT, host=host))
        self.process = outside.start(["haproxy", "-q", "-db", "-f", config])
        deadline = time.monotonic() + 10
        while not self.socket.exists() or self.server()["status"] != "UP":
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)

    def rows(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.sendall(b"show stat\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return list(csv.DictReader(text.lstrip("# ").splitlines()))

    def server(self):
        return next(row for row in self.rows() if row["svname"] == "web")

    def faults(self):
        """What must be nothing: failed connections, answers that were cut or late, checks that failed."""
        rows = {row["svname"]: row for row in self.rows()}
        counters = {
            "web": ("econ", "eresp", "hrsp_4xx", "hrsp_5xx", "wretr", "wredis", "chkfail", "chkdown"),
            "FRONTEND": ("hrsp_5xx",),  # wrk begins with a connection that asks nothing: a 400
        }
        found = {f"{row}.{name}": rows[row][name] for row, names in counters.items() for name in names}
        faults = {name: int(value) for name, value in found.items() if value and int(value)}
        return {**faults, "last check": rows["web"]["last_chk"]} if faults else {}

    def requests(self):
        return int(self.server()["stot"])


class Crowd:
    """wrk; its own words at the end."""

    def __init__(self, outside, url, seconds, connections=1):
        self.process = outside.start(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", url],
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self):
        """(requests a second, its lines about what failed)"""
        self.process.send_signal(2)
        text = self.process.communicate(timeout=30)[0]
        rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
        bad = [line.strip() for line in text.splitlines() if "Non-2xx" in line or "Socket errors" in line]
        return float(rate[1]) if rate else 0.0, bad


class Clients:
    def __init__(self, outside, host, port, *kinds, where=None):
        self.process = outside.start(
            [sys.executable, CLIENT, host, port, *kinds],
            where,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "loading\n"

    def stop(self):
        return json.loads(self.process.communicate(timeout=30)[0])
