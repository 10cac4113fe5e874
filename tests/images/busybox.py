#!/usr/bin/env python3
"""Writes an image archive that holds Debian's static busybox.

busybox.py FILE NAME:TAG [--command WORD ...] [--user ID] [--shell FILE]
"""
import argparse
import io
import shutil
import subprocess
import tarfile

import archive

ACCOUNTS = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": b"root:x:0:\nnobody:x:65534:\n",
}


def add(tar, name, kind, mode=0o755, data=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), link
    tar.addfile(entry, io.BytesIO(data))


def layer(busybox, shell):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "usr", "usr/local", "usr/local/bin", "etc", "tmp", "root", "proc", "sys", "dev"):
            add(tar, folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755)
        with open(busybox, "rb") as file:
            add(tar, "bin/busybox", tarfile.REGTYPE, data=file.read())
        for applet in subprocess.check_output([busybox, "--list"], text=True).split():
            if applet != "busybox":
                add(tar, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        if shell:
            with open(shell, "rb") as file:
                add(tar, "usr/local/bin/sh", tarfile.REGTYPE, data=file.read())
        for path, text in ACCOUNTS.items():
            add(tar, path, tarfile.REGTYPE, 0o644, text)
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    archive.arguments(parser)
    parser.add_argument("--shell", help="a static program that `sh` is; /bin/sh stays busybox's own")
    options = parser.parse_args()
    archive.write(options, layer(shutil.which("busybox") or "/bin/busybox", options.shell), "/usr/local/bin:/bin")


if __name__ == "__main__":
    main()
