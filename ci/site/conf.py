"""How Sphinx makes the web site of the book. `cargo site` copies the texts beside this file and runs it."""

import json
import re
from pathlib import Path

project = "dldna"
html_title = "dldna"
html_static_path = ["_static"]
html_css_files = ["site.css", "explorable.css"]
html_theme = "sphinx_book_theme"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {
    "navbar_persistent": [],  # the search is in the sidebar
    "navigation_with_keys": True,
    "show_toc_level": 2,
    "use_download_button": True,  # the notebook itself
    "use_fullscreen_button": False,
}
extensions = ["myst_nb", "sphinx_copybutton", "sphinx-mathjax-offline"]
nb_execution_mode = "off"  # what is shown is what is committed
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath", "html_image"]
myst_heading_anchors = 4
copybutton_selector = "div.cell_input pre, div.highlight-rust pre, div.highlight-sh pre"
exclude_patterns = ["**/.ipynb_checkpoints", "player.html"]
# The kernel's errors are not Python's.
suppress_warnings = ["misc.highlighting_failure"]

HERE = Path(__file__).parent


def without_links_to_files(text):
    """Markdown whose links to files that are no pages, such as source code, are plain text."""

    def plain(match):
        target = match[2].split("#")[0]
        is_page = not target or "://" in target or target.endswith((".md", ".ipynb"))
        return match[0] if is_page else match[1]

    return re.sub(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", plain, text)


def as_picture(output, cell):
    """A picture inside HTML, which is there for its alternative text, as a file of its own."""
    html = "".join(output.get("data", {}).get("text/html", ""))
    source = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    if not source or html.count("<img") > 1 or "<script" in html:
        return
    alt = re.search(r'alt="([^"]*)"', html)
    output["data"] = {"image/png": source[1]}
    if alt:
        image = {"alt": alt[1].replace("&quot;", '"').replace("&amp;", "&")}
        cell["metadata"].setdefault("mystnb", {})["image"] = image


def prepare(app, name, source):
    """What a page is made of, before it is read."""
    if app.env.doc2path(name).suffix != ".ipynb":
        source[0] = without_links_to_files(source[0])
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = without_links_to_files("".join(cell["source"]))
        for output in cell.get("outputs", []):
            as_picture(output, cell)
    source[0] = json.dumps(notebook)


def load_pictures_late(app, page, template, context, doctree):
    """A page is shown before its figures have come."""
    if "body" in context:
        context["body"] = context["body"].replace("<img ", '<img loading="lazy" ')


def write_player(app):
    """The player of 7.2, for the front page: as its cell has it."""
    notebook = json.loads((HERE / "notebooks/07_02_filters_and_convolution.ipynb").read_text())
    outputs = (output for cell in notebook["cells"] for output in cell.get("outputs", []))
    html = ("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    player = next(text for text in html if 'class="dldna-player"' in text)
    (HERE / "player.html").write_text(f'<div class="front-player">{player}</div>')


def setup(app):
    app.connect("builder-inited", write_player)
    app.connect("source-read", prepare)
    app.connect("html-page-context", load_pictures_late)
