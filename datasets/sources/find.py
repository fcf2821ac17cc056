"""Finding a source by what a person calls it."""

import ast
import difflib
import importlib
import pkgutil
from pathlib import Path
from typing import cast

from datasets.folder import folder_source
from datasets.source import BuildOptions, Inputs, Source
from ganinv.errors import ConfigError


def source_names() -> list[str]:
    """Names of the built-in sources: the modules here that define a function `source`.

    Found in the text, since importing all of this package would pull in torch.
    """
    package = Path(__file__).parent
    names = []
    for module in pkgutil.iter_modules([str(package)]):
        tree = ast.parse((package / f"{module.name}.py").read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "source" for node in tree.body):
            names.append(module.name)
    return sorted(names)


def find_source(name_or_folder: str, options: BuildOptions, inputs: Inputs) -> Source:
    """A built-in source by its name, else the images below a folder.

    Raises `ConfigError` if it is neither. Write `./NAME` for a folder named like a source.
    """
    names = source_names()
    if name_or_folder in names:
        module = importlib.import_module(f"datasets.{name_or_folder}")
        return cast(Source, module.source(options, inputs))
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder_source(folder, options)
    nearest = difflib.get_close_matches(name_or_folder, names, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ConfigError(
        f"source {name_or_folder!r} is neither a built-in data set ({', '.join(names)}) nor an"
        f" existing folder{hint or '; name one of them, or a folder of images'}"
    )
