"""The body that berth makes of run options creates the container that `docker run` of the same options creates."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
from pathlib import Path

import lab
import pytest
from lab import images

BUILD = Path(os.environ.get("BERTH_BUILD", Path(__file__).resolve().parents[2]))
DRIVER = BUILD / "tests/component/driver_container"

ENVIRONMENT = {"FROM_ENVIRONMENT": "value of the caller", "PATH": os.environ["PATH"]}

# Options, as argv.
ROWS = {
    "nothing": [],
    "publish": ["--publish", "8080:3000"],
    "publish to an address": ["--publish", "127.0.0.1:8080:3000/tcp"],
    "publish udp": ["--publish", "5353:53/udp"],
    "publish to any port": ["--publish", "3000"],
    "publish any port of an address": ["--publish", "127.0.0.1::3000"],
    "publish ranges": ["--publish", "7000-7002:8000-8002"],
    "publish one port from a range": ["--publish", "7000-7010:3000"],
    "publish one port twice": ["--publish", "8080:3000", "--publish", "8081:3000"],
    "publish over IPv6": ["--publish", "[::1]:8080:3000"],
    "env": ["--env", "A=1", "--env", "EMPTY=", "--env", "EQUALS=a=b"],
    "env from the environment": ["--env", "FROM_ENVIRONMENT", "--env", "NOT_THERE_AT_ALL"],
    "env overrides the image": ["--env", "PATH=/bin", "--env", "A=1", "--env", "A=2"],
    "env-file": ["--env-file", "ENV_FILE", "--env", "B=flag"],
    "volume": ["--volume", "/tmp:/data"],
    "volume read-only": ["--volume", "/tmp:/data:ro", "--volume", "/etc:/host/etc:ro,rslave"],
    "volume by name": ["--volume", "cache:/var/cache", "--volume", "cold:/var/cold:nocopy"],
    "volume without a name": ["--volume", "/scratch"],
    "network host": ["--network", "host"],
    "network none": ["--network", "none"],
    "network bridge": ["--network", "bridge"],
    "network of a name": ["--network", "own"],
    "network of a container": ["--network", "container:other"],
    "restart no": ["--restart", "no"],
    "restart always": ["--restart", "always"],
    "restart unless-stopped": ["--restart", "unless-stopped"],
    "restart on-failure": ["--restart", "on-failure"],
    "restart on-failure:3": ["--restart", "on-failure:3"],
    "memory": ["--memory", "64m"],
    "memory in parts": ["--memory", "0.5g"],
    "cpus": ["--cpus", "1.5"],
    "user": ["--user", "1000:1000"],
    "entrypoint": ["--entrypoint", "/bin/echo", "--", "a", "b c"],
    "entrypoint none": ["--entrypoint", "", "--", "/bin/true"],
    "command": ["--", "/bin/echo", "--flag"],
    "log-driver": ["--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3"],
    "log-driver none": ["--log-driver", "none"],
    "log-opt alone": ["--log-opt", "max-size=10m"],
    "log-driver awslogs": [
        *("--log-driver", "awslogs", "--log-opt", "awslogs-group=web"),
        *("--log-opt", "awslogs-region=eu-west-1", "--log-opt", "awslogs-create-group=true"),
    ],
    "label": ["--label", "a=b", "--label", "alone", "--label", "io.example/x=1=2"],
    "ulimit": ["--ulimit", "nofile=1024:2048", "--ulimit", "core=0", "--ulimit", "nproc=512"],
    "cap-add and cap-drop": ["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--cap-add", "CAP_CHOWN"],
    "read-only": ["--read-only"],
    "tmpfs": ["--tmpfs", "/run", "--tmpfs", "/tmp:size=16m,mode=1777"],
    "init": ["--init"],
    "shm-size": ["--shm-size", "128m"],
    "hostname": ["--hostname", "web"],
    "add-host": ["--add-host", "db:10.0.0.1", "--add-host", "six:::1", "--add-host", "up:host-gateway"],
    "gpus all": ["--gpus", "all"],
    "gpus 2": ["--gpus", "2"],
    "gpus device": ["--gpus", '"device=0,1"'],
    "gpus long": ["--gpus", 'driver=nvidia,"capabilities=utility,compute",device=0'],
    "a web application": [
        *("--publish", "80:3000", "--env", "A=1", "--restart", "unless-stopped", "--memory", "64m"),
        *("--log-opt", "max-size=10m", "--label", "team=web", "--read-only", "--tmpfs", "/tmp", "--init"),
    ],
    "a database": [
        *("--volume", "db:/var/lib/db", "--shm-size", "256m", "--ulimit", "nofile=4096", "--user", "999"),
        *("--cap-drop", "ALL", "--hostname", "db", "--publish", "127.0.0.1:5432:5432", "--", "serve"),
    ],
}

# What Podman cannot do it must refuse in both cases.
REFUSED_BY_PODMAN = {"publish one port from a range", "log-driver awslogs"}

# Podman names an anonymous volume and picks an ephemeral port when it creates.
CHOSEN_BY_PODMAN = re.compile(r"^[0-9a-f]{64}:|^[3-6]\d{4}$")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def api(engine, method, path, body=None):
    connection = UnixConnection(engine.socket)
    headers = {"Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


@pytest.fixture(scope="module")
def engine_of():
    """An engine of a kind with the image, a network, and another container; one for all rows."""
    started = {}
    with contextlib.ExitStack() as stack:
        ns = stack.enter_context(lab.Namespace())

        def get(kind):
            if kind not in started:
                engine = stack.enter_context(lab.Engine(kind)).start(ns)
                with lab.Registry(ns) as registry:
                    reference = images.push("webapp:v1", registry, "app")
                    engine.docker("pull", reference)
                    engine.docker("tag", reference, "app:v1")
                engine.docker("network", "create", "own")
                engine.docker("run", "-d", "--name", "other", "app:v1")
                started[kind] = engine
            return started[kind]

        yield get


def relevant(found, given):
    """What of inspect's answer the options decide; the rest is names, times and addresses."""
    config = dict(found["Config"])
    host = dict(found["HostConfig"])
    for key in ("AttachStdin", "AttachStdout", "AttachStderr"):  # `docker create` attaches, `run -d` does not
        config.pop(key, None)
    if "--hostname" not in given:
        config["Hostname"] = None if "--network" not in given else bool(config["Hostname"])
    if "--restart" not in given:  # what then holds is berth's own choice
        host.pop("RestartPolicy", None)
    for key in ("Binds", "ExtraHosts", "Ulimits", "CapAdd", "CapDrop"):  # docker sends some in random order
        host[key] = sorted(host.get(key) or [], key=str)
    host.pop("PidsLimit", None)  # docker always sends 0, which Podman takes for "none"; berth leaves it to the engine
    config["Env"] = sorted(config.get("Env") or [])
    mounts = [
        {key: mount.get(key) for key in ("Type", "Destination", "Mode", "RW", "Propagation")}
        for mount in found["Mounts"]
    ]
    return {
        "Config": config,
        "HostConfig": host,
        "Mounts": sorted(mounts, key=str),
        "Networks": sorted(found["NetworkSettings"]["Networks"]),
        "Path": found["Path"],
        "Args": found["Args"],
    }


def split(options):
    """Flags and command: docker takes the image between them."""
    if "--" in options:
        at = options.index("--")
        return options[:at], options[at + 1 :]
    return options, []


def differences(ours, theirs, path=""):
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        ours, theirs = dict(enumerate(ours)), dict(enumerate(theirs))
    if isinstance(ours, str) and isinstance(theirs, str) and path.startswith(".HostConfig"):
        ours, theirs = (CHOSEN_BY_PODMAN.sub("*", text) for text in (ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}")
    elif ours != theirs and (ours or theirs):  # null, "", 0, [] and {} mean the same to Docker
        yield f"{path}: berth {ours!r}, docker {theirs!r}"


@pytest.mark.parametrize("row", ROWS)
def test_same_container_as_docker_run(engine_of, engine_kind, row, tmp_path, request):
    engine = engine_of(engine_kind)
    (tmp_path / "env").write_text("# comment\nA=file value\nB=file\nFROM_ENVIRONMENT\nNOT_THERE_AT_ALL\n")
    options = [str(tmp_path / "env") if word == "ENV_FILE" else word for word in ROWS[row]]
    flags, command = split(options)

    made = subprocess.run(
        [DRIVER, "body", "app:v1", *options], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    body = json.loads(made.stdout)["body"]
    status, answer = api(engine, "POST", "/containers/create", body)
    refused = engine_kind == "podman" and row in REFUSED_BY_PODMAN
    assert (status >= 400) == refused, answer
    if not refused:
        request.addfinalizer(lambda: engine.docker("rm", "--force", "--volumes", answer["Id"]))

    client = subprocess.run(
        [lab.engine.DOCKER_CLI, "create", *flags, "app:v1", *command],
        env=ENVIRONMENT | {"DOCKER_HOST": f"unix://{engine.socket}", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (client.returncode != 0) == refused, client.stderr
    if refused:
        return
    theirs = client.stdout.strip()
    request.addfinalizer(lambda: engine.docker("rm", "--force", "--volumes", theirs))

    found = [relevant(engine.inspect(one), flags) for one in (answer["Id"], theirs)]
    different = list(differences(*found))
    assert not different, "\n".join(different)


@pytest.mark.parametrize("row", ["nothing", "a web application"])
def test_nothing_is_attached_as_with_run_d(engine_of, engine_kind, row):
    engine = engine_of(engine_kind)
    flags, _ = split(ROWS[row])
    made = subprocess.run([DRIVER, "body", "app:v1", *flags], capture_output=True, text=True, check=True)
    body = json.loads(made.stdout)["body"]
    status, answer = api(engine, "POST", "/containers/create", body)
    assert status == 201, answer
    ours = answer["Id"]
    theirs = engine.docker("run", "-d", *flags, "app:v1").strip()
    try:
        for key in ("AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce", "Tty"):
            assert engine.inspect(ours)["Config"][key] == engine.inspect(theirs)["Config"][key], key
    finally:
        engine.docker("rm", "--force", ours, theirs)
