"""What the tests of the report share."""

import pytest

from pyojeong.report.page import Picture


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out where a test is about numbers: drawing takes most of a report's time."""
    blank = dict.fromkeys(("overview", "confusions", "class_scores"), Picture(b"", b""))
    monkeypatch.setattr("pyojeong.report.report._draw", lambda *_: blank)
