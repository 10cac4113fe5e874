#!/usr/bin/env python3
"""Writes an image archive (docker save's form) made of Debian packages and what they need.

debian.py FILE NAME:TAG [--command WORD ...] [--user ID] PACKAGE ...
"""
import argparse
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile
import tempfile

ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n",
}
FOLDERS = ("tmp", "root", "proc", "sys", "dev", "run", "var/log", "var/cache")


def needed(packages):
    """The packages with all they depend on, as far as they exist by themselves."""
    said = subprocess.check_output(
        ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
         "--no-replaces", "--no-enhances", *packages], text=True)
    names = {line for line in said.splitlines() if line and not line.startswith((" ", "<", "|"))}
    return sorted(name for name in names if ":" not in name)


def unpack(packages, root):
    """Unpacks packages into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *needed(packages)], cwd=folder)
        for package in sorted(pathlib.Path(folder).glob("*.deb")):
            subprocess.check_call(["dpkg-deb", "-x", str(package), str(root)])


def layer(packages):
    """One layer of everything: owners and modes (setuid bits too) as the packages have them."""
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        unpack(packages, root)
        for path in FOLDERS:
            (root / path).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        for path, text in ACCOUNTS.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        shell = root / "bin" / "sh"
        if not shell.is_symlink() and not shell.exists() and (root / "bin" / "dash").exists():
            shell.symlink_to("dash")
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in sorted(root.rglob("*")):
                tar.add(entry, str(entry.relative_to(root)), recursive=False)
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("name")
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--command", action="append", default=[])
    parser.add_argument("--user", default="")
    options = parser.parse_args()

    content = layer(options.packages)
    config = json.dumps({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": options.command or ["sh"],
            "User": options.user,
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]},
    }).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [options.name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(options.file, "w") as archive:
        for name, data in (("config.json", config), ("layer.tar", content), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    main()
