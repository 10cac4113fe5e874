#!/usr/bin/env python3
"""Writes an image archive (docker save's form) that holds Debian's static busybox.

busybox.py FILE NAME:TAG [--command WORD ...] [--user ID]
"""
import argparse
import hashlib
import io
import json
import shutil
import subprocess
import tarfile


def add(tar, name, kind, mode=0o755, data=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), link
    tar.addfile(entry, io.BytesIO(data))


def layer(busybox):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
            add(tar, folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755)
        with open(busybox, "rb") as file:
            add(tar, "bin/busybox", tarfile.REGTYPE, data=file.read())
        for applet in subprocess.check_output([busybox, "--list"], text=True).split():
            if applet != "busybox":
                add(tar, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        add(tar, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        add(tar, "etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nnobody:x:65534:\n")
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("name")
    parser.add_argument("--command", action="append", default=[])
    parser.add_argument("--user", default="")
    options = parser.parse_args()
    path, name = options.file, options.name
    content = layer(shutil.which("busybox") or "/bin/busybox")
    config = json.dumps({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": options.command or ["sh"], "User": options.user},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]},
        "history": [{}],
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for file, data in ((config_name, config), ("layer.tar", content), ("manifest.json", manifest)):
            add(tar, file, tarfile.REGTYPE, 0o644, data)


if __name__ == "__main__":
    main()
