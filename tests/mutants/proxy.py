#!/usr/bin/env python3
"""Stands between clients and an API server, and makes one verb wrong on purpose.

proxy.py KUBECONFIG FAULT: listens on loopback without TLS, writes `http://127.0.0.1:PORT` to standard output, and
passes on everything, with one fault of FAULTS. A judge of servers that stays green before it judges nothing.
"""
import base64
import http.client
import http.server
import json
import re
import ssl
import sys
import urllib.parse


class Faults:
    """What each fault makes of a request (method, path, headers, body) and of an answer."""

    @staticmethod
    def none(request):
        """Nothing is wrong."""

    @staticmethod
    def delete(request):
        """Deleting answers as it should, and deletes nothing."""
        if request.method == "DELETE":
            request.method, request.body = "GET", b""

    @staticmethod
    def patch(request):
        """Patches are not applied."""
        if request.method == "PATCH":
            request.method, request.body = "GET", b""

    @staticmethod
    def update(request):
        """Updates overwrite whatever is there: no conflict is found."""
        if request.method == "PUT" and request.headers.get("Content-Type", "").startswith("application/json"):
            request.body = re.sub(rb'"resourceVersion":\s*"[0-9]+"', b'"resourceVersion":""', request.body)

    @staticmethod
    def create(request):
        """Creating answers 200 instead of 201."""
        if request.method == "POST":
            request.code = lambda code: 200 if code == 201 else code

    @staticmethod
    def list(request):
        """Lists lack their last object."""
        if request.method == "GET":
            request.whole = without_last

    @staticmethod
    def watch(request):
        """Watches do not tell of changes."""
        if request.is_watch:
            request.line = lambda line: b"" if b'"type":"MODIFIED"' in line[:64] else line


FAULTS = {name: fault for name, fault in vars(Faults).items() if not name.startswith("_")}


def without_last(body):
    """A list without its last object; anything else as it is."""
    try:
        document = json.loads(body)
    except ValueError:
        return body
    if not isinstance(document, dict) or not document.get("items"):
        return body
    document["items"].pop()
    return json.dumps(document).encode()


class Request:
    """What a client asks, and what is to become of the answer."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.code = self.whole = self.line = lambda same: same
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
        self.is_watch = query.get("watch", ["false"])[0] in ("true", "1")


def handler(server, context, fault):
    """The handler of one proxy: passes requests on to `server`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Heads and bodies go out in one piece each; waiting for more would cost 40 ms a request.
        disable_nagle_algorithm = True

        def log_message(self, *_):
            pass

        def handle_one(self):
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self.command, self.path, self.headers, self.rfile.read(length))
            fault(request)
            connection = http.client.HTTPSConnection(server.hostname, server.port, context=context, timeout=120)
            try:
                self.pass_on(connection, request)
            except ConnectionError:
                # The client has heard enough of a watch.
                self.close_connection = True
            finally:
                connection.close()

        def pass_on(self, connection, request):
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("content-length", "connection"):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            body = None if request.is_watch and answer.status == 200 else request.whole(answer.read())
            self.send_response_only(request.code(answer.status))
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            if body is not None:
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while line := answer.readline():
                if kept := request.line(line):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(kept), kept))
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    return Handler


def read_kubeconfig(path):
    """The server's address and how to trust it, out of a kubeconfig that this product wrote."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    server = re.search(r"server: (\S+)", text).group(1)
    authority = base64.b64decode(re.search(r"certificate-authority-data: (\S+)", text).group(1)).decode()
    return urllib.parse.urlsplit(server), ssl.create_default_context(cadata=authority)


def main():
    kubeconfig, fault = sys.argv[1:]
    server, context = read_kubeconfig(kubeconfig)
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(server, context, FAULTS[fault]))
    proxy.daemon_threads = True
    print(f"http://127.0.0.1:{proxy.server_port}", flush=True)
    proxy.serve_forever()


if __name__ == "__main__":
    main()
