"""Runs to report, as data."""

from __future__ import annotations

import pytest

from qatrix.report.frames import ReportData, report_data
from support.demo_run import demo_records
from support.lowerings import deployed_records, make_hostile_runtime
from support.records import make_dropped, make_hostile, make_record, make_run, make_skipped

_RECORDS = {
    "demo": demo_records(),
    "none": [],
    "only skipped": [make_skipped()],
    "hostile": [make_hostile(), make_record()],
    "deployed": deployed_records(),
    "hostile runtime": [make_hostile_runtime(), make_hostile_runtime("b")],
}


@pytest.fixture(params=_RECORDS)
def any_data(request: pytest.FixtureRequest) -> ReportData:
    """A usual run, and the unusual ones that every renderer must stand."""
    records = _RECORDS[request.param]
    run = make_run(declared=len(records), dropped=(make_dropped(),), warnings=("<b>stale</b> exclude",))
    return report_data(run, records)


@pytest.fixture
def demo() -> ReportData:
    """A usual run."""
    return report_data(make_run(declared=len(demo_records())), demo_records())


@pytest.fixture
def interrupted() -> ReportData:
    """A run of three cases of which one has finished and one had started."""
    run = make_run(declared=3, finished=False)
    return report_data(run, [make_record("s/a")], unfinished=("s/b", "s/c"), in_flight=("s/b",))
