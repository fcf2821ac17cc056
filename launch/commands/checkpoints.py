"""`ganinv checkpoints`: list, verify and prune a run's checkpoints, from storage only."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from cluster.checkpoints.retention import (
    delete_checkpoints,
    delete_leftovers,
    expired,
    list_checkpoints,
)
from cluster.config import CheckpointConfig
from cluster.run_folder.lease import lease
from cluster.storage.opening import open_store, remove_unfinished
from cluster.storage.retries import RetryPolicy
from ganinv.errors import (
    StorageContentError,
    StorageError,
    StorageMissingError,
    StorageUnavailableError,
)
from ganinv.saved.manifest import Manifest, committed_names, read_manifest
from ganinv.seams.stores import Store
from launch.options.arguments import parse
from launch.options.places import StorageConfig
from launch.options.sections import read_sections
from launch.progress import console, counting

EXAMPLES = """\
examples:
  ganinv checkpoints storage.run=runs/tiny
  ganinv checkpoints storage.run=s3://ganinv/runs/a --verify --json
  ganinv checkpoints storage.run=runs/tiny checkpoint.keep_last=2 --prune

--prune deletes leftovers of failed saves, checkpoints whose bytes it found damaged, and all others
except the last checkpoint.keep_last, the first of every checkpoint.keep_every_images images, and
the newest whole one. Folders that were copied or renamed, and those with an unreadable manifest,
are named and left alone. It refuses a run that is being written, and one without any whole
checkpoint. Exit status 3 if a checkpoint is found corrupt.
"""
SWITCHES = {
    "--verify": "read every object and compare its hash",
    "--prune": "delete checkpoints that retention does not keep, and leftovers of failed saves",
}
SECTIONS: dict[str, type] = {"storage": StorageConfig, "checkpoint": CheckpointConfig}
CORRUPT = 3  # exit status


@dataclass(kw_only=True)
class ListedCheckpoint:
    """One committed checkpoint. `manifest` is None if it cannot be read.

    `problem` is None as long as none was found; the bytes were read only if `verified`. `damaged`:
    its bytes are known to differ from what was written.
    """

    name: str
    manifest: Manifest | None
    problem: str | None
    verified: bool = False
    damaged: bool = False

    @property
    def whole(self) -> bool | None:
        """None if the bytes were not read."""
        if self.problem is not None:
            return False
        return True if self.verified else None


def main(argv: list[str]) -> int:
    about = "List the checkpoints of a run, newest first; verify or prune them."
    arguments = parse(argv, "checkpoints", about, EXAMPLES, switches=SWITCHES)
    sections = read_sections(arguments.options, SECTIONS)
    storage: StorageConfig = sections["storage"]
    out = console(arguments.as_json)
    retries = RetryPolicy(deadline_s=storage.deadline_s, option="storage.deadline_s")
    store = open_store(storage.run, endpoint_url=storage.endpoint_url, retries=retries)
    rows = list_committed(store)
    if "--verify" in arguments.switches:
        verify(store, rows, out)
    deleted: tuple[list[str], list[str]] = ([], [])
    if "--prune" in arguments.switches:
        with lease(store, storage.lease_s, out.print):
            deleted = prune(store, rows, sections["checkpoint"], out)
            remove_unfinished(store)
    if arguments.as_json:
        answer = {
            "storage.run": storage.run,
            "checkpoints": [_as_json(row) for row in rows],
            "deleted": deleted[0],
            "deleted_leftovers": deleted[1],
        }
        print(json.dumps(answer))
    else:
        _show(storage.run, rows, out)
        for kind, names in zip(("checkpoint", "leftover of a failed save"), deleted, strict=True):
            for name in names:
                out.print(f"deleted {name}, a {kind}")
        if "--prune" in arguments.switches and not any(deleted):
            out.print("nothing to delete")
    return CORRUPT if any(row.whole is False for row in rows) else 0


def list_committed(store: Store) -> list[ListedCheckpoint]:
    """All committed checkpoints, newest first."""
    rows = []
    for name in reversed(committed_names(store)):
        try:
            manifest = read_manifest(store, name)
            rows.append(ListedCheckpoint(name=name, manifest=manifest, problem=None))
        except StorageMissingError:
            continue  # deleted since it was listed
        except StorageUnavailableError:
            raise
        except StorageError as error:
            rows.append(ListedCheckpoint(name=name, manifest=None, problem=str(error)))
    return rows


def verify(store: Store, rows: Sequence[ListedCheckpoint], out: Console) -> None:
    """Read every object of `rows`, and record problems in them."""
    # Late: it imports torch, and a list of checkpoints needs none.
    from ganinv.saved.checkpoints import read_object

    objects = [(r, r.manifest, s) for r in rows if r.manifest for s in r.manifest.objects]
    size_bytes = 0
    with counting(out) as watching:
        advance = watching("verified objects")
        for done, (row, manifest, stored) in enumerate(objects, 1):
            try:
                size_bytes += len(read_object(store, manifest, stored))
            except StorageUnavailableError:
                raise  # no checkpoint is corrupt because the store does not answer
            except StorageError as error:
                row.problem = row.problem or str(error)
                row.damaged |= isinstance(error, StorageContentError | StorageMissingError)
            advance(done, len(objects), size_bytes)
    for row in rows:
        row.verified = True


def prune(
    store: Store, rows: list[ListedCheckpoint], config: CheckpointConfig, out: Console
) -> tuple[list[str], list[str]]:
    """Delete the checkpoints that retention does not keep, and all leftovers; returns both names.

    Checkpoints that are known to be damaged count for nothing and are deleted. Folders without a
    readable manifest of their own stay. Removes deleted checkpoints from `rows`. The caller must
    hold the run's lease. Raises `StorageError`, and deletes nothing, if no checkpoint is whole.
    """
    whole = next((row for row in rows if _is_whole(store, row, out)), None)
    if whole is None and rows:
        raise StorageError(
            f"none of the {len(rows)} checkpoints in {store.url} is whole, so nothing is deleted; "
            "restore one from a backup, or delete the run's folder yourself"
        )
    folders = list_checkpoints(store)
    usable = [row.name for row in rows if row.manifest is not None and not row.damaged]
    names = expired(usable, config, whole.name) if whole else []
    names += [row.name for row in rows if row.damaged]
    delete_checkpoints(store, folders, names)
    leftovers = list(folders.leftovers)  # no save is in progress, because the lease is held
    delete_leftovers(store, folders, leftovers)
    rows[:] = [row for row in rows if row.name not in names]
    return names, leftovers


def _is_whole(store: Store, row: ListedCheckpoint, out: Console) -> bool:
    if row.whole is None:
        verify(store, [row], out)
    return row.problem is None


def _as_json(row: ListedCheckpoint) -> dict[str, object]:
    m = row.manifest
    known = (
        {}
        if m is None
        else {
            "images_seen": m.images_seen,
            "created": m.created,
            "size_bytes": m.size_bytes,
            "objects": len(m.objects),
            "world_size": m.world_size,
        }
    )
    return {"name": row.name, **known, "whole": row.whole, "problem": row.problem}


def _show(run: str, rows: Sequence[ListedCheckpoint], out: Console) -> None:
    if not rows:
        out.print(f"no checkpoint in {run}")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("checkpoint", "images seen", "written", "size", "workers", "state"):
        table.add_column(title, no_wrap=True)
    words = {None: "", True: "whole", False: "corrupt"}
    for row in rows:
        m = row.manifest
        facts = ["", "", "", ""]
        if m is not None:
            written = time.strftime("%Y-%m-%d %H:%M", time.localtime(m.created))
            size = f"{m.size_bytes / 1e6:.1f} MB"
            facts = [f"{m.images_seen:,}", written, size, str(m.world_size)]
        table.add_row(row.name, *facts, words[row.whole])
    out.print(table)
    for row in rows:
        if row.problem is not None:
            out.print(f"corrupt: {row.problem}", markup=False, soft_wrap=True)
