"""The report's page in a real browser: waits on a time axis, labels that can be read, nothing from elsewhere."""

import json
from pathlib import Path

import pytest
from rootlet.advisor import cases, page, report
from rootlet.advisor.runner import CaseResult
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connack, Connect, Publish
from support.browser import CHROMIUM, Browser

WAITS = (1.3, 2.9, 6.6, 3.8, 19.0, 40.0)

LABELS = """
JSON.stringify([...document.querySelectorAll('svg text')].filter(t => !t.querySelector('tspan')).map(t => {
  const b = t.getBBox(); return [t.textContent, b.x, b.y, b.width, b.height] }))
"""
MARKS = """
JSON.stringify([...document.querySelectorAll('svg circle')].map(c => [c.cx.baseVal.value, c.cy.baseVal.value]))
"""


SMALL = """
JSON.stringify([...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(
  n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length).map(e => {
    const svg = e.closest('svg');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    return [e.textContent.trim().slice(0, 40), scale * parseFloat(getComputedStyle(e).fontSize)] }
  ).filter(([_, size]) => size < 11))
"""
LEAVES = """
JSON.stringify([...document.querySelectorAll('body *')].filter(e => !e.closest('.picture') && e.getClientRects().length)
  .filter(e => { const b = e.getBoundingClientRect(); return b.right > innerWidth || e.scrollWidth > e.clientWidth + 1 &&
    getComputedStyle(e).display !== 'inline' }).map(e => e.tagName + ' ' + e.textContent.slice(0, 40)))
"""


@pytest.fixture
def html(tmp_path: Path) -> Path:
    now = 0.0
    timeline = Timeline(lambda: now, 10)
    for number, wait in enumerate((*WAITS, 0.0), 1):
        timeline.add("tcp", number)
        timeline.add("in", number, packet=Connect("<b>device</b>"))
        timeline.add("out", number, packet=Connack())
        now += 0.2
        timeline.add("in", number, packet=Publish("a/b", b"x", 1, number))
        now += 1
        timeline.add("closed", number, "reset", by="server")
        now += wait
    case = cases.catalogue()["MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect"]
    outcome = CaseResult(
        case, case.grade(timeline), timeline.events, 0, 10, 1.0, ["<script>document.title = 'run'</script>"]
    )
    path = tmp_path / "report.html"
    path.write_text(page.render(report.facts([outcome], "a device", 10, 0)))
    return path


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: nothing was shown about the page")
def test_waits_are_drawn_and_every_label_can_be_read(html: Path) -> None:
    with Browser(1200, 900) as browser:
        browser.open(html.as_uri())
        labels = json.loads(browser.evaluate(LABELS))
        marks = json.loads(browser.evaluate(MARKS))
        left, _, width, _ = browser.evaluate("document.querySelector('svg').getAttribute('viewBox')").split()
        loaded = browser.evaluate("performance.getEntriesByType('resource').length")
        title = browser.evaluate("document.title")
    texts = [text for text, *_ in labels]
    assert [text for text in texts if text in {f"{wait:.1f}" for wait in WAITS}] == ["2.9", "6.6", "3.8", "19.0", "40.0"]
    assert {"Connect", "Connack"} <= set(texts)
    for text, x, y, wide, high in labels:
        assert float(left) <= x and x + wide <= float(width), f"{text} leaves the picture"
        others = [other for other in labels if other != [text, x, y, wide, high] and abs(other[2] - y) < high / 2]
        assert not [other for other in others if x < other[1] + other[3] and other[1] < x + wide], f"{text} is overprinted"
        assert not [mark for mark in marks if y < mark[1] < y + high and x + 1 < mark[0] < x + wide - 1], f"a mark on {text}"
    assert loaded == 0
    assert title.startswith("rootlet advisor")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: nothing was shown about the page")
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_can_be_read_on_a_telephone(html: Path, width: int) -> None:
    """Nothing but the pictures is wider than the screen; these scroll by themselves, and keep the size of their labels."""
    with Browser(width, 844) as browser:
        browser.open(html.as_uri())
        browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert json.loads(browser.evaluate(LEAVES)) == []
        assert json.loads(browser.evaluate(SMALL)) == []
        assert browser.evaluate("document.querySelector('td.evidence').clientWidth") > 300
        picture = "document.querySelector('.picture')"
        assert browser.evaluate(f"{picture}.scrollWidth > {picture}.clientWidth") is (width == 390)
        browser.evaluate(f"{picture}.scrollLeft = 9999")
        assert browser.evaluate(f"{picture}.scrollLeft > 0") is (width == 390)
