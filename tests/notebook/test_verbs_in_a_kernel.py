"""The verbs and the panel in a real kernel, whose loop runs while a plain cell does."""

import re

import nbformat
from nbclient import NotebookClient

VIEW = "application/vnd.jupyter.widget-view+json"
SETUP = """
from cascade_nb import cached, configure
from cascade_nb.notebook import verbs
configure(store="disk")
verbs.install(get_ipython())
cascade = lambda line: verbs.run_verb(get_ipython(), line)

@cached
def double(n):
    return 2 * n

double(1), double(1), double(2)
"""


def run_lines(folder, *lines):
    """The notebook after a kernel ran `lines` of the magic, and the first output of each."""
    cells = [SETUP, *(f"cascade({line!r})" for line in lines)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, resources=resources, allow_errors=True, timeout=60).execute()
    return notebook, [cell.outputs[0] for cell in notebook.cells[1:]]


def test_a_session_is_shown_listed_and_forgotten(tmp_path):
    notebook, (panel, listed, stats, shown, again, forgot, empty, refused) = run_lines(
        tmp_path, "", "ls", "stats", "show double", "", "forget double", "ls", "show double"
    )
    # One set of widgets, shown twice, with a text for whoever shows none.
    assert panel.data[VIEW]["model_id"] == again.data[VIEW]["model_id"]
    assert "1 hit, 2 misses, 0 bypasses" in panel.data["text/plain"]
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert len(state) == 11, "VBox, two HTMLs and a Button, with their layouts and styles"
    tables = [m["state"]["value"] for m in state.values() if m["model_name"] == "HTMLModel"]
    assert any("<td>double</td>" in table for table in tables)

    assert re.fullmatch(r"name .*\n(double  value  bafkrei\w+… .*\n?){2}", listed.text)
    assert stats.text.startswith("session: 1 hit, 2 misses, 0 bypasses;")
    assert "\nstore:   2 results, " in stats.text
    assert len(re.findall("^CID +bafkrei[a-z2-7]{52}$", shown.text, re.MULTILINE)) == 2

    assert forgot.text == "forgot 2 results of double\n"
    assert empty.text == "nothing is stored\n"
    assert refused.text == "UsageError: nothing is stored, so nothing goes by 'double'\n"
