"""Show prepared data on one HTML page in Korean and English, with sample crops."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from pyojeong.core.html import Cell, card, note, notice, number, page, table, text
from pyojeong.core.labels import KOREAN, KOREAN_TO_ENGLISH
from pyojeong.core.workspace import SYNTHETIC_NOTICE, SYNTHETIC_NOTICE_KOREAN
from pyojeong.data.summary import RESIZED

SHEET = 14
"""Crops per class on the contact sheet, each of a different person."""

_THUMBNAIL = 112

KOREAN_MEANINGS = {
    "record_without_image": "라벨 기록은 있으나 사진이 없음",
    "image_without_record": "사진은 있으나 라벨 기록이 없음",
    "duplicate_record": "같은 파일 이름의 두 번째 라벨 기록 (첫 번째를 사용)",
    "duplicate_image": "같은 파일 이름의 두 번째 사진 (첫 번째를 사용)",
    "malformed_record": "형식이 잘못되었거나 파일 이름이 없는 라벨 기록",
    "no_person": "파일 이름이 64자리 사람 해시로 시작하지 않음",
    "no_majority": "두 명 이상이 같은 감정을 고르지 않음",
    "not_unanimous": "세 명이 모두 일치하지 않음 (unanimous 정책)",
    "unknown_label": "라벨이 알수없음이거나 일곱 감정이 아님",
    "no_box": "얼굴 박스가 네 개의 숫자로 주어지지 않음",
    "zero_area_box": "모든 얼굴 박스의 너비나 높이가 0",
    "unsafe_name": "압축 파일 안의 이름이 절대 경로이거나 .. 를 포함",
    "undecodable_name": "알려진 인코딩이 아닌 파일 이름",
    "symbolic_link": "SOURCE 안쪽의 심볼릭 링크 (바로 아래 것만 따라감)",
    "unfinished_download": "내려받기가 끝나지 않은 파일",
    "unreadable_archive": "잘렸거나 zip이 아닌 압축 파일, 또는 끊어진 링크",
    "other_archive": "zip이 아니거나 다른 압축 파일 안에 든 압축 파일 (한 번 풀어야 함)",
    "unreadable_json": "읽을 수 없는 JSON 파일",
    "other_json": "라벨 기록이 없는 JSON 파일",
    "box_outside_image": "얼굴 박스의 절반을 넘는 부분이 사진 밖에 있음",
    "tiny_box": "얼굴 박스의 한 변이 20픽셀 미만",
    "corrupt_image": "끝까지 디코딩되지 않는 사진",
    "not_an_image": "지원하는 형식의 이미지가 아닌 파일",
    "empty_image": "내용이 없는 파일",
    "too_large_image": "8,900만 픽셀 또는 256 MiB 초과",
    "encrypted_image": "암호가 걸린 압축 파일의 사진",
    "missing_image": "준비 도중 사라진 사진",
    "lost_archive": "준비 도중 읽을 수 없게 된 압축 파일의 사진",
}
"""Reason for a drop -> its meaning in Korean; the summary itself has the English."""

KOREAN_WARNINGS = {
    "no photograph at all": "사진이 하나도 없음",
    RESIZED: "박스가 사진 밖으로 나감; 사진의 크기를 바꾸었거나 EXIF 방향 없이 돌렸는지 확인하고 원본을 사용할 것",
    "no photograph in train": "학습 세트에 사진이 없음",
    "no photograph in val": "검증 세트에 사진이 없음",
    "no photograph in test": "테스트 세트에 사진이 없음",
}
"""English warning, as in the summary -> Korean."""

_STRAY = "박스가 사진 속 얼굴과 맞지 않음"

_ORIENTATIONS = {
    "0": "정보 없음 · none",
    "1": "똑바름 · upright",
    "2": "좌우 반전 · mirrored",
    "3": "180° 회전 · rotated by 180°",
    "4": "상하 반전 · flipped",
    "5": "대각 반전 · transposed",
    "6": "시계 방향 90° · 90° clockwise",
    "7": "역대각 반전 · transversed",
    "8": "반시계 방향 90° · 90° counter-clockwise",
}

_SPLITS = {"train": "학습", "val": "검증", "test": "테스트"}

_POLICIES = {"majority": "2인 이상 일치", "unanimous": "3인 일치", "uploader": "업로더"}

_SIZES = {
    "width": "박스 너비 px<br>width",
    "height": "박스 높이 px<br>height",
    "longer_side": "긴 변 px<br>longer side",
    "share_of_photograph": "사진에서 차지하는 비율 %<br>share of the photograph",
}

_STYLE = """
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: .8rem; }
.tiles div { border: 1px solid var(--line); border-radius: 10px; padding: .7rem .9rem; }
.tiles b { display: block; font-size: 1.55rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .84rem; }
.bar { display: inline-block; width: 9rem; height: .62rem; background: var(--line); border-radius: 4px;
  overflow: hidden; vertical-align: middle; white-space: nowrap; font-size: 0; text-align: left; }
.bar i { display: inline-block; height: 100%; background: var(--accent); }
.bar i + i { opacity: .5; } .bar i + i + i { opacity: .25; }
.heat td { text-align: center; } .heat th { text-align: center; } .heat .word { text-align: left; }
.heat small { color: inherit; }
.heat b { display: block; border-radius: 6px; padding: .2rem .1rem; font-weight: 500; min-width: 3.6rem;
  background: color-mix(in srgb, var(--accent) calc(var(--share) * .6%), transparent); }
.sheet { display: grid; grid-template-columns: 6.5rem 1fr; gap: .5rem .9rem; align-items: center; }
.sheet div { display: flex; flex-wrap: wrap; gap: 5px; }
.sheet img { width: 64px; height: 64px; border-radius: 8px; }
.sheet b { font-size: 1rem; } .sheet small { display: block; color: var(--soft); }
@media (max-width: 560px) { .sheet { grid-template-columns: 1fr; } }
"""


def contact_sheet(root: Path, rows: pl.DataFrame) -> dict[str, list[bytes]]:
    """Return up to ``SHEET`` small JPEGs per label, each of a different person.

    The hash in the crop's name decides which, so equal data give an equal sheet.

    Args:
        root: the project root.
        rows: needs ``crop`` (path below ``root``), ``label`` and ``person``.
    """
    by_hash = rows.sort(pl.col("crop").str.slice(-20)).unique(["label", "person"], keep="first", maintain_order=True)
    crops = {label: by_hash.filter(pl.col("label") == label)["crop"].head(SHEET) for label in KOREAN}
    return {label: [_thumbnail(root / path) for path in paths] for label, paths in crops.items()}


def render(summary: Mapping[str, Any], sheet: Mapping[str, Sequence[bytes]]) -> str:
    """Return the page.

    Args:
        summary: the result of ``summary.summarize``, with ``synthetic`` and ``settings``.
        sheet: label -> JPEG files, as ``contact_sheet`` returns them.
    """
    settings = summary["settings"]
    unit = "사람" if settings["split"] == "person" else "사진"
    lead = (
        f"라벨 정책 {_POLICIES[settings['policy']]} <code>{settings['policy']}</code> · "
        f"{unit} 단위 분할 <code>{settings['split']}</code> · seed {settings['seed']}<br>"
        f"Labels by {settings['policy']}, split by {settings['split']}."
    )
    cards = [
        *_notices(summary),
        card("한눈에 보기", "At a glance", _tiles(summary)),
        card("클래스별 사진 수", "Photographs per class and split", _classes(summary)),
        card("제외 사유", "What was dropped and why", _drops(summary)),
        card("라벨과 업로더의 감정", "Label and the uploader's emotion", _uploaders(summary) + note(_UPLOADER)),
        card("주석자 일치도", "Annotator agreement", _agreement(summary) + note(_AGREEMENT)),
        card("EXIF 방향", "EXIF orientations", _orientations(summary)),
        card("얼굴 박스 크기", "Face box sizes", _sizes(summary)),
        card("클래스별 크롭", "Sample crops of each class", _sheet(sheet) + note(_SHEET)),
    ]
    heading = "데이터 준비 결과 <span>Prepared data</span>"
    return page(
        "pyojeong 표정: 데이터 준비", heading, lead, cards, command="pyojeong prepare", language="ko", style=_STYLE
    )


_UPLOADER = (
    "행은 채택된 라벨, 열은 사진을 올린 사람이 고른 감정. 각 칸은 사진 수와 행 안의 비율. "
    "Rows are labels, columns the emotion that the uploader chose; percentages are shares of the row."
)
_AGREEMENT = (
    "채택된 라벨을 고른 주석자의 수. 두 명 이상이 일치하지 않은 사진은 위의 제외 사유에 있음. "
    "How many annotators chose the label. Photographs without a majority are listed among the drops."
)
_SHEET = (
    "사람마다 한 장씩 무작위로 고름. 사람의 얼굴이 들어 있는 페이지이므로 공유하기 전에 데이터 이용 약관을 확인할 것. "
    "One crop per person, chosen at random. The page contains faces: check the terms of the data before sharing it."
)


def _thumbnail(path: Path) -> bytes:
    jpeg = io.BytesIO()
    with Image.open(path, formats=["JPEG"]) as image:
        image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS).save(jpeg, "JPEG", quality=80)
    return jpeg.getvalue()


def _notices(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["synthetic"]:
        yield notice(SYNTHETIC_NOTICE_KOREAN, SYNTHETIC_NOTICE)
    lines = [f"건너뜀 · skipped: {line}" for line in summary["unreadable"]]
    lines += [_in_both_languages(line) for line in summary["warnings"]]
    if lines:
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        yield f'<div class="notice">확인 필요 · Please check<ul>{items}</ul></div>'


def _in_both_languages(warning: str) -> str:
    label, _, meaning = warning.partition(": ")
    korean = KOREAN_WARNINGS.get(meaning, _STRAY if label == "face boxes" else None)
    return f"{label}: {korean} · {meaning}" if korean else warning


def _tiles(summary: Mapping[str, Any]) -> str:
    tiles = {
        "사람<br>people": summary["people"],
        "쓸 수 있는 사진<br>usable photographs": summary["kept"],
        "찾은 사진<br>photographs found": summary["photographs"],
        "라벨 기록<br>label records": summary["records"],
        "제외<br>dropped": sum(summary["drops"].values()),
        "1인당 사진(중앙값)<br>median per person": summary["photographs_per_person"]["0.5"],
    }
    tiles |= {
        f"{korean} 세트의 사람<br>people in {split}": summary["people_per_split"][split]
        for split, korean in _SPLITS.items()
    }
    body = "".join(
        f"<div><b>{'–' if value is None else f'{value:,.0f}'}</b><span>{name}</span></div>"
        for name, value in tiles.items()
    )
    return f'<div class="tiles">{body}</div>'


def _classes(summary: Mapping[str, Any]) -> str:
    images = summary["images"]
    rows = pl.DataFrame(
        {"label": KOREAN, "english": [KOREAN_TO_ENGLISH[label] for label in KOREAN]}
        | {split: [images[split][label] for label in KOREAN] for split in _SPLITS}
    ).with_columns(total=pl.sum_horizontal(*_SPLITS))
    largest = max(rows["total"].max() or 0, 1)
    columns = {
        "감정<br>class": lambda row: f"{row['label']} <small>{row['english']}</small>",
        **{f"{korean}<br>{split}": number(split) for split, korean in _SPLITS.items()},
        "합계<br>total": number("total"),
        "": lambda row: _bar([row[split] / largest for split in _SPLITS]),
    }
    return table(rows, columns)


def _drops(summary: Mapping[str, Any]) -> str:
    drops = summary["drops"]
    if not drops:
        return "<p>제외된 것이 없음. Nothing was dropped.</p>"
    rows = pl.DataFrame(
        {"reason": list(drops), "count": list(drops.values()), "english": [summary["drop_meanings"][r] for r in drops]}
    ).sort("count", descending=True)
    largest = max(drops.values())
    columns = {
        "뜻<br>meaning": lambda row: f"{KOREAN_MEANINGS[row['reason']]}<br><small>{escape(row['english'])}</small>",
        "사유<br>reason": lambda row: f"<code>{row['reason']}</code>",
        "수<br>count": number("count"),
        "": lambda row: _bar([row["count"] / largest]),
    }
    return table(rows, columns, words=2)


def _uploaders(summary: Mapping[str, Any]) -> str:
    counts: dict[str, dict[str, int]] = summary["uploader"]
    words = [*KOREAN, *sorted({word for row in counts.values() for word in row} - set(KOREAN))]
    rows = pl.DataFrame(
        [{"label": label} | {word: counts.get(label, {}).get(word, 0) for word in words} for label in KOREAN],
        schema={"label": pl.String} | dict.fromkeys(words, pl.Int64),
    )

    def heat(word: str) -> Cell:
        def cell(row: dict[str, Any]) -> str:
            if not row[word]:
                return "<small>0</small>"
            share = 100 * row[word] / sum(row[other] for other in words)
            return f'<b style="--share:{share:.1f}">{row[word]:,}<br><small>{share:.1f} %</small></b>'

        return cell

    columns = {"라벨<br>label": text("label")} | {escape(word) or "없음 none": heat(word) for word in words}
    return f'<div class="heat">{table(rows, columns)}</div>'


def _agreement(summary: Mapping[str, Any]) -> str:
    counts: dict[str, dict[str, int]] = summary["agreement"]
    levels = [level for level in "3210" if level in "32" or any(level in row for row in counts.values())]
    rows = pl.DataFrame(
        [{"label": label} | {level: counts.get(label, {}).get(level, 0) for level in levels} for label in KOREAN]
    ).with_columns(total=pl.sum_horizontal(*levels))
    columns = {
        "감정<br>class": text("label"),
        **{f"{level}명<br>{level} of 3": number(level) for level in levels},
        "3명 일치 %<br>all three": lambda row: f"{100 * row['3'] / row['total']:.1f}" if row["total"] else "–",
        "": lambda row: _bar([row[level] / max(row["total"], 1) for level in levels]),
    }
    return table(rows, columns)


def _orientations(summary: Mapping[str, Any]) -> str:
    return _histogram(
        summary["orientations"],
        "방향<br>orientation",
        lambda row: f"{row['key']} <small>{_ORIENTATIONS[row['key']]}</small>",
    )


def _histogram(counts: Mapping[str, int], head: str, name: Cell) -> str:
    """Return a table of photographs by ``key``, which ``name`` shows."""
    total = max(sum(counts.values()), 1)
    rows = pl.DataFrame(list(counts.items()), schema={"key": pl.String, "count": pl.Int64}, orient="row")
    columns = {
        head: name,
        "사진<br>photographs": number("count"),
        "비율 %<br>share": lambda row: f"{100 * row['count'] / total:.1f}",
        "": lambda row: _bar([row["count"] / total]),
    }
    return table(rows, columns)


def _sizes(summary: Mapping[str, Any]) -> str:
    sizes = summary["box_sizes"]
    bins: dict[str, int] = sizes["longer_side_from"]
    ranges = [f"{begin}–{end} px" if end else f"≥ {begin} px" for begin, end in pairwise([*bins, ""])]
    histogram = _histogram(dict(zip(ranges, bins.values(), strict=True)), "긴 변<br>longer side", text("key"))
    quantiles = list(sizes["width"])
    rows = pl.DataFrame(
        [{"name": name} | sizes[name] for name in _SIZES],
        schema={"name": pl.String} | dict.fromkeys(quantiles, pl.Float64),
    )
    in_percent = pl.when(pl.col("name") == "share_of_photograph").then(100).otherwise(1)
    columns = {"분위수<br>quantile": lambda row: _SIZES[row["name"]]}
    columns |= {f"{float(quantile):.0%}": number(quantile, ",.0f") for quantile in quantiles}
    clipped = f"사진에 맞게 잘라 낸 박스 · boxes clipped to their photograph: {summary['clipped_boxes']:,}"
    return f"{histogram}<p></p>{table(rows.with_columns(pl.col(quantiles) * in_percent), columns)}{note(clipped)}"


def _bar(shares: Sequence[float]) -> str:
    return '<span class="bar">' + "".join(f'<i style="width:{100 * share:.1f}%"></i>' for share in shares) + "</span>"


def _sheet(sheet: Mapping[str, Sequence[bytes]]) -> str:
    body = ""
    for label in KOREAN:
        images = "".join(
            f'<img alt="{label}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
            for data in sheet[label]
        )
        body += f"<p><b>{label}</b><small>{KOREAN_TO_ENGLISH[label]}</small></p><div>{images or '–'}</div>\n"
    return f'<div class="sheet">{body}</div>'
