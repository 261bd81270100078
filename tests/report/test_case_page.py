"""The page of a case: its answers and their order, the ledger by layer, the drawing, and what stays folded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lxml import html

from qatrix.diagnoses import Cause, CodeBin, CodeRow, GraphLine, GraphText, ParameterRow
from qatrix.outcomes import CheckOutcome, Record
from qatrix.report.casepage import lead, lead_lines, ledgers, panel
from qatrix.report.casepage.lead import steps_in_words
from qatrix.report.casepage.nodes import nodes_of, short_op
from qatrix.report.frames import report_data
from qatrix.report.html.numerals import numbers
from qatrix.report.html.page import case_facts, index_html
from qatrix.report.plots import codes_plot, neighborhood, runtime_neighborhood
from support.casepages import FIRST, PT2E, apart, hostile_diagnosis
from support.diagnoses import HOSTILE, make_layer, make_parameters, make_point
from support.hostile import HOSTILE_TEXTS, hidden_in
from support.lowerings import make_clamped, make_deployed
from support.records import (
    make_comparison,
    make_diverged,
    make_expectation,
    make_failed,
    make_hostile,
    make_outcome,
    make_record,
    make_run,
    make_skipped,
)


def facts_of(record: Record) -> html.HtmlElement:
    data = report_data(make_run(declared=1), [record])
    return html.fragment_fromstring(case_facts(data)(record), create_parent="div")


def text_of(element: html.HtmlElement) -> str:
    return " ".join(str(element.text_content()).split())


def test_the_first_difference_is_one_line_in_plain_words() -> None:
    (line,) = lead(make_diverged(diagnosis=apart())).first

    assert line == "First difference after prepare: conv. Same inputs, outputs differ by 0.00255 (0.5 step)."


def test_what_one_pipeline_alone_quantizes_is_said_so() -> None:
    layers = (make_layer("conv", value="quantized", status="left_only", max_abs=0.25, max_steps=2.0, mismatched=3),)
    first = replace(FIRST, value="quantized")
    found = apart(first=first, points=(make_point(first=first, layers=layers),))

    assert lead(make_diverged(diagnosis=found)).first == (
        (
            "First difference after prepare: conv. pt2e quantizes its output, fx leaves it in float, "
            "which makes a difference of 0.25 (2 steps)."
        ),
    )


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (make_record(), "No difference: every output is bit-identical. 1 check passed."),
        (make_failed(), "fx failed at prepare: NotImplementedError: QAT is not supported for ConvTranspose2d"),
        (make_skipped(), "Skipped: no CUDA device: torch.cuda.is_available() is false"),
        (make_diverged(), "pt2e and fx differ by 0.0831 (3 steps) after convert."),
        (
            make_clamped(),
            (
                "First difference between fx on native (engine qnnpack) and its reference: relu, "
                "which quantized::relu6 computes. Same inputs, outputs differ by 5.9 (95 steps)."
            ),
        ),
        (
            make_record(verdict="unquantized", pipelines={"pt2e": make_outcome(quantize_ops=0, fake_quantizes=0)}),
            "pt2e silently quantizes nothing.",
        ),
        (
            make_record(
                verdict="check_failed",
                checks=(CheckOutcome(name="weight_scales", pipeline="pt2e", status="failed", message="along axis 0"),),
            ),
            "Failed check: weight_scales on pt2e. The numbers agree.",
        ),
        (
            make_record(
                verdict="close",
                comparisons=(make_comparison(status="close", max_abs=1e-7, tolerance_used=0.5),),
            ),
            "No difference beyond tolerance: at most 1e-07, 50 % of the tolerance (after convert). 1 check passed.",
        ),
    ],
    ids=["exact", "failed", "skipped", "diverged", "runtime", "unquantized", "check failed", "close"],
)
def test_every_kind_of_case_has_its_line(record: Record, line: str) -> None:
    assert lead(record).first == (line,)


def test_pipelines_that_only_their_own_runtimes_are_compared_with_are_not_called_equal() -> None:
    pipelines = {name: make_outcome(name) for name in ("pt2e", "fx")}
    compared = tuple(make_comparison("lowered", left=name, right=f"{name} on native") for name in pipelines)
    apart_from_each_other = "pt2e and fx are not compared with each other."
    exact = make_record(pipelines=pipelines, comparisons=compared)
    close = replace(exact, comparisons=(compared[0], replace(compared[1], status="close", max_abs=1e-7)))
    failed = CheckOutcome(name="weight_scales", pipeline="pt2e", status="failed", message="along axis 0")
    failing = replace(exact, verdict="check_failed", checks=(failed,))

    told = [line for record in (exact, close, failing) for line in lead(record).first]
    assert told == [
        f"Each runtime gives what its reference gives; {apart_from_each_other} 1 check passed.",
        (
            "Each runtime gives what its reference gives, within tolerance: at most 1e-07 (after lowering); "
            f"{apart_from_each_other} 1 check passed."
        ),
        (f"Failed check: weight_scales on pt2e. Each runtime gives what its reference gives; {apart_from_each_other}"),
    ]


@pytest.mark.parametrize(
    ("count", "told"), [(0.5, "0.5 step"), (1.0, "1 step"), (1.00009, "1 step"), (1.5, "1.5 steps"), (0.0, "0 steps")]
)
def test_the_plural_of_steps_follows_the_rounded_number(count: float, told: str) -> None:
    assert steps_in_words(count) == told


def test_pipelines_that_ran_and_agree_are_told_where_another_is_missing() -> None:
    record = make_record(
        verdict="unavailable",
        reason="own: there is no own",
        comparisons=(
            make_comparison("prepare"),
            make_comparison("convert"),
            make_comparison(right="own", status="close"),
        ),
    )

    assert lead(record).first == (
        "Unavailable: own: there is no own",
        "pt2e and fx: no difference; pt2e and own: no difference beyond tolerance.",
    )


@pytest.mark.parametrize(
    ("because", "told"),
    [
        ("On the engine qnnpack it is so", "on the engine qnnpack it is so"),
        ("A kernel rounds", "a kernel rounds"),
        ("FX has no module", "FX has no module"),
        ("PT2E's copy", "PT2E's copy"),
        ("XNNPACK rounds", "XNNPACK rounds"),
        ("ExecuTorch's pass", "ExecuTorch's pass"),
        ("Conv2d is not fused", "Conv2d is not fused"),
        ("Python rounds", "Python rounds"),
        ("there is no module", "there is no module"),
    ],
)
def test_a_reason_goes_on_after_because_as_a_sentence_does(because: str, told: str) -> None:
    expected = make_expectation("diverged", because=because)
    record = make_diverged(expected=expected, unexpected=False, unexpected_because=None)

    assert str(lead(record).expected).endswith(f", because {told}")


def test_a_failure_is_told_before_the_difference_that_was_found_all_the_same() -> None:
    failed, difference = lead(make_failed(diagnosis=apart())).first

    assert failed.startswith("fx failed at prepare")
    assert difference.startswith("First difference after prepare: conv.")


def test_who_is_closer_is_told_with_both_figures() -> None:
    assert lead(make_diverged(diagnosis=apart())).closer == (
        "pt2e is closer to the float model (SQNR 33.9 against 33.0 dB)."
    )


def test_pipelines_that_float_cannot_tell_apart_are_equally_close() -> None:
    found = apart()
    point = replace(found.points[0], nearer=None)
    told = lead(make_diverged(diagnosis=replace(found, nearer=None, points=(point,)))).closer

    assert told == "pt2e and fx are equally close to the float model (SQNR 33.9 against 33.0 dB)."


def test_where_only_the_first_layer_decides_that_is_said() -> None:
    found = apart()
    told = lead(make_diverged(diagnosis=replace(found, points=(replace(found.points[0], nearer=None),)))).closer

    assert told == (
        "pt2e is closer to the float model at conv (SQNR 44.0 against 42.0 dB); "
        "at the output both are equally close (SQNR 33.9 against 33.0 dB)."
    )


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (make_failed(), "Expected: fails in fx at prepare, because FX graph mode has no QAT module"),
        (make_diverged(), "Not expected: no entry under `expected` covers this case."),
        (
            make_diverged(expected=make_expectation(), unexpected_because="it was to fail"),
            "Not expected: it was to fail.",
        ),
    ],
    ids=["expected", "no entry", "another entry"],
)
def test_the_expectation_is_said_in_words(record: Record, told: str) -> None:
    assert (lead(record).expected or "").startswith(told)


def test_an_exact_case_needs_no_expectation() -> None:
    assert lead(make_record()).expected is None


def test_the_lines_of_the_terminal_come_in_the_order_of_the_page() -> None:
    lines = lead_lines(make_diverged(diagnosis=apart()))

    assert [line.partition(" ")[0] for line in lines if not line.startswith("  ")] == [
        "First",
        "Cause",
        "Cause",
        "pt2e",
        "Not",
    ]


def test_equal_layers_fold_and_the_first_that_differs_stands_open() -> None:
    (ledger,) = ledgers(apart())

    assert [(block.kind, block.title) for block in ledger.blocks] == [
        ("equal", "1 layer equal: x"),
        ("first", "conv"),
        ("differs", "1 more layer differs"),
    ]
    assert ledger.first is not None
    assert ledger.first.apart == "0.5 step"
    assert (ledger.first.left, ledger.first.right) == (
        "int8, scale 0.5, zero point 3",
        "int8, scale 0.25, zero point 3",
    )


def test_layers_whose_values_are_equal_and_parameters_are_not_differ() -> None:
    point = make_point(
        first=None,
        layers=(make_layer("conv"),),
        parameters=(
            ParameterRow(
                tensor="conv.weight",
                status="differs",
                left=make_parameters(),
                right=make_parameters(),
                differing=("eps",),
            ),
        ),
        codes=(),
    )
    (ledger,) = ledgers(apart(points=(point,)))

    (entry,) = ledger.blocks[0].entries
    assert (entry.state, entry.apart, entry.glyph[1]) == (
        "differs",
        "eps of conv.weight",
        "parameters only, same values",
    )
    assert ledger.blocks[0].title == "1 layer with the same values differs in parameters or codes"


def test_a_layer_above_the_first_difference_says_that_its_values_are_the_same() -> None:
    found = apart()
    (point,) = found.points
    other = ParameterRow(
        tensor="x", status="differs", left=make_parameters(), right=make_parameters(), differing=("eps",)
    )
    record = make_diverged(diagnosis=replace(found, points=(replace(point, parameters=(other,)),)))

    assert lead(record).first[0].startswith("First difference after prepare: conv.")
    assert record.diagnosis is not None
    (ledger,) = ledgers(record.diagnosis)
    above, first, below = ledger.blocks
    assert [entry.glyph[1] for entry in above.entries] == ["parameters only, same values"]
    assert (first.kind, below.title) == ("first", "1 more layer differs")


def test_a_tensor_belongs_to_the_layer_with_the_longest_name() -> None:
    same = ParameterRow(tensor="a.b.weight", status="same", left=make_parameters(), right=make_parameters())
    point = make_point(first=None, layers=(make_layer("a"), make_layer("a.b")), parameters=(same,), codes=())
    (ledger,) = ledgers(apart(points=(point,)))

    owners = {entry.layer: entry.parameters for block in ledger.blocks for entry in block.entries}
    assert owners == {"a": (), "a.b": (same,)}


def test_the_panel_marks_what_only_one_program_does() -> None:
    record = make_diverged(diagnosis=apart())
    (ledger,) = ledgers(apart())
    assert ledger.first is not None
    found = panel(record, ledger, ledger.first)

    left, right = found.chains
    assert [(step.text, step.own) for step in left] == [
        ("fake quantize weight", True),
        ("conv2d", False),
        ("fake quantize", False),
    ]
    assert [(step.text, step.own) for step in right] == [("Conv2d", False), ("fake quantize", False)]
    scale = found.tensors[0].lines[0]
    assert (scale.name, scale.sides, scale.differs) == ("scale", ("0.5", "0.25"), True)


def test_the_source_that_decides_is_named_where_the_expectation_names_it() -> None:
    because = "FX does not fuse it (_get_conv_configs in torch/ao/quantization/backend_config/common.py), PT2E does"
    record = make_diverged(diagnosis=apart(), expected=make_expectation(because=because))
    (ledger,) = ledgers(apart())
    assert ledger.first is not None

    assert panel(record, ledger, ledger.first).sources == (
        "_get_conv_configs in torch/ao/quantization/backend_config/common.py",
    )


def test_the_nodes_of_a_graph_are_read_back_from_its_lines() -> None:
    nodes = {node.name: node for node in nodes_of(PT2E)}

    assert nodes["conv2d"].inputs == ("post_0", "post_1")
    assert nodes["post_1"].of_constant
    assert not nodes["post_0"].of_constant
    assert nodes["return"].inputs == ("post_2",)


@pytest.mark.parametrize("text", ["", "return ", "x", "x = ", " = (", "a = b(c", *HOSTILE_TEXTS.values()])
def test_a_line_that_is_no_node_is_passed_over(text: str) -> None:
    nodes_of(GraphText(pipeline="pt2e", lines=(GraphLine(text=text),)))


@pytest.mark.parametrize(
    ("op", "short"),
    [
        ("aten.flatten.using_ints", "flatten"),
        ("quantized_decomposed.quantize_per_tensor.default", "quantize_per_tensor"),
        ("Conv2d[layer1.0.conv1]", "Conv2d"),
        ("add", "add"),
    ],
)
def test_an_op_is_called_as_a_reader_calls_it(op: str, short: str) -> None:
    assert short_op(op) == short


def test_the_drawing_has_both_programs_with_the_layer_in_one_column() -> None:
    (ledger,) = ledgers(apart())
    assert ledger.first is not None
    drawn = neighborhood(make_diverged(diagnosis=apart()), ledger, ledger.first)

    assert drawn is not None
    assert [row.name for row in drawn.rows] == ["pt2e", "fx"]
    marked = [box for row in drawn.rows for box in row.boxes if box.mark == "≠"]
    assert [box.text for box in marked] == ["conv2d", "Conv2d"]
    assert len({box.x for box in marked}) == 1
    assert "pt2e: " in drawn.words
    assert "conv2d (first difference)" in drawn.words


def test_no_two_boxes_of_the_drawing_lie_on_one_another() -> None:
    (ledger,) = ledgers(apart())
    assert ledger.first is not None
    drawn = neighborhood(make_diverged(diagnosis=apart()), ledger, ledger.first)

    assert drawn is not None
    places = [(box.x, box.y) for row in drawn.rows for box in row.boxes]
    assert len(places) == len(set(places))
    assert all(0 <= box.x <= drawn.width - box.width for row in drawn.rows for box in row.boxes)


def test_a_case_without_graphs_has_no_drawing() -> None:
    found = apart()
    bare = replace(found, points=(replace(found.points[0], graphs=()),))
    (ledger,) = ledgers(bare)
    assert ledger.first is not None

    assert neighborhood(make_diverged(diagnosis=bare), ledger, ledger.first) is None
    assert "at-fault" in html.tostring(facts_of(make_diverged(diagnosis=bare)), encoding="unicode")


def test_a_runtime_that_leaves_its_reference_is_drawn_beside_the_other() -> None:
    drawn = runtime_neighborhood(make_clamped())

    assert drawn is not None
    assert [row.name for row in drawn.rows] == [
        "pt2e on executorch (partitioner xnnpack)",
        "fx on native (engine qnnpack)",
    ]
    assert [box.below for row in drawn.rows for box in row.boxes if box.mark == "≠"] == ["relu"]
    assert runtime_neighborhood(make_deployed()) is None


def test_differences_of_codes_are_bars_with_words() -> None:
    row = CodeRow(
        tensor="conv",
        total=100,
        different=9,
        max_difference=12,
        histogram=(CodeBin(low=-12, high=-9, count=2), CodeBin(low=1, high=1, count=7)),
    )
    drawn = codes_plot(row)

    assert drawn is not None
    assert [(bar.label, bar.title) for bar in drawn.bars] == [("≤-9", "2 codes by -12 to -9"), ("+1", "7 codes by +1")]
    assert codes_plot(replace(row, histogram=())) is None


def test_the_page_answers_before_it_lists() -> None:
    facts = facts_of(make_diverged(diagnosis=apart()))
    headings = [text_of(item) for item in facts.xpath(".//h3")]

    assert headings[:2] == ["Why they differ", "Layer by layer, after prepare"]
    assert headings.index("Details") > headings.index("Layer by layer, after prepare")
    assert text_of(facts).startswith("First difference after prepare: conv.")


def test_causes_of_pipelines_that_agree_are_of_what_both_lose() -> None:
    lost = Cause(name="shared_loss", kind="unexplained", sentence="pt2e and fx agree, and both lose at conv")
    other = replace(lost, name="scales_differ")
    found = replace(apart(), first=None, causes=(lost,))

    assert lead(make_record(diagnosis=found)).why == "Why they lose accuracy"
    assert lead(make_record(diagnosis=replace(found, causes=(lost, other)))).why == "Why"
    assert lead(make_diverged(diagnosis=found)).why == "Why they differ"


def test_a_cause_that_nobody_declared_is_not_called_known() -> None:
    known = make_expectation("diverged")
    declared = make_diverged(expected=known, unexpected=False, unexpected_because=None, diagnosis=apart())

    assert "Known cause:" in text_of(facts_of(declared))
    undeclared = text_of(facts_of(make_diverged(diagnosis=apart())))
    assert "Cause (not declared):" in undeclared
    assert "Known cause" not in undeclared


def test_what_is_not_asked_first_is_folded() -> None:
    facts = facts_of(make_diverged(diagnosis=apart()))
    opened = [text_of(item.find("summary")) for item in facts.xpath(".//details[@open]")]
    folded = {text_of(item.find("summary")) for item in facts.xpath(".//details[not(@open)]")}

    assert [name.split()[0] for name in opened] == ["conv"]
    assert {"Parameters", "Comparisons", "Pipelines and seconds", "1 check passed", "Graphs after prepare"} <= folded


def test_failed_checks_are_open_and_said_once_for_both_pipelines() -> None:
    checks = tuple(
        CheckOutcome(name="weight_scales", pipeline=name, status="failed", message="along axis 0")
        for name in ("pt2e", "fx")
    )
    facts = facts_of(make_record(verdict="check_failed", checks=checks))
    (shown,) = facts.xpath(".//ul[@class='checks'][not(ancestor::details)]/li")

    assert text_of(shown) == "✗ failed weight_scales on pt2e and fx along axis 0"


def test_an_unexpected_case_has_its_yaml_and_its_command_at_the_beginning() -> None:
    (beginning,) = facts_of(make_diverged()).xpath(".//div[@class='lead-of-case']")

    assert "expected:\n  - cases:" in str(beginning.text_content())
    assert "Run it again:" in text_of(beginning)


def test_a_case_without_a_diagnosis_names_the_command_that_draws_its_graphs() -> None:
    assert "qatrix show --graphs" in text_of(facts_of(make_record()))


def test_numbers_and_their_units_stay_on_one_line() -> None:
    assert str(numbers("differ by 1e-05 (0.5 step), 42.2 against 41.0 dB at layer1.0.conv1 <b>")) == (
        'differ by <span class="nb">1e-05</span> (<span class="nb">0.5 step</span>), '
        '<span class="nb">42.2 against 41.0 dB</span> at layer1.0.conv1 &lt;b&gt;'
    )


@pytest.mark.parametrize("text", [HOSTILE, *HOSTILE_TEXTS.values()])
def test_hostile_names_stay_text_in_the_ledger_and_the_drawing(text: str) -> None:
    record = make_hostile(text)
    page = index_html(report_data(make_run(declared=1), [replace(record, diagnosis=hostile_diagnosis(text))]))
    tree = html.document_fromstring(page)

    assert "could not be drawn" not in page
    assert tree.xpath("//main//script | //img | //main//*[@*[starts-with(name(), 'on')]]") == []
    assert hidden_in("".join(map(str, tree.xpath("//main//text() | //main//@title | //main//@aria-label")))) == []
