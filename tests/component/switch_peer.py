"""The ends of the switch's connections, each a process in its namespace: serve, occupy, and clients."""

import http.client
import http.server
import json
import socket
import socketserver
import sys
import threading
import time


PAUSE_S = 0.001  # hundreds of connections a second do, and leave a small machine to what is tested


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    name = ""

    def do_GET(self):
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path[6:]))
        body = b"x" * int(self.path[6:]) if self.path.startswith("/size/") else self.name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        """Reads until the client closes its half, then answers with the number of bytes."""
        got = 0
        while chunk := self.rfile.read1(65536):
            got += len(chunk)
        self.close_connection = True
        self.wfile.write(f"{self.name} {got}".encode())

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def udp_echo(name, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind(("", port))
        while True:
            _, peer = echo.recvfrom(2048)
            echo.sendto(name.encode(), peer)


def serve(name, port):
    Handler.name = name
    server = Server(("", int(port)), Handler)
    threading.Thread(target=udp_echo, args=(name, int(port)), daemon=True).start()
    print("serving", flush=True)
    server.serve_forever()


def ask(host, port, path="/"):
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


def fetch(host, port, size):
    """The length of a large answer that is read slowly at first."""
    with socket.create_connection((host, int(port)), timeout=5) as s:
        s.sendall(f"GET /size/{size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        time.sleep(0.2)
        got = b"".join(iter(lambda: s.recv(1 << 20), b""))
    return len(got.partition(b"\r\n\r\n")[2])


def crowd(host, port, n):
    """How many of n clients who are connected at once get their answer."""
    clients = [http.client.HTTPConnection(host, int(port), timeout=5) for _ in range(int(n))]
    for client in clients:
        client.connect()
    for client in clients:
        client.request("GET", "/")
    answered = 0
    for client in clients:
        answered += client.getresponse().read() != b""
        client.close()
    return answered


def dropped(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=0.5).close()
    except TimeoutError:
        return "dropped"
    return "connected"


def load(host, port):
    """New connections one after the other until stdin ends; then what came back, and what failed."""
    answers, failures, ended = {}, [], threading.Event()

    def until_end():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=until_end, daemon=True).start()
    print("loading", flush=True)
    while not ended.is_set():
        try:
            answer = ask(host, port)
            answers[answer] = answers.get(answer, 0) + 1
            time.sleep(PAUSE_S)
        except (OSError, http.client.HTTPException) as e:
            failures.append(repr(e))
    print(json.dumps({"answers": answers, "failures": failures}), flush=True)


def udp(host, port):
    """One socket; each line of stdin is sent, and answered by the server's name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((host, int(port)))
        peer.settimeout(2)
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                peer.send(line.encode())
                print(peer.recv(2048).decode(), flush=True)
            except OSError as e:
                print(repr(e), flush=True)


def hold(host, port):
    """One connection; each line of stdin is a path that is asked for on it."""
    connection = http.client.HTTPConnection(host, int(port), timeout=8)
    connection.connect()
    print("connected", flush=True)
    for line in sys.stdin:
        try:
            connection.request("GET", line.strip())
            print(connection.getresponse().read().decode()[:40], flush=True)
        except (OSError, http.client.HTTPException) as e:
            print(repr(e), flush=True)


def half(host, port, size):
    """Sends size bytes, closes its half, and then reads the answer."""
    with socket.create_connection((host, int(port)), timeout=5) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + b"y" * int(size))
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := s.recv(4096):
            answer += chunk
        print(answer.decode(), flush=True)


def occupy(port):
    with socket.socket(socket.AF_INET6) as s:
        s.bind(("::", int(port)))
        s.listen()
        print("occupying", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    commands = {"serve": serve, "load": load, "udp": udp, "hold": hold, "half": half, "occupy": occupy}
    questions = {"ask": ask, "fetch": fetch, "crowd": crowd, "dropped": dropped}
    if sys.argv[1] in questions:
        print(questions[sys.argv[1]](*sys.argv[2:]))
    else:
        commands[sys.argv[1]](*sys.argv[2:])
