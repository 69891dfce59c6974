"""What a browser gets at `docs`: a page that is complete in itself, needs no key, and shows nothing without one."""

import base64
import hashlib
import re

import pytest

from tests.integration.predictor_fixture import make_bundle, record, run, serving
from tests.toy import workload

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return {1: make_bundle(tmp_path_factory.mktemp("docs"), "tests.toy", seed=1)}


def asked(bundles, home, *, role, **headers):
    answers = []

    async def scenario():
        async with serving(workload, home, record(bundles)) as served, served.client(role, **headers) as client:
            answers.append(await client.get("/docs"))

    run(scenario)
    return answers[0]


def test_a_browser_gets_the_page_without_a_key(bundles, tmp_path):
    page = asked(bundles, tmp_path, role=None, Accept=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert workload.name not in page.text
    assert not any(column.name in page.text for column in workload.columns)


def test_a_program_gets_the_document_and_needs_a_key(bundles, tmp_path):
    assert asked(bundles, tmp_path, role="viewer", Accept="application/json").json()["openapi"] == "3.1.0"
    assert asked(bundles, tmp_path, role=None, Accept="*/*").status_code == 401


def test_the_page_loads_nothing_and_runs_only_its_own_script(bundles, tmp_path):
    page = asked(bundles, tmp_path, role=None, Accept=BROWSER)
    assert re.findall(r"""(?:src|href)\s*=|@import|url\(|https?://""", page.text) == []
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    policy = page.headers["content-security-policy"]
    for kind, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")


def test_the_page_never_makes_markup_of_text(bundles, tmp_path):
    page = asked(bundles, tmp_path, role=None, Accept=BROWSER)
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage", page.text) == []
