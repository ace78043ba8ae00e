"""Tables whose lines are quoted as a whole, and in wide encodings."""

from pathlib import Path

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.labels import K7
from pyojeong.core.table import read_csv, read_table

ROWS = [("사진/1.jpg", "기쁨", "a"), ("2.jpg", "슬픔", 'say "b"')]


@pytest.mark.parametrize(
    "text",
    [
        '"path,label,note"\n"사진/1.jpg,기쁨,a"\n"2.jpg,슬픔,say ""b"""\n',
        'path,label,note\r\n"사진/1.jpg,기쁨,a"\r\n\r\n"2.jpg,슬픔,say ""b"""\r\n',
        '"path;label;note",,\n"사진/1.jpg;기쁨;a",,\n"2.jpg;슬픔;say ""b""",,\n',
        '\n"path\tlabel\tnote"\n"사진/1.jpg\t기쁨\ta"\n"2.jpg\t슬픔\tsay ""b"""',
    ],
)
def test_lines_that_are_quoted_as_a_whole_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert read_table(tmp_path / "a.csv", scheme=K7, root=tmp_path).select("path", "label", "note").rows() == ROWS


def test_the_line_of_a_quoted_line_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"path,label"\n\n"1.jpg,기쁨"\n"2.jpg,기뿜"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.csv, line 4: the label '기뿜'"):
        read_table(tmp_path / "a.csv", scheme=K7, root=tmp_path)


def test_cells_of_a_single_column_keep_their_commas(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('path\n"1,2.jpg"\n"3,4.jpg"\n', encoding="utf-8")
    assert read_csv(tmp_path / "a.csv")["path"].to_list() == ["1,2.jpg", "3,4.jpg"]


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be"])
def test_utf_32_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_text("path,label,note\n사진/1.jpg,기쁨,a\n", encoding=encoding)
    assert read_table(tmp_path / "a.csv", scheme=K7, root=tmp_path)["path"].to_list() == ["사진/1.jpg"]
