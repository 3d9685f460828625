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
APP_PORT = 8080  # 80 is taken here: this namespace is the cloud too, whose metadata service answers there
READY_WITHIN_S = 300


def say(text=""):
    """One write a line: two threads speak."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


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


class Story:
    """What happens, with the seconds since it began."""

    def __init__(self):
        self.began = time.monotonic()

    def tell(self, text):
        say(f"  {time.monotonic() - self.began:5.1f} s  {text}")

    def forward(self, stream):
        for line in stream:
            self.tell(line.rstrip())


def watch_health(ns, berth, story):
    """Tells what /healthz says whenever it says something else, until it is 200, or `failed` for good; the codes."""
    last, codes = None, []
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and berth.poll() is None:
        answer = get(ns, HEALTH_PORT, "/healthz")
        if answer:
            status, body = answer
            said = json.loads(body)
            line = f"GET /healthz -> {status} {said['status']}" + (f": {said['reason']}" if said["reason"] else "")
            if line != last:
                story.tell(line)
                codes.append(status)
            last = line
            if status == 200 or said["status"] == "failed":
                break
        time.sleep(0.02)
    return codes


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
        story = Story()
        reader = threading.Thread(target=story.forward, args=(berth.stderr,), daemon=True)
        reader.start()
        codes = watch_health(ns, berth, story)
        clock.lap("berth up: launch to healthy")
        answer = get(ns, APP_PORT, "/") if 200 in codes else None
        story.tell(f"GET :{APP_PORT}/ -> {answer[0]} {answer[1].strip()}" if answer else "the app does not answer")
        berth.send_signal(signal.SIGTERM)
        code = berth.wait(timeout=30)
        reader.join(timeout=5)
        clock.lap("SIGTERM to exit")
        running = engine.docker("ps", "--format", "{{.Names}}: {{.Status}}").strip()
    clock.lap("cleaned up")
    if not (answer and answer[0] == 200 and code == 0 and running):
        say(f"\nquickstart FAILED: /healthz said {codes}, the app {answer}, berth left with {code}, docker ps: {running}")
        return 1
    say(f"\n/healthz went {' -> '.join(str(c) for c in dict.fromkeys(codes))}; berth left on SIGTERM with {code}, and the "
        f"container went on ({running}).\n\nWhat took how long:")
    clock.show()
    return 0


if __name__ == "__main__":
    sys.exit(run(str(Path(sys.argv[1]).resolve())))
