"""What unknown code says of what ran where."""

from __future__ import annotations

import pytest

from qatrix.lowerings import FloatOp, Kernel, Ran
from qatrix.pipelines.runtimes.accounts import RuntimeFault, ran_of


def test_mappings_and_tuples_say_the_same() -> None:
    by_name = {
        "kernels": [{"name": "gemm", "arithmetic": "integers", "layers": ["a", "b"]}],
        "float_ops": [{"op": "mean", "because": "no kernel"}],
    }
    in_order = {"kernels": (("gemm", "integers", 1, ("a", "b")),), "float_ops": (("mean", None, "no kernel"),)}

    assert ran_of(by_name, "ran") == ran_of(in_order, "ran")
    assert ran_of(by_name, "ran") == Ran(
        kernels=(Kernel(name="gemm", arithmetic="integers", layers=("a", "b")),),
        float_ops=(FloatOp(op="mean", because="no kernel"),),
    )


def test_counts_sizes_and_notes_are_kept_each_note_on_one_line() -> None:
    account = {"delegated": 3, "left_over": 0, "partitions": None, "size_bytes": 2048, "notes": ["on\nthe chip"]}

    assert ran_of(account, "ran") == Ran(delegated=3, left_over=0, size_bytes=2048, notes=("on\\nthe chip",))


def test_nothing_and_an_empty_mapping_say_nothing() -> None:
    assert ran_of(None, "ran") == ran_of({}, "ran") == Ran()


@pytest.mark.parametrize(
    ("account", "fault"),
    [
        ("all of it", "ran is 'all of it'; expected a mapping"),
        ({"kernls": []}, "ran has 'kernls'; expected kernels, delegated, left_over, partitions, float_ops, size_bytes, notes"),
        ({"kernels": "gemm"}, "kernels in ran is 'gemm'; expected a list or tuple of at most 10,000"),
        ({"kernels": ["gemm"]}, "item 1 of kernels in ran is 'gemm'; expected a mapping with name, arithmetic, count, layers, or a tuple of them"),
        ({"kernels": [("gemm", "int8")]}, "arithmetic of item 1 of kernels in ran is 'int8'; expected 'integers' or 'float' or 'none'"),
        ({"kernels": [{"name": "gemm"}]}, "arithmetic of item 1 of kernels in ran is nothing; expected 'integers' or 'float' or 'none'"),
        ({"kernels": [(1, "float")]}, "name of item 1 of kernels in ran is 1; expected text"),
        ({"kernels": [("gemm", "float", -1)]}, "count of item 1 of kernels in ran is -1; expected a whole number from 0 to 2**63 - 1, or None"),
        ({"kernels": [{"name": "gemm", "arithmetic": "float", "speed": 1}]}, "item 1 of kernels in ran has 'speed'; expected name, arithmetic, count, layers"),
        ({"kernels": [("a", "float", 1, (), 2)]}, "item 1 of kernels in ran is ('a', 'float', 1, (), 2); expected a mapping with name, arithmetic, count, layers, or a tuple of them"),
        ({"float_ops": [{}]}, "op of item 1 of float_ops in ran is nothing; expected text"),
        ({"size_bytes": 2**63}, "size_bytes in ran is 9223372036854775808; expected a whole number from 0 to 2**63 - 1, or None"),
        ({"size_bytes": True}, "size_bytes in ran is True; expected a whole number from 0 to 2**63 - 1, or None"),
        ({"delegated": 1.5}, "delegated in ran is 1.5; expected a whole number from 0 to 2**63 - 1, or None"),
        ({"notes": [1]}, "item 1 of notes in ran is 1; expected text"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place_and_what_was_expected(account: object, fault: str) -> None:
    with pytest.raises(RuntimeFault) as caught:
        ran_of(account, "ran")

    assert str(caught.value) == fault


def test_long_texts_are_cut_because_they_go_into_every_report() -> None:
    (note,) = ran_of({"notes": ["x" * 5000]}, "ran").notes

    assert note.startswith("x" * 1000)
    assert len(note) < 1100
