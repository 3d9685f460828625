"""Clients that check each answer, until stdin ends: some with new connections, some that keep theirs. One JSON line."""

import collections
import http.client
import json
import sys
import threading
import time


# Seven of them are thousands a second, and leave something of a small machine to what is tested.
PAUSE_S = 0.002


class Clients:
    def __init__(self, host, port):
        self.host, self.port = host, int(port)
        self.ended = threading.Event()
        self.versions, self.counts, self.failures = collections.Counter(), collections.Counter(), []

    def ask(self, connection, kind):
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")
        self.versions[json.loads(body)["version"]] += 1
        self.counts[kind] += 1

    def run(self, kind):
        """http.client goes by `Connection: close`, and tries nothing twice."""
        connection = None
        while not self.ended.is_set():
            try:
                connection = connection or http.client.HTTPConnection(self.host, self.port, timeout=10)
                self.ask(connection, kind)
            except (OSError, http.client.HTTPException, ValueError) as e:
                self.failures.append(f"{time.time():.3f} {kind}: {e!r}")
                connection = None
                continue
            time.sleep(PAUSE_S)
            if kind == "new":
                connection.close()
                connection = None


def main(host, port, *kinds):
    clients = Clients(host, port)
    threads = [threading.Thread(target=clients.run, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    print("loading", flush=True)
    sys.stdin.read()
    clients.ended.set()
    for thread in threads:
        thread.join()
    said = {"versions": clients.versions, "counts": clients.counts, "failures": clients.failures}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
