#!/usr/bin/env python3
"""Writes an image archive made of Debian packages and what they need, and of files of your own.

debian.py FILE NAME:TAG [--command WORD ...] [--user ID] [--add FILE:PATH[:MODE] ...] PACKAGE ...
"""
import argparse
import io
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import archive

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
    if not packages:
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *needed(packages)], cwd=folder)
        for package in sorted(pathlib.Path(folder).glob("*.deb")):
            subprocess.check_call(["dpkg-deb", "-x", str(package), str(root)])


def accounts(root, more):
    """Users and groups: those every image has, and `more` of them (path and line)."""
    for path, text in ACCOUNTS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path, line in more:
        with (root / path).open("a") as file:
            file.write(line + "\n")


def place(root, added):
    """Puts a file of the caller's (FILE:PATH[:MODE]; a link if FILE is `@TARGET`) where it shall be."""
    source, path, *mode = added.split(":")
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.startswith("@"):
        target.symlink_to(source[1:])
        return
    shutil.copyfile(source, target)
    target.chmod(int(mode[0], 8) if mode else 0o755)


def layer(options):
    """One layer of everything: owners and modes (setuid bits too) as the packages have them."""
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        unpack(options.packages, root)
        for path in FOLDERS:
            (root / path).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        accounts(root, [("etc/passwd", line) for line in options.account] + [("etc/group", line) for line in options.group])
        shell = root / "bin" / "sh"
        if not shell.is_symlink() and not shell.exists() and (root / "bin" / "dash").exists():
            shell.symlink_to("dash")
        for added in options.add:
            place(root, added)
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in sorted(root.rglob("*")):
                tar.add(entry, str(entry.relative_to(root)), recursive=False)
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    archive.arguments(parser)
    parser.add_argument("packages", nargs="*")
    parser.add_argument("--add", action="append", default=[], metavar="FILE:PATH[:MODE]")
    parser.add_argument("--account", action="append", default=[], help="a line of /etc/passwd")
    parser.add_argument("--group", action="append", default=[], help="a line of /etc/group")
    options = parser.parse_intermixed_args()
    archive.write(options, layer(options), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


if __name__ == "__main__":
    main()
