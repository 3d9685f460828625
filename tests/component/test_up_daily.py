"""The cases of a daily life: what `berth up` does when the instance is not fresh."""

import json
import shutil
import subprocess
import time

import pytest
from lab import Engine, Registry, images
from service import Berth, binary, request

PORTS = ("-p", "80:3000")


@pytest.fixture
def registry(ns):
    with Registry(ns) as registry:
        yield registry


@pytest.fixture
def docker(ns):
    with Engine("docker20") as engine:
        yield engine.start(ns)


@pytest.fixture
def berth(ns, docker):
    berth = Berth(ns, docker)
    yield berth
    berth.close()


@pytest.fixture
def web(registry):
    return images.push("webapp:v1", registry, "team/web", "latest")


def version(ns):
    status, body = request(ns, 80, "/")
    assert status == 200
    return body


def requests_after(registry, action):
    registry.forget_requests()
    action()
    return [r for r in registry.requests if "/manifests/" in r.path or "/blobs/" in r.path]


def containers(docker, everything=True):
    flags = ["--all"] if everything else []
    return docker.docker("ps", *flags, "--format", "{{.Names}}").split()


def test_fresh_instance_goes_from_503_to_200(ns, docker, berth, web):
    service = berth.up(web, *PORTS, env={"BERTH_ENV": "START_DELAY=1"})
    seen = []
    said = service.wait_health(200, seen=seen)
    assert said["status"] == "ready" and said["container"] == "web"
    assert {code for code, _ in seen[:-1]} == {503} and seen[-1] == (200, "ready")
    assert "v1" in version(ns)
    inspect = docker.inspect("web")
    assert inspect["Config"]["Labels"]["io.berth.digest"] == said["digest"]
    assert inspect["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_sigterm_leaves_the_container_running_and_the_next_up_adopts_it_without_network(
    ns, docker, berth, registry, web
):
    service = berth.up(web, *PORTS)
    service.ready()
    first = docker.inspect("web")["Id"]
    started = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - started < 2
    assert "v1" in version(ns)
    again = []
    asked = requests_after(registry, lambda: again.append(berth.up(web, *PORTS)) or again[0].ready())
    assert asked == []
    assert docker.inspect("web")["Id"] == first
    assert again[0].stop() == 0


def test_a_stopped_container_of_the_same_options_is_started_while_the_registry_is_down(
    ns, docker, berth, registry, web
):
    berth.up(web, *PORTS).ready()
    berth.close()
    first = docker.inspect("web")["Id"]
    docker.docker("stop", "--time", "1", "web")
    registry.kill()
    service = berth.up(web, *PORTS)
    service.ready()
    assert docker.inspect("web")["Id"] == first


def test_other_options_replace_the_container_and_keep_the_old_one_stopped(ns, docker, berth, web):
    berth.up(web, *PORTS).ready()
    berth.close()
    first = docker.inspect("web")["Id"]
    service = berth.up(web, *PORTS, "-e", "NEW=1", "--drain-timeout", "1s")
    service.wait_line("another container is web now")
    service.ready()
    now = docker.inspect("web")
    assert now["Id"] != first and "NEW=1" in now["Config"]["Env"]
    assert now["Config"]["Labels"]["io.berth.generation"] == "2"
    old = docker.inspect("web-prev")
    assert old["Id"] == first
    deadline = time.monotonic() + 5
    while docker.inspect("web-prev")["State"]["Running"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not docker.inspect("web-prev")["State"]["Running"]


def test_other_options_that_do_not_work_bring_the_old_container_back(ns, docker, berth, web):
    berth.up(web, *PORTS).ready()
    berth.close()
    first = docker.inspect("web")["Id"]
    service = berth.up(web, *PORTS, "--restart", "no", "--", "sh", "-c", "exit 3")
    service.wait_line("were not carried out")
    service.ready()
    assert docker.inspect("web")["Id"] == first
    assert containers(docker) == ["web"]


def test_a_replacement_that_dies_at_once_is_not_taken_for_ready_by_probe_none(ns, docker, berth, web):
    berth.up(web).ready()
    berth.close()
    first = docker.inspect("web")["Id"]
    service = berth.up(web, "--restart", "no", "--", "sh", "-c", "exit 3")
    service.wait_line("were not carried out")
    service.ready()
    assert docker.inspect("web")["Id"] == first


@pytest.mark.parametrize("policy,expected", [("newer", "v2"), ("always", "v2"), ("missing", "v1"), ("never", "v1")])
def test_a_moved_tag_is_followed_as_pull_says(ns, docker, berth, registry, web, policy, expected):
    berth.pulled(web)
    images.push("webapp:v2", registry, "team/web", "latest")
    berth.up(web, *PORTS, "--pull", policy).ready()
    assert expected in version(ns)


def test_baked_image_is_used_without_fetching_a_blob(ns, docker, berth, registry, web):
    berth.pulled(web)
    asked = requests_after(registry, lambda: berth.up(web, *PORTS).ready())
    blobs = [r for r in asked if "/blobs/" in r.path]
    assert len(blobs) <= 1, "only the config"


def test_registry_down_at_reboot_uses_the_image_that_is_here_and_says_so(ns, docker, berth, registry, web):
    berth.pulled(web)
    registry.kill()
    service = berth.up(web, *PORTS)
    service.ready()
    service.wait_line("using the image that is here")
    assert "v1" in version(ns)


def test_registry_down_and_no_image_is_retried_until_it_is_back(ns, docker, berth, registry, web):
    registry.kill()
    service = berth.up(web, *PORTS)
    service.wait_line("trying again")
    code, said = service.health()
    assert code == 503 and said["reason"]
    registry.start()
    service.ready()


def test_pull_never_without_the_image_fails_by_its_own_words(ns, docker, berth, web):
    service = berth.up(web, "--pull", "never")
    said = service.wait_health("failed")
    assert "--pull never" in said["reason"]


def test_the_docker_socket_is_waited_for(ns, registry, web):
    engine = Engine("docker20")
    try:
        engine._prepare(ns)  # the socket's path is known before the engine runs
        berth = Berth(ns, engine)
        service = berth.up(web, *PORTS)
        said = service.wait_health("starting")
        assert "Docker" in said["reason"]
        time.sleep(1)
        engine.start()
        service.ready()
        berth.close()
    finally:
        engine.stop()


def test_no_docker_at_all_fails_at_once(ns, tmp_path):
    """In a root where there is nothing but berth itself."""
    if "static" not in subprocess.check_output([binary(), "version", "-v"], text=True):
        pytest.skip("needs the static binary: BERTH=dist/berth")
    shutil.copy(binary(), tmp_path / "berth")
    began = time.monotonic()
    done = subprocess.run(
        [*ns.enter, "/usr/sbin/chroot", tmp_path, "/berth", "pull", "127.0.0.1:5000/team/web"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and time.monotonic() - began < 2
    assert "docker" in done.stderr and "install" in done.stderr


def test_a_container_that_dies_turns_health_red_and_comes_back(ns, docker, berth, web):
    service = berth.up(web, *PORTS)
    service.ready()
    docker.docker("kill", "web")
    said = service.wait_health(503, timeout=5)
    assert "exit code" in said["reason"] or "connect" in said["reason"]
    docker.docker("start", "web")
    service.ready()


def test_an_app_that_crashes_is_restarted_by_docker_and_ready_again(ns, docker, berth, web):
    service = berth.up(web, *PORTS)
    service.ready()
    pid = docker.inspect("web")["State"]["Pid"]
    subprocess.run([*docker._inside, "/bin/kill", "-9", str(pid)], check=True)
    service.wait_line("web is not ready any more")  # too short to be sure of hitting the 503 of that time
    service.wait_line("web is ready again")
    service.ready()
    assert docker.inspect("web")["RestartCount"] == 1


def test_a_strangers_container_of_that_name_is_an_error_and_is_not_touched(ns, docker, berth, web):
    berth.pulled(web)
    docker.docker("create", "--name", "web", web)
    before = docker.inspect("web")["Id"]
    service = berth.up(web, *PORTS)
    said = service.wait_health("failed")
    assert "web" in said["reason"]
    assert docker.inspect("web")["Id"] == before


def test_a_second_up_for_the_same_name_is_refused(ns, docker, berth, web):
    berth.up(web, *PORTS).ready()
    done = berth.run("up", web, *PORTS, "--health-listen", ":8643")
    assert done.code == 1 and "another `berth up`" in done.err


def test_a_removed_container_is_made_again(ns, docker, berth, web):
    service = berth.up(web, *PORTS)
    service.ready()
    docker.docker("rm", "--force", "web")
    service.wait_line("is gone")
    service.ready()


def test_a_moved_tag_is_brought_by_pull_and_the_containers_removal(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS)
    service.ready()
    images.push("webapp:v2", registry, "team/web", "latest")
    berth.pulled(web)
    docker.docker("rm", "--force", "web")
    service.wait_line("web is ready again")
    assert "v2" in version(ns)


def test_stop_on_exit_drains_and_stops(ns, docker, berth, web):
    service = berth.up(web, *PORTS, "--stop-on-exit", "--drain-timeout", "2s")
    service.ready()
    service.process.terminate()
    said = service.wait_health("draining", timeout=2)
    assert said["status"] == "draining" and "v1" in version(ns)
    assert service.wait() == 0
    assert not docker.inspect("web")["State"]["Running"]


def test_dockerd_restarts_under_berth(ns, docker, berth, web):
    service = berth.up(web, *PORTS)
    service.ready()
    docker.shut_down()
    service.wait_health(503, timeout=10)
    docker.start()
    service.ready()


@pytest.mark.parametrize("leftover", ["web-next", "prev-only"])
def test_what_a_death_left_is_mended(ns, docker, berth, web, leftover):
    berth.up(web, *PORTS).ready()
    berth.close()
    first = docker.inspect("web")["Id"]
    if leftover == "prev-only":
        docker.docker("rename", "web", "web-prev")
    else:
        docker.docker("create", "--name", "web-next", "--label", "io.berth.name=web", web)
    berth.up(web, *PORTS).ready()
    assert containers(docker) == ["web"] and docker.inspect("web")["Id"] == first


def test_status_tells_what_serves(ns, docker, berth, web):
    assert berth.run("status", "--name", "web").code == 1
    service = berth.up(web, *PORTS)
    service.ready()
    done = berth.run("status")
    assert done.code == 0 and "ready" in done.out and "web" in done.out
    said = json.loads(berth.run("status", "--json").out)
    assert said["status"] == "ready" and said["attended"] and said["docker"]["state"] == "running"
    service.stop()
    done = berth.run("status", "--name", "web", "--json")
    assert done.code == 1 and json.loads(done.out)["status"] == "unattended"
