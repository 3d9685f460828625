"""Images of the usual size: Debian, an interpreter, libraries, an application, layer upon layer."""

from concurrent.futures import ThreadPoolExecutor

from . import oci, rootfs

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

APP = b'''"""The application: JSON at /, /health, a slow start by START_DELAY, a graceful end at SIGTERM."""

import asyncio
import os
import time

from aiohttp import web

STARTED = time.time()


async def root(_request):
    document = {"version": os.environ["VERSION"], "uptime_s": round(time.time() - STARTED, 3)}
    return web.json_response(document | {"hostname": os.uname().nodename, "pid": os.getpid()})


async def health(_request):
    return web.Response(text="ok\\n", status=503 if os.path.exists("/tmp/unhealthy") else 200)


async def slow(request):
    await asyncio.sleep(float(request.query.get("s", "1")))
    return web.Response(text="done\\n")


def main():
    time.sleep(float(os.environ.get("START_DELAY", "0")))
    app = web.Application()
    app.add_routes([web.get("/", root), web.get("/health", health), web.get("/slow", slow)])
    port = int(os.environ.get("PORT", "3000"))
    print(f"quickstart {os.environ['VERSION']}: listening on {port}", flush=True)
    web.run_app(app, port=port, print=None)
    print("quickstart: bye", flush=True)


main()
'''

HEALTHCHECK = {
    "Test": [
        "CMD",
        "python3",
        "-c",
        "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/health')",
    ],
    "Interval": 30_000_000_000,
    "Timeout": 3_000_000_000,
    "Retries": 3,
}

# What makes up 1.2 GB and 57,000 files: a compiler, a JVM, node, headers by the ten thousand.
BIG = (
    ("interpreters", ("python3", "perl", "nodejs", "openjdk-17-jre-headless")),
    ("compilers", ("g++", "make", "git", "cmake")),
    ("libraries", ("python3-numpy", "python3-django", "libboost1.74-dev")),
    ("headers", ("linux-headers-$(dpkg --print-architecture)",)),
)


def _pack(layout, notes_and_directories):
    """Layers of these directories, two at a time: compression is what takes long."""

    def one(pair):
        note, directory = pair
        with rootfs.tar_stream(directory) as stream:
            return layout.layer_from(stream, note=note)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, notes_and_directories))


def quickstart(layout: oci.Layout):
    """A web application in Python. v2 differs in the two topmost layers; health has a HEALTHCHECK."""
    with rootfs.Stack("quickstart") as stack:
        parts = [("base", stack.layers[0])]
        parts.append(("interpreter", stack.install("python3")))
        parts.append(
            ("libraries", stack.install("python3-aiohttp", "python3-numpy", "python3-yaml"))
        )
        parts.append(("tools", stack.install("curl", "git", "perl")))
        app = stack.grow("useradd --system app", {"srv/app/main.py": APP})
        parts.append(("app", app))
        trim = "rm -rf /usr/share/man /usr/share/doc; mkdir /usr/share/doc; rm /etc/issue.net; "
        trim += "rm -rf /var/cache/debconf/*-old; date -u -d @1704067200 >/srv/app/built"
        parts.append(("config", stack.grow(trim)))
        newer = APP.replace(b"bye", b"good bye")
        stack.layers = stack.layers[:4]
        parts.append(("app 2", stack.grow("useradd --system app", {"srv/app/main.py": newer})))
        layers = _pack(layout, parts)
    for version, chosen in (("v1", layers[:6]), ("v2", [*layers[:4], layers[6], layers[5]])):
        run = {
            "Cmd": ["python3", "/srv/app/main.py"],
            "Env": [PATH, f"VERSION={version}", "PYTHONUNBUFFERED=1"],
            "ExposedPorts": {"3000/tcp": {}},
            "WorkingDir": "/srv/app",
        }
        layout.tag(version, layout.image(chosen, run))
        if version == "v1":
            layout.tag("health", layout.image(chosen, run | {"Healthcheck": HEALTHCHECK}))


def big(layout: oci.Layout):
    """The largest class of everyday images."""
    with rootfs.Stack("big") as stack:
        parts = [("base", stack.layers[0])]
        parts += [(note, stack.install(*packages)) for note, packages in BIG]
        layers = _pack(layout, parts)
    run = {"Cmd": ["sleep", "infinity"], "Env": [PATH], "ExposedPorts": {"3000/tcp": {}}}
    layout.tag("latest", layout.image(layers, run))
