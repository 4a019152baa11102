"""A musterd that says what a test wants it to say."""

import base64
import json
import socket
import threading
import urllib.parse

REASONS = {200: "OK", 403: "Forbidden", 404: "Not Found",
           500: "Internal Server Error", 503: "Service Unavailable"}


def process(id_=1, name="web", state="running", **more):
    """A Process of API.md, running and verified unless told otherwise."""
    alive = state in ("running", "starting", "stopping")
    p = {"id": id_, "pid": 800 + id_ if alive else None,
         "name": f"default.{name}", "instance": 0, "generation": 1,
         "once": False, "state": state, "verified": state == "running",
         "started": "2026-11-21T20:27:22.123Z",
         "uptime": 3.25 if alive else None, "exit": None, "restarts": 0,
         "verifier": None, "command": f"./{name} --fast",
         "args": ["--fast"], "cwd": "/srv", "user": "www",
         "streams": [{"name": "stdout", "fd": 1, "mode": "r", "offset": 0,
                      "dropped": 0}]}
    p.update(more)
    return p


def exited(code=0, **more):
    return {"code": code, "time": "2026-11-21T20:27:30.000Z", **more}


def verifier(last="http 200", kind="http", attempts=1, elapsed_ms=12):
    return {"kind": kind, "attempts": attempts, "last": last,
            "elapsed_ms": elapsed_ms}


class Request:
    """A request, and the means to answer it."""

    def __init__(self, conn, head):
        self.conn = conn
        line, *fields = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = line.split(" ")
        self.path, _, query = self.target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query))
        self.fields = {}
        for field in fields:
            if field:
                name, _, value = field.partition(":")
                self.fields[name.lower()] = value.strip()

    def send(self, data):
        self.conn.sendall(data if isinstance(data, bytes) else data.encode())

    def head(self, status, type_, *fields):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}",
                 f"Content-Type: {type_}", *fields, "", ""]
        self.send("\r\n".join(lines))

    def answer(self, status, body, type_="application/json"):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        self.head(status, type_, f"Content-Length: {len(body)}")
        self.send(body)

    def problem(self, status, detail, code="some-problem"):
        self.answer(status, {"type": f"/problems/{code}", "title": "T",
                             "status": status, "detail": detail,
                             "code": code}, "application/problem+json")

    def stream(self, type_="application/x-ndjson"):
        self.head(200, type_, "Transfer-Encoding: chunked")

    def chunk(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, event, **members):
        self.chunk(json.dumps({"event": event, "process": 1,
                               "stream": "stdout", **members}) + "\n")

    def io(self, offset, data, binary=False):
        if binary:
            self.event("io", offset=offset,
                       data_b64=base64.b64encode(data).decode())
        else:
            self.event("io", offset=offset, data=data)

    def end(self):
        self.send(b"0\r\n\r\n")


class Fake:
    """Listens on a Unix socket; a thread for each connection.

    processes   what GET /v1/processes tells; or a function of the request
    output      {(id, stream): bytes}
    on          {(method, path): function(request), or bytes to send}: comes
                first
    requests    "METHOD target" of all that came
    """

    def __init__(self, path, family=socket.AF_UNIX):
        self.path = str(path)
        self.processes = [process()]
        self.output = {}
        self.on = {}
        self.requests = []
        self.seen = []
        self.status = "running"
        self.ready = True
        self.boot = "b00t"
        self.pid = 4711
        self.listener = socket.socket(family)
        if family == socket.AF_UNIX:
            self.listener.bind(self.path)
        else:
            self.listener.bind(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
        self.listener.listen(64)
        self.conns = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """As if it had ended."""
        # close(2) alone does not wake accept(2).
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for conn in list(self.conns):
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.conns.add(conn)
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _serve(self, conn):
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                data = conn.recv(65536)
                if not data:
                    return
                head += data
            self._route(Request(conn, head.partition(b"\r\n\r\n")[0]))
        except OSError:
            pass
        finally:
            self.conns.discard(conn)
            conn.close()

    def _route(self, q):
        self.requests.append(f"{q.method} {q.target}")
        self.seen.append(q)
        own = self.on.get((q.method, q.path))
        if isinstance(own, bytes):
            q.send(own)
        elif own:
            own(q)
        else:
            self._default(q)

    def _list(self, q):
        return self.processes(q) if callable(self.processes) \
            else self.processes

    def _default(self, q):
        words = q.path.strip("/").split("/")
        if q.path == "/v1" and q.method == "GET":
            q.answer(200, self.info())
        elif q.path == "/v1/ready":
            if self.ready is True:
                q.answer(200, {"ready": True})
            else:
                q.problem(503, self.ready, "not-ready")
        elif q.path == "/v1/processes":
            q.answer(200, {"processes": self._list(q)})
        elif words[:2] == ["v1", "processes"]:
            found = [p for p in self._list(q) if str(p["id"]) == words[2]]
            if not found:
                q.problem(404, "there is no such process")
            elif len(words) == 3:
                q.answer(200, found[0])
            else:
                self._output(q, found[0]["id"], words[4])
        elif words[0] == "restart" and q.method == "POST":
            p = [p for p in self._list(q) if str(p["id"]) == words[1]][0]
            q.answer(200, {"success": True, "process": {
                "id": p["id"], "command": p["command"], "status": "running",
                "pid": p["pid"]}})
        elif q.path == "/" and q.method == "DELETE":
            q.answer(200, {"success": True})
            self.close()
        else:
            q.problem(404, "there is no such path", "not-found")

    def info(self):
        return {"name": "muster", "version": "0.1.0", "boot": self.boot,
                "status": self.status, "ready": self.ready is True,
                "pid": self.pid, "started": "2026-11-21T20:27:22.123Z",
                "counts": {"running": 1, "exited": 2, "failed": 0}}

    def _output(self, q, id_, stream):
        data = self.output.get((id_, stream), b"")
        start = int(q.query.get("since", 0))
        if "lines" in q.query:
            lines = data.splitlines(keepends=True)
            start = len(data) - len(b"".join(
                lines[-int(q.query["lines"]):]))
        if "ndjson" not in q.fields.get("accept", ""):
            q.stream("application/octet-stream")
            if data[start:]:
                q.chunk(data[start:])
            q.end()
            return
        q.stream()
        q.event("generation", generation=1)
        while start < len(data):
            piece = data[start:start + 1000]
            try:
                q.io(start, piece.decode())
            except UnicodeDecodeError:
                q.io(start, piece, binary=True)
            start += len(piece)
        q.event("eof", offset=start)
        q.end()
