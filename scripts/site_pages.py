"""MkDocs hooks that bring the Markdown files outside ``docs/`` into the site and adapt all links to it."""

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "index.md": "README.md",
    "ko.md": "README.ko.md",
    "npm.md": "web/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""Page of the site -> Markdown file of the repository."""

LICENSES = ("LICENSE", "LICENSE-MODEL")

_PAGE_OF = {source: page for page, source in PAGES.items()} | {name: f"{name}.txt" for name in LICENSES}
_LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and license texts that come from outside ``docs/``."""
    root = posixpath.dirname(config.config_file_path)
    for target, source in PAGES.items() | {(f"{name}.txt", name) for name in LICENSES}:
        files.append(File.generated(config, target, abs_src_path=posixpath.join(root, source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links of the repository to pages of the site; a link to a file that the site lacks becomes its text."""
    source = PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return _LINK.sub(lambda link: _on_site(link, source), markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Mark the Korean page as Korean, for screen readers and search engines."""
    return output.replace('<html lang="en"', '<html lang="ko"', 1) if page.file.src_uri == "ko.md" else output


def _on_site(link: re.Match[str], source: str) -> str:
    if ":" in link["target"]:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["target"]))
    if path.startswith("docs/"):
        target = path.removeprefix("docs/")
    elif path in _PAGE_OF:
        target = _PAGE_OF[path]
    else:
        return link["text"].removeprefix("[").removesuffix("]")
    return f"{link['text']}({target}{link['anchor'] or ''})"
