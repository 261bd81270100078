"""References from elsewhere that are damaged or made up are refused in words, before a case runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from qatrix.errors import ReferenceUnusable
from qatrix.execute.reference import Manifest, Reference, ReferenceWriter, open_reference
from qatrix.execute.reference.frozen import FrozenCase
from qatrix.execute.reference.tensors import digest, tree_of
from support.records import ENVIRONMENT, make_outcome


def frozen(case_id: str, outputs: Mapping[str, str]) -> FrozenCase:
    return FrozenCase(
        case_id=case_id,
        declaration="d",
        seed=1,
        inputs="i",
        weights="w",
        float_model="f",
        outcome=make_outcome("fx"),
        outputs=outputs,
    )


def reference(path: Path, *cases: FrozenCase) -> Path:
    """A reference of these cases, or of one that is as it should be, and of one tensor."""
    tensors: dict[str, torch.Tensor] = {}
    tree = tree_of((torch.arange(8.0), 1), tensors)
    writer = ReferenceWriter()
    writer.add(frozen("s/a", {"convert": tree}), tensors)
    manifest = Manifest(
        pipeline="fx",
        run_id="r",
        frozen="2026",
        qatrix="0",
        environment=ENVIRONMENT,
        matrix_digest=None,
        cases=cases or tuple(writer.cases),
    )
    writer.write(path, manifest)
    return path


def verified(path: Path) -> Reference:
    found = open_reference(path)
    found.verify()
    return found


def test_a_good_one_is_read(tmp_path: Path) -> None:
    assert verified(reference(tmp_path / "fx.safetensors")).pipeline == "fx"


def _sparse(path: Path, size: int) -> None:
    """A file of that many bytes, none of which takes room."""
    with path.open("wb") as file:
        file.truncate(size)


PATHS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "named pipe": (os.mkfifo, "cannot be read: it is a named pipe, and only a regular file is opened"),
    "folder": (Path.mkdir, "cannot be read: it is a folder"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "cannot be read: it is a device"),
    "huge": (lambda path: _sparse(path, 65 * 2**30), "it has 65.0 GiB, and at most 64 GiB"),
    "long header": (lambda path: path.write_bytes(b"\xff" * 64), "a header of 18446744073709551615 bytes, where 56"),
    "nothing": (Path.touch, "is no reference, or it is damaged or cut short"),
}


@pytest.mark.parametrize(("make", "told"), PATHS.values(), ids=PATHS)
def test_what_is_no_such_file_is_not_opened(tmp_path: Path, make: Callable[[Path], Any], told: str) -> None:
    path = tmp_path / "fx.safetensors"
    make(path)

    with pytest.raises(ReferenceUnusable, match=told):
        open_reference(path)


HEADS = {
    "deep": "[" * 100_000,
    "list": "[]",
    "numbers": json.dumps({"format": "qatrix reference", "version": "1", "manifest": 3, "manifest_sha256": 4}),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_that_is_none_is_refused(tmp_path: Path, head: str) -> None:
    path = reference(tmp_path / "fx.safetensors")
    save_file(load_file(path), path, {"qatrix": head})

    with pytest.raises(ReferenceUnusable, match="holds tensors, but is no reference"):
        open_reference(path)


TREES = {
    "absent tensor": (json.dumps({"tensor": "ab"}), "has a tensor 'ab' that the file lacks"),
    "deep": ('{"list": [' * 10_000 + "]}" * 10_000, "is no tree of values"),
    "no tree": ("[1]", "is no tree of values"),
    "other kind": ('{"set": []}', "is no tree of values"),
    "no JSON": ("{", "is no tree of values"),
    "key that is none": ('{"dict": [[[], {"value": 1}]]}', "is no tree of values"),
}


@pytest.mark.parametrize(("tree", "told"), TREES.values(), ids=TREES)
def test_an_output_that_cannot_be_read_is_refused(tmp_path: Path, tree: str, told: str) -> None:
    path = reference(tmp_path / "fx.safetensors", frozen("s/a", {"convert": tree}))

    with pytest.raises(ReferenceUnusable, match=f"is damaged: the output of s/a after convert {told}"):
        verified(path)


def test_a_case_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReferenceUnusable, match="it has a case twice"):
        open_reference(reference(tmp_path / "fx.safetensors", frozen("s/a", {}), frozen("s/a", {})))


@given(place=st.integers(0, 10**5), value=st.integers(0, 255))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_byte_may_be_another(tmp_path: Path, place: int, value: int) -> None:
    path = tmp_path / "fx.safetensors"
    content = bytearray(reference(path).read_bytes())
    changed = content[place % len(content)] != value
    content[place % len(content)] = value
    path.write_bytes(content)
    try:
        found = verified(path)
    except ReferenceUnusable:
        return
    # What does not count, such as the order of names in the header, may be otherwise.
    assert not changed or digest(torch.arange(8.0)) in found.manifest.cases[0].outputs["convert"]
