"""A headless Chromium, Debian's, driven over WebDriver: what people and pages do to the service."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.support.service import wait_until
from tests.support.tools import skip_or_fail

ACT_S_MAX: Final = 20.0
"""Seconds that a page may take for what a test waits for."""
WINDOW: Final = (1280, 900)


class Browser(webdriver.Chrome):
    """Chromium with the few questions that tests ask."""

    def wait_until_script(self, expression: str, *, what: str, within_s: float = ACT_S_MAX) -> object:
        """Return the value of a JavaScript expression once it is true; fail when it does not become so in time."""
        try:
            wait_until(lambda: self.value_of(expression), within_s=within_s, what=what)
        except AssertionError as error:
            error.add_note(f"the page says: {self.value_of('document.body.innerText')}\n{self.console_lines()}")
            raise
        return self.value_of(expression)

    def value_of(self, expression: str) -> object:
        """Return the value of a JavaScript expression in the page."""
        return self.execute_script(f"return ({expression});")

    def console_lines(self) -> list[str]:
        """Return what the page's console said since the last question, violations of its policy included."""
        return [str(line["message"]) for line in self.get_log("browser")]  # type: ignore[no-untyped-call]

    def problems(self, node_modules: Path, scheme: str) -> list[str]:
        """Return what axe finds wrong with the page as it is, in ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.execute_script((node_modules / "axe-core" / "axe.min.js").read_text())
        found = self.execute_async_script("axe.run().then((result) => arguments[0](result.violations))")
        return [f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}" for one in found]


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Start a Chromium with an empty profile and leave nothing of it behind; skip the test where there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        skip_or_fail("chromium or its driver is missing: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--disable-dev-shm-usage", f"--window-size={WINDOW[0]},{WINDOW[1]}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        # The sandbox of Chromium does not start for root, which containers of CI are.
        options.add_argument("--no-sandbox")
    browser = Browser(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()
