"""The application: it greets, and counts its visits in the store."""

import http.server
import os

import client


class Handler(http.server.BaseHTTPRequestHandler):
    """GET / and GET /health."""

    def do_GET(self):
        try:
            if self.path == "/health":
                self.reply(200, "ok" if client.ask("get version") else "empty")
            elif self.path == "/":
                visits = client.ask("add visits")
                self.reply(200, f"{client.ask('get greeting')}, visit "
                                f"{visits}")
            else:
                self.reply(404, "there is nothing here")
        except OSError as error:
            self.reply(503, f"store: {error}")

    def reply(self, status, text):
        """Send a short text."""
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print(format % args)


def main():
    port = int(os.environ["WEB_PORT"])
    address = ("127.0.0.1", port)
    with http.server.ThreadingHTTPServer(address, Handler) as server:
        print(f"web on port {port}")
        server.serve_forever()


if __name__ == "__main__":
    main()
