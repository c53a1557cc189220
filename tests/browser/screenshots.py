"""``python -m tests.browser.screenshots``: draw the console's pictures in docs/images, in light and in dark."""

from __future__ import annotations

import base64
import tempfile
import time
from pathlib import Path
from typing import Final

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import Browser, running_browser
from tests.support.deployment import Api, Deployment, key_of
from tests.support.http_calls import claim, post, settle
from tests.support.service import ROOT

IMAGES: Final = ROOT / "docs" / "images"
SIZE: Final = {"width": 1080, "height": 1180, "deviceScaleFactor": 1, "mobile": False}
SUBJECTS: Final = (
    "Welcome aboard",
    "Your invoice of November",
    "Password changed",
    "Three new followers",
    "Backup done",
)


def main() -> None:
    """Show a queue that is worked on by two groups."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_browser() as browser,
        Deployment(Path(name), guarantees={"shop": "at_least_once"}) as service,
        service.api("shop") as api,
    ):
        fill(api)
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(SIZE))
        browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        sign_in(browser, service.url)
        work(api, seconds=50)
        IMAGES.mkdir(exist_ok=True)
        for scheme in ("light", "dark"):
            take(browser, scheme)


def fill(api: Api) -> None:
    """Make a few queues with messages."""
    for queue, count in (("mail", 12), ("mail-failed", 2), ("orders", 48), ("thumbnails", 131)):
        api.post("", data={"queue_name": queue, "partitions": "2" if queue == "orders" else "1"}).raise_for_status()
        for number in range(count):
            post(api, queue, f"{SUBJECTS[number % len(SUBJECTS)]} ({number + 1})", X_Attr_Kind="notice")


def sign_in(browser: Browser, url: str) -> None:
    """Open the queue."""
    browser.get(f"{url}/console")
    browser.find_element(By.NAME, "application").send_keys("shop")
    browser.find_element(By.NAME, "secret").send_keys(key_of("shop"), Keys.ENTER)
    row = "document.querySelector('[data-queue=mail] button')"
    browser.wait_until_script(row, what="list of queues")
    browser.execute_script(f"{row}.click()")


def work(api: Api, *, seconds: float) -> None:
    """Publish in waves; one group keeps up, the other falls behind and catches up."""
    end_s = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < end_s:
        turn += 1
        for number in range(3 if turn % 24 < 12 else 1):
            post(api, "mail", f"{SUBJECTS[(turn + number) % len(SUBJECTS)]} ({turn})", X_Attr_Kind="notice")
        for group, limit in (("sender", 3), ("archive", 40 if turn % 24 == 20 else 1)):
            receipts = [one["receipt"] for one in claim(api, "mail", group=group, limit=limit)]
            if receipts:
                settle(api, "mail", "acks", receipts)
        time.sleep(0.5)


def take(browser: Browser, scheme: str) -> None:
    """Save the picture of the page, from its top."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.execute_script(
        "document.getElementById('refresh').click(); document.activeElement.blur(); scrollTo(0, 0)"
    )
    time.sleep(1)
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    (IMAGES / f"console-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
