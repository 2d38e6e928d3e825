"""What no key can see: the clock, unseeded random draws, the network, computed names.

A table by the names under which installed code counts; and what is known of
calls that take code as a text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from cascade_nb.fingerprint.scopes import CallForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Something in the code, at `line` of its file or cell, that may change the answer unseen.

    It is none where nothing of `package` is reached, if it names one.
    """

    line: int
    name: str
    message: str
    package: str = ""


UNSEEN = "{name} reads a file under a computed path, unseen; name it in reads=[...]"
UNSEEN_IN_QUERY = "runs SQL, which may read files unseen; name them in reads=[...]"
CLOCK = "reads the clock"
DRAW = "draws random numbers without a seed"
NETWORK = "may read from the network"
ARGUMENTS = "reads the command line"
_PROCESS = "runs another program"
_INPUT = "asks the user"
_ENVIRONMENT = "environment variables are read under computed names"
_IMPORTS = "asks what is imported, and from where"
_INSTALLED = "asks which modules there are to import"
_PLACE = "depends on the working folder"
_MACHINE = "asks which machine or process it runs in"
_STATE = "asks for a setting of the process"
_HOME_FOLDER = "depends on the user's home folder"
_HASH = "asks for a hash, which for texts is another in each process"
_ADDRESS = "asks for an address, which is another in each process"
ORDER = "uses the order of a set, which is another in each process; sort it"
_TIMES = "asks for size or times of a file, and only its content counts"

_EXACT = {
    "time.time": CLOCK,
    "time.time_ns": CLOCK,
    "time.localtime": CLOCK,
    "time.gmtime": CLOCK,
    "time.ctime": CLOCK,
    "time.strftime": CLOCK,
    "time.monotonic": CLOCK,
    "time.perf_counter": CLOCK,
    "time.monotonic_ns": CLOCK,
    "time.perf_counter_ns": CLOCK,
    "time.process_time": CLOCK,
    "time.process_time_ns": CLOCK,
    "time.thread_time": CLOCK,
    "time.thread_time_ns": CLOCK,
    "time.clock_gettime": CLOCK,
    "time.clock_gettime_ns": CLOCK,
    "time.asctime": CLOCK,
    "email.utils.formatdate": CLOCK,
    "email.utils.localtime": CLOCK,
    "email.utils.make_msgid": CLOCK,
    "datetime.datetime.now": CLOCK,
    "datetime.datetime.utcnow": CLOCK,
    "datetime.datetime.today": CLOCK,
    "datetime.date.today": CLOCK,
    "pandas.Timestamp.now": CLOCK,
    "pandas.Timestamp.today": CLOCK,
    "pandas.Timestamp.utcnow": CLOCK,
    "uuid.uuid1": DRAW,
    "uuid.uuid4": DRAW,
    "os.urandom": DRAW,
    "os.getrandom": DRAW,
    "random.SystemRandom": DRAW,
    "os.system": _PROCESS,
    "os.popen": _PROCESS,
    "urllib.request.urlopen": NETWORK,
    "urllib.request.urlretrieve": NETWORK,
    "socket.socket": NETWORK,
    "socket.create_connection": NETWORK,
    "http.client.HTTPConnection": NETWORK,
    "http.client.HTTPSConnection": NETWORK,
    "aiohttp.ClientSession": NETWORK,
    "pandas.read_sql": NETWORK,
    "pandas.read_sql_query": NETWORK,
    "pandas.read_sql_table": NETWORK,
    "builtins.input": _INPUT,
    "builtins.id": _ADDRESS,
    "builtins.hash": _HASH,
    "sys.argv": ARGUMENTS,
    "sys.path": _IMPORTS,
    "sys.modules": _IMPORTS,
    "sys.modules.get": _IMPORTS,
    "os.getcwd": _PLACE,
    "pathlib.Path.cwd": _PLACE,
    "os.getcwdb": _PLACE,
    "os.path.abspath": _PLACE,
    "os.path.realpath": _PLACE,
    "os.path.relpath": _PLACE,
    "os.path.expanduser": _HOME_FOLDER,
    "pathlib.Path.home": _HOME_FOLDER,
    "pathlib.Path.resolve": _PLACE,
    "pathlib.Path.absolute": _PLACE,
    "pathlib.Path.expanduser": _HOME_FOLDER,
    "builtins.object.__repr__": _ADDRESS,
    "builtins.object.__str__": _ADDRESS,
    "builtins.object.__hash__": _ADDRESS,
    **dict.fromkeys(
        [
            *("os.getpid", "os.getppid", "os.uname", "os.cpu_count", "os.process_cpu_count"),
            *("os.getlogin", "os.getuid", "os.geteuid", "os.getgid", "os.getegid", "os.getgroups"),
            *("os.sched_getaffinity", "os.getloadavg", "os.get_terminal_size", "os.times"),
            *("socket.gethostname", "socket.getfqdn", "getpass.getuser", "uuid.getnode"),
            *("multiprocessing.cpu_count", "multiprocessing.current_process"),
            *("multiprocessing.context.BaseContext.cpu_count", "multiprocessing.process"),
            *("threading.get_ident", "threading.get_native_id", "threading.current_thread"),
            *("threading.active_count", "threading.enumerate", "sysconfig.get_platform"),
            *("sysconfig.get_path", "sysconfig.get_paths", "sys.getallocatedblocks"),
            *("shutil.disk_usage", "shutil.which", "shutil.get_terminal_size"),
            *("tempfile.gettempdir", "tempfile.gettempdirb", "resource.getrusage"),
        ],
        _MACHINE,
    ),
    **dict.fromkeys(
        [
            *("sys.getrecursionlimit", "sys.getswitchinterval", "sys.getrefcount", "sys.flags"),
            *("sys.gettrace", "sys.getprofile", "sys.getdefaultencoding", "sys.warnoptions"),
            *("sys.getfilesystemencoding", "sys.get_int_max_str_digits", "sys._xoptions"),
            *("threading.stack_size", "threading.gettrace", "threading.getprofile"),
            *("socket.getdefaulttimeout", "os.umask", "os.getpriority", "os.nice"),
            *("locale.getlocale", "locale.getdefaultlocale", "locale.getpreferredencoding"),
            *("locale.getencoding", "locale.localeconv", "locale.setlocale"),
            *("time.tzname", "gc.isenabled", "gc.get_threshold", "gc.get_count", "gc.get_stats"),
            *("gc.get_objects", "gc.get_debug", "resource.getrlimit", "signal.getsignal"),
            *("faulthandler.is_enabled", "tracemalloc.is_tracing", "warnings.filters"),
            *("csv.field_size_limit", "csv.list_dialects", "multiprocessing.get_start_method"),
            *("multiprocessing.context.DefaultContext.get_start_method",),
            *("mimetypes.guess_type", "mimetypes.types_map", "logging.root.level"),
            *("logging.root.getEffectiveLevel", "logging.root.isEnabledFor"),
            *("codecs.lookup_error", "linecache.cache", "os.get_exec_path"),
        ],
        _STATE,
    ),
    **dict.fromkeys(
        [
            *("importlib.util.find_spec", "importlib.machinery.PathFinder.find_spec"),
            *("pkgutil.iter_modules", "pkgutil.walk_packages", "pkgutil.find_loader"),
            *("importlib.metadata.version", "importlib.metadata.metadata"),
            *("importlib.metadata.distribution", "importlib.metadata.distributions"),
            *("importlib.metadata.entry_points", "importlib.metadata.packages_distributions"),
        ],
        _INSTALLED,
    ),
    "urllib.request.getproxies": _ENVIRONMENT,
    "urllib.request.getproxies_environment": _ENVIRONMENT,
    "os.stat": _TIMES,
    "os.lstat": _TIMES,
    "pathlib.Path.stat": _TIMES,
    "pathlib.Path.lstat": _TIMES,
    "os.path.getsize": _TIMES,
    "os.path.getmtime": _TIMES,
    "os.path.getctime": _TIMES,
    "os.path.getatime": _TIMES,
    "os.path.expandvars": _ENVIRONMENT,
    "os.getenvb": _ENVIRONMENT,
    "os.environ renamed": _ENVIRONMENT,
    "os.getenv renamed": _ENVIRONMENT,
    "inspect.getsource": "reads source text, of which comments do not count",
    "inspect.getsourcelines": "reads source text, of which comments do not count",
}
# Methods of paths, which nothing but their names tells of instances.
METHODS = {
    "cwd": _PLACE,
    "resolve": _PLACE,
    "absolute": _PLACE,
    "home": _HOME_FOLDER,
    "expanduser": _HOME_FOLDER,
    "stat": _TIMES,
    "lstat": _TIMES,
}
# What asks for the working folder, but not of an absolute path; and for the home folder of "~".
ABSOLUTE = frozenset({"abspath", "realpath", "resolve", "absolute"})
EXPANDED = frozenset({"expanduser"})
# Structures and streams whose attributes are asked for.
_WITH_ATTRIBUTES = {"sys.flags": _STATE, "sys.stdin": _INPUT}
_MODULES = {
    "secrets": DRAW,
    "requests": NETWORK,
    "httpx": NETWORK,
    "urllib3": NETWORK,
    "subprocess": _PROCESS,
    "platform": _MACHINE,
    "psutil": _MACHINE,
}
# Where public functions are at home, and under which names people know them.
_HOMES = {
    "posixpath": "os.path",
    "ntpath": "os.path",
    "genericpath": "os.path",
    "posix": "os",
    "nt": "os",
    "_socket": "socket",
    "_thread": "threading",
    "pathlib._local": "pathlib",
}
_HOME = re.compile(rf"^({'|'.join(map(re.escape, _HOMES))})(?=\.)")
# Names in network modules that do not go out by themselves.
_QUIET = re.compile(r"(exceptions|codes|[A-Z]\w*(Error|Exception|Warning|Timeout)|PIPE|DEVNULL)$")
_STATELESS_RANDOM = frozenset(
    [
        "Random",
        "SystemRandom",
        "seed",
        "setstate",
        "RandomState",
        "Generator",
        "SeedSequence",
        "default_rng",
        "BitGenerator",
        "PCG64",
        "PCG64DXSM",
        "MT19937",
        "Philox",
        "SFC64",
        "set_state",
    ]
)
_FRESH_GENERATORS = frozenset(
    {"random.Random", "numpy.random.default_rng", "numpy.random.RandomState"}
)
SEEDS = {"random.seed": "random", "numpy.random.seed": "numpy.random"}
# Functions of libraries that seed them all; those of these packages seed only their own.
_SEED_ALL = frozenset({"seed_everything", "set_random_seed", "set_seed"})
_SEED_OWN = frozenset({"torch", "tensorflow", "jax", "mxnet"})
# Methods whose text argument is code, or the name of a module.
TEXT_METHODS = frozenset({"query", "eval", "run_cell", "import_module"})


@lru_cache(maxsize=4096)
def of_name(name: str, *, call: CallForm) -> str | None:
    """What is risky about the thing that counts by `name`, as a message; None: nothing."""
    if call is CallForm.HARMLESS:
        return None
    name = _HOME.sub(lambda home: _HOMES[home[0]], name)
    message = _EXACT.get(name)
    message = message or _WITH_ATTRIBUTES.get(".".join(name.split(".", 2)[:2]))
    if message is not None:
        return message
    generator = generator_of(name)
    if generator is not None:
        attribute = name.removeprefix(f"{generator}.")
        return None if attribute in _STATELESS_RANDOM or "." in attribute else DRAW
    if name in _FRESH_GENERATORS:
        return DRAW if call is CallForm.BARE else None
    top, _, attribute = name.partition(".")
    message = _MODULES.get(top)
    return None if message is None or not attribute or _QUIET.search(attribute) else message


def generator_of(name: str) -> str | None:
    """The global generator that the thing that counts by `name` draws from, if it does."""
    if name in _FRESH_GENERATORS:
        return None
    return next((g for g in ("random", "numpy.random") if name.startswith(f"{g}.")), None)


def seeded_by(name: str) -> Collection[str]:
    """The global generators that the thing that counts by `name` seeds."""
    top, _, attribute = name.partition(".")
    if top == "polars":
        return [top] if attribute.endswith("set_random_seed") else ()
    if attribute.rpartition(".")[2] in _SEED_ALL and top not in _SEED_OWN:
        return SEEDS.values()
    return [SEEDS[name]] if name in SEEDS else ()


def names_in_query(text: str, *, columns: bool) -> list[str]:
    """The variables in an expression of pandas'; where it has `columns`, only ``@name``."""
    if columns:
        return re.findall(r"@([^\W\d]\w*)", text)
    try:
        tree = ast.parse(text.replace("@", " "), mode="exec")
    except SyntaxError:
        return re.findall(r"[^\W\d]\w*", text)
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})


def may_swallow(context: ast.expr) -> bool:
    """Whether a context manager may end an exception, so that its body runs only in part."""
    function = context.func if isinstance(context, ast.Call) else context
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return bool(re.search(r"suppress|raises|ignor", name))
