import pytest

from pyojeong.analysis.problems import PROBLEMS, SourceError
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("reason", [reason for reason in PROBLEMS if reason != "outside"])
def test_every_reason_is_one_line_with_a_remedy_and_stands_in_the_runbook(reason: str) -> None:
    error = SourceError(reason, "a.mp4")
    assert str(error) == f"a.mp4: {PROBLEMS[reason]}"
    assert "\n" not in str(error)
    assert f"`{reason}`" in (REPOSITORY / "docs/runbook.md").read_text(encoding="utf-8")
