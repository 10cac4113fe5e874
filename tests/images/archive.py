"""Writes an image of one layer as an archive, in the form that `docker save` has."""
import hashlib
import io
import json
import tarfile


def arguments(parser):
    """What can be said of every image."""
    parser.add_argument("file")
    parser.add_argument("name")
    parser.add_argument("--entrypoint", action="append", default=[], metavar="WORD")
    parser.add_argument("--command", action="append", default=[], metavar="WORD")
    parser.add_argument("--user", default="")
    parser.add_argument("--port", action="append", default=[], help="a port the image says it listens at")


def write(options, content, path):
    """The archive: `content` is the layer, `path` where programs are looked for in it."""
    config = json.dumps({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["PATH=" + path],
            "Entrypoint": options.entrypoint,
            "Cmd": options.command or ([] if options.entrypoint else ["sh"]),
            "User": options.user,
            "ExposedPorts": {f"{port}/tcp": {} for port in options.port},
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]},
        "history": [{}],
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [options.name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(options.file, "w") as archive:
        for name, data in ((config_name, config), ("layer.tar", content), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
