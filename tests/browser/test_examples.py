"""The page of examples: every example shows its code, runs, and says what came of it."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver.common.by import By

from tests.support.browser import Browser
from tests.support.deployment import key_of
from tests.support.http_calls import post
from tests.support.web import Web

SHOWN = "document.querySelector('#{name} output').textContent"


def run(browser: Browser, name: str, *words: str) -> None:
    """Press an example's button and wait until it says all of these."""
    browser.execute_script(f"document.querySelector('#{name} button').click()")
    for word in words:
        browser.wait_until_script(f"{SHOWN.format(name=name)}.includes({word!r})", what=f"{name}: {word}")


def test_every_example_works(browser: Browser, web: Web, node_modules: Path) -> None:
    """In the order in which the page shows them, within the page's policy."""
    browser.console_lines()
    browser.get(f"{web.service.url}/examples")
    for name, value in {"application": "web", "key": key_of("web")}.items():
        browser.find_element(By.NAME, name).send_keys(value)
    assert "queue.publish(" in str(browser.value_of("document.querySelector('#publish pre').textContent"))
    run(browser, "create", '"queue_name":"examples"')
    run(browser, "publish", "stored as ", '"partition":1')
    run(browser, "read", "Hello, world\none\ntwo\n")
    run(browser, "follow", "(connected)", "Hello, world\none\ntwo\n")
    with web.service.api("web") as api:
        post(api, "examples", "live")
    browser.wait_until_script(f"{SHOWN.format(name='follow')}.endsWith('two\\nlive\\n')", what="live message")
    run(browser, "claim", "working on Hello, world", "acked")
    assert [line for line in browser.console_lines() if "400" not in line] == []
    run(browser, "refuse", "400 invalid_request, try again: no")
    assert browser.problems(node_modules, "light") == []
    assert browser.problems(node_modules, "dark") == []
