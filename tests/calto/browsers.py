"""Calto's pages in headless Chromiums, each of which says a tone of its own; and their server."""

from __future__ import annotations

import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from tests.interop.conftest import CHROMIUM_ARGUMENTS
from tests.ports import free_port

PATIENCE = 30.0
"""Seconds for what takes one or two, on a busy machine."""

MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

LOUDEST = """
async () => {
  const audio = document.querySelector('[data-testid=remote-audio]');
  if (!audio?.srcObject) return [0, -200];
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 4096;
  context.createMediaStreamSource(audio.srcObject).connect(analyser);
  const levels = new Float32Array(analyser.frequencyBinCount);
  let loudest = [0, -200];
  // The tone comes and goes, so that it is not taken for noise.
  for (let look = 0; look < 15; look++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    analyser.getFloatFrequencyData(levels);
    levels.forEach((level, n) => {
      if (level > loudest[1]) loudest = [n * context.sampleRate / analyser.fftSize, level];
    });
  }
  await context.close();
  return loudest;
}
"""
"""Which frequency is the loudest of what the other side says, and how loud it is, in dB."""


class CaltoUnderTest:
    """A `calto serve` in a process of its own, on ports that stay the same when it starts again.

    Attributes: url; database: its SQLite file.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        http, turn = free_port(1), free_port(2)
        self.url = f"{'https' if '--tls' in options else 'http'}://localhost:{http}"
        self.database = directory / "calto.db"
        self._command = [
            *(sys.executable, "-m", "calto_demo.cli", "serve", "--drain-time", "1"),
            *("--listen", f"127.0.0.1:{http}", "--turn-port", str(turn)),
            *("--database", f"sqlite:///{self.database}", *options),
        ]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when it serves."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready"):
                return
        raise AssertionError(f"calto serve ended with {self._process.wait()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it as whoever runs it would, or by SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE)
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def calto(directory: Path, *options: str) -> Iterator[CaltoUnderTest]:
    """Run a server until the block ends."""
    server = CaltoUnderTest(directory, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def write_tone(path: Path, hertz: int) -> None:
    """Write two seconds of a tone that is on and off four times a second."""
    rate = 48_000
    samples = (
        int(12_000 * math.sin(2 * math.pi * hertz * n / rate)) * (n // 6_000 % 2 == 0)
        for n in range(2 * rate)
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def open_browser(
    driver: Playwright, tone: Path, program: Path | str | None = None, *arguments: str
) -> Browser:
    """Start a Chromium whose microphone plays a file. Args: program: what starts it."""
    sound = f"--use-file-for-fake-audio-capture={tone}"
    return driver.chromium.launch(
        executable_path=program or shutil.which("chromium"),
        args=[*CHROMIUM_ARGUMENTS, *MICROPHONE, sound, *arguments],
    )


def keep_picture(somebody: Somebody, name: str, part: Locator | None = None) -> None:
    """Keep how a page looks in the folder that CALTO_SCREENSHOTS names; without one, nothing.

    Args: part: of the page; None: all of it.
    """
    folder = os.environ.get("CALTO_SCREENSHOTS")
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{name}.png"
    if part is None:
        somebody.page.screenshot(path=path, full_page=True)
    else:
        part.screenshot(path=path)


class Somebody:
    """A person at a page. Attributes: page, name, says: the tone in their microphone, in Hz."""

    def __init__(self, browser: Browser, name: str, says: int, **context: Any) -> None:
        self.name, self.says = name, says
        self._context = browser.new_context(**context)
        self._context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = self._context.new_page()

    def sign_in(self, url: str) -> Somebody:
        self.page.goto(url)
        self.page.get_by_label("Your name").fill(self.name)
        self.page.get_by_role("button", name="Sign in as a guest").click()
        self.page.get_by_text("Online", exact=True).first.wait_for(state="attached")
        return self

    def press(self, name: str) -> None:
        # Somebody of the same name may have left just now, and cannot be called.
        self.page.get_by_role("button", name=name, exact=True, disabled=False).click()

    def choose_path(self, name: str) -> None:
        self.page.get_by_role("radio", name=name).click()

    def call(self, other: Somebody) -> None:
        self.press(f"Call {other.name}")

    def expect_status(self, words: str) -> None:
        """Wait until the call's screen says so."""
        status = self.page.get_by_test_id("call-status")
        expect(status).to_have_text(words, timeout=PATIENCE * 1000)

    def expect_talking(self) -> None:
        self.page.get_by_test_id("timer").wait_for()

    def expect_hears(self, other: Somebody) -> None:
        """Wait until the loudest of what comes is the other's tone."""
        for _ in range(15):
            hertz, decibels = self.page.evaluate(LOUDEST)
            if abs(hertz - other.says) < 25 and decibels > -60:
                return
        raise AssertionError(f"{self.name} hears {hertz} Hz at {decibels} dB, not {other.says} Hz")

    def expect_silence(self) -> None:
        """Wait until nothing comes that is louder than a whisper."""
        for _ in range(15):
            _, decibels = self.page.evaluate(LOUDEST)
            if decibels < -80:
                return
        raise AssertionError(f"{self.name} hears something at {decibels} dB")

    def path(self) -> tuple[str, str]:
        """Return what the path card says: "direct" or "relayed", and its words."""
        label = self.page.get_by_test_id("path-label")
        kind = label.get_attribute("data-path")
        assert kind is not None
        return kind, label.inner_text()

    def leave(self) -> None:
        self._context.close()


def talk(one: Somebody, other: Somebody) -> None:
    """Ring, accept, and wait until both talk."""
    one.call(other)
    other.press("Accept")
    one.expect_talking()
    other.expect_talking()
