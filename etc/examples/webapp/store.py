"""A store of named strings, kept in memory and reached over TCP.

A line is a request, and its answer is a line:

    get NAME            the value, or an empty line
    set NAME VALUE      ok
    add NAME            the value plus one, as a number
"""

import os
import socketserver
import threading

values = {}
lock = threading.Lock()


def answer(line):
    """What to say to a request."""
    verb, _, rest = line.partition(" ")
    name, _, value = rest.partition(" ")
    with lock:
        if verb == "get":
            return values.get(name, "")
        if verb == "set":
            values[name] = value
            return "ok"
        if verb == "add":
            values[name] = str(int(values.get(name) or 0) + 1)
            return values[name]
    return "what?"


class Handler(socketserver.StreamRequestHandler):
    """One client."""

    def handle(self):
        for line in self.rfile:
            text = answer(line.decode().rstrip("\r\n"))
            self.wfile.write(f"{text}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    """A restart takes the port over at once."""

    allow_reuse_address = True
    daemon_threads = True


def main():
    port = int(os.environ["STORE_PORT"])
    with Server(("127.0.0.1", port), Handler) as server:
        print(f"store on port {port}")
        server.serve_forever()


if __name__ == "__main__":
    main()
