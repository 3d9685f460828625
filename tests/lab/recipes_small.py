"""Small images on Debian's static busybox: a shell, and a web application for component tests."""

from pathlib import Path

from . import oci

BUSYBOX = Path("/bin/busybox")
APPLETS = "sh cat chmod cp date echo env find grep head httpd id kill ls mkdir mv nc ps rm".split()
APPLETS += "sed sleep stat tail test touch true false tr vi wc wget which".split()
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# START_DELAY: seconds before it listens. EXIT_AFTER: seconds until it ends by itself, with
# EXIT_CODE. IGNORE_TERM: outlive SIGTERM. As pid 1 it would ignore SIGTERM without the trap.
START = """#!/bin/sh
child=
end() { [ -n "$child" ] && kill "$child"; echo "webapp: bye"; exit 0; }
if [ -n "$IGNORE_TERM" ]; then trap '' TERM; else trap end TERM INT; fi
echo "webapp $VERSION: starting"
sleep "${START_DELAY:-0}" & child=$!; wait $child
httpd -f -p "${PORT:-3000}" -h /www & child=$!
echo "webapp $VERSION: listening on ${PORT:-3000}"
if [ -n "$EXIT_AFTER" ]; then
	sleep "$EXIT_AFTER"
	echo "webapp $VERSION: ending with ${EXIT_CODE:-1}" >&2
	exit "${EXIT_CODE:-1}"
fi
wait $child
"""

# What the container was given, for tests of options: environment, arguments of pid 1, host name.
INFO = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
hostname=$(cat /etc/hostname)
echo "version=$VERSION hostname=$hostname uid=$(id -u)"
tr '\\0' '\\n' </proc/1/environ
"""


def base(layout: oci.Layout) -> oci.Layer:
    tar = oci.Tar()
    for name in ("bin", "etc", "root", "usr", "usr/bin", "var"):
        tar.dir(name)
    tar.dir("tmp", mode=0o1777)
    tar.file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
    for applet in APPLETS:
        tar.symlink(f"bin/{applet}", "busybox")
    tar.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")
    tar.file("etc/group", "root:x:0:\napp:x:1000:\n")
    return layout.layer(tar.bytes(), note="busybox")


def small(layout: oci.Layout):
    layout.tag("latest", layout.image([base(layout)], {"Cmd": ["/bin/sh"], "Env": [PATH]}))


def webapp(layout: oci.Layout):
    """v1 and v2 differ in the top layer alone; health is v1 with a HEALTHCHECK."""
    app = oci.Tar().dir("app").file("app/start", START, mode=0o755)
    app.dir("www").dir("www/cgi-bin").file("www/cgi-bin/info", INFO, mode=0o755)
    shared = [base(layout), layout.layer(app.bytes(), note="app")]
    for version in ("v1", "v2"):
        page = oci.Tar().file("www/index.html", f'{{"version":"{version}"}}\n')
        page.file("www/health", "ok\n")
        layers = [*shared, layout.layer(page.bytes(), note=f"page {version}")]
        run = {
            "Cmd": ["/app/start"],
            "Env": [PATH, f"VERSION={version}"],
            "ExposedPorts": {"3000/tcp": {}},
        }
        layout.tag(version, layout.image(layers, run))
        if version == "v1":
            check = {
                "Test": ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:3000/health"],
                "Interval": 30_000_000_000,
                "Timeout": 3_000_000_000,
                "Retries": 3,
            }
            layout.tag("health", layout.image(layers, run | {"Healthcheck": check}))
