"""The page of a report in a real browser: what people do with it, and what a hostile repository
cannot do with it."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Project, seal
from gitexp.formats import settings
from gitexp.repo import Repo
from gitexp.report import data, page
from gitexp.store import notes
from gitexp.store.index import Index
from recording import record

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("jinja2", reason="needs gitexp[report]")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]
ATTACK = "</script><script>window.attacked=1</script><img src=http://evil.example/x onerror=window.attacked=2>"
BIDI = "safe\u202egnp.exe"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(autouse=True)
def closed(browser: Any) -> Iterator[None]:
    """Close the pages of each test, which would go on beside the next."""
    yield
    for context in browser.contexts:
        context.close()


class Page:
    """A report that is open in the browser, with what it asked the network for and what it
    complained about."""

    def __init__(self, browser: Any, path: Path, address: str = "", **options: Any) -> None:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        self.tab = context.new_page()
        self.requests: list[str] = []
        self.refused: list[str] = []
        self.complaints: list[str] = []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on(
            "requestfailed",
            lambda request: self.refused.extend([request.url] * (request.failure == "csp")),
        )
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on(
            "console", lambda said: self.complaints.extend([said.text] * (said.type == "error"))
        )
        self.url = path.as_uri()
        self.tab.goto(f"{self.url}{address}")
        self.tab.wait_for_selector("#view > *")

    def names(self) -> list[str]:
        """Return the names in the table, from the top."""
        found: list[str] = self.tab.eval_on_selector_all(
            "tr[data-name]", "rows => rows.map(row => row.dataset.name)"
        )
        return found

    def wait(self, script: str) -> None:
        self.tab.wait_for_function(script)


def written(project: Project, start: str = "") -> Path:
    repo = Repo.discover(project.root)
    path = project.root.parent / "report.html"
    path.write_text(
        page.render(
            data.collect(repo, settings.load(repo.root), Index(repo).select(), start=start)
        ),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A report of six experiments that differ in code, params, a notebook, a table, a picture and
    curves; their repository lies beside it, and whoever writes there takes a copy."""
    project = Project(tmp_path_factory.mktemp("six") / "project")
    project.root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        seal(tmp_path_factory.mktemp("home"), patch)
        yield _six(project)


def _six(project: Project) -> Path:
    project.git("init", "-q")
    project.git("remote", "add", "origin", "git@github.com:ada/house.git")
    for at in range(1, 7):
        cells = [
            {"cell_type": "code", "source": f"x = {at}", "outputs": [{"text": f"{at}"}]},
            {"cell_type": "markdown", "source": "same"},
        ]
        project.write("look.ipynb", json.dumps({"cells": cells}))
        project.write("train.py", f"import math\n\ndef rate():\n    return {at}\n")
        project.write("scores.csv", f"name,score\nann,{at}\nbob,7\n")
        project.write(
            "plot.svg", f'<svg xmlns="http://www.w3.org/2000/svg" width="{at}0" height="10"/>'
        )
        record(
            project, {"lr": at / 10, "opt": "adam" if at % 2 else "sgd", "seed": 1},
            {"loss": [1.0, 0.8, at / 10], "rmse": 20 - at},
            labels=("good",) if at > 4 else ("hidden",) if at == 1 else (),
            extra={"artifacts": ["plot.svg"]},
            requirements=f"# Python 3.11.7 (CPython)\nnumpy==1.2{at}.0\n",
        )  # fmt: skip
    return written(project)


def test_the_table_filters_by_search_column_and_label(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    # exp-1 is hidden until asked for
    assert opened.names() == ["exp-6", "exp-5", "exp-4", "exp-3", "exp-2"]
    opened.tab.fill("#search", "lr>0.3 -exp-4")
    assert opened.names() == ["exp-6", "exp-5"]
    opened.tab.fill("#search", "")
    opened.tab.fill('input[data-key="m.rmse"]', "15..17")
    assert opened.names() == ["exp-5", "exp-4", "exp-3"]
    opened.tab.fill('input[data-key="p.opt"]', "=adam|none")
    assert opened.names() == ["exp-5", "exp-3"]
    opened.tab.click("#clear")
    opened.tab.click("#labels >> text=good")
    assert opened.names() == ["exp-6", "exp-5"]
    opened.tab.click("#labels >> text=good")
    assert opened.names() == ["exp-4", "exp-3", "exp-2"]
    opened.tab.click("#clear")
    opened.tab.click("text=1 hidden")
    assert len(opened.names()) == 6
    assert not opened.complaints


def test_the_table_sorts_with_the_best_first_and_marks_it(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    head = 'th[data-key="m.rmse"]'
    opened.tab.click(f"{head} button")
    assert opened.names()[0] == "exp-6"
    assert opened.tab.get_attribute(head, "aria-sort") == "ascending"
    assert "best" in opened.tab.get_attribute('tr[data-name="exp-6"] td:has-text("14")', "class")
    opened.tab.click(f"{head} button")
    assert opened.names()[0] == "exp-2"


def test_columns_are_shown_hidden_and_moved(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    heads = "cells => cells.map(cell => cell.dataset.key)"
    keys = opened.tab.eval_on_selector_all("th[data-key]", heads)
    assert "p.seed" not in keys  # it is the same everywhere
    opened.tab.click("#columns")
    opened.tab.click('dialog li[data-key="p.seed"] input')
    opened.tab.click('dialog li[data-key="p.opt"] button >> nth=0')
    opened.tab.click("dialog >> text=Done")
    keys = opened.tab.eval_on_selector_all("th[data-key]", heads)
    assert keys[-1] == "p.seed"
    assert keys.index("p.opt") < keys.index("p.lr")
    opened.tab.drag_and_drop('th[data-key="m.rmse"]', 'th[data-key="p.opt"]')
    keys = opened.tab.eval_on_selector_all("th[data-key]", heads)
    assert keys.index("m.rmse") == keys.index("p.opt") - 1


def test_a_table_with_more_rows_than_are_shown_says_so(browser: Any, project: Project) -> None:
    for rows in (0, 600):
        project.write("scores.csv", "name,score\n" + "ann,1\n" * rows)
        record(project, {"rows": rows})
    opened = Page(browser, written(project), "#view=diff")
    opened.tab.wait_for_selector('details[data-path="scores.csv"]')
    told = opened.tab.text_content('details[data-path="scores.csv"]')
    assert "+600" in told
    assert "The first 500 rows" in told


def test_metrics_come_first_and_the_best_is_marked(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    heads = "cells => cells.map(cell => cell.dataset.key)"
    keys = opened.tab.eval_on_selector_all("th[data-key]", heads)
    assert keys[:6] == ["name", "status", "m.loss", "m.rmse", "p.lr", "p.opt"]
    opened.tab.wait_for_selector('tr[data-name="exp-5"] svg.spark')
    opened.tab.set_viewport_size({"width": 700, "height": 600})  # where columns become narrow
    cut = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth).length"
    assert opened.tab.eval_on_selector_all("tbody td.number", cut) == 0
    phone = Page(browser, six, viewport={"width": 390, "height": 700})
    narrow = phone.tab.eval_on_selector_all("th[data-key]", heads)
    assert narrow == ["name", "status", "m.loss", "p.lr", "p.opt"]


def test_a_series_minimum_a_baseline_and_groups_have_an_address(browser: Any, six: Path) -> None:
    opened = Page(browser, six, "#view=table&agg=max&base=exp-2")
    row = 'tr[data-name="exp-6"]'
    opened.tab.wait_for_selector(f"{row} svg.spark")
    assert "14-4 (-22.2%)" in opened.tab.text_content(row)
    opened.tab.select_option("label:has-text('Group by') select", "p.opt")
    opened.tab.wait_for_selector('tr[data-group="adam"]')
    group = opened.tab.text_content('tr[data-group="adam"]')
    assert "opt=adam (2)" in group
    assert "16 ± 1.4" in group
    opened.tab.click('tr[data-group="adam"] .link')
    assert opened.names() == ["exp-5", "exp-3"]
    opened.tab.select_option("#table-tools select >> nth=3", "csv")
    copied = opened.tab.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("name,status,loss,rmse,lr,opt")
    assert not opened.complaints
    unlabelled = Page(browser, six, "#view=table&by=labels")
    unlabelled.tab.wait_for_selector("tr[data-group]")
    folded = unlabelled.names()
    unlabelled.tab.click("tr[data-group] .link >> nth=0")
    assert unlabelled.names() != folded
    unlabelled.tab.click("tr[data-group] .link >> nth=0")
    assert unlabelled.names() == folded


def test_groups_of_curves_have_a_band_and_a_zoom_is_shared(browser: Any, six: Path) -> None:
    opened = Page(browser, six, "#view=curves&by=p.opt&mean=1&zoom=0.5..2&log=1&axis=time")
    opened.tab.wait_for_selector('[data-metric="loss"] canvas[data-lines="2"]')
    assert "opt=adam (2)" in opened.tab.text_content("#view")
    opened.tab.click("text=Whole range")
    opened.wait("!location.hash.includes('zoom')")
    assert not opened.complaints


def test_selected_experiments_are_compared_side_by_side(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    for name in ("exp-6", "exp-3"):
        opened.tab.check(f'tr[data-name="{name}"] input')
    opened.tab.click("#tab-compare")
    row = opened.tab.text_content('tr[data-key="m.rmse"]')
    assert row == "rmse1417+3 (+21.4%)"
    assert opened.tab.locator('tr[data-key="p.seed"]').count() == 0
    opened.tab.check("text=Show what is the same, too")
    opened.tab.wait_for_selector('tr[data-key="p.seed"]')


def test_a_share_is_shown_where_it_says_something(browser: Any, project: Project) -> None:
    for small, of_zero, turned in ((4e-8, math.inf, math.nan), (5000, 0.5, 18), (1e-9, 0, -2)):
        record(project, {}, {"small": small, "of_zero": of_zero, "turned": turned})
    opened = Page(browser, written(project), "#view=compare&chosen=exp-1,exp-2,exp-3")
    row = 'tr[data-key="m.{}"]'
    for name, text in (
        ("small", "small1e-95000+50004e-8+3.9e-8 (×40)"), ("of_zero", "of_zero00.5+0.5inf"),
        ("turned", "turned-218+20nan"),
    ):  # fmt: skip
        assert opened.tab.text_content(row.format(name)) == text


def test_a_link_reproduces_the_view(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    opened.tab.fill('input[data-key="p.lr"]', ">0.2")
    opened.tab.check('tr[data-name="exp-5"] input')
    opened.tab.click('th[data-key="p.lr"] button')
    opened.tab.click("#copy-link")
    link = opened.tab.evaluate("navigator.clipboard.readText()")
    again = Page(browser, six, "#" + link.partition("#")[2])
    assert again.names() == ["exp-3", "exp-4", "exp-5", "exp-6"]
    assert again.tab.get_attribute('tr[data-name="exp-5"]', "aria-selected") == "true"
    assert again.tab.input_value('input[data-key="p.lr"]') == ">0.2"


def test_the_keyboard_does_it_all(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    press = opened.tab.keyboard.press
    press("ArrowDown")
    press(" ")
    press("ArrowDown")
    press("ArrowDown")
    press(" ")
    assert opened.tab.eval_on_selector_all(
        'tr[aria-selected="true"]', "rows => rows.map(row => row.dataset.name)"
    ) == ["exp-6", "exp-4"]
    press("c")
    opened.wait("document.querySelector('tr[data-key=\"m.rmse\"]')")
    press("Escape")
    opened.wait("document.querySelector('tr[data-row]')")
    press("/")
    opened.tab.keyboard.type("adam")
    assert opened.names() == ["exp-5", "exp-3"]
    press("Escape")
    press("ArrowDown")
    press("Enter")
    opened.tab.wait_for_selector("text=gitexp checkout exp-5")
    opened.tab.go_back()
    opened.wait("document.querySelector('tr[data-row]')")
    opened.tab.focus("#tab-table")
    press("ArrowRight")
    opened.wait("location.hash.includes('view=compare')")


def test_charts_draw_what_is_selected(browser: Any, six: Path) -> None:
    opened = Page(browser, six, "#view=curves&sel=exp-2,exp-6")
    opened.tab.wait_for_selector('[data-metric="loss"] canvas[data-lines="2"]')
    assert opened.tab.locator('[data-metric="rmse"]').count() == 0  # one point is no curve
    assert opened.tab.locator('[data-bars="rmse"] .point').count() == 2  # but it is a bar
    opened.tab.check("text=Log scale")
    opened.tab.select_option("label:has-text('Axis') select", "time")
    opened.tab.wait_for_selector("text=seconds")
    opened.tab.click("#tab-bars")
    opened.tab.wait_for_selector(".bars .point")
    opened.tab.click("#tab-scatter")
    opened.tab.wait_for_selector('#scatter canvas[data-points="2"]')
    opened.tab.click("#tab-importance")
    opened.tab.wait_for_selector(".share")
    assert not opened.complaints


def test_brushing_an_axis_filters_everything(browser: Any, six: Path) -> None:
    opened = Page(browser, six, "#view=parallel")
    box = opened.tab.locator('.axis[data-key="p.lr"] .track').bounding_box()
    middle = box["x"] + box["width"] / 2
    opened.tab.mouse.move(middle, box["y"] + 1)
    opened.tab.mouse.down()
    opened.tab.mouse.move(middle, box["y"] + box["height"] * 0.4)
    opened.tab.mouse.up()
    opened.wait("location.hash.includes('f.p.lr')")
    opened.tab.click("#tab-table")
    assert opened.names() == ["exp-6", "exp-5"]
    assert re.fullmatch(r"0\.4\d*\.\.0\.6", opened.tab.input_value('input[data-key="p.lr"]'))


def test_two_experiments_differ_in_code_cells_rows_pictures_and_packages(
    browser: Any, six: Path
) -> None:
    opened = Page(browser, six, "#view=diff&sel=exp-2,exp-5")
    opened.tab.wait_for_selector('details[data-path="train.py"]')
    code = opened.tab.text_content('details[data-path="train.py"]')
    assert "+1−1" in code
    assert opened.tab.text_content('details[data-path="train.py"] tr.del mark') == "2"
    assert opened.tab.locator('details[data-path="train.py"] .k1').count() > 0  # coloured
    assert "code cell 1: changed" in opened.tab.text_content('details[data-path="look.ipynb"]')
    assert "1 equal cell" in opened.tab.text_content('details[data-path="look.ipynb"]')
    assert "2 → 5" in opened.tab.text_content('details[data-path="scores.csv"]')
    assert opened.tab.locator('details[data-path="plot.svg"] img').count() == 2
    assert "numpy1.22.0→1.25.0" in opened.tab.text_content("#view")
    opened.tab.check("text=Side by side")
    opened.tab.wait_for_selector("table.split")
    opened.tab.click("text=Swap")
    opened.wait("location.hash.includes('a=exp-5')")
    assert not opened.complaints


def test_one_experiment_tells_everything_and_its_commands_are_copied(
    browser: Any, six: Path
) -> None:
    opened = Page(browser, six, "#view=one&one=exp-5")
    opened.tab.wait_for_selector(".figures img")
    opened.tab.click(".command:has-text('reproduce') button")
    assert opened.tab.evaluate("navigator.clipboard.readText()") == "gitexp reproduce exp-5"
    link = opened.tab.get_attribute("dl a", "href")
    assert link.startswith("https://github.com/ada/house/commit/")
    opened.tab.wait_for_selector('canvas[data-lines="1"]')
    assert "numpy 1.25.0" in opened.tab.text_content("#view")


def test_hostile_texts_stay_texts_and_no_request_leaves_the_page(
    browser: Any, project: Project
) -> None:
    project.write("<img src=x onerror=window.attacked=5>.py", f"# {ATTACK}\n")
    record(
        project,
        {"x": ATTACK, ATTACK: 1, "y": BIDI},
        {ATTACK: [1.0, 2.0], "loss": [2.0, 1.0]},
        title=ATTACK,
        note=ATTACK,
        labels=(BIDI, "<b>"),
        command=ATTACK,
    )
    project.write("<img src=x onerror=window.attacked=5>.py", f"# {ATTACK} {BIDI}\n")
    record(
        project,
        {"x": "plain", ATTACK: 2, "y": "z"},
        {ATTACK: [1.0, 3.0], "loss": [2.0, 1.5]},
        name="x;$(touch${IFS}hacked)",
    )
    path = written(project)
    opened = Page(browser, path)
    seen = opened.tab.text_content("body")
    for view in ("compare", "curves", "parallel", "scatter", "bars", "importance", "diff"):
        opened.tab.click(f"#tab-{view}")
        opened.tab.wait_for_timeout(400)
        seen += opened.tab.text_content("#view")
    opened.tab.click("#tab-table")
    opened.tab.click("tr[data-name='exp-1'] .link")
    opened.tab.wait_for_timeout(400)
    seen += opened.tab.text_content("#view")
    assert opened.tab.evaluate("window.attacked") is None
    assert "<img src=http://evil.example" in seen  # there, as text
    assert "\u202e" not in opened.tab.inner_text("body")
    assert "safe[U+202E]gnp.exe" in seen
    assert opened.requests == [opened.url], "the page asked for something"
    assert not opened.complaints
    opened.tab.goto(f"{opened.url}#view=one&one=x%3B%24(touch%24%7BIFS%7Dhacked)")
    opened.tab.wait_for_selector(".command")
    assert "'x;$(touch${IFS}hacked)'" in opened.tab.text_content(".command")


def test_the_policy_stops_scripts_and_requests_that_get_in_anyway(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    opened.tab.evaluate("""() => {
        const script = document.createElement('script'); script.textContent = 'window.attacked = 1'; document.body.append(script);
        const image = new Image(); image.src = 'http://evil.example/x'; document.body.append(image);
        const button = document.createElement('p'); button.setAttribute('onclick', 'window.attacked = 2'); document.body.append(button); button.click();
    }""")
    refused = opened.tab.evaluate(
        "fetch('http://evil.example').then(() => 'sent', () => 'refused')"
    )
    assert refused == "refused"
    assert opened.tab.evaluate("window.attacked") is None
    opened.tab.wait_for_timeout(200)
    assert [url for url in opened.requests if url.startswith("http")] == opened.refused


def test_ten_thousand_rows_make_few_elements(browser: Any, project: Project) -> None:
    record(project, {"lr": 0.1}, {"loss": 1.0})
    repo = Repo.discover(project.root)
    made = data.collect(repo, settings.load(repo.root), Index(repo).select())
    many = {key: values * 10_000 for key, values in made.table["experiments"].items()} | {
        "name": [f"exp-{at}" for at in range(10_000)]
    }
    table = {
        **made.table,
        "experiments": many,
        "params": {"lr": [at / 10_000 for at in range(10_000)]},
        "metrics": {"loss": [1.0] * 10_000},
    }
    path = project.root.parent / "many.html"
    path.write_text(page.render(data.Report(table, made.details)))
    opened = Page(browser, path)
    assert opened.tab.locator("tr[data-row]").count() < 200
    opened.tab.keyboard.press("End")
    assert opened.names()[-1] == "exp-9999"
    took = opened.tab.evaluate("""() => { const from = performance.now(), box = document.querySelector('#search');
        box.value = 'lr>0.5'; box.dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - from; }""")
    assert took < 1000
    assert "4,999 of 10,000" in opened.tab.text_content("#count")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_system_and_fits_a_phone(browser: Any, six: Path, scheme: str) -> None:
    opened = Page(browser, six, color_scheme=scheme, viewport={"width": 390, "height": 800})
    dark = (
        opened.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 28)"
    )
    assert dark == (scheme == "dark")
    for view in ("table", "compare", "curves", "diff"):
        opened.tab.click(f"#tab-{view}")
        opened.tab.wait_for_timeout(300)
        assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 390, view


def test_a_page_can_begin_with_the_difference_of_two(
    browser: Any, six: Path, tmp_path: Path
) -> None:
    project = Project(shutil.copytree(six.parent / "project", tmp_path / "project"))
    project.gitexp("diff", "exp-2", "exp-3", "--html", "../two.html")
    opened = Page(browser, project.root.parent / "two.html")
    opened.tab.wait_for_selector('details[data-path="train.py"]')


def test_it_prints_all_rows_without_its_controls(browser: Any, six: Path) -> None:
    opened = Page(browser, six)
    opened.tab.emulate_media(media="print")
    opened.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not opened.tab.is_visible("#tools")
    assert len(opened.names()) == 5


def test_columns_are_pinned_widened_and_hidden_from_their_heads(browser: Any, six: Path) -> None:
    opened = Page(browser, six, viewport={"width": 700, "height": 600})
    opened.tab.hover('th[data-key="m.rmse"]')
    opened.tab.click('th[data-key="m.rmse"] .more')
    opened.tab.click("dialog >> text=Pin")
    heads = "cells => cells.map(cell => cell.dataset.key)"
    assert opened.tab.eval_on_selector_all("th[data-key]", heads)[:3] == [
        "name", "m.rmse", "status",
    ]  # fmt: skip
    before = opened.tab.locator('th[data-key="m.rmse"]').bounding_box()
    opened.tab.evaluate("document.querySelector('#view').scrollLeft = 200")
    assert opened.tab.locator('th[data-key="m.rmse"]').bounding_box()["x"] == before["x"]
    edge = before["x"] + before["width"] - 3
    opened.tab.mouse.move(edge, before["y"] + 5)
    opened.tab.mouse.down()
    opened.tab.mouse.move(edge + 60, before["y"] + 5)
    opened.tab.mouse.up()
    wide = opened.tab.locator('th[data-key="m.rmse"]').bounding_box()["width"]
    assert abs(wide - before["width"] - 60) < 3
    again = Page(
        browser, six, opened.tab.evaluate("location.hash"), viewport={"width": 700, "height": 600}
    )
    assert again.tab.locator('th[data-key="m.rmse"]').bounding_box()["width"] == wide
    again.tab.hover('th[data-key="status"]')
    again.tab.click('th[data-key="status"] .more')
    again.tab.click("dialog >> text=Hide")
    assert "status" not in again.tab.eval_on_selector_all("th[data-key]", heads)


def test_notes_are_markdown_without_html_and_with_links_to_the_web(
    browser: Any, project: Project
) -> None:
    note = (
        "# Head\n- one *two*\n- `three`\n\n**bold** <b>no</b> a_b_c\n[x](javascript:alert(1)) "
        "[y](https://example.org/a) ![z](http://evil.example/i.png)\n```\n- code\n```"
    )
    made = record(project, {"lr": 1}, {"loss": 1.0})
    notes.add(Repo.discover(project.root), [made.id], [{"note": note}])
    opened = Page(browser, written(project), "#view=one&one=exp-1")
    inside = opened.tab.inner_html(".markdown")
    assert "<li>one <em>two</em></li><li><code>three</code></li>" in inside
    assert "<strong>bold</strong> &lt;b&gt;no&lt;/b&gt; a_b_c" in inside
    assert "[x](javascript:alert(1))" in inside
    assert 'href="https://example.org/a"' in inside
    assert "<img" not in inside
    assert '<pre class="text">- code</pre>' in inside
    assert len(opened.requests) == 1


def test_images_lie_side_by_side_at_a_step(browser: Any, project: Project) -> None:
    for at in (1, 2):
        for step in (0, 10):
            svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{at}{step}" height="9"/>'
            project.write(f"images/samples/{step:04}.svg", svg)
        paths = [f"images/samples/{step:04}.svg" for step in (0, 10)]
        record(project, {"lr": at}, {"loss": 1.0}, extra={"artifacts": paths})
    opened = Page(browser, written(project), "#view=images")

    def captions() -> Any:
        read = "all => all.map(one => one.textContent)"
        return opened.tab.eval_on_selector_all("figcaption", read)

    assert captions() == ["exp-2 · step 10", "exp-1 · step 10"]
    opened.tab.focus("input[aria-label=Step]")
    opened.tab.keyboard.press("ArrowLeft")
    assert captions() == ["exp-2 · step 0", "exp-1 · step 0"]
    assert "step=0" in opened.tab.evaluate("location.hash")
    assert not opened.complaints


def test_what_was_discarded_is_hidden_and_the_tree_says_why(browser: Any, project: Project) -> None:
    project.write("train.py", "x = 1")
    for at in (1, 2):
        project.write("model.bin", "x" * at)
        made = record(
            project, {"lr": at}, {"loss": 2.0 / at},
            extra={"outputs": ["model.bin"], "because": "a guess"},
        )  # fmt: skip
    event = {"verdict": "discarded", "because": "diverges"}
    notes.add(Repo.discover(project.root), [made.id], [event])
    path = written(project)
    assert Page(browser, path).names() == ["exp-1"]
    opened = Page(browser, path, "#view=tree&hidden=1")
    told = opened.tab.text_content(".tree tr.discarded")
    assert "exp-2" in told
    assert "lr: 1 → 2" in told
    assert "“a guess”" in told
    assert ": diverges" in told
    opened.tab.goto(f"{opened.url}#view=diff&a=exp-1&b=exp-2&hidden=1")
    opened.tab.wait_for_selector("h2:has-text('Outputs')")
    assert re.search(r"\w{10} 1 B → \w{10} 2 B", opened.tab.text_content("#view"))
