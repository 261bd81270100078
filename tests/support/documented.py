"""What runs each line and each snippet of the documentation that tests/documented does not run, or why nothing does."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import yaml

from support.pages import ROOT, SNIPPETS

_INSTALLS: Final = "it installs from a package index, which needs a network; CI does so before everything else"
_HOURS: Final = "it takes minutes to hours; tests/test_docs_commands.py checks its environment and its arguments"
_OTHER_TORCH: Final = "it installs another torch from a package index; .ci/run does so with torch 2.5"
_PHONE: Final = "it needs a phone"
_DOCKER: Final = "it needs Docker; tests/test_packaging.py runs what the image is made of"
_WHEEL: Final = "it installs into this environment; tests/test_examples.py builds this wheel and runs what it holds"
_TESTS: Final = "it runs tests, which a test should not; tests/test_docs_commands.py checks that they are there"

# Lines that neither a test nor CI runs, and why.
ELSEWHERE: Final = {
    "adb push executor_runner model.pte input0.bin /data/local/tmp": _PHONE,
    'adb shell "cd /data/local/tmp && ./executor_runner --model_path model.pte --inputs input0.bin '
    '--output_file output"': _PHONE,
    "adb pull /data/local/tmp/output-0.bin": _PHONE,
    "docker build --tag qatrix .": _DOCKER,
    'docker run --rm --user "$(id -u)" --volume "$PWD:/work" qatrix run --only dim=2': _DOCKER,
    "pip install examples/quantizer-package": _WHEEL,
    "pip install examples/pipeline-package": _WHEEL,
    "pip install examples/runtime-package": _WHEEL,
    'pip install "qatrix[pytest]"': _INSTALLS,
    "pip install qatrix": _INSTALLS,
    "pip install path/to/this/folder": _INSTALLS,
    "python docs/screenshots.py reports/matrix-torch215/latest reports/matrix-torch213/latest": (
        "it needs Chromium and the whole runs of two releases of torch; tests/test_docs_commands.py finds the script"
    ),
    "ray start --head && qatrix run --engine ray --address auto": (
        "it starts a cluster that stays; tests/test_examples.py runs cases on a cluster that ends"
    ),
    "tox -e bench": _HOURS,
    "tox -e bench -- --quick": _HOURS,
    "tox -e bench -- --only case --only million": _HOURS,
    "tox -e docs -- serve": "it serves until it is interrupted; tests/browser/test_site.py builds the site",
    "tox -e examples": _INSTALLS,
    "tox -e fuzz": _HOURS,
    "tox -e fuzz -- --mutants 5000 --fuzz-seed 7": _HOURS,
    "tox -e matrix-python": "it needs a second Python with wheels of torch",
    "tox -e matrix-torch29": _OTHER_TORCH,
    "tox -e matrix-torch29 -- --case 'two_pt2e*'": _OTHER_TORCH,
    "tox -e mutants": _HOURS,
    "tox -e mutants -- --jobs 2 --write": _HOURS,
    "tox -e mutants -- --sample 100 --seed 7": _HOURS,
    "tox -e mutants -- --kind relu_lost --model dropped": _HOURS,
    "tox -e quick": _TESTS,
    "tox -e tests -- tests/judge -n 0": _TESTS,
    "tox -e tests -- tests/test_contradictions.py -n 0 --results reports/latest": _TESTS,
    "tox -m releases": _OTHER_TORCH,
}

_TUTORIAL: Final = "tests/test_tutorials.py::test_your_quantizer_diverges_first_and_is_exact_once_it_is_fixed"
_MODEL: Final = "tests/test_packaging.py::test_the_page_for_a_model_of_ones_own_leads_from_an_empty_folder_to_a_verdict"
# Lines that other tests run as they stand, and which.
LINES_TESTED: Final = {
    'sqlite3 reports/latest/run.sqlite "SELECT verdict, count(*) FROM cases GROUP BY verdict"': (
        "tests/test_docs_commands.py::test_a_question_to_the_store_has_an_answer"
    ),
    "PYTHONPATH=. qatrix run mine.yaml --allow-module my_quantizer": _TUTORIAL,
    "qatrix try my_package:build --weights weights.pt --calibrate data/": _MODEL,
    "qatrix try my_package:build --weights weights.pt --calibrate data/ --save mine.yaml": _MODEL,
}

_LIVE: Final = "tests/testing/test_live.py::test_the_test_that_the_page_shows_passes"
_DEVICE: Final = "tests/test_runtime_pages.py::test_the_outputs_of_a_device_come_in_by_the_steps_of_the_page"
_ADDED: Final = "tests/test_runtime_pages.py::test_the_lines_that_are_added_to_the_script_name_what_it_defines"
_ACTION: Final = "tests/test_action.py::test_the_examples_of_the_page_give_commands"
_SHARDS: Final = "tests/test_ci_page.py::test_the_commands_make_one_report_of_eight_shards"
_CLASS: Final = "tests/test_examples.py::test_the_page_shows_the_class_as_it_is"
_PIPELINE: Final = "tests/test_examples.py::test_the_page_shows_the_pipeline_as_it_is"
_RUNTIME: Final = "tests/test_examples.py::test_the_page_shows_the_runtime_as_it_is"
# Snippets by their names, and the tests that run them, or compare them with files that tests run.
SNIPPETS_TESTED: Final = {
    "CONTRIBUTING.md: plain 1": "tests/declare/test_load.py::test_every_fault_has_its_message",
    "docs/ci.md: yml 1": _SHARDS,
    "docs/ci.md: yml 2": _SHARDS,
    "docs/ci.md: yml 3": _ACTION,
    "docs/ci.md: yml 4": _ACTION,
    "docs/ci.md: yml 5": "tests/test_action.py::test_the_page_shows_the_hook_by_its_name",
    "docs/extending.md: python 1": _CLASS,
    "docs/extending.md: python 2": _PIPELINE,
    "docs/extending.md: python 3": _RUNTIME,
    "docs/extending.md: toml 1": _CLASS,
    "docs/extending.md: toml 2": _PIPELINE,
    "docs/extending.md: toml 3": _RUNTIME,
    "docs/extending.md: toml 4": _PIPELINE,
    "docs/pytest.md: python 1": _LIVE,
    "docs/pytest.md: text 1": "tests/pytest_plugin/test_sessions.py::test_the_page_names_cases_that_are_declared",
    "docs/reference.md: python 1": _ADDED,
    "docs/reference.md: python 2": _DEVICE,
    "docs/report.md: text 1": "tests/cli/test_baselines.py::test_a_run_says_what_changed_since_the_one_before",
    "docs/runtimes.md: text 1": (
        "tests/judge/lowering/test_real_departures.py::test_the_script_for_the_saturation_shows_it"
    ),
    "docs/runtimes.md: text 2": "tests/judge/lowering/test_real_departures.py::test_the_script_for_the_clamp_shows_it",
    "docs/torchao.md: text 2": "tests/cli/test_against.py::test_equal_code_runs_nothing",
    "docs/torchao.md: text 3": (
        "tests/cli/test_against.py::test_a_changed_package_whose_code_no_case_loads_runs_nothing"
    ),
    "docs/your-model.md: python 1": _MODEL,
    "docs/your-model.md: python 2": _MODEL,
    "docs/your-model.md: text 1": _MODEL,
    "docs/your-quantizer.md: python 1": _TUTORIAL,
    "docs/your-quantizer.md: python 2": _TUTORIAL,
    "docs/your-quantizer.md: text 1": _TUTORIAL,
    "docs/your-quantizer.md: yaml 1": _TUTORIAL,
}

# How lines begin that tests/documented runs with torch, because they look at its pipelines, or at packages beside it.
WITH_TORCH: Final = ("git ", "pytest ", "qatrix against ", "qatrix doctor", "qatrix freeze ")
# What a page shows beneath a line: the snippet, and the words in it that no figure and no case changes.
SHOWN: Final = {
    "qatrix compare torch25/latest torch29/latest torch215/latest --out reports/releases": (
        "docs/compare.md: text 1",
        ("torch 2.5.1 → torch 2.", " → torch 2.15.0: ", " cases: ", " the same\n", "device=cpu: exact → diverged"),
    ),
    "qatrix against --base ../ao-base --head ../ao --case 'conv_bn_fusion/*'": (
        "docs/torchao.md: text 1",
        (
            "changed in the head: torchao/quantization/pt2e/qat_utils.py\n",
            "base → head: ",
            " cases: ",
            " newly unexpected\n  ! conv_bn_fusion/",
            "device=cpu: exact → diverged (unexpected)\n",
            "\n\nreports/against/compare.html\n",
        ),
    ),
    "qatrix repro 'conv_transpose_numerics/conv_bn/*dim=1*per_channel*'": (
        "docs/repro.md: text 1",
        (
            "# What is wrong: ",
            "\n#\n# case      conv_transpose_numerics/conv",
            "\n# command   qatrix repro 'conv_transpose_numerics/conv",
            "\n# versions  torch 2.15.0, torchao 0.18.0",
            "\n# checked   it was run, and printed the lines below\n#\n# It prints\n#     after ",
            ": max abs difference 0.",
            " values out of tolerance\n",
            "\n#     pt2e: ",
            "\n#     fx: SQNR ",
        ),
    ),
    "qatrix watch": (
        "docs/watch.md: text 1",
        (
            "\n[1/1] ",
            "1 case ran, ",
            " not again: 1 ",
            "\nreport: reports/latest/index.html\n",
        ),
    ),
}


def unlike_the_page(line: str, printed: str) -> list[str]:
    """The words beneath a line that are not printed, or that the page does not show; none for a line without output."""
    name, words = SHOWN.get(line, (None, ()))
    pages = [snippet.text for snippet in SNIPPETS if snippet.name == name]
    return [word for word in words if not all(word in text for text in (printed, *pages))]


def needs_torch(line: str) -> bool:
    """Whether tests/documented runs the line with torch."""
    return line.startswith(WITH_TORCH)


def goes_on(line: str) -> bool:
    """Whether the line goes on until it is interrupted."""
    return line.startswith("qatrix watch")


@cache
def in_ci() -> frozenset[str]:
    """The lines that the gate and the workflow of the site run; the gate's in an environment of its own."""
    gate = (ROOT / ".ci/run").read_text(encoding="utf-8")
    own = [re.sub(r'^"\$environment/bin/(\w+)"', r"\1", line).replace(" --quiet", "") for line in gate.splitlines()]
    workflow = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8"))
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    return frozenset({*own, *steps})


def runs_in_ci(line: str) -> bool:
    """Whether the gate or the workflow runs each command of the line."""
    return in_ci().issuperset(line.split(" && "))


def typed_here(line: str) -> bool:
    """Whether tests/documented types the line with pipelines that do nothing: all else about qatrix is."""
    claimed = line in ELSEWHERE or line in LINES_TESTED or runs_in_ci(line)
    return not claimed and not needs_torch(line) and not goes_on(line)
