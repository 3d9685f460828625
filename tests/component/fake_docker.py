"""A Docker that misbehaves by script, on a Unix socket: for what no real engine can be made to do."""

import json
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

HEALTHY = {
    "/_ping": (200, "OK"),
    "/version": (200, {"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}),
    "/info": (200, {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]], "NCPU": 2}),
}


def answer(status, body, headers=()):
    """A whole HTTP answer as bytes; body is text, bytes or something for JSON."""
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    head = f"HTTP/1.1 {status} Scripted\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers)
    return head.encode() + b"\r\n" + body


def chunked(*chunks, end=True, headers=()):
    """A 200 whose chunks are what is given; without the end it breaks off."""
    out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    out += b"".join(f"{name}: {value}\r\n".encode() for name, value in headers) + b"\r\n"
    for chunk in chunks:
        chunk = chunk.encode() if isinstance(chunk, str) else chunk
        out += b"%x\r\n%s\r\n" % (len(chunk), chunk)
    return out + (b"0\r\n\r\n" if end else b"")


class FakeDocker:
    """FakeDocker(path, {"/containers/x/json": (404, {...})}): answers with (status, body), with raw bytes,
    or by a function of the handler; versions in paths are stripped, queries too. None: accepts and hangs."""

    def __init__(self, path, script=None):
        self.script = HEALTHY | (script or {})
        self.requests = []
        self.finished = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                path = self.path.partition("?")[0]
                if path.startswith("/v1."):
                    path = "/" + path.split("/", 2)[2]
                self.path_asked = path
                fake.requests.append((self.command, self.path))
                if path not in fake.script:
                    self.reply(answer(404, {"message": f"no script for {path}"}))
                    return
                does = fake.script[path]
                if does is None:
                    fake.finished.wait()
                    self.close_connection = True
                elif callable(does):
                    does(self)
                    self.close_connection = True
                elif isinstance(does, bytes):
                    self.read_body()
                    self.reply(does)
                    self.close_connection = True
                else:
                    self.read_body()
                    self.reply(answer(*does))

            do_GET = do_POST = do_DELETE = do_HEAD = serve

            def read_body(self):
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        self.rfile.read(size + 2)
                    self.rfile.readline()
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def reply(self, data):
                try:
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args):
                pass

            def address_string(self):
                return "unix"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, *args):  # a client that gives up is the point of many tests
                pass

        self.path = str(path)
        self.host = f"unix://{path}"
        self.server = Server(self.path, Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.finished.set()
        self.server.shutdown()
        self.server.server_close()


def stale_socket(path):
    """A socket file whose server is gone."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
