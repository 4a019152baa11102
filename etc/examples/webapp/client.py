"""How the other programs ask the store."""

import os
import socket


def ask(request):
    """The answer to one request; OSError if there is no store."""
    address = ("127.0.0.1", int(os.environ["STORE_PORT"]))
    with socket.create_connection(address, timeout=2) as s:
        s.sendall(f"{request}\n".encode())
        with s.makefile(encoding="utf-8") as answer:
            return answer.readline().rstrip("\n")
