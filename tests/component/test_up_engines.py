"""`berth up` on every engine."""

from lab import images
from service import request
from tap import wait_until


def test_up_serves(pair):
    reference = pair.push("webapp:v1", "team/web")
    service = pair.berth.up(reference, "-p", "80:3000", "-e", "GREETING=hello")
    said = service.ready()
    assert request(pair.ns, 80) == (200, '{"version":"v1"}\n')
    assert "GREETING=hello" in request(pair.ns, 80, "/cgi-bin/info")[1]
    container, image = pair.ours.inspect("web"), pair.ours.inspect(reference, "--type=image")
    assert container["Config"]["Image"] == reference
    assert container["Image"].removeprefix("sha256:") == image["Id"].removeprefix("sha256:")
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert container["Config"]["Labels"]["io.berth.digest"] == said["digest"] == images.get("webapp:v1").digest
    assert service.stop() == 0
    assert "v1" in request(pair.ns, 80)[1]


def test_a_replaced_container_may_end_as_it_likes(pair):
    reference = pair.push("webapp:v1", "team/web")
    pair.berth.up(reference, "-p", "80:3000").ready()
    pair.berth.close()
    pair.push("webapp:v2", "team/web")
    service = pair.berth.up(reference, "-p", "80:3000", "-e", "NEW=1", "--drain-timeout", "1s")
    service.wait_line("another container is web now")
    wait_until(lambda: not pair.ours.inspect("web-prev")["State"]["Running"], 20, lambda: service.err)
    service.ready()
    assert "v2" in request(pair.ns, 80)[1]
    assert pair.ours.inspect("web-prev")["State"]["ExitCode"] == 0
    assert "webapp: bye" in pair.ours.docker("logs", "web-prev")
