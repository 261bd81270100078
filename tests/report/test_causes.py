"""The causes of a run: which cases share one, and what it is called."""

from __future__ import annotations

from qatrix.report.causes import cause_key, cause_name, grouped
from support.records import make_expectation, make_failed, make_record


def test_cases_whose_expectations_name_one_cause_share_its_key() -> None:
    first = make_failed("s/a", expected=make_expectation(because="said one way", cause="fx_no_transposed"))
    second = make_failed("s/b", expected=make_expectation(because="said otherwise", cause="fx_no_transposed"))
    assert list(grouped([first, second])) == ["fx_no_transposed"]


def test_cases_whose_expectations_have_no_key_share_a_cause_where_they_share_the_reason() -> None:
    first = make_failed("s/a", expected=make_expectation(because="one reason", title=None))
    second = make_failed("s/b", expected=make_expectation(because="one reason", title="The reason in short"))
    third = make_failed("s/c", expected=make_expectation(because="another reason"))
    (key, records), _ = grouped([first, second, third]).items()
    assert [record.case_id for record in records] == ["s/a", "s/b"]
    assert cause_name(key, records).title == "The reason in short"


def test_a_case_that_agrees_has_no_cause() -> None:
    assert cause_key(make_record()) is None


def test_a_long_reason_has_a_short_key_that_no_other_reason_has() -> None:
    start = "the same words at the beginning of two reasons, and then " * 3
    first, second = (make_failed(expected=make_expectation(because=f"{start}{end}")) for end in ("this", "that"))
    keys = {cause_key(first), cause_key(second)}
    assert len(keys) == 2
    assert all(key is not None and len(key) < 60 for key in keys)


def test_an_unexpected_failure_is_called_what_happens() -> None:
    record = make_failed(expected=None, unexpected=True)
    name = cause_name(str(cause_key(record)), [record])
    assert (name.title, name.declared) == ("Fx failed at prepare (NotImplementedError)", False)
