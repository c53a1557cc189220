"""The console as people use it: by mouse, by keyboard, in light and in dark, with a key or with a link."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.support.browser import Browser
from tests.support.deployment import Api, key_of
from tests.support.http_calls import claim, new_queue, post, settle
from tests.support.web import Web, link_to

BODIES = "[...document.querySelectorAll('#messages pre')].map((body) => body.textContent)"


@pytest.fixture
def api(web: Web) -> Iterator[Api]:
    """The application that the console shows."""
    with web.service.api("web") as session:
        yield session


def sign_in(browser: Browser, web: Web) -> None:
    """Enter the application's key."""
    browser.get(f"{web.service.url}/console")
    browser.find_element(By.NAME, "application").send_keys("web")
    browser.find_element(By.NAME, "secret").send_keys(key_of("web"), Keys.ENTER)
    browser.wait_until_script("!document.getElementById('overview').hidden", what="list of queues")


def open_queue(browser: Browser, name: str) -> None:
    """Click on a queue, which is found by the beginning of its name."""
    find = browser.find_element(By.ID, "find")
    find.clear()
    find.send_keys(name, Keys.TAB)
    row = f"#queues tr[data-queue='{name}'] button"
    browser.wait_until_script(f'document.querySelector("{row}")', what="row of the queue")
    # In one step: the list may be drawn anew between two.
    browser.execute_script(f'document.querySelector("{row}").click()')
    browser.wait_until_script(
        f"document.activeElement.matches('#queue-title') && document.activeElement.textContent == '{name}'",
        what="opened queue",
    )


def notice(browser: Browser, text: str) -> None:
    """Wait until the console says something."""
    browser.wait_until_script(
        f"document.getElementById('notice').textContent.includes({json.dumps(text)})", what=f"notice {text!r}"
    )


def test_a_queue_that_fills_is_seen_to_fill(browser: Browser, web: Web, api: Api) -> None:
    """Messages as they come, the backlog and the oldest age of each group, and the number in the list."""
    queue = new_queue(api)
    post(api, queue, "0")
    claim(api, queue, group="mailer", lease=600)
    sign_in(browser, web)
    open_queue(browser, queue)
    browser.find_element(By.ID, "live").click()
    notice(browser, "Following: connected")
    for number in range(1, 6):
        post(api, queue, str(number))
    browser.wait_until_script(f"{BODIES}.join() == '5,4,3,2,1,0'", what="live messages")
    words = "document.querySelector('[data-group=mailer]').textContent"
    browser.wait_until_script(
        f"{words}.includes('5 waiting, 1 in flight') && {words}.includes('oldest: ')", what="group"
    )
    drawn = "document.querySelector('[data-group=mailer] .backlog-line').getAttribute('d').split('L').length"
    browser.wait_until_script(f"{drawn} >= 2", what="chart")
    label = browser.find_element(By.CSS_SELECTOR, "[data-group=mailer] svg").get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Backlog 5, oldest: ")
    count = f"document.querySelector('[data-queue=\"{queue}\"] .number').textContent"
    browser.wait_until_script(f"{count} == '6'", what="number of messages")


def test_messages_are_browsed_from_both_ends_and_published(browser: Browser, web: Web, api: Api) -> None:
    """Over all partitions, page by page."""
    queue = new_queue(api, partitions=2)
    for number in range(120):
        post(api, queue, str(number), X_Partition=str(1 + number % 2))
    sign_in(browser, web)
    open_queue(browser, queue)
    for order, expected in (("descending", range(119, -1, -1)), ("ascending", range(120))):
        Select(browser.find_element(By.ID, "order")).select_by_value(order)
        browser.wait_until_script(f"{BODIES}[0] == '{expected[0]}'", what=order)
        more = browser.find_element(By.ID, "more-messages")
        while more.is_displayed():
            shown = browser.value_of(f"{BODIES}.length")
            more.click()
            browser.wait_until_script(
                f"{BODIES}.length > {shown} || document.getElementById('more-messages').hidden", what="page"
            )
        assert browser.value_of(BODIES) == [str(number) for number in expected]
    browser.find_element(By.NAME, "body").send_keys("by hand")
    browser.find_element(By.NAME, "partition_key").send_keys("k")
    browser.find_element(By.CSS_SELECTOR, "#publish-form button").click()
    notice(browser, "Published ")
    Select(browser.find_element(By.ID, "order")).select_by_value("descending")
    browser.wait_until_script(f"{BODIES}[0] == 'by hand'", what="published message")


def test_a_group_is_rewound_and_dead_letters_are_redriven(browser: Browser, web: Web, api: Api) -> None:
    """What was settled is claimed again; what had died is back where it came from."""
    dead = new_queue(api)
    queue = new_queue(api, max_deliveries=1, dead_letter_queue=dead)
    post(api, queue, "doomed")
    (doomed,) = claim(api, queue, lease=600)
    settle(api, queue, "releases", [doomed["receipt"]])
    assert claim(api, queue) == []
    sign_in(browser, web)
    open_queue(browser, dead)
    browser.wait_until_script(f"{BODIES}.join() == 'doomed'", what="dead letter")
    browser.find_element(By.ID, "redrive").click()
    notice(browser, "1 went back, 0 remain.")
    (again,) = claim(api, queue)
    assert again["body"] == "doomed"
    settle(api, queue, "acks", [again["receipt"]])
    open_queue(browser, queue)
    browser.wait_until_script("document.querySelector('[data-group=default] button')", what="group")
    browser.find_element(By.CSS_SELECTOR, "[data-group=default] button").click()
    notice(browser, "default begins again from the start.")
    assert next(one["body"] for one in claim(api, queue)) == "doomed"


def sign_in_with_link(browser: Browser, web: Web, queue: str, link: str) -> None:
    """Enter a link and the queue that it is for."""
    browser.get(f"{web.service.url}/console")
    browser.find_element(By.NAME, "application").send_keys("web")
    browser.find_element(By.CSS_SELECTOR, "[name=kind][value=link]").click()
    browser.find_element(By.NAME, "queue").send_keys(queue)
    browser.find_element(By.NAME, "secret").send_keys(link, Keys.ENTER)


def test_a_link_opens_its_queue_and_nothing_else(browser: Browser, web: Web, api: Api) -> None:
    """Messages of all partitions, groups and publishing, as far as it grants them; no list, no settings."""
    queue = new_queue(api, partitions=3)
    post(api, queue, "hello", X_Partition="1")
    post(api, queue, "hello again", X_Partition="3")
    claim(api, queue, group="mailer")
    sign_in_with_link(browser, web, queue, link_to(queue, "read"))
    browser.wait_until_script(f"{BODIES}.join() == 'hello again,hello'", what="messages of all partitions")
    assert browser.value_of("document.getElementById('overview').hidden") is True
    browser.find_element(By.NAME, "body").send_keys("by a reader")
    browser.find_element(By.CSS_SELECTOR, "#publish-form button").click()
    notice(browser, "(access_denied)")
    assert browser.value_of("document.getElementById('groups').childElementCount") == 0
    sign_in_with_link(browser, web, queue, link_to(queue, "read", "claim"))
    browser.wait_until_script("document.querySelector('[data-group=mailer]')", what="group")


def test_it_can_be_used_by_keyboard_alone(browser: Browser, web: Web, api: Api) -> None:
    """Every control is reached by Tab and worked by Enter, Space or arrows, and shows where one is."""
    queue = new_queue(api)
    post(api, queue, "hello")
    keys = ActionChains(browser)
    browser.get(f"{web.service.url}/console")
    keys.send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "Skip to the content"
    keys.send_keys(Keys.TAB, "web", Keys.TAB, Keys.TAB, key_of("web"), Keys.ENTER).perform()
    browser.wait_until_script("!document.getElementById('overview').hidden", what="list of queues")
    assert browser.value_of("document.activeElement.id") == "overview-title"
    keys.send_keys(Keys.TAB, queue, Keys.ENTER).perform()
    browser.wait_until_script(
        f"document.querySelector('#queues tr').dataset.queue == '{queue}' || "
        f"document.querySelector('#queues tbody tr').dataset.queue == '{queue}'",
        what="row",
    )
    keys.send_keys(Keys.TAB, Keys.TAB, Keys.ENTER).perform()
    browser.wait_until_script("document.activeElement.matches('#queue-title')", what="opened queue")
    reached = set()
    for _ in range(12):
        keys.send_keys(Keys.TAB).perform()
        element = browser.switch_to.active_element
        if element.tag_name in {"html", "body"}:
            break
        reached.add(element.get_attribute("id") or element.get_attribute("name") or element.tag_name)
        outline = browser.value_of("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", element.get_attribute("outerHTML")
    assert reached >= {"order", "live", "redrive", "pre", "body", "delay", "partition_key", "button"}


def test_its_pages_are_accessible_in_light_and_dark(browser: Browser, web: Web, api: Api, node_modules: Path) -> None:
    """axe finds nothing on any of them, and nothing went against the page's policy."""
    queue = new_queue(api, max_deliveries=3)
    post(api, queue, "hello", X_Attr_Kind="greeting")
    claim(api, queue, group="mailer")
    browser.console_lines()
    browser.get(f"{web.service.url}/console")
    found = [f"{scheme}: {one}" for scheme in ("light", "dark") for one in browser.problems(node_modules, scheme)]
    sign_in(browser, web)
    open_queue(browser, queue)
    browser.wait_until_script("document.querySelector('[data-group=mailer]')", what="group")
    found += [f"{scheme}: {one}" for scheme in ("light", "dark") for one in browser.problems(node_modules, scheme)]
    assert found == []
    assert browser.console_lines() == []


def test_the_key_is_kept_in_memory_alone(browser: Browser, web: Web) -> None:
    """Not in the page's text, its stores, its cookies or its address; who reloads is signed out."""
    sign_in(browser, web)
    for place in (
        "document.documentElement.outerHTML",
        "JSON.stringify({...localStorage, ...sessionStorage})",
        "document.cookie",
        "location.href",
        "document.querySelector('[name=secret]').value",
    ):
        assert key_of("web") not in str(browser.value_of(place)), place
    assert browser.get_cookies() == []
    browser.refresh()
    browser.wait_until_script("!document.getElementById('sign-in').hidden", what="form to sign in")
    assert browser.value_of("document.getElementById('overview').hidden") is True


def test_a_message_can_not_become_a_part_of_the_page(browser: Browser, web: Web, api: Api) -> None:
    """Whatever it holds is text."""
    queue = new_queue(api)
    evil = "<img src=x onerror='window.pwned = true'><script>window.pwned = true</script>"
    post(api, queue, evil, X_Attr_Kind="<b>")
    sign_in(browser, web)
    open_queue(browser, queue)
    browser.wait_until_script(f"{BODIES}.length == 1", what="message")
    assert browser.value_of(BODIES) == [evil]
    assert browser.value_of("window.pwned === undefined && !document.querySelector('#messages img, #messages b')")


def test_what_is_refused_is_said(browser: Browser, web: Web) -> None:
    """With the service's own words and code."""
    browser.get(f"{web.service.url}/console")
    browser.find_element(By.NAME, "application").send_keys("web")
    browser.find_element(By.NAME, "secret").send_keys("wrong", Keys.ENTER)
    notice(browser, "(")
    assert "bad" in str(browser.find_element(By.ID, "notice").get_attribute("class"))
    assert browser.value_of("document.getElementById('overview').hidden") is True
