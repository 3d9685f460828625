"""What scripts/quickstart shows: one instance's way from launch to healthy, in a cloud of its own."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import Engine, Namespace, images  # noqa: E402
from lab.cloud.world import World  # noqa: E402

HEALTH_PORT = 8642
APP_PORT = 80
READY_WITHIN_S = 300


def say(text=""):
    print(text, flush=True)


class Stopwatch:
    def __init__(self):
        self.rows = []
        self.at = time.monotonic()

    def lap(self, what):
        now = time.monotonic()
        self.rows.append((what, now - self.at))
        self.at = now

    def show(self):
        for what, seconds in self.rows:
            say(f"  {what:<44} {seconds:7.1f} s")


def get(ns, port, path):
    """(status, body) of a request inside the namespace, or None while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.sock = ns.connect("127.0.0.1", port)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return None
    finally:
        connection.close()


def watch_health(ns, berth, seen):
    """Prints /healthz whenever its status or phase changes, until it is 200."""
    last = None
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and berth.poll() is None:
        answer = get(ns, HEALTH_PORT, "/healthz")
        if answer:
            status, body = answer
            said = json.loads(body)
            line = f"/healthz {status} {said['status']}" + (f": {said['reason']}" if said["reason"] else "")
            if line != last:
                say(f"    {line}")
                seen.append(status)
            last = line
            if status == 200:
                return True
        time.sleep(0.02)
    return False


def forward(stream):
    for line in stream:
        say(f"  {line.rstrip()}")


def run(binary):
    clock = Stopwatch()
    say("== the image (Debian, Python and a web application, from Debian's packages; kept for the next time)")
    image = images.get("quickstart:v1")
    clock.lap("image built (or found in the cache)")
    with Namespace() as ns, World(ns) as world, Engine("docker20") as engine:
        engine.start(ns)
        world.ecr.push_layout(image.layout, "team/app", "latest", name=image.tag)
        reference = world.ecr.reference("team/app", "latest")
        clock.lap("private cloud and dockerd up")
        argv = [binary, "up", reference, "-p", f"{APP_PORT}:3000", "--probe", "http://:3000/health",
                "--run-dir", f"{ns.run_dir}/run", "--state-dir", f"{ns.run_dir}/state"]
        say(f"\n== berth {' '.join(argv[1:6])} …")
        berth = ns.run(argv, env={**world.env(), "DOCKER_HOST": f"unix://{engine.socket}"},
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        reader = threading.Thread(target=forward, args=(berth.stderr,), daemon=True)
        reader.start()
        seen = []
        ready = watch_health(ns, berth, seen)
        clock.lap("berth up: launch to healthy")
        answer = get(ns, APP_PORT, "/") if ready else None
        berth.send_signal(signal.SIGTERM)
        code = berth.wait(timeout=30)
        reader.join(timeout=5)
        clock.lap("SIGTERM to exit")
        running = engine.docker("ps", "--format", "{{.Names}} {{.Status}}").strip()
    clock.lap("cleaned up")
    if not (ready and answer and answer[0] == 200 and code == 0):
        say(f"\nquickstart FAILED: healthy={ready}, app={answer}, exit={code}")
        return 1
    say(f"\nthe application answers: {answer[1].strip()}")
    say(f"berth left on SIGTERM, the container went on: {running}")
    say(f"/healthz went {' -> '.join(str(s) for s in dict.fromkeys(seen))}\n\nWhat took how long:")
    clock.show()
    return 0


if __name__ == "__main__":
    sys.exit(run(str(Path(sys.argv[1]).resolve())))
