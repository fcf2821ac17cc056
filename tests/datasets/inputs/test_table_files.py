"""Tables as people write them: which are read, as what, and what the others are told."""

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from datasets.inputs.attributes import read_attributes
from datasets.inputs.table_files import read_rows
from datasets.shards.attributes import dump_attributes, parse_attributes
from ganinv.errors import ConfigError, DataError

NAN = float("nan")


def _values(path: Path, data: bytes) -> list[dict[str, Any]]:
    path.write_bytes(data)
    return [row.values for row in read_rows(path, "TABLE", ["file"])]


@pytest.mark.parametrize(
    "data",
    [
        b'{"file": "a", "x": 1}\n{"file": "b", "x": 2}\n',
        b'{"file": "a", "x": 1}\r\n{"file": "b", "x": 2}',
        codecs.BOM_UTF8 + b'{"file": "a", "x": 1}\n{"file": "b", "x": 2}\n',
        b'\n{"file": "a", "x": 1}\n  \n\n{"file": "b", "x": 2}\n\n',
    ],
    ids=["plain", "windows", "byte order mark", "blank lines"],
)
def test_jsonl(data: bytes, tmp_path: Path) -> None:
    assert _values(tmp_path / "t.jsonl", data) == [{"file": "a", "x": 1}, {"file": "b", "x": 2}]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
def test_only_line_feeds_end_a_line(separator: str, tmp_path: Path) -> None:
    text = f"a{separator}b"
    lines = json.dumps({"file": "a", "x": text}, ensure_ascii=False).encode()
    if separator >= "\x80":  # JSON allows these in texts as they are
        assert _values(tmp_path / "t.jsonl", lines) == [{"file": "a", "x": text}]
    table = f"file,x\na,{text}\n".encode()
    assert _values(tmp_path / "t.csv", table) == [{"file": "a", "x": text}]


@pytest.mark.parametrize(
    "data",
    [
        b"file,x\na,1\nb,2\n",
        codecs.BOM_UTF8 + b"file,x\r\na,1\r\nb,2\r\n",
        b"file;x\na;1\nb;2\n",
        b"file\tx\na\t1\nb\t2",
        b"\nfile, x\na, 1\n\n,\nb, 2\n\n",
        b',file,x\n0,"a",1\n1,"b",2\n',
        "file,x\na,1\nb,2\n".encode("utf-16"),
    ],
    ids=["plain", "windows", "semicolons", "tabs", "blank rows", "numbered rows", "utf-16"],
)
def test_csv(data: bytes, tmp_path: Path) -> None:
    assert _values(tmp_path / "t.csv", data) == [{"file": "a", "x": 1}, {"file": "b", "x": 2}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "0.5", "-.5", "2.", "1e-3"], [1, 0.5, -0.5, 2.0, 0.001]),
        (["00001", "10000"], ["00001", "10000"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["1", "x"], ["1", "x"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["٣", "1"], ["٣", "1"]),
        (["1", "nan", "inf", "-Infinity", "", "NA", "1e999"], [1, *[None] * 6]),
        (["nan", ""], [None, None]),
        (["", "NA"], ["", "NA"]),
        (["a", "nan", ""], ["a", "nan", ""]),
    ],
)
def test_a_column_is_of_numbers_only_if_all_its_fields_are(
    fields: list[str], expected: list[Any], tmp_path: Path
) -> None:
    data = "\n".join(["file,x", *(f"{i},{field}" for i, field in enumerate(fields))]).encode()
    found = _values(tmp_path / "t.csv", data)
    assert [row["x"] for row in found] == expected
    assert [row["file"] for row in found] == [str(i) for i in range(len(fields))]
    for row in found:
        json.loads(json.dumps(row, allow_nan=False))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("t.csv", "file,x\na,é\n".encode("latin-1"), r"line 2 is not UTF-8 \(byte 0xe9.*iconv"),
        ("t.jsonl", '{"x": "é"}'.encode("latin-1"), r"line 1 is not UTF-8 \(byte 0xe9.*iconv"),
        ("t.csv", b"file,x\na,1,2\n", "line 2 has 3 fields, the header has 2"),
        ("t.csv", b'file,x\n\na,"1\n', "line 3 is not CSV"),
        ("t.csv", b"file,x\na,\0\n", "is not a text"),
        ("t.csv", b"file,x,x\na,1,2\n", "two columns are named 'x'"),
        ("t.jsonl", b'{"x": 1}\n\n{not json\n', "line 3 is not JSON"),
        ("t.jsonl", b'"text"\n', "line 1 is not a JSON object"),
        ("t.jsonl", b"[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_corrupt_tables_are_named_by_line(
    name: str, data: bytes, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"^TABLE.*{reason}"):
        _values(tmp_path / name, data)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name in ("t.xlsx", "missing.csv"):
        with pytest.raises(ConfigError, match=r"not an existing file ending in \.csv, \.tsv"):
            read_rows(tmp_path / name, "TABLE")


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("file,path,x", "f"),
        ("File_Name,x,y", "f"),
        ("image_id,x,y", "f"),
        ("x,image,filename", "g"),
    ],
)
def test_the_column_that_names_the_image(header: str, wanted: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\nf,1,g\n")
    assert list(read_attributes(tmp_path / "t.csv")) == [wanted]


def test_wrong_names_of_images(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    for text, reason in (
        ("name,x\na,1\n", "line 2 has the columns name, x, and none of file,"),
        ("file,x\na,1\na,2\n", "line 3 names 'a' a second time"),
        ("file,x\n ,1\n", "line 2 has '' in the column 'file'"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=reason):
            read_attributes(table)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[1]", "a list instead of an object"),
        (b'"x"', "a text instead of an object"),
        (b"null", "null instead of an object"),
        (b"1", "a number instead of an object"),
        (b"{", "not JSON"),
        (b"\xe9", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_attributes_that_are_not_an_object(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=rf"attributes of it are {reason}.*write an object"):
        parse_attributes(data, "it")


def test_attributes_are_always_valid_json() -> None:
    found = {"a": NAN, "b": [1.5, {"c": float("inf")}], "d": "NaN"}
    assert dump_attributes(found) == b'{"a":null,"b":[1.5,{"c":null}],"d":"NaN"}'
    written = b'\xef\xbb\xbf{"a": NaN, "b": [-Infinity, 1e999, 2.5]}'
    assert parse_attributes(written, "it") == {"a": None, "b": [None, None, 2.5]}
