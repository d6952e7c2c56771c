"""How Sphinx makes the web site of the book. `cargo site` copies the texts beside this file and runs it."""

import functools
import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref

project = "dldna"
author = "the contributors of dldna"
html_title = "dldna"
html_static_path = ["_static"]
html_css_files = ["site.css", "explorable.css"]
html_js_files = ["site.js"]
html_favicon = "_static/icon.svg"
templates_path = ["_templates"]
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


# Where a page that computes stands in the text: the notebook, the heading that it comes before, the page, and what is done there.
PLAY = [
    ("01_first_network", "## Summary", "training", "watch a small network learn digits"),
    ("07_02_filters_and_convolution", "## 7.2.6 What fixed filters cannot do", "filter", "change a filter over a photograph"),
    ("07_03_cnn_structure", "## 7.3.4 Batch norm: keeping the numbers in range", "layers", "draw a digit and see every channel"),
    ("07_03_cnn_structure", "### Seen by back-propagation", "receptive_field", "stack layers and see what a unit sees"),
    ("07_06_counting_parameters", "## 7.6.5 Memory", "receptive_field", "stack layers and read parameters and multiply-adds"),
    ("07_07_features_and_abstraction", "## 7.7.2 Sparse features", "layers", "draw a digit and see what excites each channel"),
    ("07_09_residual_learning", "## 7.9.5 What is known, what we measured, what is open", "training", "let a deep network learn with shortcuts and without"),
]


def play(notebook, name):
    """Puts the pages that compute where they belong, as frames that are loaded when they come into view, or when the page has nothing else to do."""
    for where, heading, page, text in PLAY:
        if name != f"notebooks/{where}":
            continue
        [cell] = [cell for cell in notebook["cells"] if f"\n{heading}\n" in "\n" + "".join(cell["source"])]
        frame = f"""
**To play with: {text}.** It computes in this page; *[on a page of its own](../explore/{page}.md)* its address keeps what you choose.

```{{raw}} html
<iframe class="explorable-here" src="../alone/{page}.html" title="To play with: {text}" loading="lazy"></iframe>
```

"""
        before, after = ("\n" + "".join(cell["source"])).split(f"\n{heading}\n")
        cell["source"] = f"{before}\n{frame}\n{heading}\n{after}"


def tell_how_to_run(notebook, name):
    """Says below the title how the page becomes a notebook that runs."""
    title = notebook["cells"][0]
    heading, *rest = "".join(title["source"]).split("\n")
    lab = f"*To run and change this page: `cargo lab` in the repository, as on [the front page](/index.md), and open `{name}.ipynb`.*"
    title["source"] = "\n".join([heading, "", lab, "", *rest])


def name_cells(app, doctree):
    """Each code cell, and so each figure, gets an address: `cell-` and the cell's id."""
    if app.env.doc2path(app.env.docname).suffix != ".ipynb":
        return
    notebook = json.loads((HERE / app.env.doc2path(app.env.docname, False)).read_text())
    for container in doctree.findall(nodes.container):
        if container.get("nb_element") == "cell_code":
            name = f"cell-{notebook['cells'][container['cell_index']]['id']}"
            container["ids"].append(name)
            link = nodes.reference("", "#", refuri=f"#{name}", classes=["headerlink"], reftitle="Link to this cell")
            container.insert(0, nodes.paragraph("", "", link, classes=["cell-link"]))


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
    play(notebook, name)
    tell_how_to_run(notebook, name)
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


CRATES = ["dldna_nn", "dldna"]  # the second shows what it re-exports from the first


@functools.cache
def documented():
    """The pages of `cargo doc`, by the last name of their items: the path inside the crate, and the page's address."""
    pages = {}
    for crate in CRATES:
        listed = (HERE.parents[1] / "doc" / crate / "all.html").read_text()
        for address, path in re.findall(r'<li><a href="([^"]+)">([^<]+)</a></li>', listed):
            if (crate, path.split("::")[0]) != ("dldna", "prelude"):  # all of it stands elsewhere too
                same_name = pages.setdefault(path.split("::")[-1], {})
                same_name.setdefault(path, f"doc/{crate}/{address}")
    return pages


def page_of(code, pages):
    """The page of the item that a piece of code names: by a path, or by a name that only one item has."""
    match = re.fullmatch(r"(\w+(?:::\w+)*)(?:<[\w, ]+>|\(\)|!)?", code)
    if not match:
        return None
    named = match[1]
    for crate in CRATES:
        named = named.removeprefix(f"{crate}::")
    items = pages.get(named.split("::")[-1], {})
    found = {path: page for path, page in items.items() if f"::{path}".endswith(f"::{named}")}
    if "::" not in named:  # kernels have everyday names, and a check that of what the reader writes
        found = {path: page for path, page in found.items() if not path.startswith(("kernels::", "exercises::"))}
    # What a layer becomes when it is built has the layer's name, one module deeper.
    depth = min((path.count("::") for path in found), default=0)
    nearest = [page for path, page in found.items() if path.count("::") == depth]
    return nearest[0] if len(nearest) == 1 else None


def link_items(app, doctree):
    """Names of the crates' items lead to their documentation."""
    pages = documented()
    up = "../" * app.env.docname.count("/")
    for literal in list(doctree.findall(nodes.literal)):
        inside = literal.parent
        while inside and not isinstance(inside, (nodes.title, nodes.reference, pending_xref)):
            inside = inside.parent
        page = page_of(literal.astext(), pages)
        if page and not inside:
            link = nodes.reference("", "", refuri=up + page)
            literal.replace_self(link)
            link += literal


def setup(app):
    app.config.mathjax_path = "mathjax/tex-svg.js"  # drawings: a saved page keeps them
    app.connect("doctree-read", link_items)
    app.connect("doctree-read", name_cells)
    app.connect("builder-inited", write_player)
    app.connect("source-read", prepare)
    app.connect("html-page-context", load_pictures_late)
