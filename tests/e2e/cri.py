#!/usr/bin/env python3
"""Asks a container runtime over CRI, as a kubelet would: a pod from nothing to its end.

cri.py SOCKET look POD CONTAINER     a node's runtime knows its pods
cri.py SOCKET make FOLDER IMAGE      makes a pod, writes its logs to the folder, and prints its id and its container's
cri.py SOCKET use SANDBOX CONTAINER  runs commands in it
cri.py SOCKET end SANDBOX CONTAINER  ends it, and looks that nothing is left
"""
import base64
import os
import socket
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def message(*fields):
    """Fields as (number, value): numbers, texts, or messages that were written before."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def fields(data):
    """The fields of a message: for each number, what came."""
    found, position = {}, 0

    def number():
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        tag = number()
        if tag & 7 == 2:
            length = number()
            value = data[position : position + length]
            position += length
        else:
            value = number()
        found.setdefault(tag >> 3, []).append(value)
    return found


class Refused(Exception):
    """The runtime does not do it; the code says why."""


class Runtime:
    def __init__(self, path):
        self.path = path

    def ask(self, method, question=b"", service="Runtime"):
        with tempfile.TemporaryDirectory() as folder:
            head, body = os.path.join(folder, "head"), os.path.join(folder, "body")
            with open(os.path.join(folder, "question"), "wb") as file:
                file.write(b"\0" + len(question).to_bytes(4, "big") + question)
            command = ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--unix-socket", self.path]
            command += ["--header", "content-type: application/grpc", "--header", "te: trailers"]
            command += ["--data-binary", f"@{file.name}", "--dump-header", head, "--output", body]
            subprocess.run([*command, f"http://localhost/runtime.v1.{service}Service/{method}"], check=True)
            with open(head) as file:
                told = dict(line.strip().split(": ", 1) for line in file if ": " in line)
            if told["grpc-status"] != "0":
                raise Refused(f"{told['grpc-status']} {told.get('grpc-message')}")
            with open(body, "rb") as file:
                return fields(file.read()[5:])


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what} is {found!r}, not {wanted!r}")


def look(runtime, pod, container):
    expect("the runtime", runtime.ask("Version")[2], [b"ironclad"])
    names = [fields(fields(item)[2][0])[1][0].decode() for item in runtime.ask("ListPodSandbox").get(1, [])]
    expect(f"that {names} has {pod}", pod in names, True)
    state = fields(runtime.ask("ContainerStatus", message((1, container)))[1][0])
    expect("the container's state", state.get(3), [1])
    for method, wanted in (("ContainerStatus", "5"), ("Nonsense", "12")):
        try:
            runtime.ask(method, message((1, "nothing")))
            sys.exit(f"{method} is answered")
        except Refused as refusal:
            expect("the code", str(refusal).split()[0], wanted)


OWN_PROCESSES = message((2, 1))


def make(runtime, folder, image):
    linux = message((2, message((1, OWN_PROCESSES))))
    resolvers = message((1, "192.0.2.53"), (2, "cri.local"))
    about = message((1, "one"), (2, "uid-one"), (3, "cri"))
    config = message((1, about), (2, "one"), (3, folder), (4, resolvers), (8, linux))
    sandbox = runtime.ask("RunPodSandbox", message((1, config)))[1][0].decode()
    network = fields(fields(runtime.ask("PodSandboxStatus", message((1, sandbox)))[1][0])[5][0])
    expect("that it has an address", len(network[1][0]) > 0, True)
    script = "cat /etc/resolv.conf /etc/hostname; trap 'echo bye; exit 7' TERM; while :; do sleep 0.1; done"
    security = message((2, message((3, OWN_PROCESSES))))
    container = message((1, message((1, "app"))), (2, message((1, image))), (3, "sh"), (3, "-c"), (3, script),
                        (6, message((1, "WORD"), (2, "kept"))), (11, "app.log"), (15, security))
    made = runtime.ask("CreateContainer", message((1, sandbox), (2, container), (3, config)))[1][0].decode()
    runtime.ask("StartContainer", message((1, made)))
    print(sandbox, made)


def use(runtime, _, container):
    answer = runtime.ask("ExecSync", message((1, container), (2, "sh"), (2, "-c"), (2, "echo $WORD; exit 3")))
    expect("what a command said", (answer[1], answer[3]), ([b"kept\n"], [3]))
    stats = fields(runtime.ask("ContainerStats", message((1, container)))[1][0])
    expect("that it uses memory", fields(fields(stats[3][0])[4][0])[1][0] > 0, True)
    question = message((1, container), (2, "cat"), (4, 1), (5, 1))
    address = urlsplit(runtime.ask("Exec", question)[1][0].decode())
    with socket.create_connection((address.hostname, address.port), timeout=60) as stream:
        key = base64.b64encode(bytes(16)).decode()
        stream.sendall(f"GET {address.path} HTTP/1.1\r\nHost: runtime\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                       "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode())
        # Masked with zeros: what is typed, and that it ends there.
        for piece in (b"\0typed", b"\xff\0"):
            stream.sendall(bytes([0x82, 0x80 | len(piece)]) + bytes(4) + piece)
        said = b""
        while b"Success" not in said:
            piece = stream.recv(4096)
            if not piece:
                sys.exit(f"the streams ended with {said!r}")
            said += piece
    expect(f"that {said!r} has what was typed", b"\x01typed" in said, True)


def end(runtime, sandbox, container):
    runtime.ask("StopContainer", message((1, container), (2, 20)))
    state = fields(runtime.ask("ContainerStatus", message((1, container)))[1][0])
    expect("its state and exit code", (state[3], state[7]), ([2], [7]))
    for method in ("StopPodSandbox", "RemovePodSandbox"):
        runtime.ask(method, message((1, sandbox)))
    for method in ("ListPodSandbox", "ListContainers"):
        expect(method, runtime.ask(method), {})


def main():
    path, verb, *rest = sys.argv[1:]
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            sys.exit(f"{path} does not come to be")
        time.sleep(0.05)
    {"look": look, "make": make, "use": use, "end": end}[verb](Runtime(path), *rest)


if __name__ == "__main__":
    main()
