"""Hostile texts in every output of a run: each stays text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from lxml import etree, html

from qatrix.outcomes import Dropped, Record
from qatrix.report.annotations import annotation_lines
from qatrix.report.changes import Move, Since
from qatrix.report.findings import findings, findings_page
from qatrix.report.findings.data import FindingsRun
from qatrix.report.frames import ReportData, report_data
from qatrix.report.html import index_html
from qatrix.report.junit import junit_xml
from qatrix.report.markdown import summary_md
from qatrix.report.past import EarlierRun, Past
from qatrix.report.repro import issue_md
from qatrix.report.store import Visit
from qatrix.report.tables import results_csv, results_json
from support.hostile import HOSTILE_TEXTS, commands_in, hidden_in
from support.records import ENVIRONMENT, make_dropped, make_expectation, make_failed, make_hostile, make_run

pytestmark = pytest.mark.slow

KNOWN = "https://example.org/known/fx-conv-transpose"
# Code is on one line, and an escaped backtick begins none.
_CODE = re.compile(r"(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)")
_FENCE = re.compile(r"(?ms)^(`{3,})\w*\n.*?\n\1$")
# What GitHub makes a link or a notification of, and markup that is not ours.
_LIVE = re.compile(r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|://|\bwww\.|<(?!/?(?:details|summary)>|https?:)")


def texts_of(record: Record) -> ReportData:
    """A run in which the texts of a hostile record stand in every other place, too."""
    text = record.summary
    known = make_failed("s/known", expected=make_expectation(because=text, title=text))
    dropped: tuple[Dropped, ...] = (make_dropped(because=text),)
    environment = replace(ENVIRONMENT, platform=text, processor=text, devices={"cpu": text}, packages={"torch": text})
    run = make_run(declared=2, warnings=(text,), command=("qatrix", text), environment=environment, dropped=dropped)
    move = Move(case_id=text, kind="unexpected", before="exact", after="failed", says=(text,))
    since = Since(
        run=text, started=text, folder=text, environment=(text,), counts={"unexpected": 1, text: 2}, moves=(move,)
    )
    visit = Visit(verdict="exact", unexpected=True, seconds=1.0, reused=True, sqnr_db={text: 1.0})
    earlier = EarlierRun(run=replace(run, id=text, started=text), page=None, visits={record.case_id: visit})
    return replace(report_data(run, [record, known], unfinished=(text,), since=since), past=Past(runs=(earlier,)))


def issue(data: ReportData) -> str:
    return issue_md(
        "print('it')\n",
        record=data.records[0],
        environment=data.run.environment,
        command=("qatrix", "run", data.run.id, data.records[0].summary),
    )


def page_of_findings(data: ReportData) -> str:
    return findings_page(findings([FindingsRun(run=data.run, records=data.records, scripts={})])).text


@pytest.fixture(params=list(HOSTILE_TEXTS.values()), ids=list(HOSTILE_TEXTS))
def data(request: pytest.FixtureRequest) -> ReportData:
    return texts_of(make_hostile(request.param))


OUTPUTS: dict[str, Callable[[ReportData], str]] = {
    "results.csv": results_csv,
    "junit.xml": junit_xml,
    "summary.md": summary_md,
    "issue.md": issue,
    "findings.md": page_of_findings,
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_nothing_is_hidden_and_no_log_is_commanded(data: ReportData, name: str) -> None:
    output = OUTPUTS[name](data)

    assert hidden_in(output) == []
    assert commands_in(output) == []


@pytest.mark.parametrize("name", ["summary.md", "issue.md", "findings.md"])
def test_markdown_mentions_nobody_and_leads_nowhere(data: ReportData, name: str) -> None:
    # A space of no width, written as an entity, is what parts signs from what they would lead to.
    output = OUTPUTS[name](data).replace("&#8203;", "\u200b").replace(KNOWN, "")
    # Links of ours lead to anchors of ours.
    anchored = re.sub(r'^<a id="cause-[A-Za-z0-9_-]+"></a>$', "", output, flags=re.MULTILINE)
    prose = re.sub(r"\]\(#cause-[A-Za-z0-9_-]+\)", "", _CODE.sub("", _FENCE.sub("", anchored)))

    assert _LIVE.findall(prose.replace("<>", "")) == []


def test_the_json_commands_no_log(data: ReportData) -> None:
    assert commands_in(results_json(data)) == []


def test_no_cell_is_a_formula(data: ReportData) -> None:
    csv.field_size_limit(10**6)
    rows = list(csv.reader(io.StringIO(results_csv(data))))

    assert len({len(row) for row in rows}) == 1
    assert len(rows) == 1 + len(data.records)
    assert [cell for row in rows for cell in row if cell.lstrip().startswith(tuple("=+@＝＋－＠"))] == []
    assert [cell for row in rows for cell in row if cell.startswith("-") and not is_number(cell)] == []


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_the_xml_is_whole_and_has_the_texts(data: ReportData) -> None:
    tree = etree.fromstring(junit_xml(data).encode(), etree.XMLParser(huge_tree=True))

    assert len(tree.findall(".//testcase")) == 3


def test_the_page_has_no_element_that_is_not_ours(data: ReportData) -> None:
    page = index_html(data)
    tree = html.fromstring(page)

    assert tree.xpath("//img | //*[@onerror]") == []
    assert hidden_in(re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", page)) == []


def test_an_annotation_is_one_line(data: ReportData) -> None:
    for line in annotation_lines(data.records):
        assert len(line.splitlines()) == 1
        assert hidden_in(line) == []
        assert line.count("::") >= 2
        assert not re.search(r"[\r\n]", line)
