"""The explorer in JupyterLab, as a person uses it: a control moves in every tab, the picture follows."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import product

import pytest
from conftest import ROOT
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_SECONDS = 180  # a cold start on a busy machine
# without waiting for what it returns, which comes when all cells have run
_WIDER = """
const tab = arguments[0].getBoundingClientRect();
const parts = arguments[0].querySelectorAll('.widget-label, .jupyter-widgets, svg, .swis-note, .swis-lines');
return [...parts].filter(part => part.getBoundingClientRect().right > tab.right + 1
    || (part.classList.contains('widget-label') && part.scrollWidth > part.clientWidth + 1))
    .map(part => part.outerHTML.slice(0, 80));
"""
_RUN_ALL = "return !!window.jupyterapp && !!window.jupyterapp.commands.execute('notebook:run-all-cells')"


@pytest.fixture
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs chromium and chromedriver (Debian's chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1200"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@contextmanager
def jupyterlab(folder, home):
    """Start JupyterLab on a folder, without a password for the time of a test; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--expose-app-in-browser"]
    settings = [f"--ServerApp.port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    root = ["--allow-root"] if os.geteuid() == 0 else []
    environment = os.environ | {name: str(home) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    server = subprocess.Popen(
        [*command, *settings, *root], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


class Page:
    """The notebook with the explorer, opened; ``tab`` is the one that is seen."""

    def __init__(self, browser):
        self.browser = browser
        self.wait = WebDriverWait(browser, _SECONDS, poll_frequency=0.1, ignored_exceptions=[Exception])

    def seen(self, selector):
        return [each for each in self.browser.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]

    def text(self):
        """What the picture says, marks and tips included."""
        (picture,) = self.seen(".swis-picture")
        return picture.get_attribute("innerHTML")

    def open(self, title):
        def found(_):
            tabs = self.seen(".jupyter-widget-tab .lm-TabBar-tab")
            return next(each for each in tabs if each.text == title)

        self.wait.until(found).click()
        self.wait.until(lambda _: self.opened() == title and len(self.seen(".swis-picture")) == 1)

    def opened(self):
        return self.seen(".jupyter-widget-tab .lm-TabBar-tab.lm-mod-current")[0].text

    def control(self, name):
        def found(_):
            controls = self.seen(".swis-tab .jupyter-widgets, .swis-tab .widget-hslider")
            return next(each for each in controls if self._name(each) == name)

        return self.wait.until(found)

    def _name(self, control):
        labels = control.find_elements(By.CSS_SELECTOR, ":scope > label.widget-label")
        return labels[0].text if labels else ""

    def move(self, name, steps=1):
        """Move a slider by its keys, and wait for another picture; return the one before."""
        before = self.text()
        handle = self.control(name).find_element(By.CSS_SELECTOR, ".noUi-handle")
        handle.send_keys(Keys.ARROW_RIGHT * steps)
        self.wait.until(lambda _: self.text() != before)
        return before

    def choose(self, name, value):
        before = self.text()
        options = self.control(name).find_elements(By.TAG_NAME, "option")
        next(each for each in options if each.text == value).click()
        self.wait.until(lambda _: self.text() != before)

    def tick(self, name):
        before = self.text()
        box = next(each for each in self.seen(".swis-tab .widget-checkbox") if each.text.strip() == name)
        box.find_element(By.TAG_NAME, "input").click()
        self.wait.until(lambda _: self.text() != before)

    def press(self, name):
        before = self.text()
        next(each for each in self.seen(".swis-tab button") if each.text == name).click()
        self.wait.until(lambda _: self.text() != before)

    def click(self, shape):
        ActionChains(self.browser).move_to_element(shape).click().perform()


@pytest.fixture
def page(browser, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "90_explore.ipynb", folder)
    found = Page(browser)
    with jupyterlab(folder, tmp_path / "home") as address:
        until(lambda: browser.get(f"{address}/lab/tree/90_explore.ipynb"))
        found.wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell"))
        found.wait.until(lambda page: "Idle" in page.find_element(By.ID, "jp-main-statusbar").text)
        found.saved = browser.find_elements(
            By.CSS_SELECTOR, ".jp-OutputArea-output img[src^='data:image/png']"
        )
        found.wait.until(lambda page: page.execute_script(_RUN_ALL))
        found.wait.until(lambda page: found.text())
        yield found


def test_a_control_moves_in_every_tab_and_the_picture_follows(page):
    assert page.saved  # a picture that was there before a kernel computed any
    page.move("shifts")
    assert "SWIS, 3 of 7 shifts" in page.text()
    page.tick("rounding")
    assert "rounding, 3 of 7 shifts" in page.text()

    page.open("Network")
    page.move("its shifts")
    assert "the change to all layers alike" in page.text()
    for shape in ("rect", "tr"):  # a bar, and a line of the table
        page.open("Network")
        page.click(page.seen(f"{shape}[data-name='blocks.0.0.conv_dw']")[0])
        page.wait.until(lambda _: page.opened() == "Weights")
        page.wait.until(lambda _: "weights of blocks.0.0.conv_dw" in page.text())
        page.choose("layer", "conv_stem")

    page.open("Trade-off")
    page.choose("y axis", "same class as the float network [%]")
    page.click(page.seen("circle[data-name]")[0])
    page.wait.until(lambda _: "The row behind the mark" in page.text())
    page.choose("panels", "(none)")
    assert "All rows" in page.text()

    page.open("Accelerator")
    page.move("DRAM per cycle")
    page.tick("BitWave*")
    assert "Not computed for these sizes: BitWave" in page.text()
    page.press("compute slow designs")
    assert "Not computed" not in page.text() and "BitWave (8-bit)" in page.text()


def test_nothing_is_wider_than_its_tab(page):
    for width, title in product((1500, 900), ("Weights", "Network", "Trade-off", "Accelerator")):
        page.browser.set_window_size(width, 1200)
        page.open(title)
        (tab,) = page.seen(".swis-tab")
        assert page.browser.execute_script(_WIDER, tab) == []


def until(act) -> None:
    """Try until no error comes, as while a server starts."""
    end = time.monotonic() + _SECONDS
    while True:
        try:
            return act()
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
