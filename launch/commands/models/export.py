"""`ganinv export`: writes a trained model to files that do not need its run."""

import json
from dataclasses import dataclass

from rich.console import Console

from cluster.storage.opening import open_store
from ganinv.errors import ConfigError, StorageError, StorageMissingError
from ganinv.saved import onnx_graphs, torchscript
from ganinv.saved.exports import DESCRIPTION_NAME, MODEL_NAME, Description, export_files, rounded
from ganinv.saved.format import FOLDER, SUFFIX, split_file
from ganinv.saved.loading import load_run
from ganinv.seams.stores import Range, Store
from launch.options.arguments import parse
from launch.options.places import StorageConfig
from launch.options.sections import read_sections
from launch.progress import console

# All that an exported folder may hold.
FILES = (MODEL_NAME, DESCRIPTION_NAME, *torchscript.GRAPH_NAMES, *onnx_graphs.GRAPH_NAMES)
EXAMPLES = f"""\
keys:
  export.to=PLACE          a directory, file:// or s3://, or one file whose name ends with {SUFFIX}
  export.torchscript=true  add generator.pt and encoder.pt, which run without ganinv
  export.onnx=true         add generator.onnx, encoder.onnx and autoencoder.onnx (both in one), for
                           onnxruntime in browsers, on phones and elsewhere; needs the extra onnx
  export.half=true         weights as float16, also in ONNX graphs: half the size; loads as another
                           model than the run, and all graphs are those of that model
  export.overwrite=true    replace an existing export, with all of its files

A folder holds {MODEL_NAME} (averaged weights of both networks, latent scale, description) and
{DESCRIPTION_NAME} (scale, description, SHA-256 of each file). ganinv.load reads the folder and
the single file.

examples:
  ganinv export storage.run=runs/tiny export.to=exports/tiny
  ganinv export storage.run=s3://ganinv/runs/a export.to=faces{SUFFIX}
  ganinv export storage.run=runs/tiny export.to=s3://ganinv/a export.torchscript=true
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """The files to write, and their place."""

    to: str  # directory, file:// or s3://, or a .safetensors file
    torchscript: bool = False  # also write E and G as graphs
    onnx: bool = False  # also write E, G and G∘E as ONNX graphs
    half: bool = False  # weights as float16; they load as float32
    overwrite: bool = False  # replace an existing export

    def __post_init__(self) -> None:
        asked = {"TorchScript": self.torchscript, "ONNX": self.onnx}
        for kind in (kind for kind, wanted in asked.items() if wanted and self.single_file):
            raise ConfigError(
                f"to = {self.to!r}: one file cannot also hold {kind} graphs; name a folder, or "
                f"leave {kind.lower()} out"
            )
        if self.onnx:
            onnx_graphs.check_packages()

    @property
    def single_file(self) -> bool:
        return self.to.endswith(SUFFIX)


SECTIONS: dict[str, type] = {"storage": StorageConfig, "export": ExportConfig}


def main(argv: list[str]) -> int:
    arguments = parse(argv, "export", "Export the newest checkpoint of a run.", EXAMPLES)
    sections = read_sections(arguments.options, SECTIONS)
    written = export(sections["storage"], sections["export"], console(arguments.as_json))
    if arguments.as_json:
        print(json.dumps({"files": written}))
    return 0


def export(storage: StorageConfig, options: ExportConfig, screen: Console) -> dict[str, int]:
    """Export the newest good checkpoint; returns the URLs of the files, with their sizes in bytes.

    Raises `ConfigError` if an export exists and `overwrite` is false, or if the target is a run;
    and `StorageError` if the run cannot be loaded or the target cannot be written.
    """
    folder, name = split_file(options.to) if options.single_file else (options.to, MODEL_NAME)
    target = open_store(folder, endpoint_url=storage.endpoint_url)
    old = _old_files(target, name, options)
    run = load_run(open_store(storage.run, endpoint_url=storage.endpoint_url))
    description = Description.of(run.manifest)
    loaded = rounded(run.model) if options.half else run.model  # what this export is read as
    graphs = torchscript.graph_files(loaded) if options.torchscript else {}
    if options.onnx:
        graphs |= onnx_graphs.onnx_files(run.model, description, half=options.half)
    files = export_files(run.model, description, graphs, half=options.half)
    if options.single_file:
        files = {name: files[MODEL_NAME]}
    # Nothing of the old model ever lies beside the new one, even if this process is killed.
    target.delete(sorted(old - {name}))
    for file_name, payload in files.items():
        target.write(file_name, payload)
        at = f"{target.url}/{file_name}"
        screen.print(f"{at}  {len(payload) / 1e6:.1f} MB", markup=False, soft_wrap=True)
    screen.print(f"exported checkpoint {run.manifest.name}, {run.manifest.images_seen:,} images")
    return {f"{target.url}/{file_name}": len(payload) for file_name, payload in files.items()}


def _old_files(target: Store, name: str, options: ExportConfig) -> set[str]:
    """The files of an export that lies where the new one goes.

    Raises `ConfigError` if there are any and `overwrite` is false, and for the folder of a run,
    where `ganinv.load` would then return the export whatever the run learns later.
    """
    own = set(FILES) if name == MODEL_NAME else {name}
    old = {found for found in own if _exists(target, found)}
    if old and not options.overwrite:
        verb = "exists" if len(old) == 1 else "exist"
        raise ConfigError(
            f"export.to = {options.to!r}: {', '.join(sorted(old))} {verb} already; choose another "
            "place, or give export.overwrite=true, which replaces the whole export"
        )
    if name == MODEL_NAME and target.list(FOLDER):
        raise ConfigError(
            f"export.to = {options.to!r}: is the folder of a run, and would hide its checkpoints "
            "from ganinv.load; choose another folder"
        )
    return old


def _exists(store: Store, name: str) -> bool:
    try:
        store.read_ranges([Range(name, 0, 1)])
    except StorageMissingError:
        return False
    except StorageError:
        store.read(name)  # an empty object has no first byte
    return True
