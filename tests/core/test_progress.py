import subprocess
import sys

import pytest

from pyojeong.core.progress import bar, track


def test_items_pass_through_in_order():
    assert list(track(iter("abc"), "reading")) == ["a", "b", "c"]


def test_short_work_is_silent_where_there_is_no_terminal():
    code = "from pyojeong.core.progress import track; print(sum(track(range(4), 'adding')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("6\n", "")


def test_a_terminal_sees_what_is_done_and_the_note(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with bar("training", total=4) as advance:
        advance(3, note="loss 0.50")
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "3/4" in shown
    assert "loss 0.50" in shown


def test_off_a_terminal_warnings_are_heard_once_and_nothing_else():
    code = (
        "import logging; from pyojeong.core.progress import show_messages; show_messages()\n"
        "log = logging.getLogger('pyojeong.x'); log.info('epoch 1'); log.warning('leak'); log.warning('leak')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "leak\n"


def test_without_a_terminal_a_line_appears_each_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("pyojeong.core.progress.time.monotonic", lambda: clock[0])
    with bar("Cutting", 5000) as advance:
        for seconds, count in ((30, 600), (61, 1220), (90, 500), (122, 120)):
            clock[0] = seconds
            advance(count, "epoch 1")
    assert capsys.readouterr().err.splitlines() == [
        "Cutting: 1,820 of 5,000, 29.8/s, epoch 1",
        "Cutting: 2,440 of 5,000, 20.0/s, epoch 1",
    ]
    with bar("Reading", None) as advance:
        clock[0] += 60
        advance()
    assert capsys.readouterr().err == "Reading: 1, 0.0/s\n"
