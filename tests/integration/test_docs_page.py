"""What a browser gets at `docs`: a page that is complete in itself, needs no key, and shows nothing without one."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.predictor_fixture import make_bundle, record, run, serving
from tests.toy import workload

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SCRIPT = Path(__file__).parents[2] / "serve_apps" / "protocols" / "docs_page" / "page.js"


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


@pytest.mark.skipif(shutil.which("node") is None, reason="what the page sends is told by running its script")
def test_what_is_tried_is_sent_where_the_document_says(bundles, tmp_path):
    document = asked(bundles, tmp_path, role="viewer", Accept="application/json").json()
    comparison = document["paths"]["/v1/comparison"]["get"]
    filled_in = {"version": "2", "since": "2024-01-01T00:00:00+01:00"}
    url, headers = sent("/v1/comparison", comparison["parameters"], filled_in)
    assert url == "/toy/v1/comparison?version=2&since=2024-01-01T00%3A00%3A00%2B01%3A00"
    assert headers == {"Authorization": "Bearer hel_x"}
    (named,) = document["paths"]["/v1/predictions/{id}"]["get"]["parameters"]
    assert sent("/v1/predictions/{id}", [named], {"id": "a/b"})[0] == "/toy/v1/predictions/a%2Fb"


@pytest.mark.skipif(shutil.which("node") is None, reason="the example is made by the page's script")
def test_an_example_has_as_many_items_as_its_schema_asks_for():
    schema = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
    assert told(f"exampleOf({json.dumps(schema)}, {{}})") == [1, 1, 1]


def sent(path, parameters, value_by_name):
    """Address and headers that the page asks with when these fields are filled in."""
    inputs = [[each, {"value": value_by_name.get(each["name"], "")}] for each in parameters]
    api = {"servers": [{"url": "/toy"}]}
    found = told(f'requestOf("GET", {json.dumps(path)}, {json.dumps(inputs)}, null, {json.dumps(api)})')
    return found["url"], found["options"]["headers"]


def told(expression):
    """What an expression is worth inside the page's script."""
    field = '{ addEventListener() {}, value: "hel_x" }'
    around = f"globalThis.document = {{ getElementById: () => ({field}) }};"
    script = f"{around}\n{SCRIPT.read_text()}\nconsole.log(JSON.stringify({expression}));"
    ran = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(ran.stdout)
