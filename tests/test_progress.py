import subprocess
import sys

from pyojeong.progress import bar, track


def test_items_pass_through_in_order():
    assert list(track(iter("abc"), "reading")) == ["a", "b", "c"]


def test_silence_where_there_is_no_terminal():
    code = "from pyojeong.progress import track; print(sum(track(range(4), 'adding')))"
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
        "import logging; from pyojeong.progress import show_messages; show_messages()\n"
        "log = logging.getLogger('pyojeong.x'); log.info('epoch 1'); log.warning('leak'); log.warning('leak')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "leak\n"
