"""Clients that are not berth, to try the doubles with."""

import http.client
import subprocess


def call(server, method, target, headers=None, body=None):
    """(status, headers, body) of one request on a fresh connection."""
    connection = http.client.HTTPConnection(*server.address, timeout=2)
    try:
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def curl(*args):
    """(exit code, "status size") of a curl."""
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "-m",
            "3",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_download}",
            *map(str, args),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def skopeo(reference, directory, credentials=None, certificates=None):
    """Copies an image with everything below it; the finished process."""
    args = ["--src-creds", credentials] if credentials else []
    args += ["--src-cert-dir", str(certificates)] if certificates else ["--src-tls-verify=false"]
    return subprocess.run(
        [
            "skopeo",
            "copy",
            "-q",
            "--all",
            "--preserve-digests",
            *args,
            f"docker://{reference}",
            f"oci:{directory}:x",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
