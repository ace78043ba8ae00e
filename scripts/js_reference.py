"""Write ``docs/js_reference.md``, the reference of the npm package, from the comments of its modules.

    python scripts/setup.py tools
    python scripts/js_reference.py [--out docs/js_reference.md]

TypeDoc reads the types that ``tsc`` makes of the modules' comments. A public type that is not listed here is an error.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TYPES = ROOT / "web/types"
TYPEDOC = ROOT / "tests/tools/node_modules/typedoc/bin/typedoc"
PAGE = ROOT / "docs/js_reference.md"

EXPORTS = {
    "analyzer": ("EmotionAnalyzer", "WorkerAnalyzer", "Analyzer", "ThreadOptions"),
    "analysis": ("AnalyzerOptions", "AnalysisOptions", "AnalyzerInfo", "FaceEmotions", "BoxOptions", "Timings"),
    "worker-client": ("WorkerOptions", "WorkerTimings"),
    "onnx_emotion_api": ("EmotionAPI", "EmotionOptions", "PredictOptions"),
    "head": ("HeadOptions", "EmotionInfo"),
    "model": ("ModelFacts",),
    "detector": ("FaceDetector", "DetectorOptions", "SearchOptions", "DetectorInfo", "Face"),
    "tiny-face-detector": (
        *("TinyFaceDetector", "TinyDetectorOptions", "TinySearchOptions", "TinyDetectorInfo", "TinyFace"),
    ),
    "face-api": ("install", "uninstall", "MAPPING", "InstallOptions", "FaceApiModule"),
    "options": ("RuntimeOptions", "Provider", "EngineName", "Ort"),
    "network": ("RuntimeInfo",),
    "errors": ("EmotionError", "ErrorCode"),
    "source": ("Source", "RawImage"),
    "patch": ("Box", "BoxKind"),
    "alignment": ("Landmarks", "AlignmentPoints", "Point"),
}
"""Module -> what the reference shows of it."""

HEAD = """# JavaScript reference

Written by `python scripts/js_reference.py` from the comments in `web/`; do not edit. The [guide](js_api.md) explains
how the parts are used. `install`, `uninstall` and `MAPPING` come from `pyojeong/face-api`, the rest from `pyojeong`.
"""


def reference() -> str:
    """Return the page; CalledProcessError where a tool fails or a public type is not listed."""
    subprocess.run(["npx", "--no-install", "tsc", "-p", "web/tsconfig.pack.json"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entry = folder / "pyojeong.d.ts"
        lines = [f"export {{ {', '.join(names)} }} from '{TYPES / module}.js';" for module, names in EXPORTS.items()]
        entry.write_text("\n".join(lines), encoding="utf-8")
        (folder / "tsconfig.json").write_text(
            json.dumps(
                {
                    "compilerOptions": {
                        **{"module": "esnext", "moduleResolution": "bundler", "target": "es2022"},
                        **{"lib": ["es2022", "dom", "dom.iterable"], "skipLibCheck": True},
                    },
                    "files": [str(entry)],
                }
            ),
            encoding="utf-8",
        )
        options = {
            **{"entryPoints": [str(entry)], "tsconfig": str(folder / "tsconfig.json"), "out": str(folder / "out")},
            **{"plugin": ["typedoc-plugin-markdown"], "outputFileStrategy": "modules", "readme": "none"},
            **{"name": "pyojeong", "skipErrorChecking": True, "disableSources": True, "excludePrivate": True},
            **{"hidePageHeader": True, "hidePageTitle": True, "hideBreadcrumbs": True, "hideGroupHeadings": True},
            **{"parametersFormat": "table", "typeAliasPropertiesFormat": "table", "useCodeBlocks": True},
            **{"expandObjects": True, "treatValidationWarningsAsErrors": True, "logLevel": "Warn"},
            "validation": {"notExported": True, "invalidLink": False, "notDocumented": False},
        }
        (folder / "typedoc.json").write_text(json.dumps(options), encoding="utf-8")
        subprocess.run(["node", TYPEDOC, "--options", folder / "typedoc.json"], cwd=TYPEDOC.parents[3], check=True)
        (page,) = (folder / "out").rglob("*.md")
        text = page.read_text(encoding="utf-8")
    # Base classes are not public.
    body = re.sub(r"#+ (Inherited from|Overrides|Extends)\n\n.+\n", "", text)
    body = re.sub(r"\n{3,}", "\n\n", re.sub(r" +$", "", body, flags=re.MULTILINE)).strip()
    return f"{HEAD}\n{body}\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    if not TYPEDOC.is_file():
        sys.exit("TypeDoc is not installed; run: python scripts/setup.py tools")
    given.out.write_text(reference(), encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
