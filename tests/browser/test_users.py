"""A user in a page of another origin: signs in at an issuer, reads a private queue, and nobody else's page does."""

from __future__ import annotations

from selenium.webdriver.common.by import By

from tests.support import oidc
from tests.support.browser import Browser
from tests.support.http_calls import new_queue, post
from tests.support.web import Web, link_to

READY = "window.ready"


def sign_in(browser: Browser, origin: str) -> None:
    """Go to a page, from there to the issuer, and back with its token, as a user clicks."""
    browser.get(f"{origin}/")
    browser.wait_until_script(READY, what="page")
    browser.find_element(By.ID, "sign-in").click()
    browser.find_element(By.ID, "consent").click()
    browser.wait_until_script("window.token && window.ready", what="token")


def test_a_user_misses_nothing_and_sees_nothing_twice_when_the_connection_breaks(browser: Browser, web: Web) -> None:
    """The front end is killed while the page follows, comes back, and the page goes on where it was."""
    with web.service.api("web") as api:
        queue = new_queue(api, principles=f"app:web,bid:{oidc.EMAIL}")
        post(api, queue, "0")
        sign_in(browser, web.page.origin)
        browser.execute_script("follow(arguments[0])", queue)
        browser.wait_until_script("seen.length == 1 && states.includes('connected')", what="first message")
        for number in range(1, 6):
            post(api, queue, str(number))
        browser.wait_until_script("seen.length >= 3", what="live messages")
        web.service.front.kill()
        browser.wait_until_script("states.includes('waiting')", what="broken connection")
        web.service.start()
        for number in range(6, 10):
            post(api, queue, str(number))
        browser.wait_until_script("seen.length >= 10", what="messages after the break")
        post(api, queue, "last")
        browser.wait_until_script("seen.includes('last')", what="last message")
    assert browser.value_of("seen") == [*map(str, range(10)), "last"]
    assert browser.value_of("states.filter((word) => word == 'connected').length") == 2
    assert browser.value_of("ended") is None


def test_a_page_of_a_third_origin_gets_nothing(browser: Browser, web: Web) -> None:
    """Not even with a user's token: the browser asks the service, which does not allow that page."""
    with web.service.api("web") as api:
        queue = new_queue(api, principles=f"app:web,bid:{oidc.EMAIL}", type="user")
        public = new_queue(api, type="public")
        post(api, queue, "secret")
        post(api, public, "for all")
        sign_in(browser, web.stranger.origin)
        for call in (f"queue('{queue}').read()", f"queue('{public}').read()", f"queue('{queue}').publish('x')"):
            browser.execute_script(
                f"window.got = null; queuey.{call}.catch(failed).then((got) => (window.got = got))"
            )
            refused = browser.wait_until_script("window.got", what="answer")
            assert refused == {"name": "TypeError", "status": None, "code": None}
        browser.execute_script("follow(arguments[0])", queue)
        browser.wait_until_script("states.includes('waiting')", what="refusal")
        assert browser.value_of("seen") == []
        assert [message["body"] for message in api.get(queue).json()["messages"]] == ["secret"]


def test_a_plain_event_source_reads_with_a_link_in_its_url(browser: Browser, web: Web) -> None:
    """Without queuey.js, from the application's page; it comes back by itself where it was."""
    with web.service.api("web") as api:
        queue = new_queue(api)
        post(api, queue, "one")
        browser.get(f"{web.page.origin}/")
        browser.wait_until_script(READY, what="page")
        url = f"{web.service.url}/v1/web/{queue}?link={link_to(queue, 'read')}"
        browser.execute_script(
            "window.source = new EventSource(arguments[0]); window.ids = new Set();"
            "source.onmessage = ({ data }) => { const { message_id, body } = JSON.parse(data);"
            " if (!ids.has(message_id)) { ids.add(message_id); seen.push(body); } };",
            url,
        )
        browser.wait_until_script("seen.join() == 'one'", what="first message")
        web.service.front.kill()
        web.service.start()
        post(api, queue, "two")
        browser.wait_until_script("seen.join() == 'one,two'", what="message after the break")
