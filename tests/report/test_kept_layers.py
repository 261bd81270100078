"""The ledger of a case without a difference: how its converted programs, which its record keeps, quantize each layer."""

from __future__ import annotations

import pytest
from lxml import html

from qatrix.diagnoses import GraphLine, GraphText
from qatrix.outcomes import Record
from qatrix.report.casepage import kept_layers
from qatrix.report.casepage.kept import rounding_of
from qatrix.report.frames import report_data
from qatrix.report.html.page import case_facts, index_html
from support.hostile import HOSTILE_TEXTS, hidden_in
from support.records import make_record, make_run


def facts_of(record: Record) -> html.HtmlElement:
    data = report_data(make_run(declared=1), [record])
    return html.fragment_fromstring(case_facts(data)(record), create_parent="div")


def text_of(element: html.HtmlElement) -> str:
    return " ".join(str(element.text_content()).split())


def kept_graph(pipeline: str, scale: str) -> GraphText:
    """A converted convolution, whose output has this scale."""
    rounded = f"quantized_decomposed.quantize_per_tensor.default(conv2d, {scale}, 3, -128, 127, torch.int8)"
    return GraphText(
        pipeline=pipeline,
        lines=(
            GraphLine(text="x = input", layer="x"),
            GraphLine(text="conv2d = aten.conv2d.default(x)", layer="conv"),
            GraphLine(text=f"q = {rounded}", layer="conv"),
            GraphLine(text="return q"),
        ),
    )


def test_a_case_without_a_difference_has_a_ledger_of_its_converted_programs() -> None:
    record = make_record(graphs=(kept_graph("pt2e", "0.5"), kept_graph("fx", "0.5")))
    found = kept_layers(record)

    assert found is not None
    (alike, (conv,)), (unrounded, _) = found.folded
    assert (alike, unrounded) == ("1 layer quantized alike: conv", "1 layer whose output no program rounds: x")
    assert conv.sides == ("int8, scale 0.5, zero point 3",) * 2
    assert found.others == ()
    facts = facts_of(record)
    assert "Layer by layer, after convert" in [text_of(item) for item in facts.xpath(".//h3")]
    assert "Graphs after convert" in [text_of(item) for item in facts.xpath(".//summary")]


def test_layers_that_are_quantized_otherwise_stand_open() -> None:
    record = make_record(graphs=(kept_graph("pt2e", "0.5"), kept_graph("fx", "0.25")))
    found = kept_layers(record)

    assert found is not None
    assert [layer.layer for layer in found.others] == ["conv"]
    (row,) = facts_of(record).xpath(".//div[@class='ledger']/div//tbody/tr")
    assert [text_of(item) for item in row.xpath("./td/b")] == [
        "int8, scale 0.5, zero point 3",
        "int8, scale 0.25, zero point 3",
    ]


def test_a_single_program_is_alike_to_nothing() -> None:
    record = make_record(graphs=(kept_graph("pt2e", "0.5"),))
    found = kept_layers(record)

    assert found is not None
    assert [title for title, _ in found.folded] == ["2 layers in pt2e: x, conv"]
    assert "alike" not in text_of(facts_of(record))


def test_a_layer_that_one_program_alone_rounds_is_not_alike() -> None:
    rounding = kept_graph("pt2e", "0.5")
    floating = GraphText(pipeline="fx", lines=rounding.lines[:2])
    found = kept_layers(make_record(graphs=(rounding, floating)))

    assert found is not None
    assert [layer.layer for layer in found.others] == ["conv"]


def test_a_layer_that_one_program_computes_with_another_is_rounded_alike_all_the_same() -> None:
    rounded = "q = quantized_decomposed.quantize_per_tensor.default({}, 0.5, 3, -128, 127, torch.int8)"
    apart = (
        GraphLine(text="conv = aten.conv2d.default(x)", layer="conv"),
        GraphLine(text="relu = aten.relu.default(conv)", layer="relu"),
        GraphLine(text=rounded.format("relu"), layer="relu"),
    )
    fused = (
        GraphLine(text="conv = ConvReLU2d[conv](x)", layer="conv"),
        GraphLine(text=rounded.format("conv"), layer="relu"),
    )
    found = kept_layers(
        make_record(graphs=(GraphText(pipeline="pt2e", lines=apart), GraphText(pipeline="fx", lines=fused)))
    )

    assert found is not None
    assert [title for title, _ in found.folded] == [
        "1 layer quantized alike: relu",
        "1 layer whose output no program rounds: conv",
    ]
    assert found.others == ()


def test_a_record_that_keeps_no_graphs_has_no_ledger() -> None:
    assert kept_layers(make_record()) is None


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_hostile_lines_of_kept_graphs_stay_text(text: str) -> None:
    graph = GraphText(pipeline=text, lines=(GraphLine(text="x = input", layer=text), GraphLine(text=text, layer=text)))
    page = index_html(report_data(make_run(declared=1), [make_record(graphs=(graph, graph), unexpected=True)]))
    tree = html.document_fromstring(page)

    assert "could not be drawn" not in page
    assert tree.xpath("//main//script | //img") == []
    assert hidden_in("".join(map(str, tree.xpath("//main//text() | //main//@aria-label")))) == []


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("aten.conv2d.default(x)", {}),
        (
            "quantized_decomposed.quantize_per_channel.default(w, s, z, 0, -127, 127, torch.int8)",
            {"dtype": "int8", "range": "-127…127", "scale": "per channel"},
        ),
        (
            "quantized_decomposed.quantize_per_tensor.default(x, 1e-05, -5, 0, 255, torch.uint8)",
            {"dtype": "uint8", "scale": "1e-05", "zero point": "-5", "range": "0…255"},
        ),
    ],
    ids=["another op", "per channel", "per tensor"],
)
def test_a_rounding_line_says_its_integers(text: str, facts: dict[str, str]) -> None:
    assert rounding_of(text) == facts
