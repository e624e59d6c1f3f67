"""The console in a real browser: what it shows, when it must not be believed, who can use it.

Screenshots are left in ``.build/console/``; with REWRITE_GOLDEN=1 those of the documentation are
taken anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from console_world import Fed, served
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from failover.config import load
from failover.policy import Policy

expect.set_options(timeout=30_000)  # a limit, not a wait
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / ".build" / "console"
PICTURES = ROOT / "docs" / "pictures"
DOCUMENTED = {("healthy", "light"), ("takeover", "dark")}
STATES: dict[str, Callable[[Fed], None]] = {
    "healthy": Fed.healthy,
    "takeover": Fed.takeover,
    "hold": Fed.hold,
    "stale": Fed.stale,
}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(ROOT / "tests" / "open.yaml")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the distribution; playwright's own where there is none."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1240, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    yield page
    context.close()
    unexpected = [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text]
    assert unexpected == [], "the page's own errors, violations of its policy among them"


def open_page(page: Page, base: str, theme: str = "light") -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(base)
    expect(page.locator("#verdict-body .code")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_each_state_is_accessible_and_photographed(
    policy: Policy, page: Page, state: str, theme: str
) -> None:
    fed = Fed.of(policy)
    STATES[state](fed)
    with served(fed) as base:
        open_page(page, base, theme)
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()
        stale = expect(page.locator("#stale"))  # axe may have kept the page from asking
        stale.to_be_visible() if state == "stale" else stale.to_be_hidden()
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{state}-{theme}.png", full_page=True)
        if os.environ.get("REWRITE_GOLDEN") and (state, theme) in DOCUMENTED:
            PICTURES.mkdir(exist_ok=True)
            shutil.copy(SHOTS / f"{state}-{theme}.png", PICTURES / f"console-{state}.png")


def test_healthy(policy: Policy, page: Page) -> None:
    fed = Fed.of(policy)
    fed.healthy()
    with served(fed) as base:
        open_page(page, base)
        expect(page.locator("#verdict-body .code")).to_have_text("● healthy")
        expect(page.locator("#stale")).to_be_hidden()
        expect(page).to_have_title("healthy: marketplace")
        expect(page.locator(".site.active h3")).to_contain_text("jakarta ★ ACTIVE")
        expect(page.locator('[data-host="jkt-db1"]')).to_contain_text("primary")
        expect(page.locator('[data-host="mks-db1"]')).to_contain_text("streams from jkt-db1")
        expect(page.locator("svg.streams path")).to_have_count(3)
        expect(page.locator("svg.streams path.broken")).to_have_count(0)
        expect(page.locator("#facts")).to_contain_text("ready")
        expect(page.locator("#residency")).to_contain_text("not looked for")
        expect(page.locator("#why tbody")).to_contain_text("BLOCKS")  # claim gone: it is not
        # Live: the next turn is shown without a reload.
        fed.group.lose_jakarta()
        fed.run(6)
        expect(page.locator("#verdict-body .code")).to_contain_text("site_isolated")


def test_no_finding_where_nobody_could_look_is_not_all_clear(policy: Policy, page: Page) -> None:
    """One controller scans, and a host does not let it look."""

    def half_seen(route: Route) -> None:
        answer = route.fetch()
        document = answer.json()
        for group in document["groups"]:
            group["turn"]["findings"] = []
            gap = {"host": "jkt-db1", "why": "not looked at for 90 s"}
            group["turn"]["status"]["residency"]["gaps"] = [gap]
        route.fulfill(response=answer, json=document)

    fed = Fed.of(policy)
    fed.healthy()
    page.route("**/console.json", half_seen)
    with served(fed) as base:
        open_page(page, base)
        expect(page.locator("#facts")).to_contain_text("not everything is known")
        residency = page.locator("#residency")
        expect(residency).to_contain_text("jkt-db1: not looked at for 90 s")
        expect(residency).not_to_contain_text("no data path to outside the allowlist exists")
        page.unroute_all(behavior="ignoreErrors")


def test_takeover_tells_its_phases(policy: Policy, page: Page) -> None:
    fed = Fed.of(policy)
    fed.takeover()
    with served(fed) as base:
        open_page(page, base)
        expect(page.locator("#verdict-body .code")).to_contain_text("takeover_in_progress")
        expect(page.locator(".site.active h3")).to_contain_text("makassar")
        expect(page.locator('[data-host="jkt-db1"]')).to_contain_text("unreachable")
        move = page.locator("#history li.move")
        expect(move).to_contain_text("without claim 0.0 s")
        expect(move).to_contain_text("promoting … under way")
        summary = move.locator("summary")
        summary.focus()
        page.keyboard.press("Enter")
        expect(move.locator("details")).to_have_attribute("open", "")
        fed.group.claim(fed.group.policy.clusters[0].at(fed.group.state.active_site)[0].name)
        fed.run(2)
        expect(move).to_contain_text("promoting 1.0 s")
        expect(move.locator("details")).to_have_attribute("open", "")  # what was opened stays open
        expect(summary).to_be_focused()


def test_hold_says_what_blocks(policy: Policy, page: Page) -> None:
    fed = Fed.of(policy)
    fed.hold()
    with served(fed) as base:
        open_page(page, base)
        expect(page.locator("#verdict-body .code")).to_contain_text("✖ site_lost")
        expect(page.locator("#verdict-body .human")).to_be_visible()
        expect(page.locator("#why")).to_contain_text("decision ✖ HOLD")
        expect(page.locator("#why")).to_contain_text("blocked by loss within budget [marketplace]")


def test_an_old_turn_is_stale_in_large_letters_and_nothing_is_green(
    policy: Policy, page: Page
) -> None:
    fed = Fed.of(policy)
    fed.stale(42.0)
    with served(fed) as base:
        open_page(page, base)
        expect(page.locator("#stale strong")).to_have_text("STALE")
        expect(page.locator("#stale-why")).to_contain_text("its turns do not end")
        expect(page.locator("#verdict-body .code")).to_have_text("? last seen: healthy")
        expect(page).to_have_title("STALE: marketplace")
        assert height_px(page, "#stale strong") > 60
        soft = color(page, "#seen")
        expect(page.locator("#verdict-body .mark")).to_have_css("color", soft)  # not that of health
        fed.run(1)
        expect(page.locator("#stale")).to_be_hidden()
        expect(page.locator("#verdict-body .mark")).not_to_have_css("color", soft)


def test_a_controller_that_is_gone_is_stale(policy: Policy, page: Page) -> None:
    fed = Fed.of(policy)
    fed.healthy()
    with served(fed) as base:
        open_page(page, base)
        expect(page.locator("#stale")).to_be_hidden()
    expect(page.locator("#stale strong")).to_be_visible()
    expect(page.locator("#stale-why")).to_contain_text("No answer from this controller")


def test_a_blind_controller_is_stale(policy: Policy, page: Page) -> None:
    fed = Fed.of(policy)
    fed.healthy()
    for store in fed.group.stores.values():
        store.silent = True
    fed.run(1)
    with served(fed) as base:
        open_page(page, base)
        expect(page.locator("#stale-why")).to_contain_text("ZooKeeper does not answer")
        expect(page.locator("#verdict-body .code")).to_contain_text("quorum_lost")


def test_every_control_is_reached_by_the_keyboard(policy: Policy, page: Page) -> None:
    fed = Fed.of(policy)
    fed.taken_over()
    with served(fed) as base:
        open_page(page, base)
        page.keyboard.press("Tab")
        expect(page.locator("a.skip")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.locator("#theme")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        page.keyboard.press("Enter")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.keyboard.press("Tab")
        expect(page.get_by_role("region", name="gates", exact=True)).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.locator("#history summary").first).to_be_focused()


def test_two_groups_are_chosen_by_name_and_a_narrow_window_is_enough(
    policy: Policy, page: Page
) -> None:
    first, second = Fed.of(policy), Fed.of(policy)
    first.healthy()
    second.takeover()
    second.latest.group = type(second.latest.group)("payments")
    page.set_viewport_size({"width": 390, "height": 800})
    with served(first, second) as base:
        open_page(page, base)
        expect(page.locator("#verdict-body .code")).to_have_text("● healthy")
        page.get_by_label("Group").select_option("payments")
        expect(page.locator("#verdict-body .code")).to_contain_text("takeover_in_progress")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def color(page: Page, selector: str) -> str:
    found = page.locator(selector).first.evaluate("node => getComputedStyle(node).color")
    assert isinstance(found, str)
    return found


def height_px(page: Page, selector: str) -> float:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["height"]
