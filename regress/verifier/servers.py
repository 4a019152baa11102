"""Servers that answer checks, well or badly."""

import os
import socket
import ssl
import subprocess
import threading


class Server:
    """Gives each connection to a function, in a thread of its own."""

    def __init__(self, handler, family=socket.AF_INET, address=None,
                 context=None, port=0, backlog=512):
        self.handler = handler
        self.context = context
        self.requests = []
        self.connections = 0
        self.sock = socket.socket(family)
        if family == socket.AF_UNIX:
            self.sock.bind(address)
        else:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            home = "::1" if family == socket.AF_INET6 else "127.0.0.1"
            self.sock.bind((address or home, port))
            self.port = self.sock.getsockname()[1]
        self.sock.listen(backlog)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def url(self, path="/", host="127.0.0.1"):
        scheme = "https" if self.context else "http"
        return f"{scheme}://{host}:{self.port}{path}"

    def _serve(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(conn,),
                             daemon=True).start()

    def _one(self, conn):
        try:
            if self.context:
                conn = self.context.wrap_socket(conn, server_side=True)
            with conn:
                self.handler(self, conn)
        except (OSError, ssl.SSLError):
            conn.close()

    def close(self):
        # close(2) alone does not wake the thread in accept(2).
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(5)


def read_request(server, conn):
    """The head of the next request, kept in server.requests, or None."""
    raw = b""
    while not raw.endswith(b"\r\n\r\n"):
        piece = conn.recv(1)
        if not piece:
            return None
        raw += piece
    head = raw.decode("latin-1")
    server.requests.append(head)
    return head


def answers(answer):
    """A handler: `answer`, bytes or a function of the request, for each."""
    def handler(server, conn):
        while True:
            head = read_request(server, conn)
            if head is None:
                return
            raw = answer(head) if callable(answer) else answer
            if raw is None:
                return
            conn.sendall(raw)
            if b"Connection: close" in raw:
                return
    return handler


def response(status=200, body=b"ok", **fields):
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def raw(data, keep=False):
    """A handler: these bytes, then the end (or silence)."""
    def handler(server, conn):
        if read_request(server, conn) is None:
            return
        conn.sendall(data)
        if keep:
            conn.recv(1)
    return handler


def silent(server, conn):
    """Never answers; ends when the client does."""
    while conn.recv(4096):
        pass


def openssl(*args, **options):
    subprocess.run(["openssl", *args], check=True, capture_output=True,
                   stdin=subprocess.DEVNULL, **options)


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path, exist_ok=True)
        self.key = self._file("ca.key")
        self.cert = self._file("ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key,
                "-out", self.cert, "-subj", "/CN=muster test authority",
                "-days", "30")

    def _file(self, name):
        return os.path.join(self.path, name)

    def pem(self):
        with open(self.cert, "rb") as f:
            return f.read()

    def context(self, name, altnames, expired=False, self_signed=False):
        """An ssl context for a server with such a certificate."""
        key, request, cert = (self._file(name + e)
                              for e in (".key", ".csr", ".pem"))
        extra = self._file(name + ".ext")
        with open(extra, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={altnames}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                "-out", request, "-subj", f"/CN={name}")
        sign = ["x509", "-req", "-in", request, "-out", cert, "-extfile",
                extra, "-days", "-1" if expired else "30"]
        if self_signed:
            openssl(*sign, "-signkey", key)
        else:
            openssl(*sign, "-CA", self.cert, "-CAkey", self.key,
                    "-CAcreateserial")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context
