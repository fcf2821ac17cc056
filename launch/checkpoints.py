"""`python -m launch checkpoints`: what a run holds, from storage alone."""

import json
import time

from rich.table import Table

from cluster.storage import open_store
from ganinv.manifest import manifests_newest_first
from launch.arguments import parse
from launch.config import read_sections
from launch.progress import console
from launch.schema import StorageConfig

EXAMPLES = """\
examples:
  python -m launch checkpoints storage.run=runs/tiny
  python -m launch checkpoints storage.run=s3://ganinv/runs/a --json
"""


def main(argv: list[str]) -> int:
    arguments = parse(argv, "checkpoints", "List the checkpoints of a run, newest first.", EXAMPLES)
    storage = read_sections(arguments.options, {"storage": StorageConfig})["storage"]
    manifests = manifests_newest_first(open_store(storage.run, endpoint_url=storage.endpoint_url))
    if arguments.as_json:
        rows = [
            {
                "name": m.name,
                "images_seen": m.images_seen,
                "created": m.created,
                "size_bytes": m.size_bytes,
                "objects": len(m.objects),
                "world_size": m.world_size,
            }
            for m in manifests
        ]
        print(json.dumps({"storage.run": storage.run, "checkpoints": rows}))
        return 0
    if not manifests:
        print(f"no checkpoint in {storage.run}")
        return 0
    table = Table("checkpoint", "images seen", "written", "size", "by workers", box=None)
    for m in manifests:
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(m.created))
        size = f"{m.size_bytes / 1e6:.1f} MB in {len(m.objects)}"
        table.add_row(m.name, f"{m.images_seen:,}", written, size, str(m.world_size))
    console().print(table)
    return 0
