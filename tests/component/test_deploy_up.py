"""`berth up` and what is deployed beside it: changed options, restarts, and what somebody has gone back from."""

import json
import signal
import time

import pytest
from deploy_steps import answer, moved, names, result, until, version
from deploy_steps import berth, docker, outside, registry, web  # noqa: F401 (fixtures)
from lab import images

PORTS = ("-p", "80:3000", "--drain-timeout", "1s")


def deploy(berth, web, *argv):
    return berth.run("deploy", web, *PORTS, "--json", *argv)


def container(docker):
    """The ID of the one called web; "" in the moment when names change."""
    return docker.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", "name=^/web$").strip()


def test_up_with_other_options_costs_no_request_and_no_health_check(ns, docker, berth, registry, web, outside):
    berth.up(web, *PORTS).ready()
    answer(deploy(berth, web, "--force"))
    berth.services[0].stop()
    client, seen = outside.load(), []
    moved(registry)
    first = container(docker)
    service = berth.up(web, *PORTS, "-e", "START_DELAY=2", "-e", "NEW=1")
    service.ready(timeout=2)  # the old one serves, whatever is made beside it
    until(lambda: seen.append(service.health()[0]) or container(docker) not in (first, ""))
    until(lambda: names(docker) == ["web"])
    assert set(seen) == {200}
    assert "NEW=1" in docker.inspect("web")["Config"]["Env"]
    assert result(client) == ({"v1", "v2"}, [])
    said = json.loads(berth.run("status", "--name", "web", "--json").out)
    assert said["last_deployment"]["by"] == "up" and said["last_deployment"]["strategy"] == "blue-green"


def test_what_was_rolled_back_from_stays_away_until_somebody_insists(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS)
    service.ready()
    moved(registry)
    answer(deploy(berth, web))
    answer(berth.run("rollback", "--name", "web", "--drain-timeout", "1s", "--json"))
    first = container(docker)
    done = deploy(berth, web)
    assert done.code == 1 and "was rolled back from" in done.last_line and "--force" in done.last_line
    service.stop()
    service = berth.up(web, *PORTS)
    service.ready()
    time.sleep(1)
    assert container(docker) == first and version(ns) == "v1"
    assert answer(deploy(berth, web, "--force"))["strategy"] == "blue-green" and version(ns) == "v2"
    assert answer(deploy(berth, web))["current"]
    answer(berth.run("rollback", "--name", "web", "--drain-timeout", "1s", "--json"))
    moved(registry, "webapp:health")
    assert not answer(deploy(berth, web))["current"]  # another image is another matter


def test_a_restart_leaves_alone_what_was_deployed_since(ns, docker, berth, registry, web):
    service = berth.up(web, *PORTS)
    service.ready()
    other = images.push("webapp:v2", registry, "team/web", "other")
    answer(deploy(berth, other, "-e", "ASKED=1", "--probe", "http://:3000/health"))
    first = container(docker)
    assert service.stop() == 0
    registry.kill()
    service = berth.up(web, *PORTS, "--probe", "http://:3000/nothing")  # not for what others have made
    assert service.wait_health(200)["image"] == other
    service.wait_line("deployed since")
    time.sleep(0.5)
    assert container(docker) == first and version(ns) == "v2"
    service.stop()
    registry.start()
    service = berth.up(web, *PORTS, "-e", "CHANGED=1")  # other options than it has ever carried out
    until(lambda: container(docker) not in (first, ""), said=lambda: service.err)
    until(lambda: names(docker) == ["web"])
    assert version(ns) == "v1" and service.health()[0] == 200


def test_options_that_have_failed_are_not_tried_again_by_a_restart(ns, docker, berth, registry, web):
    berth.up(web, *PORTS).ready()
    first = container(docker)
    bad = (*PORTS, "--", "sh", "-c", "echo ending with 7 >&2; exit 7")
    for said in ("ending with 7", "failed on"):
        berth.services[-1].stop()
        service = berth.up(web, *bad)
        service.wait_line(said)
        service.wait_line("were not carried out")
        service.ready()
    assert "starting web-next" not in service.err
    assert container(docker) == first and names(docker, "--all") == ["web"]


def test_another_probe_alone_is_asked_and_replaces_nothing(ns, docker, berth, registry, web):
    berth.up(web, *PORTS, "--probe", "http://:3000/health").ready()
    berth.services[-1].stop()
    first = container(docker)
    service = berth.up(web, *PORTS, "--probe", "http://:3000/nothing")
    assert "404" in service.wait_health(503, timeout=5)["reason"] or service.wait_line("http://:3000/nothing")
    time.sleep(1)
    assert service.health()[0] == 503 and container(docker) == first
    assert answer(deploy(berth, web, "--probe", "http://:3000/"))["current"]
    service.stop()
    berth.up(web, *PORTS, "--probe", "http://:3000/").ready()
    assert container(docker) == first and names(docker, "--all") == ["web"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_up_that_ends_takes_its_unfinished_deployment_along(ns, docker, berth, registry, web, outside, end):
    berth.up(web, *PORTS).ready()
    berth.services[-1].stop()
    first = container(docker)
    client = outside.load()
    service = berth.up(web, *PORTS, "-e", "START_DELAY=20")
    until(lambda: "web-next" in names(docker))
    service.process.send_signal(end)
    service.wait(10)
    until(lambda: names(docker, "--all") == ["web"])
    service = berth.up(web, *PORTS)
    service.ready()
    assert result(client) == ({"v1"}, [])
    assert container(docker) == first


def test_up_goes_on_trying_while_the_registry_is_away(ns, docker, berth, registry, web):
    berth.up(web, *PORTS).ready()
    berth.services[-1].stop()
    first = container(docker)
    registry.kill()
    service = berth.up(web, *PORTS, "-e", "NEW=1", "--pull", "always")
    service.ready(timeout=3)
    time.sleep(4)
    assert container(docker) == first and service.health()[0] == 200
    registry.start()
    until(lambda: container(docker) not in (first, ""), timeout=40, said=lambda: service.err)
    until(lambda: names(docker) == ["web"])
    assert service.health()[0] == 200
