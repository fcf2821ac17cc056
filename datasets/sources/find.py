"""Finding a source by its name or folder."""

import difflib
from pathlib import Path
from typing import cast

from datasets.sources.base import BuildOptions, Inputs, Source
from datasets.sources.folder import folder_source
from datasets.sources.input_places import describe_file
from ganinv.alignment.landmarks import need_faces
from ganinv.alignment.transform import FACES
from ganinv.errors import ConfigError
from ganinv.families import Family

# `shared` lists the modules that several sources use. Every other module of the package is a source
# with the module's name.
_FAMILY = Family(
    package="datasets.sources",
    path=[str(Path(__file__).parent)],
    shared=frozenset(
        {
            "base",
            "containers",
            "files",
            "find",
            "folder",
            "geometry",
            "input_places",
            "photographs",
            "unreadable",
        }
    ),
    called="source",
)


_DRAWN = ("avatars", "discs")


def source_names() -> list[str]:
    """Names of the built-in sources, without importing any of them."""
    return _FAMILY.names()


def find_source(name_or_folder: str, options: BuildOptions, inputs: Inputs) -> Source:
    """The built-in source of that name, or else the images below that folder.

    Raises `ConfigError` if there is neither, or if an option would be ignored. Write `./NAME` for a
    folder named like a source.
    """
    names = source_names()
    if name_or_folder in names:
        if options.attributes is not None:
            raise ConfigError(
                f"data.attributes={options.attributes} is read only for a folder of images, not for"
                f" the source {name_or_folder!r}; leave it out, or build a folder"
            )
        if options.align is not None and name_or_folder in _DRAWN:
            raise ConfigError(
                f"data.align={options.align} is for photographs, and the images of"
                f" {name_or_folder} are drawn; leave it out"
            )
        _check_extra(options)
        return cast(Source, _FAMILY.find(name_or_folder).source(options, inputs))
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if (
            options.input is not None
            and Path(options.input).expanduser().resolve() != folder.resolve()
        ):
            raise ConfigError(
                f"data.input={options.input} and the folder {name_or_folder!r} both say where the"
                " images lie; give one of them: data build FOLDER, or data build SOURCE"
                " data.input=…"
            )
        _check_extra(options)
        return folder_source(folder, options)
    if folder.is_file():
        raise ConfigError(f"source {name_or_folder!r} {describe_file(name_or_folder)}")
    nearest = difflib.get_close_matches(name_or_folder, names, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ConfigError(
        f"source {name_or_folder!r} is neither a built-in source ({', '.join(names)}) nor an"
        f" existing folder{hint or '; name one of them, or a folder of images'}"
    )


def _check_extra(options: BuildOptions) -> None:
    """Raises `ConfigError` if a package that the options need is missing."""
    if options.align == FACES:
        need_faces(f"data.align={FACES}")
