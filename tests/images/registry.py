#!/usr/bin/env python3
"""A registry that serves archives of images (docker save), so that pulls can be tried without a network.

registry.py FOLDER ADDRESS PORT     serves FOLDER/*.tar; the host in an image's name is not part of what is asked for
"""
import hashlib
import http.server
import json
import pathlib
import re
import shutil
import sys
import tarfile
import threading

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(file):
    found = hashlib.sha256()
    while chunk := file.read(1 << 20):
        found.update(chunk)
    return "sha256:" + found.hexdigest()


class Images:
    """What the archives hold; an archive is looked into when its image is first asked for."""

    def __init__(self, folder):
        self.lock = threading.Lock()
        self.archives = {}
        self.manifests = {}
        self.blobs = {}
        for path in sorted(pathlib.Path(folder).glob("*.tar")):
            with tarfile.open(path) as archive:
                for image in json.load(archive.extractfile("manifest.json")):
                    for name in image["RepoTags"] or []:
                        _, _, rest = name.partition("/")
                        self.archives[rest] = (path, image)

    def manifest(self, name, reference):
        """The bytes of a manifest, by tag or digest; None if there is none."""
        with self.lock:
            if reference.startswith("sha256:"):
                return self.manifests.get(reference)
            found = self.archives.get(f"{name}:{reference}")
            return self.describe(*found) if found else None

    def describe(self, path, image):
        with tarfile.open(path) as archive:
            def part(member, kind):
                entry = archive.getmember(member)
                digest = digest_of(archive.extractfile(entry))
                self.blobs[digest] = (path, member, entry.size)
                return {"mediaType": kind, "digest": digest, "size": entry.size}
            manifest = json.dumps({
                "schemaVersion": 2, "mediaType": MANIFEST, "config": part(image["Config"], CONFIG),
                "layers": [part(layer, LAYER) for layer in image["Layers"]],
            }).encode()
        self.manifests["sha256:" + hashlib.sha256(manifest).hexdigest()] = manifest
        return manifest


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    images = None

    def do_GET(self):
        asked = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/?]+)(?:\?.*)?", self.path)
        if self.path.rstrip("/") == "/v2":
            self.answer(200, "application/json", b"{}")
        elif asked and asked[2] == "manifests":
            manifest = self.images.manifest(asked[1], asked[3])
            self.answer(200, MANIFEST, manifest) if manifest else self.missing("MANIFEST_UNKNOWN")
        elif asked and asked[3] in self.images.blobs:
            self.blob(*self.images.blobs[asked[3]])
        else:
            self.missing("BLOB_UNKNOWN")

    do_HEAD = do_GET

    def blob(self, path, member, size):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command == "GET":
            with tarfile.open(path) as archive:
                shutil.copyfileobj(archive.extractfile(member), self.wfile)

    def missing(self, code):
        self.answer(404, "application/json", json.dumps({"errors": [{"code": code}]}).encode())

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if kind == MANIFEST:
            self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(body).hexdigest())
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        """Nobody reads it."""


def main():
    folder, address, port = sys.argv[1:]
    Handler.images = Images(folder)
    http.server.ThreadingHTTPServer((address, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
