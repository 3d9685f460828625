"""The ways of getting an image: what each runs, what it costs whom, how it is undone."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from lab import podman, roots
from lab.engine import DOCKER_CLI
from lab.paths import LabError, check

COPY = "bench/image:copied"
OPTIONAL = (("--fast-load", "--fast-load"), ("--backfill=tee", "|tee|"))  # what its help says where berth has them

# $1 directory, $2 program, $3 how many at once, then the layers.
FLOOR = """
dir=$1 inflate=$2 jobs=$3; shift 3
n=0
for blob; do
	n=$((n + 1))
	mkdir -p "$dir/$n"
	echo "$inflate $blob $dir/$n"
done | xargs -P "$jobs" -L 1 bash -o pipefail -c '"$0" -dc "$1" | tar -x -C "$2"'
"""


@dataclass
class Served:
    """By which path berth brought the image, and what it had to say besides."""

    path: str = ""
    fallbacks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Way:
    name: str
    start: Callable  # (stage, **popen) -> Popen
    clean: Callable  # (stage)
    engine: Callable = lambda stage: stage.engine  # whose CPU counts
    berth: bool = False
    check: Callable = lambda stage, done, thorough: Served()


def _clean_docker(stage):
    stage.engine.docker("system", "prune", "--all", "--force")


def _docker(stage, **popen):
    return stage.ns.run([DOCKER_CLI, "pull", "--quiet", stage.reference], env=stage.client_env, **popen)


def _berth(*options):
    def start(stage, **popen):
        argv = [stage.berth, "pull", stage.reference, "--json", "--quiet", *options]
        argv += ["--state-dir", stage.ns.run_dir / "state", "--run-dir", stage.ns.run_dir / "run"]
        if stage.engine.containerd_store:
            argv.append(f"--containerd-socket={stage.engine.containerd_socket}")
        return stage.ns.run(argv, env=stage.client_env, **popen)

    return start


def _berth_served(saves, fast):
    """saves: `docker images` and `docker save` have to know it. With --quiet, all that is on stderr is a warning."""

    def served(stage, done, thorough):
        answer = json.loads(done.stdout)
        expected = "containerd" if stage.engine.containerd_store else "load"
        path = "present" if answer["present"] else answer["store"]
        notes = done.stderr.splitlines()
        if path != expected:
            notes.append(f"served by {path}, not {expected}")
        if answer.get("fast_load", False) != fast:
            notes.append(f"fast_load is {not fast}")
        if answer["layers_fetched"] != len(stage.image.layers):
            notes.append(f"{answer['layers_fetched']} of {len(stage.image.layers)} layers fetched")
        stage.engine.docker("image", "inspect", stage.reference)
        if saves and not stage.engine.docker("image", "ls", "--quiet", stage.reference).strip():
            notes.append("docker does not list it")
        if saves and thorough:
            argv = [DOCKER_CLI, "save", stage.reference]
            if stage.ns.run(argv, env=stage.client_env, stdout=subprocess.DEVNULL).wait() != 0:
                notes.append("docker save fails")
        return Served(path, notes)

    return served


def _skopeo(stage, **popen):
    """From a root of its own: Debian 12's speaks too old an API for Docker 26."""
    root = roots.ensure("clients")
    libraries = ":".join(map(str, [*root.glob("usr/lib/*-linux-gnu"), root / "usr/lib"]))
    loader = next(root.glob("usr/lib*/*-linux-gnu/ld-linux-*"), None) or next(root.glob("usr/lib*/ld-linux-*"))
    argv = [loader, "--library-path", libraries, root / "usr/bin/skopeo", "--insecure-policy", "copy", "--quiet"]
    argv += ["--src-tls-verify=false", f"--dest-daemon-host=unix://{stage.engine.socket}"]
    return stage.ns.run([*argv, f"docker://{stage.reference}", f"docker-daemon:{COPY}"], env=stage.client_env, **popen)


def _ctr(stage, **popen):
    address = f"--address={stage.engine.containerd_socket}"
    argv = ["ctr", address, "--namespace=moby", "images", "pull", "--plain-http", stage.reference]
    return subprocess.Popen(stage.engine.inside(*argv), **popen)


def _podman_argv(stage, *argv):
    return stage.podman.inside(*podman.program(stage.podman), *argv)


def _podman(stage, **popen):
    return subprocess.Popen(_podman_argv(stage, "pull", "--quiet", stage.reference), **popen)


def _clean_podman(stage):
    check(_podman_argv(stage, "rmi", "--all", "--force"))


def _floor(stage, **popen):
    inflate = "zstd" if stage.image.layers[0]["mediaType"].endswith("zstd") else "igzip"
    argv = ["bash", "-o", "pipefail", "-euc", FLOOR, "floor", stage.data / "floor", inflate, os.cpu_count()]
    return subprocess.Popen([str(arg) for arg in [*argv, *stage.blobs()]], **popen)


def _clean_floor(stage):
    check(["rm", "-rf", stage.data / "floor"])


def _berth_way(name, saves, *options):
    return Way(name, _berth(*options), _clean_docker, berth=True, check=_berth_served(saves, "--fast-load" in options))


WAYS = {
    way.name: way
    for way in (
        Way("docker pull", _docker, _clean_docker),
        _berth_way("berth pull", True),
        _berth_way("berth pull --backfill=no", False, "--backfill=no"),
        _berth_way("berth pull --backfill=tee", True, "--backfill=tee"),
        _berth_way("berth pull --fast-load", True, "--fast-load"),
        Way("skopeo copy", _skopeo, _clean_docker),
        Way("ctr images pull", _ctr, _clean_docker),
        Way("podman pull", _podman, _clean_podman, engine=lambda stage: stage.podman),
        Way("floor", _floor, _clean_floor, engine=lambda stage: None),
    )
}
BASE = "docker pull"


def available(berth: str, kind: str, image: str, link: str, wanted) -> list[Way]:
    """Those of the wanted ways that exist for such a case."""
    containerd = kind.endswith("c")
    done = subprocess.run([berth, "help", "pull"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{berth} help pull: exit {done.returncode}\n{done.stderr}")
    missing = set()
    if not containerd:
        missing |= {"berth pull --backfill=no", "berth pull --backfill=tee", "ctr images pull"}
    if containerd:
        missing.add("berth pull --fast-load")
    missing |= {f"berth pull {option}" for option, word in OPTIONAL if word not in done.stdout}
    if link != "open":
        missing.add("floor")  # which no link slows down
    return [WAYS[name] for name in wanted if name not in missing]
