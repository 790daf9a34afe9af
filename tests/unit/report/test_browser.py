"""The HTML report in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from harness.report.document import render_html
from harness.system.real_parts import real_part

HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 2'>"
FETCHED = "GET /v2/team/app/manifests/v1"


def trace(body: str) -> dict[str, Any]:
    digest = "sha256:" + "a" * 64
    asked = {"status": 200, "size": 2, "body": body, "headers": [["X-Evil", body]]}
    return {
        "ordered": True,
        "omitted": 0,
        "polls": 0,
        "events": [
            {"kind": "client", "order": 1, "ended": 3, "line": FETCHED, **asked},
            {"kind": "upstream", "order": 2, "ended": 2, "line": f"GET /v2/{'x' * 200}/{digest}"},
            {"kind": "disk", "order": 4, "ended": 4, "files": [f"+ {body}"]},
        ],
    }


def result(key: str, target: str, verdict: str, level: str, text: str = "plain") -> dict[str, Any]:
    wrong = verdict in {"deviates", "fails"}
    finding = {"side": "client", "what": "status", "expected": 200, "observed": text}
    return {
        "key": key,
        "target": target,
        "claim": f"Claim of {key} {text if text == HOSTILE else ''}",
        "level": level,
        "refs": ["d#3569", "RFC 9110, 14.2", text],
        "verdict": verdict,
        "findings": [{**finding, "holds": not wrong}],
        "problems": [text] if verdict == "fails" else [],
        "does": "answers otherwise" if verdict == "deviates" else "",
        "reference": "d#1" if verdict == "deviates" else "",
        "advice": "turn it off" if verdict == "deviates" else "",
        "reason": "",
        "conversation": text if verdict == "fails" else "",
        "excused": [],
        "seconds": 0.1,
        "earlier": [],
        "trace": trace(text),
    }


def document() -> dict[str, Any]:
    results = [
        result("blob.cold", "ours", "holds", "MUST"),
        result("blob.cold", "theirs", "deviates", "MUST"),
        result("blob.warm", "ours", "holds", "SHOULD"),
        result("blob.warm", "theirs", "holds", "SHOULD"),
        result("ttl.evil[<b>case</b>]", "ours", "fails", "INFO", HOSTILE),
        result("ttl.evil[<b>case</b>]", "theirs", "n/a", "INFO", HOSTILE),
    ]
    verdicts = ("holds", "deviates", "fails", "n/a")
    counts = {
        name: {v: sum((r["target"], r["verdict"]) == (name, v) for r in results) for v in verdicts}
        for name in ("ours", "theirs")
    }
    about = {"why": "Users wait ``long``.", "needs": [], "file": "scenarios/test_x.py", "line": 3}
    divergence = {"scenario": "blob.cold", "step": FETCHED, "number": 1}
    return {
        "schema": 3,
        "pullproof": "0.1.0",
        "generated": "2026-11-24T09:00:00Z",
        "seconds": 1.0,
        "incomplete": None,
        "rerun": ["-t", "ours", "-t", "binary:/usr/bin/the irs"],
        "targets": [
            {"name": n, "implementation": n, "version": "1", "release": "1", "known_as": n}
            | {"baseline": n == "theirs"}
            for n in counts
        ],
        "totals": counts,
        "levels": {name: {"MUST": count} for name, count in counts.items()},
        "scenarios": [
            {**about, **{name: one[name] for name in ("key", "claim", "level", "refs")}}
            for one in results
            if one["target"] == "ours"
        ],
        "results": results,
        "unequal": [HOSTILE],
        "differential": {
            "baseline": "theirs",
            "stale": [],
            "comparisons": [
                {
                    "scenario": "blob.cold",
                    "left": "ours",
                    "right": "theirs",
                    "explained": [],
                    "unexplained": [
                        {**divergence, "field": "status", "left": 200, "right": HOSTILE}
                    ],
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = real_part("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(document()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, opened. Nothing may be asked for but itself, and nothing may go wrong in it."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        yield page
        assert wrong == []
        assert {url.partition("#")[0] for url in asked} == {address}
        assert page.evaluate("window.owned") is None


def claims(page: Page) -> list[str]:
    """The keys of the rows that are shown."""
    return page.locator("#matrix tbody tr:not(.theme):visible .meta code").all_inner_texts()


def test_the_matrix_and_the_totals(page: Page) -> None:
    assert claims(page) == ["blob.cold", "blob.warm", "ttl.evil[<b>case</b>]"]
    expect(page.locator("#outcome")).to_have_text(
        "1 failed, 1 difference unexplained, 1 further finding"
    )
    expect(page.locator(".card").first).to_contain_text("2 holds")
    row = page.locator("tr", has_text="blob.cold")
    assert row.locator(".pill").all_inner_texts() == ["✓ holds", "≈ deviates"]
    expect(page.locator("#advice")).to_have_text(
        "Do not roll out before the failures of ours are understood."
    )
    expect(page.locator("#failures li")).to_contain_text(HOSTILE)
    expect(page.locator("#risks li")).to_contain_text("theirs: answers otherwise MUST")
    expect(page.locator("#risks li")).to_contain_text("affects 1 claim. turn it off")
    expect(row.locator(".differs")).to_be_visible()


@pytest.mark.parametrize(
    ("chip", "left"),
    [
        ("MUST", ["blob.cold"]),
        ("≈ deviates", ["blob.cold"]),
        ("✓ holds", ["blob.cold", "blob.warm"]),
        ("targets disagree", ["blob.cold", "ttl.evil[<b>case</b>]"]),
        ("differs from baseline", ["blob.cold"]),
    ],
)
def test_filters(page: Page, chip: str, left: list[str]) -> None:
    page.get_by_label(chip, exact=True).check()
    assert claims(page) == left
    expect(page.locator("#count")).to_have_text(f"{len(left)} of 3 claims")
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.locator("#count")).to_have_text("3 of 3 claims")


def test_filters_apply_to_the_chosen_target(page: Page) -> None:
    page.get_by_label("ours", exact=True).check()
    page.get_by_label("≈ deviates", exact=True).check()
    assert claims(page) == []
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_role("button", name="Reset the filters").click()
    expect(page.locator("#count")).to_have_text("3 of 3 claims")


def test_themes_and_search(page: Page) -> None:
    page.get_by_label("Theme").select_option("ttl")
    assert claims(page) == ["ttl.evil[<b>case</b>]"]
    page.get_by_label("Theme").select_option("")
    page.keyboard.press("/")
    page.keyboard.type("WARM d#3569")
    assert claims(page) == ["blob.warm"]
    page.keyboard.press("Escape")
    assert len(claims(page)) == 3


def test_everything_by_keyboard(page: Page, address: str) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    focused = page.locator(":focus")
    expect(focused).to_have_attribute("href", "#blob.warm")
    assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("Claim of blob.cold")
    page.keyboard.press("j")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("Claim of blob.warm")
    expect(page).to_have_url(f"{address}#blob.warm")
    page.keyboard.press("k")
    dialog.get_by_role("tab", selected=True).focus()
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("tab", selected=True)).to_contain_text("theirs")
    expect(page).to_have_url(f"{address}#blob.cold:theirs")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(":focus")).to_have_attribute("href", "#blob.cold")
    expect(page).to_have_url(address)


def test_a_scenario_opened(page: Page) -> None:
    page.locator("tr", has_text="blob.cold").locator(".pill", has_text="deviates").click()
    dialog = page.get_by_role("dialog")
    for words in (
        "Users wait long.",
        "theirs answers otherwise.",
        "turn it off",
        "The claim holds on ours.",
        "scenarios/test_x.py:3",
        "pullproof run -t ours -t 'binary:/usr/bin/the irs' -s blob.cold",
    ):
        expect(dialog).to_contain_text(words)
    issue = dialog.get_by_role("link", name="d#3569")
    expect(issue).to_have_attribute(
        "href", "https://github.com/distribution/distribution/issues/3569"
    )
    section = dialog.get_by_role("link", name="RFC 9110, 14.2")
    expect(section).to_have_attribute("href", "https://www.rfc-editor.org/rfc/rfc9110#section-14.2")
    drawn = dialog.locator("svg.diagram")
    assert drawn.locator(".lane").all_text_contents() == ["client", "proxy", "upstream", "disk"]
    # The client asks; the proxy asks upstream and is answered; so is the client; it is stored.
    kinds = drawn.locator(".arrow").evaluate_all("all => all.map(e => e.classList[1])")
    assert kinds == ["ask", "ask", "answer", "answer", "disk"]
    exchange = dialog.locator("details.exchange").first
    expect(exchange.locator("summary")).to_contain_text(FETCHED)
    expect(exchange.locator("dl")).to_be_hidden()
    exchange.locator("summary").click()
    expect(exchange.locator("dl")).to_contain_text("X-Evil")
    dialog.get_by_role("tab", name="ours").click()
    expect(dialog).to_contain_text("Compared with theirs")
    expect(dialog.locator(".differences .wrong")).to_contain_text("unexplained")


def test_a_link_opens_its_scenario(page: Page, address: str) -> None:
    key = "ttl.evil%5B%3Cb%3Ecase%3C%2Fb%3E%5D"
    page.goto(f"{address}#{key}:theirs")
    page.reload()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("ttl.evil[<b>case</b>]")
    expect(dialog.get_by_role("tab", selected=True)).to_contain_text("theirs")
    page.goto(f"{address}#no.such")
    expect(dialog).to_be_hidden()
    page.goto(f"{address}#%E0%A4%A")
    expect(page.locator("#count")).to_have_text("3 of 3 claims")


def test_hostile_text_stays_text(page: Page, address: str) -> None:
    page.goto(f"{address}#ttl.evil%5B%3Cb%3Ecase%3C%2Fb%3E%5D")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("svg.diagram")).to_be_visible()
    for place in ("h2", ".problems", "table.plain", "pre >> nth=-1", ".facts >> nth=0"):
        expect(dialog.locator(place)).to_contain_text(HOSTILE)
    for one in dialog.locator("details.exchange").all():
        one.locator("summary").click()
    expect(dialog.locator("details.exchange").first).to_contain_text(HOSTILE)
    expect(dialog.locator("details.exchange").last).to_contain_text(HOSTILE)
    expect(page.locator("#general")).to_contain_text(HOSTILE)
    assert page.locator("img, b:text('case'), script").count() == 3  # our data and our script
    assert page.locator("img").count() == 0


def test_the_content_security_policy_blocks_other_scripts(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    refused = page.evaluate(
        """async () => {
          const seen = new Promise((done) => addEventListener('securitypolicyviolation',
            (event) => done(event.effectiveDirective), { once: true }));
          const node = document.createElement('script');
          node.textContent = 'window.owned = 3';
          document.body.append(node);
          return seen;
        }"""
    )
    assert refused == "script-src-elem"
    assert page.evaluate("window.owned") is None
    page.close()


def test_light_and_dark(browser: Browser, address: str) -> None:
    shade = "getComputedStyle(document.body).backgroundColor"
    for scheme, other in (("light", "dark"), ("dark", "light")):
        with browser.new_context(color_scheme=scheme) as context:  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(address)
            own = page.evaluate(shade)
            page.get_by_role("button", name=f"Switch to {other}").click()
            assert page.evaluate(shade) != own
            page.reload()
            assert page.evaluate(shade) != own
            expect(page.get_by_role("button", name=f"Switch to {scheme}")).to_be_visible()


def test_a_phone_needs_no_horizontal_scrolling(browser: Browser, address: str) -> None:
    wide = "document.documentElement.scrollWidth"
    phone: Any = {"viewport": {"width": 360, "height": 740}, "is_mobile": True}
    # Where a thing is while it slides in says nothing.
    with browser.new_context(**phone, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(address)
        assert page.evaluate(wide) == 360
        for key in ("blob.cold", "ttl.evil%5B%3Cb%3Ecase%3C%2Fb%3E%5D"):
            page.goto(f"{address}#{key}")
            expect(page.locator("svg.diagram")).to_be_visible()
            assert page.evaluate(wide) == 360
            assert page.locator("dialog").evaluate("e => e.scrollWidth") <= 360
            # No label of the diagram is cut off.
            words = page.locator("svg.diagram text")
            right = "all => Math.max(...all.map(e => e.getBoundingClientRect().right))"
            assert words.evaluate_all(right) <= 344


@pytest.mark.parametrize("ends_early", [False, True])
def test_flaky_and_incomplete_results_are_marked(
    ends_early: bool, browser: Browser, tmp_path: Path
) -> None:
    made = document() | {"unequal": [], "differential": None}
    made["results"] = [{**one, "verdict": "holds", "earlier": []} for one in made["results"]]
    made["results"][0]["earlier"] = ["client: status: expected 200, but saw 500"]
    if ends_early:
        made["incomplete"] = {"done": 6, "planned": 9}
    path = tmp_path / "page.html"
    path.write_text(render_html(made))
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(path.as_uri())
    outcome = "INCOMPLETE 6/9, 1 FLAKY" if ends_early else "All as expected, 1 FLAKY"
    expect(page.locator("#outcome")).to_have_text(outcome)
    expect(page.locator("#matrix .flaky")).to_have_count(1)
    expect(page.locator("#failures")).to_be_hidden()
    page.goto(f"{path.as_uri()}#blob.cold")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".outcome")).to_contain_text("Flaky: it failed before")
    expect(dialog.locator(".outcome")).to_contain_text("expected 200, but saw 500")
    side = dialog.locator(".findings td").first
    assert side.evaluate("e => e.clientHeight") < 45  # one line: the columns do not break
    page.close()


def test_a_report_without_traces(browser: Browser, tmp_path: Path) -> None:
    made = document()
    made["results"] = [{**one, "trace": None} for one in made["results"]]
    path = tmp_path / "page.html"
    path.write_text(render_html(made))
    page = browser.new_page()
    page.goto(f"{path.as_uri()}#blob.cold")
    expect(page.get_by_role("dialog")).to_contain_text("made without requests and answers")
    page.close()


def test_the_data_cannot_end_their_element() -> None:
    text = render_html(document())
    assert text.count("</script>") == 3
    assert HOSTILE not in text
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["unequal"] == [HOSTILE]
