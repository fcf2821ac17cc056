"""Text options are the text that was typed; `~` is the home directory; no value ends in a trace."""

import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from cluster.storage.opening import open_store
from ganinv.errors import ConfigError
from launch.commands.submit import SubmitConfig
from launch.options import data
from launch.options.arguments import parse
from launch.options.loading import load_config, load_recipe, schema_for
from launch.options.places import LOCATIONS, StorageConfig
from launch.options.schema import CHOICES, StartConfig
from launch.options.sections import read_sections
from launch.options.text import holds_text, options_of
from launch.options.words import make_absolute, make_writable
from launch.verbs import VERBS, module_of

PLANTED = "wJalrXUtnFEMI-planted"
SECRETIVE = (f"s3://key:{PLANTED}@bucket/a", f"http://user:{PLANTED}@host", f"s3://{PLANTED}@b")
PLACES = ("storage.run=/tmp/run", "data.url=s3://bucket/data")
# What YAML reads as a number, a truth value, nothing, a date, a comment, a list, an error …
TYPED = [
    "007", "20_24", "1e3", "4159e22", "0x1F", "1:30", ".5", "on", "No", "true", "2024_01_05",
    "2024-01-05", "a #2", "#", "a: b", "[a]", "{a}", "'a'", '"', "- a", "&a", "!!int 3", "a\tb",
    " a ", "%x", "@x", "`", "$HOME", "${x}", "${", r"\${x}", "${oc.env:HOME}", "=", "a=b", "nan",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", TYPED)
def test_a_text_option_is_exactly_the_text_that_was_typed(text: str, tmp_path: Path) -> None:
    words = [f"storage.run={text}", f"storage.endpoint_url={text}"]
    storage = read_sections(words, {"storage": StorageConfig})["storage"]
    assert (storage.run, storage.endpoint_url) == (f"{tmp_path}/{text}", text)


@pytest.mark.parametrize("first", range(0, len(TYPED), 5))
def test_what_a_run_records_of_its_text_is_read_back(first: int, tmp_path: Path) -> None:
    run, url, source, other, name = (TYPED * 2)[first : first + 5]
    words = [f"storage.run={run}", f"data.url={url}", f"data.source={source}", f"start.run={other}"]
    config = load_config(load_recipe("tiny-pvdgan"), [*words, f"start.checkpoint={name}"])
    found = config.storage.run, config.data.url, config.data.source, config.start.checkpoint
    assert found == (f"{tmp_path}/{run}", f"{tmp_path}/{url}", source, name)
    recorded = yaml.safe_load(yaml.safe_dump(dict(config.resolved)))
    assert load_config(recorded, []) == config


@pytest.mark.parametrize("text", ["007", "20_24", "1e3", "on", "2024-01-05", "~x"])
def test_a_list_of_text_holds_the_text_that_was_typed(text: str, tmp_path: Path) -> None:
    words = [f"submit.env=[{text}, '{text}']", f"start.networks=[{text}]", "start.run=/a"]
    found = read_sections(words, {"submit": SubmitConfig, "start": StartConfig})
    assert found["submit"].env == [text, text]
    assert found["start"].networks == [text]
    words = [*PLACES, f"data.mix=[{{url: b/{text}, weight: 2}}]"]
    config = load_config(load_recipe("tiny-pvdgan"), words)
    assert [(part.url, part.weight) for part in config.data.mix] == [(f"{tmp_path}/b/{text}", 2)]


@pytest.mark.parametrize("text", ["007", "20_24", "1e3", "on", "2024-01-05", "1:30", "${x", "~"])
def test_a_recipe_keeps_unquoted_text(text: str, tmp_path: Path) -> None:
    place = str(tmp_path / "home") if text == "~" else f"{tmp_path}/{text}"
    (tmp_path / "my.yaml").write_text(
        f"storage: {{run: {text if text != '${x' else repr(text)}}}\n"
        f"data:\n  url: {text}\n  mix:\n  - url: {text}\n  source: null\n"
        "train: {seed: 007, images: 010, flip: on, learning_rate: 1e-3}\n"
    )
    if text == "${x":
        with pytest.raises(ConfigError, match=r"my\.yaml: not a readable recipe: .*\$\{x"):
            load_recipe("my.yaml")
        return
    config = load_config(load_recipe("my.yaml"), [])
    assert (config.storage.run, config.data.url, config.data.mix[0].url) == (place, place, place)
    assert config.data.source is None
    assert (config.train.seed, config.train.images, config.train.flip) == (7, 10, True)
    assert config.train.learning_rate == 1e-3


def test_a_recipe_may_use_merge_keys_and_interpolation_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(
        "usual: &usual {global_batch: 8}\nstorage: {run: /runs/007}\n"
        "data: {url: '${storage.run}/data'}\ntrain:\n  <<: *usual\n  images: 5\n"
    )
    loaded = load_recipe("my.yaml")
    assert loaded["data"]["url"] == "/runs/007/data"
    assert loaded["train"] == {"global_batch": 8, "images": 5}


def test_a_missing_slash_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    config = load_config(load_recipe("tiny-pvdgan"), ["storage.run=s3:/bucket/a", "data.url=x"])
    with pytest.raises(ConfigError, match="write two slashes"):
        open_store(config.storage.run)
    assert config.data.url == f"{tmp_path}/x"


def test_numbers_are_decimal_and_null_unsets_optional_text() -> None:
    words = [*PLACES, "train.seed=010", "train.images=20_000", "data.source=null"]
    config = load_config(load_recipe("avatars32-pvdgan"), words)
    assert (config.train.seed, config.train.images, config.data.source) == (10, 20_000, None)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("train.seed=${x}", "train.seed = '${x}': "),
        ("train.flip=${x}", "train.flip = '${x}': "),
        ("train.learning_rate=${x}", "learning_rate = "),
        ("train.learning_rate={kind: ${x}}", "learning_rate"),
        ("train.seed=${", "train.seed = '${': "),
        ("train.seed=[", "train.seed = '[': "),
        ("data.mix=[{url: x", "data.mix = '[{url: x': "),
        ("data.mix=[a #2]", "data.mix = '[a #2]': "),
        ("data.mix=[{url: x, url: y}]", "data.mix = "),
        ("nonsense=[", "nonsense = '[': "),
        ("nonsense=${x}", "nonsense = '${x}': unknown key"),
        ("train=[", "train = '[': "),
        ("storage.run=", "storage.run: missing; give storage.run="),
        ("storage.run=~nobody-of-this-name/x", "no user 'nobody-of-this-name'"),
        ("data.mix=[{url: ~nobody-of-this-name/x}]", "no user 'nobody-of-this-name'"),
    ],
)
def test_whatever_cannot_be_read_is_one_problem_with_its_key(word: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(load_recipe("tiny-pvdgan"), [*PLACES, word])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        "storage.run={}", "data.source={}", "data.mix=[{{url: '{}'}}]", "train.seed={}",
        "start.networks=['{}']", "storage.rnu={}", "{}", "train.learning_rate={{kind: '{}'}}",
        "storage.endpoint_url={}", "data={{url: '{}'}}", "data.url=[{}", "={}",
    ],
)  # fmt: skip
def test_no_option_takes_or_shows_credentials(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(load_recipe("tiny-pvdgan"), [*PLACES, word.format(SECRETIVE[len(word) % 3])])
    assert PLANTED not in repr(caught.value)


@pytest.mark.parametrize("url", SECRETIVE)
def test_no_recipe_takes_or_shows_credentials(url: str, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(f"data: {{url: '{url}'}}\nstorage: {{run: /a}}\n")
    with pytest.raises(ConfigError, match=r"data\.url: a URL must not carry cred") as caught:
        load_config(load_recipe("my.yaml"), [])
    assert PLANTED not in repr(caught.value)


def test_the_parser_of_words_shows_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([f"--storage.run=s3://key:{PLANTED}@bucket"], "status", "", "")
    assert "s3://***@bucket" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b"train: [",
        b"\ttrain: 1",
        b"train: {images: 1, images: 2}",
        b"\xff",
        b"a: ${b}",
        b"- a",
        b"",
    ],
)
def test_an_unreadable_recipe_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^my\.yaml: "):
        load_recipe("my.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"^recipe 'folder\.yaml': "):
        load_recipe("folder.yaml")


def test_a_section_may_be_given_at_once() -> None:
    config = load_config(
        load_recipe("tiny-pvdgan"),
        ["storage={run: /a/007}", "objective={name: dlsgan}", "data={url: /d, source: on}"],
    )
    assert (config.storage.run, config.objective.name, config.data.source) == (
        "/a/007", "dlsgan", "on",
    )  # fmt: skip


def all_sections() -> Iterator[DictConfig]:
    """The options of every command, as schemas."""
    for names in itertools.product(*(family.names() for family in CHOICES.values())):
        chosen = {f"{s}.name": name for s, name in zip(CHOICES, names, strict=True)}
        yield schema_for(chosen, [])
    for verb in VERBS:
        module = importlib.import_module(module_of(verb))
        sections = getattr(module, "SECTIONS", {})
        if sections and verb != "data":
            yield OmegaConf.create({k: OmegaConf.structured(v) for k, v in sections.items()})
    for section in data.SECTIONS.values():
        yield OmegaConf.create({"data": OmegaConf.structured(section)})


# Text that names neither a directory nor a file.
NO_PLACES = {
    "storage.endpoint_url", "server.address", "monitor.ray", "monitor.host", "watch.host",
    "metrics.host", "monitor.retention", "submit.id", "data.source", "data.resize",
    "data.resolution", "data.image_column", "data.check", "start.checkpoint", "evaluate.checkpoint",
    "network.name", "objective.name", "optimise.space", "refine.space", "boundary.space",
    "data.align", "invert.align", "edit.align", "edit.mix", "studio.host", "studio.align",
    "suggest.method", "suggest.family", "sweep.judge", "data.label", "invert.label",
    "objective.condition.attribute",
}  # fmt: skip


def test_every_text_option_is_a_place_or_known_not_to_be_one() -> None:
    found = {
        key
        for schema in all_sections()
        for key, node in options_of(schema)
        if holds_text(node) and node._metadata.ref_type in (str, Path)
    }
    assert found <= {*LOCATIONS, *NO_PLACES}
    assert set(LOCATIONS) <= found


@pytest.mark.parametrize("tilde", ["~", "~/x", "~/x y/007"])
def test_the_tilde_is_the_home_directory_in_every_place(tilde: str, tmp_path: Path) -> None:
    at_home = tilde.replace("~", str(tmp_path / "home"))
    found = set()
    for schema in all_sections():
        make_writable(schema)
        places = {key for key, node in options_of(schema) if holds_text(node)} & set(LOCATIONS)
        for key in places:
            OmegaConf.update(schema, key, tilde)
            make_absolute(schema, key, problems=[])
            assert str(OmegaConf.select(schema, key)) == at_home
            found.add(key)
    assert found == set(LOCATIONS)
    config = load_config(load_recipe("tiny-pvdgan"), [*PLACES, f"data.mix=[{{url: {tilde}}}]"])
    assert config.data.mix[0].url == at_home
