"""A diagnosis in words, tables and a plot, on the page and in the terminal."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from lxml import html

from qatrix import codec
from qatrix.console import Console
from qatrix.diagnoses import ParameterRow, Parameters
from qatrix.outcomes import Record
from qatrix.report.explanation import explanation_lines, explanation_tables
from qatrix.report.frames import ReportData, report_data
from qatrix.report.html import index_html
from qatrix.report.html.page import case_facts
from qatrix.report.plots import sqnr_plot
from support.diagnoses import HOSTILE, make_diagnosis, make_layer, make_parameters, make_point
from support.records import make_diverged, make_run

NAMES = ("pt2e", "fx")


def texts(title: str) -> list[tuple[str, ...]]:
    (table,) = (table for table in explanation_tables(make_diagnosis()) if table.title == title)
    return [tuple(cell.text for cell in row) for row in table.rows]


def test_a_diagnosis_survives_the_store() -> None:
    record = make_diverged(diagnosis=make_diagnosis())

    assert codec.loads(Record, codec.dumps(record)) == record


def test_the_lines_say_where_who_and_why() -> None:
    assert explanation_lines(make_diagnosis()) == (
        "They part at bn.",
        "pt2e is closer to the float model: pt2e SQNR 36.0 dB, fx SQNR 9.0 dB.",
        "Cause, defect: pt2e replaces eps.",
        "  evidence: the graph has 1e-05, the model 0.1",
        "Cause, unexplained: nothing known explains relu.",
        "Note: two nodes belong to no layer.",
    )


def test_where_float_cannot_decide_the_lines_say_so() -> None:
    lines = explanation_lines(make_diagnosis(first=None, nearer=None, nearer_because="both are at 40 dB", causes=()))

    assert lines[:2] == (
        "Every layer of pt2e and fx that could be compared is equal.",
        "Neither is closer to the float model: both are at 40 dB.",
    )


def test_layers_stand_in_the_order_of_execution_with_the_first_difference_marked() -> None:
    assert texts("Layers after prepare") == [
        ("conv", "Conv2d", "computed", "✓ exact", "0", "–", "∞", "∞", ""),
        ("bn (with conv)", "Conv2d", "computed", "≠ diverged", "0.25", "2", "40.0", "9.0", ""),
        ("relu", "Conv2d", "quantized", "◧ pt2e only", "0", "–", "40.0", "–", "fx passes it on"),
    ]
    assert explanation_tables(make_diagnosis())[0].marked == 1


def test_parameters_are_told_of_both_sides() -> None:
    usual = "zero point 3, int8 -128…127, per_tensor_affine, MinMaxObserver"
    assert texts("Quantization parameters after prepare") == [
        ("bn", "≠ differs", "scale (most in channel 2)", f"scale 0.5, {usual}", f"scale 0.125, {usual}"),
        (
            "relu",
            "◧ pt2e only",
            "",
            "scale 0.25…0.75, zero point 3, int8 -128…127, per_channel_symmetric, axis 0, 4 channels, MinMaxObserver",
            "not quantized",
        ),
        ("x", "✓ same", "", f"scale 0.5, {usual}", f"scale 0.5, {usual}"),
    ]


def row_texts(left: Parameters, right: Parameters, *differing: str, **worst: float) -> tuple[str, str]:
    row = ParameterRow(tensor="w", status="differs", left=left, right=right, differing=differing, **worst)  # type: ignore[arg-type]  # figures of the worst channel
    (table,) = (
        table
        for table in explanation_tables(make_diagnosis(points=(make_point(parameters=(row,)),)))
        if table.title.startswith("Quantization")
    )
    return table.rows[0][3].text, table.rows[0][4].text


def test_scales_that_differ_in_the_eighth_digit_are_told_apart() -> None:
    left, right = make_parameters(), make_parameters()
    told = row_texts(left, right, "scale", left_scale=0.00709123456, right_scale=0.00709123451)

    assert [text.partition(",")[0] for text in told] == ["scale 0.0070912346", "scale 0.0070912345"]


@pytest.mark.parametrize(
    ("setting", "left", "right", "told"),
    [
        pytest.param("eps", 2.0**-12, 2.0**-23, ("eps 0.000244141", "eps 1.19209e-07"), id="eps"),
        pytest.param("type", "FakeQuantize", "FusedFakeQuantize", ("FakeQuantize", "FusedFakeQuantize"), id="type"),
        pytest.param("ch_axis", 0, 1, ("axis 0", "axis 1"), id="ch_axis"),
    ],
)
def test_a_setting_that_differs_is_among_those_that_are_shown(
    setting: str, left: object, right: object, told: tuple[str, str]
) -> None:
    texts = row_texts(make_parameters(**{setting: left}), make_parameters(**{setting: right}), setting)

    assert all(f", {wanted}" in text for wanted, text in zip(told, texts))


def test_codes_are_told_with_their_reasons() -> None:
    assert texts("Integer codes after prepare") == [("bn", "100", "7", "1", "clamping 3, rounding ties 4")]


def test_a_point_without_rows_has_no_table() -> None:
    empty = make_diagnosis(points=(make_point(layers=(), parameters=(), codes=(), first=None),))

    assert explanation_tables(empty) == ()


def test_parameters_that_were_never_set_have_none() -> None:
    bare = make_parameters(
        scale_min=None, scale_max=None, zero_point_min=None, quant_min=None, dtype=None, qscheme=None
    )
    row = make_point().parameters[1]
    point = make_point(parameters=(type(row)(tensor="w", status="left_only", left=bare),))
    (table,) = (t for t in explanation_tables(make_diagnosis(points=(point,))) if t.title.startswith("Quantization"))

    assert table.rows[0][3].text == "scale –, zero point –, –, MinMaxObserver"


def test_what_varies_has_columns_where_an_offset_hides_its_loss() -> None:
    layers = (
        make_layer("conv", left_variation_db=38.0, right_variation_db=38.0),
        make_layer("add", left_sqnr_db=771.2, left_variation_db=-2.7, right_sqnr_db=None),
    )
    table, *_ = explanation_tables(make_diagnosis(points=(make_point(layers=layers),)))

    assert table.columns[6:] == ("pt2e dB", "fx dB", "pt2e varying dB", "fx varying dB", "note")
    assert [cell.text for cell in table.rows[1][6:]] == ["771.2", "–", "-2.7", "–", ""]


@pytest.mark.parametrize("varying", [None, 38.0, float("nan")])
def test_what_varies_has_no_columns_where_it_tells_nothing_else(varying: float | None) -> None:
    layers = (make_layer("conv", left_variation_db=varying, right_sqnr_db=None, right_variation_db=3.0),)
    table, *_ = explanation_tables(make_diagnosis(points=(make_point(layers=layers),)))

    assert table.columns[6:] == ("pt2e dB", "fx dB", "note")


def test_the_plot_tells_what_varies_beside_the_figure_that_it_draws() -> None:
    layers = tuple(make_layer(name, left_variation_db=-2.7) for name in "abc")
    plot = sqnr_plot(make_point(layers=layers, first=None), NAMES)

    assert plot is not None
    assert plot.lines[0].marks[0][2] == "pt2e at a, computed: 40.0 dB, of what varies -2.7 dB"
    assert plot.lines[1].marks[0][2] == "fx at a, computed: 40.0 dB"


def test_the_plot_has_a_line_for_each_pipeline_and_the_first_difference() -> None:
    plot = sqnr_plot(make_point(), NAMES)

    assert plot is not None
    assert [line.name for line in plot.lines] == ["pt2e", "fx"]
    assert [len(line.marks) for line in plot.lines] == [3, 2]
    top, bottom = min(y for y, _ in plot.ticks), max(y for y, _ in plot.ticks)
    assert plot.lines[0].marks[0][1] == top, "no noise at all is drawn at the top"
    assert all(top <= y <= bottom for line in plot.lines for _, y, _ in line.marks)
    assert plot.lines[1].marks[1][2] == "fx at bn, computed: 9.0 dB"
    assert plot.first == plot.lines[0].marks[1][0]


@pytest.mark.parametrize("value", [float("-inf"), float("nan"), -20.0])
def test_noise_beyond_measure_is_drawn_at_the_bottom(value: float) -> None:
    layers = tuple(make_layer(name, left_sqnr_db=value) for name in "abc")
    plot = sqnr_plot(make_point(layers=layers, first=None), NAMES)

    assert plot is not None
    assert plot.first is None
    assert {y for _, y, _ in plot.lines[0].marks} == {max(y for y, _ in plot.ticks)}


def test_two_layers_are_no_plot() -> None:
    assert sqnr_plot(make_point(layers=(make_layer("a"), make_layer("b"))), NAMES) is None


def page(*records: Record) -> html.HtmlElement:
    return html.document_fromstring(index_html(report_data(make_run(declared=len(records)), records)))


def test_the_page_shows_sentences_plot_tables_and_graphs() -> None:
    (shown,) = page(make_diverged(diagnosis=make_diagnosis())).xpath("//details[@class='case']")
    text = " ".join(str(shown.text_content()).split())

    assert "First difference after prepare: bn. Same inputs, outputs differ by 0.25 (2 steps)." in text
    assert "Cause defect pt2e replaces eps." in text
    assert len(shown.xpath(".//svg//polyline")) == 2
    assert [str(item) for item in shown.xpath(".//tr[@class='marked']/td[1]/text()")] == ["bn (with conv)"]
    assert [str(item) for item in shown.xpath(".//mark/text()")] == ["z = bn(y)"]


def test_text_of_a_diagnosis_never_becomes_markup() -> None:
    layers = tuple(make_layer(HOSTILE + name, note=HOSTILE) for name in "abc")
    found = make_diagnosis(points=(make_point(layers=layers),), nearer_because=HOSTILE, notes=(HOSTILE,))
    tree = page(make_diverged(diagnosis=found))

    assert tree.xpath("//body//script[not(@type)]/following::*[not(self::script)]") == []
    assert tree.xpath("//main//script") == []


@pytest.mark.slow
def test_a_page_of_many_diagnoses_stays_small_and_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def telling(data: ReportData) -> Callable[[Record], str]:
        facts = case_facts(data)

        def told_once(record: Record) -> str:
            told.append(facts(record))
            return told[-1]

        return told_once

    # The page's own texts are read: those of a hundred cases take seconds to write.
    monkeypatch.setattr("qatrix.report.html.page.case_facts", telling)
    many = make_diagnosis(points=(make_point(layers=tuple(make_layer(f"layer{n}") for n in range(400))),))
    records = [make_diverged(f"s/case{n}", diagnosis=many) for n in range(100)]

    assert len(index_html(report_data(make_run(declared=100), records))) < 3e6
    assert len(told) == 100
    assert sum("Layers after prepare</summary>" in text for text in told) == 49
    assert sum("The tables of this case are left out here" in text for text in told) == 51


@pytest.mark.slow
def test_unexpected_cases_are_explained_first() -> None:
    many = make_diagnosis(points=(make_point(layers=tuple(make_layer(f"layer{n}") for n in range(12_000))),))
    known = make_diverged("s/known", diagnosis=many, unexpected=False)
    news = make_diverged("s/news", diagnosis=many, unexpected=True)
    facts = case_facts(report_data(make_run(declared=2), (known, news)))

    assert "<td>layer11999</td>" in facts(news)
    assert "<td>layer11999</td>" not in facts(known)


def test_a_table_in_a_pipe_is_plain_and_wraps_nothing() -> None:
    out = io.StringIO()
    console = Console(out=out)
    for table in explanation_tables(make_diagnosis()):
        console.table(table)
    lines = out.getvalue().splitlines()

    assert "\x1b" not in out.getvalue()
    assert any(line.strip().startswith("→ bn (with conv)") for line in lines)
    assert any("scale 0.25…0.75" in line and "not quantized" in line for line in lines)
