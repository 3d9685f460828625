"""The shipped unit and the README's user data, under a real systemd: what the hardening leaves berth has to be enough."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from lab import Engine, Namespace, images
from lab.cloud.world import World
from lab.machine import Machine
from service import TOP, binary, request

PORT = 8642
APP_PORT = 8080  # on 80 there is the metadata service, which in this cloud is on the same machine

# What an Amazon Linux has and this machine has not. The bucket is a directory; Docker's daemon runs outside.
AWS = """#!/bin/sh
[ "$1 $2" = "s3 cp" ] || exit 64
exec cp "/srv/bucket/${3##*/}" "$4"
"""
DNF = """#!/bin/sh
[ "$*" = "install -y docker" ] || exit 64
cat >/etc/systemd/system/docker.service <<EOF
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sleep 1
ExecStart=/bin/ln -sf /srv/docker.sock /run/docker.sock
[Install]
WantedBy=multi-user.target
EOF
"""


def readme_block(opening):
    """The first code block of the README that contains the line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (TOP / "README.md").read_text(), re.S | re.M)
    return next(block for block in blocks if opening in block)


def filled(text, reference):
    host, _, name = reference.partition("/")
    account, _, _, region, _, _ = host.split(".")
    values = {"ACCOUNT": account, "REGION": region, "APP": name.partition(":")[0], "=80:": f"={APP_PORT}:"}
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


class Instance:
    """A launched instance: the cloud's metadata, a user-data script run once, and the test outside."""

    def __init__(self, ns, world, engine, machine):
        self.ns, self.world, self.engine, self.machine = ns, world, engine, machine

    def health(self):
        try:
            status, body = request(self.ns, PORT, "/healthz")
        except OSError:
            return None, {}
        return status, json.loads(body)

    def wait(self, wanted, timeout=40):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status, said = self.health()
            if status == wanted:
                return said
            time.sleep(0.05)
        raise AssertionError(f"/healthz never said {wanted}, last {status} {said}\n{self.journal()}")

    def journal(self, *flags):
        return self.machine.run("journalctl", "--no-pager", "--unit=berth", "--output=cat", *flags, check=False)

    def show(self, name):
        return self.machine.run("systemctl", "show", "--value", f"--property={name}", "berth").strip()


@pytest.fixture(scope="module")
def instance():
    image = images.get("webapp:v1")
    with Namespace() as ns, World(ns) as world, Engine("docker20") as engine:
        engine.start(ns)
        world.ecr.push_layout(image.layout, "team/app", "latest", name=image.tag)
        reference = world.ecr.reference("team/app", "latest")
        srv = Path(ns.run_dir) / "srv"
        (srv / "bucket").mkdir(parents=True)
        shutil.copy(binary(), srv / "bucket/berth")
        shutil.copy(TOP / "packaging/systemd/berth.service", srv / "bucket")
        (srv / "docker.sock").touch()
        (srv / "user-data").write_text(filled(readme_block("#!/bin/bash"), reference))
        (srv / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in ns.hosts.items()))
        for name, text in (("aws", AWS), ("dnf", DNF)):
            (srv / name).write_text(text)
            (srv / name).chmod(0o755)
        binds = {
            "/srv": srv,
            "/srv/docker.sock": engine.socket,
            "/usr/local/bin/aws": srv / "aws",
            "/usr/local/bin/dnf": srv / "dnf",
            "/etc/hosts": srv / "hosts",
            "/etc/ssl/certs/ca-certificates.crt": world.ca.pem,
        }
        with Machine(ns, binds) as machine:
            yield Instance(ns, world, engine, machine)


def test_the_unit_has_nothing_that_systemd_does_not_know(instance):
    instance.machine.run("cp", "/srv/bucket/berth", "/usr/local/bin/berth")
    said = instance.machine.run("systemd-analyze", "verify", "/srv/bucket/berth.service", check=False)
    assert not [line for line in said.splitlines() if "man berth(8)" not in line], said


def test_the_readmes_user_data_makes_a_healthy_instance(instance):
    began = time.monotonic()
    said = instance.machine.run("bash", "/srv/user-data")
    assert time.monotonic() - began < 5, "cloud-init does not wait for the pull"
    instance.wait(200)
    assert instance.show("ActiveState") == "active", said
    assert instance.show("StatusText") == "ready"
    assert "v1" in request(instance.ns, APP_PORT, "/")[1]
    assert "app is ready" in instance.journal("--priority=notice")
    assert instance.machine.run("systemctl", "is-enabled", "berth").strip() == "enabled"


def test_it_runs_with_what_the_unit_leaves_it(instance):
    status = instance.machine.run("cat", f"/proc/{instance.show('MainPID')}/status")
    assert "NoNewPrivs:\t1\n" in status and "Seccomp:\t2\n" in status
    capabilities = int(re.search(r"^CapBnd:\t(\w+)", status, re.M)[1], 16)
    assert bin(capabilities).count("1") == 10


def test_a_restart_adopts_the_container_and_a_stop_leaves_it(instance):
    first = instance.engine.inspect("app")["Id"]
    instance.machine.run("systemctl", "restart", "berth")
    instance.wait(200)
    instance.machine.run("systemctl", "stop", "berth")
    assert instance.show("Result") == "success"
    assert instance.engine.inspect("app")["Id"] == first
    assert instance.engine.inspect("app")["State"]["Running"]
    instance.machine.run("systemctl", "start", "berth")
    instance.wait(200)
    assert "adopting the running container app" in instance.journal()


def test_it_comes_back_when_it_is_killed(instance):
    instance.machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "berth")
    instance.wait(None)
    instance.wait(200)
    assert instance.show("NRestarts") == "1"


def test_a_wrong_configuration_is_not_tried_again(instance):
    conf = "/etc/berth/berth.conf"
    instance.machine.run("cp", conf, "/root/berth.conf")
    instance.machine.run("sh", "-c", f"echo BERTH_PULL=often >>{conf}")
    instance.machine.run("systemctl", "restart", "berth", check=False)
    time.sleep(7)  # longer than RestartSec=
    assert instance.show("ActiveState") == "failed" and instance.show("ExecMainStatus") == "78"
    assert f"{conf}:4: BERTH_PULL: 'often' is not one of" in instance.journal("--priority=err")
    instance.machine.run("cp", "/root/berth.conf", conf)
    instance.machine.run("systemctl", "reset-failed", "berth")


def test_the_readmes_line_without_a_unit(instance):
    instance.machine.run("rm", "/etc/systemd/system/berth.service")
    instance.machine.run("systemctl", "daemon-reload")
    instance.engine.docker("rm", "--force", "app")
    instance.machine.run("bash", "-c", readme_block("systemd-run"))
    instance.wait(200)
    instance.machine.run("systemctl", "stop", "berth")


def test_the_unit_is_well_hardened():
    unit = TOP / "packaging/systemd/berth.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", unit], stdout=subprocess.PIPE, text=True, check=False
    )
    assert float(re.search(r"exposure level for berth.service: ([\d.]+)", done.stdout)[1]) <= 4.0
