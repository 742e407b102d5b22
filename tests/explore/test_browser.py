"""The explorer in JupyterLab, as a person uses it: a slider moves, the figure follows."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from conftest import ROOT
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_SECONDS = 180  # a cold start on a busy machine
# without waiting for what it returns, which comes when all cells have run
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


def figure(browser) -> str:
    images = browser.find_elements(By.CSS_SELECTOR, ".jupyter-widgets img")
    return images[-1].get_attribute("src") if images else ""


def test_the_figure_of_the_explorer_follows_a_slider(browser, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "90_explore.ipynb", folder)
    wait = WebDriverWait(browser, _SECONDS, ignored_exceptions=[Exception])
    with jupyterlab(folder, tmp_path / "home") as address:
        until(lambda: browser.get(f"{address}/lab/tree/90_explore.ipynb"))
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-CodeCell"))
        wait.until(lambda page: "Idle" in page.find_element(By.ID, "jp-main-statusbar").text)  # the kernel is
        wait.until(lambda page: page.execute_script(_RUN_ALL))
        wait.until(figure)
        before = figure(browser)
        handle = browser.find_elements(By.CSS_SELECTOR, ".widget-slider .noUi-handle")[0]
        ActionChains(browser).drag_and_drop_by_offset(handle, 40, 0).perform()
        wait.until(lambda page: figure(page) not in ("", before))
        assert int(browser.find_elements(By.CSS_SELECTOR, ".widget-readout")[0].text) > 2  # shifts


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
