"""What is written as YAML is read back as the same value."""

from __future__ import annotations

import math

import pytest

from qatrix.declare.yamltext import data, parse, written

TEXTS = (
    "", "name", "a.b", "on", "no", "null", "~", "True", "1", "1e-05", "0x10", "2024-01-01", "a: b # c", "- a", "[", "'",
    '"', "\\", "\n", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff", "é", "😀", " a ", "%", "@", "&a", "*a", "!a", "..",
)  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        *TEXTS,
        *(None, True, False, 0, -3, 2**40),
        *(0.5, 1e-5, -1e-05, 1e20, 1.5e300, 5e-324, 1e16, 100000.0),
        [],
        [1, [True, "no"]],
        {},
        {"on": 1, "a b": {"x": [1e-5]}},
    ],
    ids=ascii,
)
def test_a_value_is_read_back(value: object) -> None:
    document = parse(f"key: {written(value)}\n".encode(), shown="a.yaml")

    assert document.problems == ()
    assert document.root is not None
    read = data(document.root)["key"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("number", [math.inf, -math.inf])
def test_endless_numbers_are_read_back(number: float) -> None:
    document = parse(f"key: {written(number)}\n".encode(), shown="a.yaml")

    assert document.root is not None
    assert data(document.root) == {"key": number}


def test_names_are_bare() -> None:
    assert written({"shape": [1, 3], "from": "data.npz", "key": "no"}) == '{shape: [1, 3], from: data.npz, key: "no"}'
