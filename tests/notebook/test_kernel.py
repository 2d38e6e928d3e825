"""What only a kernel can show: queues, interrupts, magics above and inside, options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel


def _begun(kernel: Kernel) -> Path:
    """A file by which a body says that it has begun."""
    path = kernel.folder / "begun"
    path.unlink(missing_ok=True)
    return path


BEGIN = "open('begun', 'w').close()\n"


# Queued cells


@pytest.mark.parametrize(
    "first",
    [
        "%%cascade\nimport asyncio\nawait asyncio.sleep(0.3)\nprint('first')",
        "%%time\n%%cascade\nimport asyncio\nawait asyncio.sleep(0.3)\nprint('first')",
        "get_ipython().run_cell_magic('cascade', '', 'import asyncio\\n"
        'await asyncio.sleep(0.3)\\nprint("first")\')',
        "%%cascade\n%%cascade --name inner\nimport asyncio\nawait asyncio.sleep(0.3)\n"
        "print('first')",
    ],
    ids=["top level", "below %%time", "called", "nested"],
)
def test_no_queued_cell_is_lost(kernel: Kernel, first: str) -> None:
    rest = [f"%%cascade --name c{n}\nx{n} = {n}\nprint({n})" for n in range(5)]
    ran = kernel.run_all([first, *rest, "print('last')"])
    assert [r.status for r in ran] == ["ok"] * 7
    assert "first" in ran[0].stdout
    assert [r.stdout for r in ran[1:]] == ["0\n", "1\n", "2\n", "3\n", "4\n", "last\n"]


def test_a_task_of_another_cell_is_not_recorded(kernel: Kernel) -> None:
    background = (
        "import asyncio\nasync def talk():\n    for _ in range(20):\n"
        "        await asyncio.sleep(0.02)\n        print('noise')\n"
        "task = asyncio.create_task(talk())"
    )
    cell = (
        "%%cascade --name quiet\nimport asyncio\nprint('a')\nawait asyncio.sleep(0.2)\nprint('b')"
    )
    assert kernel.run_all([background, cell])[1].badge == "miss"
    kernel.run("await task")
    again = kernel.run(cell)
    assert (again.badge, again.stdout) == ("hit", "a\nb\n")


# Interrupts


@pytest.mark.parametrize(
    "body",
    [
        "while True:\n    pass",
        "import time\ntime.sleep(60)",
        "import asyncio\nawait asyncio.sleep(60)",
        "import asyncio\nawait asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))",
        "import asyncio\nasync with asyncio.TaskGroup() as group:\n"
        "    group.create_task(asyncio.sleep(60))",
        "import asyncio\nasync def spin():\n    while True:\n        pass\n"
        "await asyncio.gather(spin(), asyncio.sleep(60))",
        "import asyncio, time\nawait asyncio.to_thread(time.sleep, 2)",
        "!sleep 60",
    ],
    ids=["loop", "sleep", "await", "gather", "group", "child", "thread", "command"],
)
@pytest.mark.parametrize(
    "above",
    ["", pytest.param("%%time\n", marks=pytest.mark.slow)],
    ids=["top level", "below %%time"],
)
def test_an_interrupt_stops_the_body(kernel: Kernel, body: str, above: str) -> None:
    begun = _begun(kernel)
    cell = f"{above}%%cascade --name busy\n{BEGIN}{body}\nafter = 1"
    (first,), seconds = kernel.interrupt_when(begun.exists, cell)
    assert first.badge == "interrupted"
    assert "KeyboardInterrupt" in first.traceback
    assert "cascade_nb" not in first.traceback
    assert seconds < 5  # Never the minute that it would take; how fast it is, benchmarks tell.
    assert kernel.value("'after' in globals()") == "False"
    assert kernel.run("%%cascade --name next\ny = 2\nprint(y)").stdout == "2\n"
    assert kernel.run("%cascade ls").stdout.count("busy") == 0


def test_a_body_may_catch_an_interrupt(kernel: Kernel) -> None:
    begun = _begun(kernel)
    body = "try:\n    while True:\n        pass\nexcept KeyboardInterrupt:\n    caught = True\n"
    (first,), _ = kernel.interrupt_when(begun.exists, f"%%cascade\n{BEGIN}{body}print(caught)")
    assert (first.status, first.stdout, first.badge) == ("ok", "True\n", "bypass")


# Magics above and inside


def test_time_may_stand_above(kernel: Kernel) -> None:
    cell = "%%time\n%%cascade --name timed\nx = 5\nprint('body')"
    assert [kernel.run(cell).badge for _ in range(2)] == ["miss", "hit"]
    assert kernel.value("x") == "5"


def test_capture_above_keeps_all_output(kernel: Kernel) -> None:
    cell = "%%capture got\n%%cascade --name captured\nprint('body')\n3"
    for _ in range(2):
        ran = kernel.run(cell)
        assert ran.shown == []
        assert kernel.value("got.stdout") == repr("body\n")
        # The badge is the other one.
        assert kernel.value("got.outputs[0].data, len(got.outputs)") == "({'text/plain': '3'}, 2)"


def test_a_cached_cell_inside_of_one(kernel: Kernel) -> None:
    inner = "get_ipython().run_cell_magic('cascade', '--name inner', 'b = 2\\nprint(\"inner\")')"
    cell = f"%%cascade --name outer\na = 1\n{inner}\nprint('outer')"
    first, second = kernel.run(cell), kernel.run(cell)
    assert first.stdout == second.stdout == "inner\nouter\n"
    assert second.badge == "hit"
    assert len(second.outputs) - len(second.shown) == 1
    assert kernel.value("a, b") == "(1, 2)"


# Hits and misses


def test_a_changed_input_is_a_miss(kernel: Kernel) -> None:
    cell = "%%cascade --name sums\ntotal = sum(data) * factor()"
    kernel.run("data = [1, 2]\ndef factor():\n    return 2")
    assert [kernel.run(cell).badge, kernel.run(cell).badge] == ["miss", "hit"]
    kernel.run("data.append(3)")
    changed = kernel.run(cell)
    assert changed.badge == "miss"
    assert "data" in changed.badge_text
    assert kernel.value("total") == "12"
    kernel.run("def factor():\n    return 3")
    assert kernel.run(cell).badge == "miss"
    assert kernel.value("total") == "18"


def test_a_hit_gives_fresh_values(kernel: Kernel) -> None:
    cell = "%%cascade --name fresh\nrows = [1, 2]"
    kernel.run(cell, "rows.append(3)", cell)
    assert kernel.value("rows") == "[1, 2]"


def test_a_conditional_binding_is_not_served_to_another_session_state(kernel: Kernel) -> None:
    cell = "%%cascade --name maybe\nif flag:\n    level = 1\nseen = 1"
    kernel.run("flag = True\nlevel = 1", cell, "level = 5", cell)
    assert kernel.value("level") == "1"
    kernel.run("flag = False\nlevel = 1", cell, "level = 5", cell)
    assert kernel.value("level") == "5"


def test_what_a_helper_binds_to_the_same_object_is_not_forgotten(kernel: Kernel) -> None:
    kernel.run("def ready():\n    global READY\n    READY = True", "READY = True")
    cell = "%%cascade --name ready\nready()\ndone = 1"
    kernel.run(cell, "READY = False", cell)
    assert kernel.value("READY") == "True"


def test_seeded_draws_depend_on_the_state(kernel: Kernel) -> None:
    cell = "%%cascade --name draw\nimport random\ndrawn = random.random()"
    seen = []
    for seed in (1, 2, 1):
        assert kernel.run(f"import random\nrandom.seed({seed})", cell).stderr == ""
        seen.append(kernel.value("drawn, random.random()"))
    assert seen[0] == seen[2] != seen[1]


def test_draws_in_libraries_are_told_of_where_nobody_has_seeded(kernel: Kernel) -> None:
    # A message in parts draws the line between them.
    make = "import random\nfrom email.mime.multipart import MIMEMultipart"
    cell = "%%cascade --name letter\nletter = MIMEMultipart().as_string()"
    kernel.restart()  # other tests have seeded
    kernel.run("%load_ext cascade_nb", make)
    assert "draws numbers from the global generator of random" in kernel.run(cell).stderr
    seen = []
    for seed in (1, 2, 1):
        assert kernel.run(f"random.seed({seed})", f"{cell}  # {seed}").stderr == ""
        seen.append(kernel.value("letter"))
    assert seen[0] == seen[2] != seen[1]


def test_a_default_that_has_changed_is_a_miss(kernel: Kernel) -> None:
    cell = "%%cascade --name default\ndef scaled(x, by=unit):\n    return x * by\nmark = 1"
    kernel.run("unit = 2", cell, "unit = 3", cell)
    assert kernel.value("scaled(10)") == "30"


def test_a_progress_bar_is_replayed_as_text(kernel: Kernel) -> None:
    kernel.run("import ipywidgets\nfrom IPython.display import display")
    cell = (
        "%%cascade --name bar\nbar = ipywidgets.IntProgress()\n"
        "display(ipywidgets.HBox([bar]))\nbar.value = 7\ndel bar"
    )
    assert kernel.run(cell).badge == "miss"
    (shown,) = kernel.run(cell).shown
    assert list(shown["data"]) == ["text/plain"]
    assert "IntProgress(value=7" in shown["data"]["text/plain"]


def test_input_is_never_replayed(kernel: Kernel) -> None:
    ran = kernel.run(
        "%%cascade\ntry:\n    input('?')\nexcept Exception as e:\n    print('refused')"
    )
    assert (ran.stdout, ran.badge) == ("refused\n", "bypass")


# Options


def test_outputs_rescue_what_cannot_be_stored(kernel: Kernel) -> None:
    cell = "%%cascade --name pick -o wanted\nit = iter([1])\nwanted = 3\nwanted"
    assert [kernel.run(cell).badge for _ in range(2)] == ["miss", "hit"]
    assert kernel.run(cell).result == "3"
    kernel.run("del it, wanted", cell)
    assert kernel.value("wanted, 'it' in globals()") == "(3, False)"


def test_inputs_override_what_was_found(kernel: Kernel) -> None:
    cell = "%%cascade --name some -i a\nc = a + b"
    kernel.run("a, b = 1, 1", cell, "b = 2", cell)
    assert kernel.value("c") == "2"
    kernel.run("a = 2", cell)
    assert kernel.value("c") == "4"


def test_no_replay_shows_nothing_but_brings_names_back(kernel: Kernel) -> None:
    kernel.run("%%cascade --name loud\nprint('x')\nv = 1\nv")
    again = kernel.run("%%cascade --name loud --no-replay\nprint('x')\nv = 1\nv")
    assert (again.badge, again.shown) == ("hit", [])
    assert kernel.value("v, _") == "(1, 1)"


def test_refresh_runs_and_stores(kernel: Kernel) -> None:
    cell = "import time\nnow = time.perf_counter()"
    kernel.run(f"%%cascade -n clock\n{cell}")
    first = kernel.value("now")
    assert kernel.run(f"%%cascade -n clock --refresh\n{cell}").badge == "miss"
    second = kernel.value("now")
    assert kernel.run(f"%%cascade -n clock\n{cell}").badge == "hit"
    assert kernel.value("now") == second != first


def test_retry_tries_again(kernel: Kernel) -> None:
    kernel.run("tries = []\ndef attempt():\n    tries.append(1)\n    assert len(tries) > 1")
    ran = kernel.run("%%cascade --retry 3\nattempt()\nprint('made it')")
    assert (ran.status, ran.stdout) == ("ok", "made it\n")


def test_a_cell_that_binds_nothing_is_named_by_its_first_words(kernel: Kernel) -> None:
    assert " · !echo hi · " in kernel.run("%%cascade\n# Says hi\n!echo hi").badge_text


def test_quiet_shows_no_badge(kernel: Kernel) -> None:
    assert kernel.run("%%cascade --quiet\nq = 1").outputs == []


def test_off_runs_plainly(kernel: Kernel) -> None:
    kernel.run("%cascade off")
    assert [kernel.run("%%cascade\nz = 1\nz").badge for _ in range(2)] == ["off", "off"]
    kernel.run("%cascade on")
    assert kernel.run("%%cascade\nz = 1\nz").badge == "miss"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--nonsense", "--nonsense"),
        ("--ref", "--ref"),
        ("--ttl soon", "soon"),
        ("--retry 0", "max_attempts"),
        ("--retry many", "many"),
        ("-o a-b", "a-b"),
        ("--name 'open", "quotation"),
        ("word", "word"),
    ],
)
def test_a_bad_option_is_one_line_and_nothing_runs(kernel: Kernel, line: str, word: str) -> None:
    ran = kernel.run(f"%%cascade {line}\nprint('ran')")
    assert ran.status == "error"
    (output,) = ran.outputs
    assert output["text"].startswith("UsageError: ")
    assert word in output["text"]
    assert output["text"].count("\n") == 1


def test_a_ttl_is_seconds_or_has_a_unit(kernel: Kernel) -> None:
    for ttl in ("90", "1.5", "12h"):
        kernel.run(f"%%cascade -n ttl --ttl {ttl} --refresh\nz = 1")
        kernel.run("%cascade show ttl")
        assert kernel.run(f"%%cascade -n ttl --ttl {ttl}\nz = 1").badge == "hit"


def test_nothing_in_the_line_is_expanded(kernel: Kernel) -> None:
    kernel.run("x = 5")
    assert " · {x} $x · " in kernel.run("%%cascade --name '{x} $x'\ny = 1").badge_text


def test_a_body_that_is_missing(kernel: Kernel) -> None:
    ran = kernel.run("%%cascade")
    assert ran.status == "error"
    assert "cell body is empty" in ran.stderr


def test_unloading_leaves_the_shell_as_found(kernel: Kernel) -> None:
    look = (
        "ip = get_ipython()\nsorted(vars(ip)) , len(ip.input_transformers_post),"
        " [len(c) for c in ip.events.callbacks.values()], len(ip.configurables),"
        " 'cascade' in ip.magics_manager.magics['cell']"
    )
    loaded = kernel.run(look).result
    kernel.run("%unload_ext cascade_nb")
    unloaded = kernel.run(look).result
    assert kernel.run("%%cascade\nx = 1").status == "error"
    kernel.run("%load_ext cascade_nb")
    assert kernel.run(look).result == loaded != unloaded
    kernel.run("%reload_ext cascade_nb")
    assert kernel.run(look).result == loaded
    assert kernel.run("%%cascade\nx = 1").badge == "miss"


def test_the_store_can_be_configured(kernel: Kernel, tmp_path: Path) -> None:
    bad = kernel.run("%config CascadeMagics.store = 'ftp://x'")
    assert "ftp" in bad.stderr
    kernel.run(f"%config CascadeMagics.store = {str(tmp_path / 'own')!r}")
    kernel.run("%%cascade\nw = 1")
    assert (tmp_path / "own").is_dir()


def test_help_reads_well(kernel: Kernel) -> None:
    (payload,) = kernel.run("%%cascade?").reply["payload"]
    text = payload["data"]["text/plain"]
    for option in ("--inputs", "--outputs", "--ttl", "--no-replay", "--reads"):
        assert option in text
