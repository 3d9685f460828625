"""`berth deploy`, `rollback` and `down` by recreate: what changes, what never does, and who is told."""

import json
import os
import pty
import shutil
import signal
import subprocess
import time

import pytest
from deploy_steps import answer, moved, until, version
from deploy_steps import berth, docker, registry, web  # noqa: F401 (fixtures)
from service import binary

PORTS = ("-p", "80:3000")
BAD = ("--", "sh", "-c", "echo ending with 7 >&2; exit 7")
RECREATE = ("--strategy", "recreate")
LABEL = "io.berth.digest"


def names(docker):
    return sorted(docker.docker("ps", "--all", "--format", "{{.Names}}").split())


def deploy(berth, web, *argv, **kwargs):
    return berth.run("deploy", web, *PORTS, *RECREATE, "--json", *argv, **kwargs)


def digest(docker, name="web"):
    return docker.inspect(name)["Config"]["Labels"][LABEL]


def test_to_the_newest_image_and_back_without_up(ns, docker, berth, registry, web):
    first = answer(deploy(berth, web))
    assert (first["strategy"], first["previous"]) == ("first", None)
    assert version(ns) == "v1" and names(docker) == ["web"]
    assert docker.inspect("web")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"

    before = docker.inspect("web")
    again = answer(deploy(berth, web))
    assert again["current"] and docker.inspect("web")["State"] == before["State"]

    moved(registry)
    second = answer(deploy(berth, web))
    assert (second["strategy"], second["previous"]) == ("recreate", first["digest"])
    assert second["gap_ms"] < 10_000
    assert version(ns) == "v2" and names(docker) == ["web", "web-prev"]
    assert docker.inspect("web-prev")["Id"] == before["Id"]
    assert docker.inspect("web")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"

    registry.kill()
    back = answer(berth.run("rollback", "--name", "web", "--json"))
    assert back["digest"] == first["digest"]
    assert version(ns) == "v1" and docker.inspect("web")["Id"] == before["Id"]
    assert digest(docker, "web-prev") == second["digest"]


def test_up_follows_and_says_the_truth(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    done = answer(deploy(berth, web))
    said = service.wait_health(200)
    assert said["digest"] == done["digest"] and version(ns) == "v2"
    time.sleep(1.5)
    assert service.health()[0] == 200 and names(docker) == ["web", "web-prev"]
    assert service.process.poll() is None


@pytest.mark.parametrize("up", [True, False])
def test_a_bad_candidate_changes_nothing_and_is_not_tried_again(ns, docker, berth, registry, web, up):
    service = berth.up(web, *PORTS) if up else None
    if service:
        service.ready()
    else:
        answer(deploy(berth, web))
    first = docker.inspect("web")["Id"]
    moved(registry)
    done = deploy(berth, web, *BAD)
    assert done.code == 1
    assert "exit code 7" in done.last_line and "ending with 7" in done.err
    assert docker.inspect("web")["Id"] == first and version(ns) == "v1" and names(docker) == ["web"]

    registry.forget_requests()
    again = deploy(berth, web, *BAD)
    assert again.code == 1 and "--force" in again.last_line
    assert docker.inspect("web")["Id"] == first
    assert deploy(berth, web, "--force", *BAD).code == 1
    if service:
        service.ready()
    assert answer(deploy(berth, web))["strategy"] == "recreate"
    assert version(ns) == "v2"


def test_no_such_image_is_no_harm(ns, docker, berth, registry, web):
    answer(deploy(berth, web))
    done = berth.run("deploy", web.replace("latest", "none"), *PORTS)
    assert done.code == 1 and version(ns) == "v1" and names(docker) == ["web"]


def test_one_at_a_time(ns, docker, berth, registry, web):
    answer(deploy(berth, web))
    moved(registry)
    slow = ns.run(
        [binary(), "deploy", web, *PORTS, *RECREATE, "-e", "START_DELAY=3"],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 10
    while "web-next" not in names(docker) and time.monotonic() < deadline:
        time.sleep(0.05)
    done = deploy(berth, web, "--no-wait")
    assert done.code == 75 and f"berth deploy (pid {slow.pid}" in done.last_line
    done = deploy(berth, web, "-e", "START_DELAY=3")
    assert slow.wait(30) == 0
    assert answer(done)["current"] and "waiting for berth deploy" in done.err


def killed_in_the_gap(ns, docker, berth, registry, web):
    """A deploy by recreate that has stopped the old container, and never gets further."""
    moved(registry)
    slow = ns.run(
        [binary(), "deploy", web, *PORTS, *RECREATE, "-e", "START_DELAY=30"],
        env=berth.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: docker.docker("ps", "--quiet", "--filter", "name=web-next"))
    slow.send_signal(signal.SIGKILL)
    slow.wait()


@pytest.mark.parametrize("up", [True, False])
def test_killed_while_the_candidate_starts(ns, docker, berth, registry, web, up):
    if up:
        berth.up(web, *PORTS).ready()
    else:
        answer(deploy(berth, web))
    first = docker.inspect("web")["Id"]
    killed_in_the_gap(ns, docker, berth, registry, web)
    service = berth.services[0] if up else berth.up(web, *PORTS)
    until(lambda: (service.health() or (0,))[0] == 200 and names(docker) == ["web"])
    assert docker.inspect("web")["Id"] == first and version(ns) == "v1"


@pytest.mark.parametrize("reboot", [False, True])
def test_a_death_in_the_gap_and_then_a_bad_candidate_leave_one_that_serves(ns, docker, berth, registry, web, reboot):
    answer(deploy(berth, web))
    first = docker.inspect("web")["Id"]
    killed_in_the_gap(ns, docker, berth, registry, web)
    assert not docker.inspect("web")["State"]["Running"]
    if reboot:  # nothing in /run tells of the death
        shutil.rmtree(berth.run_dir)
    for says in ("exit code 7", "--force"):
        done = deploy(berth, web, *BAD)
        assert done.code == 1 and says in done.last_line
        assert version(ns) == "v1" and docker.inspect("web")["Id"] == first and names(docker) == ["web"]


def test_a_death_in_the_gap_and_then_a_failure_on_the_way_leave_one_that_serves(ns, docker, berth, registry, web):
    answer(deploy(berth, web))
    killed_in_the_gap(ns, docker, berth, registry, web)
    shutil.rmtree(berth.run_dir)
    assert berth.run("rollback", "--name", "web").code == 1
    assert version(ns) == "v1" and names(docker) == ["web"]
    killed_in_the_gap(ns, docker, berth, registry, web)
    assert deploy(berth, web.replace("latest", "none")).code == 1
    assert version(ns) == "v1" and names(docker) == ["web"]


def test_a_rollback_that_died_between_the_names_can_be_taken_back(ns, docker, berth, registry, web):
    once = ("--restart", "no")  # so that no restart policy tells which of them has served
    answer(deploy(berth, web, *once))
    moved(registry)
    answer(deploy(berth, web, *once))
    ids = [docker.inspect(name)["Id"] for name in ("web-prev", "web")]
    docker.docker("stop", "--time", "1", "web")
    docker.docker("start", "web-prev")
    docker.docker("rename", "web", "web-next")
    docker.docker("rename", "web-prev", "web")
    answer(berth.run("rollback", "--name", "web", "--json"))
    assert [docker.inspect(name)["Id"] for name in ("web-prev", "web")] == ids
    assert version(ns) == "v2" and names(docker) == ["web", "web-prev"]


def test_a_container_of_somebody_else_that_has_the_name_is_told_before_anything_moves(
    ns, docker, berth, registry, web
):
    answer(deploy(berth, web))
    before = docker.inspect("web")["State"]
    docker.docker("create", "--name", "web-prev", web)
    moved(registry)
    done = deploy(berth, web)
    assert done.code and "a container called web-prev exists that berth did not make" in done.last_line
    assert docker.inspect("web")["State"] == before and names(docker) == ["web", "web-prev"]
    docker.docker("rename", "web-prev", "other")
    answer(deploy(berth, web))
    assert version(ns) == "v2"


def test_what_somebody_stopped_is_not_started_to_be_replaced(ns, docker, berth, registry, web):
    answer(deploy(berth, web))
    moved(registry)
    before = docker.inspect("web")["State"]["StartedAt"]
    docker.docker("stop", "--time", "1", "web")
    answer(deploy(berth, web))
    assert version(ns) == "v2" and docker.inspect("web-prev")["State"]["StartedAt"] == before


def test_up_starts_what_its_options_are_to_replace(ns, docker, berth, registry, web):
    answer(deploy(berth, web))
    killed_in_the_gap(ns, docker, berth, registry, web)
    service = berth.up(web, *PORTS, "-e", "START_DELAY=10")
    service.ready(timeout=8)
    assert version(ns) == "v1"
    until(lambda: names(docker) == ["web", "web-prev"], timeout=40, said=lambda: service.err)


@pytest.mark.parametrize("strategy", ["recreate", "blue-green"])
def test_a_port_is_not_dropped_by_mistake(ns, docker, berth, registry, web, strategy):
    answer(berth.run("deploy", web, *PORTS, "--strategy", strategy, "--json"))
    moved(registry)
    answer(berth.run("deploy", web, *PORTS, "--strategy", strategy, "--drain-timeout", "1s", "--json"))
    first = docker.inspect("web")["Id"]
    for other in ((), ("-p", "8080:3000"), ("-p", "80:3000/udp"), ("-p", "3000")):
        done = berth.run("deploy", web, *other)
        assert done.code == 2 and "web publishes port 80" in done.last_line and "--force" in done.last_line
    assert docker.inspect("web")["Id"] == first and names(docker) == ["web", "web-prev"]
    more = answer(berth.run("deploy", web, "-p", "8080:3000", *PORTS, "--drain-timeout", "1s", "--json"))
    assert more["digest"] and docker.inspect("web")["Id"] != first
    assert berth.run("deploy", web, "--force", "--drain-timeout", "1s").code == 0
    assert "80/tcp" not in docker.docker("port", "web")
    assert berth.run("deploy", web, "-e", "NEW=1").code == 0  # there is nothing to lose any more


@pytest.mark.parametrize("by, runs", [("deploy", True), ("up", False)])
def test_docker_never_starts_the_generation_before(ns, docker, berth, registry, web, by, runs):
    """A death between the names and the restart policy leaves it with its own."""
    always = (*PORTS, "--restart", "always", "--drain-timeout", "1s")
    answer(berth.run("deploy", web, *always, "--json"))
    moved(registry)
    answer(berth.run("deploy", web, *always, "--strategy", "recreate", "--json"))

    def policy(name):
        return docker.inspect(name)["HostConfig"]["RestartPolicy"]["Name"]

    assert (policy("web"), policy("web-prev")) == ("always", "no")
    docker.docker("update", "--restart", "always", "web-prev")
    if runs:  # it had not been stopped yet; its port is another's by now
        docker.docker("rename", "web-prev", "gone")
        docker.docker("rm", "gone")
        label = [f"--label={key}={value}" for key, value in docker.inspect("web")["Config"]["Labels"].items()]
        docker.docker("run", "--detach", "--restart=always", "--name=web-prev", *label, web)
    if by == "deploy":
        assert answer(berth.run("deploy", web, *always, "--json"))["current"]
    else:
        berth.up(web, *always).ready()
    until(lambda: policy("web-prev") == "no" and not docker.inspect("web-prev")["State"]["Running"])
    assert policy("web") == "always" and docker.inspect("web")["State"]["Running"]


def test_older_images_go_and_strangers_stay(ns, docker, berth, registry, web):
    ids = []
    for tag in ("webapp:v1", "webapp:v2", "webapp:health"):
        moved(registry, tag)
        answer(deploy(berth, web))
        ids.append(docker.inspect("web")["Image"])
    kept = set(docker.docker("images", "--quiet", "--no-trunc").split())
    assert ids[0] not in kept and {ids[1], ids[2]} <= kept


def test_the_images_own_volumes_go_with_their_generation(ns, docker, berth, registry, web, tmp_path):
    (tmp_path / "more").write_text('{"Volumes": {"/data": {}}}')
    own = ("-v", "kept:/kept:ro", "--container-json", tmp_path / "more", "--drain-timeout", "1s", "--force")
    docker.docker("volume", "create", "kept")
    for number in range(4):
        answer(berth.run("deploy", web, *PORTS, *own, "--json"))
        if number == 1:  # somebody else uses the first one's
            docker.docker("run", "--detach", "--name", "side", "--volumes-from", "web-prev", web, "sleep", "60")
    volumes = docker.docker("volume", "ls", "--quiet").split()
    used = [m["Name"] for name in ("web", "web-prev", "side") for m in docker.inspect(name)["Mounts"]]
    assert set(volumes) == set(used) and len(volumes) == 4 and "kept" in volumes


def test_down_removes_what_is_ours(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS)
    service.ready()
    refused = berth.run("down", "--name", "web")
    assert refused.code == 1 and "stop it first" in refused.last_line and version(ns) == "v1"
    service.stop()
    moved(registry)
    answer(deploy(berth, web))
    assert berth.run("down", "--name", "web", "--purge").code == 0
    assert names(docker) == [] and docker.docker("images", "--quiet") == ""
    assert berth.run("down", "--name", "web").code == 0


def test_nothing_to_go_back_to(ns, docker, berth, registry, web):
    answer(deploy(berth, web))
    done = berth.run("rollback", "--name", "web")
    assert done.code == 1 and "nothing to go back to" in done.last_line and version(ns) == "v1"


def test_status_tells_of_both_generations_and_of_what_failed(ns, docker, berth, registry, web):
    first = answer(deploy(berth, web))
    moved(registry)
    second = answer(deploy(berth, web))
    assert deploy(berth, web, *BAD).code == 1
    said = json.loads(berth.run("status", "--name", "web", "--json").out)
    assert said["digest"] == second["digest"] and said["previous"]["digest"] == first["digest"]
    assert said["previous"]["state"] == "exited" and "candidate" not in said and "deploying" not in said
    assert said["last_failure"] == said["last_deployment"]
    assert said["last_failure"]["by"] == "deploy" and "exit code" in said["last_failure"]["failure"]
    assert said["docker"]["by"] == said["previous"]["by"] == "deploy" and said["docker"]["generation"] == "2"
    assert [(row["by"], "failure" in row and row["failure"] is not None) for row in said["history"]] == [
        ("deploy", True),
        ("deploy", False),
        ("deploy", False),
    ]
    text = berth.run("status", "--name", "web").out
    assert f"previous   web-prev: {first['digest']}, exited, generation 1, deployed 20" in text
    assert "failure " in text and "history " in text


def test_status_watch_draws_again_in_place(ns, docker, berth, registry, web):
    answer(deploy(berth, web))
    ours, theirs = pty.openpty()
    watch = ns.run([binary(), "status", "--name", "web", "--watch"], env=berth.env, stdout=theirs)
    os.close(theirs)
    shown = os.read(ours, 65536)
    docker.docker("stop", "--time", "1", "web")
    while b"exited" not in shown:
        shown += os.read(ours, 65536)
    watch.terminate()
    assert watch.wait(5) == 0
    os.close(ours)
    assert shown.startswith(b"\x1b[H\x1b[J") and shown.count(b"\x1b[H\x1b[J") >= 2
